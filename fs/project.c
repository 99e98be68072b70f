/* SPDX-License-Identifier: MIT
 *
 * Projects, mount points and stores, as the commands see them. What is mounted, and whether
 * that answers, is mount_probe.c's to find out; no path below a mount is touched before.
 *
 * The store of a live mount lies under it: the daemon's own descriptor of it, in /proc/PID/fd, leads there.
 */
#include "project.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "mount_probe.h"
#include "proc_read.h"

void project_release(struct project *p)
{
	free(p->path);
	free(p->mount_path);
	free(p->word);
	free(p->mount_word);
	*p = (struct project){0};
}

/* Without slashes at its end. Where one stands has a name, too: a mount, perhaps, from within which the command is called. */
static char *strip_slashes(const char *s)
{
	char *copy = strcmp(s, ".") ? strdup(s) : getcwd(NULL, 0);
	size_t len = copy ? strlen(copy) : 0;

	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	return copy;
}

/* The last component of a path without slashes at its end; NULL: another than .milestones. */
static char *mount_name(char *plain)
{
	char *slash = strrchr(plain, '/'), *name = slash ? slash + 1 : plain;

	return strcmp(name, MILESTONES_DIR) ? NULL : name;
}

bool project_names_mount(const char *argument)
{
	cleanup_free char *plain = strip_slashes(argument);

	return plain && mount_name(plain);
}

/* NULL: no memory. */
static char *shell_word(const char *text)
{
	cleanup_buf struct buf b = BUF_INIT;

	buf_put_shell_word(&b, text);
	return b.error ? NULL : buf_take(&b, NULL);
}

int project_find(const char *argument, struct reason *reason, struct project *ret)
{
	cleanup_free char *plain = strip_slashes(argument);
	struct project p = {0};
	struct stat st;
	char *name;

	if (!plain)
		return -ENOMEM;
	name = mount_name(plain);
	if (name == plain)
		strcpy(plain, ".");
	else if (name) /* not looked at: it may be a dead mount */
		*(name - 1 == plain ? name : name - 1) = '\0';
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
	if (asprintf(&p.mount_path, "%s/%s", strcmp(p.path, "/") ? p.path : "", MILESTONES_DIR) < 0)
		p.mount_path = NULL;
	p.word = shell_word(p.path);
	p.mount_word = p.mount_path ? shell_word(p.mount_path) : NULL;
	if (!p.word || !p.mount_word) {
		project_release(&p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

static enum mount_state state_of(const struct project *p, const struct mount_point *m)
{
	switch (mount_point_ask(p->mount_path, m)) {
	case -ENOTCONN:
		return MOUNT_DEAD;
	case -ETIMEDOUT:
		return MOUNT_SILENT;
	default:
		return MOUNT_ALIVE;
	}
}

enum mount_state project_mount_state(const struct project *p)
{
	struct mount_point m;

	return mount_point_find(p->mount_path, &m) ? state_of(p, &m) : MOUNT_NONE;
}

int project_silent(const struct project *p, const char *rule, struct reason *reason)
{
	struct proc_stat st = {0};
	long pid = project_daemon_pid(p);

	if (!pid)
		return reason_set(reason, -EBUSY, rule,
			"%s is mounted, but its daemon does not answer; which process that is, is for the user who mounted it to see, or for root",
			p->mount_path);
	if (proc_stat_read_pid((uint32_t)pid, &st) == 0 && (st.state == 'T' || st.state == 't'))
		return reason_set(reason, -EBUSY, rule, "%s is mounted, but its daemon (pid %ld) does not answer: it is stopped; kill -CONT %ld lets it go on",
			p->mount_path, pid, pid);
	return reason_set(reason, -EBUSY, rule,
		"%s is mounted, but its daemon (pid %ld) does not answer; kill -9 %ld ends it, keeping what was acknowledged, and milestonefs mount %s "
		"starts anew",
		p->mount_path, pid, pid, p->word);
}

static int run_fusermount(const char *path, bool lazy, struct reason *reason)
{
	char *const argv[] = {"fusermount3", "-u", lazy ? "-qz" : "-q", "--", (char *)path, NULL};
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
	struct mount_point m;
	int r;

	if (geteuid() != 0 && mount_point_find(p->mount_path, &m) && m.uid != geteuid())
		return reason_set(
			reason, -EPERM, "umount", "%s was mounted by another user (uid %u): only that one, or root, can unmount it", p->mount_path, m.uid);
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
	struct mount_point m = {0};
	char path[64];
	cleanup_fd int fd = -1;

	if (geteuid() == 0 && umount2(p->mount_path, MNT_FORCE | UMOUNT_NOFOLLOW) == 0)
		return true;
	(void)mount_point_find(p->mount_path, &m);
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", m.device);
	if (m.device)
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
			"%s is the mount of a daemon that has died, and clearing it failed; run: fusermount3 -u -z %s (or umount -l as root)", p->mount_path,
			p->mount_word);
	return 0;
}

pid_t project_daemon_pid(const struct project *p)
{
	struct mount_point m;

	return mount_point_find(p->mount_path, &m) ? mount_point_daemon(p->mount_path, &m, NULL) : 0;
}

const char *project_daemon_text(const struct project *p, char out[PROJECT_DAEMON_BYTES])
{
	long pid = project_daemon_pid(p);

	out[0] = '\0';
	if (pid)
		(void)snprintf(out, PROJECT_DAEMON_BYTES, " (daemon %ld)", pid);
	return out;
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

/* The store under a mount, as its daemon has it open. */
static int open_mounted_store(const struct project *p, const struct mount_point *m, struct reason *reason)
{
	int fd;
	pid_t pid = mount_point_daemon(p->mount_path, m, &fd);

	if (fd >= 0)
		return fd;
	switch (state_of(p, m)) {
	case MOUNT_DEAD:
		return reason_set(reason, -ENOTCONN, "store", "the daemon of %s has died; run: milestonefs umount %s, then try again", p->mount_path, p->word);
	case MOUNT_SILENT:
		return project_silent(p, "store", reason);
	default:
		break;
	}
	if (!pid)
		return reason_set(reason, fd, "store",
			"the store under the live mount %s is reached through its daemon, which is not to be seen from here; use the user who mounted it, or "
			"root",
			p->mount_path);
	return reason_set(reason, fd, "store", "the store under the live mount %s cannot be reached through its daemon (pid %ld): %s", p->mount_path, (long)pid,
		strerror(-fd));
}

int project_open_store(const struct project *p, struct reason *reason)
{
	struct mount_point m;
	int fd;

	if (mount_point_find(p->mount_path, &m))
		return open_mounted_store(p, &m, reason);
	fd = open(p->mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		fd = -errno;
		return reason_set(reason, fd, "store", "%s: %s; there is a store once milestonefs mount has run", p->mount_path, strerror(-fd));
	}
	return fd;
}

int store_reader_open(const struct project *p, const struct engine_options *options, struct reason *reason, struct store_reader *ret)
{
	struct store_reader s = {.dir_fd = project_open_store(p, reason)};
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
