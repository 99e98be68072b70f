/* SPDX-License-Identifier: MIT
 *
 * See env_mem_files.h.
 */
#include "env_mem_files.h"

#include <string.h>

#include "cmocka_all.h"
#include "util.h"

const char *env_mem_text(struct env *env, const char *path)
{
	static char text[256];
	ssize_t n = env_mem_read(env, path, text, sizeof(text) - 1, 0);

	if (n < 0)
		return "-";
	text[n] = '\0';
	return text;
}

int env_mem_create(struct env *env, const char *path, const char *text)
{
	int fd = env_open(env, path, ENV_WRITE | ENV_CREATE);

	if (fd >= 0 && *text)
		assert_int_equal(env_pwrite(env, fd, text, strlen(text), 0), 0);
	return fd;
}

void env_mem_create_durable(struct env *env, const char *path, const char *text)
{
	int fd = env_mem_create(env, path, text);

	assert_true(fd >= 0);
	assert_int_equal(env_fdatasync(env, fd), 0);
	assert_int_equal(env_dir_sync(env, ""), 0);
	env_close(env, fd);
}

void env_mem_expect_after(struct env *env, enum env_mem_mode mode, const char *path, const char *expected)
{
	struct env *after = env_mem_power_cycle(env, mode, 1);

	assert_string_equal(env_mem_text(after, path), expected);
	env_mem_free(after);
}
