/* SPDX-License-Identifier: MIT
 *
 * Private to fs/adopt*.c: moving what is to be adopted, and what a file has besides its bytes.
 */
#ifndef MILESTONEFS_ADOPT_MOVE_H
#define MILESTONEFS_ADOPT_MOVE_H

#include <stddef.h>

/**
 * Rename @name in @from_fd to @to in @to_fd, both on one file system. A directory that cannot be renamed although it is (overlayfs: it is part of a lower
 * layer) is made anew, with its mode, owner, times and attributes, and its entries are moved one by one. 0 or -errno; whatever happens, each file is at
 * one of both places.
 */
int adopt_move(int from_fd, const char *name, int to_fd, const char *to);

/** Call @fn for each extended attribute of @fd until it returns other than 0, which is returned; those that cannot be read are left out. -ENOMEM. */
int adopt_each_xattr(int fd, int (*fn)(void *arg, const char *name, const char *value, size_t len), void *arg);

#endif
