/* SPDX-License-Identifier: MIT
 *
 * Saves of the state model's files. The first byte tells session.yaml from an agent's file, the rest is the text; it is the older text, too.
 * What is accepted must be well-formed, stay as it is when it is saved again, hold what the daemon owns, and let the daemon change that.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "model_schema.h"

#define T (1795341600LL * NS_PER_S)

static int merge(enum model_kind kind, const char *old, size_t old_len, const char *text, size_t len, struct reason *reason, struct buf *out)
{
	const struct session_owned session = {"s1", T, T, "[\"a\"]", "null", "null", "[]"};
	const struct agent_owned agent = {.id = "a", .session_id = "s1", .registered_ns = T, .last_updated_ns = T, .heartbeat_ns = T};

	return kind == MODEL_SESSION ? model_merge_session(old, old_len, text, len, &session, reason, out)
				     : model_merge_agent(old, old_len, text, len, &agent, reason, out);
}

static int edit(enum model_kind kind, const struct buf *text, struct buf *out)
{
	const struct session_owned session = {"s1", T, T + 1000, "[]", "\"c1\"", "\"b1\"", "[\"c1\"]"};
	const struct agent_owned agent = {"a", "s1", T, T + 1000, T + 1000, 1, 2};

	return kind == MODEL_SESSION ? model_edit_session(text->data, text->len, &session, "expired", NULL, out)
				     : model_edit_agent(text->data, text->len, &agent, "dead", NULL, out);
}

static void check_saved(enum model_kind kind, const struct buf *saved)
{
	cleanup_buf struct buf again = BUF_INIT, later = BUF_INIT;
	const char *path = kind == MODEL_SESSION ? "session.id" : "agent.session_id";
	const struct doc_node *id;
	struct doc *doc;

	assert(!merge(kind, saved->data, saved->len, saved->data, saved->len, NULL, &again));
	assert(again.len == saved->len && !memcmp(again.data, saved->data, again.len));
	assert(!edit(kind, saved, &later));
	assert(!doc_parse_yaml(later.data, later.len, NULL, &doc));
	id = doc_get_path(doc_root(doc), path);
	assert(id && !strcmp(id->text, "s1"));
	doc_free(doc);
}

static void check_fields(enum model_kind kind, const char *text, size_t len)
{
	struct session_fields session;
	struct agent_fields agent;

	if (kind == MODEL_SESSION) {
		assert(!session_fields_parse(text, len, &session));
		assert(session.type && session.status <= SESSION_EXPIRED && session.checkpoint_interval_s && session.heartbeat_interval_s);
		assert(session.progress_percentage >= 0 && session.progress_percentage <= 100);
		session_fields_release(&session);
	} else {
		assert(!agent_fields_parse(text, len, &agent));
		assert(agent.type && agent.status <= AGENT_COMPLETED && agent.pid <= 4194304);
		agent_fields_release(&agent);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum model_kind kind = size && *data & 1 ? MODEL_AGENT : MODEL_SESSION;
	const char *text = (const char *)data + !!size;
	size_t len = size - !!size;
	struct buf saved = BUF_INIT;
	struct reason reason = {0};
	int r;

	check_fields(kind, text, len);
	r = merge(kind, NULL, 0, text, len, &reason, &saved);
	assert(r == 0 || (r == -EBADMSG && reason.text[0] && !saved.len));
	if (!r)
		check_saved(kind, &saved);
	buf_clear(&saved);
	(void)merge(kind, text, len, "", 0, NULL, &saved); /* whatever was there before, nothing can be saved over it */
	assert(saved.len);
	buf_release(&saved);
	return 0;
}
