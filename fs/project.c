/* SPDX-License-Identifier: MIT
 *
 * Projects, mount points and stores, as the commands see them. Knows mounts from /proc/self/mountinfo, so it
 * asks nothing of a daemon that may be dead, and never trusts a path below a mount it has not looked at.
 *
 * The store of a live mount lies under it: the daemon's own descriptor of it, in /proc/PID/fd, leads there.
 */
#include "project.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

void project_release(struct project *p)
{
	free(p->path);
	free(p->mount_path);
	*p = (struct project){ 0 };
}

static char *strip_slashes(const char *s)
{
	char *copy = strdup(s);
	size_t len = copy ? strlen(copy) : 0;

	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	return copy;
}

int project_find(const char *argument, struct reason *reason, struct project *ret)
{
	cleanup_free char *plain = strip_slashes(argument);
	struct project p = { 0 };
	struct stat st;
	char *slash;

	if (!plain)
		return -ENOMEM;
	slash = strrchr(plain, '/');
	if (!strcmp(slash ? slash + 1 : plain, MILESTONES_DIR)) {
		/* not looked at: it may be a dead mount */
		if (!slash)
			strcpy(plain, ".");
		else
			slash[slash == plain] = '\0';
	}
	p.path = realpath(plain, NULL);
	if (!p.path || stat(p.path, &st) < 0) {
		int e = -errno;

		free(p.path);
		return reason_set(reason, e, "project", "%s: %s; name an existing project directory", plain, strerror(-e));
	}
	if (!S_ISDIR(st.st_mode)) {
		free(p.path);
		return reason_set(reason, -ENOTDIR, "project", "%s is not a directory; name the project's directory", plain);
	}
	if (asprintf(&p.mount_path, "%s/%s", strcmp(p.path, "/") ? p.path : "", MILESTONES_DIR) < 0) {
		free(p.path);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

/* mountinfo writes blanks, newlines and backslashes as three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* Is the topmost mount at exactly this path one of ours? Its device's minor number is its connection's. */
static bool mounted_at(const char *path, unsigned *ret_device)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t capacity = 0;
	bool ours = false;

	if (!f)
		return false;
	while (getline(&line, &capacity, f) > 0) {
		char *save = NULL, *word = strtok_r(line, " ", &save), *point = NULL;
		unsigned device = 0;

		for (int i = 1; word && i < 5; i++) {
			point = word = strtok_r(NULL, " ", &save);
			if (i == 2 && word && sscanf(word, "0:%u", &device) != 1)
				device = 0;
		}
		while (word && strcmp(word, "-") != 0)
			word = strtok_r(NULL, " ", &save);
		word = word ? strtok_r(NULL, " ", &save) : NULL;
		if (!word || !point)
			continue;
		unescape(point);
		if (!strcmp(point, path)) {
			ours = !strcmp(word, MOUNT_TYPE);
			*ret_device = ours ? device : 0;
		}
	}
	free(line);
	(void)fclose(f);
	return ours;
}

static unsigned mount_device(const char *path)
{
	unsigned device = 0;

	(void)mounted_at(path, &device);
	return device;
}

enum mount_state project_mount_state(const struct project *p)
{
	unsigned device;
	struct statfs st; /* never answered from a cache, as attributes are */

	if (!mounted_at(p->mount_path, &device))
		return MOUNT_NONE;
	return statfs(p->mount_path, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED) ? MOUNT_DEAD : MOUNT_ALIVE;
}

static int run_fusermount(const char *path, bool lazy, struct reason *reason)
{
	char *const argv[] = { "fusermount3", "-u", lazy ? "-qz" : "-q", "--", (char *)path, NULL };
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return reason_set(reason, -errno, "umount", "cannot start fusermount3: %s", strerror(errno));
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(errno == ENOENT ? 127 : 126);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) >= 126)
		return reason_set(reason, -ENOENT, "umount", "fusermount3 cannot be run; install the package fuse3, or unmount as root");
	return reason_set(reason, -EBUSY, "umount", "%s is busy, or was not mounted by this user", path);
}

int project_unmount(const struct project *p, bool lazy, struct reason *reason)
{
	int r;

	if (geteuid() != 0)
		return run_fusermount(p->mount_path, lazy, reason);
	r = umount2(p->mount_path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) < 0 ? -errno : 0;
	if (r)
		return reason_set(reason, r, "umount", "%s: %s", p->mount_path, strerror(-r));
	return 0;
}

/* Whoever still waits for the dead daemon is let go: only one that is held up in the kernel while it dies leaves any. True: it is unmounted, too. */
static bool connection_abort(const struct project *p)
{
	char path[64];
	unsigned device = mount_device(p->mount_path);
	cleanup_fd int fd = -1;

	if (geteuid() == 0 && umount2(p->mount_path, MNT_FORCE | UMOUNT_NOFOLLOW) == 0)
		return true;
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", device);
	if (device)
		fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) < 0)
		return false; /* it is gone already */
	return false;
}

int project_clear_dead(const struct project *p, struct reason *reason)
{
	int r = connection_abort(p) ? 0 : project_unmount(p, true, reason);

	if (r)
		return reason_set(reason, r, "mount",
				  "%s is the mount of a daemon that has died, and clearing it failed; run: fusermount3 -u -z '%s' (or umount -l as root)",
				  p->mount_path, p->mount_path);
	return 0;
}

pid_t project_daemon_pid(const struct project *p)
{
	cleanup_free char *path = NULL;
	char line[256];
	long pid = 0;
	FILE *f;

	if (asprintf(&path, "%s/status/health.yaml", p->mount_path) < 0)
		return 0;
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "pid: %ld", &pid) == 1)
			break;
	if (f)
		(void)fclose(f);
	return pid > 1 ? (pid_t)pid : 0;
}

pid_t store_lock_pid(int dir_fd)
{
	cleanup_fd int fd = openat(dir_fd, "LOCK", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[24] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

bool store_is_locked(int dir_fd)
{
	cleanup_fd int fd = openat(dir_fd, "LOCK", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* The daemon's descriptor of the store: a directory that holds a FORMAT. */
static int open_store_of(pid_t pid, const char *mount_path)
{
	char path[64];
	DIR *dir;
	int found = -ENOENT;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	for (struct dirent *e; found == -ENOENT && (e = readdir(dir));) {
		char target[PATH_MAX];
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		int fd;

		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, mount_path) != 0)
			continue;
		fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && faccessat(fd, "FORMAT", F_OK, AT_EACCESS) == 0)
			found = fd;
		else if (fd >= 0)
			(void)close(fd);
	}
	(void)closedir(dir);
	return found;
}

int project_open_store(const struct project *p, struct reason *reason)
{
	enum mount_state state = project_mount_state(p);
	pid_t pid;
	int fd;

	if (state == MOUNT_DEAD)
		return reason_set(reason, -ENOTCONN, "store", "the daemon of %s has died; run: milestonefs umount '%s', then try again", p->mount_path,
				  p->path);
	if (state == MOUNT_ALIVE) {
		pid = project_daemon_pid(p);
		fd = pid ? open_store_of(pid, p->mount_path) : -ESRCH;
		if (fd < 0)
			return reason_set(reason, fd, "store",
					  "the store under the live mount %s cannot be reached through its daemon (pid %ld): %s; use the user who mounted it, or root",
					  p->mount_path, (long)pid, strerror(-fd));
		return fd;
	}
	fd = open(p->mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		fd = -errno;
		return reason_set(reason, fd, "store", "%s: %s; there is a store once milestonefs mount has run", p->mount_path, strerror(-fd));
	}
	return fd;
}

int store_reader_open(const struct project *p, const struct engine_options *options, struct reason *reason, struct store_reader *ret)
{
	struct store_reader s = { .dir_fd = project_open_store(p, reason) };
	int r;

	if (s.dir_fd < 0)
		return s.dir_fd;
	s.env = env_posix_new(s.dir_fd);
	r = s.env ? engine_open(s.env, options, reason, &s.engine) : -ENOMEM;
	if (r) {
		if (reason->text[0])
			reason_prefix(reason, p->mount_path);
		store_reader_close(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_reader_close(struct store_reader *s)
{
	(void)engine_close(s->engine); /* read only: nothing to lose */
	env_posix_free(s->env);
	if (s->dir_fd >= 0)
		(void)close(s->dir_fd);
}
