/* SPDX-License-Identifier: MIT
 *
 * Private to fs/adopt*.c: moving what is to be adopted.
 */
#ifndef MILESTONEFS_ADOPT_MOVE_H
#define MILESTONEFS_ADOPT_MOVE_H

/**
 * Rename @name in @from_fd to @to in @to_fd, both on one file system. A directory that cannot be renamed although it is (overlayfs: it is part of a lower
 * layer) is made anew, with its mode, owner, times and attributes, and its entries are moved one by one. 0 or -errno; whatever happens, each file is at
 * one of both places.
 */
int adopt_move(int from_fd, const char *name, int to_fd, const char *to);

#endif
