/* SPDX-License-Identifier: MIT
 *
 * Random edits of random texts. What must hold: an edit is made unless the way to it is barred (told from the document alone);
 * the member has the value; everything else parses to the same; bytes outside the member, comments first of all, are the same;
 * doing it again changes nothing; edits in one call give what they give one by one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "doc.h"
#include "rng.h"
#include "yaml_edit.h"
#include "yaml_flat.h"
#include "yaml_gen.h"

#define TEXTS 6000
#define CHAINS 300
#define CHAIN_EDITS 25
#define CALL_EDITS 6
#define FLAT_BYTES_MAX (1u << 20)

struct random_edit {
	char path[64];
	struct buf value;
	bool only_if_missing;
};

struct case_of {
	struct rng *rng;
	const char *text; /* before */
	size_t len;
	struct yaml_edit edit;
	struct buf *out; /* after */
	struct doc *was, *now;
	const struct doc_node *member; /* in was; NULL: it is missing */
};

#define check(c, condition)                                   \
	do {                                                  \
		if (!(condition))                             \
			fail_case((c), #condition, __LINE__); \
	} while (0)

static void fail_case(const struct case_of *c, const char *what, int line)
{
	rng_report(c->rng, "yaml_edit");
	fprintf(stderr, "%s = %s%s\n--- of\n%.*s\n--- gives\n%.*s\n---\n", c->edit.path, c->edit.value, c->edit.only_if_missing ? " (default)" : "",
		(int)c->len, c->text, (int)c->out->len, c->out->data ? c->out->data : "");
	fail_msg("line %d: %s", line, what);
}

/* --- what the document says about an edit --- */

/* The deepest node on the way; *@ret_rest is what is missing below it. */
static const struct doc_node *walk(const struct doc_node *root, const char *path, const char **ret_rest)
{
	char name[64];

	while (root && *path) {
		size_t len = strcspn(path, ".");
		const struct doc_node *next;

		(void)snprintf(name, sizeof(name), "%.*s", (int)len, path);
		next = doc_get(root, name);
		if (!next || root->target)
			break;
		root = next;
		path += len + (path[len] == '.');
	}
	*ret_rest = path;
	return root;
}

static bool is_barred(const struct doc *doc, const char *path)
{
	const char *rest;
	const struct doc_node *node = walk(doc_root(doc), path, &rest);

	return node && *rest && (node->target || (node->type != DOC_MAPPING && node->type != DOC_NULL));
}

static bool has_aliases(const struct doc_node *node)
{
	for (const struct doc_node *m = node ? node->child : NULL; m; m = m->next)
		if (m->target || (m->key && (m->key->target || has_aliases(m->key))) || has_aliases(m))
			return true;
	return false;
}

static struct doc *parse(const char *text, size_t len)
{
	struct doc *doc = NULL;

	return doc_parse_yaml(text, len, NULL, &doc) ? NULL : doc;
}

static bool same_value(const struct doc_node *node, const char *value)
{
	struct buf want = BUF_INIT, got = BUF_INIT;
	struct doc *doc = parse(value, strlen(value));
	bool same;

	assert_true(yaml_flat(doc_root(doc), NULL, 0, FLAT_BYTES_MAX, &want));
	same = yaml_flat(node, NULL, 0, FLAT_BYTES_MAX, &got) && got.len == want.len && !memcmp(got.data, want.data, got.len);
	doc_free(doc);
	buf_release(&want);
	buf_release(&got);
	return same;
}

static bool same_but(const struct doc *was, const struct doc *now, const char *const *paths, size_t count)
{
	struct buf before = BUF_INIT, after = BUF_INIT;
	bool same = yaml_flat(doc_root(was), paths, count, FLAT_BYTES_MAX, &before) == yaml_flat(doc_root(now), paths, count, FLAT_BYTES_MAX, &after);

	same &= before.len == after.len && (!before.len || !memcmp(before.data, after.data, before.len));
	buf_release(&before);
	buf_release(&after);
	return same;
}

/* --- bytes --- */

/* The place of line @number, which counts from 1, by the breaks the generator writes. */
static const char *line_at(const char *text, size_t len, uint32_t number)
{
	const char *end = text + len, *p = text;

	for (; number > 1 && p < end; number--) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));

		p = newline ? newline + 1 : end;
	}
	return p;
}

/* The line of the first node behind @member and all in it; 0: there is none. */
static uint32_t line_behind(const struct doc_node *node, const struct doc_node *member, bool *found)
{
	uint32_t line = 0;

	for (const struct doc_node *m = node->child; m && !line; m = m->next) {
		if (*found)
			return m->key ? m->key->line : m->line;
		if (m == member)
			*found = true;
		else if (!m->target)
			line = line_behind(m, member, found);
	}
	return line;
}

static size_t common_prefix(const struct case_of *c)
{
	size_t n = 0;

	while (n < c->len && n < c->out->len && c->text[n] == c->out->data[n])
		n++;
	return n;
}

/* Of what is behind the first @prefix bytes. */
static size_t common_suffix(const struct case_of *c, size_t prefix)
{
	size_t n = 0;

	while (n < c->len - prefix && n < c->out->len - prefix && c->text[c->len - 1 - n] == c->out->data[c->out->len - 1 - n])
		n++;
	return n;
}

/* Does a key begin line @number? A flow mapping has several in one. */
static bool is_first_in_line(const struct case_of *c, uint32_t number)
{
	const char *line = line_at(c->text, c->len, number), *end = c->text + c->len;

	while (line < end && (*line == ' ' || *line == '?'))
		line++;
	return line < end && !strchr("{}[], \t", *line);
}

/* A member that was there: all lines before its key's and from the next node's on are the same, and its own but for the value. */
static void check_bytes_replaced(const struct case_of *c)
{
	size_t prefix = common_prefix(c), suffix = common_suffix(c, prefix);
	const struct doc_node *m = c->member;
	bool found = false, one_line;
	uint32_t behind = line_behind(doc_root(c->was), m, &found);
	const char *from = line_at(c->text, c->len, m->key->line);

	check(c, prefix >= (size_t)(from - c->text));
	if (behind > m->key->line && is_first_in_line(c, behind))
		check(c, common_suffix(c, 0) >= (size_t)(c->text + c->len - line_at(c->text, c->len, behind)));
	/* a plain or quoted scalar that stands in the line of its key: nothing but it goes */
	one_line = m->type != DOC_SEQUENCE && m->type != DOC_MAPPING && behind == m->line + 1 && m->line == m->key->line;
	if (one_line) {
		check(c, !memchr(c->text + prefix, '\n', c->len - prefix - suffix));
		check(c, !memchr(c->out->data + prefix, '\n', c->out->len - prefix - suffix));
	}
}

/* A member that was missing: nothing goes, but a null that becomes a mapping. */
static void check_bytes_added(const struct case_of *c)
{
	const char *rest;
	const struct doc_node *parent = walk(doc_root(c->was), c->edit.path, &rest);
	size_t at = 0;

	if (parent && (parent->type == DOC_NULL || !parent->child))
		return;
	for (size_t i = 0; i < c->out->len && at < c->len; i++)
		at += c->out->data[i] == c->text[at];
	check(c, at == c->len);
}

/* Each comment outside of the member's value is still there, and once. In a collection or a block scalar some go with it. */
static void check_comments(const struct case_of *c)
{
	const struct doc_node *m = c->member;
	bool found = false;
	uint32_t behind = m ? line_behind(doc_root(c->was), m, &found) : 0;
	const char *from = m ? line_at(c->text, c->len, m->line) : c->text, *to = from;
	const char *end = c->text + c->len;
	char comment[16];

	if (m && (m->type == DOC_SEQUENCE || m->type == DOC_MAPPING || m->quoted))
		to = behind ? line_at(c->text, c->len, MAX(behind, m->line + 1)) : end;
	for (unsigned i = 0;; i++) {
		const char *was, *now;
		int len = snprintf(comment, sizeof(comment), "#%u.", i);

		was = memmem(c->text, c->len, comment, (size_t)len);
		if (!was)
			return;
		if (was >= from && was < to)
			continue;
		now = memmem(c->out->data, c->out->len, comment, (size_t)len);
		check(c, now);
		check(c, !memmem(now + 1, c->out->len - (size_t)(now + 1 - c->out->data), comment, (size_t)len));
	}
}

static void check_line_ends(const struct case_of *c)
{
	const char *lf = memchr(c->text, '\n', c->len);
	bool crlf = lf && lf > c->text && lf[-1] == '\r';

	for (size_t i = 0; i < c->out->len; i++)
		if (c->out->data[i] == '\n' && lf)
			check(c, (i && c->out->data[i - 1] == '\r') == crlf);
}

/* --- edits --- */

static void put_random_path(struct rng *rng, char path[64])
{
	size_t len = 0;

	for (uint64_t names = 1 + rng_below(rng, 3); names; names--)
		len += (size_t)snprintf(
			path + len, 64 - len, "%s%s", len ? "." : "", rng_below(rng, 6) ? yaml_gen_names[rng_below(rng, YAML_GEN_NAMES)] : "fresh");
}

static void random_edit(struct rng *rng, struct random_edit *e)
{
	static const char *const values[] = {"null", "12", "true", "[]", "{}", "[\"a\", b]", "{k: [1, {}], \"l\": ~}", "word", "'it''s'"};
	static const char *const texts[] = {"x", "a: b # c", "\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\xb9", "\"\\\n\t", "---", ""};

	put_random_path(rng, e->path);
	buf_clear(&e->value);
	if (rng_coin(rng))
		yaml_put_string(&e->value, texts[rng_below(rng, ARRAY_SIZE(texts))]);
	else
		buf_append_str(&e->value, values[rng_below(rng, ARRAY_SIZE(values))]);
	e->only_if_missing = !rng_below(rng, 4);
}

static struct yaml_edit edit_of(const struct random_edit *e)
{
	return (struct yaml_edit){.path = e->path, .value = e->value.data, .only_if_missing = e->only_if_missing};
}

static void check_refusal(struct case_of *c, const struct reason *reason, bool barred)
{
	check(c, reason->line && reason->column);
	check(c, !c->out->len);
	if (!barred) {
		check(c, has_aliases(doc_root(c->was)));
		check(c, strstr(reason->text, "an alias elsewhere names"));
	}
}

static void check_done(struct case_of *c)
{
	struct buf again = BUF_INIT;
	const struct doc_node *node;

	c->now = parse(c->out->data, c->out->len);
	check(c, c->now);
	node = doc_get_path(doc_root(c->now), c->edit.path);
	check(c, node);
	if (c->member && (c->edit.only_if_missing || same_value(c->member, c->edit.value)))
		check(c, c->out->len == c->len && !memcmp(c->out->data, c->text, c->len));
	else
		check(c, same_value(node, c->edit.value));
	check(c, same_but(c->was, c->now, &c->edit.path, 1));
	if (c->member)
		check_bytes_replaced(c);
	else
		check_bytes_added(c);
	check_comments(c);
	check_line_ends(c);
	check(c, !yaml_edit(c->out->data, c->out->len, &c->edit, 1, NULL, &again));
	check(c, again.len == c->out->len && !memcmp(again.data, c->out->data, again.len));
	buf_release(&again);
	doc_free(c->now);
}

/* Returns whether it was made. */
static bool check_edit(struct rng *rng, const char *text, size_t len, const struct random_edit *e, struct buf *out)
{
	struct case_of c = {.rng = rng, .text = text, .len = len, .edit = edit_of(e), .out = out};
	struct reason reason = {0};
	const char *rest;
	bool barred;
	int error;

	c.was = parse(text, len);
	check(&c, c.was);
	c.member = walk(doc_root(c.was), c.edit.path, &rest);
	if (*rest)
		c.member = NULL;
	barred = is_barred(c.was, c.edit.path);
	error = yaml_edit(text, len, &c.edit, 1, &reason, out);
	check(&c, error == 0 || error == -EBADMSG);
	check(&c, !barred || error);
	if (error)
		check_refusal(&c, &reason, barred);
	else
		check_done(&c);
	doc_free(c.was);
	return !error;
}

/* A text that is well-formed; the generator counts on little luck. */
static void random_text(struct rng *rng, struct buf *text)
{
	struct yaml_gen_options options = {.aliases = !rng_below(rng, 4), .crlf = !rng_below(rng, 5), .bom = !rng_below(rng, 10)};

	do {
		buf_clear(text);
		buf_append(text, "", 0);
		yaml_gen(rng, options, text);
	} while (doc_check_yaml(text->data, text->len, NULL));
}

static void test_single_edits(void **state)
{
	struct random_edit e = {0};
	struct buf text = BUF_INIT, out = BUF_INIT;
	struct rng rng;
	unsigned made = 0;

	(void)state;
	rng_init(&rng, rng_seed_of_run(1));
	for (int i = 0; i < TEXTS; i++) {
		random_text(&rng, &text);
		for (int k = 0; k < 4; k++) {
			random_edit(&rng, &e);
			buf_clear(&out);
			made += check_edit(&rng, text.data, text.len, &e, &out);
		}
	}
	assert_true(made > TEXTS * 2);
	buf_release(&e.value);
	buf_release(&text);
	buf_release(&out);
}

/* Edit after edit of one text: comments and line ends last, and each step holds. */
static void test_chains(void **state)
{
	struct random_edit e = {0};
	struct buf text = BUF_INIT, out = BUF_INIT;
	struct rng rng;

	(void)state;
	rng_init(&rng, rng_seed_of_run(2));
	for (int i = 0; i < CHAINS; i++) {
		random_text(&rng, &text);
		for (int k = 0; k < CHAIN_EDITS; k++) {
			struct buf swap = text;

			random_edit(&rng, &e);
			buf_clear(&out);
			if (!check_edit(&rng, text.data, text.len, &e, &out))
				continue;
			text = out;
			out = swap;
		}
	}
	buf_release(&e.value);
	buf_release(&text);
	buf_release(&out);
}

/* One by one; false when one is refused. */
static bool edit_singly(const struct buf *text, const struct yaml_edit edits[CALL_EDITS], struct buf *out)
{
	struct buf present = BUF_INIT;
	int error = 0;

	buf_append(&present, text->data, text->len);
	for (size_t i = 0; i < CALL_EDITS && !error; i++) {
		buf_clear(out);
		buf_append(out, "", 0);
		error = yaml_edit(present.data, present.len, &edits[i], 1, NULL, out);
		if (!error) {
			buf_clear(&present);
			buf_append(&present, out->data, out->len);
		}
	}
	buf_release(&present);
	return !error;
}

static void test_many_in_one_call(void **state)
{
	struct random_edit random[CALL_EDITS] = {0};
	struct yaml_edit edits[CALL_EDITS];
	struct buf text = BUF_INIT, out = BUF_INIT, singly = BUF_INIT;
	unsigned made = 0;
	struct rng rng;

	(void)state;
	rng_init(&rng, rng_seed_of_run(3));
	for (int i = 0; i < TEXTS; i++) {
		struct case_of c = {.rng = &rng, .out = &out};
		bool possible;
		int error;

		random_text(&rng, &text);
		/* members go before an open block scalar at the end, or behind it if that was replaced by then: not the same order */
		buf_append_str(&text, "\n");
		for (size_t k = 0; k < CALL_EDITS; k++) {
			random_edit(&rng, &random[k]);
			edits[k] = edit_of(&random[k]);
		}
		c.text = text.data;
		c.len = text.len;
		c.edit = edits[0];
		buf_clear(&out);
		possible = edit_singly(&text, edits, &singly);
		error = yaml_edit(text.data, text.len, edits, CALL_EDITS, NULL, &out);
		check(&c, error == (possible ? 0 : -EBADMSG));
		if (error)
			continue;
		made++;
		c.was = parse(singly.data, singly.len);
		c.now = parse(out.data, out.len);
		check(&c, c.was && c.now && same_but(c.was, c.now, NULL, 0));
		doc_free(c.was);
		doc_free(c.now);
	}
	assert_true(made > TEXTS / 8);
	for (size_t k = 0; k < CALL_EDITS; k++)
		buf_release(&random[k].value);
	buf_release(&text);
	buf_release(&out);
	buf_release(&singly);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_edits),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_many_in_one_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
