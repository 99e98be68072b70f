/* SPDX-License-Identifier: MIT
 *
 * Replies: the one place where -errno becomes a FUSE error, and where a reply waits for the journal.
 *
 * A deferred reply is sent by the journal's commit thread as soon as the transaction is safe; no worker waits for it.
 */
#ifndef MILESTONEFS_REPLY_H
#define MILESTONEFS_REPLY_H

#include "fs.h"

/** 0 or -errno. */
void reply_error(fuse_req_t req, int error);

/** Reply @error (0 or -errno) once transaction @seq (0: at once) is as safe as @level says; -EIO instead if it never will be. */
void reply_error_after(struct fs *fs, fuse_req_t req, uint64_t seq, enum journal_level level, int error);
/** The same for @size bytes written. */
void reply_write_after(struct fs *fs, fuse_req_t req, uint64_t seq, enum journal_level level, size_t size);
/** The same for a created entry: acknowledged. */
void reply_entry_after(struct fs *fs, fuse_req_t req, uint64_t seq, const struct fuse_entry_param *e);
/** The same for attributes. */
void reply_attr_after(struct fs *fs, fuse_req_t req, uint64_t seq, const struct stat *st, double timeout_s);

#endif
