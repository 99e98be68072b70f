/* SPDX-License-Identifier: MIT
 *
 * L8. Drafts: what writers wrote and nobody else may see yet. Part of the engine's door: a commit of content goes through here.
 *
 * kinds                  made by                                   readable by        commit
 *   DRAFT_WHOLE   private  O_TRUNC, ftruncate(0), a new file          its handle         replaces the file
 *   DRAFT_PATCH   private  O_RDWR/O_WRONLY of a structured file       its handle         changed extents over the newest version
 *   DRAFT_APPEND  private  O_APPEND                                   its handle         bytes at the end of the newest version
 *   DRAFT_SHARED  one per  O_RDWR/O_WRONLY without truncation of       all such handles   changed extents over the newest version
 *                 inode    any other file
 *
 * State of a draft (transitions checked by an assertion):  CLEAN → DIRTY (write, truncate) → CLEAN (commit) …; DIRTY → REFUSED (a rule said no; further
 * writes make it DIRTY again) ; any → ENDED. A fresh WHOLE draft is DIRTY from the start: truncation is a change.
 *
 * Locking: each draft has a lock; functions take it. It comes before the engine's lock.
 * Bytes are in the store's arena before draft_write() returns (they survive the daemon's death).
 */
#ifndef MILESTONEFS_DRAFT_H
#define MILESTONEFS_DRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine.h"

/** A file is no larger (-EFBIG). */
#define FILE_BYTES_MAX (UINT64_C(16) << 40)

enum draft_kind { DRAFT_WHOLE, DRAFT_PATCH, DRAFT_APPEND, DRAFT_SHARED };

struct draft;

/** Open a draft on a live regular file. DRAFT_SHARED joins the inode's one if there is one (each open needs a close). A newborn
 *  without a name, still open elsewhere, is one file for all who have it: its draft is joined whatever @kind says, and DRAFT_WHOLE truncates it.
 *  0, -ENOENT, -ENOMEM, -ENOSPC, -EIO; -ESTALE: a newborn whose name was taken back, and nobody has it open for writing. */
int draft_open(struct engine *e, uint64_t ino, enum draft_kind kind, const struct actor *actor, struct draft **ret);
/** Let go. When it was the last holder, written bytes that nobody committed or kept aside stay as a pending draft (so: commit first, or give it to rollbacks).
 *  A refused one ends when its copy is safe: waits for that, if nobody did. */
void draft_close(struct draft *d);

enum draft_kind draft_kind_of(const struct draft *d);
bool draft_is_dirty(struct draft *d);
/** Opened with O_APPEND and another kind (O_TRUNC|O_APPEND): writes go to the end, and once committed it is an APPEND draft. */
void draft_set_append(struct draft *d);
/** The transaction that last published (or kept aside) bytes of it, 0 none: a clean draft's close waits for that. */
uint64_t draft_last_seq(struct draft *d);
/** Were bytes written (or the size set) since it was opened or last committed; a fresh WHOLE draft has none. */
bool draft_is_written(struct draft *d);

/** APPEND ignores @offset. 0, -ENOSPC, -EIO, -EFBIG. All or nothing. The actor of the last write is the transaction's. */
int draft_write(struct draft *d, const struct actor *actor, uint64_t offset, const void *data, size_t len);
/** ftruncate. 0 on PATCH and SHARED: the draft becomes a whole-file one when size is 0. */
int draft_truncate(struct draft *d, const struct actor *actor, uint64_t size);
/** Holes (punch) keep the size; zero-range likewise unless beyond it. */
int draft_punch(struct draft *d, const struct actor *actor, uint64_t offset, uint64_t len);
/** As its writer sees the file. Count, short only at the end. */
ssize_t draft_read(struct draft *d, uint64_t offset, void *buf, size_t len);
uint64_t draft_size(struct draft *d);
/** Next data (or hole) at or after @offset, as lseek(2) wants; -ENXIO. */
int64_t draft_seek(struct draft *d, uint64_t offset, bool data);
/** A draft without own bytes shows the newest version from now on (its process obtained a lock). */
void draft_refresh(struct draft *d);
/** Time of the last write, 0 if none or if utimens came after it. */
int64_t draft_mtime(struct draft *d);

enum draft_commit_flags {
	DRAFT_STREAM = 1, /**< autocommit: for .jsonl only whole lines; an invalid rest stays a draft */
};
/**
 * Publish: one transaction (with the creation if the inode is a newborn). A clean draft commits nothing; request.seq is then what published it last.
 * Returns 0 with q->seq; -EBADMSG refused by a rule (q->reason; a copy is kept under rollbacks/, q->seq is that transaction, the draft stays as it is, REFUSED, and says so again until it is changed);
 * -ESTALE conflict; -ENOSPC, -EIO.
 * When the inode lost its last name: unlinked by the draft's own process → 0 and nothing; by somebody else → 0, bytes to rollbacks/ and conflict_detected.
 */
int draft_commit(struct draft *d, struct request *q, int flags);
/** Keep the bytes under rollbacks/ with @text as the reason (a killed writer) and become CLEAN. A clean or unwritten draft leaves no record. */
int draft_rollback(struct draft *d, struct request *q, const char *text);

/** The inode's live draft sizes for getattr: the size of the shared draft, or of a nameless newborn's, if there is one. true when so. */
bool draft_shared_size(struct engine *e, uint64_t ino, uint64_t *ret_size, int64_t *ret_mtime_ns);
/** As draft_read() from the draft of a newborn without a name, which is the file to everybody who has it open; -ENOENT: it is no such inode. */
ssize_t draft_read_orphan(struct engine *e, uint64_t ino, uint64_t offset, void *buf, size_t len);
/** Is any draft open on the inode (attributes must not be cached then)? */
bool draft_exists(struct engine *e, uint64_t ino);

/** One draft for transactions/pending/: live ones and those recovery found. Strings owned by the struct. */
struct draft_info {
	uint64_t id;
	uint64_t ino;
	char *path;
	enum draft_kind kind;
	enum operation operation;
	int64_t started_ns;
	uint64_t size;
	bool recovered; /**< left behind by a daemon that died */
	bool has_base;
	struct sha256 base_sha;
	struct actor actor;
};
void draft_info_release(struct draft_info *i);
/** All drafts with written bytes. Caller frees array and each info. */
int draft_list(struct engine *e, struct draft_info **ret, size_t *ret_count);
/** One by id. -ENOENT. */
int draft_info_get(struct engine *e, uint64_t id, struct draft_info *ret);
/** Bytes of a listed draft (the draft's own view). */
ssize_t draft_read_by_id(struct engine *e, uint64_t id, uint64_t offset, void *buf, size_t len);
/** Publish or discard a recovered draft. -ENOENT, -EBUSY for a live one. */
int draft_publish_recovered(struct engine *e, uint64_t id, struct request *q);
int draft_discard_recovered(struct engine *e, uint64_t id, struct request *q);

#endif
