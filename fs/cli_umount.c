/* SPDX-License-Identifier: MIT
 *
 * milestonefs umount: takes the mount away and waits until its daemon has written everything, given the store back and ended. What keeps a busy mount is
 * looked up in /proc, as far as this user may see it.
 */
#include <argp.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "cli.h"
#include "log.h"
#include "mount_probe.h"
#include "project.h"

#define WAIT_S_DEFAULT 60
#define HOLDERS_MAX 5
#define END_WAIT_MS 5000

struct arguments {
	const char *project;
	bool lazy;
	unsigned wait_s;
};

static const struct argp_option options[] = {
	{"lazy", 'l', NULL, 0, "Also while files are open: the mount goes at once, the daemon ends when they are closed", 0},
	{"timeout", 't', "SECONDS", 0, "How long to wait for the daemon to finish (60)", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	uint64_t n;

	switch (key) {
	case 'l':
		a->lazy = true;
		return 0;
	case 't':
		if (parse_u64(arg, &n) || n > 86400)
			argp_error(state, "not a number of seconds: %s", arg);
		a->wait_s = (unsigned)n;
		return 0;
	default:
		return cli_parse_project(key, arg, state, &a->project);
	}
}

static bool is_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	return !strncmp(path, top, len) && (!path[len] || path[len] == '/');
}

static bool link_is_below(int dir_fd, const char *name, const char *top)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

	if (n <= 0)
		return false;
	target[n] = '\0';
	return is_below(target, top);
}

/* How process @pid holds something below @top; NULL: not, as far as can be seen. */
static const char *held_as(int proc_fd, const char *pid, const char *top)
{
	cleanup_fd int dir_fd = openat(proc_fd, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *how = NULL;
	int fds;
	DIR *dir;

	if (dir_fd < 0)
		return NULL;
	if (link_is_below(dir_fd, "cwd", top))
		return "working directory";
	if (link_is_below(dir_fd, "exe", top))
		return "running program";
	fds = openat(dir_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fds < 0 ? NULL : fdopendir(fds);
	if (!dir)
		return NULL;
	for (struct dirent *e; !how && (e = readdir(dir));)
		if (link_is_below(dirfd(dir), e->d_name, top))
			how = "open file";
	(void)closedir(dir);
	return how;
}

/* The daemon has its store below @top open, too, but that keeps no mount busy; and this command is gone when somebody reads what it said. */
static void describe_holders(const char *top, pid_t daemon, struct buf *out)
{
	DIR *proc = opendir("/proc");
	int found = 0;

	for (struct dirent *e; proc && found < HOLDERS_MAX && (e = readdir(proc));) {
		char path[PATH_MAX], comm[64] = "";
		bool other = isdigit((unsigned char)e->d_name[0]) && atol(e->d_name) != daemon && atol(e->d_name) != getpid();
		const char *how = other ? held_as(dirfd(proc), e->d_name, top) : NULL;
		FILE *f;

		if (!how)
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/comm", e->d_name);
		f = fopen(path, "re");
		if (f && fgets(comm, sizeof(comm), f))
			comm[strcspn(comm, "\n")] = '\0';
		if (f)
			(void)fclose(f);
		buf_printf(out, "%s%s %s (%s)", found++ ? ", " : "; held by ", e->d_name, comm, how);
	}
	if (proc)
		(void)closedir(proc);
}

/* Until the daemon has given the lock back. */
static int wait_for_daemon(const struct project *p, unsigned wait_s)
{
	cleanup_fd int fd = open(p->mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	const struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};

	if (fd < 0)
		return 0; /* nothing to ask; the mount is gone */
	for (unsigned i = 0; store_is_locked(fd); i++) {
		if (i == wait_s * 100) {
			log_error("%s is unmounted, but its daemon (pid %ld) has not finished after %u s: it has much to write, or a container has the mount, "
				  "too",
				p->mount_path, (long)store_lock_pid(fd), wait_s);
			return 1;
		}
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

/* To see the daemon's end by; -1: this user or this kernel cannot. */
static int daemon_open(const struct project *p)
{
#ifdef SYS_pidfd_open
	pid_t pid = project_daemon_pid(p);

	return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
#else
	(void)p;
	return -1;
#endif
}

/* What it has open goes with it, so that what lies under the mount can be unmounted next. */
static void wait_for_end(int daemon)
{
	struct pollfd end = {.fd = daemon, .events = POLLIN};

	if (daemon >= 0)
		(void)poll(&end, 1, END_WAIT_MS); /* a courtesy: everything is written */
}

/* A bind mount keeps the daemon, which would be waited for in vain. */
static int check_elsewhere(const struct project *p, const struct mount_point *here, const char *path)
{
	struct mount_point m;

	if (!path || !mount_point_find(path, &m) || m.device != here->device)
		return 0;
	log_error("%s is unmounted, but the same file system is also mounted at %s, so its daemon goes on; umount that one, too", p->mount_path, path);
	return 1;
}

static int umount_project(const struct project *p, const struct arguments *a)
{
	cleanup_buf struct buf holders = BUF_INIT;
	cleanup_free char *elsewhere = NULL;
	struct mount_point m = {0};
	struct reason reason = {0};
	cleanup_fd int daemon = -1;
	int r;

	switch (project_mount_state(p)) {
	case MOUNT_NONE:
		log_error("%s is not mounted", p->mount_path);
		return 1;
	case MOUNT_DEAD:
		r = project_clear_dead(p, &reason);
		if (r)
			return cli_fail(&reason, r);
		log_info("%s was the mount of a daemon that has died; cleared", p->mount_path);
		return 0;
	case MOUNT_SILENT:
		if (!a->lazy)
			return cli_fail(&reason, project_silent(p, "umount", &reason));
		break;
	case MOUNT_ALIVE:
		break;
	}
	elsewhere = mount_point_find(p->mount_path, &m) ? mount_point_elsewhere(&m) : NULL;
	daemon = a->lazy ? -1 : daemon_open(p);
	r = project_unmount(p, a->lazy, &reason);
	if (r == -EBUSY) {
		describe_holders(p->mount_path, project_daemon_pid(p), &holders);
		log_error("%s is busy%s; close them, or use --lazy", p->mount_path, holders.len ? holders.data : " (by whom cannot be seen)");
		return 1;
	}
	if (r)
		return cli_fail(&reason, r);
	r = check_elsewhere(p, &m, elsewhere);
	if (r || a->lazy)
		return r;
	r = wait_for_daemon(p, a->wait_s);
	if (!r)
		wait_for_end(daemon);
	return r;
}

int cli_umount(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "PROJECT", .doc = "Unmount PROJECT/.milestones and wait until everything is written."};
	struct arguments a = {.wait_s = WAIT_S_DEFAULT};
	struct project p;
	int r;

	r = cli_find_project(&argp, argc, argv, &a, &a.project, &p);
	if (r)
		return r;
	r = umount_project(&p, &a);
	project_release(&p);
	return r;
}
