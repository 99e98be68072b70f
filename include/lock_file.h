/* SPDX-License-Identifier: MIT
 *
 * L8. Lock files: regular files directly in state/.locks. Taken by O_EXCL create, released by unlink or with their owner:
 *
 *   content is the number of a process that lives    released when it ends (also found at the next mount)
 *   else written by, or naming, a registered agent   released when that agent is dead (never while unhealthy)
 *   else                                             released when its creator dies while it still holds it open
 *   otherwise it stays until somebody unlinks it
 *
 * The content is the first line without blanks around it: digits only are a process, an id is an agent. Who wrote it is who made the file under its
 * present name. Of several agents with one id it is the one of the session its writer names (MILESTONES_SESSION, or that of the process's agent). A number that no process had when it was written is none; of a lock that is found at a mount that cannot be told any more, so
 * there the process is one that has ended. A writer in a pid namespace below ours means its own numbers
 * (registry_set_numbers()), which is found out when it is written, and not again at a mount. Nor is a number one that comes from where our process numbers mean nothing (a writer without one).
 *
 * A file that anybody has locked by flock or fcntl since the mount is a lock of that kind, whatever is written in it: it is never released, since who
 * waits for it has it open, and a new file of its name would be another lock.
 *
 * The fencing token is the sequence number of the transaction that gave the file its name: later holders of a name have greater ones.
 */
#ifndef MILESTONEFS_LOCK_FILE_H
#define MILESTONEFS_LOCK_FILE_H

#include "registry.h"

struct lock_files;

#define LOCK_FILE_TOKEN_XATTR "user.milestonefs.fencing_token"

enum lock_owner { LOCK_OWNER_PROCESS, LOCK_OWNER_AGENT, LOCK_OWNER_CREATOR };
/** For status/locks.yaml; owned strings released with lock_info_release(). */
struct lock_info {
	char *name;
	enum lock_owner owner;
	uint32_t pid;                 /**< OWNER_PROCESS: written in it; else of its creator, 0 unknown */
	char agent[ACTOR_ID_BYTES];   /**< OWNER_AGENT: that one; else its creator's, "" none */
	char session[ACTOR_ID_BYTES]; /**< of that agent; "": of any that has one of that id */
	char comm[ACTOR_COMM_BYTES];  /**< of its creator */
	uint32_t uid;
	uint64_t token; /**< 0: it is just being made, and has none yet */
	int64_t taken_ns;
	bool shared; /**< locked by flock or fcntl: never released */
};
void lock_info_release(struct lock_info *i);
/** All, by name. Caller frees array and each. Takes the lock. 0 or -ENOMEM. */
int lock_files_list(struct engine *e, struct lock_info **ret, size_t *ret_count);
/** Fencing token of the file with this inode number; 0: it is no lock file, or not committed yet. Takes the lock. */
uint64_t lock_file_token(struct engine *e, uint64_t ino);
/** The same; a lock that is just being made enters the journal for it, and is safe (JOURNAL_ACKNOWLEDGED) when this returns. */
uint64_t lock_file_take_token(struct engine *e, struct request *q, uint64_t ino);
/** Its creator (opened with O_EXCL) died with the file still open: release it, if that is its rule. Takes the lock; happens at the next upkeep, which is
 *  due at once. */
void lock_file_creator_died(struct engine *e, uint64_t ino, uint32_t pid);
/** Somebody obtained a lock on the file by flock or fcntl; nothing, when it is no lock file. Takes the lock. */
void lock_file_shared(struct engine *e, uint64_t ino);
/** How to ask whether a process lives, at the moment its number is written: must not wait for it (no reading of its /proc). NULL: as if none did. */
void lock_files_set_probe(struct engine *e, bool (*alive)(uint32_t pid));

#endif
