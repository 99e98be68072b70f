/* SPDX-License-Identifier: MIT
 *
 * Running SHA-256 states of files that are being appended to, so that an append hashes what it adds and not the file. A state belongs to one
 * version; whoever takes it owns it, and gives it back under the version it has been carried on to. Least recently used out first.
 */
#include <pthread.h>

#include <uthash.h>

#include "engine_internal.h"

#define HASH_RESUME_MAX 256

struct resumable {
	uint64_t ino, born;
	struct sha256_state *state;
	UT_hash_handle hh; /* insertion order is the LRU order */
};

struct hash_resume {
	pthread_mutex_t lock;
	struct resumable *files;
};

struct hash_resume *hash_resume_new(void)
{
	struct hash_resume *c = calloc(1, sizeof(*c));

	if (c)
		pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void resumable_free(struct resumable *f)
{
	sha256_free(f->state);
	free(f);
}

void hash_resume_free(struct hash_resume *c)
{
	if (!c)
		return;
	while (c->files) {
		struct resumable *f = c->files;

		HASH_DEL(c->files, f);
		resumable_free(f);
	}
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct resumable *resumable_take(struct hash_resume *c, uint64_t ino)
{
	struct resumable *f;

	HASH_FIND(hh, c->files, &ino, sizeof(ino), f);
	if (f)
		HASH_DEL(c->files, f);
	return f;
}

struct sha256_state *hash_resume_take(struct hash_resume *c, uint64_t ino, uint64_t born)
{
	struct sha256_state *state = NULL;
	struct resumable *f;

	pthread_mutex_lock(&c->lock);
	f = resumable_take(c, ino);
	pthread_mutex_unlock(&c->lock);
	if (!f)
		return NULL;
	if (f->born == born) {
		state = f->state;
		f->state = NULL;
	}
	resumable_free(f); /* of another version: of no use to anybody any more */
	return state;
}

void hash_resume_put(struct hash_resume *c, uint64_t ino, uint64_t born, struct sha256_state *state)
{
	struct resumable *f = calloc(1, sizeof(*f)), *old;

	if (!f) {
		sha256_free(state);
		return;
	}
	*f = (struct resumable){.ino = ino, .born = born, .state = state};
	pthread_mutex_lock(&c->lock);
	old = resumable_take(c, ino);
	if (!old && HASH_COUNT(c->files) >= HASH_RESUME_MAX) {
		old = c->files;
		HASH_DEL(c->files, old);
	}
	HASH_ADD(hh, c->files, ino, sizeof(f->ino), f);
	pthread_mutex_unlock(&c->lock);
	if (old)
		resumable_free(old);
}
