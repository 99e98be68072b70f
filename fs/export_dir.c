/* SPDX-License-Identifier: MIT
 *
 * Export to a directory: absent (then it is made) or empty, so that nothing is overwritten. Owners are set as far as this user may;
 * modes, times and extended attributes always. Modes and times of directories come last, when nothing is written in them any more.
 *
 * Failure: what was written stays, and the message names the path.
 */
#include "export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HOLE_BYTES 65536 /* zeros as long as that become a hole */

struct later {
	char *path;
	struct tree_attr attr;
};

struct dir_sink {
	struct export_sink sink; /* first */
	int root_fd;
	int fd; /* of the file being written */
	uint64_t xattrs_left_out;
	struct tree_attr attr;
	struct later *dirs;
	size_t count, capacity;
};

static struct timespec timespec_of(int64_t ns)
{
	int64_t s = ns / NS_PER_S, rest = ns % NS_PER_S;

	return rest < 0 ? (struct timespec){.tv_sec = s - 1, .tv_nsec = rest + NS_PER_S} : (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

static int set_attributes(struct dir_sink *d, const char *path, const struct tree_attr *a)
{
	const struct timespec times[2] = {timespec_of(a->atime_ns), timespec_of(a->mtime_ns)};

	if (fchownat(d->root_fd, path, a->uid, a->gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM)
		return -errno;
	if (!S_ISLNK(a->mode) && fchmodat(d->root_fd, path, a->mode & 07777, 0) < 0)
		return -errno;
	return utimensat(d->root_fd, path, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

struct xattr_copy {
	const struct attrs *attrs;
	char path[64];
	uint64_t left_out;
};

/* ENOSPC, E2BIG and the like: too large for the target. If it is full, the next write says so. */
static bool is_not_taken(int error)
{
	return error == EPERM || error == EACCES || error == EOPNOTSUPP || error == ENOSPC || error == E2BIG || error == ERANGE || error == EINVAL;
}

/* What the target does not take (another file system, another user) is left out. */
static int copy_xattr(void *arg, const char *name, size_t len)
{
	struct xattr_copy *x = arg;
	char text[256];
	const char *value;
	size_t value_len;

	if (len >= sizeof(text) || tree_xattr_get(x->attrs, name, len, &value, &value_len))
		return 0;
	memcpy(text, name, len);
	text[len] = '\0';
	if (setxattr(x->path, text, value, value_len, 0) == 0)
		return 0;
	x->left_out++;
	return is_not_taken(errno) ? 0 : -errno;
}

static int copy_xattrs(struct dir_sink *d, const char *path, const struct attrs *attrs, bool is_dir)
{
	struct xattr_copy x = {.attrs = attrs};
	int fd, r;

	if (!attrs->xattrs)
		return 0;
	fd = openat(d->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (is_dir ? O_DIRECTORY : 0));
	if (fd < 0)
		return -errno;
	snprintf(x.path, sizeof(x.path), "/proc/self/fd/%d", fd);
	r = tree_xattr_list(attrs, copy_xattr, &x);
	d->xattrs_left_out += x.left_out;
	(void)close(fd);
	return r;
}

static int add_dir(struct dir_sink *d, const char *path, const struct tree_attr *attr)
{
	if (array_reserve(&d->dirs, &d->capacity, d->count + 1, sizeof(*d->dirs)))
		return -ENOMEM;
	d->dirs[d->count] = (struct later){.path = strdup(path), .attr = *attr};
	return d->dirs[d->count++].path ? 0 : -ENOMEM;
}

static int dir_entry(struct export_sink *s, const char *path, const struct tree_attr *attr, const struct attrs *attrs, const char *symlink, const char *link_to)
{
	struct dir_sink *d = (struct dir_sink *)s;
	int r = 0;

	d->attr = *attr;
	if (link_to)
		return linkat(d->root_fd, link_to, d->root_fd, path, 0) < 0 ? -errno : 0;
	if (S_ISDIR(attr->mode)) {
		if (mkdirat(d->root_fd, path, 0700) < 0)
			return -errno;
		r = copy_xattrs(d, path, attrs, true);
		return r ? r : add_dir(d, path, attr);
	}
	if (S_ISREG(attr->mode)) {
		d->fd = openat(d->root_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		return d->fd < 0 ? -errno : copy_xattrs(d, path, attrs, false);
	}
	if (symlink)
		r = symlinkat(symlink, d->root_fd, path);
	else
		r = mknodat(d->root_fd, path, attr->mode, (dev_t)attr->rdev);
	return r < 0 ? -errno : set_attributes(d, path, attr);
}

static int write_all(int fd, const char *from, size_t len)
{
	while (len) {
		ssize_t n = write(fd, from, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Zeros stay holes; dir_end() gives the file its length. */
static int dir_data(struct export_sink *s, const void *data, size_t len)
{
	struct dir_sink *d = (struct dir_sink *)s;
	const char *from = data;
	int r = 0;

	for (size_t part; len && !r; from += part, len -= part) {
		part = MIN(len, (size_t)HOLE_BYTES);
		if (!from[0] && !memcmp(from, from + 1, part - 1))
			r = lseek(d->fd, (off_t)part, SEEK_CUR) < 0 ? -errno : 0;
		else
			r = write_all(d->fd, from, part);
	}
	return r;
}

static int dir_end(struct export_sink *s)
{
	struct dir_sink *d = (struct dir_sink *)s;
	const struct timespec times[2] = {timespec_of(d->attr.atime_ns), timespec_of(d->attr.mtime_ns)};
	int r = ftruncate(d->fd, (off_t)d->attr.size) < 0 ? -errno : 0;

	if (!r && fchown(d->fd, d->attr.uid, d->attr.gid) < 0 && errno != EPERM)
		r = -errno;
	if (!r && (fchmod(d->fd, d->attr.mode & 07777) < 0 || futimens(d->fd, times) < 0))
		r = -errno;
	if (close(d->fd) < 0 && !r)
		r = -errno;
	d->fd = -1;
	return r;
}

static int dir_finish(struct export_sink *s)
{
	struct dir_sink *d = (struct dir_sink *)s;
	int r = 0;

	while (d->count && !r) {
		struct later *l = &d->dirs[--d->count];

		r = set_attributes(d, l->path, &l->attr);
		free(l->path);
	}
	if (!r && syncfs(d->root_fd) < 0)
		r = -errno;
	return r;
}

static int open_target(const char *path, struct reason *reason)
{
	int fd;
	DIR *dir;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return reason_set(reason, -errno, "export", "cannot make %s: %s", path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return reason_set(reason, -errno, "export", "%s: %s", path, strerror(errno));
	dir = fdopendir(dup(fd));
	for (struct dirent *e; dir && (e = readdir(dir));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		(void)closedir(dir);
		(void)close(fd);
		return reason_set(reason, -ENOTEMPTY, "export", "%s is not empty; name a new or empty directory", path);
	}
	if (dir)
		(void)closedir(dir);
	return fd;
}

int export_to_directory(struct engine *e, uint64_t seq, const char *path, struct reason *reason, struct export_counts *ret)
{
	struct dir_sink d = {.sink = {.entry = dir_entry, .data = dir_data, .end = dir_end, .finish = dir_finish}, .fd = -1};
	int r;

	d.root_fd = open_target(path, reason);
	if (d.root_fd < 0)
		return d.root_fd;
	r = export_run(e, seq, &d.sink, reason, ret);
	if (r == 0)
		ret->xattrs_left_out = d.xattrs_left_out;
	if (d.fd >= 0)
		(void)close(d.fd);
	while (d.count)
		free(d.dirs[--d.count].path);
	free(d.dirs);
	(void)close(d.root_fd);
	return r;
}
