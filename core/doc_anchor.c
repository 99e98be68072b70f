/* SPDX-License-Identifier: MIT
 *
 * A small hash table from anchor names to what they name. It lives only while
 * one YAML document is parsed and knows nothing of YAML. On -ENOMEM the table
 * is unchanged.
 */
#include "doc_anchor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_name(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
	return hash ^ hash >> 32;
}

/* The slot that holds @name, or the free one where it belongs. */
static uint32_t *find_slot(const struct doc_anchors *a, const char *name, uint64_t hash)
{
	size_t mask = a->slot_count - 1, at = hash & mask;

	for (;; at = (at + 1) & mask) {
		const struct doc_anchor *item;

		if (!a->slots[at])
			return &a->slots[at];
		item = &a->items[a->slots[at] - 1];
		if (item->hash == hash && !strcmp(item->name, name))
			return &a->slots[at];
	}
}

static int grow(struct doc_anchors *a)
{
	size_t slot_count = a->slot_count ? a->slot_count * 2 : 16;
	uint32_t *slots = calloc(slot_count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < a->count; i++) {
		size_t at = a->items[i].hash & (slot_count - 1);

		while (slots[at])
			at = (at + 1) & (slot_count - 1);
		slots[at] = (uint32_t)i + 1;
	}
	free(a->slots);
	a->slots = slots;
	a->slot_count = slot_count;
	return 0;
}

struct doc_anchor *doc_anchors_get(const struct doc_anchors *a, const char *name)
{
	uint32_t slot = a->slot_count ? *find_slot(a, name, hash_name(name)) : 0;

	return slot ? &a->items[slot - 1] : NULL;
}

int doc_anchors_put(struct doc_anchors *a, const char *name, struct doc_anchor **ret)
{
	struct doc_anchor *found = doc_anchors_get(a, name);
	uint64_t hash;
	char *copy;

	if (found) {
		*ret = found;
		return 0;
	}
	if (a->count == DOC_ANCHORS_MAX)
		return -E2BIG;
	if ((a->count + 1) * 2 > a->slot_count && grow(a))
		return -ENOMEM;
	if (array_reserve(&a->items, &a->cap, a->count + 1, sizeof(*a->items)))
		return -ENOMEM;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	hash = hash_name(name);
	a->items[a->count] = (struct doc_anchor){.name = copy, .hash = hash};
	*find_slot(a, name, hash) = (uint32_t)a->count + 1;
	*ret = &a->items[a->count++];
	return 0;
}

void doc_anchors_clear(struct doc_anchors *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->items[i].name);
	free(a->items);
	free(a->slots);
	*a = (struct doc_anchors){0};
}
