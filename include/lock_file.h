/* SPDX-License-Identifier: MIT
 *
 * L8. Lock files: regular files directly in state/.locks. Taken by O_EXCL create, released by unlink or with their owner:
 *
 *   content is the number of a process that lives    released when it ends (also found at the next mount)
 *   else written by, or naming, a registered agent   released when that agent is dead (never while unhealthy)
 *   else                                             released when its creator dies while it still holds it open
 *   otherwise it stays until somebody unlinks it
 *
 * The fencing token is the sequence number of the transaction that made the file: later holders of a name have greater ones.
 */
#ifndef MILESTONEFS_LOCK_FILE_H
#define MILESTONEFS_LOCK_FILE_H

#include "registry.h"

struct lock_files;

#define LOCK_FILE_TOKEN_XATTR "user.milestonefs.fencing_token"

enum lock_owner { LOCK_OWNER_PID, LOCK_OWNER_AGENT, LOCK_OWNER_HANDLE };
/** For status/locks.yaml; owned strings released with lock_info_release(). */
struct lock_info {
	char *name;
	enum lock_owner owner;
	uint32_t pid;			/**< OWNER_PID: written in it; else of its creator */
	char agent[ACTOR_ID_BYTES];	/**< "" none */
	char comm[ACTOR_COMM_BYTES];
	uint32_t uid;
	uint64_t token;
	int64_t taken_ns;
};
void lock_info_release(struct lock_info *i);
/** All, by name. Caller frees array and each. Takes the lock. 0 or -ENOMEM. */
int lock_files_list(struct engine *e, struct lock_info **ret, size_t *ret_count);
/** Fencing token of the file with this inode number; 0: it is no lock file, or not committed yet. Takes the lock. */
uint64_t lock_file_token(struct engine *e, uint64_t ino);
/** The creator @pid died with the file still open: release it, if that is its rule. Takes the lock; happens at the next upkeep, which is due at once. */
void lock_file_creator_died(struct engine *e, uint64_t ino, uint32_t pid);

#endif
