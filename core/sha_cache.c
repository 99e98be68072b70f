/* SPDX-License-Identifier: MIT
 *
 * SHA-256 of file versions, in a direct-mapped table: a collision overwrites, a miss is recomputed by
 * reading the version. Keyed by inode and the transaction that made the version.
 */
#include <pthread.h>

#include "engine_internal.h"

#define SHA_CACHE_SLOTS 16384u

struct sha_slot {
	uint64_t ino, born;
	struct sha256 sha;
};

struct sha_cache {
	pthread_mutex_t lock;
	struct sha_slot slots[SHA_CACHE_SLOTS];
};

struct sha_cache *sha_cache_new(void)
{
	struct sha_cache *c = calloc(1, sizeof(*c));

	if (c)
		pthread_mutex_init(&c->lock, NULL);
	return c;
}

void sha_cache_free(struct sha_cache *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct sha_slot *sha_slot(struct sha_cache *c, uint64_t ino)
{
	return &c->slots[ino * UINT64_C(0x9E3779B97F4A7C15) >> 50]; /* Fibonacci hashing to 14 bits */
}

bool sha_cache_get(struct sha_cache *c, uint64_t ino, uint64_t born, struct sha256 *ret)
{
	struct sha_slot *s = sha_slot(c, ino);
	bool hit;

	pthread_mutex_lock(&c->lock);
	hit = s->ino == ino && s->born == born;
	if (hit)
		*ret = s->sha;
	pthread_mutex_unlock(&c->lock);
	return hit;
}

void sha_cache_put(struct sha_cache *c, uint64_t ino, uint64_t born, const struct sha256 *sha)
{
	struct sha_slot *s = sha_slot(c, ino);

	pthread_mutex_lock(&c->lock);
	*s = (struct sha_slot){.ino = ino, .born = born, .sha = *sha};
	pthread_mutex_unlock(&c->lock);
}
