/* SPDX-License-Identifier: MIT
 *
 * Private to core/doc_*.c: the memory of a document, and the builder that
 * both parsers feed in document order.
 */
#ifndef MILESTONEFS_DOC_BUILD_H
#define MILESTONEFS_DOC_BUILD_H

#include "doc.h"

struct doc_chunk;

struct doc {
	struct doc_chunk *chunks; /* newest first */
	size_t used;              /* bytes used of the newest chunk */
	size_t node_count;
	struct doc_node *root;
	uint32_t next_line; /* where a second document begins; 0: there is none */
};

/** NULL when out of memory. Free with doc_free(). */
struct doc *doc_new(void);
/** A zeroed node that lives as long as @doc; NULL when out of memory. The text is "". */
struct doc_node *doc_node_new(struct doc *doc, enum doc_type type, uint32_t line, uint32_t column);
/** A NUL-terminated copy that lives as long as @doc; NULL when out of memory. */
const char *doc_text_copy(struct doc *doc, const char *text, size_t len);

/** Links nodes into a tree. The caller bounds the depth and keeps calls balanced. */
struct doc_builder {
	struct doc *doc;
	size_t depth;
	struct doc_frame {
		struct doc_node *node; /* an open sequence or mapping */
		struct doc_node *last; /* its last item, NULL at first */
		struct doc_node *key;  /* mapping: the key that waits for its value */
	} stack[DOC_DEPTH_MAX];
};

/** Attach @node to the innermost open node: an item, or by turns a key and its value. */
void doc_builder_add(struct doc_builder *b, struct doc_node *node);
/** Nodes added from now on go into @node, until the matching pop. */
void doc_builder_push(struct doc_builder *b, struct doc_node *node);
void doc_builder_pop(struct doc_builder *b);

/** Bytes of a UTF-8 byte order mark at the start of the text: 3 or 0. */
size_t doc_bom_len(const char *text, size_t len);
/**
 * Line and column (in characters, from 1) of @offset. Lines end at '\n' only.
 * A byte order mark at the start counts as no column. Linear: for errors.
 */
void doc_place(const char *text, size_t offset, uint32_t *ret_line, uint32_t *ret_column);
/** Name the character at @offset for a message: "'x'", "U+00E9", "byte 0xff". @offset < @len. */
#define DOC_CHAR_TEXT_BYTES 16
void doc_char_text(const char *text, size_t len, size_t offset, char out[DOC_CHAR_TEXT_BYTES]);
/** Fill @reason (NULL allowed) with a place and a sentence; returns -EBADMSG. */
int doc_refuse(struct reason *reason, const char *rule, uint32_t line, uint32_t column, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif
