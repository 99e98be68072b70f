/* SPDX-License-Identifier: MIT
 *
 * Files that prove themselves. A version of a file is a header line with its id, number, length and checksum, and a
 * body made from them, so a reader can tell any mixture of two versions from a whole one.
 *
 *   selfcheck write FILE ID FIRST COUNT MODE SIZE ACK   save versions FIRST..; after each acknowledged one write its number
 *                                                       to ACK ("-": none). COUNT 0: until an error. MODE: trunc, chunks
 *                                                       (many writes), tmp (rename), rw (fsync before close)
 *   selfcheck read FILE STOP                            read in a loop until STOP exists; every reading must be whole and
 *                                                       no older than the one before. Prints the count of readings
 *   selfcheck check FILE MIN                            one whole version, number >= MIN; prints the number
 *   selfcheck append FILE ID COUNT ACK                  append COUNT (0: until an error) lines, one write each
 *
 * Exit status: 0, 1 torn or lost (said on stderr), 2 cannot work, 3 an error ended "until an error".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES 64
#define BODY_MAX (1 << 20)

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Text lines, so that YAML-minded tools can look at it too. */
static void fill_body(char *body, size_t len, uint64_t id, uint64_t number)
{
	uint64_t state = mix(id * 1000003 + number);

	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			state = mix(state + 0x9e3779b97f4a7c15u);
		body[i] = i % 64 == 63 || i + 1 == len ? '\n' : (char)('a' + ((state >> (i % 8 * 8)) & 15));
	}
}

static size_t make_version(char *buf, uint64_t id, uint64_t number, size_t size)
{
	size_t len = size ? mix(id + number * 7919) % size + 1 : 1;
	int n = snprintf(buf, HEADER_BYTES, "id=%08llx number=%012llu length=%09zu", (unsigned long long)id, (unsigned long long)number, len);

	memset(buf + n, '.', HEADER_BYTES - n - 1);
	buf[HEADER_BYTES - 1] = '\n';
	fill_body(buf + HEADER_BYTES, len, id, number);
	return HEADER_BYTES + len;
}

/* The number of the version in buf, or -1 with a sentence in why. */
static long long check_version(const char *buf, size_t len, char *scratch, char *why, size_t why_size)
{
	unsigned long long id, number;
	size_t length;

	if (len < HEADER_BYTES) {
		snprintf(why, why_size, "only %zu bytes", len);
		return -1;
	}
	if (sscanf(buf, "id=%8llx number=%12llu length=%9zu", &id, &number, &length) != 3) {
		snprintf(why, why_size, "no header: %.40s", buf);
		return -1;
	}
	if (length > BODY_MAX || len != HEADER_BYTES + length) {
		snprintf(why, why_size, "version %llu: %zu bytes instead of %zu", number, len, HEADER_BYTES + length);
		return -1;
	}
	fill_body(scratch, length, id, number);
	for (size_t i = 0; i < length; i++) {
		if (scratch[i] != buf[HEADER_BYTES + i]) {
			snprintf(why, why_size, "version %llu: wrong byte at %zu of %zu", number, HEADER_BYTES + i, len);
			return -1;
		}
	}
	return (long long)number;
}

static int write_all(int fd, const char *buf, size_t len, size_t chunk)
{
	while (len) {
		ssize_t n = write(fd, buf, len < chunk ? len : chunk);

		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static int save(const char *path, const char *mode, const char *buf, size_t len)
{
	char tmp[4096];
	const char *target = path;
	int fd, r;

	if (!strcmp(mode, "tmp")) {
		snprintf(tmp, sizeof(tmp), "%s.tmp%d", path, (int)getpid());
		target = tmp;
	}
	fd = open(target, (!strcmp(mode, "rw") ? O_RDWR : O_WRONLY) | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = write_all(fd, buf, len, strcmp(mode, "chunks") ? SIZE_MAX / 2 : 1500);
	if (!r && !strcmp(mode, "rw") && fsync(fd))
		r = -errno;
	if (close(fd) && !r)
		r = -errno;
	if (!r && target != path && rename(target, path))
		r = -errno;
	return r;
}

static int ack_write(int fd, uint64_t number)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "%llu\n", (unsigned long long)number);

	return fd < 0 || write(fd, line, (size_t)n) == n ? 0 : -EIO;
}

static int ack_open(const char *path)
{
	return strcmp(path, "-") ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;
}

static int cmd_write(char **a)
{
	uint64_t id = strtoull(a[1], NULL, 10), first = strtoull(a[2], NULL, 10), count = strtoull(a[3], NULL, 10);
	size_t size = strtoull(a[5], NULL, 10);
	char *buf = malloc(HEADER_BYTES + BODY_MAX);
	int ack = ack_open(a[6]), r;

	if (!buf || size > BODY_MAX)
		return 2;
	for (uint64_t n = first; !count || n < first + count; n++) {
		r = save(a[0], a[4], buf, make_version(buf, id, n, size));
		if (r) {
			fprintf(stderr, "save of version %llu: %s\n", (unsigned long long)n, strerror(-r));
			return 3;
		}
		if (ack_write(ack, n))
			return 2;
	}
	free(buf);
	return 0;
}

static int cmd_append(char **a)
{
	uint64_t count = strtoull(a[2], NULL, 10);
	int ack = ack_open(a[3]);
	char line[200];

	for (uint64_t n = 1; !count || n <= count; n++) {
		int len = snprintf(line, sizeof(line), "%s %llu %016llx end\n", a[1], (unsigned long long)n, (unsigned long long)mix(n));
		int fd = open(a[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

		if (fd < 0 || write(fd, line, (size_t)len) != len || close(fd)) {
			perror("append");
			return 3;
		}
		if (ack_write(ack, n))
			return 2;
	}
	return 0;
}

/* The whole file, read in small and large pieces; -1 when it cannot be opened. */
static ssize_t read_file(const char *path, char *buf, size_t size, unsigned round)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, piece = round % 3 == 0 ? 1000 : round % 3 == 1 ? 8192 : size;
	ssize_t n;

	if (fd < 0)
		return -1;
	while ((n = read(fd, buf + len, size - len < piece ? size - len : piece)) > 0)
		len += (size_t)n;
	close(fd);
	return n < 0 ? -1 : (ssize_t)len;
}

static int cmd_read(char **a, bool once)
{
	char *buf = malloc(HEADER_BYTES + BODY_MAX + 1), *scratch = malloc(BODY_MAX), why[200];
	long long last = once ? strtoll(a[1], NULL, 10) : -1, number = -1;
	unsigned rounds = 0;
	struct stat st;

	if (!buf || !scratch)
		return 2;
	do {
		ssize_t len = read_file(a[0], buf, HEADER_BYTES + BODY_MAX + 1, once ? 2 : rounds);

		if (len < 0) {
			fprintf(stderr, "%s: %s\n", a[0], strerror(errno));
			return 1;
		}
		number = check_version(buf, (size_t)len, scratch, why, sizeof(why));
		if (number < 0) {
			fprintf(stderr, "%s: torn at reading %u: %s\n", a[0], rounds, why);
			return 1;
		}
		if (number < last) {
			fprintf(stderr, "%s: version %lld after %lld\n", a[0], number, last);
			return 1;
		}
		last = number;
		rounds++;
	} while (!once && stat(a[1], &st));
	printf("%lld\n", once ? number : (long long)rounds);
	free(buf);
	free(scratch);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 9 && !strcmp(argv[1], "write"))
		return cmd_write(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "read"))
		return cmd_read(argv + 2, false);
	if (argc == 4 && !strcmp(argv[1], "check"))
		return cmd_read(argv + 2, true);
	if (argc == 6 && !strcmp(argv[1], "append"))
		return cmd_append(argv + 2);
	fprintf(stderr, "usage: see the comment in selfcheck.c\n");
	return 2;
}
