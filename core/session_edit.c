/* SPDX-License-Identifier: MIT
 *
 * session.yaml as the transactions of checkpoints change it: last_checkpoint, recovery_points, last_updated, and the status when a session
 * ends. An edit is prepared without the engine's lock and added under it, when the file is still the one it was made of.
 *
 * A session whose file is missing, damaged or not to be edited keeps its checkpoints all the same: the transaction does without the edit.
 */
#include <errno.h>
#include <string.h>

#include "checkpoint_internal.h"

static void put_point(struct buf *out, const char *id)
{
	buf_append_str(out, out->len > 1 ? ", " : "");
	yaml_put_string(out, id);
}

/* As registry_put_recovery_points() and registry_put_last_checkpoint() will say once it is so. */
static void put_points(const struct session *s, const char *added, const char *removed, struct buf *points, struct buf *last)
{
	const char *newest = added;
	size_t count = 0;

	buf_append_str(points, "[");
	if (added && ++count)
		put_point(points, added);
	for (const struct checkpoint *c = s->newest_checkpoint; c && count < SESSION_RECOVERY_POINTS_MAX; c = c->older) {
		if (removed && !strcmp(c->id, removed))
			continue;
		newest = newest ? newest : c->id;
		put_point(points, c->id);
		count++;
	}
	buf_append_str(points, "]");
	if (newest)
		yaml_put_string(last, newest);
	else
		buf_append_str(last, "null");
}

int checkpoint_owned_fill(struct engine *e, const struct session *s, const char *added, const char *removed, int64_t now_ns, struct session_owned_text *ret)
{
	struct session_owned_text own;
	int r = session_owned_fill(e, s, now_ns, &own);

	if (r)
		return r;
	buf_clear(&own.recovery_points);
	buf_clear(&own.last_checkpoint);
	put_points(s, added, removed, &own.recovery_points, &own.last_checkpoint);
	if (own.recovery_points.error || own.last_checkpoint.error) {
		session_owned_release(&own);
		return -ENOMEM;
	}
	own.owned.recovery_points = own.recovery_points.data;
	own.owned.last_checkpoint = own.last_checkpoint.data;
	*ret = own;
	ret->owned.id = ret->id; /* within itself */
	return 0;
}

static uint64_t file_ino_of(struct engine *e, const char *session)
{
	struct session *s;
	uint64_t ino;

	engine_lock(e);
	s = registry_session(e, session);
	ino = s ? s->file_ino : 0;
	engine_unlock(e);
	return ino;
}

/* What the file says while it is not edited. */
static void keep_sha(struct engine *e, struct session_edit *s)
{
	const struct version *v = NULL;
	struct node *n;

	engine_lock(e);
	n = s->ino ? tree_node(e->tree, s->ino) : NULL;
	if (n && n->nlink && !(n->flags & NODE_NEWBORN))
		v = n->newest;
	engine_unlock(e);
	s->have_sha = v && !engine_content_sha(e, n, v, &s->sha);
}

int session_edit_prepare(struct engine *e, const char *session, const char *added, const char *removed, const char *status, struct record_blocks *blocks,
	struct session_edit *ret)
{
	struct session_owned_text owned = {0};
	cleanup_buf struct buf out = BUF_INIT;
	cleanup_free char *text = NULL;
	const struct version *base = NULL;
	struct session *s;
	size_t len = 0;
	int err, r;

	*ret = (struct session_edit){.ino = file_ino_of(e, session)};
	err = ret->ino ? file_edit_read(e, ret->ino, &base, &text, &len) : -ENOENT;
	if (!err && status)
		registry_load_file(e, ret->ino); /* who saved it may not have come to that; what status it had is seen when staging */
	/* The values are taken after the version: what changes them later changes that, too. */
	engine_lock(e);
	s = registry_session(e, session);
	r = s ? checkpoint_owned_fill(e, s, added, removed, env_time_ns(e->env), &owned) : -ENOENT;
	engine_unlock(e);
	if (r)
		return r;
	if (!err)
		err = model_edit_session(text, len, &owned.owned, status ? status : "", NULL, &out);
	session_owned_release(&owned);
	if (!err)
		err = file_edit_prepare(ret->ino, base, out.data, out.len, blocks, &ret->edit);
	if (err == -ENOMEM)
		return err;
	ret->edits = !err;
	if (err) {
		keep_sha(e, ret);
		return 0;
	}
	ret->have_sha = true;
	sha256_of(out.data, out.len, &ret->sha);
	return 0;
}

int session_edit_add(const struct session_edit *edit, const char *session, struct txn *t)
{
	const struct session *s = registry_session(t->e, session);

	if (!s)
		return -ENOENT;
	if (s->file_ino != edit->ino)
		return -EAGAIN;
	return edit->edits ? file_edit_add(&edit->edit, t) : 0;
}
