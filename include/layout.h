/* SPDX-License-Identifier: MIT
 *
 * L6. TABLE of the places of the tree that mean something: what mkfs makes, what may not be
 * removed, who may create what where. Everything else is the user's, free.
 *
 * A pattern is a path relative to the mount root; `*` stands for one component.
 */
#ifndef MILESTONEFS_LAYOUT_H
#define MILESTONEFS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util.h"

enum layout_flags {
	LAYOUT_FIXED = 1,      /**< made with the store; never removed or renamed (EPERM) */
	LAYOUT_SEALED = 2,     /**< nobody creates, removes or renames entries in it; its contents are virtual (EROFS) */
	LAYOUT_IDS = 4,        /**< names of its entries must be ids (EINVAL) */
	LAYOUT_SKELETON = 8,   /**< made with each session and removed with it, never alone (EPERM); never renamed */
	LAYOUT_SESSION = 16,   /**< a session's directory: made with its skeleton by mkdir, never renamed */
	LAYOUT_DIRS_ONLY = 32, /**< only directories may be made in it (EPERM) */
	LAYOUT_FILES_ONLY =
		64, /**< only regular files may be made in it (EPERM); visible names in .yaml must be ID.yaml (EINVAL), others are tools' temporary files */
	LAYOUT_NO_LINK = 128,      /**< the file itself: no hard links to it (EPERM) */
	LAYOUT_FILE = 256,         /**< with FIXED: a regular file; else a directory */
	LAYOUT_NAMED = 1024,       /**< a checkpoint's or a barrier's directory: made by mkdir, removed whole, never renamed (EPERM) */
	LAYOUT_BARRIER = 2048,     /**< what may be made in it barrier.h says */
	LAYOUT_REPLACE_ONLY = 512, /**< in it nobody makes entries but the temporary files that tools rename over its fixed files (EPERM) */
};

/** PLACE(pattern, flags) rows; parents before children. */
#define LAYOUT_LIST(PLACE)                                                                      \
	PLACE("state", LAYOUT_FIXED)                                                            \
	PLACE("state/active", LAYOUT_FIXED | LAYOUT_SEALED)                                     \
	PLACE("state/completed", LAYOUT_FIXED | LAYOUT_SEALED)                                  \
	PLACE("state/sessions", LAYOUT_FIXED | LAYOUT_IDS | LAYOUT_DIRS_ONLY)                   \
	PLACE("state/sessions/*", LAYOUT_SESSION)                                               \
	PLACE("state/sessions/*/session.yaml", LAYOUT_NO_LINK)                                  \
	PLACE("state/sessions/*/state", LAYOUT_SKELETON)                                        \
	PLACE("state/sessions/*/agents", LAYOUT_SKELETON | LAYOUT_FILES_ONLY)                   \
	PLACE("state/sessions/*/agents/.sync", LAYOUT_SKELETON | LAYOUT_IDS | LAYOUT_DIRS_ONLY) \
	PLACE("state/sessions/*/agents/.sync/*", LAYOUT_NAMED | LAYOUT_BARRIER)                 \
	PLACE("state/sessions/*/agents/.health", LAYOUT_SKELETON | LAYOUT_SEALED)               \
	PLACE("state/sessions/*/agents/*", LAYOUT_NO_LINK)                                      \
	PLACE("state/sessions/*/events", LAYOUT_SKELETON | LAYOUT_SEALED)                       \
	PLACE("state/sessions/*/checkpoints", LAYOUT_SKELETON | LAYOUT_IDS | LAYOUT_DIRS_ONLY)  \
	PLACE("state/sessions/*/checkpoints/*", LAYOUT_NAMED | LAYOUT_SEALED)                   \
	PLACE("state/sessions/*/recovery", LAYOUT_SKELETON | LAYOUT_SEALED)                     \
	PLACE("state/backups", LAYOUT_FIXED | LAYOUT_SEALED)                                    \
	PLACE("state/events", LAYOUT_FIXED | LAYOUT_SEALED)                                     \
	PLACE("state/.locks", LAYOUT_FIXED)                                                     \
	PLACE("agents", LAYOUT_FIXED)                                                           \
	PLACE("agents/registry", LAYOUT_FIXED | LAYOUT_SEALED)                                  \
	PLACE("agents/status", LAYOUT_FIXED | LAYOUT_SEALED)                                    \
	PLACE("agents/coordination", LAYOUT_FIXED | LAYOUT_SEALED)                              \
	PLACE("transactions", LAYOUT_FIXED)                                                     \
	PLACE("transactions/pending", LAYOUT_FIXED | LAYOUT_SEALED)                             \
	PLACE("transactions/committed", LAYOUT_FIXED | LAYOUT_SEALED)                           \
	PLACE("transactions/rollbacks", LAYOUT_FIXED | LAYOUT_SEALED)                           \
	PLACE("cache", LAYOUT_FIXED)                                                            \
	PLACE("cache/state_cache", LAYOUT_FIXED)                                                \
	PLACE("cache/checksums", LAYOUT_FIXED | LAYOUT_SEALED)                                  \
	PLACE("cache/indexes", LAYOUT_FIXED | LAYOUT_SEALED)                                    \
	PLACE("replay", LAYOUT_FIXED | LAYOUT_SEALED)                                           \
	PLACE("status", LAYOUT_FIXED | LAYOUT_REPLACE_ONLY)                                     \
	PLACE("status/config.yaml", LAYOUT_FIXED | LAYOUT_FILE | LAYOUT_NO_LINK)

/** Flags of a place, 0 for a free one. @path relative to the mount root. */
uint32_t layout_flags_of(const char *path);

/** May an entry of type @mode (S_IFMT bits) be made at @path (mkdir, create, rename to, link to)? 0, or -EROFS, -EPERM, -EINVAL with the reason. */
int layout_check_create(const char *path, uint32_t mode, struct reason *reason);
/** May the entry at @path be removed (unlink, rmdir)? 0, -EROFS, -EPERM. */
int layout_check_remove(const char *path, struct reason *reason);
/** May the entry at @path be renamed away? 0, -EROFS, -EPERM. */
int layout_check_rename(const char *path, struct reason *reason);
/** May an entry of type @mode get the name @path by a rename (@replaces: one that is there)? As layout_check_create(); besides, a rename makes
 *  no session and no part of its skeleton, and replaces nothing fixed but a file. 0, -EROFS, -EPERM, -EINVAL. */
int layout_check_rename_to(const char *path, uint32_t mode, bool replaces, struct reason *reason);
/** Is it in a place that milestonefs fills itself? What is there, nobody else alters. */
bool layout_is_sealed(const char *path);
/** The session a path belongs to: copies its id to @out (129 bytes) and returns true; the session's directory itself belongs to it. */
bool layout_session_of(const char *path, char out[129]);

/** Walk the fixed directories in order (parents first): for making a store. */
int layout_each_fixed_dir(int (*fn)(void *arg, const char *path), void *arg);
/** Walk a session's skeleton directories ("state", "agents", "agents/.sync", …; parents first). */
int layout_each_skeleton_dir(int (*fn)(void *arg, const char *path), void *arg);

#endif
