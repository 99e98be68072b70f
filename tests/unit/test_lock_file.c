/* SPDX-License-Identifier: MIT
 *
 * Lock files: whose each is, and when it is released. Processes are numbers here: which of them live the tests say.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine_fixture.h"
#include "env_mem.h"
#include "lock_file.h"
#include "upkeep.h"

#define LOCKS "state/.locks/"
#define S1 "state/sessions/s1"
#define OWN_PID 4242 /* engine_fixture.h: who writes */

static uint32_t living[8];

static bool alive(uint32_t pid)
{
	for (size_t i = 0; i < ARRAY_SIZE(living); i++)
		if (living[i] == pid)
			return true;
	return false;
}

static int setup(void **state)
{
	*state = env_mem_new(9);
	memset(living, 0, sizeof(living));
	return 0;
}

static int teardown(void **state)
{
	env_mem_free(*state);
	return 0;
}

static struct engine *begin(void **state)
{
	struct engine *e = fixture_open_ok(*state);

	lock_files_set_probe(e, alive);
	if (!fixture_ino(e, S1))
		assert_int_equal(fixture_mkdir(e, S1), 0);
	return e;
}

static void end(struct engine *e)
{
	assert_int_equal(engine_close(e), 0);
}

static void put(struct engine *e, const char *path, const char *text)
{
	assert_int_equal(fixture_save_text(e, path, text), 0);
}

/* As process @pid of agent @agent in @session would. */
static void put_as(struct engine *e, const char *name, const char *text, uint32_t pid, const char *agent, const char *session)
{
	struct request q;
	struct tree_attr attr;
	struct draft *d;

	fixture_request(&q);
	q.actor.pid = pid;
	strcpy(q.actor.agent, agent);
	strcpy(q.actor.session, session);
	assert_int_equal(engine_create(e, &q, fixture_ino(e, "state/.locks"), name, 0644, &attr), 0);
	assert_int_equal(draft_open(e, attr.ino, DRAFT_WHOLE, &q.actor, &d), 0);
	if (*text)
		assert_int_equal(draft_write(d, &q.actor, 0, text, strlen(text)), 0);
	assert_int_equal(draft_commit(d, &q, 0), 0);
	draft_close(d);
}

static bool held(struct engine *e, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), LOCKS "%s", name);
	return fixture_ino(e, path) != 0;
}

static bool watched(struct engine *e, uint32_t pid)
{
	struct watched_pid *pids;
	uint64_t generation;
	size_t count;
	bool found = false;

	(void)upkeep_run(e);
	assert_int_equal(upkeep_watched_pids(e, &pids, &count, &generation), 0);
	for (size_t i = 0; i < count; i++)
		found = found || pids[i].pid == pid;
	free(pids);
	return found;
}

static void process_ends(struct engine *e, uint32_t pid)
{
	upkeep_process_ended(e, pid);
	(void)upkeep_run(e);
}

static unsigned events(struct engine *e, const char *text)
{
	cleanup_free char *all = fixture_events(e, NULL);
	unsigned count = 0;

	for (const char *at = all; (at = strstr(at, text)); at++)
		count++;
	return count;
}

static struct lock_info info_of(struct engine *e, const char *name)
{
	struct lock_info *all, found = {0};
	size_t count;

	assert_int_equal(lock_files_list(e, &all, &count), 0);
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(all[i].name, name))
			found = all[i];
		lock_info_release(&all[i]);
	}
	free(all);
	if (!found.token)
		fail_msg("no lock %s", name);
	return found;
}

/* ---- processes ---- */

static void test_owner_is_the_process_written_in_it(void **state)
{
	struct engine *e = begin(state);

	living[0] = 100;
	put(e, LOCKS "build", "100\n");
	assert_int_equal(info_of(e, "build").owner, LOCK_OWNER_PROCESS);
	assert_int_equal(info_of(e, "build").pid, 100);
	assert_true(watched(e, 100));
	process_ends(e, 99);
	process_ends(e, OWN_PID); /* who wrote it is not who owns it */
	assert_true(held(e, "build"));
	process_ends(e, 100);
	assert_false(held(e, "build"));
	assert_false(watched(e, 100));
	assert_int_equal(events(e, "\"event_type\":\"lock_released\""), 1);
	assert_int_equal(events(e, "\"name\":\"build\",\"owner\":\"process 100\",\"token\":"), 1);
	assert_int_equal(events(e, "\"reason\":\"process_ended\""), 1);
	end(e);
}

static void expect_pid(struct engine *e, const char *name, const char *text, uint32_t pid)
{
	char path[64];
	struct lock_info i;

	snprintf(path, sizeof(path), LOCKS "%s", name);
	put(e, path, text);
	i = info_of(e, name);
	if ((i.owner == LOCK_OWNER_PROCESS) != (pid != 0) || (pid && i.pid != pid))
		fail_msg("'%s' is taken for owner %d, process %u", text, i.owner, i.pid);
}

static void test_what_a_process_number_looks_like(void **state)
{
	struct engine *e = begin(state);
	char long_text[6000];

	living[0] = 100;
	expect_pid(e, "a", "100", 100);
	expect_pid(e, "b", "100\n", 100);
	expect_pid(e, "c", "  100 \t\r\nand more\n", 100);
	expect_pid(e, "d", "", 0);
	expect_pid(e, "e", "\n100\n", 0);
	expect_pid(e, "f", "100 bash\n", 0);
	expect_pid(e, "g", "0100\n", 0);
	expect_pid(e, "h", "-100\n", 0);
	expect_pid(e, "i", "0\n", 0);
	expect_pid(e, "j", "4294967396\n", 0); /* 100, were it cut to 32 bits */
	expect_pid(e, "k", "1767225600\n", 0); /* a time */
	expect_pid(e, "l", "pid: 100\n", 0);
	memset(long_text, ' ', sizeof(long_text));
	memcpy(long_text, "100\n", 4);
	long_text[sizeof(long_text) - 1] = '\0';
	expect_pid(e, "m", long_text, 0);
	end(e);
}

static void test_number_that_no_process_has(void **state)
{
	struct engine *e = begin(state);

	put(e, LOCKS "build", "100\n");
	assert_int_equal(info_of(e, "build").owner, LOCK_OWNER_CREATOR);
	assert_false(watched(e, 100));
	process_ends(e, 100);
	assert_true(held(e, "build"));
	put(e, LOCKS "own", "4242\n"); /* its writer has lived, whatever became of it since */
	assert_true(watched(e, OWN_PID));
	process_ends(e, OWN_PID);
	assert_false(held(e, "own"));
	end(e);
}

/* A writer without a number is one whose numbers mean nothing here. */
static void test_number_from_elsewhere(void **state)
{
	struct engine *e = begin(state);

	living[0] = 7;
	put_as(e, "inside", "7\n", 0, "", "");
	assert_int_equal(info_of(e, "inside").owner, LOCK_OWNER_CREATOR);
	process_ends(e, 7);
	assert_true(held(e, "inside"));
	end(e);
}

static void test_handed_over(void **state)
{
	struct engine *e = begin(state);
	uint64_t token;

	living[0] = 100, living[1] = 200;
	put(e, LOCKS "build", "100\n");
	token = info_of(e, "build").token;
	put(e, LOCKS "build", "200\n");
	assert_int_equal(info_of(e, "build").token, token);
	process_ends(e, 100);
	assert_true(held(e, "build"));
	process_ends(e, 200);
	assert_false(held(e, "build"));
	end(e);
}

/* The owner's end is known, and before upkeep acts on it somebody else writes himself into the file. */
static void test_handed_over_at_the_last_moment(void **state)
{
	struct engine *e = begin(state);

	living[0] = 100, living[1] = 200;
	put(e, LOCKS "build", "100\n");
	upkeep_process_ended(e, 100);
	put(e, LOCKS "build", "200\n");
	(void)upkeep_run(e);
	assert_true(held(e, "build"));
	assert_int_equal(fixture_unlink(e, LOCKS "build"), 0);
	put(e, LOCKS "build", "100\n");
	upkeep_process_ended(e, 100);
	assert_int_equal(fixture_unlink(e, LOCKS "build"), 0);
	put(e, LOCKS "build", "200\n");
	(void)upkeep_run(e);
	assert_true(held(e, "build"));
	assert_int_equal(events(e, "lock_released"), 0);
	end(e);
}

static void test_attributes_are_no_new_owner(void **state)
{
	struct engine *e = begin(state);

	living[0] = 100;
	put(e, LOCKS "build", "100\n");
	living[0] = 0; /* dead already, but nobody knows yet */
	assert_int_equal(fixture_chmod(e, LOCKS "build", 0600), 0);
	process_ends(e, 100);
	assert_false(held(e, "build"));
	end(e);
}

/* Only what is directly in the directory, and only files. */
static void test_what_is_no_lock_file(void **state)
{
	struct engine *e = begin(state);

	living[0] = 100;
	assert_int_equal(fixture_mkdir(e, LOCKS "dir"), 0);
	put(e, LOCKS "dir/a", "100\n");
	put(e, "state/b", "100\n");
	assert_int_equal(fixture_symlink(e, "100", LOCKS "link"), 0);
	assert_false(watched(e, 100));
	process_ends(e, 100);
	assert_true(held(e, "dir/a"));
	assert_true(held(e, "link"));
	/* moved there it becomes one, moved away it is none any more */
	assert_int_equal(fixture_rename(e, "state/b", LOCKS "b", 0), 0);
	assert_true(watched(e, 100));
	assert_int_equal(fixture_rename(e, LOCKS "b", "state/b", 0), 0);
	assert_false(watched(e, 100));
	assert_int_equal(lock_file_token(e, fixture_ino(e, "state/b")), 0);
	end(e);
}

/* ln TEMPORARY LOCK: also atomic, and an old way. */
static void test_taken_by_a_link(void **state)
{
	struct engine *e = begin(state);

	living[0] = 100;
	put(e, LOCKS "tmp.100", "100\n");
	assert_int_equal(fixture_link(e, LOCKS "tmp.100", LOCKS "build"), 0);
	assert_int_equal(fixture_unlink(e, LOCKS "tmp.100"), 0);
	assert_int_equal(info_of(e, "build").pid, 100);
	assert_int_equal(fixture_link(e, LOCKS "build", LOCKS "also"), 0);
	process_ends(e, 100);
	assert_false(held(e, "build"));
	assert_false(held(e, "also"));
	end(e);
}

/* ---- restarts ---- */

static void test_found_at_the_next_mount(void **state)
{
	struct engine *e = begin(state);
	int64_t taken_ns;

	living[0] = 100, living[1] = 200;
	put(e, LOCKS "dead", "100\n");
	put(e, LOCKS "alive", "200\n");
	put(e, LOCKS "reused", "300\n");
	put_as(e, "touched", "", OWN_PID, "", "");
	taken_ns = info_of(e, "reused").taken_ns;
	end(e);
	env_mem_advance(*state, 60 * NS_PER_S);
	e = begin(state);
	assert_true(watched(e, 100));
	assert_true(watched(e, 200));
	assert_true(watched(e, 300));
	upkeep_process_seen(e, 200, taken_ns - 10 * NS_PER_S);
	upkeep_process_seen(e, 300, taken_ns + 30 * NS_PER_S); /* another one of that number */
	process_ends(e, 100);
	assert_false(held(e, "dead"));
	assert_true(held(e, "alive"));
	assert_false(held(e, "reused"));
	assert_true(held(e, "touched"));
	process_ends(e, 200);
	assert_false(held(e, "alive"));
	end(e);
}

/* ---- agents ---- */

static void agent_dies(struct engine *e, const char *session, const char *agent)
{
	char path[256];

	snprintf(path, sizeof(path), "state/sessions/%s/agents/%s.yaml", session, agent);
	put(e, path, "agent: {pid: 4711}\n");
	process_ends(e, 4711);
}

static void test_owner_is_the_agent(void **state)
{
	struct engine *e = begin(state);

	put(e, S1 "/agents/coder.yaml", "");
	put(e, S1 "/agents/other.yaml", "");
	put_as(e, "written-by", "", OWN_PID, "coder", "");
	put_as(e, "in-session", "", OWN_PID, "coder", "s1");
	put_as(e, "elsewhere", "text\n", OWN_PID, "coder", "no-such-session");
	put(e, LOCKS "naming", "coder\n");
	put(e, LOCKS "named-other", "other\n");
	put_as(e, "named-before-writer", "other\n", OWN_PID, "coder", "");
	put_as(e, "nobody", "", OWN_PID, "stranger", "");
	living[0] = 100;
	put_as(e, "process-before-agent", "100\n", OWN_PID, "coder", "");
	assert_int_equal(info_of(e, "written-by").owner, LOCK_OWNER_AGENT);
	assert_string_equal(info_of(e, "naming").agent, "coder");
	assert_string_equal(info_of(e, "named-before-writer").agent, "other");
	assert_string_equal(info_of(e, "elsewhere").session, "s1"); /* the only one there is */
	assert_string_equal(info_of(e, "nobody").session, "");
	assert_int_equal(info_of(e, "nobody").owner, LOCK_OWNER_CREATOR);
	assert_int_equal(info_of(e, "process-before-agent").owner, LOCK_OWNER_PROCESS);
	agent_dies(e, "s1", "coder");
	assert_false(held(e, "written-by"));
	assert_false(held(e, "in-session"));
	assert_false(held(e, "elsewhere"));
	assert_false(held(e, "naming"));
	assert_true(held(e, "named-other"));
	assert_true(held(e, "named-before-writer"));
	assert_true(held(e, "nobody"));
	assert_true(held(e, "process-before-agent"));
	assert_int_equal(events(e, "\"owner\":\"agent coder\",\"token\":"), 4);
	assert_int_equal(events(e, "\"reason\":\"agent_dead\""), 4);
	end(e);
}

static void test_unhealthy_is_not_dead(void **state)
{
	struct engine *e = begin(state);

	put(e, S1 "/agents/coder.yaml", "");
	put(e, LOCKS "build", "coder\n");
	for (int i = 0; i < 20; i++) {
		env_mem_advance(*state, 10 * NS_PER_S);
		(void)upkeep_run(e);
	}
	assert_non_null(strstr(fixture_text(e, S1 "/agents/coder.yaml"), "unhealthy"));
	assert_true(held(e, "build"));
	agent_dies(e, "s1", "coder");
	assert_false(held(e, "build"));
	end(e);
}

static void test_agent_that_leaves(void **state)
{
	struct engine *e = begin(state);

	put(e, S1 "/agents/coder.yaml", "");
	put(e, LOCKS "build", "coder\n");
	assert_int_equal(fixture_unlink(e, S1 "/agents/coder.yaml"), 0);
	(void)upkeep_run(e);
	assert_true(held(e, "build"));
	env_mem_advance(*state, 3 * NS_PER_S);
	(void)upkeep_run(e);
	assert_false(held(e, "build"));
	end(e);
}

/* Two agents of one id: who of them holds it tells the session, if the writer named one; else both must be gone. */
static void test_same_id_in_two_sessions(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, "state/sessions/s2"), 0);
	put(e, S1 "/agents/coder.yaml", "");
	put(e, "state/sessions/s2/agents/coder.yaml", "");
	put_as(e, "of-s1", "", OWN_PID, "coder", "s1");
	put_as(e, "of-s2", "", OWN_PID, "coder", "s2");
	put(e, LOCKS "of-either", "coder\n");
	put_as(e, "of-unknown", "", OWN_PID, "coder", "no-such-session");
	put_as(e, "named-by-s2", "coder\n", OWN_PID, "other", "s2");
	assert_string_equal(info_of(e, "of-s1").session, "s1");
	assert_string_equal(info_of(e, "of-s2").session, "s2");
	assert_string_equal(info_of(e, "of-either").session, "");
	assert_string_equal(info_of(e, "of-unknown").session, "");
	assert_string_equal(info_of(e, "named-by-s2").session, "s2");
	agent_dies(e, "s1", "coder");
	assert_true(held(e, "named-by-s2"));
	assert_false(held(e, "of-s1"));
	assert_true(held(e, "of-s2"));
	assert_true(held(e, "of-either"));
	assert_true(held(e, "of-unknown"));
	agent_dies(e, "s2", "coder");
	assert_false(held(e, "named-by-s2"));
	assert_false(held(e, "of-s2"));
	assert_false(held(e, "of-either"));
	assert_false(held(e, "of-unknown"));
	end(e);
}

static void test_agent_died_before_the_mount_ended(void **state)
{
	struct engine *e = begin(state);

	put(e, S1 "/agents/coder.yaml", "");
	put(e, S1 "/agents/other.yaml", "");
	agent_dies(e, "s1", "coder");
	put(e, LOCKS "stale", "coder\n"); /* written by somebody else: no sign of life */
	put(e, LOCKS "good", "other\n");
	assert_true(held(e, "stale"));
	end(e);
	e = begin(state);
	(void)upkeep_run(e);
	assert_false(held(e, "stale"));
	assert_true(held(e, "good"));
	end(e);
}

/* Owners that had left when the mount ended, before their locks were released: no registry knows them any more. */
static void test_agent_left_before_the_mount_ended(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, "state/sessions/s2"), 0);
	assert_int_equal(fixture_mkdir(e, "state/sessions/s3"), 0);
	put(e, "state/sessions/s3/agents/early.yaml", "");
	assert_int_equal(fixture_unlink(e, "state/sessions/s3/agents/early.yaml"), 0);
	put(e, S1 "/agents/coder.yaml", "");
	put(e, "state/sessions/s2/agents/coder.yaml", "");
	put(e, "state/sessions/s2/agents/single.yaml", "");
	put(e, "state/sessions/s3/agents/leaver.yaml", "");
	put_as(e, "naming", "single\n", OWN_PID, "coder", "s1");
	put_as(e, "written-by", "", OWN_PID, "single", "");
	put_as(e, "of-s2", "", OWN_PID, "coder", "s2");
	put_as(e, "of-s1", "", OWN_PID, "coder", "s1");
	put(e, LOCKS "of-either", "coder\n");
	put(e, LOCKS "left", "leaver\n");
	put(e, LOCKS "left-before", "early\n"); /* no agent any more when it was written */
	put(e, LOCKS "stranger", "nobody\n");
	assert_int_equal(fixture_unlink(e, "state/sessions/s3/agents/leaver.yaml"), 0);
	assert_int_equal(fixture_unlink(e, "state/sessions/s2/agents/single.yaml"), 0);
	assert_int_equal(fixture_unlink(e, "state/sessions/s2/agents/coder.yaml"), 0);
	assert_int_equal(fixture_rmdir(e, "state/sessions/s2"), 0);
	assert_true(held(e, "naming")); /* before upkeep's turn the daemon is killed */
	fixture_kill(*state, e);
	e = begin(state);
	(void)upkeep_run(e);
	assert_false(held(e, "naming"));
	assert_false(held(e, "written-by"));
	assert_false(held(e, "of-s2"));
	assert_false(held(e, "left"));
	assert_true(held(e, "of-s1"));
	assert_true(held(e, "of-either"));
	assert_true(held(e, "left-before"));
	assert_true(held(e, "stranger"));
	end(e);
}

/* ---- creators ---- */

static void test_creator_that_dies_with_it_open(void **state)
{
	struct engine *e = begin(state);

	put(e, S1 "/agents/coder.yaml", "");
	living[0] = 100;
	put_as(e, "open", "", OWN_PID, "", "");
	put(e, LOCKS "process", "100\n");
	put(e, LOCKS "agent", "coder\n");
	lock_file_creator_died(e, fixture_ino(e, LOCKS "open"), OWN_PID);
	lock_file_creator_died(e, fixture_ino(e, LOCKS "process"), OWN_PID);
	lock_file_creator_died(e, fixture_ino(e, LOCKS "agent"), OWN_PID);
	lock_file_creator_died(e, fixture_ino(e, S1 "/agents/coder.yaml"), OWN_PID);
	(void)upkeep_run(e);
	assert_false(held(e, "open"));
	assert_true(held(e, "process"));
	assert_true(held(e, "agent"));
	assert_int_not_equal(fixture_ino(e, S1 "/agents/coder.yaml"), 0);
	assert_int_equal(events(e, "\"owner\":\"creator 4242\""), 1);
	assert_int_equal(events(e, "\"reason\":\"creator_died\""), 1);
	end(e);
}

static void test_used_with_flock(void **state)
{
	struct engine *e = begin(state);

	living[0] = 100;
	put(e, LOCKS "build", "100\n");
	lock_file_shared(e, fixture_ino(e, LOCKS "build"));
	process_ends(e, 100);
	assert_true(held(e, "build"));
	assert_true(info_of(e, "build").shared);
	put(e, LOCKS "build", "100\n"); /* still so when it is written again */
	process_ends(e, 100);
	assert_true(held(e, "build"));
	end(e);
}

/* ---- tokens ---- */

static void test_tokens_grow(void **state)
{
	struct engine *e = begin(state);
	struct request q;
	struct tree_attr attr;
	uint64_t first, second;

	fixture_request(&q);
	assert_int_equal(engine_create(e, &q, fixture_ino(e, "state/.locks"), "newborn", 0644, &attr), 0);
	assert_int_equal(lock_file_token(e, attr.ino), 0);
	put(e, LOCKS "build", "x\n");
	first = lock_file_token(e, fixture_ino(e, LOCKS "build"));
	assert_int_equal(first, engine_head_seq(e));
	put(e, LOCKS "build", "y\n");
	assert_int_equal(lock_file_token(e, fixture_ino(e, LOCKS "build")), first);
	assert_int_equal(fixture_unlink(e, LOCKS "build"), 0);
	put(e, LOCKS "build", "x\n");
	second = lock_file_token(e, fixture_ino(e, LOCKS "build"));
	assert_true(second > first);
	assert_int_equal(fixture_rename(e, LOCKS "build", LOCKS "renamed", 0), 0);
	assert_true(lock_file_token(e, fixture_ino(e, LOCKS "renamed")) > second);
	assert_int_equal(info_of(e, "renamed").token, lock_file_token(e, fixture_ino(e, LOCKS "renamed")));
	assert_int_equal(lock_file_token(e, fixture_ino(e, S1 "/session.yaml")), 0);
	end(e);
	e = begin(state);
	assert_true(lock_file_token(e, fixture_ino(e, LOCKS "renamed")) > second);
	end(e);
}

static void test_list(void **state)
{
	struct engine *e = begin(state);
	struct lock_info *all;
	size_t count;

	put(e, LOCKS "z", "");
	put(e, LOCKS "a", "");
	put(e, LOCKS "m \"x\"", "");
	assert_int_equal(lock_files_list(e, &all, &count), 0);
	assert_int_equal(count, 3);
	assert_string_equal(all[0].name, "a");
	assert_string_equal(all[1].name, "m \"x\"");
	assert_string_equal(all[2].name, "z");
	assert_string_equal(all[0].comm, "fixture");
	assert_int_equal(all[0].pid, OWN_PID);
	assert_int_equal(all[0].uid, 1000);
	for (size_t i = 0; i < count; i++)
		lock_info_release(&all[i]);
	free(all);
	end(e);
}

/* No room for the release: again after a second, and then it works. */
static void test_release_without_room(void **state)
{
	struct engine *e = begin(state);
	int64_t due_ns, now_ns;

	living[0] = 100;
	put(e, LOCKS "build", "100\n");
	env_mem_set_capacity(*state, 1);
	while (!fixture_append(e, "state/fill", "x", 1)) /* until the open segment is full, too */
		;
	upkeep_process_ended(e, 100);
	now_ns = env_monotonic_ns(*state);
	due_ns = upkeep_run(e);
	assert_true(held(e, "build"));
	assert_in_range(due_ns - now_ns, 1, 2 * NS_PER_S);
	env_mem_set_capacity(*state, 0);
	env_mem_advance(*state, 2 * NS_PER_S);
	(void)upkeep_run(e);
	assert_false(held(e, "build"));
	end(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_owner_is_the_process_written_in_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_process_number_looks_like, setup, teardown),
		cmocka_unit_test_setup_teardown(test_number_that_no_process_has, setup, teardown),
		cmocka_unit_test_setup_teardown(test_number_from_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_handed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_handed_over_at_the_last_moment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attributes_are_no_new_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_lock_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken_by_a_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_at_the_next_mount, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owner_is_the_agent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unhealthy_is_not_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_agent_that_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_id_in_two_sessions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_agent_died_before_the_mount_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_agent_left_before_the_mount_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_creator_that_dies_with_it_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_used_with_flock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tokens_grow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_without_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
