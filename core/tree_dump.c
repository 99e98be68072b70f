/* SPDX-License-Identifier: MIT
 *
 * The tree as bytes: the index snapshot's payload. All fields little-endian, unaligned, no padding.
 * The file around it carries the checksum; a checksum does not make it trusted: see tree_load.c.
 *
 *   index    = header node* end
 *   header   = u32 magic "MTI1"  u32 format (1)  u64 seq  u64 next_ino  u32 next_order  u32 0
 *   node     = u64 ino (ascending; the root first)  u32 type (S_IFMT)  u32 versions (> 0)  u32 names
 *              [device: u64 rdev]  [symlink: u16 len, target]  version*  name*
 *   version  = u8 flags  u64 born  i64 mtime  [!CTIME_SAME: i64 ctime]  [!ATTRS_SAME: attrs]
 *              [SIZE64: u64 size, else u32]  [BLOCK: u64 position, u32 stored_len]
 *              [NEW_LOG: u32 appends_from]  [LOG: u32 log_count, extent*]                  oldest first
 *   attrs    = u32 permissions  u32 uid  u32 gid  u8 atime_set  [i64 atime]  u16 count  xattr*
 *   xattr    = u8 name_len  u32 value_len  name  value
 *   extent   = u64 file_offset  u64 len  u64 position  u32 raw_len  u32 stored_len  u32 skip
 *   name     = u64 parent  u64 born  u64 died (SEQ_NEVER: lives)  u32 order  u8 len  text   newest first
 *   end      = u64 0, and nothing after it
 *
 * A version's log_count counts from the beginning of its log; the extents are those that the version before it did not have
 * (all of them with NEW_LOG). ATTRS_SAME and LOG without NEW_LOG refer to the version before.
 *
 * A dump says what was at @seq: later versions and names are left out, later deaths are not told. What apply alters in
 * place (directory times, ctime of files that were linked) may be newer than @seq; replaying the suffix sets it again.
 * Frozen: the flags below. A reader refuses another magic or format.
 */
#include "tree_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "tree_format.h"

_Static_assert(sizeof(struct extent) >= TREE_DUMP_EXTENT_BYTES, "an extent is encoded whole");

struct put_xattr {
	struct buf *out;
	const struct attrs *attrs;
};

static int put_xattr(void *arg, const char *name, size_t len)
{
	struct put_xattr *p = arg;
	const char *value;
	size_t value_len;

	(void)tree_xattr_get(p->attrs, name, len, &value, &value_len); /* it was just listed */
	buf_put_u8(p->out, (uint8_t)len);
	buf_put_le32(p->out, (uint32_t)value_len);
	buf_append(p->out, name, len);
	buf_append(p->out, value, value_len);
	return 0;
}

static void put_attrs(struct buf *out, const struct attrs *a)
{
	struct put_xattr p = {out, a};

	buf_put_le32(out, a->mode & 07777);
	buf_put_le32(out, a->uid);
	buf_put_le32(out, a->gid);
	buf_put_u8(out, a->atime_set);
	if (a->atime_set)
		buf_put_le64(out, (uint64_t)a->atime_ns);
	buf_put_le16(out, (uint16_t)xattrs_count(a->xattrs));
	(void)tree_xattr_list(a, put_xattr, &p);
}

static void put_extent(struct buf *out, const struct extent *e)
{
	uint8_t b[TREE_DUMP_EXTENT_BYTES];

	put_le64(b, e->file_offset);
	put_le64(b + 8, e->len);
	put_le64(b + 16, e->position);
	put_le32(b + 24, e->raw_len);
	put_le32(b + 28, e->stored_len);
	put_le32(b + 32, e->skip);
	buf_append(out, b, sizeof(b));
}

static void put_log(struct buf *out, const struct version *v, uint32_t from, bool is_new)
{
	if (is_new)
		buf_put_le32(out, v->content->appends_from);
	buf_put_le32(out, v->log_count);
	for (uint32_t i = from; i < v->log_count; i++)
		put_extent(out, &v->content->log[i]);
}

static void put_version(struct buf *out, const struct version *v, const struct version *o)
{
	bool is_new = v->has_log && !(o && o->has_log && o->content == v->content);
	int64_t mtime_ns = version_mtime(v);
	uint8_t b[17], flags = 0;

	flags |= v->attrs->mtime_set ? TREE_DUMP_MTIME_SET : 0;
	flags |= v->ctime_ns == mtime_ns ? TREE_DUMP_CTIME_SAME : 0;
	flags |= o && tree_attrs_same(o->attrs, v->attrs) ? TREE_DUMP_ATTRS_SAME : 0;
	flags |= v->size > UINT32_MAX ? TREE_DUMP_SIZE64 : 0;
	flags |= !v->has_log && v->position ? TREE_DUMP_BLOCK : 0;
	flags |= v->has_log ? TREE_DUMP_LOG : 0;
	flags |= is_new ? TREE_DUMP_NEW_LOG : 0;
	b[0] = flags;
	put_le64(b + 1, v->born);
	put_le64(b + 9, (uint64_t)mtime_ns);
	buf_append(out, b, sizeof(b));
	if (!(flags & TREE_DUMP_CTIME_SAME))
		buf_put_le64(out, (uint64_t)v->ctime_ns);
	if (!(flags & TREE_DUMP_ATTRS_SAME))
		put_attrs(out, v->attrs);
	if (flags & TREE_DUMP_SIZE64)
		buf_put_le64(out, v->size);
	else
		buf_put_le32(out, (uint32_t)v->size);
	if (flags & TREE_DUMP_BLOCK) {
		buf_put_le64(out, v->position);
		buf_put_le32(out, v->stored_len);
	}
	if (v->has_log)
		put_log(out, v, is_new ? 0 : o->log_count, is_new);
}

static uint32_t put_names(struct buf *out, const struct node *n, uint64_t seq)
{
	uint32_t count = 0;

	for (const struct dentry *d = n->names; d; d = d->names_next) {
		if (d->born > seq)
			continue;
		buf_put_le64(out, d->parent->ino);
		buf_put_le64(out, d->born);
		buf_put_le64(out, d->died > seq ? SEQ_NEVER : d->died);
		buf_put_le32(out, d->order);
		buf_put_u8(out, (uint8_t)d->name->len);
		buf_append(out, d->name->text, d->name->len);
		count++;
	}
	return count;
}

/* @list: memory for the chain of versions turned round, kept between nodes. */
static int put_node(struct buf *out, const struct node *n, uint64_t seq, const struct version ***list, size_t *capacity)
{
	const struct version *v = tree_version_at(n, seq);
	size_t count = v ? (size_t)v->depth + 1 : 0, names_at = out->len + 16;
	mode_t type;
	int r = array_reserve(list, capacity, count, sizeof(**list));

	if (r || !count)
		return r;
	type = v->attrs->mode & S_IFMT;
	for (size_t i = count; i-- > 0; v = v->older)
		(*list)[i] = v;
	buf_put_le64(out, n->ino);
	buf_put_le32(out, type);
	buf_put_le32(out, (uint32_t)count);
	buf_put_le32(out, 0); /* names: filled in below */
	if (type == S_IFCHR || type == S_IFBLK) {
		buf_put_le64(out, n->rdev);
	} else if (type == S_IFLNK) {
		buf_put_le16(out, (uint16_t)strlen(n->symlink));
		buf_append_str(out, n->symlink);
	}
	for (size_t i = 0; i < count; i++)
		put_version(out, (*list)[i], i ? (*list)[i - 1] : NULL);

	uint32_t names = put_names(out, n, seq);

	if (!out->error)
		put_le32(out->data + names_at, names);
	return 1;
}

static void put_header(const struct tree *t, uint64_t seq, struct buf *out)
{
	buf_put_le32(out, TREE_DUMP_MAGIC);
	buf_put_le32(out, TREE_DUMP_FORMAT);
	buf_put_le64(out, seq);
	buf_put_le64(out, t->next_ino);
	buf_put_le32(out, t->next_order);
	buf_put_le32(out, 0);
}

int tree_dump(const struct tree *t, uint64_t seq, uint64_t *cursor, size_t max, struct buf *out)
{
	const struct version **list = NULL;
	size_t capacity = 0;
	struct node *n = NULL;
	int r = 0;

	if (!*cursor)
		put_header(t, seq, out);
	for (size_t i = 0; i < max && r >= 0 && !out->error; i++) {
		n = tree_node_next(t, MAX(*cursor, (uint64_t)TREE_ROOT_INO));
		if (!n)
			break;
		r = put_node(out, n, seq, &list, &capacity);
		*cursor = n->ino + 1;
	}
	free(list);
	if (r < 0 || out->error)
		return -ENOMEM;
	if (n || !max)
		return 1;
	buf_put_le64(out, 0);
	return out->error ? -ENOMEM : 0;
}
