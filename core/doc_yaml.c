/* SPDX-License-Identifier: MIT
 *
 * YAML by libyaml's event parser: one loop for checking and for parsing, which
 * differ only in whether nodes are made. This file adds what libyaml leaves
 * open: UTF-8 and NUL before it starts, a bound on depth (libyaml's own scanner is
 * iterative and looks at most 1024 characters ahead, so the bound holds for it
 * too), anchors, and sentences with places counted from 1.
 *
 * Aliases are references and are never expanded, so the cost is linear in the text.
 * An alias inside the node that it names would make the nodes a cycle: refused.
 * libyaml compares each %TAG directive with all before it, and each tag with all
 * directives: TAG_LINES_MAX keeps that linear.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "doc_anchor.h"
#include "doc_build.h"
#include "doc_yaml_scalar.h"

#define TAG_LINES_MAX 64

struct yaml_run {
	yaml_parser_t parser;
	const char *text; /* after the byte order mark */
	size_t len;
	struct reason *reason;
	struct doc_builder *builder; /* NULL: no nodes are made (any more) */
	struct doc *doc;             /* nodes as long as builder is set; NULL: check only */
	struct doc_anchors anchors;  /* of the current document */
	uint32_t depth;
	uint32_t open_anchors[DOC_DEPTH_MAX]; /* per level: index of the node's anchor plus 1, or 0 */
};

__attribute__((format(printf, 3, 4))) static int refuse_at(struct yaml_run *run, const yaml_event_t *event, const char *fmt, ...)
{
	const yaml_mark_t *mark = &event->start_mark;
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* a longer sentence is cut */
	va_end(ap);
	return doc_refuse(run->reason, "yaml", (uint32_t)mark->line + 1, (uint32_t)mark->column + 1, "%s", text);
}

/* --- libyaml's errors, as sentences --- */

static int refuse_bytes(struct yaml_run *run, size_t offset, const char *problem)
{
	char found[DOC_CHAR_TEXT_BYTES] = "the end";
	uint32_t line, column;

	offset = MIN(offset, run->len);
	doc_place(run->text, offset, &line, &column);
	if (offset < run->len)
		doc_char_text(run->text, run->len, offset, found);
	return doc_refuse(run->reason, "yaml", line, column, "%s (%s)", problem, found);
}

/* The byte at a mark; marks count characters. Linear: for errors. */
static char byte_at(const struct yaml_run *run, const yaml_mark_t *mark)
{
	size_t at = 0;

	for (size_t chars = 0; at < run->len; at++)
		if (((unsigned char)run->text[at] & 0xc0) != 0x80 && chars++ == mark->index)
			return run->text[at];
	return '\0';
}

static int refuse_parser(struct yaml_run *run)
{
	const yaml_parser_t *parser = &run->parser;
	const yaml_mark_t *at = &parser->problem_mark, *from = &parser->context_mark;
	const char *problem = parser->problem ? parser->problem : "not YAML";
	const char *tab, *context = parser->context ? parser->context : "";
	char begun[48] = "";

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR)
		return refuse_bytes(run, parser->problem_offset, problem);
	if (*context && from->line < at->line)
		(void)snprintf(begun, sizeof(begun), " that begins at line %zu", from->line + 1); /* fits */
	tab = byte_at(run, at) == '\t' && !strstr(problem, "tab ") ? " (a tab; YAML is indented by spaces)" : "";
	return doc_refuse(
		run->reason, "yaml", (uint32_t)at->line + 1, (uint32_t)at->column + 1, "%s%s%s%s%s", problem, *context ? " " : "", context, begun, tab);
}

/* --- nodes --- */

static int new_node(struct yaml_run *run, enum doc_type type, const yaml_event_t *event, struct doc_node **ret)
{
	struct doc_node *node = NULL;

	if (run->builder) {
		if (run->doc->node_count == DOC_NODES_MAX)
			return refuse_at(run, event, "more than %d nodes", DOC_NODES_MAX);
		node = doc_node_new(run->doc, type, (uint32_t)event->start_mark.line + 1, (uint32_t)event->start_mark.column + 1);
		if (!node)
			return -ENOMEM;
		doc_builder_add(run->builder, node);
	}
	*ret = node;
	return 0;
}

/* @open_depth: the level of the node that is being opened, 0 for a scalar. */
static int define_anchor(struct yaml_run *run, const yaml_event_t *event, const char *name, struct doc_node *node, uint32_t open_depth)
{
	struct doc_anchor *anchor;
	int error;

	if (!name)
		return 0;
	error = doc_anchors_put(&run->anchors, name, &anchor);
	if (error == -E2BIG)
		return refuse_at(run, event, "more than %d anchors", DOC_ANCHORS_MAX);
	if (error)
		return error;
	anchor->node = node;
	anchor->open_depth = open_depth;
	if (open_depth)
		run->open_anchors[open_depth - 1] = (uint32_t)(anchor - run->anchors.items) + 1;
	return 0;
}

static int on_scalar(struct yaml_run *run, const yaml_event_t *event)
{
	struct doc_node *node;
	int error = new_node(run, DOC_STRING, event, &node);

	if (error)
		return error;
	if (node) {
		node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
		node->text_len = event->data.scalar.length;
		node->text = doc_text_copy(run->doc, (const char *)event->data.scalar.value, node->text_len);
		if (!node->text)
			return -ENOMEM;
		yaml_scalar_resolve(node, (const char *)event->data.scalar.tag);
	}
	return define_anchor(run, event, (const char *)event->data.scalar.anchor, node, 0);
}

static int on_open(struct yaml_run *run, const yaml_event_t *event, enum doc_type type, const yaml_char_t *anchor)
{
	struct doc_node *node;
	int error;

	if (run->depth == DOC_DEPTH_MAX)
		return refuse_at(run, event, "nested deeper than %d levels", DOC_DEPTH_MAX);
	error = new_node(run, type, event, &node);
	if (error)
		return error;
	run->open_anchors[run->depth++] = 0;
	if (node)
		doc_builder_push(run->builder, node);
	return define_anchor(run, event, (const char *)anchor, node, run->depth);
}

static int on_close(struct yaml_run *run)
{
	uint32_t index = run->open_anchors[run->depth - 1];

	/* a node within may have taken the name, but it is closed by now too */
	if (index)
		run->anchors.items[index - 1].open_depth = 0;
	run->depth--;
	if (run->builder)
		doc_builder_pop(run->builder);
	return 0;
}

static int on_alias(struct yaml_run *run, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	const struct doc_anchor *anchor = doc_anchors_get(&run->anchors, name);
	struct doc_node *node, *target;
	int error;

	if (!anchor)
		return refuse_at(run, event, "alias '*%.64s' names no anchor that stands before it", name);
	if (anchor->open_depth)
		return refuse_at(run, event, "alias '*%.64s' is inside the node that it names", name);
	error = new_node(run, DOC_NULL, event, &node);
	if (error || !node)
		return error;
	target = anchor->node;
	node->type = target->type;
	node->text = target->text;
	node->text_len = target->text_len;
	node->boolean = target->boolean;
	node->number = target->number;
	node->quoted = target->quoted;
	node->child = target->child;
	node->target = target;
	return 0;
}

static int on_event(struct yaml_run *run, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(run, event);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(run, event, DOC_SEQUENCE, event->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		return on_open(run, event, DOC_MAPPING, event->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(run);
	case YAML_ALIAS_EVENT:
		return on_alias(run, event);
	case YAML_DOCUMENT_END_EVENT:
		doc_anchors_clear(&run->anchors); /* anchors hold within one document */
		run->builder = NULL;              /* only the first document is returned */
		return 0;
	case YAML_DOCUMENT_START_EVENT:
		if (run->doc && !run->builder && !run->doc->next_line)
			run->doc->next_line = (uint32_t)event->start_mark.line + 1;
		return 0;
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_NO_EVENT:
		return 0;
	}
	return 0;
}

static int run_events(struct yaml_run *run)
{
	yaml_event_type_t type;
	yaml_event_t event;
	int error;

	do {
		if (!yaml_parser_parse(&run->parser, &event))
			return refuse_parser(run);
		type = event.type;
		error = on_event(run, &event);
		yaml_event_delete(&event);
	} while (!error && type != YAML_STREAM_END_EVENT);
	return error;
}

/* --- before libyaml --- */

/* The next line by YAML 1.1, where U+0085, U+2028 and U+2029 break lines too. */
static const char *line_after(const char *line, const char *end)
{
	for (const char *p = line; p < end; p++) {
		size_t left = (size_t)(end - p);

		if (*p == '\n' || *p == '\r')
			return p + 1;
		if (left >= 2 && !memcmp(p, "\xc2\x85", 2))
			return p + 2;
		if (left >= 3 && (!memcmp(p, "\xe2\x80\xa8", 3) || !memcmp(p, "\xe2\x80\xa9", 3)))
			return p + 3;
	}
	return end;
}

/* Too many %TAG lines in a row (only comments, blanks and directives between)? */
static int check_tag_lines(struct yaml_run *run)
{
	const char *end = run->text + run->len;
	uint32_t line_number, column;
	unsigned count = 0;

	if (!memmem(run->text, run->len, "%TAG", 4))
		return 0;
	for (const char *line = run->text; line < end; line = line_after(line, end)) {
		size_t left = (size_t)(end - line);

		if (left > 4 && !memcmp(line, "%TAG", 4)) {
			if (++count <= TAG_LINES_MAX)
				continue;
			doc_place(run->text, (size_t)(line - run->text), &line_number, &column);
			return doc_refuse(run->reason, "yaml", line_number, column, "more than %d %%TAG directives", TAG_LINES_MAX);
		} else if (!strchr("%# \t\r\n", *line)) {
			count = 0;
		}
	}
	return 0;
}

static int check_bytes(struct yaml_run *run)
{
	const char *nul = memchr(run->text, '\0', run->len);
	size_t bad;

	if (nul)
		return refuse_bytes(run, (size_t)(nul - run->text), "a NUL byte is not text");
	if (!utf8_valid(run->text, run->len, &bad))
		return refuse_bytes(run, bad, "this is not UTF-8");
	return check_tag_lines(run);
}

/* @doc NULL: check only. */
static int run_yaml(const char *text, size_t len, struct reason *reason, struct doc *doc)
{
	size_t bom = doc_bom_len(text, len);
	cleanup_free struct doc_builder *builder = NULL;
	cleanup_free struct yaml_run *run = NULL;
	int error;

	if (len == bom)
		return 0;
	run = calloc(1, sizeof(*run));
	builder = doc ? calloc(1, sizeof(*builder)) : NULL;
	if (!run || (doc && !builder))
		return -ENOMEM;
	run->text = text + bom;
	run->len = len - bom;
	run->reason = reason;
	run->doc = doc;
	run->builder = builder;
	if (builder)
		builder->doc = doc;
	error = check_bytes(run);
	if (error)
		return error;
	if (!yaml_parser_initialize(&run->parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&run->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&run->parser, (const unsigned char *)run->text, run->len);
	error = run_events(run);
	yaml_parser_delete(&run->parser);
	doc_anchors_clear(&run->anchors);
	return error;
}

int doc_check_yaml(const char *text, size_t len, struct reason *reason)
{
	return run_yaml(text, len, reason, NULL);
}

int doc_parse_yaml(const char *text, size_t len, struct reason *reason, struct doc **ret)
{
	struct doc *doc = doc_new();
	int error = doc ? run_yaml(text, len, reason, doc) : -ENOMEM;

	if (error) {
		doc_free(doc);
		return error;
	}
	*ret = doc;
	return 0;
}
