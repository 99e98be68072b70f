/* SPDX-License-Identifier: MIT
 *
 * See tree_compare.h.
 */
#include "tree_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmocka_all.h"
#include "util.h"

const char *const tree_compare_names[TREE_COMPARE_NAMES] = {"a", "b", "c", "d", "file", "tmp"};

static void compare_content(const struct version *v, const struct model_file *f)
{
	struct version_extents scratch = {0};
	uint64_t bytes[MODEL_SIZE] = {0}, at = 0, covered;
	struct extent out[2];

	while (at < MODEL_SIZE) {
		ssize_t n = tree_extents(v, &scratch, at, MODEL_SIZE - at, out, ARRAY_SIZE(out), &covered);

		assert_true(n >= 0);
		assert_true(covered > at && covered <= MODEL_SIZE);
		for (ssize_t i = 0; i < n; i++) {
			assert_true(out[i].position && out[i].len && out[i].file_offset >= at);
			assert_true(out[i].file_offset + out[i].len <= MIN(covered, v->size));
			for (uint64_t k = 0; k < out[i].len; k++)
				bytes[out[i].file_offset + k] = out[i].position * 1000 + out[i].skip + k;
		}
		at = covered;
	}
	extent_map_release(&scratch.map);
	assert_memory_equal(bytes, f->bytes, sizeof(bytes));
}

static int count_name(void *arg, const char *name, size_t len)
{
	(void)name;
	(void)len;
	++*(uint32_t *)arg;
	return 0;
}

static void compare_xattrs(const struct attrs *a, const struct model_file *f)
{
	uint32_t count = 0;

	assert_int_equal(tree_xattr_list(a, count_name, &count), 0);
	assert_int_equal(count, f->xattr_count);
	for (uint32_t i = 0; i < f->xattr_count; i++) {
		const char *value;
		size_t len;

		assert_int_equal(tree_xattr_get(a, f->xattrs[i].name, strlen(f->xattrs[i].name), &value, &len), 0);
		assert_int_equal(len, f->xattrs[i].value_len);
		assert_memory_equal(value, f->xattrs[i].value, len);
	}
}

/* @exact: the live view of the tree that saw everything, where also what is altered in place must be right. */
static void compare_file(struct tree *t, struct model_state *m, const struct model_file *f, uint64_t seq, int64_t time, bool exact)
{
	struct node *n = tree_node(t, f->ino);
	struct tree_attr a;
	bool dir = S_ISDIR(f->mode);
	uint32_t links = model_nlink(m, f->ino);

	assert_non_null(n);
	assert_int_equal(tree_attr_at(t, n, seq, seq == SEQ_LIVE ? INT64_MAX : time, &a), 0);
	assert_int_equal(a.ino, f->ino);
	assert_int_equal(a.mode, f->mode);
	assert_int_equal(a.uid, f->uid);
	assert_int_equal(a.gid, f->gid);
	assert_int_equal(a.rdev, f->rdev);
	assert_int_equal(a.size, f->size);
	assert_int_equal(a.born, f->born);
	assert_int_equal(a.nlink, dir && seq != SEQ_LIVE ? 1 : links);
	if (seq == SEQ_LIVE)
		assert_int_equal(n->nlink, links);
	if (exact || !dir) {
		assert_int_equal(a.mtime_ns, f->mtime);
		assert_int_equal(a.atime_ns, f->atime_set ? f->atime : f->mtime);
	} else if (seq != SEQ_LIVE) {
		assert_true(a.mtime_ns <= time && a.ctime_ns <= time);
	}
	if (exact)
		assert_int_equal(a.ctime_ns, f->ctime);
	assert_int_equal(tree_is_linked(t, n, seq), links > 0);
	assert_int_equal(tree_name_at(n, seq) != NULL, f->ino != 1 && links > 0);
	compare_xattrs(tree_version_at(n, seq)->attrs, f);
	if (S_ISREG(f->mode))
		compare_content(tree_version_at(n, seq), f);
	if (S_ISLNK(f->mode))
		assert_string_equal(n->symlink, f->target);
}

static void compare_dir(struct tree *t, struct model_state *m, uint64_t ino, uint64_t seq)
{
	struct node *dir = tree_node(t, ino);
	struct dentry **list;
	size_t count, at = 0;

	assert_int_equal(tree_list(t, dir, seq, &list, &count), 0);
	for (uint32_t i = 0; i < m->entry_count; i++) {
		struct model_entry *e = &m->entries[i];
		char path[4096];
		struct buf buf = BUF_INIT;

		if (e->parent != ino)
			continue;
		assert_true(at < count);
		assert_string_equal(list[at]->name->text, e->name);
		assert_int_equal(list[at]->node->ino, e->ino);
		assert_ptr_equal(tree_lookup(t, dir, e->name, strlen(e->name), seq), list[at]);
		if (model_path(m, e, path, sizeof(path))) {
			assert_int_equal(tree_dentry_path(t, list[at], seq, &buf), 0);
			assert_string_equal(buf.data, path);
			assert_ptr_equal(tree_resolve(t, path, seq), list[at]->node);
		} else {
			assert_int_equal(tree_dentry_path(t, list[at], seq, &buf), -ENOENT);
		}
		buf_release(&buf);
		at++;
	}
	assert_int_equal(at, count);
	free(list);
	for (size_t i = 0; i < ARRAY_SIZE(tree_compare_names); i++)
		if (!model_entry(m, ino, tree_compare_names[i], strlen(tree_compare_names[i])))
			assert_null(tree_lookup(t, dir, tree_compare_names[i], strlen(tree_compare_names[i]), seq));
}

void tree_compare_view(struct tree *t, struct model_state *m, uint64_t seq, bool exact)
{
	for (uint32_t i = 0; i < m->file_count; i++) {
		compare_file(t, m, &m->files[i], seq, m->time, exact);
		if (S_ISDIR(m->files[i].mode))
			compare_dir(t, m, m->files[i].ino, seq);
	}
}

void tree_compare_unborn(struct tree *t, struct model_state *m, uint64_t seq)
{
	for (uint64_t ino = 1; ino < tree_next_ino(t); ino++) {
		struct node *n = tree_node(t, ino);

		if (n && !model_file(m, ino)) {
			assert_null(tree_version_at(n, seq));
			assert_null(tree_name_at(n, seq));
		}
	}
}

void tree_compare_stats(struct tree *t, struct model_state *m)
{
	struct tree_stats s;
	uint64_t dirs = 0, files = 0, bytes = 0;

	for (uint32_t i = 0; i < m->file_count; i++)
		if (model_nlink(m, m->files[i].ino)) {
			*(S_ISDIR(m->files[i].mode) ? &dirs : &files) += 1;
			bytes += S_ISREG(m->files[i].mode) ? m->files[i].size : 0;
		}
	tree_get_stats(t, &s);
	assert_int_equal(s.live_dirs, dirs);
	assert_int_equal(s.live_files, files);
	assert_int_equal(s.live_bytes, bytes);
}
