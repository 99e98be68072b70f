/* SPDX-License-Identifier: MIT
 *
 * What is mounted at a path, whether its daemon answers, and which process that is: found out without ever waiting for a daemon that may not answer.
 */
#ifndef MILESTONEFS_MOUNT_PROBE_H
#define MILESTONEFS_MOUNT_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MOUNT_TYPE "fuse.milestonefs"

/** How long a daemon may take to answer before it is said not to. */
#define MOUNT_ANSWER_MS 5000

/** A line of mountinfo. */
struct mount_point {
	uint32_t id;
	uint32_t device;   /**< minor number: its connection's number */
	uint32_t uid, gid; /**< who mounted it */
	bool allow_other;
};

/** The topmost mount at exactly @path. False: there is none, or it is not one of ours. */
bool mount_point_find(const char *path, struct mount_point *ret);

/**
 * Where else the file system mounted at @m is mounted, as far as can be seen: an owned path, or NULL (nowhere, or no memory). Ask while @m is there: the
 * number of a connection that has ended is given to the next one.
 */
char *mount_point_elsewhere(const struct mount_point *m);

/**
 * Does its daemon answer? 0: it does, or the kernel lets this user not ask; -ENOTCONN: it has died; -ETIMEDOUT: not within MOUNT_ANSWER_MS. A child asks,
 * as the user who mounted it if need be: what waits for a daemon that has begun to answer cannot be killed.
 */
int mount_point_ask(const char *path, const struct mount_point *m);

/**
 * The process that serves it, found by what it has open; 0: none that this user can see. *@ret_store (NULL allowed): a descriptor of the store's directory,
 * which lies under the mount, else -errno.
 */
pid_t mount_point_daemon(const char *path, const struct mount_point *m, int *ret_store);

#endif
