/* SPDX-License-Identifier: MIT
 *
 * Threads that call, seen through /proc. Who they act for is process_actor.c.
 *
 * A cache entry holds descriptors of /proc/TID. The kernel binds them to the
 * task itself, so a reused pid can't be mistaken for the old one: reading
 * "comm" through the old descriptor then fails, and the entry is replaced.
 *
 * Bounds: ENTRIES_MAX entries of at most 6 descriptors, least recently used out, and KEPT_MAX
 * descriptors of fdinfo and of threads' children for all of them.
 * Lock order: process->lock is never held while taking cache->lock.
 * Failure: what can't be read is left unknown; nothing here refuses a request.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

enum {
	ENTRIES_MAX = 64,
	KEPT_MAX = 1024,
	PROCESS_INFOS_MAX = 64,
};

struct process_cache {
	struct process_agents agents;
	bool counts_fds;
	atomic_int kept; /* descriptors that only save opening them, of all entries */

	pthread_mutex_t lock; /* guards all below */
	uint64_t clock;
	uint32_t tids[ENTRIES_MAX]; /* 0: free */
	struct process *entries[ENTRIES_MAX];
};

int process_cache_new(const struct process_agents *agents, struct process_cache **ret_cache)
{
	struct process_cache *cache = calloc(1, sizeof(*cache));
	struct stat st;
	if (!cache)
		return -ENOMEM;
	if (agents)
		cache->agents = *agents;
	/* We have descriptors ourselves, so 0 means that this kernel does not count. */
	cache->counts_fds = stat("/proc/self/fd", &st) == 0 && st.st_size > 0;
	pthread_mutex_init(&cache->lock, NULL);
	*ret_cache = cache;
	return 0;
}

bool process_cache_counts_fds(const struct process_cache *cache)
{
	return cache->counts_fds;
}

const struct process_agents *process_cache_agents(const struct process_cache *cache)
{
	return &cache->agents;
}

static void process_free(struct process_cache *cache, struct process *p)
{
	while (p->info_count)
		process_fdinfo_drop(cache, p, 0);
	free(p->infos);
	while (p->thread_count)
		process_thread_drop(cache, p, p->thread_count - 1);
	free(p->threads);
	int fds[] = {p->dir, p->fds, p->task, p->children, p->comm_fd, p->environ_fd};
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void process_cache_free(struct process_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < ENTRIES_MAX; i++)
		if (cache->entries[i])
			process_free(cache, cache->entries[i]);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

/* --- entries ---------------------------------------------------------------- */

static void unref_locked(struct process *p, struct process **ret_dead)
{
	if (--p->refs == 0)
		*ret_dead = p;
}

void process_put(struct process_cache *cache, struct process *p)
{
	struct process *dead = NULL;
	if (!p)
		return;
	pthread_mutex_lock(&cache->lock);
	unref_locked(p, &dead);
	pthread_mutex_unlock(&cache->lock);
	if (dead)
		process_free(cache, dead);
}

static int slot_of_tid(const struct process_cache *cache, uint32_t tid)
{
	for (int i = 0; i < ENTRIES_MAX; i++)
		if (cache->tids[i] == tid)
			return i;
	return -1;
}

static struct process *cache_find(struct process_cache *cache, uint32_t tid)
{
	struct process *p = NULL;
	pthread_mutex_lock(&cache->lock);
	int i = slot_of_tid(cache, tid);
	if (i >= 0) {
		p = cache->entries[i];
		p->refs++;
		p->used = ++cache->clock;
	}
	pthread_mutex_unlock(&cache->lock);
	return p;
}

/* Takes the table's reference of @p away if it is still in the table. */
static void cache_drop(struct process_cache *cache, struct process *p)
{
	struct process *dead = NULL;
	pthread_mutex_lock(&cache->lock);
	int i = slot_of_tid(cache, p->tid);
	if (i >= 0 && cache->entries[i] == p) {
		cache->tids[i] = 0;
		cache->entries[i] = NULL;
		unref_locked(p, &dead);
	}
	pthread_mutex_unlock(&cache->lock);
	if (dead)
		process_free(cache, dead);
}

/* Puts @p (one reference, the caller's) into the table, in place of an entry of the same tid or of the oldest one. */
static void cache_insert(struct process_cache *cache, struct process *p)
{
	struct process *dead = NULL;
	pthread_mutex_lock(&cache->lock);
	int slot = slot_of_tid(cache, p->tid);
	if (slot < 0) {
		slot = 0;
		for (int i = 0; i < ENTRIES_MAX && cache->entries[slot]; i++)
			if (!cache->entries[i] || cache->entries[i]->used < cache->entries[slot]->used)
				slot = i;
	}
	if (cache->entries[slot])
		unref_locked(cache->entries[slot], &dead);
	p->refs++;
	p->used = ++cache->clock;
	cache->tids[slot] = p->tid;
	cache->entries[slot] = p;
	pthread_mutex_unlock(&cache->lock);
	if (dead)
		process_free(cache, dead);
}

/* A leader's pid can be opened as a pidfd, another thread's can't: half the price of reading "status". */
static uint32_t tgid_find(int dir, uint32_t tid)
{
#ifdef SYS_pidfd_open
	int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)tid, 0);
	if (pidfd >= 0) {
		close(pidfd);
		return tid;
	}
#endif
	char text[2048];
	uint64_t tgid;
	if (proc_read(dir, "status", text, sizeof(text)) < 0)
		return tid;
	const char *p = strstr(text, "\nTgid:");
	if (!p)
		return tid;
	p += strlen("\nTgid:");
	return proc_number_next(&p, text + strlen(text), &tgid) && tgid ? (uint32_t)tgid : tid;
}

/* Read "comm" through the kept descriptor: a fresh name, and the proof that the task still exists. */
static int comm_refresh(struct process *p)
{
	char comm[64]; /* kernel threads' names are longer than ours */
	ssize_t n = pread(p->comm_fd, comm, sizeof(comm), 0);
	if (n < 0)
		return -errno;
	size_t len = (size_t)n;
	if (len && comm[len - 1] == '\n')
		len--;
	len = MIN(len, sizeof(p->actor.comm) - 1);
	pthread_mutex_lock(&p->lock);
	memcpy(p->actor.comm, comm, len);
	p->actor.comm[len] = '\0';
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static int process_new(struct process_cache *cache, uint32_t tid, struct process **ret_process)
{
	char path[32];
	struct process *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->tid = tid;
	p->refs = 1;
	p->dir = p->fds = p->task = p->children = p->comm_fd = p->environ_fd = -1;
	pthread_mutex_init(&p->lock, NULL);

	snprintf(path, sizeof(path), "/proc/%u", tid);
	p->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	p->comm_fd = p->dir < 0 ? -1 : openat(p->dir, "comm", O_RDONLY | O_CLOEXEC);
	int error = p->comm_fd < 0 ? -errno : comm_refresh(p);
	if (error) {
		process_free(cache, p);
		return error == -ENOENT ? -ESRCH : error;
	}
	p->tgid = tgid_find(p->dir, tid);
	p->actor.pid = p->tgid;
	*ret_process = p;
	return 0;
}

int process_get(struct process_cache *cache, uint32_t tid, struct process **ret_process)
{
	if (!tid)
		return -ESRCH;
	struct process *p = cache_find(cache, tid);
	if (p && comm_refresh(p) < 0) { /* gone; the number may belong to another by now */
		cache_drop(cache, p);
		process_put(cache, p);
		p = NULL;
	}
	if (!p) {
		int error = process_new(cache, tid, &p);
		if (error)
			return error;
		cache_insert(cache, p);
	}
	*ret_process = p;
	return 0;
}

uint32_t process_tgid_get(struct process_cache *cache, uint32_t tid)
{
	struct process *p;
	if (process_get(cache, tid, &p) < 0)
		return tid;
	uint32_t tgid = p->tgid;
	process_put(cache, p);
	return tgid;
}

/* --- descriptors ------------------------------------------------------------- */

int process_fds_get(struct process *p)
{
	if (p->fds < 0) {
		int fd = openat(p->dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		p->fds = fd;
	}
	return p->fds;
}

bool process_keep_one(struct process_cache *cache)
{
	if (atomic_fetch_add(&cache->kept, 1) < KEPT_MAX)
		return true;
	atomic_fetch_sub(&cache->kept, 1);
	return false;
}

void process_kept_gone(struct process_cache *cache)
{
	atomic_fetch_sub(&cache->kept, 1);
}

int process_fdinfo_keep(struct process_cache *cache, struct process *p, uint32_t number)
{
	char path[32];
	if (!p->infos)
		p->infos = malloc(PROCESS_INFOS_MAX * sizeof(*p->infos));
	if (!p->infos)
		return -ENOMEM;
	if (p->info_count == PROCESS_INFOS_MAX)
		return -ENOSPC;
	if (!process_keep_one(cache))
		return -ENOSPC;
	snprintf(path, sizeof(path), "fdinfo/%u", number);
	int fd = openat(p->dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int error = -errno;
		process_kept_gone(cache);
		return error;
	}
	p->infos[p->info_count++] = (struct process_fdinfo){.number = number, .fd = fd};
	return 0;
}

void process_fdinfo_drop(struct process_cache *cache, struct process *p, unsigned i)
{
	close(p->infos[i].fd);
	p->infos[i] = p->infos[--p->info_count];
	process_kept_gone(cache);
}

bool process_alive(uint32_t pid)
{
	return kill((pid_t)pid, 0) == 0 || errno == EPERM;
}

bool process_exiting(struct process_cache *cache, uint32_t tid)
{
	struct process *p;
	struct proc_status st;
	bool exiting = true;

	if (process_get(cache, tid, &p) < 0)
		return true;
	if (proc_status_read(p->dir, &st) == 0)
		exiting = !st.fd_table;
	process_put(cache, p);
	return exiting;
}
