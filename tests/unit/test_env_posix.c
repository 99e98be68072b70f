/* SPDX-License-Identifier: MIT
 *
 * env_posix on a temporary directory, and env.c (replace, read) on top of it.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "env.h"
#include "util.h"

struct fixture {
	char path[64];
	int dir_fd;
	struct env *env;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->path, "/tmp/test-env-XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->env = env_posix_new(f->dir_fd);
	*state = f;
	return f->env ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[100];
	int r;

	env_posix_free(f->env);
	close(f->dir_fd);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	r = system(command);
	free(f);
	return r;
}

static struct env *env_of(void **state)
{
	return ((struct fixture *)*state)->env;
}

static void test_open(void **state)
{
	struct env *env = env_of(state);
	struct fixture *f = *state;
	struct stat st;
	int fd;

	assert_int_equal(env_open(env, "a", ENV_READ), -ENOENT);
	assert_int_equal(env_open(env, "no/a", ENV_WRITE | ENV_CREATE), -ENOENT);
	fd = env_open(env, "a", ENV_WRITE | ENV_CREATE | ENV_EXCL);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777 & ~0600, 0);
	env_close(env, fd);
	assert_int_equal(env_open(env, "a", ENV_WRITE | ENV_CREATE | ENV_EXCL), -EEXIST);
	fd = env_open(env, "a", ENV_READ);
	assert_int_equal(env_pwrite(env, fd, "x", 1, 0), -EBADF);
	env_close(env, fd);
	assert_int_equal(symlinkat("a", f->dir_fd, "link"), 0);
	assert_int_equal(env_open(env, "link", ENV_READ), -ELOOP);
}

static void test_read_write(void **state)
{
	struct env *env = env_of(state);
	char buf[32];
	uint64_t size;
	int fd = env_open(env, "a", ENV_WRITE | ENV_CREATE);

	assert_int_equal(env_pwrite(env, fd, "hello", 5, 10), 0);
	assert_int_equal(env_pread(env, fd, buf, sizeof(buf), 8), 7);
	assert_memory_equal(buf, "\0\0hello", 7);
	assert_int_equal(env_pread(env, fd, buf, 3, 11), 3);
	assert_memory_equal(buf, "ell", 3);
	assert_int_equal(env_pread(env, fd, buf, 3, 15), 0);
	assert_int_equal(env_fdatasync(env, fd), 0);
	assert_int_equal(env_truncate(env, fd, 12), 0);
	assert_int_equal(env_size(env, fd, &size), 0);
	assert_int_equal(size, 12);
	assert_int_equal(env_allocate(env, fd, 0, 100000), 0);
	assert_int_equal(env_size(env, fd, &size), 0);
	assert_int_equal(size, 100000);
	assert_int_equal(env_pread(env, fd, buf, 4, 10), 4);
	assert_memory_equal(buf, "he\0\0", 4);
	env_close(env, fd);
	assert_int_equal(env_pread(env, fd, buf, 1, 0), -EBADF);
	assert_int_equal(env_fdatasync(env, fd), -EBADF);
	assert_int_equal(env_size(env, fd, &size), -EBADF);
}

/* A write that the kernel cuts short must end in an error, not in a part that counts as whole. */
static void test_short_write_is_continued(void **state)
{
	struct env *env = env_of(state);
	struct rlimit old, small;
	char data[8192] = {1};
	uint64_t size;
	int fd = env_open(env, "a", ENV_WRITE | ENV_CREATE);

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){5000, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(env_pwrite(env, fd, data, sizeof(data), 0), -EFBIG);
	assert_int_equal(env_allocate(env, fd, 0, 8192), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(env_size(env, fd, &size), 0);
	assert_int_equal(size, 5000);
	env_close(env, fd);
}

struct seen {
	int files, dirs, stop_after;
};

static int see(void *arg, const char *name, bool is_dir)
{
	struct seen *seen = arg;

	assert_true(strcmp(name, ".") && strcmp(name, ".."));
	seen->files += !is_dir;
	seen->dirs += is_dir;
	return seen->files + seen->dirs == seen->stop_after ? 77 : 0;
}

static void test_names(void **state)
{
	struct env *env = env_of(state);
	struct seen seen = {0};

	assert_int_equal(env_mkdir(env, "d"), 0);
	assert_int_equal(env_mkdir(env, "d"), -EEXIST);
	env_close(env, env_open(env, "a", ENV_WRITE | ENV_CREATE));
	env_close(env, env_open(env, "d/b", ENV_WRITE | ENV_CREATE));
	assert_int_equal(env_rename(env, "a", "d/c"), 0);
	assert_int_equal(env_rename(env, "a", "d/c"), -ENOENT);
	assert_int_equal(env_dir_sync(env, ""), 0);
	assert_int_equal(env_dir_sync(env, "."), 0);
	assert_int_equal(env_dir_sync(env, "d"), 0);
	assert_int_equal(env_dir_sync(env, "d/b"), -ENOTDIR);
	assert_int_equal(env_dir_sync(env, "e"), -ENOENT);
	assert_int_equal(env_list(env, "", see, &seen), 0);
	assert_int_equal(seen.dirs, 1);
	assert_int_equal(seen.files, 0);
	seen = (struct seen){0};
	assert_int_equal(env_list(env, "d", see, &seen), 0);
	assert_int_equal(seen.files, 2);
	seen = (struct seen){.stop_after = 1};
	assert_int_equal(env_list(env, "d", see, &seen), 77);
	assert_int_equal(seen.files, 1);
	assert_int_equal(env_list(env, "x", see, &seen), -ENOENT);
	assert_int_equal(env_unlink(env, "d/b"), 0);
	assert_int_equal(env_unlink(env, "d/b"), -ENOENT);
	assert_int_equal(env_open(env, "d/b", ENV_READ), -ENOENT);
}

static void test_lock(void **state)
{
	struct env *env = env_of(state);
	int one = env_open(env, "l", ENV_WRITE | ENV_CREATE);
	int two = env_open(env, "l", ENV_WRITE);

	assert_int_equal(env_lock(env, one), 0);
	assert_int_equal(env_lock(env, two), -EAGAIN);
	env_close(env, one);
	assert_int_equal(env_lock(env, two), 0);
	env_close(env, two);
}

static void test_clock_random_space(void **state)
{
	struct env *env = env_of(state);
	struct env_space space;
	uint8_t a[300] = {0}, b[300] = {0};
	int64_t before = env_monotonic_ns(env);

	assert_true(env_time_ns(env) > 1700000000 * NS_PER_S);
	usleep(2000);
	assert_true(env_monotonic_ns(env) - before >= 2 * NS_PER_MS);
	assert_int_equal(env_random(env, a, sizeof(a)), 0);
	assert_int_equal(env_random(env, b, sizeof(b)), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(env_space(env, &space), 0);
	assert_true(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
	assert_true(space.files_free <= space.files_total);
}

static void check_file(struct env *env, const char *path, const char *expected)
{
	char *data;
	size_t len;

	assert_int_equal(env_read_file(env, path, 100, &data, &len), 0);
	assert_int_equal(len, strlen(expected));
	assert_string_equal(data, expected);
	free(data);
}

static void test_replace_and_read(void **state)
{
	struct env *env = env_of(state);
	char *data = NULL;
	size_t len = 7;

	assert_int_equal(env_read_file(env, "f", 100, &data, &len), -ENOENT);
	assert_int_equal(env_replace_file(env, "", "f", "first", 5), 0);
	check_file(env, "f", "first");
	assert_int_equal(env_replace_file(env, "", "f", "2nd", 3), 0);
	check_file(env, "f", "2nd");
	assert_int_equal(env_replace_file(env, "", "f", "", 0), 0);
	check_file(env, "f", "");
	assert_int_equal(env_replace_file(env, "", "f", "123456", 6), 0);
	assert_int_equal(env_read_file(env, "f", 5, &data, &len), -EFBIG);
	assert_null(data);
	assert_int_equal(len, 7);
	assert_int_equal(env_open(env, "f.tmp", ENV_READ), -ENOENT);
	assert_int_equal(env_mkdir(env, "d"), 0);
	assert_true(env_replace_file(env, "", "d", "x", 1) < 0);
	assert_int_equal(env_open(env, "d.tmp", ENV_READ), -ENOENT);
}

/* What root makes in somebody's directory is his. */
static void test_owner(void **state)
{
	struct fixture *f = *state;
	struct env *env;
	struct stat st;
	int fd;

	if (geteuid() != 0)
		skip();
	assert_int_equal(fchown(f->dir_fd, 12345, 23456), 0);
	env = env_posix_new(f->dir_fd);
	assert_non_null(env);
	fd = env_open(env, "file", ENV_WRITE | ENV_CREATE);
	assert_true(fd >= 0);
	env_close(env, fd);
	assert_int_equal(env_mkdir(env, "dir"), 0);
	assert_int_equal(env_replace_file(env, "", "replaced", "x", 1), 0);
	for (const char *const *name = (const char *const[]){"file", "dir", "replaced", NULL}; *name; name++) {
		assert_int_equal(fstatat(f->dir_fd, *name, &st, 0), 0);
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(st.st_gid, 23456);
	}
	env_posix_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_write_is_continued, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clock_random_space, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace_and_read, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
