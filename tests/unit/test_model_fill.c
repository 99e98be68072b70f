/* SPDX-License-Identifier: MIT
 *
 * Files of the state model that came without a save, by adoption or from an earlier version: upkeep gives them the fields they lack and leaves all
 * else as it is.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../../core/engine_internal.h"
#include "checkpoint.h"
#include "cmocka_all.h"
#include "env_mem.h"
#include "model_schema.h"
#include "session_fixture.h"
#include "upkeep.h"

#define FOUND_MTIME_NS (1700000000 * NS_PER_S) /* 2023-11-14T22:13:20Z */
#define FOUND_MTIME "2023-11-14T22:13:20"

/* ---- a directory with plain files ---- */

struct found {
	const char *path, *text; /* text NULL: a directory */
};

struct feed {
	const struct found *list;
	size_t count, next, at;
};

static ssize_t feed_read(struct adopt_entry *a, void *buf, size_t len)
{
	struct feed *f = a->arg;
	const char *text = f->list[f->next - 1].text + f->at;

	len = MIN(len, strlen(text));
	memcpy(buf, text, len);
	f->at += len;
	return (ssize_t)len;
}

static int feed_next(void *arg, struct adopt_entry *ret)
{
	struct feed *f = arg;
	const struct found *i = &f->list[f->next];

	if (f->next == f->count)
		return 0;
	f->next++;
	f->at = 0;
	*ret = (struct adopt_entry){.path = i->path,
		.mode = i->text ? S_IFREG | 0644 : S_IFDIR | 0755,
		.uid = 1000,
		.gid = 1000,
		.mtime_ns = FOUND_MTIME_NS,
		.read = feed_read,
		.arg = f};
	return 1;
}

/* An engine that has adopted a session with these files, before any upkeep. */
static struct engine *adopt(struct env *env, const char *session, const char *agent)
{
	const struct found list[] = {{S1, NULL}, {S1 "/agents", NULL}, {S1 "/session.yaml", session}, {A1, agent}};
	struct feed f = {.list = list, .count = ARRAY_SIZE(list)};
	struct engine *e = fixture_open_ok(env);
	struct request q;
	uint64_t files;

	fixture_request(&q);
	assert_int_equal(engine_adopt(e, &q, feed_next, &f, &files), 0);
	assert_int_equal(files, 2);
	assert_true(q.seq == engine_head_seq(e));
	return e;
}

static void expect_complete(struct engine *e, const char *path, enum model_kind kind)
{
	const char *text = fixture_text(e, path);
	struct doc *doc;

	assert_int_equal(doc_parse_yaml(text, strlen(text), NULL, &doc), 0);
	if (!model_is_complete(kind, doc_root(doc)))
		fail_msg("%s lacks fields: %s", path, text);
	doc_free(doc);
}

static int64_t mtime_of(struct engine *e, const char *path)
{
	const struct node *n;
	int64_t ns;

	engine_lock(e);
	n = tree_resolve(engine_tree(e), path, SEQ_LIVE);
	ns = version_mtime(n->newest);
	engine_unlock(e);
	return ns;
}

/* ---- tests ---- */

static void test_adopted_files(void **state)
{
	static const char head[] = "# who writes the code\nagent:\n  type: 'coder'   # quoted so\n  color: blue\n", tail[] = "state: {step: 4}  # of 9\n";
	char agent[sizeof(head) + sizeof(tail)];
	struct engine *e;
	uint64_t head_seq;

	snprintf(agent, sizeof(agent), "%s%s", head, tail);
	e = adopt(*state, "session: {type: old}\nmine: 1\n", agent);
	(void)upkeep_run(e);
	expect_complete(e, A1, MODEL_AGENT);
	expect_complete(e, S1 "/session.yaml", MODEL_SESSION);
	assert_memory_equal(fixture_text(e, A1), head, strlen(head));
	fixture_expect_says(e, A1, tail);
	fixture_expect_says(e, A1, "  id: \"a\"\n");
	fixture_expect_says(e, A1, "  status: \"initializing\"\n");
	fixture_expect_says(e, A1, "  last_updated: \"" FOUND_MTIME);
	fixture_expect_says(e, S1 "/session.yaml", "mine: 1\n");
	fixture_expect_says(e, S1 "/session.yaml", "auto_checkpoint: true");
	fixture_expect_says(e, S1 "/session.yaml", "active_agents: [\"a\"]");
	assert_null(strstr(fixture_text(e, A1), "registered_at: null"));
	assert_null(strstr(fixture_text(e, S1 "/session.yaml"), "created_at: null"));
	assert_true(mtime_of(e, A1) == FOUND_MTIME_NS);
	assert_true(mtime_of(e, S1 "/session.yaml") == FOUND_MTIME_NS);
	head_seq = engine_head_seq(e);
	(void)upkeep_run(e);
	assert_int_equal(engine_head_seq(e), head_seq); /* once */
	fixture_close_ok(e);
}

static void test_empty_files(void **state)
{
	struct engine *e = adopt(*state, "", "# nothing yet\n");

	(void)upkeep_run(e);
	expect_complete(e, A1, MODEL_AGENT);
	expect_complete(e, S1 "/session.yaml", MODEL_SESSION);
	assert_memory_equal(fixture_text(e, A1), "# nothing yet\n", 14);
	fixture_close_ok(e);
}

/* A daemon that died before its first upkeep leaves it to the next. */
static void test_after_a_crash(void **state)
{
	struct engine *e = adopt(*state, "session: {type: old}\n", "agent: {type: coder}\n");

	assert_int_equal(engine_sync(e), 0);
	e->options.read_only = true; /* not even the last upkeep, that of the end */
	fixture_kill(*state, e);
	e = fixture_open_ok(*state);
	assert_string_equal(fixture_text(e, A1), "agent: {type: coder}\n");
	(void)upkeep_run(e);
	expect_complete(e, A1, MODEL_AGENT);
	expect_complete(e, S1 "/session.yaml", MODEL_SESSION);
	fixture_close_ok(e);
}

/* A file that cannot take them stays as it is, is not tried again and again, and heartbeats get into it all the same. */
static void test_files_that_cannot_be_filled(void **state)
{
	static const char odd[] = "agent: {type: coder}\ncoordination: none of your business\n", broken[] = "session: {type: [\n";
	struct engine *e = adopt(*state, broken, odd);
	uint64_t head_seq;

	for (int i = 0; i < 3; i++)
		assert_true(upkeep_run(e) > env_monotonic_ns(*state) + NS_PER_S);
	assert_string_equal(fixture_text(e, A1), odd);
	assert_string_equal(fixture_text(e, S1 "/session.yaml"), broken);
	for (int i = 0; i < 3; i++) { /* the first makes it active */
		size_t len;
		cleanup_free char *before = NULL;

		assert_int_equal(fixture_read(e, A1, SEQ_LIVE, &before, &len), 0);
		assert_true(upkeep_heartbeat(e, fixture_ino(e, A1)));
		env_mem_advance(*state, 31 * NS_PER_S);
		(void)upkeep_run(e);
		assert_string_not_equal(fixture_text(e, A1), before);
	}
	fixture_expect_says(e, A1, "last_heartbeat: \"");
	fixture_expect_says(e, A1, "coordination: none of your business\n");
	head_seq = engine_head_seq(e);
	(void)upkeep_run(e);
	(void)upkeep_run(e);
	assert_int_equal(engine_head_seq(e), head_seq);
	fixture_close_ok(e);
}

/* Nor does one field keep a session's lists from being kept. */
static void test_a_session_that_cannot_be_filled(void **state)
{
	struct engine *e = adopt(*state, "configuration: [none]\n", "");

	assert_true(upkeep_run(e) > env_monotonic_ns(*state) + NS_PER_S);
	fixture_expect_says(e, S1 "/session.yaml", "configuration: [none]\n");
	fixture_expect_says(e, S1 "/session.yaml", "active_agents: [\"a\"]");
	fixture_close_ok(e);
}

/* What was found can be gone back to, before anybody has changed anything; and it is filled again. */
static void test_restored_files(void **state)
{
	struct engine *e = adopt(*state, "session: {type: old}\n", "agent: {type: coder}\n");
	struct restore_result result;
	struct request q;

	(void)upkeep_run(e);
	fixture_expect_says(e, S1 "/session.yaml", "recovery_points: [\"checkpoint-");
	fixture_request(&q);
	assert_int_equal(checkpoint_restore(e, &q, "s1", "latest", &result), 0);
	assert_string_equal(fixture_text(e, A1), "agent: {type: coder}\n");
	(void)upkeep_run(e);
	expect_complete(e, A1, MODEL_AGENT);
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_adopted_files),
		FIXTURE_TEST(test_empty_files),
		FIXTURE_TEST(test_after_a_crash),
		FIXTURE_TEST(test_files_that_cannot_be_filled),
		FIXTURE_TEST(test_a_session_that_cannot_be_filled),
		FIXTURE_TEST(test_restored_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
