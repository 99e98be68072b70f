/* SPDX-License-Identifier: MIT
 *
 * L2. The store directory: is it ours, may we use it, who else does. Holds
 * FORMAT (versions, feature words, the store's random id), LOCK, README,
 * .gitignore and the directories journal/ content/ drafts/ index/.
 * FORMAT's bytes are specified in journal_format.h.
 */
#ifndef MILESTONEFS_STORE_H
#define MILESTONEFS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "env.h"
#include "util.h"

enum store_flags {
	STORE_CREATE = 1,    /**< make one when the directory holds none */
	STORE_READ_ONLY = 2, /**< change nothing on disk; a shared look while another process may hold the lock */
};

/** What one open store is. Immutable after store_open(), so shared without a lock. */
struct store {
	struct env *env;
	uint8_t id[16];   /**< random, fixed at creation */
	uint64_t seed;    /**< derived from id; mixed into every checksum so that a copied frame is no frame of ours */
	uint32_t version; /**< format version, 1 */
	int lock_fd;      /**< -1 when read-only */
	bool created;     /**< this call made it */
};

/**
 * Open (and with STORE_CREATE make) the store in the root of @env. Creation is crash-safe: FORMAT is
 * written last, by rename; a half-made store is simply made again. On success the lock is held and LOCK
 * holds our pid in decimal.
 * Errors, each with a sentence in @reason: -ENOENT no store here; -EPROTONOSUPPORT a newer format or unknown
 * incompatible features (named); -EWOULDBLOCK locked, naming the pid; -EBADMSG a damaged FORMAT; else I/O errors.
 */
int store_open(struct env *env, int flags, struct reason *reason, struct store **ret);
void store_close(struct store *store);

/** Is FORMAT whole and understood? 0; -ENOENT missing where segments say that there was one; else as store_open(), with @reason. */
int store_check_format(struct env *env, struct reason *reason);
/** Write FORMAT anew for a store of that id (journal_find_store_id()), if it is not whole. Takes the lock meanwhile: -EWOULDBLOCK. */
int store_rebuild_format(struct env *env, const uint8_t id[16], struct reason *reason);

/** Does this directory hold a store (FORMAT present)? 1 yes, 0 no, -errno. */
int store_present(struct env *env);
/** Is @name, in the root of the store directory, one of the store's own entries (not a foreign file to adopt)? */
bool store_owns_name(const char *name);

#endif
