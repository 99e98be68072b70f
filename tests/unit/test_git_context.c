/* SPDX-License-Identifier: MIT
 *
 * Branch and commit of real repositories, made by git itself: each state HEAD can be in, and names chosen to hurt.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"

struct place {
	char dir[64];
	char *branch, *commit;
};

/* Runs a line of shell in the place; what it printed, without the last newline. */
static const char *run(const struct place *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *run(const struct place *p, const char *fmt, ...)
{
	static char out[4096];
	char line[4096], all[8192];
	va_list ap;
	size_t n;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	snprintf(all, sizeof(all),
		"cd '%s' && export HOME=\"$PWD\" GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b && "
		"{ %s; } 2>err",
		p->dir, line);
	f = popen(all, "r");
	assert_non_null(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	if (pclose(f))
		fail_msg("failed: %s", line);
	out[n] = '\0';
	if (n && out[n - 1] == '\n')
		out[n - 1] = '\0';
	return out;
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	strcpy(p->dir, "/tmp/test-git-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char line[100];

	snprintf(line, sizeof(line), "rm -rf '%s'", p->dir);
	assert_int_equal(system(line), 0);
	free(p->branch);
	free(p->commit);
	free(p);
	return 0;
}

static void look(struct place *p, const char *below)
{
	char path[4096];

	free(p->branch);
	free(p->commit);
	snprintf(path, sizeof(path), "%s/%s", p->dir, below);
	assert_int_equal(git_context_read(path, &p->branch, &p->commit), 0);
}

#define INIT "git init -q -b main . && git commit -q --allow-empty -m one"

static void test_on_a_branch(void **state)
{
	struct place *p = *state;

	run(p, INIT);
	look(p, "");
	assert_string_equal(p->branch, "main");
	assert_string_equal(p->commit, run(p, "git rev-parse HEAD"));
	run(p, "git checkout -q -b feature/login && git commit -q --allow-empty -m two && git pack-refs --all && mkdir -p deep/down");
	look(p, "deep/down");
	assert_string_equal(p->branch, "feature/login");
	assert_string_equal(p->commit, run(p, "git rev-parse HEAD"));
}

static void test_no_repository(void **state)
{
	struct place *p = *state;

	look(p, "");
	assert_string_equal(p->branch, "unknown");
	assert_string_equal(p->commit, "unknown");
	look(p, "missing");
	assert_string_equal(p->branch, "unknown");
	free(p->branch);
	free(p->commit);
	assert_int_equal(git_context_read(NULL, &p->branch, &p->commit), 0);
	assert_string_equal(p->branch, "unknown");
	assert_string_equal(p->commit, "unknown");
}

static void test_unborn(void **state)
{
	struct place *p = *state;

	run(p, "git init -q -b trunk .");
	look(p, "");
	assert_string_equal(p->branch, "trunk");
	assert_string_equal(p->commit, "unknown");
}

static void test_detached(void **state)
{
	struct place *p = *state;
	char first[64];

	run(p, INIT);
	strcpy(first, run(p, "git rev-parse HEAD"));
	run(p, "git commit -q --allow-empty -m two && git checkout -q --detach HEAD~1");
	look(p, "");
	assert_string_equal(p->branch, "unknown");
	assert_string_equal(p->commit, first);
}

static void test_worktree(void **state)
{
	struct place *p = *state;

	run(p, "mkdir a && cd a && " INIT " && git worktree add -q -b side ../b && cd ../b && git commit -q --allow-empty -m two");
	look(p, "b");
	assert_string_equal(p->branch, "side");
	assert_string_equal(p->commit, run(p, "git -C b rev-parse HEAD"));
	look(p, "a");
	assert_string_equal(p->branch, "main");
	assert_string_equal(p->commit, run(p, "git -C a rev-parse HEAD"));
}

static void test_bare(void **state)
{
	struct place *p = *state;

	run(p, "mkdir a && cd a && " INIT " && cd .. && git clone -q --bare a b.git");
	look(p, "b.git");
	assert_string_equal(p->branch, "main");
	assert_string_equal(p->commit, run(p, "git -C a rev-parse HEAD"));
}

static void test_hostile_names(void **state)
{
	static const char *const names[] = {
		"$(touch pwned)", "`id`", "a;b", "it's", "\"quoted\"", "-dash", "ümlaut", "a&&b", "new|line", "#hash", "%s%n", "{x}"};
	struct place *p = *state;

	run(p, INIT);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[200];
		FILE *f;

		/* By hand: git's own commands take some of them for options. */
		snprintf(path, sizeof(path), "%s/.git/HEAD", p->dir);
		f = fopen(path, "w");
		assert_non_null(f);
		fprintf(f, "ref: refs/heads/%s\n", names[i]);
		assert_int_equal(fclose(f), 0);
		run(p, "cp .git/refs/heads/main \".git/$(sed -n 's/^ref: //p' .git/HEAD)\"");
		look(p, "");
		assert_string_equal(p->branch, names[i]);
		assert_string_equal(p->commit, run(p, "cat .git/refs/heads/main"));
	}
	assert_string_equal(run(p, "ls pwned 2>/dev/null || echo none"), "none");
}

/* What somebody's settings say changes nothing, and damage is "unknown". */
static void test_odd_repositories(void **state)
{
	struct place *p = *state;

	run(p, INIT);
	run(p, "printf '[safe]\\n\\tdirectory = /nowhere\\n[core]\\n\\tfsmonitor = touch pwned\\n' >>.git/config");
	if (!geteuid())
		run(p, "chown -R 12345 .");
	look(p, "");
	assert_string_equal(p->branch, "main");
	assert_string_equal(run(p, "ls pwned 2>/dev/null || echo none"), "none");
	run(p, "echo '[core' >.git/config");
	look(p, "");
	assert_string_equal(p->branch, "unknown");
	run(p, "printf '[core]\\n\\trepositoryformatversion = 99\\n' >.git/config");
	look(p, "");
	assert_string_equal(p->commit, "unknown");
	run(p, "rm .git/config && echo garbage >.git/HEAD");
	look(p, "");
	assert_string_equal(p->branch, "unknown");
	assert_string_equal(p->commit, "unknown");
	run(p, "rm -rf .git && echo 'gitdir: /nowhere/at/all' >.git");
	look(p, "");
	assert_string_equal(p->branch, "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_on_a_branch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_repository, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unborn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_detached, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worktree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bare, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_repositories, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
