/* SPDX-License-Identifier: MIT
 *
 * System calls that no usual tool makes:
 *
 *   syscall rename2 noreplace|exchange FROM TO
 *   syscall punch FILE OFFSET LENGTH     FALLOC_FL_PUNCH_HOLE | KEEP_SIZE
 *   syscall zero FILE OFFSET LENGTH      FALLOC_FL_ZERO_RANGE
 *   syscall keep FILE OFFSET LENGTH      FALLOC_FL_KEEP_SIZE
 *   syscall tmpfile DIR NAME             O_TMPFILE, write, linkat to DIR/NAME
 *   syscall mknod PATH                   a FIFO by mknod(2)
 *
 * Exit status: 0, or errno.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int do_rename2(char **a)
{
	unsigned flags = strcmp(a[0], "exchange") ? RENAME_NOREPLACE : RENAME_EXCHANGE;

	return renameat2(AT_FDCWD, a[1], AT_FDCWD, a[2], flags) ? errno : 0;
}

static int do_fallocate(int mode, char **a)
{
	int fd = open(a[0], O_RDWR | O_CLOEXEC), r;

	if (fd < 0)
		return errno;
	r = fallocate(fd, mode, strtoll(a[1], NULL, 10), strtoll(a[2], NULL, 10)) ? errno : 0;
	if (close(fd) && !r)
		r = errno;
	return r;
}

static int do_tmpfile(char **a)
{
	char proc[64], path[4096];
	int fd = open(a[0], O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);

	if (fd < 0)
		return errno;
	if (write(fd, "from a tmpfile\n", 15) != 15)
		return errno ? errno : EIO;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	snprintf(path, sizeof(path), "%s/%s", a[0], a[1]);
	if (linkat(AT_FDCWD, proc, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
		return errno;
	return close(fd) ? errno : 0;
}

static int run(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "rename2"))
		return do_rename2(argv + 2);
	if (argc == 5 && !strcmp(argv[1], "punch"))
		return do_fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, argv + 2);
	if (argc == 5 && !strcmp(argv[1], "zero"))
		return do_fallocate(FALLOC_FL_ZERO_RANGE, argv + 2);
	if (argc == 5 && !strcmp(argv[1], "keep"))
		return do_fallocate(FALLOC_FL_KEEP_SIZE, argv + 2);
	if (argc == 4 && !strcmp(argv[1], "tmpfile"))
		return do_tmpfile(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "mknod"))
		return mknod(argv[2], S_IFIFO | 0640, 0) ? errno : 0;
	fprintf(stderr, "usage: see the comment in syscall.c\n");
	return 200;
}

int main(int argc, char **argv)
{
	int r = run(argc, argv);

	if (r && r < 200)
		fprintf(stderr, "%s: %s\n", argv[1], strerror(r));
	return r;
}
