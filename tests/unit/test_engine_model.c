/* SPDX-License-Identifier: MIT
 *
 * Saving session.yaml and agents' files, whatever way the tool takes: what is saved is merged, and everything that goes with it is in
 * the same transaction. One scenario a test.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "../../core/engine_internal.h" /* the daemon's own edits */

#define S1 "state/sessions/s1/"
#define SESSION S1 "session.yaml"
#define CODER S1 "agents/coder-1.yaml"

struct world {
	struct env *env;
	struct engine *e;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->env = env_mem_new(7);
	w->e = fixture_open_ok(w->env);
	assert_int_equal(fixture_mkdir(w->e, "state/sessions/s1"), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	assert_int_equal(engine_close(w->e), 0);
	env_mem_free(w->env);
	free(w);
	return 0;
}

static void assert_holds(struct engine *e, const char *path, const char *part)
{
	const char *text = fixture_text(e, path);

	if (!strstr(text, part))
		fail_msg("%s does not hold \"%s\":\n%s", path, part, text);
}

/* Members of the transaction @seq: how many changes of content, and is there an event of that type? */
static bool has_event(struct engine *e, uint64_t seq, enum event_type type, const char *more)
{
	struct record *r;
	bool found = false;

	assert_int_equal(engine_load_record(e, seq, &r), 0);
	for (uint32_t i = 0; i < r->event_count; i++)
		found = found || (r->events[i].type == type && strstr(r->events[i].more, more));
	record_free(r);
	return found;
}

static struct draft *open_draft(struct world *w, const char *path, enum draft_kind kind, struct request *q)
{
	struct draft *d;

	fixture_request(q);
	assert_int_equal(draft_open(w->e, fixture_ino(w->e, path), kind, &q->actor, &d), 0);
	return d;
}

static void commit_ok(struct world *w, struct draft *d, struct request *q)
{
	int r = draft_commit(d, q, 0);

	if (r)
		fail_msg("%d: %s", r, q->reason.text);
	assert_int_equal(engine_wait(w->e, q->seq, JOURNAL_DURABLE), 0);
}

/* The daemon's own edit of session.yaml, as upkeep makes it: bytes move about. */
static void daemon_edits(struct world *w, const char *comment)
{
	cleanup_free char *text = NULL;
	cleanup_buf struct buf out = BUF_INIT;
	const struct version *base;
	struct file_edit edit;
	struct request q;
	struct txn t;
	size_t len;

	fixture_request(&q);
	txn_init(&t, w->e, &q, OPERATION_UPKEEP);
	assert_int_equal(file_edit_read(w->e, fixture_ino(w->e, SESSION), &base, &text, &len), 0);
	buf_append_str(&out, comment);
	buf_append(&out, text, len);
	assert_int_equal(file_edit_prepare(fixture_ino(w->e, SESSION), base, out.data, out.len, &t.blocks, &edit), 0);
	assert_int_equal(txn_reserve(&t, 0), 0);
	engine_lock(w->e);
	assert_int_equal(file_edit_add(&edit, &t), 0);
	assert_int_equal(txn_stage(&t), 0);
	engine_unlock(w->e);
	txn_finish(&t);
}

/* ---- agents ---- */

static void test_an_empty_file_registers(void **state)
{
	struct world *w = *state;
	uint64_t seq;

	assert_int_equal(fixture_save_text(w->e, CODER, ""), 0);
	seq = engine_head_seq(w->e);
	assert_true(has_event(w->e, seq, EVENT_AGENT_REGISTERED, "\"agent_id\":\"coder-1\",\"type\":\"general\""));
	assert_true(has_event(w->e, seq, EVENT_FILE_CREATED, ""));
	assert_holds(w->e, CODER, "id: \"coder-1\"");
	assert_holds(w->e, CODER, "session_id: \"s1\"");
	assert_holds(w->e, CODER, "operations_completed: 0");
	assert_holds(w->e, SESSION, "active_agents: [\"coder-1\"]");
}

static void test_a_subset_is_filled_and_kept(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_save_text(w->e, CODER, "# mine\nagent:\n  type: 'reviewer'   # why\nstate:\n  notes: [1, 2]\n"), 0);
	assert_true(has_event(w->e, engine_head_seq(w->e), EVENT_AGENT_REGISTERED, "\"type\":\"reviewer\""));
	assert_holds(w->e, CODER, "# mine\nagent:\n  type: 'reviewer'   # why\n");
	assert_holds(w->e, CODER, "state:\n  notes: [1, 2]\n");
	assert_holds(w->e, CODER, "event_subscriptions: []");
}

static void test_a_second_save_registers_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_save_text(w->e, CODER, ""), 0);
	assert_int_equal(fixture_save_text(w->e, CODER, "agent: {type: x, status: active}\n"), 0);
	assert_false(has_event(w->e, engine_head_seq(w->e), EVENT_AGENT_REGISTERED, ""));
	assert_true(has_event(w->e, engine_head_seq(w->e), EVENT_AGENT_STATUS_CHANGED, "\"from\":\"initializing\",\"to\":\"active\""));
	assert_holds(w->e, SESSION, "active_agents: [\"coder-1\"]");
}

static void test_the_list_follows_the_status(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_save_text(w->e, S1 "agents/b.yaml", ""), 0);
	assert_int_equal(fixture_save_text(w->e, S1 "agents/a.yaml", ""), 0);
	assert_holds(w->e, SESSION, "active_agents: [\"a\", \"b\"]");
	assert_int_equal(fixture_save_text(w->e, S1 "agents/b.yaml", "agent: {status: completed}\n"), 0);
	assert_holds(w->e, SESSION, "active_agents: [\"a\"]");
}

static void test_a_rename_registers(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_save_text(w->e, S1 "agents/.new", "agent:\n  type: tester\n"), 0);
	assert_int_equal(fixture_rename(w->e, S1 "agents/.new", CODER, 0), 0);
	assert_true(has_event(w->e, engine_head_seq(w->e), EVENT_AGENT_REGISTERED, "\"type\":\"tester\""));
	assert_holds(w->e, CODER, "type: tester");
	assert_holds(w->e, CODER, "session_id: \"s1\"");
	assert_holds(w->e, SESSION, "[\"coder-1\"]");
}

static void test_mknod_registers(void **state)
{
	struct world *w = *state;
	struct tree_attr attr;
	struct request q;

	fixture_request(&q);
	assert_int_equal(engine_mknod(w->e, &q, fixture_ino(w->e, S1 "agents"), "coder-1.yaml", S_IFREG | 0644, 0, &attr), 0);
	assert_holds(w->e, CODER, "id: \"coder-1\"");
	assert_true(attr.size > 0);
}

/* ---- sessions ---- */

static void test_fields_of_the_daemon_stay_its_own(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_save_text(w->e, CODER, ""), 0);
	assert_int_equal(fixture_save_text(w->e, SESSION, "session:\n  id: other # no\n  type: research\n  status: paused\nstate:\n  active_agents: []\n"), 0);
	assert_true(has_event(w->e, engine_head_seq(w->e), EVENT_SESSION_STATUS_CHANGED, "\"from\":\"active\",\"to\":\"paused\""));
	assert_holds(w->e, SESSION, "  id: \"s1\" # no\n  type: research\n");
	assert_holds(w->e, SESSION, "active_agents: [\"coder-1\"]");
	assert_holds(w->e, SESSION, "checkpoint_interval: 300");
}

static void test_a_bad_transition_is_refused_with_its_line(void **state)
{
	struct world *w = *state;
	struct request q;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, SESSION, "session: {status: paused}\n"), 0);
	d = open_draft(w, SESSION, DRAFT_WHOLE, &q);
	assert_int_equal(draft_write(d, &q.actor, 0, "session:\n  status: initializing\n", 32), 0);
	assert_int_equal(draft_commit(d, &q, 0), -EBADMSG);
	assert_int_equal(q.reason.line, 2);
	assert_non_null(strstr(q.reason.text, "status"));
	draft_close(d);
	assert_holds(w->e, SESSION, "status: paused");
}

static void test_emptied_is_all_defaults(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_save_text(w->e, SESSION, ""), 0);
	assert_true(has_event(w->e, engine_head_seq(w->e), EVENT_SHRUNK_TO_EMPTY, ""));
	assert_holds(w->e, SESSION, "id: \"s1\"");
	assert_holds(w->e, SESSION, "backup_retention: 7");
}

static void test_an_append_is_merged(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_append(w->e, SESSION, "extra: 1 # mine\n", 16), 0);
	assert_holds(w->e, SESSION, "extra: 1 # mine\n");
	assert_holds(w->e, SESSION, "id: \"s1\"");
}

/* sed -i and editors that write a temporary file. */
static void test_a_rename_over_is_merged(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_save_text(w->e, CODER, ""), 0);
	assert_int_equal(fixture_save_text(w->e, S1 "sedAbCdEf", "session:\n  status: completed\ncontext: {goal: \"x\"}\n"), 0);
	assert_int_equal(fixture_rename(w->e, S1 "sedAbCdEf", SESSION, 0), 0);
	assert_true(has_event(w->e, engine_head_seq(w->e), EVENT_SESSION_STATUS_CHANGED, "\"to\":\"completed\""));
	assert_holds(w->e, SESSION, "context: {goal: \"x\"}\n");
	assert_holds(w->e, SESSION, "active_agents: [\"coder-1\"]");
}

/* ---- what is open while the daemon edits ---- */

static uint64_t place_of(struct world *w, const char *what)
{
	const char *text = fixture_text(w->e, SESSION), *at = strstr(text, what);

	assert_non_null(at);
	return (uint64_t)(at - text);
}

static void test_a_patch_means_what_its_writer_saw(void **state)
{
	struct world *w = *state;
	uint64_t at = place_of(w, "progress_percentage: 0") + 21;
	struct request q;
	struct draft *d = open_draft(w, SESSION, DRAFT_PATCH, &q);

	assert_int_equal(draft_write(d, &q.actor, at, "7", 1), 0);
	daemon_edits(w, "# twenty bytes moved\n");
	commit_ok(w, d, &q);
	draft_close(d);
	assert_holds(w->e, SESSION, "progress_percentage: 7\n");
	assert_holds(w->e, SESSION, "id: \"s1\"\n");
}

static void test_a_second_fsync_continues_the_first(void **state)
{
	static const char first[] = "session:\n  type: a\n", second[] = "context:\n  goal: b\n";
	struct world *w = *state;
	struct request q;
	struct draft *d = open_draft(w, SESSION, DRAFT_WHOLE, &q);
	char seen[64] = "";

	assert_int_equal(draft_write(d, &q.actor, 0, first, sizeof(first) - 1), 0);
	commit_ok(w, d, &q);
	assert_int_equal(draft_read(d, 0, seen, sizeof(seen)), sizeof(first) - 1);
	assert_string_equal(seen, first);
	daemon_edits(w, "# moved\n");
	assert_int_equal(draft_write(d, &q.actor, sizeof(first) - 1, second, sizeof(second) - 1), 0);
	commit_ok(w, d, &q);
	draft_close(d);
	assert_holds(w->e, SESSION, "  type: a\n");
	assert_holds(w->e, SESSION, "  goal: b\n");
	assert_holds(w->e, SESSION, "id: \"s1\"\n");
}

static void test_after_another_users_save_a_patch_lies_over_the_newest(void **state)
{
	struct world *w = *state;
	uint64_t at = place_of(w, "progress_percentage: 0") + 21;
	struct request q;
	struct draft *d = open_draft(w, SESSION, DRAFT_PATCH, &q);
	int r;

	assert_int_equal(draft_write(d, &q.actor, at, "7", 1), 0);
	assert_int_equal(fixture_patch(w->e, SESSION, false, place_of(w, "status: \"active\"") + 9, "paused", 6), 0);
	r = draft_commit(d, &q, 0);
	assert_int_equal(r, 0);
	draft_close(d);
	assert_holds(w->e, SESSION, "status: \"paused\"");
	assert_holds(w->e, SESSION, "progress_percentage: 7\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_empty_file_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_subset_is_filled_and_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_second_save_registers_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_list_follows_the_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_rename_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mknod_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fields_of_the_daemon_stay_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_bad_transition_is_refused_with_its_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_emptied_is_all_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_append_is_merged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_rename_over_is_merged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_patch_means_what_its_writer_saw, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_second_fsync_continues_the_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_another_users_save_a_patch_lies_over_the_newest, setup, teardown),
	};

	return cmocka_run_group_tests_name("engine_model", tests, NULL, NULL);
}
