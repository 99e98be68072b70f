/* SPDX-License-Identifier: MIT
 *
 * Scripts for an engine: tables of steps that together use every operation. A run goes on after failures, as users do, and
 * remembers what was promised to it. The same script over the same env_mem seed stages the same transactions. In the
 * end so much time passes that the daemon has nothing left to do by itself.
 */
#ifndef MILESTONEFS_TEST_ENGINE_SCRIPT_H
#define MILESTONEFS_TEST_ENGINE_SCRIPT_H

#include "engine_fixture.h"

enum step_kind {
	STEP_MKDIR,        /**< a */
	STEP_SAVE,         /**< a: path, b: text */
	STEP_SAVE_BYTES,   /**< a: path, n: count of bytes lz4 cannot shorten */
	STEP_APPEND,       /**< a: path, b: text */
	STEP_APPEND_BYTES, /**< a: path, n: count */
	STEP_PATCH,        /**< a: path, b: text, n: offset; private */
	STEP_SHARED,       /**< the same through a shared draft */
	STEP_PUNCH,        /**< a: path, n: offset; 64 bytes */
	STEP_TRUNCATE,     /**< a: path, n: size */
	STEP_LINK,         /**< a: old, b: new */
	STEP_SYMLINK,      /**< a: path, b: target */
	STEP_CHMOD,        /**< a: path, n: mode */
	STEP_XATTR,        /**< a: path, b: name; its value is the name */
	STEP_UNLINK,       /**< a */
	STEP_RMDIR,        /**< a */
	STEP_RENAME,       /**< a: old, b: new */
	STEP_EXCHANGE,     /**< a, b */
	STEP_MKNOD,        /**< a: path, n: mode with type */
	STEP_EVENT,        /**< a: session or "", b: custom type */
	STEP_ROLLBACK,     /**< a: path, b: text written by a writer who is killed */
	STEP_CONFLICT,     /**< a: path, b: text written while somebody else removes the file */
	STEP_RENAME_OPEN,  /**< a: new file with text b, renamed over s while open */
	STEP_ADOPT,        /**< a small tree below old/ */
	STEP_DRAFT_OPEN,   /**< a: path; one at a time; whole */
	STEP_DRAFT_WRITE,  /**< n bytes more into it */
	STEP_DRAFT_COMMIT, /**< publish and close it */
	STEP_RESTORE,      /**< a: session, b: checkpoint */
	STEP_TIME,         /**< n seconds pass, and the daemon does what is due */
	STEP_REOPEN,       /**< close and open again: an index is written and loaded */
};

struct step {
	enum step_kind kind;
	const char *a, *b, *s;
	uint64_t n;
	int expect; /**< of a run without faults */
};

struct script {
	const char *name;
	const struct step *steps;
	size_t count;
};

/** Bytes of a draft that are neither published nor discarded, in the order written. */
#define SCRIPT_DRAFT_BYTES 4096
void script_draft_pattern(char *out, size_t len);

struct script_run {
	struct env *env;
	struct engine *e; /**< NULL: it could not be opened (again) */
	uint64_t acked;   /**< all transactions up to this one were acknowledged as durable */
	uint64_t staged;  /**< newest one seen */
	int unexpected;   /**< steps whose result was not the expected one */
	int first_error;
	size_t failed_step;
	struct draft *draft;
	const char *open_path; /**< of @draft, and what was written to it */
	size_t open_len;
	const char *draft_path; /**< of the draft that must not be lost, NULL: none */
	size_t draft_len;       /**< of its bytes, acknowledged by draft_write() */
	bool poisoned;          /**< now; a restart ends it */
	bool late_change;       /**< a step changed something although the journal was poisoned before */
	bool wrong_error;       /**< a change after poisoning said something else than EROFS */
};

/** Everything the scripts below are for, in this order. */
extern const struct script engine_scripts[];
extern const size_t engine_script_count;

/** Opens the engine and does the steps; leaves it open. */
void script_run(const struct script *s, struct env *env, struct script_run *r);
/** One step; exported for tests that go on after a script. */
int script_step(struct script_run *r, const struct step *s);
/** Time passes until the daemon has nothing left to write by itself. Does nothing when there is no engine. */
void script_settle(struct script_run *r);
/** Let the engine go, as cleanly as it can. */
void script_finish(struct script_run *r);

#endif
