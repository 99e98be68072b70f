/* SPDX-License-Identifier: MIT
 *
 * L2. A parsed YAML or JSON document: one node type for both, with the place
 * of each node in the text. libyaml and cJSON do the parsing.
 *
 * Bounded: depth DOC_DEPTH_MAX, DOC_NODES_MAX nodes, aliases resolved by
 * reference and never expanded, input length given. Immutable once parsed, so
 * it can be read by several threads.
 */
#ifndef MILESTONEFS_DOC_H
#define MILESTONEFS_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util.h"

#define DOC_DEPTH_MAX 256
#define DOC_NODES_MAX 1000000

enum doc_type { DOC_NULL, DOC_BOOL, DOC_NUMBER, DOC_STRING, DOC_SEQUENCE, DOC_MAPPING };

struct doc_node {
	enum doc_type type;
	uint32_t line; /**< 1-based place of the node's first character */
	uint32_t column;
	const char *text; /**< scalars: decoded value, NUL-terminated; as written for numbers */
	size_t text_len;
	bool boolean;            /**< DOC_BOOL */
	double number;           /**< DOC_NUMBER */
	bool quoted;             /**< YAML: a quoted or block scalar, hence always DOC_STRING */
	struct doc_node *key;    /**< members of a mapping: the key node; else NULL */
	struct doc_node *child;  /**< first item or member (the value node) */
	struct doc_node *next;   /**< next sibling */
	struct doc_node *target; /**< YAML alias: the anchored node (type, value and child mirror it); else NULL */
};

struct doc; /* owns every node */

/**
 * Parse one YAML 1.1 stream (core schema for plain scalars; several documents
 * are accepted and only the first is returned) or one JSON text (RFC 8259).
 * Both refuse text that is not UTF-8 or contains NUL, and say line and column in @reason (NULL allowed).
 * JSON strings: an escaped NUL or lone surrogate, legal but not text, reads as U+FFFD.
 * YAML: an alias inside the node it names (a cycle) is refused, as is one without an anchor.
 * An empty (or, for YAML, comment-only) text gives a document whose root is NULL.
 * Duplicate keys of one mapping are accepted (tools write them); doc_get() returns the last.
 * Returns 0; -EBADMSG with @reason; -ENOMEM.
 */
int doc_parse_yaml(const char *text, size_t len, struct reason *reason, struct doc **ret);
int doc_parse_json(const char *text, size_t len, struct reason *reason, struct doc **ret);
void doc_free(struct doc *doc);

/** Borrowed; NULL for an empty document. */
const struct doc_node *doc_root(const struct doc *doc);
/** The line at which a second document of the stream begins; 0: there is none. */
uint32_t doc_next_line(const struct doc *doc);
/** Member of a mapping by key; NULL when @node is no mapping, is NULL, or has no such key. */
const struct doc_node *doc_get(const struct doc_node *node, const char *key);
/** Nested member by a dotted path, e.g. "session.id". */
const struct doc_node *doc_get_path(const struct doc_node *node, const char *path);

/**
 * Only check, without building nodes: the same verdicts and reasons as parsing, but for
 * DOC_NODES_MAX, which bounds memory and does not apply here (every document of a YAML stream
 * is checked, by both). Memory: O(depth), for YAML plus its anchors (at most 65536 a document). JSONL: each non-empty line is one JSON
 * value; a last line without newline must be whole too. `reason->line` counts from the start of the text.
 * Returns 0, -EBADMSG or -ENOMEM.
 */
int doc_check_yaml(const char *text, size_t len, struct reason *reason);
int doc_check_json(const char *text, size_t len, struct reason *reason);
int doc_check_jsonl(const char *text, size_t len, struct reason *reason);

#endif
