/* SPDX-License-Identifier: MIT
 *
 * The descriptor cache. Linear search over a few slots under one mutex: a use
 * is followed by a system call that costs far more. When every slot is in use
 * a descriptor of its own is opened and closed with the use, so a get never
 * waits and never fails for lack of slots.
 */
#include "env_files.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct slot {
	uint32_t number;
	int fd; /* -1: free */
	unsigned refs;
	bool stale; /* dropped while in use: close with the last use */
	uint64_t used_at;
};

struct env_files {
	struct env *env;
	const char *dir, *suffix;
	int flags;
	pthread_mutex_t lock; /* of all below */
	uint64_t clock;
	struct slot slots[ENV_FILES_MAX];
};

struct env_files *env_files_new(struct env *env, const char *dir, const char *suffix, int flags)
{
	struct env_files *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->env = env;
	f->dir = dir;
	f->suffix = suffix;
	f->flags = flags;
	pthread_mutex_init(&f->lock, NULL);
	for (int i = 0; i < ENV_FILES_MAX; i++)
		f->slots[i].fd = -1;
	return f;
}

void env_files_free(struct env_files *f)
{
	if (!f)
		return;
	for (int i = 0; i < ENV_FILES_MAX; i++) {
		assert(!f->slots[i].refs);
		if (f->slots[i].fd >= 0)
			env_close(f->env, f->slots[i].fd);
	}
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void env_files_path(const struct env_files *f, uint32_t number, char out[ENV_FILES_PATH_BYTES])
{
	(void)snprintf(out, ENV_FILES_PATH_BYTES, "%s/%08x%s", f->dir, (unsigned)number, f->suffix);
}

/* The slot of @number, else the one to use for it, else -1. */
static int slot_find(struct env_files *f, uint32_t number, bool *ret_hit)
{
	int best = -1;

	*ret_hit = false;
	for (int i = 0; i < ENV_FILES_MAX; i++) {
		struct slot *s = &f->slots[i];

		if (s->fd >= 0 && s->number == number && !s->stale) {
			*ret_hit = true;
			return i;
		}
		if (!s->refs &&
			(best < 0 || (s->fd < 0 && f->slots[best].fd >= 0) || ((s->fd < 0) == (f->slots[best].fd < 0) && s->used_at < f->slots[best].used_at)))
			best = i;
	}
	return best;
}

int env_files_get(struct env_files *f, uint32_t number, struct env_file *ret)
{
	char path[ENV_FILES_PATH_BYTES];
	bool hit;
	int i, fd;

	pthread_mutex_lock(&f->lock);
	i = slot_find(f, number, &hit);
	if (!hit) {
		env_files_path(f, number, path);
		fd = env_open(f->env, path, f->flags);
		if (fd < 0) {
			pthread_mutex_unlock(&f->lock);
			return fd;
		}
		if (i >= 0) {
			if (f->slots[i].fd >= 0)
				env_close(f->env, f->slots[i].fd);
			f->slots[i] = (struct slot){.number = number, .fd = fd};
		}
		ret->fd = fd;
	}
	if (i >= 0) {
		f->slots[i].refs++;
		f->slots[i].used_at = ++f->clock;
		ret->fd = f->slots[i].fd;
	}
	ret->slot = i;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

void env_files_put(struct env_files *f, struct env_file *use)
{
	if (use->slot < 0) {
		env_close(f->env, use->fd);
		return;
	}
	pthread_mutex_lock(&f->lock);
	struct slot *s = &f->slots[use->slot];

	assert(s->refs);
	if (!--s->refs && s->stale) {
		env_close(f->env, s->fd);
		*s = (struct slot){.fd = -1};
	}
	pthread_mutex_unlock(&f->lock);
}

void env_files_drop(struct env_files *f, uint32_t number)
{
	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < ENV_FILES_MAX; i++) {
		struct slot *s = &f->slots[i];

		if (s->fd < 0 || s->number != number || s->stale)
			continue;
		if (s->refs) {
			s->stale = true;
		} else {
			env_close(f->env, s->fd);
			*s = (struct slot){.fd = -1};
		}
	}
	pthread_mutex_unlock(&f->lock);
}
