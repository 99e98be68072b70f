/* SPDX-License-Identifier: MIT
 *
 * Children of a process, from "task/TID/children" of each of its threads (a child belongs to the thread that forked it).
 *
 * Those files stay open for the threads of a process that saves again: opening them would cost more than all else a close has to look at.
 * The file of a thread that has ended reads as empty, even when another thread has got its number since; so the inode of "task/TID", which
 * the listing names anyway and the open file keeps, tells whether it is still the same.
 *
 * Failure: a thread that ends meanwhile has no children: they went to another thread or another process.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc_read.h"
#include "util.h"

enum {
	THREADS_MAX = 1024,
	THREADS_KEEP = 64,
};

static int children_read(int fd, int (*visit)(void *arg, uint32_t pid), void *arg)
{
	char text[1024 + 1];
	size_t kept = 0; /* bytes of a number cut by the end of the buffer */
	off_t offset = 0;
	for (;;) {
		ssize_t n = pread(fd, text + kept, sizeof(text) - 1 - kept, offset);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		offset += n;
		const char *p = text, *end = text + kept + n, *last = memrchr(text, ' ', (size_t)(end - p));
		uint64_t pid;
		while (last && p < last && proc_number_next(&p, last, &pid)) {
			int r = visit(arg, (uint32_t)pid);
			if (r)
				return r;
		}
		if ((size_t)n < 512) /* the file had no more to give */
			return 0;
		p = last ? last : text;
		kept = (size_t)(end - p);
		memmove(text, p, kept);
	}
}

void process_thread_drop(struct process_cache *cache, struct process *p, unsigned i)
{
	close(p->threads[i].fd);
	p->threads[i] = p->threads[--p->thread_count];
	process_kept_gone(cache);
}

/* The kept file of a listed thread, NULL: none. */
static struct process_thread *thread_kept(struct process_cache *cache, struct process *p, uint32_t tid, uint64_t ino)
{
	for (unsigned i = 0; i < p->thread_count; i++) {
		if (p->threads[i].tid != tid)
			continue;
		if (p->threads[i].ino == ino)
			return &p->threads[i];
		process_thread_drop(cache, p, i); /* another one by now */
		return NULL;
	}
	return NULL;
}

/* Keep @fd, a file of the directory @dir, if there is room. Returns whether it is kept. */
static bool thread_keep(struct process_cache *cache, struct process *p, uint32_t tid, int dir, int fd)
{
	struct stat st;

	if (p->thread_count == THREADS_KEEP || fstat(dir, &st) < 0)
		return false;
	if (!p->threads)
		p->threads = malloc(THREADS_KEEP * sizeof(*p->threads));
	if (!p->threads || !process_keep_one(cache))
		return false;
	p->threads[p->thread_count++] = (struct process_thread){.ino = st.st_ino, .tid = tid, .fd = fd, .listed = true};
	return true;
}

static int thread_children(struct process_cache *cache, struct process *p, uint32_t tid, uint64_t ino, int (*visit)(void *arg, uint32_t pid), void *arg)
{
	struct process_thread *kept = thread_kept(cache, p, tid, ino);
	cleanup_fd int dir = -1;
	char name[16];
	int fd, r;

	if (kept) {
		kept->listed = true;
		return children_read(kept->fd, visit, arg);
	}
	snprintf(name, sizeof(name), "%u", tid);
	dir = openat(p->task, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -1 : openat(dir, "children", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0; /* it may have ended */
	r = children_read(fd, visit, arg);
	if (!thread_keep(cache, p, tid, dir, fd))
		close(fd);
	return r;
}

static int threads_children_each(struct process_cache *cache, struct process *p, int (*visit)(void *arg, uint32_t pid), void *arg)
{
	_Alignas(struct linux_dirent64) char block[4096];
	int threads = 0;
	long n;

	for (unsigned i = 0; i < p->thread_count; i++)
		p->threads[i].listed = false;
	if (lseek(p->task, 0, SEEK_SET) < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, p->task, block, sizeof(block))) > 0) {
		for (long at = 0; at < n;) {
			const struct linux_dirent64 *entry = (const void *)(block + at);
			uint64_t tid;
			int r;

			at += entry->d_reclen;
			if (parse_u64(entry->d_name, &tid) < 0 || threads++ >= THREADS_MAX)
				continue;
			r = thread_children(cache, p, (uint32_t)tid, entry->d_ino, visit, arg);
			if (r)
				return r;
		}
	}
	for (unsigned i = p->thread_count; i-- > 0;)
		if (!p->threads[i].listed)
			process_thread_drop(cache, p, i);
	return n < 0 ? -errno : 0;
}

int process_children_each(struct process_cache *cache, struct process *p, int (*visit)(void *arg, uint32_t pid), void *arg)
{
	struct stat st;

	if (p->task < 0) {
		p->task = openat(p->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (p->task < 0)
			return errno == ENOENT ? -ESRCH : -errno;
	}
	if (p->children < 0) {
		char name[32];
		snprintf(name, sizeof(name), "%u/children", p->tid);
		p->children = openat(p->task, name, O_RDONLY | O_CLOEXEC);
		if (p->children < 0)
			return -errno;
	}
	if (fstat(p->task, &st) == 0 && st.st_nlink == 3) /* one thread */
		return children_read(p->children, visit, arg);
	return threads_children_each(cache, p, visit, arg);
}
