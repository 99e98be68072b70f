/* SPDX-License-Identifier: MIT
 *
 * The text of checkpoint.yaml. Pure functions of what they are given; strings of users (paths, branches) are quoted whatever they hold.
 *
 * active_transactions are the drafts somebody is writing at that moment, by their ids in transactions/pending/; pending_operations says of each
 * draft nobody has published, also of those a dead daemon left, what it would do and to which file.
 */
#include <inttypes.h>
#include <stdio.h>

#include "checkpoint_internal.h"

#define UNKNOWN "unknown"

static void put_string(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "  %s: ", key);
	yaml_put_string(out, value);
	buf_append_str(out, "\n");
}

static void put_sha(struct buf *out, const struct sha256 *sha)
{
	char hex[SHA256_HEX_BYTES];

	if (sha)
		sha256_hex(sha, hex);
	buf_printf(out, sha ? "\"%s\"\n" : "null\n", hex);
}

void checkpoint_render_head(const struct checkpoint_head *h, struct buf *out)
{
	char created[TIME_TEXT_BYTES], reason[CHECKPOINT_REASON_BYTES_MAX];

	time_format(h->created_ns, created);
	(void)snprintf(reason, sizeof(reason), "%s", h->reason);
	buf_append_str(out, "checkpoint:\n");
	put_string(out, "id", h->id);
	put_string(out, "session_id", h->session);
	put_string(out, "reason", reason);
	put_string(out, "created_at", created);
	buf_append_str(out, "state_snapshot:\n  session_file: ");
	put_sha(out, h->session_file);
	buf_printf(out, "  agent_count: %" PRIu64 "\n  operation_count: %" PRIu64 "\n  event_count: %" PRIu64 "\n", h->agent_count, h->operation_count,
		h->event_count);
}

/* "  key:" and its items, or "  key: []". */
static void put_list_key(struct buf *out, const char *key, size_t count)
{
	buf_printf(out, "  %s:%s\n", key, count ? "" : " []");
}

static void put_drafts(struct buf *out, const struct checkpoint_rest *r)
{
	size_t active = 0;

	for (size_t i = 0; i < r->draft_count; i++)
		active += !r->drafts[i].recovered;
	put_list_key(out, "active_transactions", active);
	for (size_t i = 0; i < r->draft_count; i++) {
		char stamp[TIME_TEXT_BYTES];

		if (r->drafts[i].recovered)
			continue;
		time_format_stamp(r->drafts[i].started_ns, stamp);
		buf_printf(out, "    - \"tx-%s-d%" PRIu64 "\"\n", stamp, r->drafts[i].id);
	}
	put_list_key(out, "pending_operations", r->draft_count);
	for (size_t i = 0; i < r->draft_count; i++) {
		buf_printf(out, "    - operation: \"%s\"\n      target_file: ", operation_name(r->drafts[i].operation));
		yaml_put_string(out, r->drafts[i].path);
		buf_append_str(out, "\n");
	}
}

void checkpoint_render_rest(const struct checkpoint_rest *r, struct buf *out)
{
	buf_append_str(out, "context:\n");
	put_string(out, "working_directory", r->working_directory ? r->working_directory : UNKNOWN);
	put_string(out, "git_branch", r->git_branch);
	put_string(out, "git_commit", r->git_commit);
	buf_append_str(out, "recovery_data:\n");
	put_drafts(out, r);
	put_list_key(out, "agent_states", r->agent_count);
	for (size_t i = 0; i < r->agent_count; i++) {
		const struct checkpoint_agent *a = &r->agents[i];

		buf_printf(out, "    - id: \"%s\"\n      status: \"%s\"\n      checksum: ", a->id, agent_status_name(a->status));
		put_sha(out, a->have_sha ? &a->sha : NULL);
	}
}
