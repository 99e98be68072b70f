/* SPDX-License-Identifier: MIT
 *
 * See prop_world.h: operations on names, content and attributes. Each does the same to both and compares the answers.
 */
#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "prop_world.h"

#define LARGE_MAX 420000

/* What opening for writing answers; makes the file in the model. */
static int model_open(struct prop_world *w, const char *path)
{
	struct fs_file *f = fs_model_file(w->m, path);

	if (f)
		return S_ISREG(f->mode) ? 0 : -ENOENT;
	return fs_model_make(w->m, path, S_IFREG | 0644, NULL);
}

static void op_save(struct prop_world *w)
{
	char path[FS_MODEL_PATH], text[PROP_TEXT_MAX];
	size_t n;
	int want;

	prop_random_path(w, path);
	n = prop_random_text(w, path, text);
	prop_say(w, "save", path, n ? "text" : "empty");
	want = model_open(w, path);
	if (!want && fs_model_refuses(w->m, path, text, n))
		want = -EBADMSG;
	if (!want)
		fs_model_set(fs_model_file(w->m, path), text, n);
	prop_expect(w, fixture_save(w->e, path, text, n), want);
}

static char *large(struct prop_world *w, size_t n)
{
	char *data = malloc(n);
	bool dense = rng_coin(&w->rng);

	assert_non_null(data);
	for (size_t i = 0; i < n; i++)
		data[i] = dense ? (char)rng_next(&w->rng) : (char)('a' + i % 7);
	data[0] = '#';
	return data;
}

static void op_save_large(struct prop_world *w)
{
	char path[FS_MODEL_PATH];
	size_t n = 1 + (size_t)rng_below(&w->rng, LARGE_MAX);
	char *data = large(w, n);
	int want;

	prop_random_path(w, path);
	prop_say(w, "save large", path, "");
	if (!prop_is_ruled(w, path)) {
		want = model_open(w, path);
		if (!want)
			fs_model_set(fs_model_file(w->m, path), data, n);
		prop_expect(w, fixture_save(w->e, path, data, n), want);
	}
	free(data);
}

static void op_append(struct prop_world *w)
{
	char path[FS_MODEL_PATH], text[PROP_TEXT_MAX];
	char *data = NULL;
	size_t n;
	int want;

	prop_some_path(w, path);
	n = prop_random_text(w, path, text);
	if (rng_below(&w->rng, 16) == 0)
		data = large(w, n = 1 + (size_t)rng_below(&w->rng, LARGE_MAX));
	prop_say(w, "append", path, data ? "large" : n ? "text" : "nothing");
	if (!prop_is_ruled(w, path) && (!fs_model_file(w->m, path) || fs_model_size(fs_model_file(w->m, path)) < 2 * LARGE_MAX)) {
		want = model_open(w, path);
		if (!want && n)
			fs_model_write(fs_model_file(w->m, path), fs_model_size(fs_model_file(w->m, path)), data ? data : text, n);
		prop_expect(w, fixture_append(w->e, path, data ? data : text, n), want);
	}
	free(data);
}

static void op_patch(struct prop_world *w)
{
	char path[FS_MODEL_PATH], text[PROP_TEXT_MAX];
	struct fs_file *f;
	size_t n, at;
	int want;

	prop_some_path(w, path);
	n = prop_random_text(w, path, text);
	f = fs_model_file(w->m, path);
	at = (size_t)rng_below(&w->rng, (f ? fs_model_size(f) : 0) + 1 + (rng_below(&w->rng, 4) ? 0 : 100000));
	prop_say(w, "patch", path, "");
	if (prop_is_ruled(w, path) || !n)
		return;
	want = model_open(w, path);
	if (!want)
		fs_model_write(fs_model_file(w->m, path), at, text, n);
	prop_expect(w, fixture_patch(w->e, path, rng_coin(&w->rng), at, text, n), want);
}

static int resize_once(struct prop_world *w, struct draft *d, const struct actor *actor, struct fs_file *f)
{
	static const char text[] = "#resize";
	size_t size = fs_model_size(f), at = (size_t)rng_below(&w->rng, size + 1), len = 1 + (size_t)rng_below(&w->rng, 5000);

	prop_check(w, draft_size(d) == size);
	switch (rng_below(&w->rng, 5)) {
	case 0:
		fs_model_truncate(f, at);
		return draft_truncate(d, actor, at);
	case 1:
		fs_model_truncate(f, size + len);
		return draft_truncate(d, actor, size + len);
	case 2:
		fs_model_truncate(f, 0);
		return draft_truncate(d, actor, 0);
	case 3:
		if (at < size)
			fs_model_write(f, at, NULL, len < size - at ? len : size - at);
		return draft_punch(d, actor, at, len);
	default:
		fs_model_write(f, at, text, sizeof(text));
		return draft_write(d, actor, at, text, sizeof(text));
	}
}

/* Truncate, extend and punch, several in one draft. */
static void op_resize(struct prop_world *w)
{
	char path[FS_MODEL_PATH];
	struct fs_file *f;
	struct request q;
	struct draft *d;
	bool was_valid;
	int r = 0;

	prop_some_path(w, path);
	prop_say(w, "resize", path, "");
	if (prop_is_ruled(w, path) || !prop_is_regular(w, path))
		return;
	f = fs_model_file(w->m, path);
	was_valid = f->was_valid;
	fixture_request(&q);
	prop_check(w, !draft_open(w->e, fixture_ino(w->e, path), rng_coin(&w->rng) ? DRAFT_PATCH : DRAFT_SHARED, &q.actor, &d));
	for (uint64_t i = 1 + rng_below(&w->rng, 4); i && !r; i--)
		r = resize_once(w, d, &q.actor, f);
	if (!fs_model_size(f)) /* what it held in between was never published */
		f->was_valid = was_valid;
	prop_expect(w, prop_commit_close(w, d, &q, r), 0);
}

static void op_make(struct prop_world *w)
{
	char path[FS_MODEL_PATH], dir[FS_MODEL_PATH];
	struct request q;
	struct tree_attr attr;
	uint32_t mode = rng_coin(&w->rng) ? S_IFIFO | 0640 : S_IFREG | 0640;
	int r, want;

	prop_random_path(w, path);
	prop_parent_of(path, dir);
	switch (rng_below(&w->rng, 4)) {
	case 0:
		prop_say(w, "symlink", path, "");
		want = fs_model_make(w->m, path, S_IFLNK | 0777, "some/where");
		prop_expect(w, fixture_symlink(w->e, "some/where", path), want);
		break;
	case 1:
		prop_say(w, "mknod", path, "");
		want = fs_model_make(w->m, path, mode, NULL);
		fixture_request(&q);
		r = engine_mknod(w->e, &q, fixture_ino(w->e, dir), strrchr(path, '/') + 1, mode, 0, &attr);
		prop_expect(w, r ? r : engine_wait(w->e, q.seq, JOURNAL_DURABLE), want);
		break;
	default:
		prop_say(w, "mkdir", path, "");
		want = fs_model_make(w->m, path, S_IFDIR | 0755, NULL);
		prop_expect(w, fixture_mkdir(w->e, path), want);
		break;
	}
}

static void op_link(struct prop_world *w)
{
	char from[FS_MODEL_PATH], to[FS_MODEL_PATH];
	int want;

	prop_some_path(w, from);
	prop_random_path(w, to);
	prop_say(w, "link", from, to);
	want = fs_model_link(w->m, from, to);
	prop_expect(w, fixture_link(w->e, from, to), want);
}

static void op_remove(struct prop_world *w)
{
	char path[FS_MODEL_PATH];

	prop_some_path(w, path);
	if (rng_below(&w->rng, 3) == 0) {
		prop_say(w, "rmdir", path, "");
		prop_expect(w, fixture_rmdir(w->e, path), fs_model_rmdir(w->m, path));
	} else {
		prop_say(w, "unlink", path, "");
		prop_expect(w, fixture_unlink(w->e, path), fs_model_unlink(w->m, path));
	}
}

static void op_rename(struct prop_world *w)
{
	char from[FS_MODEL_PATH], to[FS_MODEL_PATH];
	uint64_t dice = rng_below(&w->rng, 8);
	uint32_t flags = dice == 0 ? 1 : dice < 3 ? 2 : 0;

	prop_some_path(w, from);
	prop_random_path(w, to);
	if (rng_coin(&w->rng))
		prop_some_path(w, to);
	if (rng_below(&w->rng, 12) == 0)
		snprintf(to, sizeof(to), "%.200s/d1", from);
	prop_say(w, flags == 2 ? "exchange" : flags ? "rename noreplace" : "rename", from, to);
	prop_expect(w, fixture_rename(w->e, from, to, flags), fs_model_rename(w->m, from, to, flags));
}

static void op_attr(struct prop_world *w)
{
	struct change c = {.type = CHANGE_ATTR};
	char path[FS_MODEL_PATH];
	struct request q;
	struct tree_attr attr;
	struct fs_file *f;

	prop_some_path(w, path);
	prop_say(w, "setattr", path, "");
	f = fs_model_file(w->m, path);
	if (f && S_ISLNK(f->mode))
		return;
	c.ino = fixture_ino(w->e, path);
	c.attr_mask = 1 + (uint32_t)rng_below(&w->rng, 7);
	c.mode = (uint32_t)rng_below(&w->rng, 0777);
	c.uid = 1000 + (uint32_t)rng_below(&w->rng, 3);
	c.gid = 2000 + (uint32_t)rng_below(&w->rng, 3);
	c.mtime_ns = (int64_t)(rng_next(&w->rng) / 8);
	if (rng_coin(&w->rng))
		c.attr_mask |= ATTR_MTIME;
	fixture_request(&q);
	prop_expect(w, engine_setattr(w->e, &q, c.ino, &c, &attr), f ? 0 : -ENOENT);
	prop_check(w, !engine_sync(w->e));
	if (!f)
		return;
	if (c.attr_mask & ATTR_MODE)
		f->mode = (f->mode & S_IFMT) | c.mode;
	if (c.attr_mask & ATTR_UID)
		f->uid = c.uid;
	if (c.attr_mask & ATTR_GID)
		f->gid = c.gid;
	if (c.attr_mask & ATTR_MTIME) {
		f->mtime_known = !S_ISDIR(f->mode); /* a directory's moves on with its entries */
		f->mtime_ns = c.mtime_ns;
	}
}

static void op_xattr(struct prop_world *w)
{
	char path[FS_MODEL_PATH], name[16], value[40];
	size_t i = (size_t)rng_below(&w->rng, FS_MODEL_XATTRS);
	uint64_t dice = rng_below(&w->rng, 6);
	const char *v = dice == 2 ? NULL : value;
	int flags = dice == 0 ? XATTR_CREATE : dice == 1 ? XATTR_REPLACE : 0;
	struct request q;

	prop_some_path(w, path);
	snprintf(name, sizeof(name), "user.%zu", i);
	snprintf(value, sizeof(value), "v%llu", (unsigned long long)rng_next(&w->rng));
	prop_say(w, v ? "setxattr" : "removexattr", path, name);
	fixture_request(&q);
	prop_expect(w, engine_setxattr(w->e, &q, fixture_ino(w->e, path), name, v, v ? strlen(v) : 0, flags),
		prop_model_xattr(fs_model_file(w->m, path), i, v, flags));
	prop_check(w, !engine_sync(w->e));
}

/* Things that are refused whatever the tree looks like. */
static void op_invalid(struct prop_world *w)
{
	static char long_name[300];
	struct request q;

	memset(long_name, 'l', sizeof(long_name) - 1);
	prop_say(w, "invalid", "", "");
	fixture_request(&q);
	prop_check(w, fixture_mkdir(w->e, "state/events/x") == -EROFS);
	prop_check(w, fixture_save_text(w->e, "status/other", "") == -EPERM);
	prop_check(w, fixture_mkdir(w->e, "state/sessions/bad name") == -EINVAL);
	prop_check(w, fixture_rmdir(w->e, "state/sessions") == -EPERM);
	prop_check(w, fixture_unlink(w->e, "status/config.yaml") == -EPERM);
	prop_check(w, fixture_rename(w->e, "state/sessions/s0", "state/sessions/s1", 0) == -EPERM);
	prop_check(w, fixture_link(w->e, "state/sessions/s0/session.yaml", "w/session") == -EPERM);
	prop_check(w, fixture_mkdir(w->e, long_name) == -ENAMETOOLONG);
	prop_check(w, fixture_rename(w->e, "w", long_name, 0) == -ENAMETOOLONG);
	prop_check(w, fixture_rename(w->e, "w", "v", 4) == -EINVAL);
	prop_check(w, fixture_save_text(w->e, "status/config.yaml", "nonsense: [") == -EBADMSG);
	prop_check(w, fixture_read(w->e, "w/nowhere/x", SEQ_LIVE, NULL, NULL) == -ENOENT);
	prop_check(w, engine_mknod(w->e, &q, TREE_ROOT_INO, "odd", S_IFDIR | 0700, 0, NULL) == -EINVAL);
}

static void (*const ops[])(struct prop_world *) = {
	op_save,
	op_save,
	op_save,
	op_save,
	op_save_large,
	op_append,
	op_append,
	op_patch,
	op_patch,
	op_resize,
	op_make,
	op_make,
	op_link,
	op_remove,
	op_rename,
	op_rename,
	op_attr,
	op_xattr,
	prop_op_newborn,
	prop_op_newborn,
	prop_op_open_while,
	prop_op_two_writers,
	op_invalid,
};

void prop_operation(struct prop_world *w)
{
	if (fs_model_count(w->m) < FS_MODEL_ENTRIES - 4)
		ops[rng_below(&w->rng, ARRAY_SIZE(ops))](w);
	else
		op_remove(w);
}
