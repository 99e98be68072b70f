/* SPDX-License-Identifier: MIT
 *
 * cache/checksums/SHA256SUMS: one `HASH  PATH` line for each regular file of the tree, as sha256sum(1) writes and reads them: a name with
 * newline, carriage return or backslash has these escaped and a backslash before its hash. Virtual files are not in it.
 *
 * It shows one moment: the versions of view(newest transaction) are taken under one hold of the engine's lock, hashed after it; each
 * version's hash is remembered by the engine. A file that is damaged in the store has zeros for its hash. Its size follows from the paths alone, so that stat(2) hashes nothing.
 */
#include "vfile_rows.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct sum {
	struct node *node;
	const struct version *version;
	char *path;
};

struct sums {
	struct sum *items;
	size_t count, capacity;
};

static void sums_release(struct sums *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->items[i].path);
	free(s->items);
}

/* The newest moment that no newborn is part of. Lock held. */
static uint64_t moment(struct fs *fs)
{
	return engine_shown_seq(fs->engine);
}

static int walk(struct fs *fs, const struct node *dir, uint64_t seq, struct buf *path, struct sums *s);

static int walk_entry(struct fs *fs, const struct dentry *d, uint64_t seq, struct buf *path, struct sums *s)
{
	const struct version *v = tree_version_at(d->node, seq);
	size_t len = path->len;
	int r = 0;

	if (!v)
		return 0;
	buf_append_str(path, len ? "/" : "");
	buf_append(path, d->name->text, d->name->len);
	if (path->error)
		return path->error;
	if (S_ISDIR(v->attrs->mode)) {
		r = walk(fs, d->node, seq, path, s);
	} else if (S_ISREG(v->attrs->mode)) {
		r = array_reserve(&s->items, &s->capacity, s->count + 1, sizeof(*s->items));
		if (!r) {
			s->items[s->count] = (struct sum){d->node, v, strdup(path->data)};
			r = s->items[s->count++].path ? 0 : -ENOMEM;
		}
	}
	path->len = len;
	path->data[len] = '\0';
	return r;
}

/* Paths that are too long to be opened (made by cd and mkdir) are left out; so the recursion is bounded. */
static int walk(struct fs *fs, const struct node *dir, uint64_t seq, struct buf *path, struct sums *s)
{
	struct dentry **entries = NULL;
	size_t count = 0;
	int r = 0;

	if (path->len >= PATH_MAX)
		return 0;
	r = tree_list(engine_tree(fs->engine), dir, seq, &entries, &count);
	for (size_t i = 0; !r && i < count; i++)
		r = walk_entry(fs, entries[i], seq, path, s);
	free(entries);
	return r;
}

static int sums_take(struct fs *fs, struct sums *s)
{
	cleanup_buf struct buf path = BUF_INIT;
	struct node *root;
	int r;

	engine_lock(fs->engine);
	root = tree_node(engine_tree(fs->engine), TREE_ROOT_INO);
	r = root ? walk(fs, root, moment(fs), &path, s) : -EIO;
	engine_unlock(fs->engine);
	return r;
}

static void put_name(struct buf *out, const char *path)
{
	for (; *path; path++)
		switch (*path) {
		case '\n':
			buf_append_str(out, "\\n");
			break;
		case '\r':
			buf_append_str(out, "\\r");
			break;
		case '\\':
			buf_append_str(out, "\\\\");
			break;
		default:
			buf_append(out, path, 1);
		}
}

static void put_line(struct buf *out, const char *hex, const char *path)
{
	if (!path[strcspn(path, "\n\r\\")]) {
		buf_printf(out, "%s  %s\n", hex, path);
		return;
	}
	buf_printf(out, "\\%s  ", hex);
	put_name(out, path);
	buf_append_str(out, "\n");
}

int sha256sums_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	struct sums s = {0};
	int r = sums_take(fs, &s);

	(void)v;
	for (size_t i = 0; !r && i < s.count; i++) {
		char hex[SHA256_HEX_BYTES];
		struct sha256 sha;

		r = engine_content_sha(fs->engine, s.items[i].node, s.items[i].version, &sha);
		if (r == -EIO) { /* one that nothing has: who checks the file fails, by the damage itself, and goes on */
			sha = (struct sha256){0};
			r = 0;
		}
		if (r)
			break;
		sha256_hex(&sha, hex);
		put_line(out, hex, s.items[i].path);
	}
	sums_release(&s);
	return r;
}

static uint64_t line_bytes(const char *path)
{
	uint64_t bytes = SHA256_HEX_BYTES - 1 + 2 + 1, escaped = 0;

	for (; *path; path++, bytes++)
		escaped += *path == '\n' || *path == '\r' || *path == '\\';
	return bytes + escaped + (escaped != 0);
}

int sha256sums_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes)
{
	struct sums s = {0};
	uint64_t bytes = 0;
	int r = sums_take(fs, &s);

	(void)v;
	for (size_t i = 0; !r && i < s.count; i++)
		bytes += line_bytes(s.items[i].path);
	sums_release(&s);
	if (!r)
		*ret_bytes = bytes;
	return r;
}

int64_t head_time(struct fs *fs, const struct vnode *v)
{
	int64_t time_ns;

	(void)v;
	engine_lock(fs->engine);
	time_ns = engine_seq_time(fs->engine, moment(fs));
	engine_unlock(fs->engine);
	return time_ns;
}
