/* SPDX-License-Identifier: MIT
 *
 * What the files of a session's recovery/ share: its checkpoints and its restores, copied out of the engine, and a cache of what had to be read for
 * them. What is cached never changes (a checkpoint's text, a record of the journal), so nothing is ever made invalid.
 */
#ifndef MILESTONEFS_VFILE_RECOVERY_H
#define MILESTONEFS_VFILE_RECOVERY_H

#include "vfile.h"

struct recovery_cache;

/** NULL: out of memory. */
struct recovery_cache *recovery_cache_new(void);
void recovery_cache_free(struct recovery_cache *c);

/** A checkpoint of a session. */
struct recovery_point {
	char id[ACTOR_ID_BYTES];
	uint64_t dir_ino;
	int64_t time_ns;
};
/** All of them, newest first, or at most @max. Caller frees. 0, -ENOENT (no such session), -ENOMEM. Takes the engine's lock. */
int recovery_points_take(struct fs *fs, const char *session, size_t max, struct recovery_point **ret, size_t *ret_count);

/** What its checkpoint.yaml says; "" where it cannot be read. Owned. */
struct recovery_text {
	char *reason, *branch;
};
/** 0 or -ENOMEM. Reads the file, if it is not cached. */
int recovery_text_get(struct fs *fs, uint64_t dir_ino, struct recovery_text *ret);
void recovery_text_release(struct recovery_text *t);

#define RECOVERY_VALIDATION_BYTES 200
/** A restore that was made. */
struct recovery_restore {
	uint64_t seq;
	int64_t time_ns;
	char session[ACTOR_ID_BYTES], checkpoint[ACTOR_ID_BYTES], pre_recovery[ACTOR_ID_BYTES], agent[ACTOR_ID_BYTES];
	uint64_t files_restored, files_removed;
	uint32_t uid;
	char validation[RECOVERY_VALIDATION_BYTES]; /**< "passed", what is wrong, or "": not known any more, it was before this mount */
};
#define RECOVERY_RESTORES_MAX 50
/** Those of a session, newest first: fills @out, returns how many. Looks at the newest thousand of all sessions. */
size_t recovery_restores_take(struct fs *fs, const char *session, struct recovery_restore out[RECOVERY_RESTORES_MAX]);
/** What the check after the restore @seq has found. */
void recovery_validation_note(struct fs *fs, uint64_t seq, const char *text);

/**
 * Append text for a terminal and a single line: control characters (C1 and those that change the direction of writing too) are '?', bytes that are not UTF-8 U+FFFD.
 * Longer than @max bytes it is cut and ends with "…".
 */
void recovery_put_plain(struct buf *out, const char *text, size_t len, size_t max);

#endif
