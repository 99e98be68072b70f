/* SPDX-License-Identifier: MIT
 *
 * The rule, in order of cost:
 *  1. A process that neither opened the handle, nor wrote through it, nor was
 *     seen to hold it decides nothing.
 *  2. It must not hold the inode for writing by more descriptors than it has other
 *     handles. (While a process exits its table is gone: it holds none.)
 *  3. Nor may the opener or another writer, nor any descendant of these.
 *  4. If nobody does, the file is closed for ever; whether the last one was
 *     killed decides between publishing and keeping the draft apart.
 *
 * Who closes may be in the middle of an exec, which closes O_CLOEXEC descriptors. It then holds its exec_update_lock, and waits for
 * us; so nothing is read here that takes that lock: no link of "fd" (readlink, stat, following it), not "stat", not "environ". (They
 * block for ever, unkillably for the caller.) What is used is free of it: "fdinfo", listing and counting "fd", "children", "status",
 * "mountinfo". Only a process without a descriptor table is past all exec, and its "stat" may be read. The same holds for relatives.
 *
 * A descriptor is looked at by its fdinfo. For a process that saves again these files stay open (a third of the price).
 *
 * Bounds: RELATIVES_MAX processes. Failure: whatever can't be seen counts as "still held", and RELEASE publishes.
 */
#include "last_close.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc_read.h"
#include "process.h"
#include "util.h"

enum {
	RELATIVES_MAX = 256,
	PROBE_GAP_MAX = 2, /* unused numbers met before the directory is listed instead */
	MISSES_MAX = 16,
	SCANS_KEEP = 1, /* a process looked at more often gets its fdinfo files kept open */
};

/* The processes to look at: participants and all their descendants. */
struct relatives {
	uint32_t pids[RELATIVES_MAX];
	size_t count;
	bool overflow;
};

struct scan {
	struct process_cache *cache;
	const struct last_close_query *query;
	struct process *process; /* locked */
	uint32_t enough;         /* stop when more descriptors than this are ours */
	uint32_t ours;
};

/* --- descriptors ---------------------------------------------------------------- */

/* Is what fdinfo says a writable descriptor of the inode? */
static bool info_ours(struct scan *scan, const struct proc_fdinfo *info)
{
	const struct last_close_query *q = scan->query;
	struct proc_mount mount;

	if ((info->flags & O_PATH) || (info->flags & O_ACCMODE) == O_RDONLY || (info->ino && info->ino != q->ino))
		return false;
	/* The same number in another file system? (Old kernels show none: then any file of the mount counts.) */
	if (info->mnt_id && proc_mount_read(scan->process->dir, info->mnt_id, &mount) == 0)
		return q->dev ? mount.dev == q->dev : mount.fuse;
	return true;
}

/*
 * Is descriptor @number a writable one of the inode? Its number is in use when this is not -ENOENT. Keeps its fdinfo open
 * where that is worth it.
 */
static int descriptor_ours(struct scan *scan, uint64_t number)
{
	struct process *p = scan->process;
	struct proc_fdinfo info;
	char path[32], text[512];
	ssize_t n;

	if (p->scans > SCANS_KEEP && process_fdinfo_keep(scan->cache, p, (uint32_t)number) == 0) {
		n = pread(p->infos[p->info_count - 1].fd, text, sizeof(text) - 1, 0);
		n = n < 0 ? -errno : n;
	} else {
		snprintf(path, sizeof(path), "fdinfo/%llu", (unsigned long long)number);
		n = proc_read(p->dir, path, text, sizeof(text));
	}
	if (n < 0)
		return (int)n;
	return proc_fdinfo_parse(text, (size_t)n, &info) == 0 && info_ours(scan, &info);
}

/* Count one descriptor. Returns 1 when @scan is decided, 0 to go on, or -errno. */
static int descriptor_count(struct scan *scan, uint64_t number)
{
	int r = descriptor_ours(scan, number);
	if (r < 0)
		return r;
	scan->ours += (uint32_t)r;
	return scan->ours > scan->enough;
}

static bool info_kept(const struct process *p, uint64_t number)
{
	for (unsigned i = 0; i < p->info_count; i++)
		if (p->infos[i].number == number)
			return true;
	return false;
}

static int descriptors_list(struct scan *scan, uint64_t from)
{
	_Alignas(struct linux_dirent64) char block[4096];
	int fds = scan->process->fds;
	if (lseek(fds, 0, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		long n = syscall(SYS_getdents64, fds, block, sizeof(block));
		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (long at = 0; at < n;) {
			const struct linux_dirent64 *entry = (const void *)(block + at);
			uint64_t number;
			at += entry->d_reclen;
			if (parse_u64(entry->d_name, &number) < 0 || number < from || info_kept(scan->process, number))
				continue;
			int r = descriptor_count(scan, number);
			if (r && r != -ENOENT) /* closed meanwhile */
				return r;
		}
	}
}

/* As descriptor_count, by the kept fdinfo @i. */
static int info_count(struct scan *scan, unsigned i)
{
	struct proc_fdinfo info;
	char text[512];
	ssize_t n = pread(scan->process->infos[i].fd, text, sizeof(text), 0);

	if (n < 0)
		return -errno;
	scan->ours += proc_fdinfo_parse(text, (size_t)n, &info) == 0 && info_ours(scan, &info);
	return scan->ours > scan->enough;
}

/* Look at all descriptors of a live process, of which there are @count (0: not known). */
static int descriptors_scan(struct scan *scan, uint64_t count)
{
	struct process *p = scan->process;
	uint64_t number = 0, found = 0;
	for (unsigned i = p->info_count; i-- > 0;) {
		int r = info_count(scan, i);
		if (r == -ENOENT) { /* closed; low numbers come back soon */
			if (++p->infos[i].misses > MISSES_MAX)
				process_fdinfo_drop(scan->cache, p, i);
			continue;
		}
		if (r)
			return r;
		p->infos[i].misses = 0;
		found++;
	}
	if (p->scans++ >= SCANS_KEEP)
		return count && found == count ? 0 : descriptors_list(scan, 0);

	/* A process seen for the first time: its numbers are mostly dense from 0, and trying them is cheaper than a listing. */
	for (; found < count && number < found + PROBE_GAP_MAX; number++) {
		int r = descriptor_count(scan, number);
		if (r == -ENOENT)
			continue;
		if (r)
			return r;
		found++;
	}
	return count && found == count ? 0 : descriptors_list(scan, number);
}

/*
 * Does the process, locked, hold the inode for writing by more than @enough
 * descriptors? 1 yes, 0 no, -ESRCH: it is exiting or gone and holds nothing, -EBUSY: this thread
 * is exiting while others of its process may not be, or another -errno.
 */
static int process_holds(struct process_cache *cache, const struct last_close_query *q, struct process *p, uint32_t enough)
{
	struct scan scan = {.cache = cache, .query = q, .process = p, .enough = enough};
	struct proc_status st;
	struct stat fds;

	int error = process_fds_get(p);
	bool counted = false;
	if (error >= 0) {
		error = fstat(error, &fds) < 0 ? -errno : 0;
		counted = process_cache_counts_fds(cache) && fds.st_size > 0;
	}
	if (error == 0 && counted) {
		error = descriptors_scan(&scan, (uint64_t)fds.st_size);
		if (error >= 0)
			return error;
		/* A process that dies under the scan answers EACCES too; its status tells. */
	}
	/* No descriptors or none to be seen: a process that exits has lost its table already. */
	if (error == -ENOENT || error == -ESRCH || proc_status_read(p->dir, &st) < 0)
		return -ESRCH;
	if (!st.fd_table)
		return st.threads > 1 ? -EBUSY : -ESRCH;
	return error ? error : descriptors_scan(&scan, 0);
}

/* --- relatives --------------------------------------------------------------------- */

static int relative_add(void *arg, uint32_t pid)
{
	struct relatives *all = arg;
	for (size_t i = 0; i < all->count; i++)
		if (all->pids[i] == pid)
			return 0;
	if (all->count == RELATIVES_MAX) {
		all->overflow = true;
		return -EOVERFLOW;
	}
	all->pids[all->count++] = pid;
	return 0;
}

/* Where the kernel has no "children" files: find the children of @pid among all processes. */
static int children_search(struct relatives *all, uint32_t pid)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	struct proc_status st;
	uint64_t candidate;
	int r = 0;
	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir))) {
		if (parse_u64(entry->d_name, &candidate) < 0)
			continue;
		cleanup_fd int fd = openat(dirfd(dir), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && proc_status_read(fd, &st) == 0 && st.ppid == pid)
			r = relative_add(all, (uint32_t)candidate);
	}
	closedir(dir);
	return r;
}

/* Add the children of @p (not locked by us). Threads that are gone have none. */
static int children_add(struct process_cache *cache, struct relatives *all, struct process *p)
{
	struct process *leader = p; /* its entry knows the files of all threads */
	if (p->tid != p->tgid && process_get(cache, p->tgid, &leader) < 0)
		leader = p;
	pthread_mutex_lock(&leader->lock);
	int r = process_children_each(cache, leader, relative_add, all);
	pthread_mutex_unlock(&leader->lock);
	if (leader != p)
		process_put(cache, leader);
	if (r == -ENOENT && access("/proc/thread-self/children", F_OK) != 0)
		r = children_search(all, p->tgid);
	return r == -ENOENT || r == -ESRCH ? 0 : r;
}

/*
 * Look at participants[0..] and everything that descends from them or from the
 * flushing process @self (which is looked at already). Returns the first holder's pid (0 none).
 */
static uint32_t relatives_holder(struct process_cache *cache, const struct last_close_query *q, struct process *self, bool *ret_unreadable)
{
	struct relatives all = {.count = 0};
	relative_add(&all, self->tgid);
	if (q->opener)
		relative_add(&all, q->opener);
	for (size_t i = 0; i < q->writer_count; i++)
		relative_add(&all, q->writers[i]);
	for (size_t i = 0; i < q->holder_count; i++)
		relative_add(&all, q->holders[i]);

	size_t participants = all.count;
	uint32_t unsure = 0;
	/* First the participants themselves, which is mostly the answer, then the generations below. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < (pass ? all.count : participants); i++) {
			struct process *p = self;
			int held = 0, error = 0;
			if (all.pids[i] != self->tgid && process_get(cache, all.pids[i], &p) < 0)
				continue; /* gone */
			if (p != self && (pass == 0 || i >= participants)) {
				pthread_mutex_lock(&p->lock);
				held = process_holds(cache, q, p, 0);
				pthread_mutex_unlock(&p->lock);
			}
			if (pass && held <= 0)
				error = children_add(cache, &all, p);
			if (p != self)
				process_put(cache, p);
			if (held > 0)
				return all.pids[i];
			if ((held < 0 && held != -ESRCH) || error < 0)
				unsure = all.pids[i];
		}
	}
	*ret_unreadable = unsure || all.overflow;
	return unsure;
}

/* --- the decision --------------------------------------------------------------------- */

static bool listed(const uint32_t *pids, size_t count, uint32_t pid)
{
	for (size_t i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

static void decide(struct process_cache *cache, const struct last_close_query *q, struct process *self, struct last_close_result *r)
{
	bool writer = self->tgid == q->opener || listed(q->writers, q->writer_count, self->tgid);
	if (!writer && !listed(q->holders, q->holder_count, self->tgid))
		return;

	pthread_mutex_lock(&self->lock);
	int held = process_holds(cache, q, self, q->other_handles);
	bool fds_readable = self->fds >= 0;
	pthread_mutex_unlock(&self->lock);
	if (held == -ESRCH || held == -EBUSY) { /* exiting; the last of its threads, or it would not flush */
		struct proc_stat st;            /* it has no table, so it is in no exec */
		if (proc_stat_read(self->dir, &st) == 0)
			/* The kernel shows us the exit code of whom we may look at. */
			r->killed = proc_stat_killed(&st, fds_readable || st.exit_code);
		else
			r->killed = true; /* reaped while its FLUSH waits for us: only SIGKILL does that */
	} else if (held) {
		r->holder = held > 0 ? self->tgid : 0;
		r->unreadable = held < 0;
		return;
	}

	r->holder = relatives_holder(cache, q, self, &r->unreadable);
	if (r->holder || r->unreadable)
		return;
	r->verdict = (r->killed && writer) || q->opener_killed ? LAST_CLOSE_KILLED : LAST_CLOSE_YES;
	r->unwritten = r->verdict == LAST_CLOSE_YES && !q->written;
}

void last_close_decide(struct process_cache *cache, const struct last_close_query *query, struct last_close_result *ret)
{
	struct process *self;
	*ret = (struct last_close_result){.verdict = LAST_CLOSE_NO, .tgid = query->tid};
	if (process_get(cache, query->tid, &self) < 0) {
		ret->unreadable = true;
		return;
	}
	ret->tgid = self->tgid;
	decide(cache, query, self, ret);
	process_put(cache, self);
}
