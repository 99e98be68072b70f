/* SPDX-License-Identifier: MIT
 *
 * Private to core/journal_*.c. The journal in memory:
 *
 *	append ──> open batch ──close──> queue ──taken by a writer──> writing ──pwrite──> written ──fdatasync──> durable
 *
 * Locks, in this order; none but write_lock and sync_lock is held across I/O:
 *	prepare_lock	one thread makes segments
 *	sync_lock	one thread makes written frames durable and publishes that
 *	write_lock	one thread writes batches, so their order on disk is that of their numbers
 *	lock		everything in memory
 *
 * Invariant of space (I): let C be the sum of charge() over all reservations, Fmax the largest charge,
 * rem the bytes behind the append offset in the current segment (from the next block on). Then
 *	C <= rem	or	C <= max(0, rem - Fmax) + sum over ready segments of (their room - Fmax).
 * Each frame moves the append offset by at most its charge (block-aligned sums are subadditive). A segment is only
 * left when a frame does not fit, that is with less than Fmax to spare, so it leaves with nothing that the second sum
 * had counted. So (I) is kept by every append, and while it holds there is always a place for a reserved frame.
 */
#ifndef MILESTONEFS_JOURNAL_INTERNAL_H
#define MILESTONEFS_JOURNAL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "env_files.h"
#include "journal.h"
#include "journal_codec.h"
#include "util.h"

#define JOURNAL_DIR "journal"
#define JOURNAL_BATCH_BYTES_MAX (8u << 20)
#define JOURNAL_SEGMENT_BYTES_MIN (64u << 10)
#define JOURNAL_SEGMENT_BYTES_MAX (1u << 30)
#define JOURNAL_LAZY_SYNC_MS 50 /* frames nobody waits for, with sync=commit */

/** Frames that are written together. */
struct batch {
	struct batch *next;
	uint32_t segment;
	uint64_t offset; /* in the segment, of buf[0]; block-aligned */
	size_t lead;     /* bytes at the start that belong to the write before */
	size_t len;      /* bytes used, lead included */
	size_t cap;      /* a multiple of the block size */
	uint64_t seq_last;
	uint64_t frames;
	uint8_t *buf; /* block-aligned */
};

/** A segment file. */
struct segment {
	uint32_t number;
	uint64_t size; /* usable bytes of the file, a multiple of the block size */
};

struct journal {
	struct store *store; /* not owned */
	struct env *env;
	struct env_files *files;
	uint64_t segment_bytes;
	uint32_t payload_max;
	bool read_only;
	int (*before_sync)(void *arg);
	void *before_sync_arg;
	void (*poisoned)(void *arg);
	void *poisoned_arg;
	void (*no_room)(void *arg);

	pthread_mutex_t prepare_lock;
	pthread_mutex_t sync_lock;
	pthread_mutex_t write_lock;

	pthread_mutex_t lock;   /* of all below, but where atomic */
	pthread_cond_t work;    /* the commit thread has something to do */
	pthread_cond_t prepare; /* the preparing thread has */
	_Atomic int error;      /* the poison */
	bool started, stopping;
	bool syncing; /* somebody makes what was written durable */
	pthread_t commit_thread, prepare_thread;

	struct segment *segments; /* all that hold or may hold frames, then the ready ones, by number */
	size_t segment_count, segment_cap;
	size_t current;         /* index of the one appended to; segment_count when there is none yet */
	uint64_t append_offset; /* in the current segment: end of the last frame */
	uint64_t charged;       /* C of (I) */
	uint64_t refused;       /* the greatest charge there was no room for; 0: none since there was some */

	uint64_t seq_next;
	_Atomic uint64_t seq_written, seq_durable;
	uint64_t seq_content;             /* frames up to here have their content synced (sync_lock or write_lock holder's) */
	struct batch *open;               /* appended to; NULL until the next append */
	struct batch *queue, **queue_end; /* closed, not yet written */
	struct batch *writing;            /* being written; list */
	struct batch *spare;              /* for use again; at most two */
	size_t spare_count;
	size_t queued_bytes;
	bool promised;                          /* journal_next_position() has named the end of the open batch */
	bool continues;                         /* open is NULL and the next batch begins inside the last written block */
	uint8_t last_block[FORMAT_BLOCK_BYTES]; /* its bytes, for that case */

	uint32_t dirty_from;      /* first segment number written but not synced; valid while written > durable */
	uint32_t written_segment; /* last one written to */
	uint32_t interval_ms;
	int64_t lazy_deadline_ns; /* the commit thread wakes by then; 0: it sleeps without limit */
	bool sync_wanted;
	struct journal_waiter *waiters, **waiters_end;

	struct journal_stats stats;
};

/* journal_segment.c */
/** All segments, by number. Temporary files are removed unless @read_only. */
int journal_segments_list(struct journal *j);
/** Make segment @number, whole and durable. @stop (NULL allowed) may turn true meanwhile: -ECANCELED. */
int journal_segment_make(struct journal *j, uint32_t number, const bool *stop);
int journal_segment_header_write(struct journal *j, int fd, const struct segment *s, uint64_t seq_min);
/** (I) for @charge more. Under lock. */
bool journal_has_room(const struct journal *j, uint64_t charge);
/** Make one segment ready unless there is room for @charge by now; takes the locks. */
int journal_prepare(struct journal *j, uint64_t charge, bool background);
/** Should the preparing thread work? Under lock. */
bool journal_wants_segment(const struct journal *j);
static inline uint64_t journal_charge(size_t payload_bytes)
{
	return ALIGN_UP(FRAME_BYTES(payload_bytes), FORMAT_BLOCK_BYTES);
}

/* journal_append.c */
struct batch *journal_batch_new(struct journal *j);
void journal_batch_free(struct batch *b);
/** Everything appended and not yet taken, as a list; then `writing`. Under lock. */
struct batch *journal_take(struct journal *j);
/** A written list is done with. Under lock. */
void journal_retire(struct journal *j, struct batch *list);

/* journal_commit.c */
/** Write all that was appended before the call. @content_first: what frames refer to is made durable before they are written. */
int journal_write_out(struct journal *j, bool content_first);
/** Write all, make it durable, tell the waiters. */
int journal_flush(struct journal *j);
/** Poison, and tell all waiters. Without locks. Returns -EIO. */
int journal_poison(struct journal *j);
void *journal_commit_main(void *j);
void *journal_prepare_main(void *j);

/* journal_read.c: finding valid frames */
struct scan_segment {
	uint32_t number;
	uint64_t size;     /* look no further */
	uint64_t junk_end; /* end of the last bytes seen that are not zero and no part of an accepted frame; 0: none */
};
struct scanner {
	struct journal *j;
	int (*fill)(struct scanner *sc, uint32_t number, uint64_t offset, uint8_t *buf, size_t len);
	int fd; /* fill's: open file of fd_number, -1 */
	uint32_t fd_number;
	struct scan_segment *segments; /* owned */
	size_t count;
	size_t at;         /* index of the segment looked at, */
	uint64_t offset;   /* and where */
	uint64_t seq_last; /* frames up to this number are not accepted */
	uint8_t *buf;      /* the bytes [base, filled) of segment buf_of */
	size_t buf_cap, buf_of, step;
	uint64_t base, filled;
	bool unreadable; /* some blocks gave -EIO; the last of them: */
	size_t unreadable_at;
	uint64_t unreadable_offset;

	/* the frame found */
	struct frame_header frame;
	size_t frame_at;
	uint64_t frame_offset;
	const uint8_t *payload;
};
int scanner_init(struct scanner *sc, struct journal *j, size_t segment_count);
void scanner_release(struct scanner *sc);
void scanner_seek(struct scanner *sc, size_t at, uint64_t offset, uint64_t seq_last);
/** The next valid frame: 1 and the fields above, 0 at the end, -errno. */
int scanner_next(struct scanner *sc);
uint64_t scanner_position(const struct scanner *sc);
/** Whether to replay the frame found: 1 yes, 0 an optional type unknown here, -EPROTONOSUPPORT. */
int scanner_frame_known(const struct scanner *sc);

/* journal_recover.c */
int journal_recover(struct journal *j, const struct journal_options *opt, journal_replay_fn fn, void *arg, struct journal_recovery *ret);
/* journal_repair.c */
/** Where the kept frames end, and from where on they are not proven durable. Indices into @sc->segments; -1: no frame kept. */
struct repair {
	ssize_t cut_at;
	uint64_t cut_offset;
	ssize_t unproven_at;
	uint64_t unproven_offset;
};
int journal_repair(struct journal *j, struct scanner *sc, const struct repair *p);

#endif
