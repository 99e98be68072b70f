/* SPDX-License-Identifier: MIT
 *
 * Handles: what an open file is to the daemon. fuse_file_info.fh holds the pointer.
 *
 *   HANDLE_READ    a snapshot: version chosen at first read, again at offset 0 and when the process gets a lock or publishes; follows appends
 *   HANDLE_WRITE   a draft (and, when it may read, its own view through the draft)
 *   HANDLE_VIEW    a version in a view, fixed
 *   HANDLE_VIRTUAL rendered text, or ranges of a log
 *   HANDLE_DIR     a listing taken at open / rewind
 *
 * A handle lives from OPEN to RELEASE; whoever finds it through the registry holds a reference meanwhile. Operations of the
 * kernel on their own handle need none: RELEASE comes after the last of them was answered.
 *
 * Locking: `lock` protects the mutable fields. Before draft.lock and engine.lock. The registry's locks are
 * innermost and never held while anything else is called.
 */
#ifndef MILESTONEFS_HANDLE_H
#define MILESTONEFS_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "fs.h"
#include "rule.h"

enum handle_kind { HANDLE_READ, HANDLE_WRITE, HANDLE_VIEW, HANDLE_VIRTUAL, HANDLE_DIR };

#define HANDLE_WRITERS_MAX 16

struct handle_dir; /* op_dir.c */
struct vnode;

/** A process seen writing through a handle. */
struct handle_writer {
	uint32_t tgid;
	bool killed; /**< it flushed while dying by a signal */
};

struct handle {
	enum handle_kind kind;
	uint64_t node_id;
	int open_flags;
	uint32_t opener_tid;     /**< thread that opened it; for read-only handles nothing more is asked */
	uint32_t opener_tgid;    /**< HANDLE_WRITE and is_lock; else 0 */
	atomic_uint reader_tgid; /**< HANDLE_READ: the same, once somebody has asked (handle_reader_tgid()) */
	atomic_bool refresh;     /**< its process obtained a lock, or published something: the next read looks at the newest version */
	atomic_uint locks;       /**< obtained through it and perhaps still held (op_lock.c): its RELEASE must keep its place */
	pthread_mutex_t lock;
	/* HANDLE_READ, HANDLE_VIEW: under lock */
	const struct version *snapshot;
	struct version_extents extents;
	bool is_lock;             /**< made by this open, with O_EXCL, in state/.locks: its creator's death matters */
	atomic_bool creator_died; /**< it closed it by ending */
	/* HANDLE_WRITE; draft is set at open, cleared under lock by RELEASE */
	struct draft *draft;
	struct actor actor;  /**< learned at open, refined at the first write of each thread (after exec); under lock */
	enum rule_kind rule; /**< of the path at open */
	bool created;        /**< made by this open (CREATE): its closing journals the name */
	uint64_t created_parent;
	char *created_name;                               /**< owned; where it was made, NULL if not by it */
	bool streams;                                     /**< may be published while open: see autocommit.h */
	bool killpriv_checked;                            /**< set-id bits were looked at for `last_tid`; under lock */
	bool opener_killed;                               /**< the opener flushed while dying by a signal; under lock */
	bool closed;                                      /**< a FLUSH found that no descriptor is left; under lock */
	uint32_t last_tid;                                /**< thread of the last write; under lock */
	struct handle_writer writers[HANDLE_WRITERS_MAX]; /**< under lock */
	uint32_t writer_count;
	uint32_t holders[HANDLE_WRITERS_MAX]; /**< found holding it at an earlier FLUSH; under lock */
	uint32_t holder_count;
	atomic_bool written; /**< anybody wrote or truncated through it */
	/** Only a hint that there may be something to publish: set before and after each change, cleared before each commit.
	 *  Who must be sure asks handle_has_unpublished(). */
	atomic_bool unsettled;
	atomic_bool newborn;      /**< its file was not in the journal yet: closing may take the name away */
	bool left;                /**< its RELEASE has begun: it will take nobody's bytes over; under the registry's lock */
	atomic_bool held;         /**< ftruncate(0) began a whole save: not to be published before close or fsync */
	_Atomic int64_t since_ns; /**< of a stream: its first write that is not published (monotonic); 0 none */
	/* HANDLE_VIRTUAL */
	const struct vnode *vnode;
	struct buf text;  /**< rendered at open; read-only afterwards. VFILE_WAIT: once there; under lock */
	uint64_t subject; /**< VFILE_WAIT: what it waits for */
	/* HANDLE_DIR: under lock */
	struct handle_dir *dir;
	/* the registry's */
	struct handle *prev, *next;
	uint32_t refs;
};

/** Is it in the registry while it is open? All but directories' and views'. */
static inline bool handle_registers(const struct handle *h)
{
	return h->kind == HANDLE_READ || h->kind == HANDLE_WRITE || h->kind == HANDLE_VIRTUAL;
}

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
	return fi ? (struct handle *)(uintptr_t)fi->fh : NULL;
}

/** Registry of open file handles by inode: for last-close counting, autocommit, locks, getattr of the writer. */
struct fs_handles *fs_handles_new(void);
/** And the handles left in it. No request is served any more; NULL allowed. */
void fs_handles_free(struct fs_handles *t);

/** A handle with one reference, in no registry. NULL: out of memory. */
struct handle *handle_new(enum handle_kind kind, uint64_t node_id, int open_flags, uint32_t tid);
/** Give up a reference; the last one frees (the draft must be closed by then). NULL allowed. */
void handle_unref(struct fs *fs, struct handle *h);

/** Enter (the registry keeps a reference of its own) and remove. HANDLE_READ and HANDLE_WRITE only. */
void handles_add(struct fs_handles *t, struct handle *h);
void handles_remove(struct fs *fs, struct handle *h);

/** How many other handles, whose RELEASE has not begun, have the same draft as @h? 0 for a private one. */
size_t handles_sharing(struct fs_handles *t, struct handle *h);
/**
 * The RELEASE of @h begins. The handles that share its draft are marked unsettled if @unpublished, in the same moment, so of several
 * that leave at once the last one knows it. Returns their count.
 */
size_t handles_leave(struct fs_handles *t, struct handle *h, bool unpublished);
/** Is any file handle open on the inode? */
bool handles_open(struct fs_handles *t, uint64_t ino);
/** Is any handle open for writing on the inode? A lock-free "no" in most cases. */
bool handles_writing(struct fs_handles *t, uint64_t ino);
/** Were pages of the inode read into the kernel's cache (a mapping)? Stays true while mounted. */
bool handles_mapped(struct fs_handles *t, uint64_t ino);
void handles_set_mapped(struct fs_handles *t, uint64_t ino);
/** Were POSIX locks of the inode asked for? Stays true while mounted. */
bool handles_locked(struct fs_handles *t, uint64_t ino);
void handles_set_locked(struct fs_handles *t, uint64_t ino);

struct handle_list {
	struct handle **items;
	size_t count;
};
/** All handles of an inode (0: of all), of @kind, each with a reference. 0 or -ENOMEM. Release the list. */
int handles_find(struct fs_handles *t, uint64_t ino, enum handle_kind kind, struct handle_list *ret);
void handle_list_release(struct fs *fs, struct handle_list *l);

/** Did @tgid open the handle, write through it, or is known to hold it? Takes h->lock. */
bool handle_used_by(struct handle *h, uint32_t tgid);
/**
 * Size and mtime as process @tid sees the inode because of open drafts: its own private one, else the shared one.
 * False: as published.
 */
bool handles_draft_stat(struct fs *fs, uint64_t ino, uint32_t tid, uint64_t *ret_size, int64_t *ret_mtime_ns);

/**
 * The handle of the inode through which the process of thread @tid has changed something that is not published, in a private draft.
 * A reference, or NULL.
 */
struct handle *handles_own_draft(struct fs *fs, uint64_t ino, uint32_t tid);
/** The handle whose draft the process of thread @tid sees through all its handles: as above, else one of the shared draft. A reference, or NULL. */
struct handle *handles_seen_draft(struct fs *fs, uint64_t ino, uint32_t tid);
/** The process that opened a HANDLE_READ. The kernel is asked once: a file may have many readers, and each save looks at all. */
uint32_t handle_reader_tgid(struct fs *fs, struct handle *h);
/** @h was published: those who wrote through it see that through all their handles of the file. Caller holds h->lock. */
void handles_refresh(struct fs *fs, struct handle *h);

/** Who reads, and for what. */
struct handle_reader {
	uint32_t tid; /**< a process that has a draft of the file sees it through its other handles too */
	bool paged;   /**< for the page cache, so of the live file and not of the snapshot */
};
/** The version a HANDLE_READ shows at @offset and @len more bytes. Caller holds h->lock. */
void handle_snapshot_choose(struct fs *fs, struct handle *h, uint64_t offset, size_t len);
/** Read through any file handle. Count or -errno. */
ssize_t handle_read(struct fs *fs, struct handle *h, const struct handle_reader *reader, uint64_t offset, void *buf, size_t len);
/** Write through a HANDLE_WRITE on behalf of thread @ctx->pid. 0 or -errno, all or nothing. */
int handle_write(struct fs *fs, struct handle *h, const struct fuse_ctx *ctx, int flags, uint64_t offset, const void *data, size_t len);
/** Before any other change through the handle: notes the process, removes set-id bits, marks it unsettled. Fills @ret_actor. */
void handle_begin_change(struct fs *fs, struct handle *h, const struct fuse_ctx *ctx, struct actor *ret_actor);
/** After it, done or not: a commit that came between has cleared the mark and perhaps not seen the change. */
void handle_end_change(struct fs *fs, struct handle *h);
/** Is there something to publish: bytes in the draft, or what opening it promised (truncation, a new file)? h->lock held, draft set. */
bool handle_has_unpublished(struct handle *h);
/** The newest published version of the inode as the live view shows it, or NULL. Takes the engine's lock. */
const struct version *handle_live_version(struct fs *fs, uint64_t ino);

/** Called by the session when it reads a RELEASE: must later requests wait until it has been carried out? */
bool handle_release_publishes(uint64_t fh);

#endif
