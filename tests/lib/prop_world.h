/* SPDX-License-Identifier: MIT
 *
 * An engine and a naive model of it (fs_model.h) that random operations are done to (cmocka). Each operation does the same to both, be it valid or
 * not, and compares the answers; prop_compare() compares the trees. The seed and the operation are told when anything differs.
 */
#ifndef MILESTONEFS_TEST_PROP_WORLD_H
#define MILESTONEFS_TEST_PROP_WORLD_H

#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "engine_fixture.h"
#include "fs_model.h"
#include "rng.h"

#define PROP_SAVED 48
#define PROP_TEXT_MAX 600

struct prop_world {
	struct env *env;
	struct engine *e;
	struct fs_model *m;
	struct rng rng;
	struct {
		uint64_t seq;
		struct fs_model *m;
	} saved[PROP_SAVED];
	char what[2000]; /**< the operation being tried */
	uint64_t op;
	bool lost_power; /**< at some time */
};

#define prop_check(w, condition)                                                                                \
	do {                                                                                                    \
		if (!(condition)) {                                                                             \
			rng_report(&(w)->rng, "test_engine_prop");                                              \
			fail_msg("operation %llu, %s: %s", (unsigned long long)(w)->op, (w)->what, #condition); \
		}                                                                                               \
	} while (0)

void prop_begin(struct prop_world *w, uint64_t seed);
void prop_end(struct prop_world *w);
/** The engine's answer must be the model's. */
void prop_expect(struct prop_world *w, int got, int want);
void prop_say(struct prop_world *w, const char *op, const char *a, const char *b);

/* --- random things (prop_world.c) ------------------------------------------------- */

/** Directories all of it happens in. */
extern const char *const prop_bases[2];
void prop_random_path(struct prop_world *w, char out[FS_MODEL_PATH]);
/** A path that exists, mostly. */
void prop_some_path(struct prop_world *w, char out[FS_MODEL_PATH]);
void prop_parent_of(const char *path, char out[FS_MODEL_PATH]);
/** Text of one or two lines; for .json, well-formed or not. */
size_t prop_random_text(struct prop_world *w, const char *path, char out[PROP_TEXT_MAX]);
bool prop_is_regular(struct prop_world *w, const char *path);
/** Is a name of the file ruled? Such files are only saved whole. */
bool prop_is_ruled(struct prop_world *w, const char *path);
/** Set (NULL: remove) attribute @i of the model's file; what the engine has to answer. */
int prop_model_xattr(struct fs_file *f, size_t i, const char *value, int flags);
int prop_commit_close(struct prop_world *w, struct draft *d, struct request *q, int err);

/* --- operations (prop_ops.c) and those of open files (prop_drafts.c) ------------------ */

void prop_operation(struct prop_world *w);
void prop_op_newborn(struct prop_world *w);
void prop_op_open_while(struct prop_world *w);
void prop_op_two_writers(struct prop_world *w);

/** Every operation ends its drafts one way or another. */
void prop_check_no_drafts(struct prop_world *w);
/** Leave a draft open over a restart: its id and path; 0: none. Afterwards its user publishes or discards it. */
uint64_t prop_leave_draft(struct prop_world *w, char path[FS_MODEL_PATH]);
void prop_take_up_draft(struct prop_world *w, const char *path);
/** Discard drafts, but for @keep, that power loss has brought back. */
void prop_discard_ghosts(struct prop_world *w, uint64_t keep);

/* --- comparing (prop_compare.c) -------------------------------------------------------- */

void prop_compare(struct prop_world *w, struct fs_model *m, uint64_t seq);
/** Keep a copy of the model; compare the engine's history with so many of those. */
void prop_save_state(struct prop_world *w);
void prop_compare_history(struct prop_world *w, int count);
void prop_compare_events(struct prop_world *w);

#endif
