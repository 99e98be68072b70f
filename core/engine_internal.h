/* SPDX-License-Identifier: MIT
 *
 * L8. What the engine's files share; nobody else includes it. See engine.h for the locks.
 */
#ifndef MILESTONEFS_ENGINE_INTERNAL_H
#define MILESTONEFS_ENGINE_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>

#include "draft.h"
#include "engine.h"
#include "layout.h"
#include "registry.h"
#include "yaml_edit.h"

/** Bytes of changed content up to which a commit carries them in its own frame; more goes to the content store. */
#define COMMIT_INLINE_MAX (256u << 10)
/** Writes at least this long go straight to the content store. */
#define DRAFT_BLOCK_MIN (64u << 10)
/** What a frame needs beside content: paths, names, attributes, events. */
#define TXN_RESERVE_BASE (64u << 10)

/** Where a transaction's frame is, and when it was made. */
struct txn_ref {
	uint64_t position; /**< of the payload; that of the one before: lost to damage */
	int64_t time_ns;
};

/* ---- block_cache.c: decompressed blocks, so that small reads of a large lz4 block don't unpack it each time ---- */
struct block_cache;
struct block_cache *block_cache_new(size_t bytes_max);
void block_cache_free(struct block_cache *c);
/** Copy [skip, skip+len) of the raw block at @position if it is cached. */
bool block_cache_get(struct block_cache *c, uint64_t position, size_t skip, void *buf, size_t len);
/** Remember a raw block (copied). */
void block_cache_put(struct block_cache *c, uint64_t position, const void *data, size_t len);

/* ---- block_read.c, engine_read.c ---- */
#define CHECKED_BLOCKS_BITS 16 /* 64 Ki positions, 512 KiB */
/** Bytes [skip, skip+len) of what an extent shows, checked against their checksum on first reading. No lock needed. 0, -EIO, -ENOMEM. */
int extent_read(struct engine *e, const struct extent *x, uint64_t skip, void *buf, size_t len);
/** All of a version, NUL-terminated; the caller's. 0, -EIO, -ENOMEM. No lock held. */
int engine_read_text(struct engine *e, const struct version *v, char **ret);

/* ---- sha_cache.c: SHA-256 of file versions; lossy, so always recomputable ---- */
struct sha_cache;
struct sha_cache *sha_cache_new(void);
void sha_cache_free(struct sha_cache *c);
bool sha_cache_get(struct sha_cache *c, uint64_t ino, uint64_t born, struct sha256 *ret);
void sha_cache_put(struct sha_cache *c, uint64_t ino, uint64_t born, const struct sha256 *sha);

/* ---- hash_resume.c: running SHA-256 states of files being appended to ---- */
struct hash_resume;
struct hash_resume *hash_resume_new(void);
void hash_resume_free(struct hash_resume *c);
/** The state after all bytes of the version @born of the file; the caller's now. NULL: not known. */
struct sha256_state *hash_resume_take(struct hash_resume *c, uint64_t ino, uint64_t born);
/** Remember @state (taken over) for the version @born. */
void hash_resume_put(struct hash_resume *c, uint64_t ino, uint64_t born, struct sha256_state *state);

/** Sequence numbers of all transactions of one operation, ascending. */
struct seq_list {
	uint64_t *seqs;
	size_t count, capacity;
};

/** A ruled name that went away lately: created again within 2 s it keeps its identity (DESIGN, fine print). */
#define REMOVED_RECENTLY_MAX 16
#define REMOVED_RECENTLY_NS (2 * NS_PER_S)
struct removed_name {
	char *path;
	uint64_t ino;
	int64_t time_ns; /**< monotonic */
};

struct ended_draft {
	uint64_t id, seq;
};

#define DRAFT_BUCKETS 256
#define COMMIT_LOCKS 64

struct engine {
	struct env *env;
	struct store *store;
	struct journal *journal;
	struct arena *arena;
	struct engine_options options;
	struct journal_recovery recovery;

	pthread_mutex_t lock;
	/* under lock */
	struct tree *tree;
	struct event_logs *logs;
	struct config *config; /**< replaced whole; old ones stay valid until close (retired) */
	struct config **retired;
	size_t retired_count, retired_capacity;
	struct txn_ref *txns; /**< [seq - 1] */
	size_t txn_capacity;
	struct seq_list rollbacks, restores; /**< OPERATION_ROLLBACK, OPERATION_RESTORE */
	uint64_t head_seq;
	int64_t last_time_ns;
	struct buf scratch, encoded;
	struct draft *drafts[DRAFT_BUCKETS]; /**< live ones by inode number */
	size_t draft_count;
	uint64_t next_draft_id;
	struct draft *recovered;                         /**< found in the arena at start, or left by a holder that could not publish */
	uint64_t recovered_id_min;                       /**< none that was found has a lower id */
	struct ended_draft *ended;                       /**< drafts published by transactions not yet known to be safe */
	size_t ended_first, ended_count, ended_capacity; /**< entries before ended_first are done with */
	struct seq_list over;                            /**< ids of drafts that ended otherwise; the next transaction says so */
	struct restore_diff *restoring;                  /**< views that are being compared: restore_internal.h */
	struct removed_name removed[REMOVED_RECENTLY_MAX];
	size_t removed_next;
	struct buf problems;           /**< sentences for health, from recovery */
	struct journal_damage *damage; /**< what was found damaged since recovery, by scrub.c */
	size_t damage_count, damage_capacity;
	uint64_t damaged_blocks[ENGINE_DAMAGED_BLOCKS_MAX]; /**< positions of content that could not be read */
	size_t damaged_block_count;
	struct reason *recover_reason;     /**< during recovery only */
	struct record_arena replay_memory; /**< during recovery only */
	uint64_t commits, refusals, conflicts, bytes_committed, drafts_pending;
	uint64_t index_seq, replayed;
	uint64_t snapshot_seq; /**< constant: of the snapshot found whole at start, used or not */
	bool index_running, index_wanted, stopping;
	struct registry *registry;     /**< registry.h */
	struct barriers *barriers;     /**< barrier.h */
	struct lock_files *lock_files; /**< lock_file.h */
	struct upkeep *upkeep;         /**< upkeep.h */
	struct buf index_drafts;       /**< during recovery: drafts live when the snapshot was taken, le64 each */
	uint64_t index_draft_id;       /**< and the next id then; drafts below it that are not listed are over. 0: no snapshot */
	/* own locks or atomic */
	pthread_cond_t index_cond; /**< with lock */
	pthread_t index_thread;
	bool index_started;
	pthread_cond_t scrub_cond; /**< with lock */
	pthread_t scrub_thread;
	bool scrub_started;
	uint64_t scrub_seq;                         /**< constant while the thread runs */
	uint64_t *checked_blocks;                   /**< atomic: positions of blocks whose checksum was seen to hold; lossy */
	pthread_mutex_t commit_locks[COMMIT_LOCKS]; /**< by inode: one ruled commit of a file at a time; after draft.lock, before lock */
	struct block_cache *blocks;
	struct sha_cache *shas;
	struct hash_resume *hashes;
	engine_observer_fn observer;
	void *observer_arg;
	int64_t opened_ns, recovery_ns;
};

/* ---- txn.c: one transaction being made ---- */

struct txn {
	struct engine *e;
	struct request *q;
	enum operation operation;
	int64_t started_ns; /**< 0: now */
	uint64_t draft_id;
	const struct version *base; /**< the target's version before it; NULL none */
	struct sha256 base_sha;     /**< zeros: unknown */
	const char *path;
	struct change *changes;
	size_t change_count, change_capacity;
	struct event *events;
	size_t event_count, event_capacity;
	struct node **newborns; /**< lose their names right before the changes are applied; in txn memory */
	size_t newborn_count;
	struct record_blocks blocks;
	struct record_rollback *rollback;
	void **owned; /**< memory that goes with it */
	size_t owned_count, owned_capacity;
	size_t reserved_bytes; /**< of journal room */
	bool reserved, staged;
	bool concerns_model; /**< after staging: a change is in a place of the registry's */
	uint64_t seq;
	uint64_t blocks_position; /**< after staging */
	int error;                /**< -ENOMEM while building, sticky */
};

void txn_init(struct txn *t, struct engine *e, struct request *q, enum operation op);
/** Promise journal room for the blocks so far, TXN_RESERVE_BASE and @extra_bytes. No lock held. 0, -ENOSPC, -EFBIG, -EROFS (poisoned or read-only). */
int txn_reserve(struct txn *t, size_t extra_bytes);
/** Zeroed; never NULL (a sticky error and a dummy on -ENOMEM). Pointers are valid until the next add. */
struct change *txn_add_change(struct txn *t);
struct event *txn_add_event(struct txn *t, enum event_type type, const char *path);
/** Members of data for the last event, printf-like. */
void txn_event_more(struct txn *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *txn_strdup(struct txn *t, const char *s);
/** Memory that lives as long as the transaction. NULL: sticky -ENOMEM. */
void *txn_alloc(struct txn *t, size_t bytes);
/** The most its record can take, as it is now. */
size_t txn_bytes_max(const struct txn *t);
/** Seal, append, apply. Engine lock held. Sets t->seq and q->seq. 0, -ENOMEM, or -ENOSPC when it outgrew its reservation; nothing changed then. */
int txn_stage(struct txn *t);
/** After unlocking: tell the observer, give back what was not used, free. */
void txn_finish(struct txn *t);

/** Remember a replayed or staged record: transaction index, event logs, draft ids. Under the lock; memory was reserved. */
int engine_reserve_refs(struct engine *e, uint64_t seq);
/** The journal goes on after @last: numbers above the head up to it are lost. At start. 0 or -ENOMEM. */
int engine_note_lost(struct engine *e, uint64_t last);
void engine_note_record(struct engine *e, const struct record *r, uint64_t payload_position);
/** Was the frame of @seq lost to damage? Under the lock. */
bool engine_seq_lost(const struct engine *e, uint64_t seq);
/** A sentence for health and the log of recovery, printf-like with newline added. Under the lock (or during recovery). */
void engine_problem(struct engine *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Reload settings from status/config.yaml if there. No lock held. */
int engine_reload_config(struct engine *e);
/** The transaction an event is of. Under the lock. */
uint64_t engine_event_seq(struct engine *e, const struct event_ref *ref);

/* ---- engine.c, engine_recover.c, index.c ---- */
/** Store, arena (collecting drafts) and journal (replaying through @fn). */
int engine_open_stores(struct engine *e, journal_replay_fn fn, struct reason *reason);
int engine_recover(struct engine *e, struct reason *reason);
int index_load(struct engine *e, uint64_t *ret_position, uint64_t *ret_seq);
/** Write a snapshot of everything up to the durable head. No lock held; takes it in short slices. */
int index_write(struct engine *e);
int index_start(struct engine *e);
void index_stop(struct engine *e);
/** Under the lock, after a commit: is it time? */
void index_consider(struct engine *e);

/* ---- scrub.c ---- */
/** Look over the frames 1…@last_seq, which recovery has not read, in the background. 0 or -errno. */
int scrub_start(struct engine *e, uint64_t last_seq);
void scrub_stop(struct engine *e);

/* ---- namespace helpers ---- */
/** A live directory by number, or NULL with *@ret_error -ENOENT / -ENOTDIR. Lock held. */
struct node *engine_live_dir(struct engine *e, uint64_t ino, int *ret_error);
/** Path of an entry to be, in txn memory. Lock held. */
char *engine_child_path(struct txn *t, const struct node *parent, const char *name);
/** A place for a new entry @name of type @mode: its directory and its path (in txn memory, also t->path), after all checks. Lock held. 0 or -errno. */
int engine_place_new(struct txn *t, uint64_t parent, const char *name, uint32_t mode, struct node **ret_dir, char **ret_path);
/** The file (nothing else) that was to be replaced at @path, since its name went away within 2 s. NULL: none. Lock held. */
struct node *engine_removed_file(struct engine *e, const char *path);
/** What a refused save or rename was to replace comes back at @path, if that is free. @path outlives the transaction. Lock held. */
void engine_put_back(struct txn *t, const char *path);
/** Remember that a ruled name went away; and find one that did within 2 s: its inode or 0. Lock held. */
void engine_note_removed(struct engine *e, const char *path, uint64_t ino);
uint64_t engine_removed_recently(struct engine *e, const char *path);
/** Owner and mode of something made in @parent (setgid directories hand down their group). */
void engine_inherit(const struct node *parent, const struct request *q, uint32_t *mode, uint32_t *gid);
/** Fill event fields for the version change of a file. */
void event_set_old_sha(struct event *ev, const struct sha256 *sha);
void event_set_new_sha(struct event *ev, const struct sha256 *sha);
int engine_check_writable(struct engine *e, struct request *q);

/* ---- draft internals ---- */
struct draft {
	struct engine *e;
	struct draft *next;           /**< bucket chain or list of recovered; engine lock */
	uint32_t holders;             /**< engine lock */
	_Atomic enum draft_kind kind; /**< set under draft.lock */
	struct node *node;
	uint64_t ino;
	pthread_mutex_t lock;
	/* under draft.lock */
	_Atomic uint64_t id; /**< 0: no bytes in the arena yet; the engine lock suffices to read it */
	struct actor actor;
	_Atomic uint32_t writer_pid; /**< actor.pid; the engine lock suffices to read it */
	int64_t started_ns, mtime_ns;
	struct extent_map map;       /**< what was written; EXTENT_ZERO covers zeros. APPEND: offsets from the end of the base */
	uint64_t size;               /**< WHOLE: the file's; PATCH, SHARED: end of what was written or set; APPEND: bytes */
	bool size_set;               /**< PATCH, SHARED: truncated or extended: size is the file's */
	_Atomic bool dirty, written; /**< the engine lock suffices to read them */
	bool refused;
	bool created;               /**< opened on a newborn: closing commits the creation, unless somebody else did */
	bool append;                /**< opened for appending: once clean, it appends again */
	_Atomic uint64_t split_id;  /**< while a commit takes a part (draft_split()): whose bytes those still are; 0 none. As id */
	uint64_t last_seq;          /**< transaction that last took bytes of it, 0 none */
	_Atomic bool keep_mtime;    /**< utimens came after the last write; set under the engine lock, too */
	const struct version *base; /**< what its reader sees below; SHARED and APPEND: the newest */
	struct version_extents base_extents;
	char *recent; /**< the bytes of the last write, if they were few: a commit need not read them back; NULL none */
	uint64_t recent_offset;
	size_t recent_len;
	char *base_text; /**< PATCH of a file of the state model: what its writer saved, while the file holds that merged; NULL: the base's own content */
	size_t base_len;
	struct sha256_state *sha; /**< of a WHOLE draft written in order from 0; NULL otherwise */
	uint64_t sha_next;
	/* engine lock */
	bool unlinked_by_own; /**< its last name was removed by its own process */
	char *lost_path;      /**< where that name was */
	bool taken;           /**< recovered: being published or discarded */
	/* recovered only, immutable */
	bool recovered;
	char *path;
	uint32_t mode, uid, gid;
	uint64_t base_seq;
};

/** Position of bytes that are zeros, in draft maps. */
#define EXTENT_ZERO UINT64_C(1)

/** What draft_prepare() found out, outside the engine lock, for one commit. */
struct draft_plan {
	struct record_blocks blocks;
	struct extent *extents; /**< absolute file offsets (APPEND: relative to the end of the base) */
	size_t extent_count, extent_capacity;
	uint64_t append_len;         /**< APPEND: bytes published by this plan */
	const struct version *base;  /**< newest version it was made against; NULL for a newborn */
	const struct version *under; /**< what a patch lies over: the base, but for a file of the state model that only the daemon has touched since */
	const struct node *before;   /**< had this ever well-formed content, malformed content is refused */
	bool base_matters;           /**< the plan is void if the base is no longer the newest */
	bool malformed;              /**< accepted all the same */
	struct reason reason;        /**< of malformed, or of a refusal */
	bool refuse;
	char *text; /**< what the rules looked at (to be kept when refused); owned */
	size_t text_len;
	uint64_t size;            /**< of the file afterwards; APPEND: unused */
	uint64_t rest_id;         /**< APPEND, after draft_split(): the draft this plan ends; the rest has d->id. 0: nothing is left over */
	struct extent_map rest;   /**< what is left over, at its place in the draft arena */
	bool whole;               /**< the extents are the whole file */
	struct model_save *model; /**< of a file of the state model: text is what it becomes; NULL: an ordinary file */
	enum rule_kind rule;
	bool have_sha, have_old_sha, have_bytes_sha;
	struct sha256_state *running; /**< APPEND: after the whole file as it will be; NULL: not known */
	struct sha256 sha, old_sha, bytes_sha;
};
/** [offset, offset+len) as if the draft's map lay over @base; draft.lock held; gaps beyond the base are zeros. 0 or -errno. */
int draft_view_read(struct draft *d, const struct version *base, uint64_t offset, void *buf, size_t len);
/** Gather, check and hash what @d would publish under @paths. @before: whose content the names stood for until now (NULL: none). draft.lock held, engine lock not. 0 or error; plan->refuse tells of rules. */
int draft_prepare(struct draft *d, char *const *paths, size_t path_count, const struct node *before, int flags, struct draft_plan *plan);
/** Add the CONTENT change (with the creation of a newborn) and its events to a transaction; engine lock held. -EAGAIN when the base moved and matters. */
int draft_add_to_txn(struct draft *d, struct draft_plan *plan, struct txn *t, const char *path);
/** What its creation adds to a frame when the draft's inode is a newborn; no engine lock held. */
size_t draft_newborn_bytes(struct draft *d);
/** Before staging a plan that publishes only the first part of an APPEND draft: the rest becomes a draft of its own, so that the
 *  transaction can end the one it comes from. draft_unsplit() when it was not staged (harmless otherwise). draft.lock held. */
int draft_split(struct draft *d, struct draft_plan *plan);
void draft_unsplit(struct draft *d, struct draft_plan *plan);
/** Is the plan still true of the newest version? Engine lock held. */
bool draft_plan_holds(const struct draft *d, const struct draft_plan *plan);
/** The plan's transaction was staged. draft.lock held, engine lock not. */
void draft_committed(struct draft *d, struct draft_plan *plan, struct txn *t);
void draft_plan_release(struct draft_plan *plan);
/** Hash of the base, if it is known or cheap. No lock needed but draft.lock. */
void draft_plan_old_sha(struct draft *d, struct draft_plan *plan);
/** The map is about to change otherwise than by a write. draft.lock held. */
void draft_recent_forget(struct draft *d);
/** Extents of what the draft itself holds, base left out; for keeping it. draft.lock held. */
int draft_own_extents(struct draft *d, struct draft_plan *plan);
/** The one private dirty draft of a node (a reference is taken), or NULL. Engine lock held. */
struct draft *draft_of_node(struct engine *e, const struct node *n);
void draft_unref(struct draft *d);
/** Append where the draft's inode is, or was last; nothing when that is not known. Engine lock held. */
void draft_last_path(struct draft *d, struct buf *ret);
/** Keep @text (or the draft's own bytes when NULL) as OPERATION_ROLLBACK. draft.lock held, engine lock not. */
int draft_keep_refused(struct draft *d, struct request *q, struct draft_plan *plan, enum event_type type, enum operation wanted, int error, const char *path);
/** Who is making a newborn, and since when. False: nobody has it open for writing any more. Lock held. */
bool drafts_of_newborn(struct engine *e, const struct node *n, uint32_t *ret_pid, int64_t *ret_started_ns);
/** Tell drafts of a node: a name was removed by @pid; utimens came. Engine lock held. */
void drafts_note_unlinked(struct engine *e, const struct node *n, uint32_t pid);
void drafts_note_utimens(struct engine *e, const struct node *n);
/** Publish transactions' drafts as ended once they are safe. */
void drafts_reap(struct engine *e);
void draft_note_ended(struct engine *e, uint64_t id, uint64_t seq);
/** A draft that no transaction publishes or keeps ends: the arena may give its bytes up, and the next transaction names it, since the arena's word
 *  does not survive power loss. No engine lock held. */
void draft_end(struct engine *e, uint64_t id);
/** Ids for the transaction being staged, at most RECORD_DRAFTS_OVER_MAX, until they are taken off: it is staged. Engine lock held. */
uint32_t drafts_over(const struct engine *e, const uint64_t **ret_ids);
void drafts_over_said(struct engine *e, uint32_t count);
/** Arena recovery: collects drafts left behind. */
int draft_recover_record(void *arg, const struct arena_record *r, uint64_t position);
void drafts_forget_consumed(struct engine *e, uint64_t draft_id);
void drafts_finish_recovery(struct engine *e);
void draft_free(struct draft *d);
/**
 * May version @v be known as @path (rename, link)? 0 (with *@ret_malformed, NULL allowed, set when only accepted because the name never
 * had a well-formed version), -EBADMSG with the reason, -EIO. @replaced: what the name stands for now, or NULL. No lock held.
 */
int engine_check_content(struct engine *e, struct request *q, const char *path, const struct version *v, const struct node *replaced, bool *ret_malformed);
/** Was there ever well-formed, non-empty content at this name? Reads content; engine lock not held. */
bool engine_had_valid(struct engine *e, const char *path, const struct node *node);

/* ---- restore_diff.c ---- */
/** Before they are applied: a restore that compares views may depend on what these changes alter, or on an entry of a newborn. Lock held. */
void restores_note_changes(struct engine *e, const struct change *changes, size_t count);
void restores_note_entry(struct engine *e, uint64_t parent, uint64_t ino);
/** tree_newborn_unlink(), and whoever depends on the name is told. Lock held. */
void engine_newborn_unlink(struct engine *e, struct node *n);

/* ---- the state model: registry.c, barrier.c, lock_file.c, upkeep.c, file_edit.c, engine_model.c ---- */

struct barriers;
struct lock_files;
struct upkeep;

/** Made at the end of recovery from what the tree holds; the parts' own state. No lock held, one thread. 0 or -ENOMEM. */
int registry_start(struct engine *e);
int barriers_start(struct engine *e);
int lock_files_start(struct engine *e);
int upkeep_start(struct engine *e);
/** NULL-safe. */
void registry_free(struct registry *r);
void barriers_free(struct barriers *b);
void lock_files_free(struct lock_files *l);
void upkeep_free(struct upkeep *u);

/** registry_place_of() with the lock taken; copies the session's id ("" none). */
enum place_kind engine_place_of(struct engine *e, uint64_t dir_ino, char session[ACTOR_ID_BYTES]);
/** After a transaction that concerns the model, on the committing thread, no lock held: reads the files and settings that changed. */
void registry_after_commit(struct engine *e, const struct change *changes, size_t count);
/** What that file of the model says as of now is in force after this, unless it cannot be read. For who is about to overwrite what it says. No lock held. */
void registry_load_file(struct engine *e, uint64_t ino);
/** In txn_stage(), lock held: what came and went, sessions' newest change, agents' signs of life and counts. A look into a table for each change. */
void registry_note_transaction(struct engine *e, struct txn *t);
/** Is it somebody else's doing than the daemon's, and more than the taking or removing of a checkpoint? */
bool registry_is_change(enum operation op, const struct actor *actor);
/** For the registry, lock held, O(1): an agent gave a sign of life at @now_ns (wall clock); its file says something else than it was @before; somebody
 *  changed a session. */
void upkeep_agent_lived(struct engine *e, struct agent *a, int64_t now_ns);
void upkeep_agent_changed(struct engine *e, struct agent *a, enum agent_status before);
void upkeep_session_changed(struct engine *e, struct session *s);
/** Something that files do not say yet is to be written, at the next time for that. Lock held. */
void upkeep_arm_files(struct engine *e);
/** At the end of a mount: write what is pending, whenever it is due. No lock held, no other thread in upkeep. */
void upkeep_finish(struct engine *e);
/** Something in agents/.sync or in a barrier's directory changed (@ino: what has or had the name): look again. Lock held. */
void barriers_changed(struct engine *e, struct session *s, uint64_t dir_ino, uint64_t ino);
/** After that: `participants` and `timeout` files that have another version count from now on. No lock held (they are read). */
void barriers_read_files(struct engine *e);
/** Call the barriers' observer. No lock held. */
void barriers_tell(struct engine *e);
/** The process that @number means, written just now by the process @writer (0: by nobody who could mean another one). No lock held. */
uint32_t registry_number_meant(struct engine *e, uint32_t writer, uint32_t number);
/** A file directly in state/.locks was made, written or removed. No lock held (its content is read). */
void lock_files_changed(struct engine *e, uint64_t ino);
/** An agent is dead or gone from the session: its locks end at the next upkeep. Lock held. */
void lock_files_agent_died(struct engine *e, const char *session, const char *agent);
/** The same for barriers; not @dead: it has completed, which may be taken back. Lock held. */
void barriers_agent_ended(struct engine *e, const struct session *s, const char *agent, bool dead);
void lock_files_process_ended(struct engine *e, uint32_t pid);
/** That process runs since @started_ns (wall clock): locks written before belonged to another one of that number, which has ended. Lock held. */
void lock_files_process_seen(struct engine *e, uint32_t pid, int64_t started_ns);
/** Pids that locks add to the watched ones. Lock held. */
void lock_files_each_pid(struct engine *e, void (*fn)(void *arg, uint32_t pid), void *arg);
/** Have these changed since this was asked last? Lock held. */
bool lock_files_pids_changed(struct engine *e);

/** Tasks of upkeep.c: do what is due at @now_ns (monotonic), return when they are due next (INT64_MAX: only when woken). No lock held. */
int64_t barriers_upkeep(struct engine *e, int64_t now_ns);
int64_t lock_files_upkeep(struct engine *e, int64_t now_ns);

/**
 * A daemon's own edit of a file that rides in a transaction: prepared without the lock against the newest version, added under it.
 * The text must be small (files of the state model).
 */
struct file_edit {
	uint64_t ino;
	const struct version *base;
	struct extent extent;
	uint64_t size;
	bool same; /**< nothing to change */
};
/** The newest version's whole text, for making an edit of it: 0 with an owned, NUL-terminated text; -ENOENT, -EFBIG (rule_bytes_max), -EIO, -ENOMEM. No lock held. */
int file_edit_read(struct engine *e, uint64_t ino, const struct version **ret_base, char **ret_text, size_t *ret_len);
/** @text replaces @base: goes to @blocks (not yet reserved). 0 or -ENOMEM. */
int file_edit_prepare(uint64_t ino, const struct version *base, const char *text, size_t len, struct record_blocks *blocks, struct file_edit *ret);
/** Lock held. mtime stays. 0; -EAGAIN when the file has moved on: prepare again. */
int file_edit_add(const struct file_edit *f, struct txn *t);
/** What a save of session.yaml or an agent's file brings along: engine_model.c. */
struct model_save {
	enum model_kind kind;
	char session[ACTOR_ID_BYTES], agent[ACTOR_ID_BYTES];
	char *user_text; /**< what was saved, before it was merged; owned */
	size_t user_len;
	bool registers, status_changed;
	const char *from, *to;                   /**< statuses */
	char *type;                              /**< of an agent; owned */
	uint64_t operations_added, errors_added; /**< that the text takes in */
	bool has_edit;
	struct file_edit edit; /**< session.yaml's list of agents */
};
/**
 * Merge what is to be saved at @path, a file of the state model. @before: what the name stands for (a newborn or NULL: what went away lately).
 * @text (owned) and @len become the merged text; blocks of riding edits go to @blocks. 0; -EBADMSG refused, with @reason; -ENOENT: no such session, it
 * is a plain file; -ENOMEM; on failure all is as it was. No engine lock.
 */
int model_save_prepare(struct engine *e, const char *path, const struct node *before, char **text, size_t *len, struct record_blocks *blocks,
	struct reason *reason, struct model_save **ret);
/** Its events and riding edits. Lock held, before txn_stage(). 0, -EAGAIN, -ENOMEM. */
int model_save_add(struct model_save *m, struct txn *t, const char *path);
/** Events of agents: the file @path registers one; its status is another by @path's change. */
void model_add_registered(struct txn *t, const char *path, const char *agent, const char *type);
void model_add_agent_status(struct txn *t, const char *path, const char *agent, const char *from, const char *to, const char *reason);
/** After txn_stage(), lock still held. */
void model_save_staged(struct model_save *m, struct engine *e, uint64_t seq);
void model_save_free(struct model_save *m);
/** The newest transaction in which a user saved the file of the state model at @path; UINT64_MAX: no such file. Takes the lock. */
uint64_t model_user_seq(struct engine *e, const char *path);
/** The daemon's own values for a session's file as of now (owned buffers). Lock held. @now_ns: last_updated. 0 or -ENOMEM. */
struct session_owned_text {
	struct session_owned owned; /**< points to what follows; may be moved */
	char *id;
	struct buf active_agents, last_checkpoint, recovery_points;
};
int session_owned_fill(struct engine *e, const struct session *s, int64_t now_ns, struct session_owned_text *ret);
void session_owned_release(struct session_owned_text *o);

#endif
