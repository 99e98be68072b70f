/* SPDX-License-Identifier: MIT
 *
 * Virtual files that tell of transactions, and those that take events: what they say, and what they refuse.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "doc.h"
#include "vfile_fixture.h"

struct walk {
	unsigned count;
	char last[256];
};

/* ---- records ---- */

static int remember(void *arg, const struct vnode *v)
{
	struct walk *w = arg;

	w->count++;
	if (w->count > 1)
		assert_true(strcmp(w->last, v->path) < 0 || strstr(v->path, ".draft")); /* names sort by time */
	snprintf(w->last, sizeof(w->last), "%s", v->path);
	return 0;
}

static const char *newest(struct vfile_world *w, const char *dir, struct walk *walk)
{
	*walk = (struct walk){0};
	assert_int_equal(vnode_list(&w->fs, dir, remember, walk), 0);
	assert_true(walk->count > 0);
	return strrchr(walk->last, '/') + 1;
}

static void test_committed_record(void **state)
{
	struct vfile_world *w = *state;
	struct walk walk;
	struct buf text;
	struct doc *doc;
	char hex[SHA256_HEX_BYTES], seq[24];
	struct sha256 sha;

	assert_int_equal(fixture_save_text(w->fs.engine, "f.txt", "one\n"), 0);
	text = vfile_read(w, "transactions/committed", newest(w, "transactions/committed", &walk));
	assert_int_equal(doc_parse_yaml(text.data, text.len, NULL, &doc), 0);
	vfile_expect(doc_root(doc), "backup.backup_created", "false");
	vfile_expect(doc_root(doc), "backup.backup_checksum", "(null)");
	doc_free(doc);
	buf_release(&text);
	assert_int_equal(fixture_save_text(w->fs.engine, "f.txt", "two\n"), 0);
	text = vfile_read(w, "transactions/committed", newest(w, "transactions/committed", &walk));
	assert_int_equal(doc_parse_yaml(text.data, text.len, NULL, &doc), 0);
	sha256_of("one\n", 4, &sha);
	sha256_hex(&sha, hex);
	snprintf(seq, sizeof(seq), "%llu", (unsigned long long)engine_head_seq(w->fs.engine));
	vfile_expect(doc_root(doc), "transaction.operation", "write");
	vfile_expect(doc_root(doc), "transaction.target_file", "f.txt");
	vfile_expect(doc_root(doc), "transaction.status", "committed");
	vfile_expect(doc_root(doc), "transaction.sequence_number", seq);
	vfile_expect(doc_root(doc), "backup.original_file", "f.txt");
	vfile_expect(doc_root(doc), "backup.backup_created", "true");
	vfile_expect(doc_root(doc), "backup.backup_checksum", hex);
	vfile_expect(doc_root(doc), "actor.pid", "4242");
	assert_non_null(doc_get_path(doc_root(doc), "transaction.started_at"));
	assert_non_null(doc_get_path(doc_root(doc), "transaction.committed_at"));
	assert_int_equal(strncmp(doc_get_path(doc_root(doc), "transaction.id")->text, strrchr(walk.last, '/') + 1, strlen(strrchr(walk.last, '/') + 1) - 5), 0);
	doc_free(doc);
	buf_release(&text);
}

static void test_refused_record_and_draft(void **state)
{
	struct vfile_world *w = *state;
	struct walk walk;
	char name[300];
	struct buf text;
	struct doc *doc;

	snprintf(name, sizeof(name), "%s", newest(w, "transactions/rollbacks", &walk));
	assert_int_equal(walk.count, 2);
	strcpy(strrchr(name, '.'), ".draft");
	text = vfile_read(w, "transactions/rollbacks", name);
	assert_string_equal(text.data, "a: {\n");
	buf_release(&text);
	strcpy(strrchr(name, '.'), ".yaml");
	assert_null(vnode_lookup(&w->fs, "transactions/committed", name));
	text = vfile_read(w, "transactions/rollbacks", name);
	assert_int_equal(doc_parse_yaml(text.data, text.len, NULL, &doc), 0);
	vfile_expect(doc_root(doc), "transaction.status", "rolled_back");
	vfile_expect(doc_root(doc), "transaction.operation", "write");
	vfile_expect(doc_root(doc), "refusal.rule", "wellformed_yaml");
	vfile_expect(doc_root(doc), "refusal.error", "EBADMSG");
	vfile_expect(doc_root(doc), "refusal.line", "2");
	assert_non_null(doc_get_path(doc_root(doc), "refusal.column"));
	assert_true(strlen(doc_get_path(doc_root(doc), "transaction.reason")->text) > 3);
	vfile_expect(doc_root(doc), "refusal.message", doc_get_path(doc_root(doc), "transaction.reason")->text);
	doc_free(doc);
	buf_release(&text);
}

/* More than are listed: the oldest is still found by its name. */
static void test_listing_is_bounded(void **state)
{
	struct vfile_world *w = *state;
	struct walk walk;
	char first[256];

	assert_int_equal(fixture_save_text(w->fs.engine, "first.txt", "1"), 0);
	snprintf(first, sizeof(first), "%s", newest(w, "transactions/committed", &walk));
	for (int i = 0; i < 1010; i++)
		assert_int_equal(fixture_chmod(w->fs.engine, "first.txt", 0600 + (unsigned)i % 2), 0);
	(void)newest(w, "transactions/committed", &walk);
	assert_int_equal(walk.count, 1000);
	assert_non_null(vnode_lookup(&w->fs, "transactions/committed", first));
}

/* ---- events ---- */

static int add_event(struct vfile_world *w, const char *text, struct request *q)
{
	const struct vnode *v = vnode_lookup(&w->fs, "state/sessions/s1/events", "session.jsonl");

	fixture_request(q);
	return v->row->write(&w->fs, v, q, text, strlen(text));
}

static void test_custom_events(void **state)
{
	struct vfile_world *w = *state;
	struct buf before = vfile_read(w, "state/sessions/s1/events", "session.jsonl"), after;
	struct doc *doc;
	struct request q;

	assert_int_equal(add_event(w, " {\"data\": {\"b\": [1, 2.50, {\"x\\n\": null}], \"a\": true, \"a\": \"last\"},\n", &q), -EBADMSG);
	assert_int_equal(
		add_event(
			w, "{\"data\": {\"b\": [1, 2.50, {\"x\\n\": null}], \"a\": true, \"a\": \"last\"}, \"event_type\": \"note.1\", \"who\": \"me\"}\n", &q),
		0);
	after = vfile_read(w, "state/sessions/s1/events", "session.jsonl");
	assert_true(after.len > before.len);
	assert_memory_equal(before.data, after.data, before.len);
	assert_int_equal(doc_parse_json(after.data + before.len, after.len - before.len, NULL, &doc), 0);
	vfile_expect(doc_root(doc), "event_type", "note.1");
	vfile_expect(doc_root(doc), "session_id", "s1");
	vfile_expect(doc_root(doc), "data.given.who", "me");
	assert_non_null(strstr(after.data + before.len, "\"custom\":{\"b\":[1,2.50,{\"x\\n\":null}],\"a\":\"last\"}"));
	doc_free(doc);
	buf_release(&before);
	before = after;
	assert_int_equal(add_event(w, "{\"event_type\":\"one\"}\n\n{\"event_type\":\"two\",\"data\":{}}", &q), 0);
	after = vfile_read(w, "state/sessions/s1/events", "session.jsonl");
	assert_non_null(strstr(after.data + before.len, "\"event_type\":\"one\""));
	assert_non_null(strstr(after.data + before.len, "\"event_type\":\"two\""));
	buf_release(&before);
	buf_release(&after);
}

static void test_events_that_are_none(void **state)
{
	struct vfile_world *w = *state;
	static const struct {
		const char *text;
		int error;
		uint32_t line;
	} bad[] = {
		{"nonsense", -EBADMSG, 1},
		{"[]", -EBADMSG, 1},
		{"{}", -EINVAL, 1},
		{"{\"event_type\":7}", -EINVAL, 1},
		{"{\"event_type\":\"\"}", -EINVAL, 1},
		{"{\"event_type\":\"a b\"}", -EINVAL, 1},
		{"{\"event_type\":\"file_written\"}", -EINVAL, 1},
		{"{\"event_type\":\"x\",\"data\":[]}", -EINVAL, 1},
		{"{\"event_type\":\"good\"}\n{\"event_type\":", -EBADMSG, 2},
	};
	uint64_t head = engine_head_seq(w->fs.engine);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct request q;

		if (add_event(w, bad[i].text, &q) != bad[i].error)
			fail_msg("%s", bad[i].text);
		assert_int_equal(q.reason.line, bad[i].line);
		assert_true(strlen(q.reason.text) > 0);
	}
	assert_int_equal(engine_head_seq(w->fs.engine), head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_committed_record, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_refused_record_and_draft, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_listing_is_bounded, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_custom_events, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_events_that_are_none, vfile_project_setup, vfile_world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
