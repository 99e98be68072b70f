/* SPDX-License-Identifier: MIT
 *
 * Upkeep beside everything it has to do with: agents that work, users who save the same files, agents and sessions that come and go, a clock that
 * runs. Whatever the order, no operation goes uncounted, no save is lost, and in the end files say what is. Made for ThreadSanitizer.
 *
 * UPKEEP_THREADS_MS is how long it runs.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../../core/engine_internal.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "upkeep.h"

#define S1 "state/sessions/s1"

struct shared {
	struct env *env;
	struct engine *e;
	atomic_bool stop;
	_Atomic uint64_t operations, agent_saves, session_saves, runs;
	atomic_int wrong;
	char why[200];
};

static bool going(struct shared *s)
{
	return !atomic_load(&s->stop) && !atomic_load(&s->wrong);
}

static void check(struct shared *s, const char *what, int r)
{
	if (r && !atomic_exchange(&s->wrong, 1))
		snprintf(s->why, sizeof(s->why), "%s: %d (%s)", what, r, strerror(r < 0 ? -r : 0));
}

static void *work(void *arg)
{
	struct shared *s = arg;
	char name[40];
	uint64_t parent = fixture_ino(s->e, S1 "/state");

	for (unsigned i = 0; going(s); i++) {
		struct tree_attr attr;
		struct request q;

		fixture_request(&q);
		strcpy(q.actor.agent, "a");
		snprintf(name, sizeof(name), "%lx-%u", (unsigned long)pthread_self(), i);
		check(s, "mkdir", engine_mkdir(s->e, &q, parent, name, 0755, &attr));
		check(s, "rmdir", engine_rmdir(s->e, &q, parent, name));
		atomic_fetch_add(&s->operations, 2);
	}
	return NULL;
}

/* What was saved last is still what the file says, whatever upkeep has written since, and what is known of it. */
static void check_agent(struct shared *s, const char *type)
{
	char *text = NULL;
	struct agent *a;
	size_t len;

	engine_lock(s->e);
	a = registry_agent(registry_session(s->e, "s1"), "a");
	check(s, "the type that is known is another", strcmp(a->fields.type, type) != 0);
	engine_unlock(s->e);
	check(s, "reading", fixture_read(s->e, S1 "/agents/a.yaml", SEQ_LIVE, &text, &len));
	check(s, "a save of an agent was lost", !text || !strstr(text, type));
	free(text);
}

static void *save_agent(void *arg)
{
	struct shared *s = arg;
	char text[80], type[40];

	while (going(s)) {
		snprintf(type, sizeof(type), "t%llu-", (unsigned long long)atomic_load(&s->agent_saves) + 1);
		snprintf(text, sizeof(text), "agent: {type: \"%s\", status: active}\n", type);
		check(s, "save of an agent", fixture_save_text(s->e, S1 "/agents/a.yaml", text));
		atomic_fetch_add(&s->agent_saves, 1);
		for (int i = 0; i < 20; i++)
			check_agent(s, type);
	}
	return NULL;
}

static void *save_session(void *arg)
{
	struct shared *s = arg;
	char text[160], n[40];

	while (going(s)) {
		char *now = NULL;
		size_t len;

		snprintf(n, sizeof(n), "context: {n: %llu}\n", (unsigned long long)atomic_load(&s->session_saves) + 1);
		snprintf(text, sizeof(text), "configuration: {max_session_duration: 10000000, heartbeat_interval: 5}\n%s", n);
		check(s, "save of a session", fixture_save_text(s->e, S1 "/session.yaml", text));
		atomic_fetch_add(&s->session_saves, 1);
		for (int i = 0; i < 20; i++) {
			check(s, "reading", fixture_read(s->e, S1 "/session.yaml", SEQ_LIVE, &now, &len));
			check(s, "a save of a session was lost", !now || !strstr(now, n));
			free(now);
			now = NULL;
		}
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; going(s); i++) {
		check(s, "registering", fixture_save_text(s->e, S1 "/agents/b.yaml", "agent: {pid: 7}\n"));
		(void)upkeep_heartbeat(s->e, fixture_ino(s->e, S1 "/agents/b.yaml"));
		(void)upkeep_heartbeat(s->e, fixture_ino(s->e, S1 "/agents/a.yaml"));
		upkeep_process_ended(s->e, 7);
		check(s, "removing", fixture_unlink(s->e, S1 "/agents/b.yaml"));
		check(s, "session", fixture_mkdir(s->e, "state/sessions/s2"));
		check(s, "agent", fixture_save_text(s->e, "state/sessions/s2/agents/c.yaml", ""));
		check(s, "agent", fixture_unlink(s->e, "state/sessions/s2/agents/c.yaml"));
		check(s, "end", fixture_rmdir(s->e, "state/sessions/s2"));
	}
	return NULL;
}

static void *upkeep(void *arg)
{
	struct shared *s = arg;
	struct watched_pid *pids;
	uint64_t generation;
	size_t count;

	while (going(s)) {
		(void)upkeep_run(s->e);
		check(s, "pids", upkeep_watched_pids(s->e, &pids, &count, &generation));
		free(pids);
		env_mem_advance(s->env, NS_PER_S / 2);
		atomic_fetch_add(&s->runs, 1);
	}
	return NULL;
}

static struct engine *open_threaded(struct env *env)
{
	struct engine_options opt = {.segment_bytes = 4u << 20, .threads = true, .root_uid = 1000, .root_gid = 1000};
	struct engine *e;

	assert_int_equal(engine_open(env, &opt, NULL, &e), 0);
	return e;
}

static void expect_number(struct engine *e, const char *path, const char *member, uint64_t want)
{
	const char *text = fixture_text(e, path);
	const struct doc_node *n;
	struct doc *doc;

	assert_int_equal(doc_parse_yaml(text, strlen(text), NULL, &doc), 0);
	n = doc_get_path(doc_root(doc), member);
	assert_non_null(n);
	assert_int_equal(n->number, want);
	doc_free(doc);
}

static void check_end(struct shared *s)
{
	char type[40];

	s->e = open_threaded(s->env);
	(void)upkeep_run(s->e);
	expect_number(s->e, S1 "/agents/a.yaml", "metrics.operations_completed", s->operations);
	expect_number(s->e, S1 "/session.yaml", "context.n", s->session_saves);
	snprintf(type, sizeof(type), "type: \"t%llu-\"", (unsigned long long)s->agent_saves);
	assert_non_null(strstr(fixture_text(s->e, S1 "/agents/a.yaml"), type));
	assert_non_null(strstr(fixture_text(s->e, S1 "/session.yaml"), "active_agents: [\"a\"]"));
	assert_null(registry_session(s->e, "s2"));
	assert_int_equal(engine_close(s->e), 0);
}

static void test_all_at_once(void **state)
{
	void *(*const workers[])(void *) = {work, work, save_agent, save_session, come_and_go, upkeep};
	const char *ms = getenv("UPKEEP_THREADS_MS");
	struct shared s = {.env = env_mem_new(3)};
	pthread_t threads[ARRAY_SIZE(workers)];
	struct timespec t = {.tv_nsec = 500 * NS_PER_MS};

	(void)state;
	if (ms)
		t = (struct timespec){.tv_sec = atoi(ms) / 1000, .tv_nsec = atoi(ms) % 1000 * NS_PER_MS};
	s.e = open_threaded(s.env);
	assert_int_equal(fixture_mkdir(s.e, S1), 0);
	assert_int_equal(fixture_save_text(s.e, S1 "/agents/a.yaml", "agent: {status: active}\n"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, workers[i], &s), 0);
	nanosleep(&t, NULL);
	atomic_store(&s.stop, true);
	for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
		pthread_join(threads[i], NULL);
	if (s.wrong)
		fail_msg("%s", s.why);
	print_message("%llu operations, %llu and %llu saves, %llu runs\n", (unsigned long long)s.operations, (unsigned long long)s.agent_saves,
		(unsigned long long)s.session_saves, (unsigned long long)s.runs);
	assert_int_equal(engine_close(s.e), 0);
	check_end(&s);
	env_mem_free(s.env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
