/* SPDX-License-Identifier: MIT
 *
 * The calls of the in-memory environment. Each that modifies or syncs first
 * checks its arguments, then asks op_begin() what becomes of it (done, failed,
 * cut by power or death), then changes what the process sees and records the
 * change as pending. A sync turns pending into durable. What a crash makes of the
 * rest is env_mem_crash.c.
 */
#include "env_mem.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "env_mem_private.h"
#include "util.h"

/* 2026-01-01T00:00:00Z */
#define START_TIME_NS (1767225600LL * NS_PER_S)

struct env_mem *mem_enter(struct env *env)
{
	struct env_mem *m = (struct env_mem *)env;

	pthread_mutex_lock(&m->lock);
	return m;
}

int mem_leave(struct env_mem *m, int r)
{
	pthread_mutex_unlock(&m->lock);
	return r;
}

bool mem_gone(const struct env_mem *m)
{
	return m->off || m->dead;
}

enum mem_outcome mem_op_begin(struct env_mem *m, bool is_sync, int *ret_error)
{
	*ret_error = -EIO;
	if (mem_gone(m))
		return OUT_GONE;
	m->stats.ops++;
	if (m->stats.ops == m->power_off_at) {
		m->off = true;
		return OUT_POWER;
	}
	if (m->stats.ops == m->kill_at) {
		m->dead = true;
		return OUT_KILLED;
	}
	for (size_t i = 0; i < m->fault_count; i++)
		if (m->faults[i].op == m->stats.ops) {
			*ret_error = -m->faults[i].error;
			return OUT_FAILED;
		}
	if (is_sync && m->sync_error) {
		*ret_error = -m->sync_error;
		return OUT_FAILED;
	}
	*ret_error = 0;
	return OUT_DONE;
}

/* --- files ------------------------------------------------------------------- */

struct mem_node *mem_fd_node(struct env_mem *m, int fd)
{
	return fd >= 0 && (size_t)fd < m->fd_count ? m->fds[fd].node : NULL;
}

static int fd_new(struct env_mem *m, struct mem_node *node, bool writable)
{
	size_t fd = 0;

	while (fd < m->fd_count && m->fds[fd].node)
		fd++;
	if (fd == m->fd_count) {
		if (array_reserve(&m->fds, &m->fd_capacity, fd + 1, sizeof(struct mem_fd)))
			abort();
		m->fd_count++;
	}
	m->fds[fd] = (struct mem_fd){node, writable};
	node->opens++;
	return (int)fd;
}

static int open_locked(struct env_mem *m, const char *path, int flags)
{
	struct mem_node *parent, *node;
	const char *name;
	int r;

	if (mem_gone(m))
		return -EIO;
	r = mem_path_find(m, path, &parent, &name, &node);
	if (r)
		return r;
	if (!node) {
		if (!(flags & ENV_CREATE))
			return -ENOENT;
		node = mem_node_new(m, false);
		r = mem_name_op_run(m, (struct mem_name_op){.to = parent, .to_name = (char *)name, .node = node});
		if (r)
			return r;
	} else if ((flags & ENV_CREATE) && (flags & ENV_EXCL)) {
		return -EEXIST;
	} else if (node->is_dir) {
		return -EISDIR;
	}
	return fd_new(m, node, flags & ENV_WRITE);
}

static int mem_open(struct env *env, const char *path, int flags)
{
	struct env_mem *m = mem_enter(env);

	return mem_leave(m, open_locked(m, path, flags));
}

void mem_fd_close(struct env_mem *m, int fd)
{
	struct mem_node *node = mem_fd_node(m, fd);

	if (!node)
		return;
	if (node->locked_by_fd == fd)
		node->locked_by_fd = -1;
	node->opens--;
	m->fds[fd].node = NULL;
}

static void mem_close(struct env *env, int fd)
{
	struct env_mem *m = mem_enter(env);

	assert(mem_gone(m) || mem_fd_node(m, fd)); /* closing twice is the caller's mistake */
	mem_fd_close(m, fd);
	mem_leave(m, 0);
}

static ssize_t mem_pread(struct env *env, int fd, void *buf, size_t len, uint64_t offset)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *node = mem_fd_node(m, fd);
	ssize_t r;

	if (mem_gone(m))
		r = -EIO;
	else if (!node)
		r = -EBADF;
	else
		r = (ssize_t)mem_content_read(&node->content, buf, len, offset);
	mem_leave(m, 0);
	return r;
}

/* 0, or why @fd cannot be written to. */
static int writable(struct env_mem *m, int fd, struct mem_node **ret_node)
{
	*ret_node = mem_fd_node(m, fd);
	if (mem_gone(m))
		return -EIO;
	return *ret_node && m->fds[fd].writable ? 0 : -EBADF;
}

uint64_t mem_used_bytes(const struct env_mem *m)
{
	uint64_t used = 0;

	for (size_t i = 0; i < m->node_count; i++)
		if (m->nodes[i]->links || m->nodes[i]->opens)
			used += m->nodes[i]->content.size;
	return used;
}

static bool has_room(const struct env_mem *m, const struct mem_node *node, uint64_t end)
{
	return !m->capacity || end <= node->content.size || mem_used_bytes(m) + (end - node->content.size) <= m->capacity;
}

static void data_op_add(struct env_mem *m, struct mem_node *node, struct mem_data_op op, const void *data)
{
	if (array_reserve(&node->ops, &node->op_capacity, node->op_count + 1, sizeof(op)))
		abort();
	op.op = m->stats.ops;
	if (data) {
		op.data = mem_alloc((size_t)op.len);
		memcpy(op.data, data, (size_t)op.len);
	}
	node->ops[node->op_count++] = op;
}

/* Whatever of this file was not certain will never be. */
static void data_ops_unsure(struct mem_node *node)
{
	for (size_t i = 0; i < node->op_count; i++)
		if (node->ops[i].fate == MEM_PENDING)
			node->ops[i].fate = MEM_UNSURE;
}

/* The operation as far as it got: seen by the process, and pending. */
static void data_op_run(struct env_mem *m, struct mem_node *node, struct mem_data_op op, const void *data)
{
	data_op_add(m, node, op, data);
	mem_data_op_apply(&node->ops[node->op_count - 1], &node->content);
}

static int pwrite_locked(struct env_mem *m, int fd, const void *buf, size_t len, uint64_t offset)
{
	struct mem_data_op op = {.kind = MEM_WRITE, .offset = offset, .len = len};
	struct mem_node *node;
	enum mem_outcome out;
	int r = writable(m, fd, &node);

	if (r)
		return r;
	out = mem_op_begin(m, false, &r);
	if (out == OUT_POWER)
		data_op_add(m, node, op, buf);
	if (out == OUT_FAILED || out == OUT_KILLED) {
		op.len = rng_below(&m->rng, len + 1);
		if (has_room(m, node, offset + op.len))
			data_op_run(m, node, op, buf);
	}
	if (out == OUT_DONE && !has_room(m, node, offset + len))
		out = OUT_FAILED, r = -ENOSPC;
	if (out == OUT_FAILED)
		data_ops_unsure(node);
	if (out != OUT_DONE)
		return r;
	data_op_run(m, node, op, buf);
	m->stats.writes++;
	m->stats.bytes_written += len;
	return 0;
}

static int mem_pwrite(struct env *env, int fd, const void *buf, size_t len, uint64_t offset)
{
	struct env_mem *m = mem_enter(env);

	return mem_leave(m, pwrite_locked(m, fd, buf, len, offset));
}

/* Truncate and allocate: all or nothing. */
static int resize_locked(struct env_mem *m, int fd, struct mem_data_op op, uint64_t end)
{
	struct mem_node *node;
	enum mem_outcome out;
	int r = writable(m, fd, &node);

	if (r)
		return r;
	out = mem_op_begin(m, false, &r);
	if (out == OUT_POWER)
		data_op_add(m, node, op, NULL);
	if (out != OUT_DONE)
		return r;
	/* A truncation makes a hole, but the simple account here counts holes too. */
	if (!has_room(m, node, end))
		return -ENOSPC;
	data_op_run(m, node, op, NULL);
	return 0;
}

static int mem_allocate(struct env *env, int fd, uint64_t offset, uint64_t len)
{
	struct env_mem *m = mem_enter(env);

	return mem_leave(m, !len ? -EINVAL : resize_locked(m, fd, (struct mem_data_op){.kind = MEM_ALLOCATE, .offset = offset, .len = len}, offset + len));
}

static int mem_truncate(struct env *env, int fd, uint64_t len)
{
	struct env_mem *m = mem_enter(env);

	return mem_leave(m, resize_locked(m, fd, (struct mem_data_op){.kind = MEM_TRUNCATE, .offset = len}, len));
}

static int mem_size(struct env *env, int fd, uint64_t *ret_bytes)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *node = mem_fd_node(m, fd);

	if (mem_gone(m))
		return mem_leave(m, -EIO);
	if (!node)
		return mem_leave(m, -EBADF);
	*ret_bytes = node->content.size;
	return mem_leave(m, 0);
}

/* All pending becomes durable; the certain beginning of the list moves into the durable contents. */
static void data_ops_commit(struct mem_node *node)
{
	size_t n = 0;

	for (size_t i = 0; i < node->op_count; i++)
		if (node->ops[i].fate == MEM_PENDING)
			node->ops[i].fate = MEM_DURABLE;
	while (n < node->op_count && node->ops[n].fate == MEM_DURABLE) {
		mem_data_op_apply(&node->ops[n], &node->durable_content);
		free(node->ops[n++].data);
	}
	node->op_count -= n;
	if (n)
		memmove(node->ops, node->ops + n, node->op_count * sizeof(node->ops[0]));
}

static int mem_fdatasync(struct env *env, int fd)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *node = mem_fd_node(m, fd);
	enum mem_outcome out;
	int r;

	if (mem_gone(m))
		return mem_leave(m, -EIO);
	if (!node)
		return mem_leave(m, -EBADF);
	out = mem_op_begin(m, true, &r);
	if (out == OUT_FAILED)
		data_ops_unsure(node);
	if (out == OUT_DONE) {
		data_ops_commit(node);
		m->stats.syncs++;
	}
	return mem_leave(m, r);
}

/* --- the rest of the table ----------------------------------------------------- */

static int mem_lock(struct env *env, int fd)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *node = mem_fd_node(m, fd);

	if (mem_gone(m))
		return mem_leave(m, -EIO);
	if (!node)
		return mem_leave(m, -EBADF);
	if (node->locked_by_fd >= 0 && node->locked_by_fd != fd)
		return mem_leave(m, -EAGAIN);
	node->locked_by_fd = fd;
	return mem_leave(m, 0);
}

static int mem_space(struct env *env, struct env_space *ret)
{
	struct env_mem *m = mem_enter(env);
	uint64_t total = m->capacity ? m->capacity : 1ull << 40;
	uint64_t used = mem_used_bytes(m);

	if (mem_gone(m))
		return mem_leave(m, -EIO);
	*ret = (struct env_space){
		.total_bytes = total,
		.free_bytes = used < total ? total - used : 0,
		.files_total = 1u << 20,
		.files_free = (1u << 20) - MIN(m->node_count, (size_t)1 << 20),
	};
	return mem_leave(m, 0);
}

static int64_t clock_read(struct env *env, bool monotonic)
{
	struct env_mem *m = mem_enter(env);
	int64_t now = monotonic ? m->monotonic_ns : m->time_ns;

	m->time_ns += m->step_ns;
	m->monotonic_ns += m->step_ns;
	mem_leave(m, 0);
	return now;
}

static int64_t mem_time_ns(struct env *env)
{
	return clock_read(env, false);
}

static int64_t mem_monotonic_ns(struct env *env)
{
	return clock_read(env, true);
}

static int mem_random(struct env *env, void *buf, size_t len)
{
	struct env_mem *m = mem_enter(env);

	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(rng_next(&m->rng) >> 56);
	return mem_leave(m, 0);
}

static const struct env_ops mem_ops = {
	.open = mem_open,
	.close = mem_close,
	.pread = mem_pread,
	.pwrite = mem_pwrite,
	.fdatasync = mem_fdatasync,
	.allocate = mem_allocate,
	.truncate = mem_truncate,
	.size = mem_size,
	.rename = mem_rename,
	.unlink = mem_unlink,
	.mkdir = mem_mkdir,
	.dir_sync = mem_dir_sync,
	.list = mem_list,
	.lock = mem_lock,
	.space = mem_space,
	.time_ns = mem_time_ns,
	.monotonic_ns = mem_monotonic_ns,
	.random = mem_random,
};

struct env *env_mem_new(uint64_t seed)
{
	struct env_mem *m = mem_alloc(sizeof(*m));

	m->env.ops = &mem_ops;
	pthread_mutex_init(&m->lock, NULL);
	rng_init(&m->rng, seed);
	m->time_ns = START_TIME_NS;
	m->monotonic_ns = NS_PER_S;
	m->step_ns = 1000;
	mem_node_new(m, true)->links = 1;
	return &m->env;
}
