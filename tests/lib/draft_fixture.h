/* SPDX-License-Identifier: MIT
 *
 * An engine in memory for tests of drafts, one step at a time as a handle goes: open, write, commit, close. All of it asserts (cmocka).
 */
#ifndef MILESTONEFS_TEST_DRAFT_FIXTURE_H
#define MILESTONEFS_TEST_DRAFT_FIXTURE_H

#include "engine_fixture.h"

struct draft_world {
	struct env *env;
	struct engine *e;
	struct request q; /**< the last one */
};

int draft_world_setup(void **state);
int draft_world_teardown(void **state);
#define DRAFT_TEST(f) cmocka_unit_test_setup_teardown(f, draft_world_setup, draft_world_teardown)

/** The daemon dies, and another one mounts. */
void draft_world_kill(struct draft_world *w);

/** Open a file that is there; a newborn. Names are of files in the root. */
struct draft *draft_world_open(struct draft_world *w, const char *name, enum draft_kind kind);
struct draft *draft_world_create(struct draft_world *w, const char *name, enum draft_kind kind);
void draft_world_write(struct draft_world *w, struct draft *d, uint64_t offset, const char *text);
/** As draft_commit() answers. */
int draft_world_commit(struct draft_world *w, struct draft *d, int flags);
/** As a process ends: FLUSH, wait, RELEASE. */
int draft_world_commit_and_close(struct draft_world *w, struct draft *d);
/** A draft of x.yaml, which is there, whose commit was refused. Nobody waited for the transaction that keeps the copy. */
struct draft *draft_world_refused(struct draft_world *w);
/** Text that does not repeat itself soon. */
void draft_world_letters(char *text, size_t len);
void draft_world_expect_content(struct draft_world *w, const char *path, const char *text, size_t len);

size_t draft_world_pending_count(struct draft_world *w);
/** There is one pending draft: of @path, with this text. Returns its id. */
uint64_t draft_world_expect_pending(struct draft_world *w, const char *path, const char *text);
/** Publish it, after which none is pending. */
void draft_world_publish_pending(struct draft_world *w, uint64_t id);
/** The newest rollback is of @path, with this text. Returns what was wanted. */
enum operation draft_world_expect_kept(struct draft_world *w, const char *path, const char *text);

#endif
