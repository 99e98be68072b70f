/* SPDX-License-Identifier: MIT
 *
 * Everything here is asked of /proc, which never waits, but for the one question that only the daemon can answer; that is a child's, which is left alone
 * when no answer comes.
 *
 * The daemon is the process that has the mount's connection open (fdinfo of /dev/fuse names it since Linux 6.16; before, a process of the same mount
 * namespace is believed). The store is its descriptor of a directory with the mount's path that does not lie on the mount.
 */
#include "mount_probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proc_read.h"
#include "util.h"

#define REAP_MS 100

/* ---- the mount ---- */

/* mountinfo writes blanks, newlines and backslashes as three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static uint32_t option_number(const char *options, const char *name)
{
	const char *at = strstr(options, name);
	unsigned n = 0;

	return at && sscanf(at + strlen(name), "%u", &n) == 1 ? n : 0;
}

/* "44 27 0:41 / /mount/point options … - type source options". *@ret_path points into the line. False: it is none. */
static bool parse_line(char *line, struct mount_point *ret, const char **ret_path, bool *ret_ours)
{
	char *save = NULL, *words[5], *type, *options;

	for (int i = 0; i < 5; i++)
		if (!(words[i] = strtok_r(i ? NULL : line, " ", &save)))
			return false;
	for (type = words[4]; type && strcmp(type, "-") != 0;)
		type = strtok_r(NULL, " ", &save);
	type = type ? strtok_r(NULL, " ", &save) : NULL;
	(void)strtok_r(NULL, " ", &save);
	options = strtok_r(NULL, " \n", &save);
	*ret = (struct mount_point){.id = (uint32_t)strtoul(words[0], NULL, 10)};
	(void)sscanf(words[2], "%*u:%u", &ret->device);
	*ret_ours = type && options && !strcmp(type, MOUNT_TYPE);
	if (*ret_ours) {
		ret->uid = option_number(options, "user_id=");
		ret->gid = option_number(options, "group_id=");
		ret->allow_other = strstr(options, "allow_other") != NULL;
	}
	unescape(words[4]);
	*ret_path = words[4];
	return true;
}

bool mount_point_find(const char *path, struct mount_point *ret)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	struct mount_point m;
	const char *at;
	char *line = NULL;
	size_t capacity = 0;
	bool ours, found = false;

	while (f && getline(&line, &capacity, f) > 0)
		if (parse_line(line, &m, &at, &ours) && !strcmp(at, path)) { /* the last one lies on top */
			found = ours;
			*ret = m;
		}
	free(line);
	if (f)
		(void)fclose(f);
	return found;
}

char *mount_point_elsewhere(const struct mount_point *here)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	struct mount_point m;
	const char *at;
	char *line = NULL, *path = NULL;
	size_t capacity = 0;
	bool ours;

	while (f && !path && getline(&line, &capacity, f) > 0)
		if (parse_line(line, &m, &at, &ours) && ours && m.device == here->device && m.id != here->id)
			path = strdup(at);
	free(line);
	if (f)
		(void)fclose(f);
	return path;
}

/* ---- does it answer? ---- */

/* The kernel asks no daemon for who may not enter: it answers for it. */
static void become_user_of(const struct mount_point *m)
{
	if (geteuid() != 0 || m->allow_other || (!m->uid && !m->gid))
		return;
	if (setgroups(0, NULL) < 0 || setresgid(m->gid, m->gid, m->gid) < 0 || setresuid(m->uid, m->uid, m->uid) < 0)
		return; /* then the kernel answers */
}

/* Keeps nothing but the pipe: whoever waits for the end of the caller's output must not wait for this. */
static _Noreturn void child_ask(const char *path, const struct mount_point *m, int out)
{
	struct statfs st; /* never answered from a cache, as attributes are */
	int r;

	if (dup2(out, STDIN_FILENO) < 0)
		_exit(1);
	(void)close_range(STDOUT_FILENO, ~0u, 0);
	become_user_of(m);
	r = statfs(path, &st) < 0 ? -errno : 0;
	_exit(write(STDIN_FILENO, &r, sizeof(r)) != sizeof(r));
}

static int64_t monotonic_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

static bool readable_within(int fd, int64_t ms)
{
	const int64_t end_ms = monotonic_ms() + ms;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int r;

	do
		r = poll(&p, 1, (int)MAX(0, end_ms - monotonic_ms()));
	while (r < 0 && errno == EINTR);
	return r != 0;
}

/* It may be that it cannot end before the daemon lets it go. */
static void child_end(pid_t pid)
{
	const struct timespec pause = {.tv_nsec = NS_PER_MS};

	(void)kill(pid, SIGKILL);
	for (int i = 0; i < REAP_MS && waitpid(pid, NULL, WNOHANG) == 0; i++)
		(void)nanosleep(&pause, NULL);
}

int mount_point_ask(const char *path, const struct mount_point *m)
{
	int fds[2], answer = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return 0; /* nobody can ask: what follows says why */
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0)
		child_ask(path, m, fds[1]);
	(void)close(fds[1]);
	if (pid > 0 && !readable_within(fds[0], MOUNT_ANSWER_MS))
		answer = -ETIMEDOUT;
	else if (pid < 0 || read(fds[0], &answer, sizeof(answer)) != sizeof(answer))
		answer = 0;
	(void)close(fds[0]);
	if (pid > 0)
		child_end(pid);
	if (answer == -ECONNABORTED)
		answer = -ENOTCONN;
	return answer == -ENOTCONN || answer == -ETIMEDOUT ? answer : 0;
}

/* ---- who serves it ---- */

static bool link_is(int dir_fd, const char *name, const char *want)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));

	return n == (ssize_t)strlen(want) && !memcmp(target, want, (size_t)n);
}

static bool fdinfo_read(int process, const char *name, struct proc_fdinfo *ret)
{
	char path[32], text[512];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "fdinfo/%.20s", name);
	n = proc_read(process, path, text, sizeof(text));
	return n > 0 && proc_fdinfo_parse(text, (size_t)n, ret) == 0;
}

static bool same_namespace(int process)
{
	char ours[64] = "";
	ssize_t n = readlink("/proc/self/ns/mnt", ours, sizeof(ours) - 1);

	return n > 0 && link_is(process, "ns/mnt", ours);
}

/* What a process has open that tells whether it is the daemon. */
struct look {
	bool fuse;      /* some connection */
	bool told;      /* which, by its number */
	bool serves;    /* the mount's */
	char store[24]; /* the descriptor's number, "" none */
};

static void look_at(int process, const char *fd_name, int fds, const char *path, const struct mount_point *m, struct look *l)
{
	struct proc_fdinfo info;

	if (link_is(fds, fd_name, "/dev/fuse") && fdinfo_read(process, fd_name, &info)) {
		l->fuse = true;
		l->told = l->told || info.fuse_connection;
		l->serves = l->serves || info.fuse_connection == m->device;
	} else if (link_is(fds, fd_name, path) && fdinfo_read(process, fd_name, &info) && info.mnt_id != m->id) {
		(void)snprintf(l->store, sizeof(l->store), "%.20s", fd_name);
	}
}

static int store_open(int fds, const char *name)
{
	int fd = name[0] ? openat(fds, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = fd < 0 ? -ENOENT : 0;

	if (!r && faccessat(fd, "FORMAT", F_OK, AT_EACCESS) < 0) {
		r = -errno;
		(void)close(fd);
	}
	return r ? r : fd;
}

/* Is it the daemon? Then *@ret_store is as mount_point_daemon() says. */
static bool process_serves(int process, const char *path, const struct mount_point *m, int *ret_store)
{
	int fds = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fds < 0 ? NULL : fdopendir(fds);
	struct look l = {0};

	if (!dir)
		return false;
	for (struct dirent *e; (e = readdir(dir));)
		look_at(process, e->d_name, fds, path, m, &l);
	if (l.fuse && !l.told)
		l.serves = l.store[0] && same_namespace(process);
	if (l.serves)
		*ret_store = store_open(fds, l.store);
	(void)closedir(dir);
	return l.serves;
}

pid_t mount_point_daemon(const char *path, const struct mount_point *m, int *ret_store)
{
	DIR *proc = opendir("/proc");
	int store = -ESRCH;
	pid_t found = 0;

	for (struct dirent *e; proc && !found && (e = readdir(proc));) {
		cleanup_fd int process = -1;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		process = openat(dirfd(proc), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process >= 0 && process_serves(process, path, m, &store))
			found = (pid_t)strtol(e->d_name, NULL, 10);
	}
	if (proc)
		(void)closedir(proc);
	if (ret_store)
		*ret_store = store;
	else
		util_close_fd(&store);
	return found;
}
