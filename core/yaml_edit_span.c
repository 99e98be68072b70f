/* SPDX-License-Identifier: MIT
 *
 * Where each node of the first document stands in the text, in bytes. What the nodes say is doc.h's business: members are found by
 * their number here.
 *
 * libyaml's marks are taken for what they are good for and mended where they are not: they count characters; a block collection
 * ends where the next token begins, so its end is taken from its last node; a value that is not written has the place of the next
 * token, so the ':' before it is looked up; an anchor or a tag belongs to the node's start.
 *
 * libyaml visits a text in order, so the one cursor that turns characters into bytes hardly ever goes back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "yaml_edit_private.h"

struct span_run {
	struct yaml_spans *s;
	yaml_parser_t parser;
	size_t cursor_char; /* the same place twice */
	uint32_t cursor_byte;
	uint32_t open[DOC_DEPTH_MAX];
	uint32_t key[DOC_DEPTH_MAX]; /* per level: the key that waits for its value */
	uint32_t depth;
	bool done;
};

/* --- the text --- */

uint32_t yaml_break_at(const struct yaml_spans *s, uint32_t at)
{
	const char *p = s->text + at;
	uint32_t left = s->len - at;

	if (!left)
		return 0;
	if (*p == '\n')
		return 1;
	if (*p == '\r')
		return left >= 2 && p[1] == '\n' ? 2 : 1;
	if (left >= 2 && !memcmp(p, "\xc2\x85", 2))
		return 2;
	return left >= 3 && (!memcmp(p, "\xe2\x80\xa8", 3) || !memcmp(p, "\xe2\x80\xa9", 3)) ? 3 : 0;
}

uint32_t yaml_line_start(const struct yaml_spans *s, uint32_t at)
{
	uint32_t from = at;

	/* a place between CR and LF is in the line before */
	if (at && at < s->len && s->text[at] == '\n' && s->text[at - 1] == '\r')
		from = --at;
	for (; from; from--)
		for (uint32_t n = 1; n <= 3 && n <= from; n++)
			if (yaml_break_at(s, from - n) == n)
				return from;
	return 0;
}

uint32_t yaml_line_end(const struct yaml_spans *s, uint32_t at)
{
	while (at < s->len && !yaml_break_at(s, at))
		at++;
	return at;
}

uint32_t yaml_line_next(const struct yaml_spans *s, uint32_t at)
{
	at = yaml_line_end(s, at);
	return at + yaml_break_at(s, at);
}

bool yaml_line_is_empty(const struct yaml_spans *s, uint32_t at)
{
	while (at < s->len && s->text[at] == ' ')
		at++;
	return at == s->len || yaml_break_at(s, at);
}

uint32_t yaml_skip_blanks(const struct yaml_spans *s, uint32_t at)
{
	while (at < s->len && (s->text[at] == ' ' || s->text[at] == '\t'))
		at++;
	return at;
}

uint32_t yaml_skip_space(const struct yaml_spans *s, uint32_t at)
{
	for (;;) {
		at = yaml_skip_blanks(s, at);
		if (at < s->len && s->text[at] == '#')
			at = yaml_line_end(s, at);
		if (!yaml_break_at(s, at))
			return at;
		at += yaml_break_at(s, at);
	}
}

/* --- marks --- */

static bool continues(const struct span_run *run, uint32_t at)
{
	return at < run->s->len && ((unsigned char)run->s->text[at] & 0xc0) == 0x80;
}

static uint32_t byte_of(struct span_run *run, const yaml_mark_t *mark)
{
	while (run->cursor_char < mark->index && run->cursor_byte < run->s->len) {
		run->cursor_char++;
		do
			run->cursor_byte++;
		while (continues(run, run->cursor_byte));
	}
	while (run->cursor_char > mark->index && run->cursor_byte) {
		run->cursor_char--;
		do
			run->cursor_byte--;
		while (run->cursor_byte && continues(run, run->cursor_byte));
	}
	return run->cursor_byte;
}

/* --- properties: the anchor and the tag before a node --- */

static uint32_t anchor_end(const struct yaml_spans *s, uint32_t at)
{
	at++;
	while (at < s->len && (s->text[at] == '_' || s->text[at] == '-' || (s->text[at] >= '0' && s->text[at] <= '9') ||
				      ((s->text[at] | 0x20) >= 'a' && (s->text[at] | 0x20) <= 'z')))
		at++;
	return at;
}

static uint32_t tag_end(const struct yaml_spans *s, uint32_t at)
{
	bool verbatim = s->len - at >= 2 && s->text[at + 1] == '<';

	while (at < s->len && yaml_skip_blanks(s, at) == at && !yaml_break_at(s, at)) {
		if (s->text[at] == (verbatim ? '>' : ','))
			return at + verbatim;
		at++;
	}
	return at;
}

/* Look for these before @limit; what comes behind may belong to another node. Returns where the content begins. */
static uint32_t read_properties(const struct yaml_spans *s, struct span *span, bool anchor, bool tag, uint32_t limit)
{
	uint32_t at = span->start;

	while (at < limit) {
		if (anchor && s->text[at] == '&') {
			at = span->anchor_end = anchor_end(s, at);
			anchor = false;
		} else if (tag && s->text[at] == '!') {
			span->tag = at;
			at = span->tag_end = tag_end(s, at);
			tag = false;
		} else {
			break;
		}
		at = yaml_skip_space(s, at);
	}
	return at;
}

/* --- nodes --- */

uint32_t yaml_block_header_end(const struct yaml_spans *s, uint32_t at)
{
	while (at < s->len && strchr("|>+-0123456789", s->text[at]))
		at++;
	return at;
}

static uint32_t spaces_at(const struct yaml_spans *s, uint32_t at)
{
	uint32_t count = 0;

	while (at + count < s->len && s->text[at + count] == ' ')
		count++;
	return count;
}

/*
 * A line of so many spaces and nothing else is blank; one of more is content. If the header says the indentation, no spaces are
 * sure to be blank; if it does not, the first line that holds something does.
 */
static uint32_t blank_spaces_max(const struct yaml_spans *s, uint32_t header, uint32_t header_end, uint32_t end)
{
	for (; header < header_end; header++)
		if (s->text[header] >= '0' && s->text[header] <= '9')
			return 0;
	for (uint32_t line = yaml_line_next(s, header); line < end; line = yaml_line_next(s, line))
		if (!yaml_line_is_empty(s, line))
			return spaces_at(s, line);
	return UINT32_MAX;
}

/*
 * libyaml ends a block scalar behind the blank lines after it, at the start of a line. They are its own only if it keeps them
 * ("|+"); else it ends with its last line that is not blank.
 */
static uint32_t block_scalar_end(const struct yaml_spans *s, uint32_t header, uint32_t end)
{
	uint32_t header_end = yaml_block_header_end(s, header), first = yaml_line_next(s, header_end), line;
	uint32_t blank_max = blank_spaces_max(s, header, header_end, end);
	bool keep = memchr(s->text + header, '+', header_end - header);

	while (end > first) {
		line = yaml_line_start(s, end);
		if (line == end)
			line = yaml_line_start(s, end - 1);
		if (keep || !yaml_line_is_empty(s, line) || spaces_at(s, line) > blank_max)
			return yaml_line_end(s, line);
		end = line;
	}
	return yaml_line_end(s, header_end);
}

/* Behind the ':' between a key and its value; 0: there is none. In block style it must be followed by something blank. */
static uint32_t find_colon(const struct yaml_spans *s, uint32_t key_end, bool flow)
{
	uint32_t at = yaml_skip_space(s, key_end);

	if (at == s->len || s->text[at] != ':')
		return 0;
	at++;
	return flow || at == s->len || yaml_skip_blanks(s, at) > at || yaml_break_at(s, at) ? at : 0;
}

static void attach(struct span_run *run, uint32_t index)
{
	struct span *items = run->s->items, *parent, *span = &items[index];
	uint32_t *key;

	if (!run->depth) {
		run->s->root = index;
		return;
	}
	parent = &items[run->open[run->depth - 1]];
	key = &run->key[run->depth - 1];
	if (parent->mapping && !*key) {
		*key = index;
		return;
	}
	if (*key) {
		span->colon_end = find_colon(run->s, items[*key].end, parent->shape == SPAN_FLOW);
		if (span->shape == SPAN_EMPTY && span->start == span->end)
			span->start = span->content = span->end = span->colon_end ? span->colon_end : items[*key].end;
		span->key = *key;
		*key = 0;
	}
	if (parent->last)
		items[parent->last].next = index;
	else
		parent->child = index;
	parent->last = index;
}

static int add(struct span_run *run, const struct span *span, uint32_t *ret)
{
	struct yaml_spans *s = run->s;

	if (array_reserve(&s->items, &s->cap, s->count + 1, sizeof(*s->items)))
		return -ENOMEM;
	s->items[s->count] = *span;
	*ret = (uint32_t)s->count++;
	return 0;
}

static int on_leaf(struct span_run *run, const yaml_event_t *event)
{
	struct span span = {.start = byte_of(run, &event->start_mark)};
	uint32_t index;
	int error;

	span.end = byte_of(run, &event->end_mark);
	span.content = span.start;
	if (event->type == YAML_ALIAS_EVENT) {
		span.shape = SPAN_ALIAS;
	} else if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.length) {
		span.shape = SPAN_EMPTY;                                    /* a plain scalar that is written has a length */
		(void)read_properties(run->s, &span, true, true, span.end); /* nothing stands behind them */
		span.content = span.end;
	} else {
		yaml_scalar_style_t style = event->data.scalar.style;

		span.content = read_properties(run->s, &span, true, true, span.end);
		span.shape = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE ? SPAN_BLOCK_SCALAR : SPAN_SCALAR;
		if (span.shape == SPAN_BLOCK_SCALAR)
			span.end = block_scalar_end(run->s, span.content, span.end);
	}
	error = add(run, &span, &index);
	if (!error)
		attach(run, index);
	return error;
}

static int on_open(struct span_run *run, const yaml_event_t *event)
{
	struct span span = {.start = byte_of(run, &event->start_mark), .mapping = event->type == YAML_MAPPING_START_EVENT};
	bool block, anchor, tag;
	uint32_t index;
	int error;

	if (span.mapping) {
		block = event->data.mapping_start.style == YAML_BLOCK_MAPPING_STYLE;
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	} else {
		block = event->data.sequence_start.style == YAML_BLOCK_SEQUENCE_STYLE;
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	}
	span.shape = block ? SPAN_BLOCK : SPAN_FLOW;
	/* only its own: a block mapping begins where its first key does, which may have some too */
	span.content = read_properties(run->s, &span, anchor, tag, run->s->len);
	if (run->depth == DOC_DEPTH_MAX)
		return -EBADMSG;
	error = add(run, &span, &index);
	if (error)
		return error;
	run->open[run->depth] = index;
	run->key[run->depth++] = 0;
	return 0;
}

static void on_close(struct span_run *run, const yaml_event_t *event)
{
	uint32_t index = run->open[--run->depth];
	struct span *span = &run->s->items[index];

	if (span->shape == SPAN_FLOW)
		span->end = byte_of(run, &event->end_mark);
	else
		span->end = span->last ? run->s->items[span->last].end : span->content;
	attach(run, index);
}

static int on_event(struct span_run *run, const yaml_event_t *event, unsigned *documents)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if ((*documents)++) {
			run->s->rest = run->s->len - byte_of(run, &event->start_mark);
			run->done = true;
		}
		return 0;
	case YAML_SCALAR_EVENT:
	case YAML_ALIAS_EVENT:
		return on_leaf(run, event);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return on_open(run, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		on_close(run, event);
		return 0;
	case YAML_STREAM_END_EVENT:
		run->done = true;
		return 0;
	default:
		return 0;
	}
}

static int run_events(struct span_run *run)
{
	unsigned documents = 0;
	yaml_event_t event;
	int error = 0;

	while (!error && !run->done) {
		if (!yaml_parser_parse(&run->parser, &event))
			return run->parser.error == YAML_MEMORY_ERROR ? -ENOMEM : -EBADMSG;
		error = on_event(run, &event, &documents);
		yaml_event_delete(&event);
	}
	return error;
}

static int parse(struct span_run *run)
{
	struct yaml_spans *s = run->s;
	uint32_t unused;
	int error = add(run, &(struct span){0}, &unused);

	if (error)
		return error;
	if (!yaml_parser_initialize(&run->parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&run->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&run->parser, (const unsigned char *)s->text, s->len);
	error = run_events(run);
	yaml_parser_delete(&run->parser);
	return error;
}

int yaml_spans_parse(struct yaml_spans *s, const char *text, size_t len)
{
	struct span_run *run;
	int error;

	*s = (struct yaml_spans){.text = text, .len = (uint32_t)len};
	if (len > INT32_MAX)
		return -EFBIG;
	run = calloc(1, sizeof(*run));
	if (!run)
		return -ENOMEM;
	run->s = s;
	error = parse(run);
	free(run);
	return error;
}

void yaml_spans_release(struct yaml_spans *s)
{
	free(s->items);
	*s = (struct yaml_spans){0};
}
