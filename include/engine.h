/* SPDX-License-Identifier: MIT
 *
 * L8. The engine: the only door through which anything is changed. It owns the store, journal, arena, tree, event logs,
 * settings, and knows the rules.
 *
 * The corridor of a change:  reserve (may do I/O) → lock → check, stage, seal, append, apply → unlock → tell the observer → wait.
 *
 * Locks, in order (take left before right; never the other way):
 *     draft.lock  →  engine.lock  →  journal's and arena's own
 * No lock is held across a write, a sync, or rule checking of content.
 * engine.lock protects: tree, event logs, chains, transaction index, settings, drafts' list.
 *
 * Transactions are visible to readers when applied, acknowledged only when safe: every changing function
 * returns the sequence number to wait for in request.seq (0: nothing to wait for).
 */
#ifndef MILESTONEFS_ENGINE_H
#define MILESTONEFS_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor.h"
#include "arena.h"
#include "config.h"
#include "event_log.h"
#include "journal.h"
#include "record.h"
#include "tree.h"

struct engine;

struct engine_options {
	bool read_only;              /**< change nothing on disk (fsck, log, export beside a live daemon); no lock taken */
	bool threads;                /**< start the journal's threads; without, waiting flushes inline (tests) */
	uint64_t segment_bytes;      /**< 0: default */
	uint32_t root_uid, root_gid; /**< owner of what a fresh store is made of */
	bool no_index;               /**< replay everything (fsck) */
	uint64_t durable_seq;        /**< with no_index: the number of a snapshot that is whole (engine_stats.snapshot_seq); 0 none */
	bool sync_given;             /**< sync_interval_ms holds, whatever config.yaml says (-o sync=) */
	uint32_t sync_interval_ms;   /**< 0: sync=commit */
	const char *project;         /**< absolute path of the project directory, borrowed while open; NULL: unknown */
};

/**
 * Open (and when new, make) the store in the root of @env, recover, and be ready.
 * A fresh store gets transaction 1: the fixed directories and status/config.yaml.
 * Errors as store_open() and journal_open(), with @reason.
 */
int engine_open(struct env *env, const struct engine_options *opt, struct reason *reason, struct engine **ret);
/** Write what is left, an index snapshot, close everything. Open drafts stay in the arena (pending at the next start). Returns 0 or the poison. */
int engine_close(struct engine *e);

/* ---- reading ---- */

void engine_lock(struct engine *e);
void engine_unlock(struct engine *e);
/** Under the lock; for reading only. */
struct tree *engine_tree(struct engine *e);
/** As far as they are shown: up to engine_shown_seq(). Ask for them anew each time. */
struct event_logs *engine_event_logs(struct engine *e);
const struct config *engine_config(struct engine *e);
/** The sequence number of the live view: SEQ_LIVE, or the last durable one once the journal is poisoned. Under the lock. */
uint64_t engine_live_seq(struct engine *e);
/** Newest transaction applied. */
uint64_t engine_head_seq(struct engine *e);
/** Newest transaction that readers see: the newest applied, or the last durable one once the journal is poisoned. */
uint64_t engine_shown_seq(struct engine *e);
/** Commit time of a transaction; and the newest transaction at or before a time (0: none). Under the lock. */
int64_t engine_seq_time(struct engine *e, uint64_t seq);
uint64_t engine_seq_at_time(struct engine *e, int64_t time_ns);
struct env *engine_env(struct engine *e);

/**
 * Read a version's bytes: takes the lock for finding the extents, not for reading them. @scratch as for tree_extents(), one per
 * reader. Holes read as zeros. Returns the count (short only at the end of the file), -EIO, -ENOMEM.
 */
ssize_t engine_read(struct engine *e, const struct version *v, struct version_extents *scratch, uint64_t offset, void *buf, size_t len);
/** SHA-256 of a version's whole content, cached per version. 0, -EIO, -ENOMEM. Takes the lock; reads without it. */
int engine_content_sha(struct engine *e, const struct node *node, const struct version *v, struct sha256 *ret);
/** Load the record of a transaction that is shown. 0, -ENOENT, -EIO, -ENOMEM. Takes the lock briefly. */
int engine_load_record(struct engine *e, uint64_t seq, struct record **ret);
/** Render bytes [offset, offset+len) of an event log into @out (appended). Takes the lock for the slice. 0 or -errno. What comes before an event that
 *  cannot be read is given, and then less than @len though there is more; -EIO when @offset lies in it. */
int engine_read_events(struct engine *e, const struct event_log_key *key, uint64_t offset, size_t len, struct buf *out);
/** When the transaction of an event was committed. Under the lock. */
int64_t engine_event_time(struct engine *e, const struct event_ref *ref);
/** Read the draft bytes a rollback record kept. Returns the count. */
ssize_t engine_read_rollback(struct engine *e, const struct record *r, uint64_t offset, void *buf, size_t len);
/** Newest rollback (or, with @rollbacks false, committed) transactions, newest first, from @before (exclusive; 0: newest) on: fills @out. Under the lock. */
size_t engine_list_transactions(struct engine *e, bool rollbacks, uint64_t before, uint64_t *out, size_t max);
/** Restores of checkpoints, likewise. Under the lock. */
size_t engine_list_restores(struct engine *e, uint64_t before, uint64_t *out, size_t max);
/** Transactions whose records cannot be read, found by recovery or since, when old history was looked over (those without bytes). Caller frees
 *  the array. 0 or -ENOMEM. Takes the lock. */
int engine_list_damage(struct engine *e, struct journal_damage **ret, size_t *ret_count);
/** Positions of blocks of content that somebody wanted to read since the mount and that are damaged: the first so many. Takes the lock. */
#define ENGINE_DAMAGED_BLOCKS_MAX 64
size_t engine_list_damaged_blocks(struct engine *e, uint64_t out[ENGINE_DAMAGED_BLOCKS_MAX]);

/* ---- waiting ---- */

int engine_wait(struct engine *e, uint64_t seq, enum journal_level level);
/** journal_wait() and journal_notify(); sequence number 0 waits for nothing. */
bool engine_notify(struct engine *e, struct journal_waiter *w);
int engine_sync(struct engine *e);

/* ---- changing names and attributes: one transaction each ---- */

/** Who asks, and what became of it. */
struct request {
	struct actor actor;
	uint32_t uid, gid;    /**< owner of what is made */
	struct reason reason; /**< filled on errors a person should understand */
	uint64_t seq;         /**< out: wait for it; 0 nothing */
};

/** Make a newborn regular file: visible at once, journaled with its first commit. @ret: its attributes. -EEXIST, -ENOENT, layout errors. */
int engine_create(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, struct tree_attr *ret);
/** mkdir; below state/sessions it makes a whole session. */
int engine_mkdir(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, struct tree_attr *ret);
/** FIFOs, sockets, devices; also S_IFREG (an empty file, journaled at once). */
int engine_mknod(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, uint64_t rdev, struct tree_attr *ret);
int engine_symlink(struct engine *e, struct request *q, uint64_t parent, const char *name, const char *target, struct tree_attr *ret);
/** A newborn enters the journal with what its open draft holds (before it gets a second name, or when it needs a number). 0, also where nothing is to be
 *  done; as draft_commit(). */
int engine_settle_newborn(struct engine *e, struct request *q, uint64_t ino);
/** Settles @ino first. */
int engine_link(struct engine *e, struct request *q, uint64_t ino, uint64_t parent, const char *name, struct tree_attr *ret);
int engine_unlink(struct engine *e, struct request *q, uint64_t parent, const char *name);
/** A session goes with its empty skeleton, session.yaml and what the daemon made by itself (automatic checkpoints too), in one transaction; -ENOTEMPTY when anything else is in it. */
int engine_rmdir(struct engine *e, struct request *q, uint64_t parent, const char *name);
/** @flags: RENAME_NOREPLACE, RENAME_EXCHANGE (others -EINVAL). An open private draft of the source is committed in the same transaction; rules of the target apply. */
int engine_rename(struct engine *e, struct request *q, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name, uint32_t flags);
/** @c: a CHANGE_ATTR (mask says what); ctime becomes now. Durable with the next sync (request.seq is 0). */
int engine_setattr(struct engine *e, struct request *q, uint64_t ino, const struct change *c, struct tree_attr *ret);
/** @flags: XATTR_CREATE, XATTR_REPLACE. value NULL removes. */
int engine_setxattr(struct engine *e, struct request *q, uint64_t ino, const char *name, const char *value, size_t len, int flags);
/** Log an event that changes nothing else (custom events). @session "" for global. */
int engine_log_event(
	struct engine *e, struct request *q, enum event_type type, const char *session, const char *path, const char *custom_type, const char *more);
/** One transaction out of plain files found in the store directory: see adopt.c. Calls @next until it returns 0. */
struct adopt_entry {
	const char *path; /**< relative, parents come first */
	uint32_t mode, uid, gid;
	int64_t mtime_ns;
	const char *symlink; /**< target when S_ISLNK */
	const char *link_to; /**< an earlier path of which this is one more name; NULL */
	bool filled;         /**< a directory that came before and has got its entries: only its time is meant */
	/** Regular files: read the next bytes: count, 0 at the end, -errno. */
	ssize_t (*read)(struct adopt_entry *a, void *buf, size_t len);
	/** Call @add for each extended attribute; 0 or what it returned. NULL: there are none. */
	int (*xattrs)(struct adopt_entry *a, int (*add)(void *arg, const char *name, const char *value, size_t len), void *add_arg);
	void *arg;
};
int engine_adopt(struct engine *e, struct request *q, int (*next)(void *arg, struct adopt_entry *ret), void *arg, uint64_t *ret_files);

/* ---- being told ---- */

/** Called after each transaction was applied, on the committing thread, without the engine lock (a draft's lock may be held: do not call back); @changes are valid during the call. */
typedef void (*engine_observer_fn)(void *arg, uint64_t seq, const struct change *changes, size_t count);
void engine_set_observer(struct engine *e, engine_observer_fn fn, void *arg);

/* ---- health ---- */

enum engine_status { ENGINE_HEALTHY, ENGINE_DEGRADED, ENGINE_READ_ONLY };
struct engine_health {
	enum engine_status status;
	struct buf why; /**< one sentence a line; empty when healthy */
};
void engine_get_health(struct engine *e, struct engine_health *ret); /* release ret->why */

struct engine_stats {
	struct journal_stats journal;
	struct arena_stats arena;
	struct tree_stats tree;
	struct journal_recovery recovery; /**< borrowed */
	uint64_t commits, refusals, rollbacks, conflicts, bytes_committed, drafts_open, drafts_pending;
	uint64_t index_seq;             /**< newest index snapshot, 0 none */
	uint64_t snapshot_seq;          /**< of the one that was found whole at start, though the journal may not have led on from it; 0 none */
	uint64_t replayed;              /**< frames replayed at start */
	int64_t opened_ns, recovery_ns; /**< when, and how long recovery took */
};
void engine_get_stats(struct engine *e, struct engine_stats *ret);

/** The agent whose registered pid this is (agents' files with `pid:`), "" if none: for attribution by ancestor. Copies id and session. */
bool engine_agent_of_pid(struct engine *e, uint32_t pid, char out[ACTOR_ID_BYTES], char session[ACTOR_ID_BYTES]);
bool engine_has_agent_pids(struct engine *e);
/** 0 while no agent has a pid; else a number that changes with the set. */
uint64_t engine_agent_pids_generation(struct engine *e);

#endif
