/* SPDX-License-Identifier: MIT
 *
 * Where new members go and how they are written: at the end of their mapping, in lines of its own indentation or behind commas,
 * one to a line if its last member has a line for itself; keys quoted as the last one is.
 *
 * As with values, an odd case may yield a text that the check refuses.
 */
#include <errno.h>
#include <string.h>

#include "yaml_edit_private.h"

#define STEP_DEFAULT 2

struct style {
	const char *newline;
	uint32_t column, step;
	char quote; /* of keys; 0: none */
};

/* --- writing --- */

static void put_spaces(struct buf *b, uint32_t count)
{
	while (count--)
		buf_append(b, " ", 1);
}

static void put_key(struct buf *b, const struct new_member *m, char quote)
{
	buf_append(b, &quote, quote != 0);
	buf_append(b, m->name, m->name_len);
	buf_append(b, &quote, quote != 0);
	buf_append(b, ":", 1);
}

/* The depth is that of a path's names, which doc_parse_yaml() has bounded for what exists; the check bounds the rest. */
static void put_block(struct buf *b, const struct new_member *m, struct style style)
{
	struct style below = style;

	below.column += style.step;
	for (; m; m = m->next) {
		put_spaces(b, style.column);
		put_key(b, m, style.quote);
		if (m->value) {
			buf_append(b, " ", 1);
			buf_append_str(b, m->value);
		}
		buf_append_str(b, style.newline);
		if (!m->value)
			put_block(b, m->child, below);
	}
}

static void put_flow(struct buf *b, const struct new_member *m, char quote)
{
	put_key(b, m, quote);
	buf_append(b, " ", 1);
	if (m->value) {
		buf_append_str(b, m->value);
		return;
	}
	buf_append(b, "{", 1);
	for (const struct new_member *child = m->child; child; child = child->next) {
		put_flow(b, child, quote);
		if (child->next)
			buf_append_str(b, ", ");
	}
	buf_append(b, "}", 1);
}

/* --- the style around --- */

static char quote_of(const struct yaml_spans *s, uint32_t key)
{
	char c = '\0';

	if (key && s->items[key].content < s->len)
		c = s->text[s->items[key].content];
	return (char)(c == '"' || c == '\'' ? c : 0);
}

/* How much deeper the mappings in this one begin; 0: there is none to learn from. */
static uint32_t step_in(const struct yaml_spans *s, uint32_t map)
{
	uint32_t column, below;

	if (!map || s->items[map].shape != SPAN_BLOCK || !s->items[map].mapping)
		return 0;
	column = yaml_block_column(s, &s->items[map]);
	for (uint32_t i = s->items[map].child; i; i = s->items[i].next) {
		if (s->items[i].shape != SPAN_BLOCK || !s->items[i].mapping)
			continue;
		below = yaml_block_column(s, &s->items[i]);
		if (below > column)
			return below - column;
	}
	return 0;
}

static struct style style_in(const struct yaml_splices *s, uint32_t map)
{
	const struct yaml_spans *spans = s->spans;
	struct style style = {.newline = s->newline, .step = step_in(spans, map)};

	if (!style.step)
		style.step = step_in(spans, spans->root);
	if (!style.step)
		style.step = STEP_DEFAULT;
	if (map && spans->items[map].shape == SPAN_BLOCK)
		style.column = yaml_block_column(spans, &spans->items[map]);
	if (map && spans->items[map].last)
		style.quote = quote_of(spans, spans->items[spans->items[map].last].key);
	return style;
}

/* --- lines --- */

static void splice_buf(struct yaml_splices *s, uint32_t at, unsigned depth, const struct buf *text)
{
	if (text->error)
		s->error = text->error;
	else
		yaml_splice(s, at, 0, depth, text->data, text->len);
}

/* Insert whole lines behind the line @end is in. At the end of a text without line break it comes first instead of last. */
static void insert_lines(struct yaml_splices *s, uint32_t end, unsigned depth, const struct buf *lines)
{
	const struct yaml_spans *spans = s->spans;
	uint32_t at = yaml_line_end(spans, end);
	size_t newline = strlen(s->newline);

	if (lines->error) {
		s->error = lines->error;
	} else if (at < spans->len) {
		yaml_splice(s, at + yaml_break_at(spans, at), 0, depth, lines->data, lines->len);
	} else {
		yaml_splice(s, at, 0, depth, s->newline, newline);
		yaml_splice(s, at, 0, depth, lines->data, lines->len - newline);
	}
}

bool yaml_ends_open(const struct yaml_spans *s, uint32_t map)
{
	const struct span *last = &s->items[map];

	while (last->last)
		last = &s->items[last->last];
	return last->shape == SPAN_BLOCK_SCALAR && s->items[map].end == s->len;
}

static void extend_block(struct yaml_splices *s, const struct change *c)
{
	const struct yaml_spans *spans = s->spans;
	const struct span *map = &spans->items[c->span];
	struct buf lines = BUF_INIT;

	put_block(&lines, c->members, style_in(s, c->span));
	if (c->before_last)
		splice_buf(s, yaml_line_start(spans, spans->items[spans->items[map->last].key].start), c->depth, &lines);
	else
		insert_lines(s, map->end, c->depth, &lines);
	buf_release(&lines);
}

/* --- nothing becomes a mapping --- */

static void fill_in_flow(struct yaml_splices *s, const struct change *c)
{
	struct style style = style_in(s, c->map);
	struct buf text = BUF_INIT;

	buf_append(&text, "{", 1);
	for (const struct new_member *m = c->members; m; m = m->next) {
		put_flow(&text, m, style.quote);
		if (m->next)
			buf_append_str(&text, ", ");
	}
	buf_append(&text, "}", 1);
	if (text.error)
		s->error = text.error;
	else
		yaml_place_value(s, c, text.data, text.len);
	buf_release(&text);
}

/* Has a written null a line for itself? */
static bool null_has_line(const struct yaml_spans *s, const struct span *v, uint32_t *ret_line)
{
	uint32_t behind = yaml_skip_blanks(s, v->end);

	*ret_line = yaml_line_start(s, v->content);
	return v->shape != SPAN_EMPTY && yaml_skip_blanks(s, *ret_line) == v->content && (behind == s->len || yaml_break_at(s, behind));
}

/*
 * Take a written null away: with its line if it has one for itself. The blanks behind it go too (a tab must not begin a line, or stand
 * behind the ':' of "? a"); those before it stay to part the comment.
 */
static void remove_null(struct yaml_splices *s, const struct change *c)
{
	const struct yaml_spans *spans = s->spans;
	const struct span *v = &spans->items[c->span];
	uint32_t line, from = v->content, first, to = yaml_skip_blanks(spans, v->end);

	if (v->shape == SPAN_EMPTY)
		return;
	if (null_has_line(spans, v, &line)) {
		yaml_splice(s, line, yaml_line_next(spans, v->end) - line, c->depth, "", 0);
		return;
	}
	if (to == spans->len || yaml_break_at(spans, to)) {
		/* the blanks behind a tag go with the tag */
		first = v->tag == v->tag_end ? line : MAX(line, yaml_skip_blanks(spans, v->tag_end));
		while (from > first && (spans->text[from - 1] == ' ' || spans->text[from - 1] == '\t'))
			from--;
	}
	yaml_splice(s, from, to - from, c->depth, "", 0);
}

/* A null, written or not, as a value in a block mapping or as the root. */
static void fill_in_block(struct yaml_splices *s, const struct change *c)
{
	const struct yaml_spans *spans = s->spans;
	const struct span *v = &spans->items[c->span];
	struct style style = style_in(s, c->map);
	uint32_t behind = v->anchor_end ? v->anchor_end : v->colon_end, line;
	struct buf lines = BUF_INIT;

	if (!behind)
		behind = c->map ? spans->items[v->key].end : v->start;
	if (c->map && !v->colon_end) { /* "? a" */
		put_spaces(&lines, style.column);
		buf_append_str(&lines, ":");
		buf_append_str(&lines, style.newline);
	}
	style.column += c->map ? style.step : 0;
	put_block(&lines, c->members, style);
	yaml_place_untag(s, c);
	remove_null(s, c);
	if (!c->map && null_has_line(spans, v, &line))
		splice_buf(s, line, c->depth, &lines);
	else if (!c->map && v->shape == SPAN_EMPTY && !v->anchor_end && yaml_line_start(spans, v->end) == v->end)
		splice_buf(s, v->end, c->depth, &lines); /* the place of the end of the document */
	else
		insert_lines(s, behind, c->depth, &lines);
	buf_release(&lines);
}

/* An empty text, or one of comments only. */
static void begin_document(struct yaml_splices *s, const struct change *c)
{
	const struct yaml_spans *spans = s->spans;
	struct buf lines = BUF_INIT;

	if (yaml_line_start(spans, spans->len) != spans->len)
		buf_append_str(&lines, s->newline);
	put_block(&lines, c->members, (struct style){.newline = s->newline, .step = STEP_DEFAULT});
	splice_buf(s, spans->len, c->depth, &lines);
	buf_release(&lines);
}

/* --- flow mappings --- */

static void extend_empty_flow(struct yaml_splices *s, const struct change *c)
{
	const struct yaml_spans *spans = s->spans;
	const struct span *map = &spans->items[c->span];
	uint32_t inside = map->content + 1, close = map->end - 1, blanks = yaml_skip_blanks(spans, inside);
	char quote = quote_of(spans, map->key);
	struct buf text = BUF_INIT;

	for (const struct new_member *m = c->members; m; m = m->next) {
		put_flow(&text, m, quote);
		if (m->next)
			buf_append_str(&text, ", ");
	}
	if (spans->text[inside] == '#')
		buf_append(&text, " ", 1);
	if (text.error)
		s->error = text.error;
	else
		yaml_splice(s, inside, blanks == close ? close - inside : 0, c->depth, text.data, text.len);
	buf_release(&text);
}

/* Do only blanks stand before the last member in its line? */
static bool has_own_line(const struct yaml_spans *s, const struct span *key, uint32_t *ret_line)
{
	*ret_line = yaml_line_start(s, key->start);
	return *ret_line && yaml_skip_blanks(s, *ret_line) == key->start;
}

static void extend_flow(struct yaml_splices *s, const struct change *c)
{
	const struct yaml_spans *spans = s->spans;
	const struct span *map = &spans->items[c->span], *last = &spans->items[map->last], *key = &spans->items[last->key];
	uint32_t tail = yaml_skip_space(spans, last->end), line, at;
	bool comma = tail < spans->len && spans->text[tail] == ',', own_line = has_own_line(spans, key, &line);
	char quote = quote_of(spans, last->key);
	struct buf text = BUF_INIT;

	tail = comma ? tail + 1 : last->end;
	at = yaml_skip_blanks(spans, tail);
	if (!own_line || (at < spans->len && spans->text[at] != '#' && !yaml_break_at(spans, at)))
		at = tail;
	else
		at = yaml_line_end(spans, at);
	if (!comma) {
		bool apart = last->shape == SPAN_EMPTY && last->end == last->colon_end; /* "a:," is not "a: ," */

		yaml_splice(s, last->end, 0, c->depth, apart ? " ," : ",", 1 + apart);
	}
	for (const struct new_member *m = c->members; m; m = m->next) {
		if (own_line) {
			buf_append_str(&text, s->newline);
			buf_append(&text, spans->text + line, key->start - line);
		} else {
			buf_append(&text, " ", 1);
		}
		put_flow(&text, m, quote);
		if (m->next || comma)
			buf_append(&text, ",", 1);
	}
	if (at < spans->len && spans->text[at] == '#')
		buf_append(&text, " ", 1);
	splice_buf(s, at, c->depth, &text);
	buf_release(&text);
}

void yaml_place_members(struct yaml_splices *s, const struct change *c)
{
	const struct span *v = &s->spans->items[c->span];

	if (!c->node)
		begin_document(s, c);
	else if (!v->mapping && yaml_in_flow(s->spans, c->map))
		fill_in_flow(s, c);
	else if (!v->mapping)
		fill_in_block(s, c);
	else if (v->shape == SPAN_BLOCK)
		extend_block(s, c);
	else if (!v->child)
		extend_empty_flow(s, c);
	else
		extend_flow(s, c);
}
