/* SPDX-License-Identifier: MIT
 *
 * An in-memory environment (env.h) that loses power on request.
 *
 * It keeps what a disk would keep: for each file its durable contents and the
 * ordered writes, truncations and allocations since; for the directories the
 * ordered name operations since. A test runs a script against it, cuts it at
 * operation n, and looks at what may be left:
 *
 *	for (n = 1; ; n++) {
 *		struct env *env = env_mem_new(seed);
 *		env_mem_power_off_at(env, n);
 *		script(env);
 *		struct env *after = env_mem_power_cycle(env, ENV_MEM_TORN, seed);
 *		... recover and check `after` ...
 *		done = !env_mem_is_off(env);
 *		env_mem_free(after), env_mem_free(env);
 *		if (done) break;
 *	}
 *
 * Operations are numbered from 1 and are the calls that modify or sync: an open
 * that creates, pwrite, fdatasync, allocate, truncate, rename, unlink, mkdir,
 * dir_sync. Calls refused for their arguments (-ENOENT, -EBADF …) do not count.
 *
 * Deterministic: the same calls with the same seeds give the same bytes.
 * Thread-safe by one mutex (list callbacks run without it).
 */
#ifndef MILESTONEFS_TEST_ENV_MEM_H
#define MILESTONEFS_TEST_ENV_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "env.h"

/** An empty store. @seed feeds env_random() and the partial effects of faults. Never NULL. */
struct env *env_mem_new(uint64_t seed);
void env_mem_free(struct env *env);

/* --- faults ------------------------------------------------------------------ */

/**
 * Operation @op fails with -@error (an errno value, positive). A failing pwrite
 * may have written a first part. After a failing pwrite or fdatasync each byte
 * written since the last good sync of that file may or may not be durable, and no
 * later sync changes that; a failing dir_sync does the same to names.
 * Up to 64 faults may be armed; a number already passed never fires.
 */
void env_mem_fail_at(struct env *env, uint64_t op, int error);
/** Every operation of a sync (fdatasync, dir_sync) from now on fails with -@error; 0 ends it. */
void env_mem_fail_syncs(struct env *env, int error);
/**
 * Power goes during operation @op: it and every later call returns -EIO. What it
 * was about to do counts as not synced, so it may be found done, undone or torn.
 */
void env_mem_power_off_at(struct env *env, uint64_t op);
bool env_mem_is_off(struct env *env);
/** The process dies during operation @op: it (but for a first part of a pwrite) and all later calls do nothing, -EIO. */
void env_mem_kill_at(struct env *env, uint64_t op);
/** Process death: descriptors and locks are gone, every byte and name written stays. The environment works again. */
void env_mem_kill(struct env *env);

enum env_mem_mode {
	ENV_MEM_LOST,   /**< nothing that was not synced survives */
	ENV_MEM_KEPT,   /**< everything does */
	ENV_MEM_TORN,   /**< as KEPT, but of the last write not synced only some 512-byte sectors */
	ENV_MEM_RANDOM, /**< each 4 KiB block of each write, each truncation and each allocation by chance; of the name
			 *   operations a random subset in which each is whole and follows all earlier ones on its names */
};

/** What a machine finds after the power returns: a new environment (caller frees). @env stays as it is, for other modes and seeds. */
struct env *env_mem_power_cycle(struct env *env, enum env_mem_mode mode, uint64_t seed);

/* --- knobs ------------------------------------------------------------------- */

/** Limit of the sizes of all files together; beyond it -ENOSPC. 0: no limit. */
void env_mem_set_capacity(struct env *env, uint64_t bytes);
/** Set the wall clock, and how far each reading of a clock advances both clocks. Default: 2026-01-01, 1000 ns. */
void env_mem_set_clock(struct env *env, int64_t time_ns, int64_t step_ns);
void env_mem_advance(struct env *env, int64_t by_ns);

/* --- looking and spoiling (not operations; work with the power off) ----------- */

/** Bytes read at @offset of @path as the process sees them, or -ENOENT, -EISDIR. */
ssize_t env_mem_read(struct env *env, const char *path, void *buf, size_t len, uint64_t offset);
/**
 * Overwrite bytes on the medium, as decay would: in the durable contents and in what
 * the process sees. Writes not yet synced still land on top. 0, -ENOENT or -EISDIR.
 */
int env_mem_patch(struct env *env, const char *path, const void *data, size_t len, uint64_t offset);

struct env_mem_stats {
	uint64_t ops;           /**< operations counted so far */
	uint64_t writes;        /**< pwrite calls that succeeded */
	uint64_t bytes_written; /**< by them */
	uint64_t syncs;         /**< fdatasync calls that succeeded */
	uint64_t dir_syncs;     /**< dir_sync calls that succeeded */
};
void env_mem_stats(struct env *env, struct env_mem_stats *ret);

#endif
