/* SPDX-License-Identifier: MIT
 *
 * Speed of the journal by itself, beside the disk it stands on. Prints JSON lines, asserts nothing.
 *
 *	bench_journal DIRECTORY      (an empty directory on the file system to measure)
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "env.h"
#include "journal.h"
#include "store.h"
#include "util.h"

#define PAYLOAD_BYTES 1500
#define SINGLE_OPS 4000
#define RAW_FILE_BYTES (32u << 20)
#define THREADS 16
#define REPLAY_FRAMES 1000000
#define REPLAY_PAYLOAD_BYTES 100

static const uint8_t payload[PAYLOAD_BYTES] = {1, 2, 3};

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void die(const char *what, int error)
{
	fprintf(stderr, "bench_journal: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static int compare_ns(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void report(const char *what, int64_t *ns, size_t count, int64_t total_ns)
{
	qsort(ns, count, sizeof(*ns), compare_ns);
	printf("{\"what\":\"%s\",\"ops\":%zu,\"per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", what, count, (double)count * 1e9 / (double)total_ns,
		(double)ns[count / 2] / 1e3, (double)ns[count * 99 / 100] / 1e3);
	fflush(stdout);
}

static int raw_file(void)
{
	void *zeros = calloc(1, RAW_FILE_BYTES);
	int fd = open("raw", O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || !zeros || write(fd, zeros, RAW_FILE_BYTES) != RAW_FILE_BYTES || fsync(fd))
		die("raw file", errno);
	free(zeros);
	return fd;
}

static void bench_raw(int fd, const char *what)
{
	static int64_t ns[SINGLE_OPS];
	static uint8_t block[4096];
	int64_t begin = now_ns();

	for (int i = 0; i < SINGLE_OPS; i++) {
		int64_t start = now_ns();

		if (pwrite(fd, block, sizeof(block), (off_t)i * 4096) != sizeof(block) || fdatasync(fd))
			die("raw write", errno);
		ns[i] = now_ns() - start;
	}
	report(what, ns, SINGLE_OPS, now_ns() - begin);
}

static uint64_t append(struct journal *j, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)payload, len};
	int r = journal_reserve(j, len);

	if (r)
		die("reserve", r);
	return journal_append(j, len, &iov, 1);
}

static void bench_single(struct journal *j, const char *what, enum journal_level level)
{
	static int64_t ns[SINGLE_OPS];
	int64_t begin = now_ns();

	for (int i = 0; i < SINGLE_OPS; i++) {
		int64_t start = now_ns();
		int r = journal_wait(j, append(j, PAYLOAD_BYTES), level);

		if (r)
			die("wait", r);
		ns[i] = now_ns() - start;
	}
	report(what, ns, SINGLE_OPS, now_ns() - begin);
}

struct member {
	struct journal *j;
	pthread_mutex_t *order;
	enum journal_level level;
	int64_t ns[SINGLE_OPS / 4];
};

static void *member_main(void *arg)
{
	struct member *m = arg;

	for (int i = 0; i < SINGLE_OPS / 4; i++) {
		int64_t start = now_ns();
		struct iovec iov = {(void *)(uintptr_t)payload, PAYLOAD_BYTES};
		uint64_t seq;
		int r = journal_reserve(m->j, PAYLOAD_BYTES);

		if (r)
			die("reserve", r);
		pthread_mutex_lock(m->order);
		seq = journal_append(m->j, PAYLOAD_BYTES, &iov, 1);
		pthread_mutex_unlock(m->order);
		r = journal_wait(m->j, seq, m->level);
		if (r)
			die("wait", r);
		m->ns[i] = now_ns() - start;
	}
	return NULL;
}

static void bench_crowd(struct journal *j, const char *what, enum journal_level level)
{
	static int64_t ns[THREADS * (SINGLE_OPS / 4)];
	static struct member members[THREADS];
	pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
	pthread_t threads[THREADS];
	struct journal_stats before, after;
	int64_t begin = now_ns(), total;

	journal_get_stats(j, &before);
	for (int i = 0; i < THREADS; i++) {
		members[i].j = j;
		members[i].order = &order;
		members[i].level = level;
		pthread_create(&threads[i], NULL, member_main, &members[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		memcpy(ns + i * (SINGLE_OPS / 4), members[i].ns, sizeof(members[i].ns));
	}
	total = now_ns() - begin;
	journal_get_stats(j, &after);
	report(what, ns, ARRAY_SIZE(ns), total);
	printf("{\"what\":\"%s\",\"syncs_per_op\":%.3f,\"bytes_per_op\":%.0f}\n", what, (double)(after.syncs - before.syncs) / (double)ARRAY_SIZE(ns),
		(double)(after.bytes_written - before.bytes_written) / (double)ARRAY_SIZE(ns));
}

static int count_frame(void *arg, uint64_t seq, uint64_t position, const uint8_t *data, size_t len)
{
	(void)seq, (void)position;
	*(uint64_t *)arg += len ? data[0] : 0;
	return 0;
}

static struct journal *open_journal(struct store *store, uint64_t *ret_frames)
{
	struct journal_options opt = {0};
	struct journal_recovery recovery;
	uint64_t sum = 0;
	struct journal *j;
	int r = journal_open(store, &opt, count_frame, &sum, &recovery, &j);

	if (r)
		die("journal_open", r);
	*ret_frames = recovery.frames;
	journal_recovery_release(&recovery);
	return j;
}

static void bench_replay(struct store *store)
{
	uint64_t frames;
	struct journal *j = open_journal(store, &frames);
	int64_t start;
	double s;

	for (int i = 0; i < REPLAY_FRAMES; i++)
		append(j, REPLAY_PAYLOAD_BYTES);
	if (journal_close(j))
		die("close", EIO);
	for (int i = 0; i < 3; i++) {
		start = now_ns();
		j = open_journal(store, &frames);
		s = (double)(now_ns() - start) / 1e9;
		printf("{\"what\":\"replay\",\"frames\":%llu,\"s\":%.3f,\"per_s\":%.0f}\n", (unsigned long long)frames, s, (double)frames / s);
		(void)journal_close(j);
	}
}

int main(int argc, char **argv)
{
	struct reason reason = {0};
	struct store *store;
	struct journal *j;
	struct env *env;
	uint64_t frames;
	int fd, dir;

	if (argc != 2 || chdir(argv[1]) || (dir = open(".", O_RDONLY | O_DIRECTORY)) < 0)
		die("usage: bench_journal DIRECTORY", EINVAL);
	env = env_posix_new(dir);
	if (!env || store_open(env, STORE_CREATE, &reason, &store))
		die(reason.text, EIO);
	j = open_journal(store, &frames);
	if (journal_start(j))
		die("journal_start", EIO);
	fd = raw_file();
	for (int round = 0; round < 3; round++) {
		bench_raw(fd, "raw pwrite+fdatasync");
		bench_single(j, "append+wait durable, 1 thread", JOURNAL_DURABLE);
	}
	bench_crowd(j, "append+wait durable, 16 threads", JOURNAL_DURABLE);
	journal_set_sync_interval(j, 1000);
	bench_single(j, "append+wait acknowledged, interval, 1 thread", JOURNAL_ACKNOWLEDGED);
	bench_crowd(j, "append+wait acknowledged, interval, 16 threads", JOURNAL_ACKNOWLEDGED);
	if (journal_close(j))
		die("close", EIO);
	close(fd);
	bench_replay(store);
	store_close(store);
	env_posix_free(env);
	return 0;
}
