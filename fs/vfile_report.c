/* SPDX-License-Identifier: MIT
 *
 * recovery/report.yaml: what the mount found when it began (a torn end of the journal, damage, drafts a dead daemon left), and each restore of the
 * session, newest first. Everything is quoted, whatever paths hold.
 *
 * A damaged transaction is named by number and place; by path, too, where it is still known what it was about: an index snapshot
 * remembers which transaction made a version or a name though its record cannot be read any more. Looking for that walks all
 * inodes, in slices, and only when there is damage.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "position.h"
#include "vfile_model.h"
#include "vfile_recovery.h"
#include "vfile_rows.h"
#include "vfile_transactions.h"

#define SLICE_NODES 4096
#define PATHS_MAX 100
#define DRAFTS_MAX 1000

/* ---- damage ---- */

/* The path of what the transactions made or changed; appended, quoted. Engine lock held. */
static bool put_path(struct fs *fs, const struct node *n, const struct journal_damage *d, struct buf *out)
{
	const struct version *v = tree_version_at(n, d->seq_last);
	const struct dentry *name = tree_name_at(n, d->seq_last);
	struct tree *tree = engine_tree(fs->engine);
	cleanup_buf struct buf path = BUF_INIT;

	if (!(v && v->born >= d->seq_first) && !(name && name->born >= d->seq_first))
		return false;
	if (tree_path_at(tree, n, engine_live_seq(fs->engine), &path) && tree_path_at(tree, n, d->seq_last, &path))
		return false;
	buf_append_str(out, "        - ");
	buf_put_yaml_string(out, path.data ? path.data : "", path.len);
	buf_append_str(out, "\n");
	return true;
}

static void put_paths(struct fs *fs, const struct journal_damage *d, struct buf *out)
{
	cleanup_buf struct buf paths = BUF_INIT;
	uint64_t ino = TREE_ROOT_INO, end;
	size_t found = 0;

	do {
		engine_lock(fs->engine);
		end = tree_next_ino(engine_tree(fs->engine));
		for (uint64_t stop = MIN(ino + SLICE_NODES, end); ino < stop && found < PATHS_MAX; ino++) {
			const struct node *n = tree_node(engine_tree(fs->engine), ino);

			found += n && put_path(fs, n, d, &paths);
		}
		engine_unlock(fs->engine);
	} while (ino < end && found < PATHS_MAX);
	buf_append_str(out, found ? "      paths:\n" : "      paths: []\n");
	buf_append(out, paths.data ? paths.data : "", paths.len);
	if (paths.error)
		out->error = paths.error;
}

static int put_damage(struct fs *fs, struct buf *out)
{
	cleanup_free struct journal_damage *damage = NULL;
	size_t count;
	int r = engine_list_damage(fs->engine, &damage, &count);

	if (r)
		return r;
	buf_append_str(out, count ? "  damage:\n" : "  damage: []\n");
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "    - first_sequence: %" PRIu64 "\n      last_sequence: %" PRIu64 "\n", damage[i].seq_first, damage[i].seq_last);
		buf_printf(out, "      segment: %u\n      offset: %" PRIu64 "\n", position_file(damage[i].position), position_offset(damage[i].position));
		if (damage[i].bytes)
			yaml_line_number(out, 6, "bytes", damage[i].bytes);
		else
			yaml_line_text(out, 6, "bytes", NULL);
		put_paths(fs, &damage[i], out);
	}
	return 0;
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
