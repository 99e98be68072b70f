/* SPDX-License-Identifier: MIT
 *
 * Plain file work in a directory of whatever file system, as programs do it.
 *
 *	load_files OPERATION DIR WRITERS SECONDS BYTES   for a while; a line with rate and percentiles
 *	load_files OPERATION DIR COUNT                   create, stat, readdir, unlink of COUNT names
 *
 * Operations for a while (`-fsync` forms ask for durability, for file systems whose close does not promise it):
 *	save, save-fsync          open(O_TRUNC), write, [fsync,] close
 *	atomic, atomic-fsync      write a temporary file, [fsync,] close, rename over the target, [fsync of the directory]
 *	append, append-fsync      open(O_APPEND), write, [fsync,] close          on DIR/base
 *	append-fd                 write, fdatasync on a descriptor held open     on DIR/base
 *	read                      open, read, close of BYTES
 *	round-trip                a getattr that the kernel must ask the server for
 *	write-big, read-big       a file of BYTES by 1 MiB calls; read from the server, not from the caller's page cache
 *	fill                      make DIR/base of BYTES, once
 *
 * Each writer is a process (a thread with BENCH_THREADS in the environment). Writer K works in DIR/wK, on eight files in turn; DIR/wK/fN ends in the suffix of BENCH_SUFFIX (".txt") and holds text in that form.
 */
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 8
#define CHUNK_BYTES ((size_t)1 << 20)

struct place {
	int dir;
	int fd; /* of append-fd */
	char names[FILES][32], temporary[32];
};

struct job {
	const char *dir;
	const char *suffix;
	size_t bytes;
	char *data;
	int sync;
};

static void check(long r, const char *what)
{
	if (r < 0)
		bench_die(what);
}

static void check_len(ssize_t r, size_t want, const char *what)
{
	if (r >= 0 && (size_t)r != want)
		errno = EIO;
	if (r < 0 || (size_t)r != want)
		bench_die(what);
}

static const struct job *job_of(struct bench_worker *w)
{
	return w->crowd->arg;
}

static void write_file(const struct job *j, int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	check(fd, name);
	check_len(write(fd, j->data, j->bytes), j->bytes, "write");
	if (j->sync)
		check(fsync(fd), "fsync");
	check(close(fd), "close");
}

static void prepare(struct bench_worker *w)
{
	const struct job *j = job_of(w);
	struct place *p = calloc(1, sizeof(*p));
	char path[4096];

	if (!p)
		bench_die("malloc");
	(void)snprintf(path, sizeof(path), "%s/w%u", j->dir, w->index);
	if (mkdir(path, 0755) && errno != EEXIST)
		bench_die(path);
	p->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(p->dir, path);
	for (unsigned i = 0; i < FILES; i++)
		(void)snprintf(p->names[i], sizeof(p->names[i]), "f%u%s", i, j->suffix);
	(void)snprintf(p->temporary, sizeof(p->temporary), ".t%s", j->suffix);
	w->state = p;
}

static void prepare_read(struct bench_worker *w)
{
	struct place *p;

	prepare(w);
	p = w->state;
	for (unsigned i = 0; i < FILES; i++)
		write_file(job_of(w), p->dir, p->names[i]);
}

static void prepare_fd(struct bench_worker *w)
{
	char path[4096];

	prepare(w);
	(void)snprintf(path, sizeof(path), "%s/base", job_of(w)->dir);
	((struct place *)w->state)->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	check(((struct place *)w->state)->fd, path);
}

static void op_save(struct bench_worker *w, uint64_t i)
{
	struct place *p = w->state;

	write_file(job_of(w), p->dir, p->names[i % FILES]);
}

static void op_atomic(struct bench_worker *w, uint64_t i)
{
	struct place *p = w->state;
	const struct job *j = job_of(w);

	write_file(j, p->dir, p->temporary);
	check(renameat(p->dir, p->temporary, p->dir, p->names[i % FILES]), "rename");
	if (j->sync)
		check(fsync(p->dir), "fsync of the directory");
}

static void op_append(struct bench_worker *w, uint64_t i)
{
	const struct job *j = job_of(w);
	struct place *p = w->state;
	int fd = openat(p->dir, "../base", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	(void)i;
	check(fd, "base");
	check_len(write(fd, j->data, j->bytes), j->bytes, "write");
	if (j->sync)
		check(fsync(fd), "fsync");
	check(close(fd), "close");
}

static void op_append_fd(struct bench_worker *w, uint64_t i)
{
	const struct job *j = job_of(w);
	struct place *p = w->state;

	(void)i;
	check_len(write(p->fd, j->data, j->bytes), j->bytes, "write");
	check(fdatasync(p->fd), "fdatasync");
}

static void op_read(struct bench_worker *w, uint64_t i)
{
	static __thread char buf[1 << 16];
	struct place *p = w->state;
	size_t bytes = job_of(w)->bytes;
	int fd = openat(p->dir, p->names[i % FILES], O_RDONLY | O_CLOEXEC);

	check(fd, "open");
	check_len(read(fd, buf, bytes), bytes, "read");
	check(close(fd), "close");
}

static void op_round_trip(struct bench_worker *w, uint64_t i)
{
	struct place *p = w->state;
	struct statx stx;

	check(statx(p->dir, p->names[i % FILES], AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW, STATX_MTIME, &stx), "statx");
}

static void op_write_big(struct bench_worker *w, uint64_t i)
{
	const struct job *j = job_of(w);
	struct place *p = w->state;
	int fd = openat(p->dir, "big.bin", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	(void)i;
	check(fd, "big.bin");
	for (size_t at = 0; at < j->bytes; at += CHUNK_BYTES)
		check_len(write(fd, j->data, CHUNK_BYTES), CHUNK_BYTES, "write");
	check(close(fd), "close");
}

static void op_read_big(struct bench_worker *w, uint64_t i)
{
	const struct job *j = job_of(w);
	struct place *p = w->state;
	int fd = openat(p->dir, "big.bin", O_RDONLY | O_CLOEXEC);

	(void)i;
	check(fd, "big.bin");
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* of this file system's pages, not of those below it */
	for (size_t at = 0; at < j->bytes; at += CHUNK_BYTES)
		check_len(read(fd, j->data, CHUNK_BYTES), CHUNK_BYTES, "read");
	check(close(fd), "close");
}

static void op_fill(struct bench_worker *w, uint64_t i)
{
	const struct job *j = job_of(w);
	struct place *p = w->state;
	int fd = openat(p->dir, "../base", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	(void)i;
	check(fd, "base");
	for (size_t at = 0; at < j->bytes; at += CHUNK_BYTES)
		check_len(write(fd, j->data, CHUNK_BYTES), CHUNK_BYTES, "write");
	check(fsync(fd), "fsync");
	check(close(fd), "close");
}

/* ---- operations on COUNT names ---- */

static void names_create(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	check(fd, name);
	check(close(fd), "close");
}

static void names_stat(int dir, const char *name)
{
	struct stat st;

	check(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), name);
}

static void names_unlink(int dir, const char *name)
{
	check(unlinkat(dir, name, 0), name);
}

static uint64_t count_entries(const char *path)
{
	DIR *d = opendir(path);
	uint64_t n = 0;

	if (!d)
		bench_die(path);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int run_names(const char *what, const char *path, uint64_t count)
{
	void (*fn)(int, const char *) = !strcmp(what, "create")   ? names_create
					: !strcmp(what, "stat")   ? names_stat
					: !strcmp(what, "unlink") ? names_unlink
								  : NULL;
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t begin;
	double seconds;
	char name[32];

	if (!fn && strcmp(what, "readdir") != 0)
		return 2;
	check(dir, path);
	begin = bench_now_ns();
	if (!fn) {
		count = count_entries(path);
	} else {
		for (uint64_t i = 0; i < count; i++) {
			(void)snprintf(name, sizeof(name), "n%06llu", (unsigned long long)i);
			fn(dir, name);
		}
	}
	seconds = (double)(bench_now_ns() - begin) / 1e9;
	printf("{\"ops\":%llu,\"seconds\":%.4f,\"per_s\":%.1f}\n", (unsigned long long)count, seconds, (double)count / seconds);
	return close(dir);
}

/* ---- */

static const struct operation {
	const char *name;
	void (*prepare)(struct bench_worker *w);
	void (*op)(struct bench_worker *w, uint64_t i);
	int sync;
} operations[] = {
	{"save", prepare, op_save, 0},
	{"save-fsync", prepare, op_save, 1},
	{"atomic", prepare, op_atomic, 0},
	{"atomic-fsync", prepare, op_atomic, 1},
	{"append", prepare, op_append, 0},
	{"append-fsync", prepare, op_append, 1},
	{"append-fd", prepare_fd, op_append_fd, 0},
	{"read", prepare_read, op_read, 0},
	{"round-trip", prepare_read, op_round_trip, 0},
	{"write-big", prepare, op_write_big, 0},
	{"read-big", prepare, op_read_big, 0},
	{"fill", prepare, op_fill, 0},
};

/* Text that no compressor gains on, and well-formed in the form the suffix promises: one JSON string, which YAML and plain text are
   content with, too. */
static char *make_data(size_t bytes)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char *data = malloc(CHUNK_BYTES);
	uint64_t random = 88172645463325252ull;

	if (!data)
		bench_die("malloc");
	if (bytes > CHUNK_BYTES) /* larger files are written in chunks */
		bytes = CHUNK_BYTES;
	for (size_t i = 0; i < CHUNK_BYTES; i++) {
		random ^= random << 13; /* xorshift64, Marsaglia 2003 */
		random ^= random >> 7;
		random ^= random << 17;
		data[i] = letters[random >> 58];
	}
	data[0] = '"';
	data[bytes > 2 ? bytes - 2 : 0] = '"';
	data[bytes ? bytes - 1 : 0] = '\n';
	return data;
}

int main(int argc, char **argv)
{
	struct bench_crowd *crowd = bench_crowd_new();
	static struct job job;

	if (argc == 4)
		return run_names(argv[1], argv[2], strtoull(argv[3], NULL, 10));
	for (size_t i = 0; argc == 6 && i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (strcmp(argv[1], operations[i].name) != 0)
			continue;
		job = (struct job){.dir = argv[2],
			.suffix = getenv("BENCH_SUFFIX") ? getenv("BENCH_SUFFIX") : ".txt",
			.bytes = strtoull(argv[5], NULL, 10),
			.sync = operations[i].sync};
		job.data = make_data(job.bytes);
		*crowd = (struct bench_crowd){.threads = (unsigned)atoi(argv[3]),
			.processes = !getenv("BENCH_THREADS"),
			.seconds = atof(argv[4]),
			.prepare = operations[i].prepare,
			.op = operations[i].op,
			.arg = &job};
		bench_run(crowd);
		free(job.data);
		return 0;
	}
	fprintf(stderr, "usage: load_files OPERATION DIR WRITERS SECONDS BYTES | load_files create|stat|readdir|unlink DIR COUNT\n");
	return 2;
}
