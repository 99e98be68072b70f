/* SPDX-License-Identifier: MIT
 *
 * Which process a number stands for that another process wrote into a file. In a container (a pid namespace below ours) processes have
 * numbers of their own, so `echo $$` there does not say what it says here.
 *
 * Asked while the writer waits for its save, so it is there; it is told from others by NSpid of "status", which never waits for a process. Looked at
 * are its ancestors first (`$$` of a subshell), then all processes of its namespace (`$!`).
 *
 * Failure: what cannot be found stands for no process.
 */
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "util.h"

#define ANCESTORS_MAX 64

static bool status_read(uint32_t pid, struct proc_status *ret)
{
	char path[32];
	cleanup_fd int dir = -1;

	(void)snprintf(path, sizeof(path), "/proc/%u", pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir >= 0 && !proc_status_read(dir, ret);
}

static bool namespace_of(uint32_t pid, struct stat *ret)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/%u/ns/pid", pid);
	return !stat(path, ret);
}

/* As long as an ancestor is as deep, it is in the same namespace. */
static uint32_t find_ancestor(uint32_t pid, const struct proc_status *writer, uint32_t number)
{
	struct proc_status at = *writer;

	for (unsigned i = 0; i < ANCESTORS_MAX && at.depth == writer->depth; i++) {
		if (at.own_pid == number)
			return pid;
		pid = at.ppid;
		if (!pid || !status_read(pid, &at))
			break;
	}
	return 0;
}

static uint32_t find_anywhere(uint32_t writer_pid, const struct proc_status *writer, uint32_t number)
{
	struct stat wanted, its;
	struct proc_status at;
	uint32_t found = 0;
	DIR *all = namespace_of(writer_pid, &wanted) ? opendir("/proc") : NULL;

	for (struct dirent *d; all && !found && (d = readdir(all));) {
		uint32_t pid = (uint32_t)strtoul(d->d_name, NULL, 10);

		if (pid && status_read(pid, &at) && at.depth == writer->depth && at.own_pid == number && namespace_of(pid, &its) &&
			its.st_ino == wanted.st_ino && its.st_dev == wanted.st_dev)
			found = pid;
	}
	if (all)
		closedir(all);
	return found;
}

uint32_t process_number_meant(uint32_t writer_pid, uint32_t number)
{
	struct proc_status writer;
	uint32_t pid;

	if (!status_read(writer_pid, &writer) || writer.depth <= 1)
		return number;
	pid = find_ancestor(writer_pid, &writer, number);
	return pid ? pid : find_anywhere(writer_pid, &writer, number);
}
