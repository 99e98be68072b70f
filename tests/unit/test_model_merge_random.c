/* SPDX-License-Identifier: MIT
 *
 * Saves of random texts: every field is what the table says, and every comment is still there.
 */
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "merge_fixture.h"
#include "rng.h"

/* ---- random texts ---- */

struct random_text {
	struct buf text;
	unsigned comments;
	bool said[64]; /* by row */
};

static void put_comment(struct rng *rng, struct random_text *t)
{
	if (rng_below(rng, 4) == 0)
		buf_printf(&t->text, "   # comment %u", t->comments++);
	buf_append_str(&t->text, rng_below(rng, 6) ? "\n" : "\n\n");
}

/* The rows @from … @to - 1 are a section. */
static void put_section(struct rng *rng, const struct model_field *rows, size_t from, size_t to, struct random_text *t)
{
	size_t len = model_section_len(&rows[from]), start = from + rng_below(rng, to - from), said = 0;
	bool flow = rng_below(rng, 3) == 0;
	int indent = 1 + (int)rng_below(rng, 5);
	const char *what;

	buf_printf(&t->text, "%.*s:%s", (int)len - 1, rows[from].path, flow ? " {" : "");
	if (!flow)
		put_comment(rng, t);
	for (size_t i = 0; i < to - from; i++) {
		size_t row = from + (start + i - from) % (to - from);
		const char *value = merge_other_value(&rows[row], &what);

		if (rng_coin(rng))
			continue;
		t->said[row] = true;
		if (flow)
			buf_printf(&t->text, "%s%s: %s", said++ ? ", " : "", rows[row].path + len, value);
		else
			buf_printf(&t->text, "%*s%s:%*s%s", indent, "", rows[row].path + len, indent, "", value), put_comment(rng, t);
	}
	if (flow)
		buf_append_str(&t->text, "}"), put_comment(rng, t);
}

static void random_text(struct rng *rng, enum model_kind kind, struct random_text *t)
{
	size_t count, to;
	const struct model_field *rows = model_fields(kind, &count);

	*t = (struct random_text){0};
	put_comment(rng, t);
	for (size_t from = 0; from < count; from = to) {
		size_t len = model_section_len(&rows[from]);

		for (to = from + 1; len && to < count && model_section_len(&rows[to]) == len && !strncmp(rows[to].path, rows[from].path, len);)
			to++;
		if (rng_below(rng, 4) == 0) {
			buf_printf(&t->text, "own%zu: [a, {b: \"c # d\"}]", from);
			put_comment(rng, t);
		}
		if (rng_below(rng, 4) == 0)
			continue;
		if (len) {
			put_section(rng, rows, from, to, t);
		} else {
			t->said[from] = true;
			buf_printf(&t->text, "%s: {x: 1}", rows[from].path);
			put_comment(rng, t);
		}
	}
	assert_int_equal(t->text.error, 0);
}

static void check_random(struct rng *rng, enum model_kind kind, const struct random_text *t, const char *out)
{
	struct merge_result value = {0}, fallback = {0}, owned = {0};
	size_t count;
	const struct model_field *rows = model_fields(kind, &count);
	const char *what;
	char comment[40];

	for (size_t i = 0; i < count; i++) {
		const char *got = merge_value_at(&value, out, rows[i].path);

		(void)merge_other_value(&rows[i], &what);
		if (rows[i].owner == MODEL_OWNER_DAEMON || !strcmp(rows[i].path, "metrics.last_heartbeat"))
			what = merge_value_at(&owned, kind == MODEL_SESSION ? merge_new_session : merge_new_agent, rows[i].path);
		else if (!t->said[i])
			what = rows[i].owner == MODEL_OWNER_OPTIONAL ? "missing" : merge_fallback_said(&fallback, &rows[i]);
		if (strcmp(got, what) != 0) {
			rng_report(rng, "random text");
			fail_msg("%s: %s, not %s, in\n%s\nof\n%s", rows[i].path, got, what, out, t->text.data);
		}
	}
	for (unsigned i = 0; i < t->comments; i++) {
		snprintf(comment, sizeof(comment), "   # comment %u\n", i);
		rng_assert(rng, strstr(out, comment));
	}
	buf_release(&value.text);
	buf_release(&fallback.text);
	buf_release(&owned.text);
}

static void test_random_texts(void **state)
{
	struct merge_result res = {0}, again = {0};
	struct rng rng;

	(void)state;
	rng_init(&rng, rng_seed_of_run(7));
	for (int run = 0; run < 1000; run++) {
		enum model_kind kind = run % 2 ? MODEL_SESSION : MODEL_AGENT;
		const void *owned = kind == MODEL_SESSION ? (const void *)&merge_session_owned : &merge_agent_owned;
		struct random_text t;

		random_text(&rng, kind, &t);
		merge_saved(&res, kind, NULL, t.text.data, owned);
		check_random(&rng, kind, &t, res.text.data);
		rng_assert(&rng, !strcmp(merge_saved(&again, kind, res.text.data, res.text.data, owned), res.text.data));
		rng_assert(&rng, !strcmp(merge_edited(&again, kind, res.text.data, owned, ""), res.text.data));
		buf_release(&t.text);
	}
	buf_release(&res.text);
	buf_release(&again.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
