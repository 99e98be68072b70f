/* SPDX-License-Identifier: MIT
 *
 * What can be said in terms of any environment: replace a file so that after a
 * crash it is the old or the new one, and read a small file whole.
 *
 * The temporary name is the file's own with ".tmp", so two threads must not
 * replace the same file at once, and a rest left by a crash is overwritten by
 * the next try. When anything fails the old file is still there, except that a
 * failed final dir_sync leaves either of the two.
 */
#include "env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "util.h"

static int write_whole(struct env *env, const char *path, const void *data, size_t len)
{
	int fd, r;

	fd = env_open(env, path, ENV_WRITE | ENV_CREATE);
	if (fd < 0)
		return fd;
	r = env_truncate(env, fd, 0);
	if (!r && len)
		r = env_pwrite(env, fd, data, len, 0);
	if (!r)
		r = env_fdatasync(env, fd);
	env_close(env, fd);
	return r;
}

int env_replace_file(struct env *env, const char *dir, const char *path, const void *data, size_t len)
{
	cleanup_buf struct buf temporary = BUF_INIT;
	int r;

	buf_printf(&temporary, "%s.tmp", path);
	if (temporary.error)
		return temporary.error;
	r = write_whole(env, temporary.data, data, len);
	if (!r)
		r = env_rename(env, temporary.data, path); /* the new file takes the name here */
	if (r < 0) {
		(void)env_unlink(env, temporary.data); /* may not exist; the first error is the one that matters */
		return r;
	}
	return env_dir_sync(env, dir);
}

static int read_open(struct env *env, int fd, size_t max, char **ret_data, size_t *ret_len)
{
	uint64_t size;
	ssize_t n;
	char *data;
	int r;

	r = env_size(env, fd, &size);
	if (r < 0)
		return r;
	if (size > max)
		return -EFBIG;
	data = malloc((size_t)size + 1);
	if (!data)
		return -ENOMEM;
	n = env_pread(env, fd, data, (size_t)size, 0);
	if (n < 0) {
		free(data);
		return (int)n;
	}
	data[n] = '\0';
	*ret_data = data;
	*ret_len = (size_t)n;
	return 0;
}

int env_read_file(struct env *env, const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	int fd, r;

	fd = env_open(env, path, ENV_READ);
	if (fd < 0)
		return fd;
	r = read_open(env, fd, max, ret_data, ret_len);
	env_close(env, fd);
	return r;
}
