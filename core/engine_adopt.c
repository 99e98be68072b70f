/* SPDX-License-Identifier: MIT
 *
 * Adoption: plain files from before milestonefs (or made while it was not mounted) become one transaction. When they are too many for one
 * frame they become several; each holds whole files, parents first, so any prefix of them is a sound tree and the caller, who keeps the
 * originals until all are durable, can simply do it again.
 *
 * Rules are not asked: what a user already has is taken as it is. An existing directory is kept; an existing file gets a new version.
 */
#include <errno.h>
#include <string.h>

#include <uthash.h>

#include "engine_internal.h"
#include "session.h"

#define ADOPT_INLINE_FILE_MAX (64u << 10)
#define ADOPT_INLINE_TOTAL_MAX (1u << 20)
#define ADOPT_RECORD_BYTES_MAX (1u << 20)

/** A directory, or a file with several names, made by the transaction that is being collected. */
struct new_entry {
	char *path;
	uint64_t ino;
	UT_hash_handle hh;
};

struct adopting {
	struct engine *e;
	struct request *q;
	struct txn t;
	struct new_entry *made;
	size_t record_bytes; /* rough size of changes */
	uint64_t files, files_total;
	char *chunk; /* ARENA_RECORD_MAX */
	uint64_t draft_id;
};

static void adopting_forget(struct adopting *a)
{
	while (a->made) {
		struct new_entry *d = a->made;

		HASH_DEL(a->made, d);
		free(d->path);
		free(d);
	}
}

static int adopting_remember(struct adopting *a, const char *path, uint64_t ino)
{
	struct new_entry *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->path = strdup(path);
	d->ino = ino;
	if (!d->path) {
		free(d);
		return -ENOMEM;
	}
	HASH_ADD_KEYPTR(hh, a->made, d->path, strlen(d->path), d);
	return 0;
}

/* Inode of a directory, or of something else that was remembered, that is in the tree or about to be; 0: there is none. */
static uint64_t adopting_find(struct adopting *a, const char *path, size_t len, bool dir)
{
	struct new_entry *d = NULL;
	cleanup_free char *copy = strndup(path, len);
	struct node *n;

	if (a->made)
		HASH_FIND(hh, a->made, path, len, d);
	if (d || !copy)
		return d ? d->ino : 0;
	engine_lock(a->e);
	n = tree_resolve(a->e->tree, copy, SEQ_LIVE);
	engine_unlock(a->e);
	return n && !S_ISDIR(n->newest->attrs->mode) == !dir ? n->ino : 0;
}

/* ---- content ---- */

static int adopt_block(struct adopting *a, bool in_frame, size_t len, struct extent *x)
{
	if (in_frame)
		return record_blocks_add(&a->t.blocks, a->chunk, len, x);
	x->raw_len = x->stored_len = (uint32_t)len;
	x->skip = 0;
	return arena_content_append(a->e->arena, a->draft_id, a->chunk, len, &x->position);
}

/* Fill the chunk from the source. */
static ssize_t adopt_fill(struct adopting *a, struct adopt_entry *entry)
{
	size_t have = 0;

	while (have < ARENA_RECORD_MAX) {
		ssize_t n = entry->read(entry, a->chunk + have, ARENA_RECORD_MAX - have);

		if (n < 0)
			return n;
		if (!n)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static bool is_zero(const char *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

/* Zeros become holes. */
static int adopt_content(struct adopting *a, struct adopt_entry *entry, uint64_t ino, bool replaces)
{
	struct extent *extents = NULL;
	size_t capacity = 0, count = 0;
	uint64_t size = 0;
	struct change *c;
	ssize_t n;
	int r = 0;

	while (!r && (n = adopt_fill(a, entry)) != 0) {
		bool in_frame = !size && n <= (ssize_t)ADOPT_INLINE_FILE_MAX && a->t.blocks.bytes.len < ADOPT_INLINE_TOTAL_MAX;
		bool hole = n > 0 && is_zero(a->chunk, (size_t)n);

		if (n < 0)
			r = (int)n;
		else if (!hole)
			r = array_reserve(&extents, &capacity, count + 1, sizeof(*extents));
		if (!r && !hole) {
			extents[count] = (struct extent){0};
			r = adopt_block(a, in_frame, (size_t)n, &extents[count]);
			extents[count].file_offset = size;
			extents[count++].len = (uint64_t)n;
		}
		size += !r ? (uint64_t)n : 0;
		if (n < (ssize_t)ARENA_RECORD_MAX)
			break; /* its end was seen */
	}
	if (!r && (size || replaces)) { /* the transaction owns the extents from here on */
		struct extent *owned = txn_alloc(&a->t, (count + 1) * sizeof(*extents));

		if (owned) {
			if (count)
				memcpy(owned, extents, count * sizeof(*extents));
			c = txn_add_change(&a->t);
			*c = (struct change){.type = CHANGE_CONTENT,
				.ino = ino,
				.content_flags = CONTENT_REPLACE | CONTENT_KEEP_MTIME,
				.size = size,
				.extents = owned,
				.extent_count = (uint32_t)count};
		}
		a->record_bytes += count * 64;
	}
	free(extents);
	return r ? r : a->t.error;
}

/* ---- entries ---- */

struct xattr_adder {
	struct adopting *a;
	uint64_t ino;
};

static int adopt_xattr(void *arg, const char *name, const char *value, size_t len)
{
	struct xattr_adder *x = arg;
	char *copy = txn_alloc(&x->a->t, len + 1);
	struct change *c;

	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, value, len);
	c = txn_add_change(&x->a->t);
	*c = (struct change){.type = CHANGE_XATTR,
		.ino = x->ino,
		.name = txn_strdup(&x->a->t, name),
		.name_len = (uint32_t)strlen(name),
		.value = copy,
		.value_len = (uint32_t)len};
	x->a->record_bytes += 64 + c->name_len + c->value_len;
	return x->a->t.error;
}

/* Its entries moved its time, which is put back. */
static int adopt_time(struct adopting *a, const struct adopt_entry *entry)
{
	uint64_t ino = adopting_find(a, entry->path, strlen(entry->path), true);
	struct change *c;

	if (!ino)
		return 0;
	c = txn_add_change(&a->t);
	*c = (struct change){.type = CHANGE_ATTR, .ino = ino, .attr_mask = ATTR_MTIME, .mtime_ns = entry->mtime_ns};
	a->record_bytes += 64;
	return a->t.error;
}

static int adopt_existing(struct adopting *a, struct adopt_entry *entry, struct node *n, bool *ret_done)
{
	*ret_done = true;
	if (S_ISDIR(entry->mode) && S_ISDIR(n->newest->attrs->mode))
		return 0;
	if (S_ISREG(entry->mode) && S_ISREG(n->newest->attrs->mode)) {
		a->files++;
		return adopt_content(a, entry, n->ino, true);
	}
	return reason_set(&a->q->reason, -EEXIST, "adopt", "%s cannot be taken over: something else has that name in the store", entry->path);
}

/* The change that makes the entry's name, and its inode unless it is a @link. */
static struct change *adopt_name(struct adopting *a, const struct adopt_entry *entry, uint64_t parent, uint64_t ino, bool link)
{
	const char *slash = strrchr(entry->path, '/');
	struct change *c = txn_add_change(&a->t);

	*c = (struct change){
		.type = link ? CHANGE_LINK : CHANGE_CREATE, .ino = ino, .parent = parent, .name = txn_strdup(&a->t, slash ? slash + 1 : entry->path)};
	c->name_len = c->name ? (uint32_t)strlen(c->name) : 0;
	a->record_bytes += 256 + c->name_len;
	return c;
}

/* What a new inode is. */
static int adopt_inode(struct adopting *a, struct adopt_entry *entry, struct change *c)
{
	uint64_t ino = c->ino;
	int r;

	c->mode = entry->mode;
	c->uid = entry->uid;
	c->gid = entry->gid;
	c->attr_mask = ATTR_MTIME;
	c->mtime_ns = entry->mtime_ns;
	if (S_ISLNK(entry->mode)) {
		c->value = txn_strdup(&a->t, entry->symlink);
		c->value_len = (uint32_t)strlen(entry->symlink);
		a->record_bytes += c->value_len;
	}
	r = entry->xattrs ? entry->xattrs(entry, adopt_xattr, &(struct xattr_adder){a, ino}) : a->t.error;
	if (!r)
		r = adopting_remember(a, entry->path, ino);
	if (S_ISDIR(entry->mode))
		return r;
	a->files++;
	return !r && S_ISREG(entry->mode) ? adopt_content(a, entry, ino, false) : r;
}

static int adopt_entry_add(struct adopting *a, struct adopt_entry *entry)
{
	const char *slash = strrchr(entry->path, '/');
	uint64_t parent = adopting_find(a, entry->path, slash ? (size_t)(slash - entry->path) : 0, true);
	uint64_t ino = entry->link_to ? adopting_find(a, entry->link_to, strlen(entry->link_to), false) : 0;
	bool link = ino, done = false;
	struct node *n;
	int r = 0;

	if (entry->filled)
		return adopt_time(a, entry);
	if (!parent)
		return reason_set(&a->q->reason, -ENOENT, "adopt", "%s: its directory is not there", entry->path);
	engine_lock(a->e);
	n = tree_resolve(a->e->tree, entry->path, SEQ_LIVE);
	if (!link)
		ino = n ? n->ino : tree_take_ino(a->e->tree);
	engine_unlock(a->e);
	if (n && link && n->ino == ino)
		return 0;
	if (n)
		r = adopt_existing(a, entry, n, &done);
	if (r || done)
		return r;
	if (!link)
		return adopt_inode(a, entry, adopt_name(a, entry, parent, ino, false));
	a->files++;
	(void)adopt_name(a, entry, parent, ino, true);
	return a->t.error;
}

/* ---- transactions ---- */

/* Only the last of several bears the name: who finds it after a crash knows that all are there. */
static int adopt_flush(struct adopting *a, bool last)
{
	int r = 0;

	a->t.operation = last ? OPERATION_ADOPT : OPERATION_CREATE;
	if (a->t.change_count || (last && a->files_total)) {
		r = a->t.error ? a->t.error : txn_reserve(&a->t, a->record_bytes);
		if (!r) {
			engine_lock(a->e);
			txn_add_event(&a->t, EVENT_FILES_ADOPTED, "");
			txn_event_more(&a->t, "\"files\":%llu", (unsigned long long)a->files);
			r = txn_stage(&a->t);
			engine_unlock(a->e);
		}
		if (!r)
			a->files_total += a->files;
		a->files = 0;
		a->record_bytes = 0;
	}
	txn_finish(&a->t);
	adopting_forget(a);
	txn_init(&a->t, a->e, a->q, OPERATION_ADOPT);
	return r;
}

int engine_adopt(struct engine *e, struct request *q, int (*next)(void *arg, struct adopt_entry *ret), void *arg, uint64_t *ret_files)
{
	struct adopting a = {.e = e, .q = q, .chunk = malloc(ARENA_RECORD_MAX)};
	struct adopt_entry entry = {0};
	int r = a.chunk ? 1 : -ENOMEM;

	q->seq = 0;
	engine_lock(e);
	a.draft_id = e->next_draft_id++;
	engine_unlock(e);
	txn_init(&a.t, e, q, OPERATION_ADOPT);
	while (r > 0 && (r = next(arg, &entry)) > 0) {
		int err = adopt_entry_add(&a, &entry);

		if (!err && a.record_bytes > ADOPT_RECORD_BYTES_MAX)
			err = adopt_flush(&a, false);
		r = err ? err : 1;
	}
	if (!r)
		r = adopt_flush(&a, true);
	txn_finish(&a.t);
	adopting_forget(&a);
	free(a.chunk);
	if (!r)
		r = sessions_complete(e, q); /* theirs are sessions like any other */
	if (!r)
		sessions_take_first(e, q);
	if (!r)
		*ret_files = a.files_total;
	return r;
}
