/* SPDX-License-Identifier: MIT
 *
 * Opening the arena: which drafts of the life before never ended, and making
 * sure of content that life may not have synced.
 *
 * Draft files are read twice: first for the ends, then for the records of drafts
 * without one. Broken records are passed over: when a process was killed, one that
 * was never answered may lie in front of others that were.
 */
#include "arena_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DRAFT_FILE_BYTES_MAX (64u << 20) /* a larger one is none of ours */

struct found {
	uint32_t number;
	uint64_t generation, size;
};

struct ended {
	uint64_t id;
	uint64_t generation; /* of the newest file that says so */
	UT_hash_handle hh;
};

struct recovery {
	struct arena *a;
	struct found *files;
	size_t count, cap;
	struct ended *ended;
	uint8_t *buf;
	size_t buf_cap;
	arena_replay_fn fn;
	void *arg;
	const struct found *at;        /* the file being read */
	struct draft_file *registered; /* and what the arena knows of it; NULL as long as nothing lives in it */
};

struct numbered {
	struct recovery *r;
	const char *suffix;
};

static int list_numbered(void *arg, const char *name, bool is_dir)
{
	const struct numbered *n = arg;
	struct recovery *r = n->r;
	unsigned number;

	if (is_dir || strspn(name, "0123456789abcdef") != 8 || strcmp(name + 8, n->suffix) != 0 || sscanf(name, "%8x", &number) != 1 || number == 0 ||
		number > POSITION_FILE_MAX)
		return 0;
	if (array_reserve(&r->files, &r->cap, r->count + 1, sizeof(*r->files)) < 0)
		return -ENOMEM;
	r->files[r->count++] = (struct found){.number = number};
	return 0;
}

static int list_files(struct recovery *r, const char *dir, const char *suffix)
{
	struct numbered n = {r, suffix};
	int e;

	r->count = 0;
	e = env_list(r->a->env, dir, list_numbered, &n);
	return e == -ENOENT && r->a->read_only ? 0 : e;
}

/* Read a whole draft file and its header. 0; -EBADMSG: nothing in it can be trusted. */
static int load_file(struct recovery *r, struct found *f)
{
	struct file_header h = {.magic = FILE_MAGIC_DRAFT, .kind = POSITION_DRAFT, .number = f->number};
	struct env_file file;
	ssize_t n;
	int e = env_files_get(r->a->draft_fds, f->number, &file);

	if (e < 0)
		return e;
	e = env_size(r->a->env, file.fd, &f->size);
	if (!e && (f->size < FORMAT_BLOCK_BYTES || f->size > DRAFT_FILE_BYTES_MAX))
		e = -EBADMSG;
	if (!e && f->size > r->buf_cap) {
		free(r->buf);
		r->buf = malloc((size_t)f->size);
		r->buf_cap = r->buf ? (size_t)f->size : 0;
		e = r->buf ? 0 : -ENOMEM;
	}
	if (!e) {
		n = env_pread(r->a->env, file.fd, r->buf, (size_t)f->size, 0);
		e = n < 0 ? (int)n : 0;
		if (!e)
			memset(r->buf + n, 0, (size_t)f->size - (size_t)n);
	}
	env_files_put(r->a->draft_fds, &file);
	if (!e)
		e = codec_file_header_decode(r->a->store, r->buf, &h);
	if (!e)
		f->generation = h.seq_or_generation;
	return e;
}

typedef int (*record_fn)(struct recovery *r, const struct arena_record *record, uint64_t offset);

/* Call @fn for each valid record of the file in the buffer. */
static int each_record(struct recovery *r, record_fn fn)
{
	const uint64_t size = r->at->size / FRAME_ALIGN * FRAME_ALIGN;
	uint64_t offset = FORMAT_BLOCK_BYTES;

	while (offset + FRAME_HEADER_BYTES <= size) {
		const uint8_t *p = r->buf + offset;
		struct arena_record record;
		struct frame_header h;
		uint64_t seed;
		int e;

		if (get_le32(p) != RECORD_MAGIC) {
			offset += FRAME_ALIGN;
			continue;
		}
		seed = codec_seed(r->a->store->seed, position_make(POSITION_DRAFT, r->at->number, offset), r->at->generation);
		if (!codec_frame_decode(p, seed, RECORD_MAGIC, ARENA_RECORD_MAX, &h) || FRAME_BYTES(h.payload_len) > size - offset) {
			offset += FRAME_ALIGN;
			continue;
		}
		if (codec_frame_check(p, h.payload_len, seed)) {
			record = (struct arena_record){
				.draft_id = h.seq,
				.type = h.type,
				.file_offset = h.synced_before,
				.data = p + FRAME_HEADER_BYTES,
				.len = h.payload_len,
			};
			e = fn(r, &record, offset);
			if (e)
				return e;
		}
		offset += FRAME_BYTES(h.payload_len);
	}
	return 0;
}

static int note_end(struct recovery *r, const struct arena_record *record, uint64_t offset)
{
	struct ended *e;

	(void)offset;
	if (record->type != ARENA_DRAFT_END)
		return 0;
	HASH_FIND(hh, r->ended, &record->draft_id, sizeof(record->draft_id), e);
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		e->id = record->draft_id;
		HASH_ADD(hh, r->ended, id, sizeof(e->id), e);
	}
	e->generation = MAX(e->generation, r->at->generation);
	return 0;
}

static int show_record(struct recovery *r, const struct arena_record *record, uint64_t offset)
{
	struct ended *ended;
	int e;

	HASH_FIND(hh, r->ended, &record->draft_id, sizeof(record->draft_id), ended);
	if (record->type == ARENA_DRAFT_END || (ended && ended->generation >= r->at->generation)) {
		if (r->registered)
			r->registered->end = offset + FRAME_BYTES(record->len);
		return 0;
	}
	if (!r->registered)
		r->registered = arena_file_add(r->a, r->at->number, r->at->generation, r->at->size);
	if (!r->registered)
		return -ENOMEM;
	r->registered->end = offset + FRAME_BYTES(record->len);
	e = arena_draft_touch(r->a, record->draft_id, r->registered);
	if (!e && r->fn)
		e = r->fn(r->arg, record, position_make(POSITION_DRAFT, r->at->number, offset + FRAME_HEADER_BYTES));
	return e;
}

static int by_generation(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->generation > y->generation) - (x->generation < y->generation);
}

/* First reading: generations, ends. Files that say nothing are removed. */
static int first_reading(struct recovery *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->count; i++) {
		struct found f = r->files[i];
		int e = load_file(r, &f);

		r->a->draft_number_last = MAX(r->a->draft_number_last, f.number);
		if (e == -ENOENT)
			continue;
		if (e == -EBADMSG) {
			if (!r->a->read_only)
				arena_file_remove(r->a, f.number);
			continue;
		}
		if (e < 0)
			return e;
		r->at = &f;
		r->a->generation_last = MAX(r->a->generation_last, f.generation);
		e = each_record(r, note_end);
		r->at = NULL;
		if (e < 0)
			return e;
		r->files[kept++] = f;
	}
	r->count = kept;
	if (kept)
		qsort(r->files, kept, sizeof(*r->files), by_generation);
	return 0;
}

static int second_reading(struct recovery *r)
{
	for (size_t i = 0; i < r->count; i++) {
		int e = load_file(r, &r->files[i]);

		if (e < 0)
			return e;
		r->at = &r->files[i];
		r->registered = NULL;
		e = each_record(r, show_record);
		if (e)
			return e;
		if (!r->registered && !r->a->read_only)
			arena_file_remove(r->a, r->files[i].number);
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* Content of a life that ended before its last sync: sync the few files that can be concerned. */
static int recover_content(struct recovery *r)
{
	int e = list_files(r, "content", ".blk");

	if (e < 0)
		return e;
	if (r->count)
		qsort(r->files, r->count, sizeof(*r->files), by_number);
	for (size_t i = 0; i < r->count; i++) {
		const bool newest = i + ARENA_CONTENT_DIRTY_MAX + 1 >= r->count;
		struct env_file file;
		uint64_t bytes = 0;

		e = env_files_get(r->a->content_fds, r->files[i].number, &file);
		if (e < 0)
			return e;
		e = env_size(r->a->env, file.fd, &bytes);
		if (!e && newest && !r->a->read_only)
			e = env_fdatasync(r->a->env, file.fd);
		env_files_put(r->a->content_fds, &file);
		if (e < 0)
			return e;
		r->a->content_number_last = r->files[i].number;
		r->a->content_bytes += bytes;
		r->a->content_files++;
	}
	return r->count && !r->a->read_only ? env_dir_sync(r->a->env, "content") : 0;
}

int arena_recover(struct arena *a, arena_replay_fn fn, void *arg)
{
	struct recovery r = {.a = a, .fn = fn, .arg = arg};
	struct ended *e, *next;
	int error = list_files(&r, "drafts", ".arena");

	if (!error)
		error = first_reading(&r);
	if (!error)
		error = second_reading(&r);
	if (!error)
		error = recover_content(&r);
	HASH_ITER (hh, r.ended, e, next) {
		HASH_DELETE(hh, r.ended, e);
		free(e);
	}
	free(r.files);
	free(r.buf);
	return error;
}
