/* SPDX-License-Identifier: MIT
 *
 * Documents: their memory, looking things up in them, and naming places in
 * their text. The parsers (doc_yaml.c, doc_json.c) make the nodes.
 *
 * All memory of a document comes from chunks that double from 4 KiB to 1 MiB,
 * so that a small file costs one allocation, a million nodes a hundred, and
 * freeing is a short list. Nothing is freed before the document is.
 */
#include "doc.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc_build.h"

#define CHUNK_BYTES_MIN 4096
#define CHUNK_BYTES_MAX (1u << 20)

struct doc_chunk {
	struct doc_chunk *older;
	size_t bytes; /* of data */
	_Alignas(max_align_t) char data[];
};

struct doc *doc_new(void)
{
	return calloc(1, sizeof(struct doc));
}

void doc_free(struct doc *doc)
{
	if (!doc)
		return;
	for (struct doc_chunk *chunk = doc->chunks, *older; chunk; chunk = older) {
		older = chunk->older;
		free(chunk);
	}
	free(doc);
}

/* Borrow @len bytes of the document's memory, aligned to @align (a power of two). */
static void *doc_alloc(struct doc *doc, size_t len, size_t align)
{
	struct doc_chunk *chunk = doc->chunks;
	size_t start = ALIGN_UP(doc->used, align);

	if (!chunk || start > chunk->bytes || len > chunk->bytes - start) {
		size_t bytes = chunk ? MIN(chunk->bytes * 2, CHUNK_BYTES_MAX) : CHUNK_BYTES_MIN;
		struct doc_chunk *fresh;

		bytes = MAX(bytes, len);
		if (bytes > SIZE_MAX - sizeof(*fresh))
			return NULL;
		fresh = malloc(sizeof(*fresh) + bytes);
		if (!fresh)
			return NULL;
		fresh->bytes = bytes;
		fresh->older = chunk;
		doc->chunks = chunk = fresh;
		start = 0;
	}
	doc->used = start + len;
	return chunk->data + start;
}

struct doc_node *doc_node_new(struct doc *doc, enum doc_type type, uint32_t line, uint32_t column)
{
	struct doc_node *node = doc_alloc(doc, sizeof(*node), _Alignof(struct doc_node));

	if (!node)
		return NULL;
	*node = (struct doc_node){.type = type, .line = line, .column = column, .text = ""};
	doc->node_count++;
	return node;
}

const char *doc_text_copy(struct doc *doc, const char *text, size_t len)
{
	char *copy;

	if (!len)
		return "";
	if (len == SIZE_MAX)
		return NULL;
	copy = doc_alloc(doc, len + 1, 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

void doc_builder_add(struct doc_builder *b, struct doc_node *node)
{
	struct doc_frame *top;

	if (!b->depth) {
		b->doc->root = node;
		return;
	}
	top = &b->stack[b->depth - 1];
	if (top->node->type == DOC_MAPPING && !top->key) {
		top->key = node;
		return;
	}
	node->key = top->key;
	top->key = NULL;
	if (top->last)
		top->last->next = node;
	else
		top->node->child = node;
	top->last = node;
}

void doc_builder_push(struct doc_builder *b, struct doc_node *node)
{
	assert(b->depth < DOC_DEPTH_MAX);
	b->stack[b->depth++] = (struct doc_frame){.node = node};
}

void doc_builder_pop(struct doc_builder *b)
{
	assert(b->depth > 0);
	b->depth--;
}

const struct doc_node *doc_root(const struct doc *doc)
{
	return doc ? doc->root : NULL;
}

uint32_t doc_next_line(const struct doc *doc)
{
	return doc ? doc->next_line : 0;
}

static bool key_is(const struct doc_node *key, const char *name, size_t len)
{
	return key && key->type != DOC_SEQUENCE && key->type != DOC_MAPPING && key->text_len == len && !memcmp(key->text, name, len);
}

static const struct doc_node *member(const struct doc_node *node, const char *key, size_t len)
{
	const struct doc_node *found = NULL;

	if (!node || node->type != DOC_MAPPING)
		return NULL;
	for (const struct doc_node *m = node->child; m; m = m->next)
		if (key_is(m->key, key, len))
			found = m;
	return found;
}

const struct doc_node *doc_get(const struct doc_node *node, const char *key)
{
	return member(node, key, strlen(key));
}

const struct doc_node *doc_get_path(const struct doc_node *node, const char *path)
{
	for (;;) {
		size_t len = strcspn(path, ".");

		node = member(node, path, len);
		if (!node || !path[len])
			return node;
		path += len + 1;
	}
}

size_t doc_bom_len(const char *text, size_t len)
{
	return len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

void doc_place(const char *text, size_t offset, uint32_t *ret_line, uint32_t *ret_column)
{
	const char *start = text + doc_bom_len(text, offset), *end = text + offset, *newline;
	uint32_t line = 1, column = 1;

	while ((newline = memchr(start, '\n', (size_t)(end - start)))) {
		line++;
		start = newline + 1;
	}
	for (; start < end; start++)
		column += ((unsigned char)*start & 0xc0) != 0x80;
	*ret_line = line;
	*ret_column = column;
}

void doc_char_text(const char *text, size_t len, size_t offset, char out[DOC_CHAR_TEXT_BYTES])
{
	const unsigned char *p = (const unsigned char *)text + offset;
	size_t bytes = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4, bad;
	uint32_t code;

	if (*p > 0x20 && *p < 0x7f) {
		(void)snprintf(out, DOC_CHAR_TEXT_BYTES, "'%c'", *p); /* fits */
		return;
	}
	if (bytes > len - offset || !utf8_valid(text + offset, bytes, &bad)) {
		(void)snprintf(out, DOC_CHAR_TEXT_BYTES, "byte 0x%02x", *p); /* fits */
		return;
	}
	code = bytes == 1 ? *p : *p & (0xffu >> (bytes + 1));
	for (size_t i = 1; i < bytes; i++)
		code = code << 6 | (p[i] & 0x3f);
	(void)snprintf(out, DOC_CHAR_TEXT_BYTES, "U+%04X", code); /* fits */
}

int doc_refuse(struct reason *reason, const char *rule, uint32_t line, uint32_t column, const char *fmt, ...)
{
	char text[sizeof(reason->text)];
	va_list ap;

	if (!reason)
		return -EBADMSG;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* a longer sentence is cut */
	va_end(ap);
	(void)reason_set(reason, -EBADMSG, rule, "%s", text);
	reason->line = line;
	reason->column = column;
	return -EBADMSG;
}
