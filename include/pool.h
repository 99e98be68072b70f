/* SPDX-License-Identifier: MIT
 *
 * L0. Memory for many small objects that live as long as their owner: slabs of
 * objects of one size without a header each, and a bump allocator for text.
 * Both separate getting memory, which may fail, from handing it out, which cannot.
 *
 * Locking: none; the owner's lock protects them.
 */
#ifndef MILESTONEFS_POOL_H
#define MILESTONEFS_POOL_H

#include <stddef.h>
#include <stdint.h>

struct pool_slab;

struct pool {
	size_t object_bytes; /**< at least a pointer's, a multiple of its alignment */
	size_t free_count;   /**< objects that pool_get() can still hand out */
	void *free;          /**< chain of objects put back */
	char *next, *end;    /**< untouched rest of the newest slab */
	struct pool_slab *slabs;
	size_t slab_objects; /**< size of the newest slab; the next is twice as large, up to a limit */
	size_t total_bytes;  /**< allocated */
};

void pool_init(struct pool *p, size_t object_bytes);
/** Free every object at once. */
void pool_release(struct pool *p);
/** Make the next @count calls of pool_get() succeed. Reservations do not add up. 0 or -ENOMEM. */
int pool_reserve(struct pool *p, size_t count);
/** A zeroed object. Needs a reservation. */
void *pool_get(struct pool *p);
/** Hand an object back; it may be given out again at once. */
void pool_put(struct pool *p, void *object);

struct bump_chunk;

struct bump {
	char *next, *end;
	struct bump_chunk *chunks;
	size_t used_bytes;
	size_t total_bytes; /**< allocated */
};

#define BUMP_ALIGN_MAX 8

void bump_release(struct bump *b);
/** Make bump_get() calls succeed whose sizes, each plus BUMP_ALIGN_MAX, sum up to @bytes. 0 or -ENOMEM. */
int bump_reserve(struct bump *b, size_t bytes);
/** @bytes at a multiple of @align (a power of two, at most BUMP_ALIGN_MAX). Needs a reservation. */
void *bump_get(struct bump *b, size_t bytes, size_t align);

#endif
