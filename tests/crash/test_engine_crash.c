/* SPDX-License-Identifier: MIT
 *
 * The engine loses power, dies, meets failing writes and syncs and a full disk at every I/O operation of scripts that use
 * every operation (engine_script.c). A run without faults is the measure: the tree after each transaction, and the event log. After
 * recovery the head is one of its states, at or after all that was acknowledged; its log is a prefix of the measure's, with
 * chains that hold; drafts of a killed daemon are listed; recovering twice changes nothing; work goes on.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine_script.h"
#include "env_mem.h"
#include "event_chain.h"
#include "rng.h"

#define SEQS_MAX 128

/* The state after each transaction, and the whole log. */
struct measure {
	uint64_t head, shown, ops; /* shown: readers see no more; the head, unless the journal is poisoned */
	struct sha256 digest[SEQS_MAX];
	char *events;
	size_t events_len;
	size_t events_at[SEQS_MAX]; /* length of the log after each transaction */
};

/* What is being tried, printed when a check fails. */
static char where[200];
/* Of the environments: among others, how much of a write a dying process got done. */
static uint64_t env_seed = 11;

#define check(condition)                                       \
	do {                                                   \
		if (!(condition))                              \
			fail_msg("%s: %s", where, #condition); \
	} while (0)

static const char *head_of_line(const char *line)
{
	const char *at = strstr(line, "\"tx_seq\":"), *next;

	while (at && (next = strstr(at + 1, "\"tx_seq\":")) && next < strchr(line, '\n'))
		at = next;
	return at;
}

/* Where in the log each transaction's events end. */
static void measure_events(struct measure *m)
{
	const char *line = m->events;

	while (line < m->events + m->events_len) {
		const char *end = strchr(line, '\n') + 1;
		uint64_t seq = strtoull(head_of_line(line) + strlen("\"tx_seq\":"), NULL, 10);

		assert_in_range(seq, 1, m->shown);
		for (uint64_t s = seq; s <= m->head; s++)
			m->events_at[s] = (size_t)(end - m->events);
		line = end;
	}
}

static void measure_take(struct engine *e, struct measure *m)
{
	*m = (struct measure){.head = engine_head_seq(e), .shown = engine_shown_seq(e)};
	assert_true(m->head < SEQS_MAX);
	for (uint64_t s = 1; s <= m->head; s++)
		fixture_digest(e, s, &m->digest[s]);
	m->events = fixture_events(e, &m->events_len);
	measure_events(m);
}

static void measure_release(struct measure *m)
{
	free(m->events);
	m->events = NULL;
}

static void measure_script(const struct script *s, struct measure *m)
{
	struct env *env = env_mem_new(env_seed);
	struct env_mem_stats stats;
	struct script_run r;

	script_run(s, env, &r);
	if (r.unexpected || r.first_error)
		fail_msg("%s without faults: step %zu: %s", s->name, r.failed_step, strerror(-r.first_error));
	measure_take(r.e, m);
	assert_true(event_chain_holds(m->events, m->events_len));
	script_finish(&r);
	env_mem_stats(env, &stats);
	m->ops = stats.ops;
	env_mem_free(env);
}

/* ---- judging a recovered engine ---- */

static void check_state(struct engine *e, const struct measure *m, uint64_t seq)
{
	struct sha256 digest;

	fixture_digest(e, seq, &digest);
	if (memcmp(&digest, &m->digest[seq], sizeof(digest)))
		fail_msg("%s: the tree at transaction %llu is not what it was (head %llu)", where, (unsigned long long)seq,
			(unsigned long long)engine_head_seq(e));
}

static void check_events(struct engine *e, const struct measure *m)
{
	size_t len;
	char *text = fixture_events(e, &len);

	check(event_chain_holds(text, len));
	if (m) {
		size_t known = m->events_at[engine_head_seq(e)];

		check(engine_head_seq(e) > m->shown ? len >= known : len == known);
		check(!memcmp(text, m->events, known));
	}
	free(text);
}

static void check_healthy(struct engine *e)
{
	struct engine_health health;

	engine_get_health(e, &health);
	if (health.status != ENGINE_HEALTHY)
		fail_msg("%s: not healthy: %s", where, health.why.data);
	buf_release(&health.why);
}

static struct engine *reopen(struct env *env)
{
	struct reason why = {0};
	struct engine *e = NULL;
	int r = fixture_open(env, &why, &e);

	if (r)
		fail_msg("%s: cannot be opened: %s: %s", where, strerror(-r), why.text);
	return e;
}

/* Is the draft that was not published listed, with at least the bytes that were acknowledged? */
static void check_draft(struct engine *e, const struct script_run *r)
{
	char want[SCRIPT_DRAFT_BYTES], got[SCRIPT_DRAFT_BYTES];
	struct draft_info *list;
	size_t count;
	bool found = false;
	cleanup_free char *text = NULL;
	size_t len = 0;

	if (!r->draft_path || !r->draft_len)
		return;
	script_draft_pattern(want, sizeof(want));
	for (uint64_t s = engine_head_seq(e); s && !found; s--) { /* published, maybe overwritten since */
		if (!fixture_read(e, r->draft_path, s, &text, &len))
			found = len == r->draft_len && !memcmp(text, want, len);
		free(text);
		text = NULL;
	}
	assert_int_equal(draft_list(e, &list, &count), 0);
	for (size_t i = 0; i < count; i++) {
		ssize_t n = draft_read_by_id(e, list[i].id, 0, got, sizeof(got));

		check(n >= 0);
		check(list[i].recovered);
		if (!strcmp(list[i].path, r->draft_path) && n >= (ssize_t)r->draft_len)
			found = found || !memcmp(got, want, (size_t)n);
		draft_info_release(&list[i]);
	}
	free(list);
	check(found);
}

/* Head and every state up to it, @all of them or head and one more. @m NULL: nothing is known of it. */
static void check_recovered(struct engine *e, const struct measure *m, uint64_t must, bool all, uint64_t salt)
{
	uint64_t head = engine_head_seq(e);

	check_healthy(e);
	check(engine_live_seq(e) == SEQ_LIVE);
	check(head >= must);
	if (!must && head <= 1)
		m = NULL; /* a store made anew */
	if (m) {
		check(head <= m->head);
		for (uint64_t s = 1; s <= head; s++)
			if (all || s == head || s == 1 + salt % head)
				check_state(e, m, s);
	}
	check_events(e, m);
}

/* Recover, judge, recover again, go on working. @run: drafts must be there too (NULL after power loss). */
static void check_recovery(struct env *env, const struct measure *m, uint64_t must, const struct script_run *run, uint64_t salt)
{
	struct sha256 first, second;
	struct engine *e = reopen(env);
	uint64_t head = engine_head_seq(e), found;

	check_recovered(e, m, must, salt % 8 == 0, salt);
	if (run)
		check_draft(e, run);
	fixture_digest(e, head, &first);
	fixture_kill(env, e);

	e = reopen(env);
	found = engine_head_seq(e);
	check(found - head <= 1); /* what the daemon was doing by itself when it died may have come through */
	fixture_digest(e, head, &second);
	check(!memcmp(&first, &second, sizeof(first)));
	if (run)
		check_draft(e, run);
	check(!fixture_save_text(e, "afterwards", "work goes on"));
	check(!fixture_append(e, "afterwards", "!", 1));
	check(engine_close(e) == 0);

	e = reopen(env);                            /* from the index */
	check(engine_head_seq(e) - found - 2 <= 2); /* it may have brought its own files up to date */
	check(!strcmp(fixture_text(e, "afterwards"), "work goes on!"));
	if (head <= 1 && !must)
		m = NULL;
	if (m)
		check_state(e, m, head);
	check_events(e, NULL);
	if (run)
		check_draft(e, run);
	fixture_kill(env, e);
}

/* ---- power and death ---- */

static const struct {
	enum env_mem_mode mode;
	int seeds;
	const char *name;
} variants[] = {{ENV_MEM_LOST, 1, "lost"}, {ENV_MEM_KEPT, 1, "kept"}, {ENV_MEM_TORN, 2, "torn"}, {ENV_MEM_RANDOM, 3, "random"}};

static void power_cut_at(const struct script *s, const struct measure *m, uint64_t op)
{
	struct env *env = env_mem_new(env_seed);
	struct script_run r;

	env_mem_power_off_at(env, op);
	script_run(s, env, &r);
	assert_true(env_mem_is_off(env) || r.e);
	script_finish(&r);
	for (size_t v = 0; v < ARRAY_SIZE(variants); v++) {
		for (int seed = 0; seed < variants[v].seeds; seed++) {
			struct env *after = env_mem_power_cycle(env, variants[v].mode, op * 10 + (uint64_t)seed);

			snprintf(where, sizeof(where), "%s, power cut at operation %llu, %s %d", s->name, (unsigned long long)op, variants[v].name, seed);
			check_recovery(after, m, r.acked, NULL, op + (uint64_t)seed);
			env_mem_free(after);
		}
	}
	env_mem_free(env);
}

static void kill_at(const struct script *s, const struct measure *m, uint64_t op)
{
	struct env *env = env_mem_new(env_seed);
	struct script_run r;

	env_mem_kill_at(env, op);
	script_run(s, env, &r);
	script_finish(&r);
	env_mem_kill(env);
	snprintf(where, sizeof(where), "%s, killed at operation %llu, seed %llu", s->name, (unsigned long long)op, (unsigned long long)env_seed);
	check_recovery(env, m, r.acked, &r, op);
	env_mem_free(env);
}

/* Operations to try of a script: all of them, or with ENGINE_CRASH_STEP=n every n-th. */
static uint64_t stride(void)
{
	const char *text = getenv("ENGINE_CRASH_STEP");

	return text && atoi(text) > 0 ? (uint64_t)atoi(text) : 1;
}

static void for_each_operation(void (*fn)(const struct script *s, const struct measure *m, uint64_t op), uint64_t more)
{
	for (size_t i = 0; i < engine_script_count; i++) {
		struct measure m;

		measure_script(&engine_scripts[i], &m);
		for (uint64_t op = 1; op <= m.ops + more; op += stride())
			fn(&engine_scripts[i], &m, op);
		measure_release(&m);
	}
}

static void test_power_cut_at_every_operation(void **state)
{
	(void)state;
	for_each_operation(power_cut_at, 1);
}

static void test_kill_at_every_operation(void **state)
{
	uint64_t first = env_seed;

	(void)state;
	for (; env_seed < first + 3; env_seed++)
		for_each_operation(kill_at, 1);
	env_seed = first;
}

/* ---- failing writes and syncs ---- */

static void check_poisoned(const struct script_run *r, const struct measure *live)
{
	uint64_t durable = engine_live_seq(r->e), newest;
	struct engine_health health;
	struct sha256 digest;

	check(!r->late_change);
	check(!r->wrong_error);
	check(durable != SEQ_LIVE);
	check(durable >= r->acked);
	check(live->shown == durable);
	check(!engine_list_transactions(r->e, false, 0, &newest, 1) || newest <= durable);
	check(!engine_list_transactions(r->e, true, 0, &newest, 1) || newest <= durable);
	check(fixture_mkdir(r->e, "late") == -EROFS);
	check(fixture_save_text(r->e, "late", "x") == -EROFS);
	check(engine_wait(r->e, durable + 1, JOURNAL_DURABLE) == -EIO || engine_head_seq(r->e) == durable);
	fixture_digest(r->e, durable, &digest);
	check(!memcmp(&digest, &live->digest[durable], sizeof(digest)));
	engine_get_health(r->e, &health);
	check(health.status == ENGINE_READ_ONLY);
	check(health.why.len > 0);
	buf_release(&health.why);
}

static void fault_at(const struct script *s, const struct measure *m, uint64_t op, int error)
{
	struct env *env = env_mem_new(env_seed), *after;
	struct measure live = {0};
	struct script_run r;

	snprintf(where, sizeof(where), "%s, %s at operation %llu", s->name, strerror(error), (unsigned long long)op);
	env_mem_fail_at(env, op, error);
	script_run(s, env, &r);
	if (r.e) { /* from the fault on it is a story of its own */
		measure_take(r.e, &live);
		check(event_chain_holds(live.events, live.events_len));
		if (r.poisoned)
			check_poisoned(&r, &live);
		m = &live;
	}
	script_finish(&r);
	for (int seed = 0; seed < 3; seed++) {
		snprintf(where, sizeof(where), "%s, %s at operation %llu, then power %s %d", s->name, strerror(error), (unsigned long long)op,
			seed ? "random" : "lost", seed);
		after = env_mem_power_cycle(env, seed ? ENV_MEM_RANDOM : ENV_MEM_LOST, op * 10 + (uint64_t)seed);
		check_recovery(after, m, r.acked, NULL, op);
		env_mem_free(after);
	}
	env_mem_kill(env);
	snprintf(where, sizeof(where), "%s, %s at operation %llu, then killed", s->name, strerror(error), (unsigned long long)op);
	check_recovery(env, m, r.acked, NULL, op);
	env_mem_free(env);
	measure_release(&live);
}

static void eio_at(const struct script *s, const struct measure *m, uint64_t op)
{
	fault_at(s, m, op, EIO);
}

static void enospc_at(const struct script *s, const struct measure *m, uint64_t op)
{
	fault_at(s, m, op, ENOSPC);
}

static void test_io_error_at_every_operation(void **state)
{
	(void)state;
	for_each_operation(eio_at, 0);
}

static void test_no_space_at_every_operation(void **state)
{
	(void)state;
	for_each_operation(enospc_at, 0);
}

/* ---- a disk that is full ---- */

/* Everything acknowledged stays, nothing is poisoned, and with room everything works again, in this life and the next. */
static void full_disk(const struct script *s, uint64_t capacity)
{
	struct env *env = env_mem_new(env_seed);
	struct measure live = {0};
	struct script_run r;

	snprintf(where, sizeof(where), "%s, a disk of %llu bytes", s->name, (unsigned long long)capacity);
	env_mem_set_capacity(env, capacity);
	script_run(s, env, &r);
	if (r.e) {
		check(!r.poisoned);
		env_mem_set_capacity(env, 0);
		check(!fixture_save_text(r.e, "room", "again"));
		check(!fixture_mkdir(r.e, "more-room"));
		script_settle(&r);
		r.acked = engine_head_seq(r.e);
		measure_take(r.e, &live);
	}
	env_mem_set_capacity(env, 0);
	script_finish(&r);
	check_recovery(env, r.acked ? &live : NULL, r.acked, NULL, 0);
	env_mem_free(env);
	measure_release(&live);
}

static void test_full_disk(void **state)
{
	(void)state;
	for (size_t i = 0; i < engine_script_count; i++)
		for (uint64_t capacity = 1u << 20; capacity < 12u << 20; capacity += (uint64_t)(128u << 10) * stride())
			full_disk(&engine_scripts[i], capacity);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_at_every_operation),
		cmocka_unit_test(test_power_cut_at_every_operation),
		cmocka_unit_test(test_io_error_at_every_operation),
		cmocka_unit_test(test_no_space_at_every_operation),
		cmocka_unit_test(test_full_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
