/* SPDX-License-Identifier: MIT
 *
 * Private to core/arena*.c.
 *
 * Lock order: sync_lock, lock. I/O is done without `lock`, except making a new file (once in
 * ARENA_DRAFT_FILE_BYTES), so that appenders find it complete.
 */
#ifndef MILESTONEFS_ARENA_INTERNAL_H
#define MILESTONEFS_ARENA_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <uthash.h>

#include "arena.h"
#include "env_files.h"
#include "journal_codec.h"
#include "util.h"

#define ARENA_DRAFT_FILE_BYTES (8u << 20)
#define ARENA_CONTENT_FILE_BYTES (UINT64_C(256) << 20)
#define ARENA_CONTENT_STEP_BYTES (16u << 20) /* allocated at once */
#define ARENA_CONTENT_DIRTY_MAX 4            /* files not synced; recovery syncs one more */

/** A draft file. Every live draft in it has room for its ARENA_DRAFT_END in `reserved`. */
struct draft_file {
	uint32_t number;
	uint64_t generation;
	uint64_t size, end;
	uint64_t reserved;
	size_t live; /* drafts with records here that did not end */
	UT_hash_handle hh;
};

/** A draft that did not end, and the files its records are in, oldest first. */
struct live_draft {
	uint64_t id;
	uint32_t *files; /* owned */
	size_t file_count, file_cap;
	UT_hash_handle hh;
};

struct arena {
	struct store *store; /* not owned */
	struct env *env;
	bool read_only;
	struct env_files *draft_fds, *content_fds;

	pthread_mutex_t sync_lock; /* one content sync at a time */
	pthread_mutex_t lock;      /* of all below */
	struct draft_file *files;  /* by number */
	struct live_draft *drafts; /* by id */
	struct draft_file *current;
	uint32_t draft_number_last;
	uint64_t generation_last;
	uint64_t draft_bytes;

	uint32_t content_number; /* 0: none yet in this life */
	uint32_t content_number_last;
	uint64_t content_end, content_allocated;
	uint32_t dirty[ARENA_CONTENT_DIRTY_MAX + 2];
	size_t dirty_count;
	bool content_dir_dirty;
	uint64_t content_bytes, content_files;
	_Atomic int content_error;
	bool drafts_refused, content_refused; /* an append, for want of room */
	void (*no_room)(void *arg);           /* set before there are appenders, like its argument */
	void *no_room_arg;
};

/* arena.c */
/** The bytes of record @r, FRAME_BYTES(r->len) of them, into @out. */
void arena_record_build(uint8_t *out, const struct arena_record *r, uint64_t seed);
int arena_record_write(struct arena *a, struct env_files *fds, uint32_t number, uint64_t offset, const uint8_t *record, size_t len);
/** Exactly @len bytes: 0, -EIO when there are fewer, or another -errno. */
int arena_read_at(struct arena *a, struct env_files *fds, uint32_t number, uint64_t offset, void *buf, size_t len);
/** What an appender is told: -ENOSPC (also for quotas and limits), -ENOMEM, else -EIO. */
int arena_space_error(int r);
/** An append ends with @r; *@refused is one of the arena's. Without the lock. Returns @r. */
int arena_note_room(struct arena *a, bool *refused, int r);
/** Under lock: have room for @bytes more of content. 0, -ENOSPC, … */
int arena_content_ready(struct arena *a, uint64_t bytes);
/** Make file h->number with its header and h->bytes reserved (0: it grows). */
int arena_file_make(struct arena *a, struct env_files *fds, const struct file_header *h);
struct draft_file *arena_file_add(struct arena *a, uint32_t number, uint64_t generation, uint64_t size);
/** Note that @id has a record in @f. Under lock. 0 or -ENOMEM. */
int arena_draft_touch(struct arena *a, uint64_t id, struct draft_file *f);
/** Remove a file nobody needs. Errors only waste space. */
void arena_file_remove(struct arena *a, uint32_t number);

/* arena_recover.c */
int arena_recover(struct arena *a, arena_replay_fn fn, void *arg);

#endif
