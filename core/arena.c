/* SPDX-License-Identifier: MIT
 *
 * The draft arena: append-only files of records (journal_format.h), and what it shares with the content store (arena_content.c). An
 * appender takes its range under `lock` and writes it without, so appenders do not wait for each other's pwrite.
 *
 * Invariants: a draft file holds room for one ARENA_DRAFT_END per live draft in
 * it, so each file tells by itself which of its drafts are over, whatever becomes of
 * the others; ends are written newest file first, so a crash between them
 * never shows a draft's beginning without its end.
 *
 * A failed write leaves a broken record, which costs its space and nothing else.
 */
#include "arena_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define RECORD_STACK_BYTES 8192

/* --- records ------------------------------------------------------------------ */

void arena_record_build(uint8_t *out, const struct arena_record *r, uint64_t seed)
{
	const struct frame_header h = {
		.magic = RECORD_MAGIC,
		.payload_len = (uint32_t)r->len,
		.type = (uint16_t)r->type,
		.seq = r->draft_id,
		.synced_before = r->file_offset,
	};

	if (r->len)
		memcpy(out + FRAME_HEADER_BYTES, r->data, r->len);
	memset(out + FRAME_HEADER_BYTES + r->len, 0, FRAME_BYTES(r->len) - FRAME_HEADER_BYTES - r->len);
	codec_frame_seal(&h, seed, out);
}

int arena_record_write(struct arena *a, struct env_files *fds, uint32_t number, uint64_t offset, const uint8_t *record, size_t len)
{
	struct env_file file;
	int r = env_files_get(fds, number, &file);

	if (r < 0)
		return r;
	r = env_pwrite(a->env, file.fd, record, len, offset);
	env_files_put(fds, &file);
	return r;
}

int arena_space_error(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EFBIG ? -ENOSPC : r == -ENOMEM ? -ENOMEM : -EIO;
}

int arena_note_room(struct arena *a, bool *refused, int r)
{
	bool first;

	if (r != -ENOSPC)
		return r;
	pthread_mutex_lock(&a->lock);
	first = !a->drafts_refused && !a->content_refused;
	*refused = true;
	pthread_mutex_unlock(&a->lock);
	if (first && a->no_room)
		a->no_room(a->no_room_arg);
	return r;
}

int arena_file_make(struct arena *a, struct env_files *fds, const struct file_header *h)
{
	uint8_t block[FORMAT_BLOCK_BYTES];
	char path[ENV_FILES_PATH_BYTES];
	int fd, r = 0;

	env_files_path(fds, h->number, path);
	fd = env_open(a->env, path, ENV_WRITE | ENV_CREATE | ENV_EXCL);
	if (fd < 0)
		return arena_space_error(fd);
	if (h->bytes)
		r = env_allocate(a->env, fd, 0, h->bytes);
	if (r == -EOPNOTSUPP || r == -EINVAL)
		r = env_truncate(a->env, fd, h->bytes);
	codec_file_header_encode(a->store, h, block);
	if (!r)
		r = env_pwrite(a->env, fd, block, sizeof(block), 0);
	env_close(a->env, fd);
	if (r < 0)
		(void)env_unlink(a->env, path); /* best effort: an empty file is removed at the next open */
	return r < 0 ? arena_space_error(r) : 0;
}

/* --- drafts ------------------------------------------------------------------- */

struct draft_file *arena_file_add(struct arena *a, uint32_t number, uint64_t generation, uint64_t size)
{
	struct draft_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->number = number;
	f->generation = generation;
	f->size = size;
	f->end = FORMAT_BLOCK_BYTES;
	HASH_ADD(hh, a->files, number, sizeof(f->number), f);
	a->draft_bytes += size;
	return f;
}

static bool draft_is_in(const struct live_draft *d, uint32_t number)
{
	/* Newest last, and that is the one asked for. */
	for (size_t i = d ? d->file_count : 0; i > 0; i--)
		if (d->files[i - 1] == number)
			return true;
	return false;
}

int arena_draft_touch(struct arena *a, uint64_t id, struct draft_file *f)
{
	struct live_draft *d;

	HASH_FIND(hh, a->drafts, &id, sizeof(id), d);
	if (draft_is_in(d, f->number))
		return 0;
	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return -ENOMEM;
		d->id = id;
		HASH_ADD(hh, a->drafts, id, sizeof(d->id), d);
	}
	if (array_reserve(&d->files, &d->file_cap, d->file_count + 1, sizeof(*d->files)) < 0)
		return -ENOMEM; /* a draft without files is harmless and ends like any other */
	d->files[d->file_count++] = f->number;
	f->live++;
	f->reserved += FRAME_HEADER_BYTES;
	return 0;
}

void arena_file_remove(struct arena *a, uint32_t number)
{
	char path[ENV_FILES_PATH_BYTES];

	env_files_drop(a->draft_fds, number);
	env_files_path(a->draft_fds, number, path);
	(void)env_unlink(a->env, path); /* stays until the next open otherwise */
}

/* Under lock: forget @f. Returns its number, to be removed without the lock. */
static uint32_t file_forget(struct arena *a, struct draft_file *f)
{
	uint32_t number = f->number;

	HASH_DELETE(hh, a->files, f);
	a->draft_bytes -= f->size;
	free(f);
	return number;
}

/* Under lock: a number no file has; numbers only come round after 4 million files. */
static uint32_t number_next(const struct arena *a)
{
	uint32_t n = a->draft_number_last;
	const struct draft_file *f;

	for (uint32_t i = 0; i < POSITION_FILE_MAX; i++) {
		n = n < POSITION_FILE_MAX ? n + 1 : 1;
		HASH_FIND(hh, a->files, &n, sizeof(n), f);
		if (!f)
			return n;
	}
	return 0;
}

/* Under lock: begin a new current file. *@ret_remove: a file to remove afterwards, or 0. */
static int rotate_drafts(struct arena *a, uint32_t *ret_remove)
{
	struct draft_file *old = a->current, *f;
	const struct file_header h = {
		.magic = FILE_MAGIC_DRAFT,
		.kind = POSITION_DRAFT,
		.number = number_next(a),
		.seq_or_generation = a->generation_last + 1,
		.bytes = ARENA_DRAFT_FILE_BYTES,
	};
	int r;

	if (!h.number)
		return -ENOSPC;
	a->draft_number_last = h.number; /* also after a failure: a rest may stand in the way */
	r = arena_file_make(a, a->draft_fds, &h);
	if (r == -ENOSPC && old && !old->live) { /* it would go afterwards: its room will do */
		arena_file_remove(a, file_forget(a, old));
		old = a->current = NULL;
		r = arena_file_make(a, a->draft_fds, &h);
	}
	if (r < 0)
		return r;
	f = arena_file_add(a, h.number, h.seq_or_generation, h.bytes);
	if (!f) {
		arena_file_remove(a, h.number);
		return -ENOMEM;
	}
	a->generation_last = h.seq_or_generation;
	a->current = f;
	if (old && !old->live)
		*ret_remove = file_forget(a, old);
	return 0;
}

/* Under lock: have a current file with room for a record of @bytes. */
static int drafts_ready(struct arena *a, uint64_t bytes, uint32_t *ret_remove)
{
	const struct draft_file *f = a->current;

	/* The room for the draft's end is counted whether it is new here or not: simpler, and it costs 40 bytes a file. */
	if (f && f->end + bytes + f->reserved + FRAME_HEADER_BYTES <= f->size)
		return 0;
	return rotate_drafts(a, ret_remove);
}

/* Under lock: a range of @bytes for a record of draft @id. */
static int take_range(struct arena *a, uint64_t id, uint64_t bytes, struct draft_file *ret, uint32_t *ret_remove)
{
	struct draft_file *f;
	int r = drafts_ready(a, bytes, ret_remove);

	if (r < 0)
		return r;
	f = a->current;
	r = arena_draft_touch(a, id, f);
	if (r < 0)
		return r;
	*ret = *f;
	f->end += bytes;
	return 0;
}

static uint64_t draft_seed(const struct arena *a, const struct draft_file *f, uint64_t offset)
{
	return codec_seed(a->store->seed, position_make(POSITION_DRAFT, f->number, offset), f->generation);
}

int arena_draft_append(struct arena *a, const struct arena_record *r, uint64_t *ret_position)
{
	uint8_t stack[RECORD_STACK_BYTES];
	const size_t bytes = (size_t)FRAME_BYTES(r->len);
	cleanup_free uint8_t *heap = NULL;
	uint8_t *record = stack;
	struct draft_file f = {0};
	uint32_t remove = 0;
	int e;

	if (a->read_only)
		return -EROFS;
	if (r->len > ARENA_RECORD_MAX || r->type == ARENA_CONTENT_BLOCK || r->type == ARENA_DRAFT_END)
		return -EINVAL;
	if (bytes > sizeof(stack)) {
		record = heap = malloc(bytes);
		if (!heap)
			return -ENOMEM;
	}
	pthread_mutex_lock(&a->lock);
	e = take_range(a, r->draft_id, bytes, &f, &remove);
	pthread_mutex_unlock(&a->lock);
	if (remove)
		arena_file_remove(a, remove);
	if (!e) {
		arena_record_build(record, r, draft_seed(a, &f, f.end));
		e = arena_record_write(a, a->draft_fds, f.number, f.end, record, bytes);
		e = e < 0 ? arena_space_error(e) : 0;
	}
	if (e < 0)
		return arena_note_room(a, &a->drafts_refused, e);
	if (ret_position)
		*ret_position = position_make(POSITION_DRAFT, f.number, f.end + FRAME_HEADER_BYTES);
	return 0;
}

/* Under lock: @d lets go of file @number. True: write its end there, at f->end of *@ret; else *@ret_remove may be set. */
static bool leave_file(struct arena *a, uint32_t number, struct draft_file *ret, uint32_t *ret_remove)
{
	struct draft_file *f;

	HASH_FIND(hh, a->files, &number, sizeof(number), f);
	assert(f && f->live && f->reserved >= FRAME_HEADER_BYTES);
	f->live--;
	f->reserved -= FRAME_HEADER_BYTES;
	if (!f->live && f != a->current) {
		*ret_remove = file_forget(a, f);
		return false;
	}
	if (f->end + FRAME_HEADER_BYTES > f->size)
		return false; /* a file cut short by a crash: the draft will be met again */
	*ret = *f;
	f->end += FRAME_HEADER_BYTES;
	return true;
}

void arena_draft_end(struct arena *a, uint64_t draft_id)
{
	const struct arena_record end = {.draft_id = draft_id, .type = ARENA_DRAFT_END};
	struct live_draft *d;

	pthread_mutex_lock(&a->lock);
	HASH_FIND(hh, a->drafts, &draft_id, sizeof(draft_id), d);
	if (d && !a->read_only)
		HASH_DELETE(hh, a->drafts, d);
	pthread_mutex_unlock(&a->lock);
	if (!d || a->read_only)
		return;
	for (size_t i = d->file_count; i > 0; i--) {
		uint8_t record[FRAME_HEADER_BYTES];
		struct draft_file f;
		uint32_t remove = 0;
		bool write;

		pthread_mutex_lock(&a->lock);
		write = leave_file(a, d->files[i - 1], &f, &remove);
		pthread_mutex_unlock(&a->lock);
		if (write) {
			arena_record_build(record, &end, draft_seed(a, &f, f.end));
			(void)arena_record_write(a, a->draft_fds, f.number, f.end, record, sizeof(record)); /* see the header */
		}
		if (remove)
			arena_file_remove(a, remove);
	}
	free(d->files);
	free(d);
}

/* --- room --------------------------------------------------------------------- */

void arena_set_no_room(struct arena *a, void (*fn)(void *arg), void *arg)
{
	a->no_room = fn;
	a->no_room_arg = arg;
}

bool arena_no_room(struct arena *a)
{
	bool yes;

	pthread_mutex_lock(&a->lock);
	yes = a->drafts_refused || a->content_refused;
	pthread_mutex_unlock(&a->lock);
	return yes;
}

int arena_find_room(struct arena *a)
{
	uint32_t remove = 0;
	int r = 0;

	pthread_mutex_lock(&a->lock);
	if (a->drafts_refused)
		r = drafts_ready(a, FRAME_BYTES(ARENA_RECORD_MAX), &remove);
	if (!r)
		a->drafts_refused = false;
	if (!r && a->content_refused)
		r = arena_content_ready(a, FRAME_BYTES(ARENA_RECORD_MAX));
	if (!r)
		a->content_refused = false;
	pthread_mutex_unlock(&a->lock);
	if (remove)
		arena_file_remove(a, remove);
	return r;
}

/* --- reading ------------------------------------------------------------------ */

int arena_read_at(struct arena *a, struct env_files *fds, uint32_t number, uint64_t offset, void *buf, size_t len)
{
	struct env_file file;
	ssize_t n;
	int r = env_files_get(fds, number, &file);

	if (r < 0)
		return r;
	n = env_pread(a->env, file.fd, buf, len, offset);
	env_files_put(fds, &file);
	return n < 0 ? (int)n : (size_t)n == len ? 0 : -EIO;
}

int arena_read(struct arena *a, uint64_t position, void *buf, size_t len)
{
	struct env_files *fds = position_kind(position) == POSITION_DRAFT ? a->draft_fds : a->content_fds;

	if (position_kind(position) != POSITION_DRAFT && position_kind(position) != POSITION_CONTENT)
		return -EINVAL;
	return arena_read_at(a, fds, position_file(position), position_offset(position), buf, len);
}

/* --- life --------------------------------------------------------------------- */

static void arena_free(struct arena *a)
{
	struct draft_file *f, *next_file;
	struct live_draft *d, *next_draft;

	HASH_ITER (hh, a->files, f, next_file) {
		HASH_DELETE(hh, a->files, f);
		free(f);
	}
	HASH_ITER (hh, a->drafts, d, next_draft) {
		HASH_DELETE(hh, a->drafts, d);
		free(d->files);
		free(d);
	}
	env_files_free(a->draft_fds);
	env_files_free(a->content_fds);
	pthread_mutex_destroy(&a->lock);
	pthread_mutex_destroy(&a->sync_lock);
	free(a);
}

int arena_open(struct store *store, bool read_only, arena_replay_fn fn, void *arg, struct arena **ret)
{
	struct arena *a = calloc(1, sizeof(*a));
	const int flags = read_only ? ENV_READ : ENV_WRITE;
	int r = -ENOMEM;

	if (!a)
		return -ENOMEM;
	a->store = store;
	a->env = store->env;
	a->read_only = read_only;
	pthread_mutex_init(&a->lock, NULL);
	pthread_mutex_init(&a->sync_lock, NULL);
	a->draft_fds = env_files_new(a->env, "drafts", ".arena", flags);
	a->content_fds = env_files_new(a->env, "content", ".blk", flags);
	if (a->draft_fds && a->content_fds)
		r = arena_recover(a, fn, arg);
	if (r) {
		arena_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

void arena_close(struct arena *a)
{
	struct draft_file *f, *next;
	struct env_file file;

	if (!a)
		return;
	HASH_ITER (hh, a->files, f, next) {
		if (!a->read_only && !f->live)
			arena_file_remove(a, f->number);
	}
	if (a->content_number && !env_files_get(a->content_fds, a->content_number, &file)) {
		(void)env_truncate(a->env, file.fd, a->content_end); /* only gives unused space back */
		env_files_put(a->content_fds, &file);
	}
	arena_free(a);
}

void arena_get_stats(struct arena *a, struct arena_stats *ret)
{
	pthread_mutex_lock(&a->lock);
	*ret = (struct arena_stats){
		.draft_bytes = a->draft_bytes,
		.draft_files = HASH_COUNT(a->files),
		.drafts_live = HASH_COUNT(a->drafts),
		.content_bytes = a->content_bytes,
		.content_files = a->content_files,
	};
	pthread_mutex_unlock(&a->lock);
}
