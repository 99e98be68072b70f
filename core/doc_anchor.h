/* SPDX-License-Identifier: MIT
 *
 * Private to core/doc_yaml.c: the anchors of one YAML document, by name.
 */
#ifndef MILESTONEFS_DOC_ANCHOR_H
#define MILESTONEFS_DOC_ANCHOR_H

#include <stdint.h>

#include "doc.h"

/** Distinct anchors of one document; bounds the memory of a check. */
#define DOC_ANCHORS_MAX 65536

struct doc_anchor {
	char *name; /* owned */
	uint64_t hash;
	struct doc_node *node; /* latest node of that name; NULL when only checking */
	uint32_t open_depth;   /* level of that node while it is still open, else 0 */
};

/** Open addressing over an append-only array; zero-initialised is empty. */
struct doc_anchors {
	struct doc_anchor *items;
	size_t count, cap;
	uint32_t *slots;   /* index into items plus 1; 0 is free */
	size_t slot_count; /* a power of two, at least twice count */
};

/** Borrowed until the next put or clear; NULL when there is none. */
struct doc_anchor *doc_anchors_get(const struct doc_anchors *a, const char *name);
/** Find or add @name. Returns 0, -ENOMEM, or -E2BIG when there are DOC_ANCHORS_MAX others. */
int doc_anchors_put(struct doc_anchors *a, const char *name, struct doc_anchor **ret);
/** Forget all anchors and free the memory. */
void doc_anchors_clear(struct doc_anchors *a);

#endif
