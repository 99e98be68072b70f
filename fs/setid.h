/* SPDX-License-Identifier: MIT
 *
 * Removal of set-user-ID and set-group-ID bits, which FUSE_HANDLE_KILLPRIV_V2 leaves to the daemon. Without it the kernel forgets some
 * cases of a file with direct I/O: an open with O_TRUNC, and ftruncate, by somebody else.
 *
 *   write, truncate, open with O_TRUNC   when the kernel says so in the request: the caller lacks CAP_FSETID
 *   chown                                always, by root too
 *   SETATTR that sets nothing            the kernel's own file_remove_privs(), or chown(-1, -1)
 *
 * Set-group-ID only where the group may execute (else it asks for mandatory locks). Directories keep both. File capabilities
 * are an xattr, which the kernel removes by itself.
 */
#ifndef MILESTONEFS_SETID_H
#define MILESTONEFS_SETID_H

#include "fs.h"

/** What remains of @mode (type and permissions). */
mode_t setid_mode(mode_t mode);
/** Remove the bits from a live inode, in a transaction of its own. 1, 0 when there were none, or -errno. */
int setid_remove(struct fs *fs, struct request *q, uint64_t ino);

#endif
