/* SPDX-License-Identifier: MIT
 *
 * Where a new value goes in the text, and how the text is put together again. What stands where the value stood is replaced; what
 * took several lines (a block scalar, a block sequence or mapping) leaves as whole lines and the value is put behind the ':', before
 * the comment there. An anchor stays, a tag goes: it said what the old value was.
 *
 * Splices name places in the old text only, so their order of making does not matter. Nothing here can be trusted to be
 * right for every text people write: the check decides. So an odd case may yield a text that is refused, but not a wrong one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "yaml_edit_private.h"

/* --- splices --- */

static const char *newline_of(const struct yaml_spans *s)
{
	const char *lf = memchr(s->text, '\n', s->len);

	if (lf)
		return lf > s->text && lf[-1] == '\r' ? "\r\n" : "\n";
	return memchr(s->text, '\r', s->len) ? "\r" : "\n";
}

void yaml_splices_init(struct yaml_splices *s, const struct yaml_spans *spans)
{
	*s = (struct yaml_splices){.spans = spans, .newline = newline_of(spans)};
}

void yaml_splices_release(struct yaml_splices *s)
{
	free(s->items);
	buf_release(&s->texts);
	s->items = NULL;
	s->count = s->cap = 0;
}

void yaml_splice(struct yaml_splices *s, uint32_t at, uint32_t removed, unsigned depth, const char *text, size_t text_len)
{
	if (!removed && !text_len)
		return;
	if (array_reserve(&s->items, &s->cap, s->count + 1, sizeof(*s->items))) {
		s->error = -ENOMEM;
		return;
	}
	s->items[s->count] = (struct splice){at, removed, s->texts.len, text_len, depth, (unsigned)s->count};
	s->count++;
	buf_append(&s->texts, text, text_len);
}

static int by_place(const void *a, const void *b)
{
	const struct splice *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (!x->removed != !y->removed)
		return x->removed ? 1 : -1;
	if (x->depth != y->depth)
		return x->depth > y->depth ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

int yaml_splices_apply(struct yaml_splices *s, struct buf *out)
{
	const struct yaml_spans *spans = s->spans;
	uint32_t done = 0;

	if (s->error || s->texts.error)
		return -ENOMEM;
	if (s->count)
		qsort(s->items, s->count, sizeof(*s->items), by_place);
	for (size_t i = 0; i < s->count; i++) {
		const struct splice *x = &s->items[i];

		if (x->at < done || x->removed > spans->len - x->at)
			return -EBADMSG;
		buf_append(out, spans->text + done, x->at - done);
		buf_append(out, s->texts.data + x->text, x->text_len);
		done = x->at + x->removed;
	}
	buf_append(out, spans->text + done, spans->len - done);
	return out->error;
}

/* --- columns --- */

uint32_t yaml_column(const struct yaml_spans *s, uint32_t at)
{
	uint32_t column = 0;

	for (uint32_t i = yaml_line_start(s, at); i < at; i++)
		column += ((unsigned char)s->text[i] & 0xc0) != 0x80;
	return column;
}

uint32_t yaml_block_column(const struct yaml_spans *s, const struct span *map)
{
	return yaml_column(s, map->content);
}

bool yaml_in_flow(const struct yaml_spans *s, uint32_t map)
{
	return map && s->items[map].shape == SPAN_FLOW;
}

/* --- values --- */

void yaml_place_untag(struct yaml_splices *s, const struct change *c)
{
	const struct yaml_spans *spans = s->spans;
	const struct span *v = &spans->items[c->span];
	uint32_t from = v->tag, to = v->tag_end, beside = yaml_skip_blanks(spans, v->tag_end);

	if (from == to)
		return;
	if (yaml_skip_blanks(spans, yaml_line_start(spans, from)) == from || (v->shape != SPAN_EMPTY && beside == v->content) ||
		(v->anchor_end > to && spans->text[beside] == '&'))
		to = beside; /* something else is in the line, or a line would begin with a tab */
	else
		while (from && (spans->text[from - 1] == ' ' || spans->text[from - 1] == '\t'))
			from--;
	yaml_splice(s, from, to - from, c->depth, "", 0);
}

/*
 * Take away the lines from the one @from is in to the one @to is in. Blank lines at their end stay: they part what comes next. A
 * text that ended without a line break still does.
 */
static void remove_lines(struct yaml_splices *s, unsigned depth, uint32_t from, uint32_t to)
{
	const struct yaml_spans *spans = s->spans;
	uint32_t start = yaml_line_start(spans, from), last = yaml_line_start(spans, to), end;

	while (yaml_line_is_empty(spans, last)) {
		if (last <= start)
			return;
		last = yaml_line_start(spans, last - 1);
	}
	end = yaml_line_next(spans, last);
	if (yaml_line_end(spans, last) == spans->len && start)
		start = yaml_line_end(spans, yaml_line_start(spans, start - 1));
	yaml_splice(s, start, end - start, depth, "", 0);
}

/* Insert ' ' and the value. */
static void insert_value(struct yaml_splices *s, uint32_t at, unsigned depth, const char *value, size_t len)
{
	struct buf text = BUF_INIT;

	buf_append(&text, " ", 1);
	buf_append(&text, value, len);
	if (text.error)
		s->error = text.error;
	else
		yaml_splice(s, at, 0, depth, text.data, text.len);
	buf_release(&text);
}

/* Put the value in the place of [from, to). libyaml takes a '#' right behind a quoted scalar for a comment; behind others it is none. */
static void replace(struct yaml_splices *s, unsigned depth, uint32_t from, uint32_t to, const char *value, size_t len)
{
	yaml_splice(s, from, to - from, depth, value, len);
	if (to < s->spans->len && s->spans->text[to] == '#')
		yaml_splice(s, to, 0, depth, " ", 1);
}

/* A key without ':': {a} or "? a". */
static void place_behind_key(struct yaml_splices *s, const struct change *c, const char *value, size_t len)
{
	const struct yaml_spans *spans = s->spans;
	uint32_t key_end = spans->items[spans->items[c->span].key].end, at = key_end;
	struct buf text = BUF_INIT;

	if (yaml_in_flow(spans, c->map)) {
		buf_append_str(&text, ": ");
		buf_append(&text, value, len);
	} else {
		at = yaml_line_end(spans, key_end);
		buf_append_str(&text, s->newline);
		for (uint32_t i = yaml_block_column(spans, &spans->items[c->map]); i; i--)
			buf_append(&text, " ", 1);
		buf_append_str(&text, ": ");
		buf_append(&text, value, len);
	}
	if (text.error)
		s->error = text.error;
	else
		yaml_splice(s, at, 0, c->depth, text.data, text.len);
	buf_release(&text);
}

static void replace_block_scalar(struct yaml_splices *s, const struct change *c, const struct span *v, const char *value, size_t len)
{
	const struct yaml_spans *spans = s->spans;
	uint32_t header = yaml_block_header_end(spans, v->content);

	replace(s, c->depth, v->content, header, value, len);
	if (v->end > yaml_line_end(spans, header))
		remove_lines(s, c->depth, yaml_line_next(spans, header), v->end);
}

/* Only a block scalar may begin as far left as the keys around it. */
static bool stands_too_far_left(const struct yaml_spans *s, const struct change *c, const struct span *v)
{
	return !yaml_in_flow(s, c->map) && yaml_column(s, v->content) <= yaml_block_column(s, &s->items[c->map]);
}

void yaml_place_value(struct yaml_splices *s, const struct change *c, const char *value, size_t len)
{
	const struct yaml_spans *spans = s->spans;
	const struct span *v = &spans->items[c->span];
	uint32_t behind = v->anchor_end ? v->anchor_end : v->colon_end;

	if (v->shape == SPAN_EMPTY && !behind) {
		place_behind_key(s, c, value, len);
		return;
	}
	yaml_place_untag(s, c);
	switch (v->shape) {
	case SPAN_EMPTY:
		insert_value(s, behind, c->depth, value, len);
		return;
	case SPAN_ALIAS:
	case SPAN_SCALAR:
	case SPAN_FLOW:
		replace(s, c->depth, v->content, v->end, value, len);
		return;
	case SPAN_BLOCK_SCALAR:
		if (!stands_too_far_left(spans, c, v)) {
			replace_block_scalar(s, c, v, value, len);
			return;
		}
		break;
	case SPAN_BLOCK:
		if (yaml_line_start(spans, v->content) <= behind) {
			replace(s, c->depth, v->content, v->end, value, len);
			return;
		}
		break;
	}
	insert_value(s, behind, c->depth, value, len);
	remove_lines(s, c->depth, v->content, v->end);
}
