/* SPDX-License-Identifier: MIT
 *
 * JSON and JSON lines. doc_json_scan.c decides what is well-formed and where each
 * value stands; cJSON then makes the values, because unescaping and number
 * conversion need not be written twice. cJSON alone would not do: it accepts
 * control characters and malformed numbers, and tells no places.
 *
 * Invariant: cJSON accepts whatever the scanner passed (after the scanner's
 * patches), in the same order; so a NULL from it means it had no memory.
 * Checking uses the scanner only: no allocation, and no bound on the number of values.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "doc_build.h"
#include "doc_json_scan.h"

/* Walks the places in document order, so that all lines and columns cost one pass. */
struct place_cursor {
	const char *text; /* after the byte order mark */
	const struct json_places *places;
	size_t index;  /* into places */
	size_t offset; /* of text: line and column are those of this offset */
	uint32_t line, column;
};

struct json_build {
	struct doc_builder builder;
	struct place_cursor cursor;
	size_t len;
	cJSON *items[DOC_DEPTH_MAX]; /* per open level: the next child, NULL at its end */
};

static void cleanup_json(cJSON **item)
{
	cJSON_Delete(*item);
}

static size_t cursor_next(struct place_cursor *c)
{
	size_t target;

	assert(c->index < c->places->count);
	target = c->places->offsets[c->index++];
	for (; c->offset < target; c->offset++) {
		if (c->text[c->offset] == '\n') {
			c->line++;
			c->column = 1;
		} else {
			c->column += ((unsigned char)c->text[c->offset] & 0xc0) != 0x80;
		}
	}
	return target;
}

static int set_text(struct doc *doc, struct doc_node *node, const char *text, size_t len)
{
	node->text = doc_text_copy(doc, text, len);
	node->text_len = len;
	return node->text ? 0 : -ENOMEM;
}

static int set_number(struct json_build *b, struct doc_node *node, size_t offset, double value)
{
	const char *start = b->cursor.text + offset;
	size_t len = 0;
	int error;

	while (len < b->len - offset && start[len] && strchr("+-.0123456789eE", start[len]))
		len++;
	error = set_text(b->builder.doc, node, start, len);
	if (error)
		return error;
	node->number = len > JSON_NUMBER_CHARS_MAX ? strtod(node->text, NULL) : value;
	return 0;
}

static int add_name(struct json_build *b, const char *name)
{
	struct doc *doc = b->builder.doc;
	struct doc_node *node;

	(void)cursor_next(&b->cursor); /* for the place only */
	node = doc_node_new(doc, DOC_STRING, b->cursor.line, b->cursor.column);
	if (!node || set_text(doc, node, name, strlen(name)))
		return -ENOMEM;
	node->quoted = true;
	doc_builder_add(&b->builder, node);
	return 0;
}

static enum doc_type type_of(const cJSON *item)
{
	return cJSON_IsObject(item)   ? DOC_MAPPING
	       : cJSON_IsArray(item)  ? DOC_SEQUENCE
	       : cJSON_IsString(item) ? DOC_STRING
	       : cJSON_IsNumber(item) ? DOC_NUMBER
	       : cJSON_IsBool(item)   ? DOC_BOOL
				      : DOC_NULL;
}

/* Adds @item; an array or object is opened, its children come next. */
static int add_value(struct json_build *b, const cJSON *item)
{
	struct doc *doc = b->builder.doc;
	size_t offset = cursor_next(&b->cursor);
	struct doc_node *node = doc_node_new(doc, type_of(item), b->cursor.line, b->cursor.column);

	if (!node)
		return -ENOMEM;
	doc_builder_add(&b->builder, node);
	switch (node->type) {
	case DOC_MAPPING:
	case DOC_SEQUENCE:
		b->items[b->builder.depth] = item->child;
		doc_builder_push(&b->builder, node);
		return 0;
	case DOC_STRING:
		node->quoted = true;
		return set_text(doc, node, item->valuestring, strlen(item->valuestring));
	case DOC_NUMBER:
		return set_number(b, node, offset, item->valuedouble);
	case DOC_BOOL:
		node->boolean = cJSON_IsTrue(item);
		return set_text(doc, node, node->boolean ? "true" : "false", node->boolean ? 4 : 5);
	case DOC_NULL:
		return set_text(doc, node, "null", 4);
	}
	return 0;
}

static int build(struct json_build *b, const cJSON *root)
{
	struct doc_builder *builder = &b->builder;
	int error = add_value(b, root);

	while (!error && builder->depth) {
		cJSON *item = b->items[builder->depth - 1];

		if (!item) {
			doc_builder_pop(builder);
			continue;
		}
		b->items[builder->depth - 1] = item->next;
		if (builder->stack[builder->depth - 1].node->type == DOC_MAPPING)
			error = add_name(b, item->string);
		if (!error)
			error = add_value(b, item);
	}
	return error;
}

static int parse(const char *text, size_t len, struct json_places *places, struct doc *doc)
{
	__attribute__((cleanup(cleanup_json))) cJSON *root = cJSON_ParseWithLengthOpts(places->patched, len, NULL, 0);
	cleanup_free struct json_build *b = calloc(1, sizeof(*b));

	if (!root || !b)
		return -ENOMEM;
	b->builder.doc = doc;
	b->cursor = (struct place_cursor){.text = text, .places = places, .line = 1, .column = 1};
	b->len = len;
	return build(b, root);
}

/* @text is the whole text, @error's offset counts from @start. */
static int refuse(const char *text, const char *start, const struct json_error *error, struct reason *reason)
{
	uint32_t line, column;

	if (!reason)
		return -EBADMSG;
	doc_place(text, (size_t)(start - text) + error->offset, &line, &column);
	return doc_refuse(reason, "json", line, column, "%s", error->text);
}

int doc_parse_json(const char *text, size_t len, struct reason *reason, struct doc **ret)
{
	size_t bom = doc_bom_len(text, len);
	struct json_places places = {.count_max = DOC_NODES_MAX};
	struct json_error scan_error;
	struct doc *doc = doc_new();
	int error = doc ? 0 : -ENOMEM;

	if (!error && len > bom) {
		places.patched = malloc(len - bom);
		if (places.patched)
			memcpy(places.patched, text + bom, len - bom);
		error = places.patched ? json_scan(text + bom, len - bom, &places, &scan_error) : -ENOMEM;
		if (error == -EBADMSG)
			(void)refuse(text, text + bom, &scan_error, reason); /* is -EBADMSG */
		if (!error)
			error = parse(text + bom, len - bom, &places, doc);
	}
	free(places.patched);
	free(places.offsets);
	if (error) {
		doc_free(doc);
		return error;
	}
	*ret = doc;
	return 0;
}

int doc_check_json(const char *text, size_t len, struct reason *reason)
{
	size_t bom = doc_bom_len(text, len);
	struct json_error scan_error;
	int error;

	if (len == bom) /* also: no text at all */
		return 0;
	error = json_scan(text + bom, len - bom, NULL, &scan_error);
	return error == -EBADMSG ? refuse(text, text + bom, &scan_error, reason) : error;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

int doc_check_jsonl(const char *text, size_t len, struct reason *reason)
{
	const char *end, *line, *newline;
	struct json_error scan_error;
	size_t line_len;
	int error;

	if (!len)
		return 0;
	end = text + len;
	for (line = text + doc_bom_len(text, len); line < end; line += line_len + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		line_len = (size_t)((newline ? newline : end) - line);
		if (is_blank(line, line_len))
			continue;
		error = json_scan(line, line_len, NULL, &scan_error);
		if (error)
			return error == -EBADMSG ? refuse(text, line, &scan_error, reason) : error;
		if (!newline)
			break;
	}
	return 0;
}
