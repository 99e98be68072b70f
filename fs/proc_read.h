/* SPDX-License-Identifier: MIT
 *
 * Reading and parsing the small texts of /proc: stat, environ, fdinfo,
 * mountinfo. No state, thread-safe, no allocation but where said. Every parser
 * is bounded and accepts any bytes.
 */
#ifndef MILESTONEFS_FS_PROC_READ_H
#define MILESTONEFS_FS_PROC_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor.h"

/** Flags of field 9 of /proc/PID/stat (include/linux/sched.h). */
#define PROC_PF_EXITING 0x00000004u
#define PROC_PF_SIGNALED 0x00000400u

/** What is used of /proc/PID/stat. */
struct proc_stat {
	char state;          /**< R, S, D, Z, X … */
	uint32_t ppid;       /**< 0: none, or outside of our pid namespace */
	uint32_t session;    /**< POSIX session leader's pid; 0 as above */
	uint32_t flags;      /**< PROC_PF_… */
	uint32_t threads;    /**< of its process, those not yet reaped */
	uint64_t start_time; /**< clock ticks since boot */
	int32_t exit_code;   /**< wait status while dying; 0 alive, or where we may not see it */
};

/** Parse @len bytes of a stat file. Returns 0 or -EINVAL. */
int proc_stat_parse(const char *text, size_t len, struct proc_stat *ret_stat);

/**
 * Read and parse "stat" below @dir (a descriptor of /proc/PID). Returns 0, -ESRCH when gone, or another -errno. Blocks while the
 * process is in the later part of an exec: not on behalf of a FLUSH, which may be part of one.
 */
int proc_stat_read(int dir, struct proc_stat *ret_stat);

/** The same by pid. */
int proc_stat_read_pid(uint32_t pid, struct proc_stat *ret_stat);

/**
 * Is a process with this stat ending by a signal (and not by an ordinary exit
 * of any of its threads)? Where the kernel hides the exit code from us (other
 * users' processes), the flag alone decides: a multi-threaded exit then looks killed.
 */
bool proc_stat_killed(const struct proc_stat *stat, bool exit_code_visible);

/**
 * Read file @name below @dir into @buf (at most @size - 1 bytes, NUL added),
 * in one open and one read for @size up to 2048, else as many as it needs. Returns the length or -errno.
 */
ssize_t proc_read(int dir, const char *name, char *buf, size_t size);

/**
 * Find variable @name in an environment block of @len bytes ("A=1\0B=2\0"; a last
 * variable without NUL is cut off and ignored). The first one with that name counts, as for getenv(3). Copies its value when it is
 * a legal id (id_valid). Returns true when copied; else @out is untouched.
 */
bool proc_environ_id(const char *block, size_t len, const char *name, char out[ACTOR_ID_BYTES]);

/** What is used of /proc/PID/fdinfo/N. */
struct proc_fdinfo {
	uint32_t flags;           /**< open flags, O_ACCMODE in them */
	uint32_t mnt_id;          /**< 0 unknown */
	uint64_t ino;             /**< 0 unknown: kernels before 5.14 */
	uint32_t fuse_connection; /**< of an opening of /dev/fuse: its number; 0 unknown: kernels before 6.16 */
};

/** Parse @len bytes of an fdinfo file. Returns 0, or -EINVAL without a "flags:" line. */
int proc_fdinfo_parse(const char *text, size_t len, struct proc_fdinfo *ret_info);

/** What is used of a line of mountinfo. */
struct proc_mount {
	dev_t dev;
	bool fuse; /**< its type is fuse or fuse.SOMETHING */
};

/** Mount @mnt_id by "mountinfo" below @dir. Returns 0, -ENOENT, or another -errno. */
int proc_mount_read(int dir, uint32_t mnt_id, struct proc_mount *ret_mount);

/** What is used of "status". It can be read while the process is in the middle of an exec; "stat", "environ" and the links of "fd" can't. */
struct proc_status {
	uint32_t ppid;    /**< 0: none, or outside of our pid namespace */
	uint32_t threads; /**< of its process, those not yet reaped; 0 of a dead one */
	bool fd_table;    /**< it has one: not yet exiting */
	uint32_t depth;   /**< pid namespaces it has a number in, from ours on: 1 in ours; 0 unknown (kernels before 4.1) */
	uint32_t own_pid; /**< its number in the innermost of them */
};

/** Read and parse "status" below @dir (a descriptor of /proc/PID). Returns 0, -ESRCH when gone, or another -errno. */
int proc_status_read(int dir, struct proc_status *ret_status);

/** Parse the unsigned decimal at *@at (blanks before it skipped), not beyond @end; moves *@at. False: none there. */
bool proc_number_next(const char **at, const char *end, uint64_t *ret_value);

/** What getdents64() fills in; no header of the C library has it. */
struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

#endif
