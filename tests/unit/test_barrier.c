/* SPDX-License-Identifier: MIT
 *
 * Barriers: texts, the way from mkdir to the end, and what a restart finds. The clock is set; upkeep is called, not waited for.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../../core/barrier_internal.h"
#include "doc.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "upkeep.h"

#define S1 "state/sessions/s1"
#define AGENTS S1 "/agents/"
#define SYNC AGENTS ".sync/"

static int setup(void **state)
{
	*state = env_mem_new(5);
	return 0;
}

static int teardown(void **state)
{
	env_mem_free(*state);
	return 0;
}

/* A session whose agents a and b are registered. */
static struct engine *begin(void **state)
{
	struct engine *e = fixture_open_ok(*state);

	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_int_equal(fixture_save_text(e, AGENTS "a.yaml", ""), 0);
	assert_int_equal(fixture_save_text(e, AGENTS "b.yaml", ""), 0);
	(void)upkeep_run(e);
	return e;
}

static void end(struct engine *e)
{
	assert_int_equal(engine_close(e), 0);
}

/* Remounted at once: the clock of the store's environment goes on. */
static struct engine *again(void **state, struct engine *e)
{
	end(e);
	return fixture_open_ok(*state);
}

static void wait_s(void **state, struct engine *e, unsigned seconds)
{
	env_mem_advance(*state, seconds * NS_PER_S);
	(void)upkeep_run(e);
}

static int touch(struct engine *e, const char *path)
{
	return fixture_save_text(e, path, "");
}

static int refused(struct engine *e, const char *dir, const char *name, struct reason *ret)
{
	struct request q;
	struct tree_attr attr;
	int r;

	fixture_request(&q);
	r = engine_create(e, &q, fixture_ino(e, dir), name, 0644, &attr);
	*ret = q.reason;
	return r;
}

/* Member @path of a record, as text: lists joined with blanks; "null". */
static const char *said(struct engine *e, const char *record, const char *path)
{
	static char out[4096];
	const char *text = fixture_text(e, record);
	const struct doc_node *n;
	struct doc *doc;

	out[0] = '\0';
	assert_int_equal(doc_parse_yaml(text, strlen(text), NULL, &doc), 0);
	n = doc_get_path(doc_root(doc), path);
	if (!n)
		strcpy(out, "(none)");
	else if (n->type == DOC_NULL)
		strcpy(out, "null");
	else if (n->type != DOC_SEQUENCE)
		strcpy(out, n->text);
	for (n = n && n->type == DOC_SEQUENCE ? n->child : NULL; n; n = n->next) {
		strcat(out, n->text);
		strcat(out, n->next ? " " : "");
	}
	doc_free(doc);
	return out;
}

/* What a reader of `wait` gets: "" while it goes on. */
static const char *result_of(struct engine *e, uint64_t dir_ino)
{
	static char out[256];
	cleanup_buf struct buf text = BUF_INIT;
	int r;

	engine_lock(e);
	r = barrier_result(e, dir_ino, &text);
	engine_unlock(e);
	snprintf(out, sizeof(out), "%s", r == 1 ? text.data : r ? strerror(-r) : "");
	return out;
}

static const char *result(struct engine *e, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), SYNC "%s", name);
	return result_of(e, fixture_ino(e, path));
}

static unsigned events(struct engine *e, const char *text)
{
	cleanup_free char *all = fixture_events(e, NULL);
	unsigned count = 0;

	for (const char *at = all; (at = strstr(at, text)); at++)
		count++;
	return count;
}

/* ---- texts ---- */

static void expect_participants(const char *text, const char *want)
{
	struct id_list l;
	struct buf out = BUF_INIT;

	assert_int_equal(barrier_parse_participants(text, strlen(text), &l), 0);
	id_list_put(&l, true, &out);
	assert_string_equal(out.data, want);
	buf_release(&out);
	id_list_release(&l);
}

static void test_participants_file(void **state)
{
	(void)state;
	expect_participants("", "[]");
	expect_participants("\n \t\r\n# nobody\n", "[]");
	expect_participants("a", "[\"a\"]");
	expect_participants("a b\nc\r\n\td a", "[\"a\", \"b\", \"c\", \"d\"]");
	expect_participants("a, b # not c\nd#e\n", "[\"a\", \"b\", \"d\"]");
	expect_participants("../x -y .z good $(rm) a/b", "[\"good\"]");
	expect_participants("\xef\xbb\xbf" "a\n- b\n[\"c\", 'd']\n", "[\"a\", \"b\", \"c\", \"d\"]");
}

static void test_timeout_file(void **state)
{
	(void)state;
	assert_int_equal(barrier_parse_timeout("30\n", 3), 30);
	assert_int_equal(barrier_parse_timeout(" 7 \r\n", 5), 7);
	assert_int_equal(barrier_parse_timeout("31536000", 8), BARRIER_TIMEOUT_MAX_S);
	assert_int_equal(barrier_parse_timeout("31536001", 8), 0);
	assert_int_equal(barrier_parse_timeout("0", 1), 0);
	assert_int_equal(barrier_parse_timeout("-1", 2), 0);
	assert_int_equal(barrier_parse_timeout("1.5", 3), 0);
	assert_int_equal(barrier_parse_timeout("99999999999999999999999999999999", 32), 0);
	assert_int_equal(barrier_parse_timeout("", 0), 0);
}

static void test_record_comes_back(void **state)
{
	struct barrier_record r = {.trigger_agent = "lead",
				      .started_ns = 1767225600000000000,
				      .ended_ns = 1767225601500000000,
				      .timeout_s = 30,
				      .status = BARRIER_FAILED,
				      .reason = BARRIER_TIMEOUT},
			      got;
	struct buf text = BUF_INIT;

	(void)state;
	assert_int_equal(id_list_add(&r.participants, "a", 1), 0);
	assert_int_equal(id_list_add(&r.participants, "b.2", 3), 0);
	assert_int_equal(id_list_add(&r.missing, "b.2", 3), 0);
	assert_int_equal(id_list_add(&r.acknowledged, "a", 1), 0);
	barrier_record_render(&r, "build", "s1", &text);
	assert_int_equal(barrier_record_parse(text.data, text.len, &got), 0);
	assert_string_equal(got.trigger_agent, "lead");
	assert_int_equal(got.started_ns, r.started_ns);
	assert_int_equal(got.ended_ns, r.ended_ns);
	assert_int_equal(got.timeout_s, 30);
	assert_int_equal(got.status, BARRIER_FAILED);
	assert_int_equal(got.reason, BARRIER_TIMEOUT);
	assert_true(id_list_equal(&got.participants, &r.participants));
	assert_true(id_list_equal(&got.missing, &r.missing));
	assert_true(id_list_equal(&got.acknowledged, &r.acknowledged));
	barrier_record_release(&got);
	assert_int_equal(barrier_record_parse("status: [in", 11, &got), -EBADMSG);
	assert_int_equal(barrier_record_parse("- 1\n", 4, &got), 0);
	barrier_record_release(&got);
	buf_release(&text);
	barrier_record_release(&r);
}

/* ---- the way to its end ---- */

static void test_started(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_string_equal(said(e, SYNC "build.yaml", "synchronization.id"), "build");
	assert_string_equal(said(e, SYNC "build.yaml", "synchronization.session_id"), "s1");
	assert_string_equal(said(e, SYNC "build.yaml", "synchronization.trigger_agent"), "system");
	assert_string_equal(said(e, SYNC "build.yaml", "participants"), "a b");
	assert_string_equal(said(e, SYNC "build.yaml", "missing"), "a b");
	assert_string_equal(said(e, SYNC "build.yaml", "acknowledged"), "");
	assert_string_equal(said(e, SYNC "build.yaml", "status"), "in_progress");
	assert_string_equal(said(e, SYNC "build.yaml", "timeout_seconds"), "300");
	assert_string_equal(said(e, SYNC "build.yaml", "ended_at"), "null");
	assert_string_equal(said(e, SYNC "build.yaml", "reason"), "null");
	assert_string_equal(said(e, SYNC "build.yaml", "unregistered"), "(none)");
	assert_int_equal(events(e, "\"event_type\":\"sync_started\""), 1);
	assert_int_equal(events(e, "\"sync_id\":\"build\",\"participants\":[\"a\",\"b\"]"), 1);
	assert_string_equal(result(e, "build"), "");
	assert_int_equal(fixture_mkdir(e, SYNC "build"), -EEXIST);
	end(e);
}

static void test_trigger_is_the_starting_agent(void **state)
{
	struct engine *e = begin(state);
	struct request q;
	struct tree_attr attr;

	fixture_request(&q);
	strcpy(q.actor.agent, "b");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, AGENTS ".sync"), "x", 0700, &attr), 0);
	assert_true(S_ISDIR(attr.mode));
	assert_string_equal(said(e, SYNC "x.yaml", "synchronization.trigger_agent"), "b");
	end(e);
}

static void test_names_that_are_refused(void **state)
{
	struct engine *e = begin(state);
	char *text;
	size_t len;

	assert_int_equal(fixture_mkdir(e, SYNC "build.yaml"), -EINVAL);
	assert_int_equal(fixture_mkdir(e, SYNC ".yaml"), -EINVAL);
	assert_int_equal(fixture_mkdir(e, SYNC "-x"), -EINVAL);
	assert_int_equal(fixture_mkdir(e, SYNC "a b"), -EINVAL);
	assert_int_equal(touch(e, SYNC "file"), -EPERM);
	assert_int_equal(fixture_read(e, SYNC "build.yaml.yaml", SEQ_LIVE, &text, &len), -ENOENT);
	assert_int_equal(events(e, "sync_started"), 0);
	end(e);
}

static void test_completed(void **state)
{
	struct engine *e = begin(state);
	struct reason why;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(touch(e, SYNC "build/b"), 0);
	wait_s(state, e, 2);
	assert_string_equal(said(e, SYNC "build.yaml", "acknowledged"), "b");
	assert_string_equal(said(e, SYNC "build.yaml", "missing"), "a");
	assert_string_equal(result(e, "build"), "");
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "completed\n");
	assert_string_equal(said(e, SYNC "build.yaml", "status"), "completed");
	assert_string_equal(said(e, SYNC "build.yaml", "acknowledged"), "a b");
	assert_string_equal(said(e, SYNC "build.yaml", "missing"), "");
	assert_string_equal(said(e, SYNC "build.yaml", "reason"), "null");
	assert_string_not_equal(said(e, SYNC "build.yaml", "ended_at"), "null");
	assert_int_equal(events(e, "\"event_type\":\"agents_synchronized\""), 1);
	assert_int_equal(events(e, "\"sync_id\":\"build\",\"agent_count\":2"), 1);
	assert_int_equal(refused(e, SYNC "build", "timeout", &why), -EPERM);
	assert_non_null(strstr(why.text, "has ended"));
	wait_s(state, e, 1000);
	assert_int_equal(events(e, "sync_failed"), 0);
	end(e);
}

/* Its own records give it nothing to do. */
static void test_nothing_happens_by_itself(void **state)
{
	struct engine *e = begin(state);
	uint64_t seq;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(touch(e, SYNC "build/b"), 0);
	wait_s(state, e, 2);
	(void)upkeep_run(e);
	seq = engine_head_seq(e);
	for (int i = 0; i < 20; i++)
		wait_s(state, e, 1);
	assert_in_range(engine_head_seq(e) - seq, 0, 1); /* the session's own last_updated */
	end(e);
}

static void test_records_are_coalesced(void **state)
{
	struct engine *e = begin(state);
	uint64_t seq;

	assert_int_equal(fixture_mkdir(e, SYNC "many"), 0);
	assert_int_equal(fixture_save_text(e, SYNC "many/participants", "p0 p1 p2 p3 p4 p5 p6 p7 p8 p9 last"), 0);
	(void)upkeep_run(e);
	seq = engine_head_seq(e);
	for (char i = '0'; i <= '9'; i++) {
		char path[] = SYNC "many/p?";

		path[sizeof(path) - 2] = i;
		assert_int_equal(touch(e, path), 0);
		(void)upkeep_run(e);
	}
	assert_int_equal(engine_head_seq(e) - seq, 10);
	wait_s(state, e, 1);
	assert_string_equal(said(e, SYNC "many.yaml", "missing"), "last");
	end(e);
}

static void test_only_participants_acknowledge(void **state)
{
	struct engine *e = begin(state);
	struct reason why;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(refused(e, SYNC "build", "c", &why), -EPERM);
	assert_non_null(strstr(why.text, "waits for a b"));
	assert_int_equal(fixture_mkdir(e, SYNC "build/a"), -EPERM);
	assert_int_equal(fixture_symlink(e, "x", SYNC "build/a"), -EPERM);
	assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), 0);
	assert_int_equal(fixture_rename(e, S1 "/state/f", SYNC "build/c", 0), -EPERM);
	assert_int_equal(fixture_link(e, S1 "/state/f", SYNC "build/c"), -EPERM);
	assert_int_equal(fixture_rename(e, S1 "/state/f", SYNC "build/a", 0), 0);
	(void)upkeep_run(e);
	assert_string_equal(said(e, SYNC "build.yaml", "acknowledged"), "a");
	end(e);
}

static void test_taken_back(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	(void)upkeep_run(e);
	assert_int_equal(fixture_unlink(e, SYNC "build/a"), 0);
	assert_int_equal(touch(e, SYNC "build/b"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "");
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "completed\n");
	end(e);
}

/* A created name is seen at once, but it acknowledges only once it is in the journal. */
static void test_newborn_does_not_count(void **state)
{
	struct engine *e = begin(state);
	struct request q;
	struct tree_attr attr;
	struct draft *d;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	fixture_request(&q);
	assert_int_equal(engine_create(e, &q, fixture_ino(e, SYNC "build"), "b", 0644, &attr), 0);
	assert_int_equal(draft_open(e, attr.ino, DRAFT_WHOLE, &q.actor, &d), 0);
	wait_s(state, e, 5);
	assert_string_equal(result(e, "build"), "");
	assert_int_equal(fixture_rmdir(e, SYNC "build"), -ENOTEMPTY);
	assert_int_equal(draft_commit(d, &q, 0), 0);
	draft_close(d);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "completed\n");
	end(e);
}

/* ---- whom it waits for, and how long ---- */

static void test_participants_are_named(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(fixture_save_text(e, SYNC "build/participants", "# the two\nb\nstranger\n"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), -EPERM); /* it counts before close returns */
	assert_int_equal(touch(e, SYNC "build/stranger"), 0);
	(void)upkeep_run(e);
	assert_string_equal(said(e, SYNC "build.yaml", "participants"), "b stranger");
	assert_string_equal(said(e, SYNC "build.yaml", "unregistered"), "stranger");
	assert_int_equal(fixture_save_text(e, SYNC "build/participants", "\n"), 0);
	wait_s(state, e, 2);
	assert_string_equal(said(e, SYNC "build.yaml", "participants"), "a b");
	assert_int_equal(fixture_save_text(e, SYNC "build/participants", "stranger"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "completed\n");
	end(e);
}

static void test_list_that_goes_away(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(fixture_save_text(e, SYNC "build/participants", "x"), 0);
	assert_int_equal(fixture_unlink(e, SYNC "build/participants"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	assert_int_equal(touch(e, SYNC "build/b"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "completed\n");
	end(e);
}

static void test_nobody_to_wait_for(void **state)
{
	struct engine *e = fixture_open_ok(*state);

	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "none"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "some"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "none"), "");
	assert_int_equal(fixture_save_text(e, SYNC "some/participants", "x"), 0);
	wait_s(state, e, BARRIER_EMPTY_GRACE_S);
	assert_string_equal(result(e, "none"), "completed\n");
	assert_string_equal(result(e, "some"), "");
	assert_int_equal(events(e, "\"sync_id\":\"none\",\"agent_count\":0"), 1);
	end(e);
}

/* A thousand, with long names: more than a frame holds without being asked for. */
static void test_many_participants(void **state)
{
	struct engine *e = begin(state);
	struct buf list = BUF_INIT;
	char *record;
	size_t len;

	for (int i = 0; i < 1000; i++)
		buf_printf(&list,
			"participant-%04d-of-the-thousand-whose-names-take-a-hundred-bytes-each-as-names-of-machines-"
			"may-do-abcdef\n",
			i);
	assert_int_equal(fixture_mkdir(e, SYNC "many"), 0);
	assert_int_equal(fixture_save(e, SYNC "many/participants", list.data, list.len), 0);
	wait_s(state, e, 301);
	assert_int_equal(fixture_read(e, SYNC "many.yaml", SEQ_LIVE, &record, &len), 0);
	assert_non_null(strstr(record, "participant-0999"));
	free(record);
	assert_int_equal(events(e, "\"event_type\":\"sync_failed\""), 1);
	assert_int_equal(fixture_mkdir(e, SYNC "more"), 0);
	assert_int_equal(fixture_save(e, SYNC "more/participants", list.data, list.len), 0);
	assert_int_equal(fixture_rmdir(e, SYNC "more"), 0);
	assert_int_equal(events(e, "\"event_type\":\"sync_failed\""), 2);
	buf_release(&list);
	end(e);
}

static void test_timeout(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "long"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "short"), 0);
	assert_int_equal(fixture_save_text(e, SYNC "short/timeout", "10\n"), 0);
	assert_int_equal(touch(e, SYNC "short/a"), 0);
	(void)upkeep_run(e);
	wait_s(state, e, 9);
	assert_string_equal(result(e, "short"), "");
	assert_string_equal(said(e, SYNC "short.yaml", "timeout_seconds"), "10");
	wait_s(state, e, 2);
	assert_string_equal(result(e, "short"), "failed: missing b\n");
	assert_string_equal(said(e, SYNC "short.yaml", "status"), "failed");
	assert_string_equal(said(e, SYNC "short.yaml", "reason"), "timeout");
	assert_string_equal(said(e, SYNC "short.yaml", "missing"), "b");
	assert_int_equal(events(e, "\"sync_id\":\"short\",\"missing\":[\"b\"],\"reason\":\"timeout\""), 1);
	assert_string_equal(result(e, "long"), "");
	wait_s(state, e, 300);
	assert_string_equal(result(e, "long"), "failed: missing a b\n");
	end(e);
}

/* Upkeep says when it wants to be called: exactly at the deadline. */
static void test_due_at_the_deadline(void **state)
{
	struct engine *e = begin(state);
	int64_t now_ns, due_ns;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(fixture_save_text(e, SYNC "build/timeout", "20"), 0);
	wait_s(state, e, 2);
	now_ns = env_monotonic_ns(*state);
	due_ns = barriers_upkeep(e, now_ns);
	assert_in_range(due_ns - now_ns, 17 * NS_PER_S, 18 * NS_PER_S);
	assert_int_equal(barriers_upkeep(e, due_ns), INT64_MAX);
	assert_string_equal(result(e, "build"), "failed: missing a b\n");
	end(e);
}

static void test_timeout_of_the_session(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_save_text(e, S1 "/session.yaml", "configuration:\n  sync_timeout: 5\n"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_string_equal(said(e, SYNC "build.yaml", "timeout_seconds"), "5");
	wait_s(state, e, 6);
	assert_string_equal(result(e, "build"), "failed: missing a b\n");
	end(e);
}

/* ---- the dead ---- */

static void die(struct engine *e, const char *agent)
{
	char path[128];

	snprintf(path, sizeof(path), AGENTS "%s.yaml", agent);
	assert_int_equal(fixture_save_text(e, path, "agent: {pid: 4711}\n"), 0);
	upkeep_process_ended(e, 4711);
	(void)upkeep_run(e);
	assert_string_equal(said(e, path, "agent.status"), "dead");
}

static void test_dead_participant(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	die(e, "a");
	assert_string_equal(result(e, "build"), ""); /* it has acknowledged */
	for (int i = 0; i < 12; i++)
		wait_s(state, e, 10);
	assert_string_equal(said(e, AGENTS "b.yaml", "agent.status"), "unhealthy");
	assert_string_equal(result(e, "build"), ""); /* it may be working */
	die(e, "b");
	assert_string_equal(result(e, "build"), "failed: missing b\n");
	assert_string_equal(said(e, SYNC "build.yaml", "reason"), "participant_dead");
	assert_int_equal(events(e, "\"reason\":\"participant_dead\""), 1);
	assert_int_equal(fixture_mkdir(e, SYNC "next"), 0);
	assert_string_equal(said(e, SYNC "next.yaml", "participants"), "");
	end(e);
}

/* Who completes does not come any more, unless he was there already; one that is taken up again may. */
static void test_participant_that_completes(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	assert_int_equal(fixture_save_text(e, AGENTS "a.yaml", "agent: {status: completed}\n"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "");
	assert_int_equal(fixture_save_text(e, AGENTS "b.yaml", "agent: {status: completed}\n"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "failed: missing b\n");
	assert_string_equal(said(e, SYNC "build.yaml", "reason"), "participant_completed");
	assert_int_equal(events(e, "\"reason\":\"participant_completed\""), 1);
	assert_int_equal(fixture_save_text(e, AGENTS "b.yaml", "agent: {status: active}\n"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "next"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "next"), "");
	end(e);
}

static void test_participant_that_leaves(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(fixture_unlink(e, AGENTS "a.yaml"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), ""); /* it may be being replaced */
	wait_s(state, e, 3);
	assert_string_equal(result(e, "build"), "failed: missing a b\n");
	end(e);
}

/* ---- removal ---- */

static unsigned told;

static void observe(void *arg)
{
	(void)arg;
	told++;
}

static void test_removed_in_progress(void **state)
{
	struct engine *e = begin(state);
	uint64_t ino;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	ino = fixture_ino(e, SYNC "build");
	assert_int_equal(fixture_save_text(e, SYNC "build/timeout", "100"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	told = 0;
	barriers_set_observer(e, observe, NULL);
	assert_int_equal(fixture_rmdir(e, SYNC "build"), 0);
	barriers_set_observer(e, NULL, NULL);
	assert_int_equal(told, 1);
	assert_int_equal(fixture_ino(e, SYNC "build"), 0);
	assert_string_equal(result_of(e, ino), "failed: removed\n");
	assert_string_equal(said(e, SYNC "build.yaml", "status"), "failed");
	assert_string_equal(said(e, SYNC "build.yaml", "reason"), "removed");
	assert_string_equal(said(e, SYNC "build.yaml", "missing"), "b");
	assert_int_equal(events(e, "\"sync_id\":\"build\",\"missing\":[\"b\"],\"reason\":\"removed\""), 1);
	/* the same name again is another barrier, with the record in its place */
	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_string_equal(said(e, SYNC "build.yaml", "status"), "in_progress");
	assert_string_equal(said(e, SYNC "build.yaml", "missing"), "a b");
	assert_string_equal(result_of(e, ino), "failed: removed\n");
	assert_string_equal(result(e, "build"), "");
	assert_int_equal(fixture_rmdir(e, SYNC "nothing"), -ENOENT);
	assert_int_equal(fixture_rmdir(e, SYNC "build.yaml"), -ENOTDIR);
	end(e);
}

static void test_removed_after_its_end(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	assert_int_equal(touch(e, SYNC "build/b"), 0);
	(void)upkeep_run(e);
	assert_int_equal(fixture_rmdir(e, SYNC "build"), 0);
	assert_string_equal(said(e, SYNC "build.yaml", "status"), "completed");
	assert_int_equal(events(e, "sync_failed"), 0);
	end(e);
}

/* As rm -r goes about it, records first: nothing comes back, and the session can go. */
static void test_session_goes(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	assert_int_equal(fixture_unlink(e, SYNC "build.yaml"), 0);
	wait_s(state, e, 2);
	assert_int_equal(fixture_ino(e, SYNC "build.yaml"), 0);
	assert_int_equal(fixture_unlink(e, SYNC "build/a"), 0);
	assert_int_equal(fixture_rmdir(e, SYNC "build"), 0);
	assert_int_equal(fixture_ino(e, SYNC "build.yaml"), 0);
	assert_int_equal(fixture_unlink(e, AGENTS "a.yaml"), 0);
	assert_int_equal(fixture_unlink(e, AGENTS "b.yaml"), 0);
	assert_int_equal(events(e, "\"reason\":\"removed\""), 1);
	end(e);
}

static void test_end_without_a_record(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(fixture_unlink(e, SYNC "build.yaml"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	assert_int_equal(touch(e, SYNC "build/b"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "completed\n");
	assert_int_equal(fixture_ino(e, SYNC "build.yaml"), 0);
	assert_int_equal(events(e, "agents_synchronized"), 1);
	end(e);
}

/* ---- restarts ---- */

static void test_goes_on_after_a_restart(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "acks"), 0);
	assert_int_equal(touch(e, SYNC "acks/a"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "time"), 0);
	assert_int_equal(fixture_save_text(e, SYNC "time/timeout", "60"), 0);
	assert_int_equal(fixture_save_text(e, SYNC "time/participants", "x b"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "over"), 0);
	assert_int_equal(touch(e, SYNC "over/a"), 0);
	assert_int_equal(touch(e, SYNC "over/b"), 0);
	(void)upkeep_run(e);
	assert_int_equal(fixture_mkdir(e, SYNC "late"), 0);
	assert_int_equal(touch(e, SYNC "late/a"), 0);
	assert_int_equal(touch(e, SYNC "late/b"), 0); /* no upkeep any more before the end */
	e = again(state, e);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "over"), "completed\n");
	assert_string_equal(result(e, "late"), "completed\n");
	assert_string_equal(result(e, "acks"), "");
	assert_int_equal(touch(e, SYNC "acks/b"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "acks"), "completed\n");
	env_mem_advance(*state, 50 * NS_PER_S);
	e = again(state, e);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "time"), "");
	wait_s(state, e, 11); /* counted from its start, not from the mount */
	assert_string_equal(result(e, "time"), "failed: missing x b\n");
	e = again(state, e);
	assert_string_equal(result(e, "time"), "failed: missing x b\n");
	assert_string_equal(result(e, "acks"), "completed\n");
	assert_int_equal(events(e, "\"event_type\":\"agents_synchronized\""), 3);
	end(e);
}

static void test_time_up_while_unmounted(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	env_mem_advance(*state, 1000 * NS_PER_S);
	e = again(state, e);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), "failed: missing a b\n");
	end(e);
}

/* Without its record, or with a spoiled one, a barrier goes on by what its directory says. */
static void test_restart_without_a_record(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "gone"), 0);
	assert_int_equal(fixture_unlink(e, SYNC "gone.yaml"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "bad"), 0);
	assert_int_equal(fixture_save_text(e, SYNC "bad.yaml", "- 1\n"), 0); /* not through a mount */
	e = again(state, e);
	(void)upkeep_run(e);
	for (int i = 0; i < 2; i++) {
		char path[] = SYNC "gone/?";

		path[sizeof(path) - 2] = (char)('a' + i);
		assert_int_equal(touch(e, path), 0);
	}
	assert_int_equal(touch(e, SYNC "bad/a"), 0);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "gone"), "completed\n");
	assert_string_equal(result(e, "bad"), "");
	wait_s(state, e, 301);
	assert_string_equal(result(e, "bad"), "failed: missing b\n");
	assert_string_equal(said(e, SYNC "bad.yaml", "reason"), "timeout");
	end(e);
}

static void test_poisoned(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	env_mem_fail_syncs(*state, EIO);
	assert_int_equal(touch(e, SYNC "build/a"), -EIO);
	assert_string_equal(result(e, "build"), strerror(EIO));
	assert_int_equal(barriers_upkeep(e, env_monotonic_ns(*state) + 400 * NS_PER_S), INT64_MAX);
	told = 0;
	barriers_set_observer(e, observe, NULL);
	(void)upkeep_run(e);
	assert_int_equal(told, 1); /* so that readers hear of it */
	(void)engine_close(e);
}

/* "completed" is acted upon: it is not said of an end that may be lost. */
static void test_end_that_is_not_safe_is_not_told(void **state)
{
	struct engine *e = begin(state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(touch(e, SYNC "build/a"), 0);
	assert_int_equal(touch(e, SYNC "build/b"), 0);
	env_mem_fail_syncs(*state, EIO);
	(void)upkeep_run(e);
	assert_string_equal(result(e, "build"), strerror(EIO));
	(void)engine_close(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_participants_file),
		cmocka_unit_test(test_timeout_file),
		cmocka_unit_test(test_record_comes_back),
		cmocka_unit_test_setup_teardown(test_started, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trigger_is_the_starting_agent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_that_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_completed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_happens_by_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_records_are_coalesced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_participants_acknowledge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newborn_does_not_count, setup, teardown),
		cmocka_unit_test_setup_teardown(test_participants_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_that_goes_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_to_wait_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_participants, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_due_at_the_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout_of_the_session, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_participant, setup, teardown),
		cmocka_unit_test_setup_teardown(test_participant_that_completes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_participant_that_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_in_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_after_its_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_without_a_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time_up_while_unmounted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart_without_a_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_poisoned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_that_is_not_safe_is_not_told, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
