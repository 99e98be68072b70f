/* SPDX-License-Identifier: MIT
 *
 * Random YAML by recursive descent. Whoever writes a value ends its line. Comments stand no deeper than the keys around them, so that
 * they are none of a block scalar's content.
 */
#include "yaml_gen.h"

#include <string.h>

#include "util.h"

#define DEPTH_MAX 4
#define ANCHORS_MAX 8

const char *const yaml_gen_names[YAML_GEN_NAMES] = {"a", "b", "c", "state", "session", "x_1", "null", "12"};

struct gen {
	struct rng *rng;
	struct buf *out;
	struct yaml_gen_options options;
	unsigned comments, anchors;
	bool json; /* the flow mapping at hand: quoted keys, no comments */
};

static bool one_in(struct gen *g, unsigned n)
{
	return !rng_below(g->rng, n);
}

static void put(struct gen *g, const char *text)
{
	buf_append_str(g->out, text);
}

static void put_indent(struct gen *g, unsigned indent)
{
	while (indent--)
		put(g, " ");
}

static const char *pick(struct gen *g, const char *const *from, size_t count)
{
	return from[rng_below(g->rng, count)];
}
#define PICK(g, ...) pick(g, (const char *const[]){__VA_ARGS__}, ARRAY_SIZE(((const char *const[]){__VA_ARGS__})))

static void put_comment(struct gen *g)
{
	buf_printf(g->out, "#%u.%s", g->comments++, PICK(g, "", " why: x", " \xc3\xa9\xe2\x82\xac", " {[\"'", "\t- a: b", " &x *y"));
}

/* End a line, and perhaps some of blanks or comments behind it. */
static void end_line(struct gen *g, unsigned indent)
{
	if (one_in(g, 4)) {
		put(g, PICK(g, " ", "   ", "\t", " \t"));
		put_comment(g);
	} else if (one_in(g, 8)) {
		put(g, PICK(g, " ", "\t"));
	}
	put(g, "\n");
	while (one_in(g, 4)) {
		if (one_in(g, 2)) {
			put_indent(g, one_in(g, 2) ? indent : 0);
			put_comment(g);
		} else if (one_in(g, 4)) {
			put_indent(g, indent);
		}
		put(g, "\n");
	}
}

static void put_properties(struct gen *g, bool text)
{
	bool tag = one_in(g, 16), anchor = g->options.aliases && g->anchors < ANCHORS_MAX && one_in(g, 6), tag_first = one_in(g, 2);

	if (tag && tag_first)
		put(g, text ? "!!str " : "!t ");
	if (anchor)
		buf_printf(g->out, "&n%u ", g->anchors++);
	if (tag && !tag_first)
		put(g, text ? "! " : "!<tag:t> ");
}

static void put_text(struct gen *g)
{
	put(g, PICK(g, "word", "two words", "1", "-0.5e3", "true", "2026-11-22", "~", "x#y", "\"q \\\" # \\u00e9\"", "'it''s: x'", "\"\"", "'\xf0\x9f\x98\xb9'",
		       "\xc3\xa9", "http://x/y"));
}

static void put_key(struct gen *g)
{
	const char *name = yaml_gen_names[rng_below(g->rng, YAML_GEN_NAMES)];
	const char *quote = g->json ? "\"" : PICK(g, "", "", "", "\"", "'");

	if (!g->json && one_in(g, 12)) {
		put(g, PICK(g, "other key", "\"\\t\"", "[l, m]", "\xc3\xa9", "f/g", "<<x"));
		return;
	}
	put(g, quote);
	put(g, name);
	put(g, quote);
}

/* --- flow style --- */

static void put_flow(struct gen *g, unsigned depth, unsigned indent);

static void flow_line(struct gen *g, bool lines, unsigned indent)
{
	if (!lines)
		return;
	if (!g->json && one_in(g, 4)) {
		put(g, " ");
		put_comment(g);
	}
	put(g, "\n");
	put_indent(g, indent + 2);
}

static void put_flow_items(struct gen *g, unsigned depth, unsigned indent, bool mapping)
{
	bool lines = one_in(g, 3);
	unsigned count = (unsigned)rng_below(g->rng, 4);
	const char *inside = PICK(g, "", "", " ");

	put(g, mapping ? "{" : "[");
	put(g, inside);
	for (unsigned i = 0; i < count; i++) {
		flow_line(g, lines, indent);
		if (mapping) {
			put_key(g);
			put(g, g->json ? PICK(g, ": ", ":", " : ") : PICK(g, ": ", ": ", " : "));
		}
		if (g->json || !one_in(g, 8) || !mapping)
			put_flow(g, depth + 1, indent + 2);
		if (i + 1 < count || (!g->json && one_in(g, 6)))
			put(g, PICK(g, ", ", ",", " , "));
	}
	if (lines) {
		flow_line(g, true, indent);
		g->out->len -= 2;
	}
	put(g, inside);
	put(g, mapping ? "}" : "]");
}

static void put_flow(struct gen *g, unsigned depth, unsigned indent)
{
	if (!g->json)
		put_properties(g, false);
	if (depth < DEPTH_MAX && one_in(g, 3))
		put_flow_items(g, depth, indent, one_in(g, 2));
	else if (g->json)
		put(g, PICK(g, "1", "\"x\"", "null", "[]", "{}", "true"));
	else
		put_text(g);
}

/* --- block style --- */

static void put_block_map(struct gen *g, unsigned depth, unsigned indent, bool first_in_line);

static void put_block_scalar(struct gen *g, unsigned indent, unsigned step)
{
	put(g, PICK(g, "|", ">"));
	if (one_in(g, 4))
		buf_printf(g->out, "%u", step);
	put(g, PICK(g, "", "", "-", "+"));
	if (one_in(g, 4)) {
		put(g, " ");
		put_comment(g);
	}
	put(g, "\n");
	for (uint64_t lines = rng_below(g->rng, 4); lines; lines--) {
		put_indent(g, indent + step);
		put(g, PICK(g, "line", "# no comment", "- x: y", "\xc3\xa9"));
		put(g, "\n");
		while (one_in(g, 4)) {
			put_indent(g, one_in(g, 2) ? indent : one_in(g, 2) ? indent + step + 1 : 0);
			put(g, "\n");
		}
	}
}

static void put_block_seq(struct gen *g, unsigned depth, unsigned indent)
{
	for (uint64_t count = 1 + rng_below(g->rng, 3); count; count--) {
		put_indent(g, indent);
		put(g, "-");
		if (depth < DEPTH_MAX && one_in(g, 4)) {
			put(g, " ");
			put_block_map(g, depth + 1, indent + 2, true);
			continue;
		}
		if (!one_in(g, 6)) {
			put(g, " ");
			put_flow(g, depth + 1, indent);
		}
		end_line(g, indent);
	}
}

static void put_block_collection(struct gen *g, unsigned depth, unsigned indent, unsigned step)
{
	bool mapping = one_in(g, 2);

	put(g, " ");
	put_properties(g, false);
	g->out->len -= g->out->data[g->out->len - 1] == ' ';
	end_line(g, indent);
	if (mapping)
		put_block_map(g, depth + 1, indent + step, false);
	else
		put_block_seq(g, depth + 1, one_in(g, 2) ? indent : indent + step);
}

static void put_inline(struct gen *g, unsigned depth, unsigned indent, unsigned step)
{
	if (g->options.aliases && g->anchors && one_in(g, 6)) {
		buf_printf(g->out, "*n%u", (unsigned)rng_below(g->rng, g->anchors));
	} else if (one_in(g, 6)) {
		put(g, PICK(g, "null", "~", "Null"));
	} else if (one_in(g, 8)) {
		const char *quote = PICK(g, "", "'", "\"");

		put(g, quote);
		put(g, "one\n\n");
		put_indent(g, indent + step);
		put(g, "two");
		put(g, quote);
	} else {
		put_flow(g, depth + 1, indent);
	}
	end_line(g, indent);
}

static void put_value(struct gen *g, unsigned depth, unsigned indent)
{
	unsigned step = 1 + (unsigned)rng_below(g->rng, 4);

	switch (rng_below(g->rng, 10)) {
	case 0:
		put(g, " ");
		put_properties(g, true);
		g->out->len--;
		end_line(g, indent);
		return;
	case 1:
		put(g, " ");
		put_properties(g, true);
		put_block_scalar(g, indent, step);
		return;
	case 2:
		end_line(g, indent);
		put_indent(g, indent + step);
		put_inline(g, depth, indent, step);
		return;
	case 3:
	case 4:
	case 5:
		if (depth < DEPTH_MAX) {
			put_block_collection(g, depth, indent, step);
			return;
		}
		/* fall through */
	default:
		put(g, PICK(g, " ", " ", "   ", "\t"));
		put_inline(g, depth, indent, step);
	}
}

static void put_block_map(struct gen *g, unsigned depth, unsigned indent, bool first_in_line)
{
	for (uint64_t count = 1 + rng_below(g->rng, 4); count; count--) {
		if (!first_in_line)
			put_indent(g, indent);
		first_in_line = false;
		if (g->options.aliases && g->anchors && one_in(g, 16)) {
			buf_printf(g->out, "<<: *n%u\n", (unsigned)rng_below(g->rng, g->anchors));
			continue;
		}
		if (one_in(g, 16)) {
			put(g, "? ");
			put_key(g);
			end_line(g, indent);
			if (one_in(g, 3))
				continue;
			put_indent(g, indent);
			put(g, ":");
		} else {
			put_key(g);
			put(g, PICK(g, ":", ":", " :"));
		}
		put_value(g, depth, indent);
	}
}

/* --- texts --- */

static void put_root(struct gen *g)
{
	switch (rng_below(g->rng, 8)) {
	case 0:
		g->json = true;
		put_flow_items(g, 0, 0, true);
		g->json = false;
		put(g, "\n");
		return;
	case 1:
		put_flow_items(g, 0, 0, true);
		end_line(g, 0);
		return;
	case 2:
		if (one_in(g, 2)) {
			put(g, PICK(g, "", "null\n", "~ # x\n", "\n\n"));
			return;
		}
		/* fall through */
	default:
		put_block_map(g, 0, one_in(g, 8) ? 3 : 0, false);
	}
}

static void to_crlf(struct buf *text)
{
	struct buf crlf = BUF_INIT;

	for (size_t i = 0; i < text->len; i++) {
		if (text->data[i] == '\n')
			buf_append(&crlf, "\r", 1);
		buf_append(&crlf, text->data + i, 1);
	}
	buf_release(text);
	*text = crlf;
}

void yaml_gen(struct rng *rng, struct yaml_gen_options options, struct buf *out)
{
	struct buf text = BUF_INIT;
	struct gen g = {.rng = rng, .out = &text, .options = options};

	if (one_in(&g, 3))
		end_line(&g, 0);
	if (one_in(&g, 4)) {
		if (one_in(&g, 4))
			put(&g, "%YAML 1.1\n");
		put(&g, "---");
		end_line(&g, 0);
	}
	put_root(&g);
	if (one_in(&g, 4)) {
		put(&g, one_in(&g, 2) ? "...\n" : "");
		if (one_in(&g, 2))
			put(&g, "---\na: &n0 1\nstate: {a: *n0}\n");
	}
	if (one_in(&g, 6) && text.len && text.data[text.len - 1] == '\n')
		text.len--;
	if (options.crlf)
		to_crlf(&text);
	if (options.bom)
		put(&(struct gen){.out = out}, "\xef\xbb\xbf");
	buf_append(out, text.data, text.len);
	buf_release(&text);
}
