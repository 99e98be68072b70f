/* SPDX-License-Identifier: MIT
 *
 * The real environment: POSIX calls relative to one directory descriptor. Its
 * descriptors are the kernel's. Interrupted calls are repeated, short reads and
 * writes continued, descriptors closed on exec, symbolic links in the last
 * component refused (-ELOOP): nothing in a store is one.
 *
 * What root makes belongs to the directory's owner: who once mounts his project by sudo can go on without.
 *
 * The object is immutable after env_posix_new(), hence thread-safe. After a
 * failed fdatasync nothing is retried here; the caller decides (env.h).
 */
#include "env.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

struct env_posix {
	struct env env;
	int dir_fd; /* borrowed */
	bool gives; /* what is made is given to the directory's owner */
	uid_t uid;
	gid_t gid;
};

static int dir_of(struct env *env)
{
	return ((struct env_posix *)env)->dir_fd;
}

static const char *dir_path(const char *path)
{
	return *path ? path : ".";
}

static int open_at(int dir_fd, const char *path, int flags)
{
	int fd;

	do
		fd = openat(dir_fd, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int posix_open(struct env *env, const char *path, int flags)
{
	const struct env_posix *p = (struct env_posix *)env;
	int fd;

	assert(path[0] != '/');
	fd = open_at(p->dir_fd, path, (flags & ENV_WRITE ? O_RDWR : O_RDONLY) | (flags & ENV_CREATE ? O_CREAT : 0) | (flags & ENV_EXCL ? O_EXCL : 0));
	if (fd >= 0 && flags & ENV_CREATE && p->gives)
		(void)fchown(fd, p->uid, p->gid); /* a file system that cannot keeps it root's */
	return fd;
}

static void posix_close(struct env *env, int fd)
{
	(void)env;
	(void)close(fd); /* what must be durable was synced, and Linux always frees the descriptor */
}

static ssize_t posix_pread(struct env *env, int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	(void)env;
	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int posix_pwrite(struct env *env, int fd, const void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	(void)env;
	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int posix_fdatasync(struct env *env, int fd)
{
	int r;

	(void)env;
	do
		r = fdatasync(fd);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int allocate_once(int fd, uint64_t offset, uint64_t len)
{
	int r;

	do
		r = fallocate(fd, 0, (off_t)offset, (off_t)len);
	while (r < 0 && errno == EINTR);
	if (!r)
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	do
		r = posix_fallocate(fd, (off_t)offset, (off_t)len); /* returns the error, leaves errno alone */
	while (r == EINTR);
	return -r;
}

static int posix_allocate(struct env *env, int fd, uint64_t offset, uint64_t len)
{
	struct stat before, after;
	int r;

	(void)env;
	if (fstat(fd, &before) < 0)
		return -errno;
	r = allocate_once(fd, offset, len);
	/* A file system that allocates piecewise may have grown the file before it was full. */
	if (r < 0 && !fstat(fd, &after) && after.st_size > before.st_size)
		(void)!ftruncate(fd, before.st_size); /* the allocation's error is the one to report */
	return r;
}

static int posix_truncate(struct env *env, int fd, uint64_t len)
{
	int r;

	(void)env;
	do
		r = ftruncate(fd, (off_t)len);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int posix_size(struct env *env, int fd, uint64_t *ret_bytes)
{
	struct stat st;

	(void)env;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

static int posix_rename(struct env *env, const char *from, const char *to)
{
	return renameat(dir_of(env), from, dir_of(env), to) < 0 ? -errno : 0;
}

static int posix_unlink(struct env *env, const char *path)
{
	return unlinkat(dir_of(env), path, 0) < 0 ? -errno : 0;
}

static int posix_mkdir(struct env *env, const char *path)
{
	const struct env_posix *p = (struct env_posix *)env;

	if (mkdirat(p->dir_fd, path, 0700) < 0)
		return -errno;
	if (p->gives)
		(void)fchownat(p->dir_fd, path, p->uid, p->gid, AT_SYMLINK_NOFOLLOW); /* as above */
	return 0;
}

static int posix_dir_sync(struct env *env, const char *path)
{
	int fd = open_at(dir_of(env), dir_path(path), O_RDONLY | O_DIRECTORY);
	int r;

	if (fd < 0)
		return fd;
	do
		r = fsync(fd);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

static int entry_is_dir(int dir_fd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISDIR(st.st_mode);
}

static int list_entries(DIR *dir, env_list_fn fn, void *arg)
{
	for (;;) {
		struct dirent *entry;
		int r;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		r = entry_is_dir(dirfd(dir), entry);
		if (r == -ENOENT)
			continue; /* gone since readdir */
		if (r >= 0)
			r = fn(arg, entry->d_name, r > 0);
		if (r)
			return r;
	}
}

static int posix_list(struct env *env, const char *path, env_list_fn fn, void *arg)
{
	int fd = open_at(dir_of(env), dir_path(path), O_RDONLY | O_DIRECTORY);
	DIR *dir;
	int r;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	r = list_entries(dir, fn, arg);
	(void)closedir(dir);
	return r;
}

static int posix_lock(struct env *env, int fd)
{
	int r;

	(void)env;
	do
		r = flock(fd, LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0; /* EWOULDBLOCK is EAGAIN on Linux */
}

static int posix_space(struct env *env, struct env_space *ret)
{
	struct statvfs st;
	int r;

	do
		r = fstatvfs(dir_of(env), &st);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	*ret = (struct env_space){
		.total_bytes = (uint64_t)st.f_blocks * st.f_frsize,
		.free_bytes = (uint64_t)st.f_bavail * st.f_frsize,
		.files_total = st.f_files,
		.files_free = st.f_favail,
	};
	return 0;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts); /* cannot fail for the two clocks asked for */
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t posix_time_ns(struct env *env)
{
	(void)env;
	return clock_ns(CLOCK_REALTIME);
}

static int64_t posix_monotonic_ns(struct env *env)
{
	(void)env;
	return clock_ns(CLOCK_MONOTONIC);
}

static int posix_random(struct env *env, void *buf, size_t len)
{
	size_t done = 0;

	(void)env;
	while (done < len) {
		ssize_t n = getrandom((char *)buf + done, len - done, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

static const struct env_ops posix_ops = {
	.open = posix_open,
	.close = posix_close,
	.pread = posix_pread,
	.pwrite = posix_pwrite,
	.fdatasync = posix_fdatasync,
	.allocate = posix_allocate,
	.truncate = posix_truncate,
	.size = posix_size,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.mkdir = posix_mkdir,
	.dir_sync = posix_dir_sync,
	.list = posix_list,
	.lock = posix_lock,
	.space = posix_space,
	.time_ns = posix_time_ns,
	.monotonic_ns = posix_monotonic_ns,
	.random = posix_random,
};

struct env *env_posix_new(int dir_fd)
{
	struct env_posix *p = calloc(1, sizeof(*p));
	struct stat st;

	if (!p)
		return NULL;
	p->env.ops = &posix_ops;
	p->dir_fd = dir_fd;
	if (geteuid() == 0 && fstat(dir_fd, &st) == 0 && st.st_uid != 0) {
		p->gives = true;
		p->uid = st.st_uid;
		p->gid = st.st_gid;
	}
	return &p->env;
}

void env_posix_free(struct env *env)
{
	free(env);
}
