/* SPDX-License-Identifier: MIT
 *
 * Attributes and extended attributes, interned: most files of a project have the
 * same few. An extended attribute (name and value) is a blob, a set of them a
 * blob-like array of pointers to such blobs, sorted by name; so a set shares with its
 * predecessor all but what changed, and equal sets are the same pointer.
 *
 * Nothing here is ever freed before the tree. Only the reserve functions can fail.
 */
#include "tree_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "checksum.h"

#define SLOTS_FIRST 16

static size_t slots_for(size_t slots, size_t count)
{
	size_t n = slots ? slots : SLOTS_FIRST;

	while (n < count) {
		if (n > SIZE_MAX / sizeof(void *) / 4)
			return 0;
		n *= 2;
	}
	return n;
}

static uint64_t attrs_hash(const struct attrs *a)
{
	uint64_t h = a->mode * UINT64_C(0x9e3779b97f4a7c15) + a->uid;

	h = h * UINT64_C(0xff51afd7ed558ccd) + a->gid;
	h = h * UINT64_C(0xff51afd7ed558ccd) + (a->atime_set ? (uint64_t)a->atime_ns + 1 : 0);
	h = h * UINT64_C(0xff51afd7ed558ccd) + (a->mtime_own ? (uint64_t)a->mtime_ns + 1 + a->mtime_set : 0);
	h = (h ^ h >> 29) * UINT64_C(0xff51afd7ed558ccd) + ((uintptr_t)a->xattrs >> 3);
	return h ^ h >> 32;
}

bool tree_attrs_same(const struct attrs *a, const struct attrs *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->atime_set == b->atime_set && a->atime_ns == b->atime_ns &&
	       a->xattrs == b->xattrs;
}

static bool attrs_equal(const struct attrs *a, const struct attrs *b)
{
	return tree_attrs_same(a, b) && a->mtime_set == b->mtime_set && a->mtime_own == b->mtime_own && a->mtime_ns == b->mtime_ns;
}

int tree_attrs_reserve(struct tree *t, size_t more)
{
	size_t slots = slots_for(t->attrs_slots, t->attrs_count + more);
	struct attrs **table, *next;

	if (pool_reserve(&t->attrs, more))
		return -ENOMEM;
	if (slots == t->attrs_slots)
		return 0;
	table = slots ? calloc(slots, sizeof(*table)) : NULL;
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < t->attrs_slots; i++)
		for (struct attrs *a = t->attrs_table[i]; a; a = next) {
			struct attrs **slot = &table[attrs_hash(a) & (slots - 1)];

			next = a->hash_next;
			a->hash_next = *slot;
			*slot = a;
		}
	free(t->attrs_table);
	t->attrs_table = table;
	t->attrs_slots = slots;
	return 0;
}

const struct attrs *tree_attrs_intern(struct tree *t, const struct attrs *want)
{
	struct attrs **slot = &t->attrs_table[attrs_hash(want) & (t->attrs_slots - 1)];
	struct attrs *a = *slot;

	while (a && !attrs_equal(a, want))
		a = a->hash_next;
	if (!a) {
		a = pool_get(&t->attrs);
		*a = *want;
		a->hash_next = *slot;
		*slot = a;
		t->attrs_count++;
	}
	return a;
}

int tree_blobs_reserve(struct tree *t, size_t more)
{
	size_t slots = slots_for(t->blob_slots, t->blob_count + more);
	struct blob **table, *next;

	if (slots == t->blob_slots)
		return 0;
	table = slots ? calloc(slots, sizeof(*table)) : NULL;
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < t->blob_slots; i++)
		for (struct blob *b = t->blobs[i]; b; b = next) {
			struct blob **slot = &table[b->hash & (slots - 1)];

			next = b->hash_next;
			b->hash_next = *slot;
			*slot = b;
		}
	free(t->blobs);
	t->blobs = table;
	t->blob_slots = slots;
	return 0;
}

/* Look for @b, freshly built at the end of the text; an equal one wins and @b's memory stays unused. */
static struct blob *blob_intern(struct tree *t, struct blob *b)
{
	struct blob **slot, *o;

	b->hash = checksum_xxh3(b->data, b->len, 0);
	slot = &t->blobs[b->hash & (t->blob_slots - 1)];
	for (o = *slot; o; o = o->hash_next)
		if (o->hash == b->hash && o->len == b->len && !memcmp(o->data, b->data, b->len))
			return o;
	b->hash_next = *slot;
	*slot = b;
	t->blob_count++;
	return b;
}

static size_t blob_bytes(size_t len)
{
	return ALIGN_UP(sizeof(struct blob) + len, (size_t)8) + BUMP_ALIGN_MAX;
}

size_t tree_xattr_bytes(size_t name_len, size_t value_len, size_t count)
{
	return blob_bytes(sizeof(uint16_t) + name_len + value_len) + blob_bytes(sizeof(struct xattrs) + (count + 1) * sizeof(void *));
}

static struct blob *blob_new(struct tree *t, size_t len)
{
	struct blob *b = bump_get(&t->text, sizeof(*b) + len, _Alignof(struct blob));

	b->len = (uint32_t)len;
	return b;
}

/* ---- extended attributes ---- */

static const char *item_name(const struct blob *b, size_t *ret_len)
{
	uint16_t len;

	memcpy(&len, b->data, sizeof(len));
	*ret_len = len;
	return b->data + sizeof(len);
}

static int item_compare(const struct blob *b, const char *name, size_t name_len)
{
	size_t len;
	const char *text = item_name(b, &len);
	int r = memcmp(text, name, MIN(len, name_len));

	return r ? r : (len > name_len) - (len < name_len);
}

/* First item not before @name; *@ret_found: it is @name itself. */
static size_t set_find(const struct xattrs *x, const char *name, size_t name_len, bool *ret_found)
{
	size_t low = 0, high = xattrs_count(x);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (item_compare(x->items[middle], name, name_len) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = low < xattrs_count(x) && !item_compare(x->items[low], name, name_len);
	return low;
}

bool tree_xattr_fits(const struct change *c, const struct attrs *a)
{
	bool found;

	if (!c->name || !c->name_len || c->name_len > 255 || memchr(c->name, '\0', c->name_len))
		return false;
	if (c->value)
		return c->value_len <= TREE_XATTR_VALUE_MAX;
	set_find(a->xattrs, c->name, c->name_len, &found);
	return found;
}

const struct xattrs *tree_xattrs_with(struct tree *t, const struct xattrs *x, const char *name, size_t name_len, const char *value, size_t value_len)
{
	const struct blob *item = NULL;
	size_t count = xattrs_count(x), at, n;
	struct xattrs *set;
	struct blob *b;
	bool found;

	at = set_find(x, name, name_len, &found);
	if (value) {
		uint16_t len = (uint16_t)name_len;

		b = blob_new(t, sizeof(len) + name_len + value_len);
		memcpy(b->data, &len, sizeof(len));
		memcpy(b->data + sizeof(len), name, name_len);
		if (value_len)
			memcpy(b->data + sizeof(len) + name_len, value, value_len);
		item = blob_intern(t, b);
	}
	n = count - found + (item != NULL);
	if (!n)
		return NULL;
	b = blob_new(t, sizeof(*set) + n * sizeof(void *));
	set = (struct xattrs *)(void *)b->data;
	set->count = n;
	n = 0;
	for (size_t i = 0; i < at; i++)
		set->items[n++] = x->items[i];
	if (item)
		set->items[n++] = item;
	for (size_t i = at + found; i < count; i++)
		set->items[n++] = x->items[i];
	return (const struct xattrs *)(const void *)blob_intern(t, b)->data;
}

int tree_xattr_get(const struct attrs *a, const char *name, size_t name_len, const char **ret_value, size_t *ret_len)
{
	bool found;
	size_t at = set_find(a->xattrs, name, name_len, &found), len;

	if (!found)
		return -ENODATA;
	*ret_value = item_name(a->xattrs->items[at], &len) + len;
	*ret_len = a->xattrs->items[at]->len - sizeof(uint16_t) - len;
	return 0;
}

int tree_xattr_list(const struct attrs *a, int (*fn)(void *arg, const char *name, size_t len), void *arg)
{
	for (size_t i = 0; i < xattrs_count(a->xattrs); i++) {
		size_t len;
		const char *name = item_name(a->xattrs->items[i], &len);
		int r = fn(arg, name, len);

		if (r)
			return r;
	}
	return 0;
}
