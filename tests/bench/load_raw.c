/* SPDX-License-Identifier: MIT
 *
 * The floor of the disk: pwrite and fdatasync into a preallocated, zero-filled file.
 *
 *	load_raw single FILE SECONDS BYTES           one writer, one sync an operation
 *	load_raw group FILE SECONDS BYTES THREADS    THREADS callers, one committing thread, one sync a batch
 *
 * Records are laid one behind the other; a single writer's record begins on a block of its own, a batch of a group
 * begins on a block of its own (as any journal that never rewrites a synced block must do). FILE is made when it is missing.
 */
#include "bench.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES (256u << 20)
#define BLOCK_BYTES 4096u

struct raw {
	int fd;
	size_t bytes;
	uint64_t at;
	uint8_t *data; /* room for the largest batch */
	struct bench_group group;
	uint64_t batches;
};

static int open_filled(const char *path)
{
	static uint8_t zeros[1 << 20];
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		bench_die(path);
	if (st.st_size >= FILE_BYTES)
		return fd;
	for (unsigned at = 0; at < FILE_BYTES; at += sizeof(zeros))
		if (pwrite(fd, zeros, sizeof(zeros), at) != sizeof(zeros))
			bench_die(path);
	if (fsync(fd))
		bench_die(path);
	return fd;
}

static void write_synced(struct raw *r, size_t len)
{
	size_t whole = (len + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;

	if (r->at + whole > FILE_BYTES)
		r->at = 0;
	if (pwrite(r->fd, r->data, whole, (off_t)r->at) != (ssize_t)whole || fdatasync(r->fd))
		bench_die("pwrite, fdatasync");
	r->at += whole;
	r->batches++;
}

static void single_op(struct bench_worker *w, uint64_t i)
{
	struct raw *r = w->crowd->arg;

	memcpy(r->data, &i, sizeof(i));
	write_synced(r, r->bytes);
}

static void group_op(struct bench_worker *w, uint64_t i)
{
	(void)i;
	bench_group_do(&((struct raw *)w->crowd->arg)->group);
}

static void group_commit(void *arg, uint64_t first, uint64_t last)
{
	struct raw *r = arg;

	memcpy(r->data, &first, sizeof(first));
	write_synced(r, r->bytes * (size_t)(last - first + 1));
}

static void *group_main(void *arg)
{
	bench_group_serve(&((struct raw *)arg)->group, group_commit, arg);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_crowd *crowd = bench_crowd_new();
	static struct raw raw = {.group = BENCH_GROUP_INIT};
	int group = argc == 6 && !strcmp(argv[1], "group");
	pthread_t committer;

	if (!group && (argc != 5 || strcmp(argv[1], "single") != 0)) {
		fprintf(stderr, "usage: load_raw single FILE SECONDS BYTES | load_raw group FILE SECONDS BYTES THREADS\n");
		return 2;
	}
	raw.fd = open_filled(argv[2]);
	raw.bytes = strtoul(argv[4], NULL, 10);
	raw.data = calloc(BENCH_THREADS_MAX + 1, raw.bytes + BLOCK_BYTES);
	if (!raw.data)
		bench_die("malloc");
	*crowd =
		(struct bench_crowd){.threads = group ? (unsigned)atoi(argv[5]) : 1, .seconds = atof(argv[3]), .op = group ? group_op : single_op, .arg = &raw};
	if (group && (errno = pthread_create(&committer, NULL, group_main, &raw)))
		bench_die("pthread_create");
	bench_run(crowd);
	if (group) {
		bench_group_stop(&raw.group);
		(void)pthread_join(committer, NULL);
	}
	free(raw.data);
	return close(raw.fd);
}
