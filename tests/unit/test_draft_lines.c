/* SPDX-License-Identifier: MIT
 *
 * Files of lines (.jsonl) written line by line: a stream publishes whole lines and goes on with the rest under another draft, whose
 * bytes no death may lose; and a last line that never ends is not read again and again.
 */
#include <errno.h>
#include <string.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "draft_fixture.h"

static bool is_pending(struct draft_world *w, const char *text)
{
	struct draft_info *list;
	size_t count;
	bool found = false;

	assert_int_equal(draft_list(w->e, &list, &count), 0);
	for (size_t i = 0; i < count; i++) {
		char bytes[256] = "";

		assert_true(draft_read_by_id(w->e, list[i].id, 0, bytes, sizeof(bytes) - 1) >= 0);
		found = found || !strcmp(bytes, text);
		draft_info_release(&list[i]);
	}
	free(list);
	return found;
}

/* ---- the unfinished line of a stream ---- */

static void test_stream_goes_on_with_the_unfinished_line(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "l.jsonl", "{\"n\":0}\n"), 0);
	d = draft_world_open(w, "l.jsonl", DRAFT_APPEND);
	draft_world_write(w, d, 0, "{\"n\":1}\n{\"n\"");
	assert_int_equal(draft_world_commit(w, d, DRAFT_STREAM), 0);
	assert_string_equal(fixture_text(w->e, "l.jsonl"), "{\"n\":0}\n{\"n\":1}\n");
	draft_world_write(w, d, 0, ":2}\n");
	assert_int_equal(draft_world_commit(w, d, 0), 0);
	draft_close(d);
	assert_string_equal(fixture_text(w->e, "l.jsonl"), "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n");
}

/* An index snapshot is taken between the splitting of a draft and the transaction that publishes a part of it; then the daemon dies. */
static void test_death_after_a_snapshot_in_the_middle_of_a_split(void **state)
{
	static const char text[] = "{\"n\":1}\n{\"n\"";
	char path[] = "l.jsonl", *paths[] = {path};
	struct draft_world *w = *state;
	struct draft_plan plan;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "l.jsonl", "{\"n\":0}\n"), 0);
	d = draft_world_open(w, "l.jsonl", DRAFT_APPEND);
	draft_world_write(w, d, 0, text);
	pthread_mutex_lock(&d->lock);
	assert_int_equal(draft_prepare(d, paths, 1, d->node, DRAFT_STREAM, &plan), 0);
	assert_true(plan.append_len && plan.append_len < d->size);
	assert_int_equal(draft_split(d, &plan), 0);
	assert_int_equal(index_write(w->e), 0);
	pthread_mutex_unlock(&d->lock);
	draft_plan_release(&plan);
	draft_world_kill(w);
	assert_true(is_pending(w, text)); /* nothing of it was published */
	assert_string_equal(fixture_text(w->e, "l.jsonl"), "{\"n\":0}\n");
}

/* ---- a last line longer than rules look at ---- */

#define RULE_BYTES_MAX 65536u

/* A file whose last line, without an end, is @len bytes long. */
static void save_long_line(struct draft_world *w, size_t len)
{
	char *text = malloc(len + 8);

	assert_int_equal(fixture_save_text(w->e, "status/config.yaml", "rules:\n  rule_bytes_max: 65536\n  strict: true\n"), 0);
	memcpy(text, "{\"n\":0}\n", 8);
	memset(text + 8, 'y', len);
	assert_int_equal(fixture_save(w->e, "l.jsonl", text, 8 + len), 0);
	free(text);
}

static void assert_tail(struct draft_world *w, const char *tail)
{
	char *text;
	size_t len;

	assert_int_equal(fixture_read(w->e, "l.jsonl", SEQ_LIVE, &text, &len), 0);
	assert_true(len >= strlen(tail));
	assert_string_equal(text + len - strlen(tail), tail);
	free(text);
}

static void test_a_line_too_long_is_not_looked_at(void **state)
{
	struct draft_world *w = *state;

	save_long_line(w, 2 * RULE_BYTES_MAX);
	assert_int_equal(fixture_append(w->e, "l.jsonl", "more", 4), 0);
	assert_int_equal(fixture_append(w->e, "l.jsonl", "end\n{\"n\":1}\n", 12), 0);
	assert_tail(w, "yymoreend\n{\"n\":1}\n");
}

static void test_what_follows_a_line_too_long_is_looked_at(void **state)
{
	static const char bad[] = "end\n{\"n\":1}\n{\"n\":\n";
	struct draft_world *w = *state;

	save_long_line(w, 2 * RULE_BYTES_MAX);
	fixture_request(&w->q);
	assert_int_equal(fixture_append(w->e, "l.jsonl", bad, strlen(bad)), -EBADMSG);
	draft_world_expect_kept(w, "l.jsonl", bad);
	assert_tail(w, "yy");
}

static void test_a_stream_after_a_line_too_long(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	save_long_line(w, 2 * RULE_BYTES_MAX);
	d = draft_world_open(w, "l.jsonl", DRAFT_APPEND);
	draft_world_write(w, d, 0, "end");
	assert_int_equal(draft_world_commit(w, d, DRAFT_STREAM), 0);
	assert_tail(w, "yy"); /* not whole yet */
	draft_world_write(w, d, 0, "\n{\"n\":1}\n{\"n\"");
	assert_int_equal(draft_world_commit(w, d, DRAFT_STREAM), 0);
	assert_tail(w, "yyend\n{\"n\":1}\n");
	draft_world_write(w, d, 0, ":2}\n");
	assert_int_equal(draft_world_commit(w, d, 0), 0);
	draft_close(d);
	assert_tail(w, "yyend\n{\"n\":1}\n{\"n\":2}\n");
}

/* Just as long as may be: the whole line is seen. */
static void test_a_line_as_long_as_may_be_is_looked_at(void **state)
{
	struct draft_world *w = *state;
	struct buf text = BUF_INIT;

	assert_int_equal(fixture_save_text(w->e, "status/config.yaml", "rules:\n  rule_bytes_max: 65536\n  strict: true\n"), 0);
	buf_append_str(&text, "{\"n\":0}\n\"");
	while (text.len < 8 + RULE_BYTES_MAX - 2)
		buf_append(&text, "y", 1);
	buf_append_str(&text, "\"");
	assert_int_equal(fixture_save(w->e, "l.jsonl", text.data, text.len), 0);
	assert_int_equal(fixture_append(w->e, "l.jsonl", "x", 1), -EBADMSG);
	assert_int_equal(fixture_append(w->e, "l.jsonl", "\n", 1), 0);
	assert_tail(w, "yy\"\n");
	buf_release(&text);
}

/* What an append to an endless line costs does not grow with the line. */
static void test_appending_to_a_line_too_long_reads_little(void **state)
{
	struct draft_world *w = *state;
	struct draft_plan plan;
	char path[] = "l.jsonl", *paths[] = {path};
	struct draft *d;

	save_long_line(w, 64 * RULE_BYTES_MAX);
	d = draft_world_open(w, "l.jsonl", DRAFT_APPEND);
	draft_world_write(w, d, 0, "x");
	pthread_mutex_lock(&d->lock);
	assert_int_equal(draft_prepare(d, paths, 1, d->node, 0, &plan), 0);
	pthread_mutex_unlock(&d->lock);
	assert_int_equal(plan.text_len, 1);
	draft_plan_release(&plan);
	assert_int_equal(draft_world_commit(w, d, 0), 0);
	draft_close(d);
	assert_tail(w, "yyx");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRAFT_TEST(test_stream_goes_on_with_the_unfinished_line),
		DRAFT_TEST(test_death_after_a_snapshot_in_the_middle_of_a_split),
		DRAFT_TEST(test_a_line_too_long_is_not_looked_at),
		DRAFT_TEST(test_what_follows_a_line_too_long_is_looked_at),
		DRAFT_TEST(test_a_stream_after_a_line_too_long),
		DRAFT_TEST(test_a_line_as_long_as_may_be_is_looked_at),
		DRAFT_TEST(test_appending_to_a_line_too_long_reads_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
