/* SPDX-License-Identifier: MIT
 *
 * The content store: blocks of content too large for a frame, written once, in files that only grow. An appender takes its range
 * under `lock` and writes it without. What was written since the last sync is remembered by file, so that the journal's own sync
 * finds the content its frames refer to on the disk before them.
 *
 * Invariant: a content file is appended to only in the life that made it, so bytes an acknowledged frame refers to are never overwritten.
 *
 * Failure: a failed write leaves a broken record, which costs its space and nothing else. A failed sync is for ever: what is on
 * the disk is unknown, and every later append and sync says -EIO.
 */
#include "arena_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static int rotate_content(struct arena *a)
{
	const struct file_header h = {
		.magic = FILE_MAGIC_CONTENT,
		.kind = POSITION_CONTENT,
		.number = a->content_number_last + 1,
	};
	int r;

	if (h.number > POSITION_FILE_MAX)
		return -ENOSPC;
	a->content_number_last = h.number; /* also after a failure: a rest may stand in the way */
	r = arena_file_make(a, a->content_fds, &h);
	if (r < 0)
		return r;
	a->content_number = h.number;
	a->content_end = a->content_allocated = FORMAT_BLOCK_BYTES;
	a->content_dir_dirty = true;
	a->content_files++;
	a->content_bytes += FORMAT_BLOCK_BYTES;
	return 0;
}

/* Under lock: have disk space up to @end of the current content file. */
static int content_allocate(struct arena *a, uint64_t end)
{
	const uint64_t from = a->content_allocated;
	uint64_t to = MIN(ALIGN_UP(end, ARENA_CONTENT_STEP_BYTES), ARENA_CONTENT_FILE_BYTES);
	struct env_file file;
	int r;

	if (end <= from)
		return 0;
	r = env_files_get(a->content_fds, a->content_number, &file);
	if (r < 0)
		return r;
	r = env_allocate(a->env, file.fd, from, to - from);
	if (r == -ENOSPC || r == -EDQUOT) {
		to = ALIGN_UP(end, FORMAT_BLOCK_BYTES);
		r = env_allocate(a->env, file.fd, from, to - from);
	}
	env_files_put(a->content_fds, &file);
	if (r == -EOPNOTSUPP || r == -EINVAL)
		r = 0; /* then the write will say whether there is room */
	if (!r)
		a->content_allocated = to;
	return r;
}

int arena_content_ready(struct arena *a, uint64_t bytes)
{
	int r = 0;

	if (!a->content_number || a->content_end + bytes > ARENA_CONTENT_FILE_BYTES)
		r = rotate_content(a);
	if (!r)
		r = content_allocate(a, a->content_end + bytes);
	return r < 0 ? arena_space_error(r) : 0;
}

static int content_take_range(struct arena *a, uint64_t bytes, uint32_t *ret_number, uint64_t *ret_offset)
{
	int r = arena_content_ready(a, bytes);

	if (r < 0)
		return r;
	*ret_number = a->content_number;
	*ret_offset = a->content_end;
	a->content_end += bytes;
	a->content_bytes += bytes;
	return 0;
}

/* Under lock: @number has bytes that are not synced. */
static void content_mark_dirty(struct arena *a, uint32_t number)
{
	for (size_t i = 0; i < a->dirty_count; i++)
		if (a->dirty[i] == number)
			return;
	assert(a->dirty_count < ARRAY_SIZE(a->dirty));
	a->dirty[a->dirty_count++] = number;
}

int arena_content_append(struct arena *a, uint64_t draft_id, const void *data, size_t len, uint64_t *ret_position)
{
	const struct arena_record r = {.draft_id = draft_id, .type = ARENA_CONTENT_BLOCK, .data = data, .len = len};
	cleanup_free uint8_t *record = NULL;
	uint64_t offset = 0;
	uint32_t number = 0;
	bool crowded;
	int e;

	if (a->read_only)
		return -EROFS;
	if (len > ARENA_RECORD_MAX)
		return -EINVAL;
	if (atomic_load(&a->content_error))
		return -EIO;
	record = malloc((size_t)FRAME_BYTES(len));
	if (!record)
		return -ENOMEM;
	pthread_mutex_lock(&a->lock);
	e = content_take_range(a, FRAME_BYTES(len), &number, &offset);
	if (!e)
		content_mark_dirty(a, number);
	crowded = a->dirty_count >= ARENA_CONTENT_DIRTY_MAX;
	pthread_mutex_unlock(&a->lock);
	if (!e) {
		arena_record_build(record, &r, codec_seed(a->store->seed, position_make(POSITION_CONTENT, number, offset), 0));
		e = arena_record_write(a, a->content_fds, number, offset, record, (size_t)FRAME_BYTES(len));
		e = e < 0 ? arena_space_error(e) : 0;
	}
	if (e < 0)
		return arena_note_room(a, &a->content_refused, e);
	pthread_mutex_lock(&a->lock);
	content_mark_dirty(a, number); /* again: a sync may have come before the write */
	pthread_mutex_unlock(&a->lock);
	if (crowded && arena_content_sync(a) < 0)
		return -EIO;
	*ret_position = position_make(POSITION_CONTENT, number, offset + FRAME_HEADER_BYTES);
	return 0;
}

static int content_sync_files(struct arena *a, const uint32_t *numbers, size_t count, bool dir)
{
	int r = 0;

	for (size_t i = 0; i < count && !r; i++) {
		struct env_file file;

		r = env_files_get(a->content_fds, numbers[i], &file);
		if (r < 0)
			break;
		r = env_fdatasync(a->env, file.fd);
		env_files_put(a->content_fds, &file);
	}
	if (!r && dir)
		r = env_dir_sync(a->env, "content");
	return r;
}

int arena_content_sync(struct arena *a)
{
	uint32_t numbers[ARRAY_SIZE(a->dirty)];
	size_t count;
	bool dir;
	int r;

	pthread_mutex_lock(&a->sync_lock);
	pthread_mutex_lock(&a->lock);
	count = a->dirty_count;
	memcpy(numbers, a->dirty, count * sizeof(*numbers));
	dir = a->content_dir_dirty;
	a->dirty_count = 0;
	a->content_dir_dirty = false;
	pthread_mutex_unlock(&a->lock);
	if (!atomic_load(&a->content_error) && content_sync_files(a, numbers, count, dir) < 0)
		atomic_store(&a->content_error, -EIO);
	r = atomic_load(&a->content_error);
	pthread_mutex_unlock(&a->sync_lock);
	return r;
}

int arena_content_verify(struct arena *a, uint64_t position, size_t len)
{
	cleanup_free uint8_t *record = NULL;
	struct frame_header h;
	uint64_t offset, seed;
	int r;

	if (position_kind(position) != POSITION_CONTENT || len > ARENA_RECORD_MAX || position_offset(position) < FORMAT_BLOCK_BYTES + FRAME_HEADER_BYTES)
		return -EIO;
	offset = position_offset(position) - FRAME_HEADER_BYTES;
	record = malloc(FRAME_HEADER_BYTES + len);
	if (!record)
		return -ENOMEM;
	r = arena_read_at(a, a->content_fds, position_file(position), offset, record, FRAME_HEADER_BYTES + len);
	if (r < 0)
		return -EIO;
	seed = codec_seed(a->store->seed, position_make(POSITION_CONTENT, position_file(position), offset), 0);
	if (!codec_frame_decode(record, seed, RECORD_MAGIC, ARENA_RECORD_MAX, &h) || h.payload_len != len || h.type != ARENA_CONTENT_BLOCK ||
		!codec_frame_check(record, h.payload_len, seed))
		return -EIO;
	return 0;
}
