/* SPDX-License-Identifier: MIT
 *
 * The texts of /proc, read with few system calls and parsed by hand (these are
 * on the way of every save; sscanf and stdio are not cheap enough).
 *
 * Leaves to others: which process is meant, and caching (process.c).
 *
 * Failure: a process may vanish between any two calls; that is -ESRCH or
 * -ENOENT, never a wrong value, as long as all reads go through one descriptor of
 * its directory.
 */
#include "proc_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util.h"

enum {
	STAT_BYTES_MAX = 1024,
	SMALL_BYTES = 2048,
	STAT_FIELD_FLAGS = 9,
	STAT_FIELD_THREADS = 20,
	STAT_FIELD_START = 22,
	STAT_FIELD_EXIT_CODE = 52,
	EXIT_SIGNAL_MASK = 0x7f,
};

bool proc_number_next(const char **at, const char *end, uint64_t *ret_value)
{
	const char *p = *at;
	uint64_t value = 0;
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n'))
		p++;
	const char *first = p;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	*at = p;
	if (p == first)
		return false;
	*ret_value = value;
	return true;
}

ssize_t proc_read(int dir, const char *name, char *buf, size_t size)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size_t len = 0;
	while (len + 1 < size) {
		ssize_t n = read(fd, buf + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		/* The kernel hands out whole small files in one read; only of the long ones there may be more. */
		if (n == 0 || size <= SMALL_BYTES)
			break;
	}
	buf[len] = '\0';
	return (ssize_t)len;
}

int proc_stat_parse(const char *text, size_t len, struct proc_stat *ret_stat)
{
	const char *end = text + len;
	const char *p = memrchr(text, ')', len); /* comm may hold anything, also ')' */
	if (!p || end - p < 4 || p[1] != ' ')
		return -EINVAL;
	struct proc_stat st = {.state = p[2]};
	p += 3;
	for (int field = 4; field <= STAT_FIELD_EXIT_CODE; field++) {
		uint64_t v;
		while (p < end && *p == ' ')
			p++;
		if (p < end && *p == '-') /* tty and nice may be negative; not used */
			p++;
		if (!proc_number_next(&p, end, &v)) {
			if (field > STAT_FIELD_START)
				break;
			return -EINVAL;
		}
		if (field == 4)
			st.ppid = (uint32_t)v;
		else if (field == 6)
			st.session = (uint32_t)v;
		else if (field == STAT_FIELD_FLAGS)
			st.flags = (uint32_t)v;
		else if (field == STAT_FIELD_THREADS)
			st.threads = (uint32_t)v;
		else if (field == STAT_FIELD_START)
			st.start_time = v;
		else if (field == STAT_FIELD_EXIT_CODE)
			st.exit_code = (int32_t)v;
	}
	*ret_stat = st;
	return 0;
}

int proc_stat_read(int dir, struct proc_stat *ret_stat)
{
	char text[STAT_BYTES_MAX];
	ssize_t n = proc_read(dir, "stat", text, sizeof(text));
	return n < 0 ? (int)n : proc_stat_parse(text, (size_t)n, ret_stat);
}

int proc_stat_read_pid(uint32_t pid, struct proc_stat *ret_stat)
{
	char path[40], text[STAT_BYTES_MAX];
	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	ssize_t n = proc_read(AT_FDCWD, path, text, sizeof(text));
	return n < 0 ? (int)n : proc_stat_parse(text, (size_t)n, ret_stat);
}

bool proc_stat_killed(const struct proc_stat *stat, bool exit_code_visible)
{
	/* A thread that another thread's exit() ends carries PF_SIGNALED too, but the
	 * group's wait status tells: low bits are the signal, zero for exit(n). */
	if (!(stat->flags & PROC_PF_SIGNALED))
		return false;
	return !exit_code_visible || (stat->exit_code & EXIT_SIGNAL_MASK) != 0;
}

bool proc_environ_id(const char *block, size_t len, const char *name, char out[ACTOR_ID_BYTES])
{
	size_t name_len = strlen(name);
	const char *p = block, *end = block + len;
	while (p < end) {
		const char *stop = memchr(p, '\0', (size_t)(end - p));
		if (!stop)
			return false;
		if ((size_t)(stop - p) > name_len && p[name_len] == '=' && !memcmp(p, name, name_len)) {
			const char *value = p + name_len + 1;
			size_t value_len = (size_t)(stop - value);
			if (value_len >= ACTOR_ID_BYTES || !id_valid(value, value_len))
				return false;
			memcpy(out, value, value_len + 1);
			return true;
		}
		p = stop + 1;
	}
	return false;
}

static const char *line_find(const char *text, const char *key)
{
	size_t len = strlen(key);
	for (const char *p = text; p; p = strchr(p, '\n')) {
		if (*p == '\n')
			p++;
		if (!strncmp(p, key, len))
			return p + len;
	}
	return NULL;
}

int proc_fdinfo_parse(const char *text, size_t len, struct proc_fdinfo *ret_info)
{
	char copy[512];
	uint64_t v;
	len = MIN(len, sizeof(copy) - 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	const char *end = copy + len, *flags = line_find(copy, "flags:");
	if (!flags)
		return -EINVAL;
	struct proc_fdinfo info = {.flags = (uint32_t)strtoul(flags, NULL, 8)};
	const char *p = line_find(copy, "mnt_id:");
	if (p && proc_number_next(&p, end, &v))
		info.mnt_id = (uint32_t)v;
	p = line_find(copy, "ino:");
	if (p && proc_number_next(&p, end, &v))
		info.ino = v;
	p = line_find(copy, "fuse_connection:");
	if (p && proc_number_next(&p, end, &v))
		info.fuse_connection = (uint32_t)v;
	*ret_info = info;
	return 0;
}

/* The type stands after " - ", which ends the optional fields. */
static bool mount_line_fuse(const char *line, const char *end)
{
	const char *stop = memchr(line, '\n', (size_t)(end - line));
	const char *dash = memmem(line, (size_t)((stop ? stop : end) - line), " - fuse", strlen(" - fuse"));

	if (!dash)
		return false;
	dash += strlen(" - fuse");
	return dash < end && (*dash == ' ' || *dash == '.');
}

int proc_mount_read(int dir, uint32_t mnt_id, struct proc_mount *ret_mount)
{
	enum { MOUNTINFO_BYTES_MAX = 1 << 20 };
	cleanup_free char *text = malloc(MOUNTINFO_BYTES_MAX);
	if (!text)
		return -ENOMEM;
	ssize_t n = proc_read(dir, "mountinfo", text, MOUNTINFO_BYTES_MAX);
	if (n < 0)
		return (int)n;
	const char *end = text + n;
	for (const char *p = text; p && p < end; p = memchr(p, '\n', (size_t)(end - p))) {
		uint64_t id, parent, major_nr, minor_nr; /* "36 35 98:0 /root /mnt … - type source …" */
		if (!proc_number_next(&p, end, &id) || id != mnt_id)
			continue;
		if (!proc_number_next(&p, end, &parent) || !proc_number_next(&p, end, &major_nr) || p >= end || *p++ != ':' ||
			!proc_number_next(&p, end, &minor_nr))
			return -EINVAL;
		*ret_mount = (struct proc_mount){.dev = makedev((unsigned)major_nr, (unsigned)minor_nr), .fuse = mount_line_fuse(p, end)};
		return 0;
	}
	return -ENOENT;
}

static uint64_t status_number(const char *text, const char *end, const char *key)
{
	const char *p = line_find(text, key);
	uint64_t v;
	return p && proc_number_next(&p, end, &v) ? v : 0;
}

/* The numbers of "NSpid:", outermost first. */
static void status_numbers(const char *text, const char *end, struct proc_status *ret)
{
	const char *p = line_find(text, "NSpid:");
	const char *stop = p ? memchr(p, '\n', (size_t)(end - p)) : NULL;
	uint64_t v;

	for (ret->depth = ret->own_pid = 0; stop && proc_number_next(&p, stop, &v); ret->depth++)
		ret->own_pid = (uint32_t)v;
}

int proc_status_read(int dir, struct proc_status *ret_status)
{
	char text[8192];
	ssize_t n = proc_read(dir, "status", text, sizeof(text));
	if (n < 0)
		return (int)n;
	*ret_status = (struct proc_status){
		.ppid = (uint32_t)status_number(text, text + n, "PPid:"),
		.threads = (uint32_t)status_number(text, text + n, "Threads:"),
		.fd_table = status_number(text, text + n, "FDSize:") != 0,
	};
	status_numbers(text, text + n, ret_status);
	return 0;
}
