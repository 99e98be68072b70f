/* SPDX-License-Identifier: MIT
 *
 * L3. The journal: an ordered, append-only, checksummed list of frames with
 * sequence numbers 1..N, and group commit. It does not know what a frame's
 * payload means. Nothing above this header assumes a local file.
 *
 * Life of a frame:  journal_reserve() → journal_append() → [batch] → written → durable
 *
 *  - reserve may do I/O (a new segment) and is where ENOSPC is said;
 *  - append is memory only and cannot fail; it fixes the frame's position and
 *    makes its bytes readable at once;
 *  - a batch is everything appended since the last one was taken; it is written
 *    with one pwrite at a block boundary and made durable with one fdatasync;
 *  - "acknowledged" is durable with sync=commit, written (survives the death of this
 *    process) with sync=interval.
 *
 * Poison: when a write or sync of a batch fails, the journal is poisoned for good: every
 * waiter, now and later, gets -EIO, nothing more is written; journal_durable_seq() stays.
 *
 * Threads: every function may be called from any thread unless it says otherwise.
 * Waiter callbacks run without any journal lock held.
 */
#ifndef MILESTONEFS_JOURNAL_H
#define MILESTONEFS_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "store.h"

/** Largest payload of one frame, so that an empty segment of the default size has room for two. Larger content goes to the content store (arena.h). */
#define JOURNAL_PAYLOAD_MAX ((16u << 20) - (64u << 10))
#define JOURNAL_SEGMENT_BYTES_DEFAULT (32u << 20)

struct journal;

struct journal_options {
	uint64_t segment_bytes; /**< 0: the default; smaller ones, down to 64 KiB, are for tests: payloads are then up to a quarter of it */
	bool read_only;         /**< no repair, no append; for fsck, export and log beside a live daemon */
	/** Recovery starts at this frame (as an index snapshot remembered it); 0/0: at the beginning. When no valid frame
	 *  with that sequence is there, journal_open() returns -ESTALE and the caller tries again with 0/0. The frame itself is not replayed. */
	uint64_t start_position;
	uint64_t start_seq;
	/** All up to this number were durable, as somebody knows who was told so (an index snapshot, even one that cannot be used); 0: nothing known.
	 *  Where they end before it they are not a torn tail but damaged. */
	uint64_t durable_seq;
	/** Called on the flushing thread before each fdatasync of the journal (with sync=commit before the frames are even written), so that what frames refer to is durable first. May be NULL. */
	int (*before_sync)(void *arg);
	void *before_sync_arg;
	/** Called when the journal is poisoned, once or more, on any thread that reserves, appends or flushes; must only signal. May be NULL. */
	void (*poisoned)(void *arg);
	void *poisoned_arg;
	/** Called when journal_reserve() says -ENOSPC and journal_no_room() was false before; otherwise like @poisoned, and with its argument. */
	void (*no_room)(void *arg);
};

/** One frame met during recovery. @payload is borrowed for the call. Non-zero stops the recovery with that error. */
typedef int (*journal_replay_fn)(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len);

/** Something recovery could not read. Where no frame was lost (a segment's header, which is rebuilt) both numbers are 0. */
struct journal_damage {
	uint64_t position;  /**< where the unreadable bytes begin */
	uint64_t bytes;     /**< how many until the next valid frame; 0: it follows at once */
	uint64_t seq_first; /**< first sequence number lost */
	uint64_t seq_last;  /**< last one lost */
	bool at_end;        /**< no valid frame follows; journal_options.durable_seq tells that there were more */
};

struct journal_recovery {
	uint64_t frames;     /**< replayed */
	uint64_t seq_last;   /**< newest valid sequence number, 0 for an empty journal */
	uint64_t torn_bytes; /**< bytes of never-acknowledged frames cut off the tail */
	uint64_t torn_position;
	struct journal_damage *damage; /**< owned by the struct; corruption in the middle */
	size_t damage_count;
};
void journal_recovery_release(struct journal_recovery *r);
/** A sentence about it, without a full stop. 256 bytes are enough. */
void journal_damage_describe(const struct journal_damage *d, char *out, size_t size);

/**
 * Open the journal of @store (kept, not owned; open the arena first, @before_sync is called here too), replaying each valid frame in order through @fn (NULL allowed).
 * A torn tail is cut (and zeroed on disk, durably, before this returns) and reported; corruption in
 * the middle is reported and skipped: frames after it are replayed.
 * The difference: frames carry the number below which all was durable when they were written; a hole that only
 * not-yet-durable frames follow is a torn tail.
 */
int journal_open(
	struct store *store, const struct journal_options *opt, journal_replay_fn fn, void *arg, struct journal_recovery *ret_recovery, struct journal **ret);

/**
 * The id of the store whose segments lie in journal/, from their headers. 0; -ENOENT no header is whole; -EUCLEAN they are of several
 * stores; -EPROTONOSUPPORT newer; else an I/O error.
 */
int journal_find_store_id(struct env *env, uint8_t ret_id[16]);

/** Start the commit thread and the thread that prepares segments ahead. Without it waiting flushes inline (tests, tools). */
int journal_start(struct journal *j);
/** Write and sync what is left, stop the threads, free. Returns 0 or the poison. */
int journal_close(struct journal *j);

/** 0: sync=commit. Otherwise sync=interval: acknowledge when written, fdatasync at least every @interval_ms. */
void journal_set_sync_interval(struct journal *j, uint32_t interval_ms);

/**
 * Promise room for one frame of @payload_bytes. May write a new segment (blocking). Do not hold the engine lock.
 * 0; -ENOSPC (nothing changed, try again when there is room) or another error of making a segment (likewise); -EIO poisoned; -EROFS; -EFBIG over JOURNAL_PAYLOAD_MAX.
 * Each success is used by exactly one journal_append() of at most that size, or given back.
 */
int journal_reserve(struct journal *j, size_t payload_bytes);
void journal_unreserve(struct journal *j, size_t payload_bytes);
/** Was somebody refused for want of room, and is there still none, as far as is known? */
bool journal_no_room(struct journal *j);
/** Then look again, and make room: 0 there is, else as journal_reserve(). */
int journal_find_room(struct journal *j);

/**
 * Append one frame whose payload is the concatenation of @iov; sequence numbers are given in order of calls, so the
 * caller serialises them (engine lock). @reserved_bytes is what was reserved for it. Memory only.
 * journal_next_position() says beforehand where its payload will begin (holding the reservation; valid until the next append, by the same caller under the same lock).
 * Returns the sequence number. A poisoned journal still numbers the frame (its waiters get -EIO).
 */
uint64_t journal_append(struct journal *j, size_t reserved_bytes, const struct iovec *iov, int iov_count);
uint64_t journal_next_position(struct journal *j, size_t payload_bytes);
/** Sequence number the next append gets. Same locking. */
uint64_t journal_next_seq(struct journal *j);

enum journal_level {
	JOURNAL_ACKNOWLEDGED, /**< as the sync mode says */
	JOURNAL_DURABLE,      /**< on disk, whatever the mode */
};

/** Someone who wants to know when @seq is safe. Owned by the caller, untouched by him until @fn ran. */
struct journal_waiter {
	uint64_t seq;
	enum journal_level level;
	void (*fn)(struct journal_waiter *w, int error); /**< called exactly once: 0 or -EIO; maybe before journal_notify() returns */
	bool leads;                                      /**< he has time: where nothing is on its way to the disk, he takes it there himself */
	struct journal_waiter *next;                     /**< the journal's */
};
/**
 * Have @w told. True: he led, that is, this call has waited for the disk in place of the commit thread. That spares two
 * switches of threads, and costs the group: worth it when nobody else can have anything to commit meanwhile.
 */
bool journal_notify(struct journal *j, struct journal_waiter *w);
/** Block until safe: 0 or -EIO. */
int journal_wait(struct journal *j, uint64_t seq, enum journal_level level);
/** Make everything appended so far durable (flushes inline without a thread). */
int journal_sync(struct journal *j);

/**
 * Read bytes of a payload, at @position (a frame's payload position plus an offset), from disk or from batches not yet written.
 * Returns 0 or -errno (-EIO when they are not there). Does not verify the frame's checksum; recovery and verify do.
 */
int journal_read(struct journal *j, uint64_t position, void *buf, size_t len);

/** Everything up to here survives power loss / has been acknowledged as written. */
uint64_t journal_durable_seq(struct journal *j);
/** 0, or the error that poisoned it. */
int journal_error(struct journal *j);

struct journal_stats {
	uint64_t frames, batches, syncs, bytes_written, segments, segment_bytes, reserved_bytes;
	uint64_t head_seq, durable_seq;
	uint32_t sync_interval_ms; /**< in force; 0: sync=commit */
	int64_t sync_ns_total, sync_ns_max;
};
void journal_get_stats(struct journal *j, struct journal_stats *ret);

/**
 * Read frames [@position…] of an open journal in order, from the file, through @fn; used by readers of the event log.
 * Stops after the frame with sequence @seq_last. Frames not yet written are served from memory.
 */
int journal_scan(struct journal *j, uint64_t position, uint64_t seq_last, journal_replay_fn fn, void *arg);

#endif
