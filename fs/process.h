/* SPDX-License-Identifier: MIT
 *
 * Who is calling: from the thread id of a FUSE request to the actor that is
 * recorded with a transaction, and the descriptors of /proc that last_close.c
 * needs. A bounded cache keeps those open, because the same threads call again
 * and again; it is right in spite of pid reuse and exec (see process.c).
 *
 * All functions are thread-safe. None goes through the mount.
 */
#ifndef MILESTONEFS_FS_PROCESS_H
#define MILESTONEFS_FS_PROCESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor.h"
#include "proc_read.h"

struct process_cache;

/** Agents that registered themselves with a pid. */
struct process_agents {
	/** 0: none is registered (then ancestors are not looked at); else a number that changes with the set. NULL: none. */
	uint64_t (*generation)(void *arg);
	/** The agent registered with this process, and its session. False: none is. */
	bool (*agent_of_pid)(void *arg, uint32_t pid, uint64_t start_time, char agent[ACTOR_ID_BYTES], char session[ACTOR_ID_BYTES]);
	void *arg;
};

/** Make a cache; @agents is copied, NULL allowed. Returns 0 or -errno. */
int process_cache_new(const struct process_agents *agents, struct process_cache **ret_cache);

/** Free it and close all its descriptors. No process may be pinned any more. NULL allowed. */
void process_cache_free(struct process_cache *cache);

/** Return value of process_actor_fill(): the caller is already exiting. */
#define PROCESS_EXITING 1

/**
 * Fill @ret_actor for request thread @tid (0: not in our pid namespace).
 * Always fills it as far as it can: comm is "unknown" and pid is @tid where
 * /proc can't be read.
 *
 * Returns 0, or PROCESS_EXITING: its environment is gone, and agent and
 * session hold what the cache still knew, perhaps ""; the caller keeps what it
 * learned at open or write.
 *
 * Costs 2 small system calls for a known thread, some 12 for a new one.
 */
int process_actor_fill(struct process_cache *cache, uint32_t tid, uid_t uid, gid_t gid, struct actor *ret_actor);

/** The thread group of @tid; @tid itself where that can't be known. One small system call for a known thread. */
uint32_t process_tgid_get(struct process_cache *cache, uint32_t tid);

/** Does a process of that number live? Reads nothing of it, so it never waits for it. */
bool process_alive(uint32_t pid);

/**
 * The process that @number stands for, written by the process @writer: by the numbers of its pid namespace, if that is one below ours. 0: none
 * there. @number itself where the writer is of our namespace, or gone. Waits for no process; looks through /proc only for writers of other namespaces.
 */
uint32_t process_number_meant(uint32_t writer, uint32_t number);

/** Is the process of thread @tid exiting, or gone: does it close its files because it ends? May be asked on behalf of a FLUSH. */
bool process_exiting(struct process_cache *cache, uint32_t tid);

/* --- for last_close.c ------------------------------------------------------- */

/** A kept descriptor of "fdinfo/NUMBER": it shows what that number is at each reading, ENOENT when it is closed. */
struct process_fdinfo {
	uint32_t number;
	uint32_t misses; /**< how often in a row it was closed */
	int fd;
};

/** A kept descriptor of "task/TID/children" of another thread. */
struct process_thread {
	uint64_t ino; /**< of "task/TID": another task of the same number has another */
	int fd;
	uint32_t tid;
	bool listed; /**< seen in this listing */
};

/**
 * A thread seen through /proc/TID. All descriptors refer to one task for ever:
 * once it is gone they fail with ESRCH or ENOENT.
 */
struct process {
	uint32_t tid;
	uint32_t tgid;
	int dir; /**< O_PATH of /proc/TID */

	pthread_mutex_t lock;       /**< guards all below, and the read position of fds */
	int fds;                    /**< "fd", or -1 */
	int task;                   /**< "task", or -1 */
	int children;               /**< "task/TID/children", or -1 */
	int comm_fd;                /**< "comm" */
	int environ_fd;             /**< "environ" of the program that was read; -1: read again */
	bool looked;                /**< agent, session and leader are filled */
	uint64_t agents_generation; /**< set for which ancestor_agent was looked up; 0 never */
	char ancestor_agent[ACTOR_ID_BYTES], ancestor_session[ACTOR_ID_BYTES];
	struct actor actor;           /**< what is known; uid and gid unused */
	unsigned scans;               /**< how often its descriptors were looked at */
	struct process_fdinfo *infos; /**< kept "fdinfo/N" */
	unsigned info_count;
	struct process_thread *threads; /**< kept children files of a process with several threads */
	unsigned thread_count;

	unsigned refs; /**< guarded by the cache's lock; the table counts as one */
	uint64_t used; /**< the cache's clock at the last get; its lock */
};

/** Pin the process of thread @tid. Returns 0 and a reference for process_put(), or -errno (-ESRCH when gone). */
int process_get(struct process_cache *cache, uint32_t tid, struct process **ret_process);
void process_put(struct process_cache *cache, struct process *process);

/** Open the "fd" directory, once. Caller holds p->lock. Returns the descriptor (borrowed) or -errno. */
int process_fds_get(struct process *p);

/**
 * Keep "fdinfo/@number" open, at the end of p->infos. Caller holds p->lock. Returns 0, -ENOSPC when
 * enough are kept (then it has to be opened each time), or another -errno.
 */
int process_fdinfo_keep(struct process_cache *cache, struct process *p, uint32_t number);

/** Forget p->infos[i]; the last one takes its place. Caller holds p->lock. */
void process_fdinfo_drop(struct process_cache *cache, struct process *p, unsigned i);

/** May one more descriptor be kept open for all entries together? process_kept_gone() gives it back. No lock needed. */
bool process_keep_one(struct process_cache *cache);
void process_kept_gone(struct process_cache *cache);

/* process_children.c */
/**
 * Call @visit for each child of the process, of all its threads, until it
 * returns non-zero. Caller holds p->lock; cheapest when @p is the thread group's leader, whose entry all threads share.
 * Returns what @visit returned, 0, or -errno: -ENOENT when this kernel has no "children" files.
 */
int process_children_each(struct process_cache *cache, struct process *p, int (*visit)(void *arg, uint32_t pid), void *arg);
/** Forget p->threads[i]; the last one takes its place. Caller holds p->lock, or the last reference. */
void process_thread_drop(struct process_cache *cache, struct process *p, unsigned i);

/** What process_cache_new() was given. */
const struct process_agents *process_cache_agents(const struct process_cache *cache);

/** Does fstat() of /proc/PID/fd give the number of descriptors (Linux 6.2)? */
bool process_cache_counts_fds(const struct process_cache *cache);

#endif
