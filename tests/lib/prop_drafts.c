/* SPDX-License-Identifier: MIT
 *
 * See prop_world.h: files that are open while something else happens, and drafts that a restart finds.
 */
#include <errno.h>
#include <sys/stat.h>

#include "prop_world.h"

enum fate { FATE_FORGOTTEN, FATE_KILLED, FATE_RENAMED, FATE_LINKED, FATE_LARGE_XATTR, FATE_PLAIN, FATE_COUNT };

static void say_drafts(struct prop_world *w, const struct draft_info *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t at = strlen(w->what);

		snprintf(w->what + at, sizeof(w->what) - at, ", draft %llu of %s", (unsigned long long)list[i].id, list[i].path);
	}
}

/* Nobody committed it: its name is gone, its bytes are pending, and its user publishes or discards them. */
static void take_up_newborn(struct prop_world *w, const char *path)
{
	struct draft_info *list;
	struct request q;
	char text[PROP_TEXT_MAX];
	ssize_t n;
	size_t count;

	prop_check(w, !fixture_ino(w->e, path));
	prop_check(w, !draft_list(w->e, &list, &count));
	say_drafts(w, list, count);
	prop_check(w, count == 1);
	prop_check(w, !strcmp(list[0].path, path));
	n = draft_read_by_id(w->e, list[0].id, 0, text, sizeof(text));
	prop_check(w, n == (ssize_t)list[0].size);
	fixture_request(&q);
	if (rng_coin(&w->rng)) {
		prop_check(w, !draft_publish_recovered(w->e, list[0].id, &q));
		prop_check(w, !fs_model_make(w->m, path, S_IFREG | 0604, NULL));
		fs_model_set(fs_model_file(w->m, path), text, (size_t)n);
		fs_model_file(w->m, path)->uid = 77;
	} else {
		prop_check(w, !draft_discard_recovered(w->e, list[0].id, &q));
	}
	prop_check(w, !engine_wait(w->e, q.seq, JOURNAL_DURABLE));
	draft_info_release(&list[0]);
	free(list);
}

/* A new file through all that can happen to it before its first commit; it is open and has bytes, mode, owner and an attribute. */
static void newborn_meets(struct prop_world *w, enum fate fate, const char *path, const char *to, struct draft *d, struct request *q, uint64_t ino)
{
	static char xattr[60000];
	int want;

	if (fate == FATE_FORGOTTEN) {
		bool written = draft_is_written(d);

		draft_close(d);
		if (written)
			take_up_newborn(w, path);
		return;
	}
	if (fate == FATE_KILLED) {
		prop_check(w, !draft_rollback(d, q, "killed"));
		draft_close(d);
		prop_check(w, !engine_wait(w->e, q->seq, JOURNAL_DURABLE));
		return;
	}
	if (fate == FATE_RENAMED) /* its first commit */
		prop_expect(w, fixture_rename(w->e, path, to, 0), fs_model_rename(w->m, path, to, 0));
	if (fate == FATE_LINKED) { /* likewise */
		want = fs_model_link(w->m, path, to);
		prop_expect(w, fixture_link(w->e, path, to), want);
	}
	if (fate == FATE_LARGE_XATTR)
		prop_check(w, !engine_setxattr(w->e, q, ino, "user.large", xattr, sizeof(xattr), 0));
	prop_expect(w, prop_commit_close(w, d, q, 0), 0);
}

void prop_op_newborn(struct prop_world *w)
{
	char path[FS_MODEL_PATH], to[FS_MODEL_PATH], dir[FS_MODEL_PATH], text[PROP_TEXT_MAX];
	struct change c = {.type = CHANGE_ATTR, .attr_mask = ATTR_MODE | ATTR_UID, .mode = 0604, .uid = 77};
	enum fate fate = (enum fate)rng_below(&w->rng, FATE_COUNT);
	struct request q;
	struct tree_attr attr;
	struct draft *d;
	size_t n;
	int r;

	prop_random_path(w, path);
	prop_some_path(w, to);
	prop_parent_of(path, dir);
	n = prop_random_text(w, path, text);
	snprintf(w->what, sizeof(w->what), "newborn %s, fate %d, %s", path, fate, to);
	fixture_request(&q);
	r = engine_create(w->e, &q, fixture_ino(w->e, dir), strrchr(path, '/') + 1, 0600, &attr);
	prop_expect(w, r, fs_model_check_new(w->m, path));
	if (r)
		return;
	c.ino = attr.ino;
	prop_check(w, !draft_open(w->e, c.ino, DRAFT_WHOLE, &q.actor, &d));
	prop_check(w, !draft_write(d, &q.actor, 0, text, n));
	prop_check(w, !engine_setattr(w->e, &q, c.ino, &c, &attr));
	prop_check(w, !engine_setxattr(w->e, &q, c.ino, "user.0", "born", 4, 0));
	prop_check(w, engine_create(w->e, &q, fixture_ino(w->e, dir), strrchr(path, '/') + 1, 0600, &attr) == -EEXIST);
	if (fate > FATE_KILLED) {
		prop_check(w, !fs_model_make(w->m, path, S_IFREG | 0604, NULL));
		fs_model_set(fs_model_file(w->m, path), text, n);
		fs_model_file(w->m, path)->uid = 77;
		(void)prop_model_xattr(fs_model_file(w->m, path), 0, "born", 0);
	}
	newborn_meets(w, fate, path, to, d, &q, c.ino);
}

/* An existing file is open for writing while its name moves, or goes. */
void prop_op_open_while(struct prop_world *w)
{
	char path[FS_MODEL_PATH], to[FS_MODEL_PATH];
	struct request q;
	struct draft *d;
	bool moves = rng_coin(&w->rng);
	uint32_t file;
	int want;

	prop_some_path(w, path);
	prop_random_path(w, to);
	prop_say(w, moves ? "rename while open" : "unlink while open", path, to);
	if (!prop_is_regular(w, path) || prop_is_ruled(w, path) || fs_model_is_json(to))
		return;
	file = fs_model_find(w->m, path)->file;
	fixture_request(&q);
	prop_check(w, !draft_open(w->e, fixture_ino(w->e, path), DRAFT_WHOLE, &q.actor, &d));
	prop_check(w, !draft_write(d, &q.actor, 0, "#open while", 11));
	if (moves) {
		want = fs_model_rename(w->m, path, to, 0);
		prop_expect(w, fixture_rename(w->e, path, to, 0), want);
	} else {
		struct request other;

		fixture_request(&other);
		other.actor.pid++;
		prop_check(w, !fs_model_unlink(w->m, path));
		prop_check(w, !fixture_unlink(w->e, path));
	}
	if (fs_model_names(w->m, file)) /* published under whatever name the file has now */
		fs_model_set(&w->m->files[file], "#open while", 11);
	prop_expect(w, prop_commit_close(w, d, &q, 0), 0);
}

/* Two writers of one file. */
void prop_op_two_writers(struct prop_world *w)
{
	char path[FS_MODEL_PATH], a[PROP_TEXT_MAX], b[PROP_TEXT_MAX];
	enum draft_kind kind = (enum draft_kind)rng_below(&w->rng, 4);
	struct request q, q2;
	struct draft *one, *two;
	struct fs_file *f;
	size_t na, nb;

	prop_some_path(w, path);
	na = prop_random_text(w, path, a);
	nb = prop_random_text(w, path, b);
	snprintf(w->what, sizeof(w->what), "two writers of %s, kind %d", path, kind);
	if (!prop_is_regular(w, path) || prop_is_ruled(w, path) || !na || !nb)
		return;
	f = fs_model_file(w->m, path);
	fixture_request(&q);
	fixture_request(&q2);
	prop_check(w, !draft_open(w->e, fixture_ino(w->e, path), DRAFT_APPEND, &q.actor, &one));
	prop_check(w, !draft_write(one, &q.actor, 0, a, na));
	prop_check(w, !draft_open(w->e, fixture_ino(w->e, path), kind, &q2.actor, &two));
	prop_check(w, !draft_write(two, &q2.actor, 0, b, nb));
	prop_expect(w, prop_commit_close(w, two, &q2, 0), 0);
	if (kind == DRAFT_WHOLE)
		fs_model_set(f, b, nb);
	else
		fs_model_write(f, kind == DRAFT_APPEND ? fs_model_size(f) : 0, b, nb);
	prop_expect(w, prop_commit_close(w, one, &q, 0), 0);
	fs_model_write(f, fs_model_size(f), a, na);
}

void prop_check_no_drafts(struct prop_world *w)
{
	struct draft_info *list;
	size_t count;

	prop_check(w, !draft_list(w->e, &list, &count));
	say_drafts(w, list, count);
	prop_check(w, count == 0);
	free(list);
}

uint64_t prop_leave_draft(struct prop_world *w, char path[FS_MODEL_PATH])
{
	struct draft_info *list;
	struct request q;
	struct draft *d;
	uint64_t id;
	size_t count;

	prop_some_path(w, path);
	if (!prop_is_regular(w, path) || prop_is_ruled(w, path))
		return 0;
	fixture_request(&q);
	prop_check(w, !draft_open(w->e, fixture_ino(w->e, path), DRAFT_WHOLE, &q.actor, &d));
	prop_check(w, !draft_write(d, &q.actor, 0, "#left open", 10));
	prop_check(w, !draft_list(w->e, &list, &count));
	prop_check(w, count == 1 && !list[0].recovered);
	id = list[0].id;
	draft_info_release(&list[0]);
	free(list);
	return id;
}

/* Afterwards its user publishes or discards it. */
void prop_take_up_draft(struct prop_world *w, const char *path)
{
	struct draft_info *list;
	struct request q;
	size_t count;
	bool publish = rng_coin(&w->rng);

	prop_check(w, !draft_list(w->e, &list, &count));
	say_drafts(w, list, count);
	prop_check(w, count == 1);
	prop_check(w, list[0].recovered && list[0].size == 10);
	fixture_request(&q);
	prop_check(w, !(publish ? draft_publish_recovered : draft_discard_recovered)(w->e, list[0].id, &q));
	prop_check(w, !engine_wait(w->e, q.seq, JOURNAL_DURABLE));
	prop_check(w, draft_publish_recovered(w->e, list[0].id, &q) == -ENOENT);
	if (publish && fs_model_file(w->m, path))
		fs_model_set(fs_model_file(w->m, path), "#left open", 10);
	draft_info_release(&list[0]);
	free(list);
}

/* The arena is never synced: after power loss a draft may be there again whose end is not (as soon as no index snapshot knows better). Its
 * user throws it away. Not @keep. */
void prop_discard_ghosts(struct prop_world *w, uint64_t keep)
{
	struct draft_info *list;
	struct request q;
	size_t count;

	prop_check(w, !draft_list(w->e, &list, &count));
	say_drafts(w, list, count);
	prop_check(w, w->lost_power || count == (keep != 0));
	for (size_t i = 0; i < count; i++) {
		fixture_request(&q);
		prop_check(w, list[i].id == keep || !draft_discard_recovered(w->e, list[i].id, &q));
		draft_info_release(&list[i]);
	}
	free(list);
	prop_check(w, !engine_sync(w->e));
}
