/* SPDX-License-Identifier: MIT
 *
 * What a node number or a name is, and its attributes as a given process sees them: shared by lookup, getattr, readdirplus and
 * everything that answers with an entry.
 *
 * A file somebody has open for writing has attribute timeout 0: each process may see another size. So has an agent's: its times follow signs of life.
 * The name of a newborn is cached like others: when it vanishes with its writer the kernel is told (inval.c).
 * Names in directories whose entries the daemon takes away by itself have none either.
 * Names below transactions/ have no entry timeout, nor has anything virtual that says so.
 */
#ifndef MILESTONEFS_ENTRY_H
#define MILESTONEFS_ENTRY_H

#include <sys/stat.h>

#include "fs.h"
#include "hidden.h"
#include "vfile.h"

/** Attributes as they are in the tree; @st_ino is the node number. */
void entry_stat_fill(const struct tree_attr *a, uint64_t st_ino, struct stat *ret);

/** Attributes of a live inode from the tree: 0 or -ENOENT. Takes the engine's lock. */
int entry_live_attr(struct fs *fs, uint64_t ino, struct tree_attr *ret);
/** Alter @st to what thread @tid sees because of open drafts; returns the timeout of the attributes. No lock held. */
double entry_adjust_live(struct fs *fs, uint32_t tid, struct stat *st);
/** A whole entry of a live inode. No lock held. */
void entry_fill_live(struct fs *fs, uint32_t tid, const struct tree_attr *a, struct fuse_entry_param *ret);
/** Is it a directory in which the daemon itself takes names away (locks, checkpoints, barriers)? Names in it have no entry timeout, so that the kernel
 *  need not be told: a notification waits for the directory's lock. Takes the engine's lock. */
bool entry_kept_by_us(struct fs *fs, uint64_t dir_ino);
void entry_fill_virtual(struct fs *fs, const struct vnode *v, struct fuse_entry_param *ret);

/** Attributes of any node for thread @tid. 0 or -ENOENT. */
int entry_stat(struct fs *fs, uint64_t node_id, uint32_t tid, struct stat *ret, double *ret_timeout_s);

/** Sequence number of a view's node, and its inode. False: no such view. */
bool entry_view(struct fs *fs, uint64_t node_id, uint64_t *ret_seq, uint64_t *ret_ino);
/** Node number of the root of a view, by the virtual entry that names it; 0: there is none (any more). */
uint64_t entry_view_root(struct fs *fs, const struct vnode *v);
/** The version a live inode or a view's shows, under the engine's lock held by the caller. NULL: none. */
const struct version *entry_version(struct fs *fs, uint64_t node_id, struct node **ret_node);

/** Path of a live inode, appended. 0, -ENOENT when it has no name, -ENOMEM. Takes the engine's lock. */
int entry_live_path(struct fs *fs, uint64_t ino, struct buf *ret);
/** The virtual entry @name of any directory, or NULL. *@ret_reserved (NULL allowed): the directory has virtual entries at all. */
const struct vnode *entry_virtual_child(struct fs *fs, uint64_t parent, const char *name, bool *ret_reserved);
/** Who thread @tid is, for hidden.h. */
void entry_caller(struct fs *fs, uint32_t tid, struct hidden_process *ret);
/** ENTRY_HIDDEN: from thread @tid, to which the name does not exist. While it is hidden from anybody the kernel must not remember it. */
enum entry_hidden { ENTRY_SHOWN, ENTRY_HIDDEN_FROM_OTHERS, ENTRY_HIDDEN };
enum entry_hidden entry_hidden(struct fs *fs, uint32_t tid, uint64_t parent, const char *name);

/** Has thread @tid's process begun to remove what this directory belongs to, a view that can be removed? Then its directories are empty to it. */
bool entry_view_emptied(struct fs *fs, uint32_t tid, uint64_t dir_id);

/** May @name be made, removed or replaced in @parent? 0 (ask the engine), -EROFS, or @if_virtual when the name is a virtual one's. */
int entry_check_change(struct fs *fs, uint64_t parent, const char *name, int if_virtual);
/** May anybody alter this node's content or attributes? Not what is virtual, in a view, or kept by milestonefs itself. 0 or -EROFS. */
int entry_check_alter(struct fs *fs, uint64_t node_id);

#endif
