/* SPDX-License-Identifier: MIT
 *
 * Slab pools and the bump allocator. Slabs double from a page's worth to 64 KiB, so
 * that a small tree stays small and a large one calls malloc rarely. Nothing
 * goes back to the system before release; objects put back are chained through their first word.
 *
 * Invariant: free_count is the length of the chain plus the objects between next and end.
 * Only the reserve functions can fail, and then nothing has changed.
 */
#include "pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define SLAB_BYTES_FIRST 4000
#define SLAB_BYTES_LARGEST (64u << 10)
#define CHUNK_BYTES_FIRST 4000
#define CHUNK_BYTES_LARGEST (64u << 10)

struct pool_slab {
	struct pool_slab *next;
	_Alignas(16) char objects[];
};

struct bump_chunk {
	struct bump_chunk *next;
	_Alignas(16) char bytes[];
};

void pool_init(struct pool *p, size_t object_bytes)
{
	assert(object_bytes >= sizeof(void *) && object_bytes % sizeof(void *) == 0);
	*p = (struct pool){.object_bytes = object_bytes};
}

void pool_release(struct pool *p)
{
	struct pool_slab *next;

	for (struct pool_slab *s = p->slabs; s; s = next) {
		next = s->next;
		free(s);
	}
	pool_init(p, p->object_bytes);
}

static void chain(struct pool *p, void *object)
{
	memcpy(object, &p->free, sizeof(p->free));
	p->free = object;
}

int pool_reserve(struct pool *p, size_t count)
{
	size_t first = MAX(SLAB_BYTES_FIRST / p->object_bytes, (size_t)1);
	size_t largest = MAX(SLAB_BYTES_LARGEST / p->object_bytes, (size_t)1);
	size_t n, bytes;
	struct pool_slab *s;

	if (count <= p->free_count)
		return 0;
	n = MAX(MIN(MAX(p->slab_objects * 2, first), largest), count - p->free_count);
	if (__builtin_mul_overflow(n, p->object_bytes, &bytes) || __builtin_add_overflow(bytes, sizeof(*s), &bytes))
		return -ENOMEM;
	s = malloc(bytes);
	if (!s)
		return -ENOMEM;
	for (; p->next != p->end; p->next += p->object_bytes)
		chain(p, p->next);
	s->next = p->slabs;
	p->slabs = s;
	p->slab_objects = MIN(n, largest);
	p->next = s->objects;
	p->end = s->objects + n * p->object_bytes;
	p->free_count += n;
	p->total_bytes += bytes;
	return 0;
}

void *pool_get(struct pool *p)
{
	void *object = p->free;

	assert(p->free_count);
	p->free_count--;
	if (object) {
		memcpy(&p->free, object, sizeof(p->free));
	} else {
		object = p->next;
		p->next += p->object_bytes;
	}
	memset(object, 0, p->object_bytes);
	return object;
}

void pool_put(struct pool *p, void *object)
{
	chain(p, object);
	p->free_count++;
}

void bump_release(struct bump *b)
{
	struct bump_chunk *next;

	for (struct bump_chunk *c = b->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	*b = (struct bump){0};
}

int bump_reserve(struct bump *b, size_t bytes)
{
	size_t want;
	struct bump_chunk *c;

	if (bytes <= (size_t)(b->end - b->next))
		return 0;
	want = MAX(bytes, MIN(MAX(b->total_bytes, (size_t)CHUNK_BYTES_FIRST), (size_t)CHUNK_BYTES_LARGEST));
	if (want > SIZE_MAX / 2)
		return -ENOMEM;
	c = malloc(sizeof(*c) + want);
	if (!c)
		return -ENOMEM;
	c->next = b->chunks;
	b->chunks = c;
	b->next = c->bytes;
	b->end = c->bytes + want;
	b->total_bytes += sizeof(*c) + want;
	return 0;
}

void *bump_get(struct bump *b, size_t bytes, size_t align)
{
	size_t pad = -(uintptr_t)b->next & (align - 1);
	char *p;

	assert(align <= BUMP_ALIGN_MAX && pad + bytes <= (size_t)(b->end - b->next));
	p = b->next + pad;
	b->next = p + bytes;
	b->used_bytes += bytes;
	return p;
}
