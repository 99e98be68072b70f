/* SPDX-License-Identifier: MIT
 *
 * Decompressed blocks by position, least recently used out first, bounded in bytes.
 * Blocks are immutable, so nothing is ever invalidated. Out of memory means: not cached.
 */
#include <pthread.h>
#include <string.h>

#include <uthash.h>

#include "engine_internal.h"

struct block {
	uint64_t position;
	size_t len;
	UT_hash_handle hh; /* insertion order is the LRU order */
	char data[];
};

struct block_cache {
	pthread_mutex_t lock;
	struct block *blocks;
	size_t bytes, bytes_max;
};

struct block_cache *block_cache_new(size_t bytes_max)
{
	struct block_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	c->bytes_max = bytes_max;
	return c;
}

static void block_drop(struct block_cache *c, struct block *b)
{
	HASH_DEL(c->blocks, b);
	c->bytes -= b->len;
	free(b);
}

void block_cache_free(struct block_cache *c)
{
	if (!c)
		return;
	while (c->blocks)
		block_drop(c, c->blocks);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

bool block_cache_get(struct block_cache *c, uint64_t position, size_t skip, void *buf, size_t len)
{
	struct block *b;
	bool hit = false;

	pthread_mutex_lock(&c->lock);
	HASH_FIND(hh, c->blocks, &position, sizeof(position), b);
	if (b && skip <= b->len && len <= b->len - skip) {
		memcpy(buf, b->data + skip, len);
		HASH_DEL(c->blocks, b);
		HASH_ADD(hh, c->blocks, position, sizeof(b->position), b);
		hit = true;
	}
	pthread_mutex_unlock(&c->lock);
	return hit;
}

void block_cache_put(struct block_cache *c, uint64_t position, const void *data, size_t len)
{
	struct block *b, *old;

	if (len > c->bytes_max / 4)
		return;
	b = malloc(sizeof(*b) + len);
	if (!b)
		return;
	b->position = position;
	b->len = len;
	memcpy(b->data, data, len);
	pthread_mutex_lock(&c->lock);
	HASH_FIND(hh, c->blocks, &position, sizeof(position), old);
	if (old)
		block_drop(c, old);
	while (c->blocks && c->bytes + len > c->bytes_max)
		block_drop(c, c->blocks);
	HASH_ADD(hh, c->blocks, position, sizeof(b->position), b);
	c->bytes += len;
	pthread_mutex_unlock(&c->lock);
}
