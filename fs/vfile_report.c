/* SPDX-License-Identifier: MIT
 *
 * recovery/report.yaml: what the mount found when it began (a torn end of the journal, damage, drafts a dead daemon left), and each restore of the
 * session, newest first. Everything is quoted, whatever paths hold.
 *
 * A damaged transaction is named by number and place; by path, too, where it is still known what it was about (vfile_damage.h).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "vfile_damage.h"
#include "position.h"
#include "vfile_model.h"
#include "vfile_recovery.h"
#include "vfile_rows.h"
#include "vfile_transactions.h"

#define PATHS_MAX 100
#define DRAFTS_MAX 1000

/* ---- damage ---- */

struct paths {
	struct buf text;
	size_t count;
};

static bool put_path(void *arg, const char *path, uint64_t first, uint64_t last)
{
	struct paths *p = arg;

	(void)first, (void)last;
	buf_append_str(&p->text, "        - ");
	buf_put_yaml_string(&p->text, path, strlen(path));
	buf_append_str(&p->text, "\n");
	return ++p->count < PATHS_MAX;
}

static int put_paths(struct fs *fs, struct journal_damage *d, struct buf *out)
{
	const struct damage one = {.records = d, .record_count = 1};
	struct paths p = {0};
	int r = damage_each_path(fs, &one, "", put_path, &p);

	buf_append_str(out, p.count ? "      paths:\n" : "      paths: []\n");
	buf_append(out, p.text.data ? p.text.data : "", p.text.len);
	if (p.text.error)
		r = p.text.error;
	buf_release(&p.text);
	return r;
}

static int put_damage(struct fs *fs, struct buf *out)
{
	cleanup_free struct journal_damage *damage = NULL;
	size_t count;
	int r = engine_list_damage(fs->engine, &damage, &count);

	if (r)
		return r;
	buf_append_str(out, count ? "  damage:\n" : "  damage: []\n");
	for (size_t i = 0; i < count && !r; i++) {
		buf_printf(out, "    - first_sequence: %" PRIu64 "\n      last_sequence: %" PRIu64 "\n", damage[i].seq_first, damage[i].seq_last);
		buf_printf(out, "      segment: %u\n      offset: %" PRIu64 "\n", position_file(damage[i].position), position_offset(damage[i].position));
		if (damage[i].bytes)
			yaml_line_number(out, 6, "bytes", damage[i].bytes);
		else
			yaml_line_text(out, 6, "bytes", NULL);
		r = put_paths(fs, &damage[i], out);
	}
	return r;
}

/* ---- the rest of what a mount finds ---- */

static void put_torn(struct buf *out, const struct journal_recovery *r)
{
	yaml_line_number(out, 2, "torn_bytes", r->torn_bytes);
	if (!r->torn_bytes)
		return;
	yaml_line_number(out, 2, "torn_segment", position_file(r->torn_position));
	yaml_line_number(out, 2, "torn_offset", position_offset(r->torn_position));
}

static void put_problems(struct fs *fs, struct buf *out)
{
	struct engine_health health;
	const char *at;

	engine_get_health(fs->engine, &health);
	at = health.why.data ? health.why.data : "";
	buf_append_str(out, *at ? "  problems:\n" : "  problems: []\n");
	while (*at) {
		size_t len = strcspn(at, "\n");

		buf_append_str(out, "    - ");
		buf_put_yaml_string(out, at, len);
		buf_append_str(out, "\n");
		at += len + (at[len] == '\n');
	}
	buf_release(&health.why);
}

static void put_draft(struct buf *out, const struct draft_info *d)
{
	char id[TX_ID_BYTES];

	tx_draft_id_format(d->started_ns, d->id, id);
	buf_printf(out, "    - id: \"%s\"\n", id);
	yaml_line_text(out, 6, "path", d->path);
	yaml_line_text(out, 6, "operation", operation_name(d->operation));
	yaml_line_number(out, 6, "bytes", d->size);
	yaml_line_time(out, 6, "started_at", d->started_ns);
}

static int put_drafts(struct fs *fs, struct buf *out)
{
	struct draft_info *drafts;
	size_t count, shown = 0;
	int r = draft_list(fs->engine, &drafts, &count);

	if (r)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (drafts[i].recovered && shown < DRAFTS_MAX) {
			if (!shown++)
				buf_append_str(out, "  drafts:\n");
			put_draft(out, &drafts[i]);
		}
		draft_info_release(&drafts[i]);
	}
	free(drafts);
	if (!shown)
		buf_append_str(out, "  drafts: []\n");
	return 0;
}

/* ---- restores ---- */

static int put_restores(struct fs *fs, const char *session, struct buf *out)
{
	cleanup_free struct recovery_restore *restores = malloc(RECOVERY_RESTORES_MAX * sizeof(*restores));
	size_t count;

	if (!restores)
		return -ENOMEM;
	count = recovery_restores_take(fs, session, restores);
	buf_append_str(out, count ? "restores:\n" : "restores: []\n");
	for (size_t i = 0; i < count; i++) {
		const struct recovery_restore *r = &restores[i];
		char time[TIME_TEXT_BYTES], id[TX_ID_BYTES];

		time_format(r->time_ns, time);
		tx_id_format(r->time_ns, r->seq, id);
		buf_printf(out, "  - restored_at: \"%s\"\n", time);
		yaml_line_text(out, 4, "checkpoint", r->checkpoint);
		yaml_line_text(out, 4, "transaction", id);
		yaml_line_text(out, 4, "pre_recovery", *r->pre_recovery ? r->pre_recovery : NULL);
		yaml_line_number(out, 4, "files_restored", r->files_restored);
		yaml_line_number(out, 4, "files_removed", r->files_removed);
		yaml_line_text(out, 4, "validation", *r->validation ? r->validation : NULL);
		yaml_line_text(out, 4, "agent", *r->agent ? r->agent : NULL);
		yaml_line_number(out, 4, "uid", r->uid);
	}
	return 0;
}

int report_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	struct engine_stats s;
	int r;

	engine_get_stats(fs->engine, &s);
	buf_append_str(out, "# What was found when this file system was mounted, and each restore of this session, newest first.\nmount:\n");
	yaml_line_time(out, 2, "mounted_at", fs->started_ns);
	yaml_line_number(out, 2, "duration_ms", (uint64_t)(s.recovery_ns / NS_PER_MS));
	yaml_line_number(out, 2, "transactions_replayed", s.replayed);
	put_torn(out, &s.recovery);
	r = put_damage(fs, out);
	put_problems(fs, out);
	if (!r)
		r = put_drafts(fs, out);
	return r ? r : put_restores(fs, v->params[0], out);
}
