/* SPDX-License-Identifier: MIT
 *
 * A rename, and what stands for it where a file system cannot rename directories. Nothing is copied but what a directory itself has.
 */
#include "adopt_move.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "util.h"

int adopt_each_xattr(int fd, int (*fn)(void *arg, const char *name, const char *value, size_t len), void *arg)
{
	char names[XATTR_LIST_MAX], *value = malloc(XATTR_SIZE_MAX);
	ssize_t len = value ? flistxattr(fd, names, sizeof(names)) : 0;
	int r = value ? 0 : -ENOMEM;

	for (const char *name = names; !r && name < names + len; name += strlen(name) + 1) {
		ssize_t n = fgetxattr(fd, name, value, XATTR_SIZE_MAX);

		if (n >= 0)
			r = fn(arg, name, value, (size_t)n);
	}
	free(value);
	return r;
}

/* Those that may be set: overlayfs has some of its own. */
static int set_xattr(void *arg, const char *name, const char *value, size_t len)
{
	(void)fsetxattr(*(const int *)arg, name, value, len, 0);
	return 0;
}

/* The mode comes last: it may take the right to set anything. */
static int copy_attributes(int from, const struct stat *st, int to)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (adopt_each_xattr(from, set_xattr, &to) < 0)
		return -ENOMEM;
	if (fchown(to, st->st_uid, st->st_gid) < 0 && errno != EPERM)
		return -errno;
	if (futimens(to, times) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	return fsync(to) < 0 ? -errno : 0;
}

static int move_entries(int from, int to)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		r = -errno;
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	while (!r && (errno = 0, e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = adopt_move(from, e->d_name, to, e->d_name);
	if (!r && errno)
		r = -errno;
	(void)closedir(dir);
	return r;
}

static int move_dir(int from_fd, const char *name, int to_fd, const char *to)
{
	cleanup_fd int from = openat(from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int made = -1;
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return -errno;
	if (mkdirat(to_fd, to, 0700) < 0)
		return -errno;
	made = openat(to_fd, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (made < 0)
		return -errno;
	r = move_entries(from, made);
	if (!r)
		r = copy_attributes(from, &st, made);
	if (!r && unlinkat(from_fd, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int adopt_move(int from_fd, const char *name, int to_fd, const char *to)
{
	struct stat st;

	if (renameat(from_fd, name, to_fd, to) == 0)
		return 0;
	if (errno != EXDEV || fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return -errno;
	return move_dir(from_fd, name, to_fd, to);
}
