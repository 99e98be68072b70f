/* SPDX-License-Identifier: MIT
 *
 * Writing into a draft (reading through it is draft_read.c). Bytes go to the store before a write is answered: short ones to the draft arena, long
 * ones as blocks of the content store, which a later commit only has to refer to.
 *
 * The map of a draft lies over its base: what it does not cover shows the base (WHOLE has none). Zeros that a truncation or punch made are
 * extents at EXTENT_ZERO, so that the base does not shine through.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "draft_internal.h"

#define RECENT_BYTES_MAX (16u << 10)

/* The first bytes of a draft are preceded by a description, so that whoever finds them after a crash knows what they are. */
static int draft_begin(struct draft *d)
{
	struct engine *e = d->e;
	struct buf head = BUF_INIT, path = BUF_INIT;
	struct arena_record r = {.type = ARENA_DRAFT_BEGIN};
	uint64_t base_seq;
	int err;

	if (d->id)
		return 0;
	engine_lock(e);
	r.draft_id = e->next_draft_id++;
	d->id = r.draft_id; /* from here on an index snapshot lists it */
	err = tree_path_at(e->tree, d->node, SEQ_LIVE, &path);
	base_seq = d->node->flags & NODE_NEWBORN ? 0 : d->node->newest->born;
	buf_put_u8(&head, 1);
	buf_put_u8(&head, (uint8_t)d->kind);
	buf_put_le64(&head, d->ino);
	buf_put_le64(&head, base_seq);
	buf_put_le64(&head, (uint64_t)d->started_ns);
	buf_put_le32(&head, d->node->newest->attrs->mode);
	buf_put_le32(&head, d->node->newest->attrs->uid);
	buf_put_le32(&head, d->node->newest->attrs->gid);
	engine_unlock(e);
	buf_put_le32(&head, d->actor.pid);
	buf_put_le32(&head, d->actor.uid);
	buf_append(&head, d->actor.agent, sizeof(d->actor.agent));
	buf_append(&head, d->actor.comm, sizeof(d->actor.comm));
	buf_append(&head, path.data ? path.data : "", path.len + 1);
	if (err == -ENOMEM || head.error)
		err = -ENOMEM;
	else
		err = 0;
	r.data = head.data;
	r.len = head.len;
	if (!err)
		err = arena_draft_append(e->arena, &r, NULL);
	if (err)
		d->id = 0;
	buf_release(&head);
	buf_release(&path);
	return err;
}

void draft_recent_forget(struct draft *d)
{
	free(d->recent);
	d->recent = NULL;
}

static void recent_keep(struct draft *d, uint64_t offset, const void *data, size_t len)
{
	draft_recent_forget(d);
	if (len > RECENT_BYTES_MAX || !(d->recent = malloc(len)))
		return;
	memcpy(d->recent, data, len);
	d->recent_offset = offset;
	d->recent_len = len;
}

static void draft_touch(struct draft *d, const struct actor *actor)
{
	if (actor->pid) {
		d->actor = *actor;
		d->writer_pid = actor->pid;
	}
	d->mtime_ns = env_time_ns(d->e->env);
	d->dirty = d->written = true;
	d->refused = false;
	d->keep_mtime = false;
}

/* Store the bytes; fill one extent a block (at most @max). */
static int draft_store(struct draft *d, uint64_t offset, const char *data, size_t len, struct extent *out, size_t *ret_count)
{
	struct arena *a = d->e->arena;
	size_t count = 0;

	while (len) {
		size_t n = MIN(len, (size_t)ARENA_RECORD_MAX);
		struct extent *x = &out[count++];
		struct arena_record r = {.draft_id = d->id, .type = ARENA_DRAFT_WRITE, .file_offset = offset, .data = data, .len = n};
		int err;

		*x = (struct extent){.file_offset = offset, .len = n, .raw_len = (uint32_t)n, .stored_len = (uint32_t)n};
		if (n >= DRAFT_BLOCK_MIN) {
			uint8_t ref[16];

			err = arena_content_append(a, d->id, data, n, &x->position);
			put_le64(ref, x->position);
			put_le64(ref + 8, n);
			r.type = ARENA_DRAFT_REF;
			r.data = ref;
			r.len = sizeof(ref);
			if (!err)
				err = arena_draft_append(a, &r, NULL);
		} else {
			err = arena_draft_append(a, &r, &x->position);
		}
		if (err)
			return err;
		offset += n;
		data += n;
		len -= n;
	}
	*ret_count = count;
	return 0;
}

int draft_split(struct draft *d, struct draft_plan *p)
{
	size_t left = (size_t)(d->size - p->append_len), count = 0;
	cleanup_free char *data = malloc(left + 1);
	cleanup_free struct extent *stored = calloc(left / ARENA_RECORD_MAX + 1, sizeof(*stored));
	uint64_t whole = d->id;
	int r = data && stored ? extent_map_reserve(&p->rest, left / ARENA_RECORD_MAX + 1) : -ENOMEM;

	if (!r)
		r = draft_view_read(d, NULL, p->append_len, data, left);
	if (r)
		return r;
	d->split_id = p->rest_id = whole; /* first: an index snapshot must find it in one of both */
	d->id = 0;
	r = draft_begin(d);
	if (!r)
		r = draft_store(d, 0, data, left, stored, &count);
	for (size_t i = 0; i < count; i++)
		extent_map_insert(&p->rest, &stored[i]);
	return r;
}

void draft_unsplit(struct draft *d, struct draft_plan *p)
{
	if (!p->rest_id)
		return;
	if (d->id)
		draft_end(d->e, d->id);
	d->id = p->rest_id;
	d->split_id = p->rest_id = 0;
}

/* Hash along while a large file is written in order; otherwise the commit reads it once more. */
static void draft_hash(struct draft *d, uint64_t offset, const void *data, size_t len)
{
	if (d->kind != DRAFT_WHOLE)
		return;
	if (!d->sha && offset == 0 && d->size == 0 && len >= DRAFT_BLOCK_MIN) {
		d->sha = sha256_new();
		d->sha_next = 0;
	}
	if (!d->sha)
		return;
	if (d->sha_next != offset) {
		sha256_free(d->sha);
		d->sha = NULL;
		return;
	}
	sha256_update(d->sha, data, len);
	d->sha_next += len;
}

int draft_write(struct draft *d, const struct actor *actor, uint64_t offset, const void *data, size_t len)
{
	struct extent stored[16];
	size_t count = 0;
	int r;

	if (!len)
		return 0;
	if (len > ARENA_RECORD_MAX * (ARRAY_SIZE(stored) - 1))
		return -EINVAL;
	pthread_mutex_lock(&d->lock);
	if (d->append)
		offset = draft_size_locked(d);
	r = journal_error(d->e->journal) ? -EROFS : offset > FILE_BYTES_MAX - len ? -EFBIG : draft_begin(d);
	if (d->kind == DRAFT_APPEND)
		offset = d->size;
	if (!r)
		r = extent_map_reserve(&d->map, len / ARENA_RECORD_MAX + 1);
	if (!r)
		r = draft_store(d, offset, data, len, stored, &count);
	if (!r) {
		draft_hash(d, offset, data, len);
		for (size_t i = 0; i < count; i++)
			extent_map_insert(&d->map, &stored[i]);
		d->size = MAX(d->size, offset + len);
		draft_touch(d, actor);
		recent_keep(d, offset, data, len);
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

static int draft_note_truncate(struct draft *d, uint64_t size, uint64_t shift)
{
	uint8_t shifted[8];
	struct arena_record r = {.type = ARENA_DRAFT_TRUNCATE, .file_offset = size, .data = shifted, .len = sizeof(shifted)};
	int err = draft_begin(d);

	put_le64(shifted, shift);
	r.draft_id = d->id;
	return err ? err : arena_draft_append(d->e->arena, &r, NULL);
}

static void map_zero(struct draft *d, uint64_t offset, uint64_t len)
{
	struct extent zero = {.file_offset = offset, .len = len, .position = EXTENT_ZERO};

	extent_map_insert(&d->map, &zero);
}

/* ftruncate on an append handle: until the commit it is a patch of @base, the file as it is. */
static void append_to_patch(struct draft *d, const struct version *base)
{
	draft_recent_forget(d); /* its place is another one now */
	for (size_t i = 0; i < d->map.count; i++)
		d->map.items[i].file_offset += base->size;
	d->base = base;
	d->size += base->size;
	d->kind = DRAFT_PATCH;
}

int draft_truncate(struct draft *d, const struct actor *actor, uint64_t size)
{
	const struct version *below = NULL;
	uint64_t now;
	int r;

	if (size > FILE_BYTES_MAX)
		return -EFBIG;
	pthread_mutex_lock(&d->lock);
	r = journal_error(d->e->journal) ? -EROFS : draft_begin(d);
	if (!r)
		r = extent_map_reserve(&d->map, 2);
	if (!r && d->kind == DRAFT_APPEND)
		below = draft_newest(d);
	if (!r)
		r = draft_note_truncate(d, size, below ? below->size : 0);
	if (!r) {
		if (below)
			append_to_patch(d, below);
		now = draft_size_locked(d);
		if (size == 0 && d->kind != DRAFT_SHARED) {
			d->kind = DRAFT_WHOLE;
			d->map.count = 0;
			d->map.data_bytes = 0;
		} else if (size < now || d->kind != DRAFT_WHOLE) {
			map_zero(d, MIN(size, now), EXTENT_TO_END - MIN(size, now));
		}
		d->size = size;
		d->size_set = true;
		sha256_free(d->sha);
		d->sha = NULL;
		draft_recent_forget(d);
		draft_touch(d, actor);
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

int draft_punch(struct draft *d, const struct actor *actor, uint64_t offset, uint64_t len)
{
	uint64_t size;
	uint8_t ref[16];
	struct arena_record hole = {.type = ARENA_DRAFT_REF, .file_offset = offset, .data = ref, .len = sizeof(ref)};
	int r = 0;

	pthread_mutex_lock(&d->lock);
	size = draft_size_locked(d);
	if (d->kind == DRAFT_APPEND)
		r = -EPERM; /* as on a file that is append-only */
	else if (journal_error(d->e->journal))
		r = -EROFS;
	else if (offset < size && len)
		r = draft_begin(d);
	if (r || offset >= size || !len)
		goto out;
	len = MIN(len, size - offset);
	hole.draft_id = d->id;
	put_le64(ref, EXTENT_ZERO);
	put_le64(ref + 8, len);
	r = extent_map_reserve(&d->map, 2);
	if (!r)
		r = arena_draft_append(d->e->arena, &hole, NULL);
	if (!r) {
		map_zero(d, offset, len);
		d->size = MAX(d->size, offset + len);
		sha256_free(d->sha);
		d->sha = NULL;
		draft_recent_forget(d);
		draft_touch(d, actor);
	}
out:
	pthread_mutex_unlock(&d->lock);
	return r;
}
