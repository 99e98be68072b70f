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

enum outcome {
	OUT_DONE,
	OUT_FAILED, /* an armed fault */
	OUT_POWER,  /* the power goes during this operation */
	OUT_KILLED, /* the process dies during this operation */
	OUT_GONE,   /* the power or process went earlier */
};

static struct env_mem *lock_of(struct env *env)
{
	struct env_mem *m = (struct env_mem *)env;

	pthread_mutex_lock(&m->lock);
	return m;
}

static int unlock(struct env_mem *m, int r)
{
	pthread_mutex_unlock(&m->lock);
	return r;
}

static bool gone(const struct env_mem *m)
{
	return m->off || m->dead;
}

/* Counts the operation and decides. *@ret_error is what the call returns unless OUT_DONE. */
static enum outcome op_begin(struct env_mem *m, bool is_sync, int *ret_error)
{
	*ret_error = -EIO;
	if (gone(m))
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

/* --- paths ------------------------------------------------------------------- */

/* The node, with *@ret_parent and *@ret_name (its last component). 0 also when only the last component is missing (*@ret_node NULL). */
static int path_find(struct env_mem *m, const char *path, struct mem_node **ret_parent, const char **ret_name,
	struct mem_node **ret_node)
{
	struct mem_node *dir = m->nodes[0];

	assert(path[0] != '/');
	for (;;) {
		size_t len = strcspn(path, "/");
		struct mem_node *node = mem_entries_get(&dir->names, path, len);

		if (len > 255)
			return -ENAMETOOLONG;
		if (!path[len]) {
			*ret_parent = dir;
			*ret_name = path;
			*ret_node = node;
			return 0;
		}
		if (!node)
			return -ENOENT;
		if (!node->is_dir)
			return -ENOTDIR;
		dir = node;
		path += len + 1;
	}
}

static int path_get(struct env_mem *m, const char *path, struct mem_node **ret_node)
{
	struct mem_node *parent;
	const char *name;
	int r;

	if (!*path || !strcmp(path, ".")) {
		*ret_node = m->nodes[0];
		return 0;
	}
	r = path_find(m, path, &parent, &name, ret_node);
	return r ? r : *ret_node ? 0 : -ENOENT;
}

static void name_op_add(struct env_mem *m, struct mem_name_op op)
{
	if (array_reserve(&m->name_ops, &m->name_op_capacity, m->name_op_count + 1, sizeof(op)))
		abort();
	op.from_name = op.from ? strdup(op.from_name) : NULL;
	op.to_name = op.to ? strdup(op.to_name) : NULL;
	if ((op.from && !op.from_name) || (op.to && !op.to_name))
		abort();
	m->name_ops[m->name_op_count++] = op;
}

/* Run one name operation: what the process sees changes if it is done, the pending list also when power cuts it. */
static int name_op_run(struct env_mem *m, struct mem_name_op op)
{
	struct mem_node *replaced;
	int r;
	enum outcome out = op_begin(m, false, &r);

	if (out == OUT_DONE || out == OUT_POWER)
		name_op_add(m, op);
	if (out != OUT_DONE)
		return r;
	if (op.from) {
		struct mem_node *taken = mem_entries_get(&op.from->names, op.from_name, strlen(op.from_name));

		taken->links--;
		mem_entries_set(&op.from->names, op.from_name, NULL);
	}
	if (op.to) {
		replaced = mem_entries_get(&op.to->names, op.to_name, strlen(op.to_name));
		if (replaced)
			replaced->links--;
		op.node->links++;
		mem_entries_set(&op.to->names, op.to_name, op.node);
	}
	return 0;
}

/* --- files ------------------------------------------------------------------- */

static struct mem_node *fd_node(struct env_mem *m, int fd)
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

	if (gone(m))
		return -EIO;
	r = path_find(m, path, &parent, &name, &node);
	if (r)
		return r;
	if (!node) {
		if (!(flags & ENV_CREATE))
			return -ENOENT;
		node = mem_node_new(m, false);
		r = name_op_run(m, (struct mem_name_op){.to = parent, .to_name = (char *)name, .node = node});
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
	struct env_mem *m = lock_of(env);

	return unlock(m, open_locked(m, path, flags));
}

static void fd_close(struct env_mem *m, int fd)
{
	struct mem_node *node = fd_node(m, fd);

	if (!node)
		return;
	if (node->locked_by_fd == fd)
		node->locked_by_fd = -1;
	node->opens--;
	m->fds[fd].node = NULL;
}

static void mem_close(struct env *env, int fd)
{
	struct env_mem *m = lock_of(env);

	assert(gone(m) || fd_node(m, fd)); /* closing twice is the caller's mistake */
	fd_close(m, fd);
	unlock(m, 0);
}

static ssize_t mem_pread(struct env *env, int fd, void *buf, size_t len, uint64_t offset)
{
	struct env_mem *m = lock_of(env);
	struct mem_node *node = fd_node(m, fd);
	ssize_t r;

	if (gone(m))
		r = -EIO;
	else if (!node)
		r = -EBADF;
	else
		r = (ssize_t)mem_content_read(&node->content, buf, len, offset);
	unlock(m, 0);
	return r;
}

/* 0, or why @fd cannot be written to. */
static int writable(struct env_mem *m, int fd, struct mem_node **ret_node)
{
	*ret_node = fd_node(m, fd);
	if (gone(m))
		return -EIO;
	return *ret_node && m->fds[fd].writable ? 0 : -EBADF;
}

static uint64_t used_bytes(const struct env_mem *m)
{
	uint64_t used = 0;

	for (size_t i = 0; i < m->node_count; i++)
		if (m->nodes[i]->links || m->nodes[i]->opens)
			used += m->nodes[i]->content.size;
	return used;
}

static bool has_room(const struct env_mem *m, const struct mem_node *node, uint64_t end)
{
	return !m->capacity || end <= node->content.size || used_bytes(m) + (end - node->content.size) <= m->capacity;
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
	enum outcome out;
	int r = writable(m, fd, &node);

	if (r)
		return r;
	out = op_begin(m, false, &r);
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
	struct env_mem *m = lock_of(env);

	return unlock(m, pwrite_locked(m, fd, buf, len, offset));
}

/* Truncate and allocate: all or nothing. */
static int resize_locked(struct env_mem *m, int fd, struct mem_data_op op, uint64_t end)
{
	struct mem_node *node;
	enum outcome out;
	int r = writable(m, fd, &node);

	if (r)
		return r;
	out = op_begin(m, false, &r);
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
	struct env_mem *m = lock_of(env);

	return unlock(m, !len ? -EINVAL :
		resize_locked(m, fd, (struct mem_data_op){.kind = MEM_ALLOCATE, .offset = offset, .len = len}, offset + len));
}

static int mem_truncate(struct env *env, int fd, uint64_t len)
{
	struct env_mem *m = lock_of(env);

	return unlock(m, resize_locked(m, fd, (struct mem_data_op){.kind = MEM_TRUNCATE, .offset = len}, len));
}

static int mem_size(struct env *env, int fd, uint64_t *ret_bytes)
{
	struct env_mem *m = lock_of(env);
	struct mem_node *node = fd_node(m, fd);

	if (gone(m))
		return unlock(m, -EIO);
	if (!node)
		return unlock(m, -EBADF);
	*ret_bytes = node->content.size;
	return unlock(m, 0);
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
	struct env_mem *m = lock_of(env);
	struct mem_node *node = fd_node(m, fd);
	enum outcome out;
	int r;

	if (gone(m))
		return unlock(m, -EIO);
	if (!node)
		return unlock(m, -EBADF);
	out = op_begin(m, true, &r);
	if (out == OUT_FAILED)
		data_ops_unsure(node);
	if (out == OUT_DONE) {
		data_ops_commit(node);
		m->stats.syncs++;
	}
	return unlock(m, r);
}

/* --- names ------------------------------------------------------------------- */

static bool is_below(const struct mem_node *node, const struct mem_node *dir)
{
	if (node == dir)
		return true;
	for (size_t i = 0; i < dir->names.count; i++)
		if (dir->names.items[i].node->is_dir && is_below(node, dir->names.items[i].node))
			return true;
	return false;
}

static int rename_locked(struct env_mem *m, const char *from, const char *to)
{
	struct mem_node *from_dir, *to_dir, *node, *target;
	const char *from_name, *to_name;
	int r;

	if (gone(m))
		return -EIO;
	r = path_find(m, from, &from_dir, &from_name, &node);
	if (!r)
		r = path_find(m, to, &to_dir, &to_name, &target);
	if (r)
		return r;
	if (!node)
		return -ENOENT;
	if (node == target)
		return 0;
	if (target && target->is_dir && !node->is_dir)
		return -EISDIR;
	if (target && !target->is_dir && node->is_dir)
		return -ENOTDIR;
	if (target && target->names.count)
		return -ENOTEMPTY;
	if (node->is_dir && is_below(to_dir, node))
		return -EINVAL;
	return name_op_run(m, (struct mem_name_op){.from = from_dir, .from_name = (char *)from_name, .to = to_dir,
		.to_name = (char *)to_name, .node = node});
}

static int mem_rename(struct env *env, const char *from, const char *to)
{
	struct env_mem *m = lock_of(env);

	return unlock(m, rename_locked(m, from, to));
}

static int mem_unlink(struct env *env, const char *path)
{
	struct env_mem *m = lock_of(env);
	struct mem_node *parent, *node;
	const char *name;
	int r;

	if (gone(m))
		return unlock(m, -EIO);
	r = path_find(m, path, &parent, &name, &node);
	if (!r && !node)
		r = -ENOENT;
	if (!r && node->is_dir)
		r = -EISDIR;
	if (!r)
		r = name_op_run(m, (struct mem_name_op){.from = parent, .from_name = (char *)name});
	return unlock(m, r);
}

static int mem_mkdir(struct env *env, const char *path)
{
	struct env_mem *m = lock_of(env);
	struct mem_node *parent, *node;
	const char *name;
	int r;

	if (gone(m))
		return unlock(m, -EIO);
	r = path_find(m, path, &parent, &name, &node);
	if (!r && node)
		r = -EEXIST;
	if (!r)
		r = name_op_run(m, (struct mem_name_op){.to = parent, .to_name = (char *)name, .node = mem_node_new(m, true)});
	return unlock(m, r);
}

/* A durable operation implies every earlier one on its names: a directory entry has one history. */
static void name_ops_commit(struct env_mem *m, const struct mem_node *dir)
{
	struct mem_name_op *ops = m->name_ops;
	size_t n = 0;

	for (size_t i = 0; i < m->name_op_count; i++)
		if (ops[i].fate == MEM_PENDING && (ops[i].from == dir || ops[i].to == dir))
			ops[i].fate = MEM_DURABLE;
	for (size_t i = m->name_op_count; i-- > 0;)
		for (size_t j = 0; ops[i].fate == MEM_DURABLE && j < i; j++)
			if (mem_name_ops_depend(&ops[j], &ops[i]))
				ops[j].fate = MEM_DURABLE;
	for (; n < m->name_op_count && ops[n].fate == MEM_DURABLE; n++) {
		if (ops[n].from)
			mem_entries_set(&ops[n].from->durable_names, ops[n].from_name, NULL);
		if (ops[n].to)
			mem_entries_set(&ops[n].to->durable_names, ops[n].to_name, ops[n].node);
		free(ops[n].from_name);
		free(ops[n].to_name);
	}
	m->name_op_count -= n;
	if (n)
		memmove(ops, ops + n, m->name_op_count * sizeof(ops[0]));
}

static void name_ops_unsure(struct env_mem *m, const struct mem_node *dir)
{
	for (size_t i = 0; i < m->name_op_count; i++) {
		struct mem_name_op *op = &m->name_ops[i];

		if (op->fate == MEM_PENDING && (op->from == dir || op->to == dir))
			op->fate = MEM_UNSURE;
	}
}

static int mem_dir_sync(struct env *env, const char *path)
{
	struct env_mem *m = lock_of(env);
	struct mem_node *node;
	enum outcome out;
	int r;

	if (gone(m))
		return unlock(m, -EIO);
	r = path_get(m, path, &node);
	if (!r && !node->is_dir)
		r = -ENOTDIR;
	if (r)
		return unlock(m, r);
	out = op_begin(m, true, &r);
	if (out == OUT_FAILED)
		name_ops_unsure(m, node);
	if (out == OUT_DONE) {
		name_ops_commit(m, node);
		m->stats.dir_syncs++;
	}
	return unlock(m, r);
}

struct listed {
	char *name;
	bool is_dir;
};

static int mem_list(struct env *env, const char *path, env_list_fn fn, void *arg)
{
	struct env_mem *m = lock_of(env);
	struct mem_node *node;
	struct listed *names;
	size_t count;
	int r = gone(m) ? -EIO : path_get(m, path, &node);

	if (!r && !node->is_dir)
		r = -ENOTDIR;
	if (r)
		return unlock(m, r);
	count = node->names.count;
	names = mem_alloc(count * sizeof(*names));
	for (size_t i = 0; i < count; i++) {
		names[i].name = strdup(node->names.items[i].name);
		names[i].is_dir = node->names.items[i].node->is_dir;
		if (!names[i].name)
			abort();
	}
	unlock(m, 0);
	for (size_t i = 0; i < count; i++) {
		if (!r)
			r = fn(arg, names[i].name, names[i].is_dir);
		free(names[i].name);
	}
	free(names);
	return r;
}

/* --- the rest of the table ----------------------------------------------------- */

static int mem_lock(struct env *env, int fd)
{
	struct env_mem *m = lock_of(env);
	struct mem_node *node = fd_node(m, fd);

	if (gone(m))
		return unlock(m, -EIO);
	if (!node)
		return unlock(m, -EBADF);
	if (node->locked_by_fd >= 0 && node->locked_by_fd != fd)
		return unlock(m, -EAGAIN);
	node->locked_by_fd = fd;
	return unlock(m, 0);
}

static int mem_space(struct env *env, struct env_space *ret)
{
	struct env_mem *m = lock_of(env);
	uint64_t total = m->capacity ? m->capacity : 1ull << 40;
	uint64_t used = used_bytes(m);

	if (gone(m))
		return unlock(m, -EIO);
	*ret = (struct env_space){
		.total_bytes = total,
		.free_bytes = used < total ? total - used : 0,
		.files_total = 1u << 20,
		.files_free = (1u << 20) - MIN(m->node_count, (size_t)1 << 20),
	};
	return unlock(m, 0);
}

static int64_t clock_read(struct env *env, bool monotonic)
{
	struct env_mem *m = lock_of(env);
	int64_t now = monotonic ? m->monotonic_ns : m->time_ns;

	m->time_ns += m->step_ns;
	m->monotonic_ns += m->step_ns;
	unlock(m, 0);
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
	struct env_mem *m = lock_of(env);

	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(rng_next(&m->rng) >> 56);
	return unlock(m, 0);
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

/* --- faults, knobs, looking ---------------------------------------------------- */

void env_mem_fail_at(struct env *env, uint64_t op, int error)
{
	struct env_mem *m = lock_of(env);

	assert(m->fault_count < MEM_FAULTS_MAX && error > 0);
	m->faults[m->fault_count++] = (struct mem_fault){op, error};
	unlock(m, 0);
}

void env_mem_fail_syncs(struct env *env, int error)
{
	struct env_mem *m = lock_of(env);

	m->sync_error = error;
	unlock(m, 0);
}

void env_mem_power_off_at(struct env *env, uint64_t op)
{
	struct env_mem *m = lock_of(env);

	m->power_off_at = op;
	unlock(m, 0);
}

bool env_mem_is_off(struct env *env)
{
	struct env_mem *m = lock_of(env);

	return unlock(m, m->off);
}

void env_mem_kill_at(struct env *env, uint64_t op)
{
	struct env_mem *m = lock_of(env);

	m->kill_at = op;
	unlock(m, 0);
}

void env_mem_kill(struct env *env)
{
	struct env_mem *m = lock_of(env);

	for (size_t fd = 0; fd < m->fd_count; fd++)
		fd_close(m, (int)fd);
	m->dead = false;
	m->kill_at = 0;
	unlock(m, 0);
}

void env_mem_set_capacity(struct env *env, uint64_t bytes)
{
	struct env_mem *m = lock_of(env);

	m->capacity = bytes;
	unlock(m, 0);
}

void env_mem_set_clock(struct env *env, int64_t time_ns, int64_t step_ns)
{
	struct env_mem *m = lock_of(env);

	m->time_ns = time_ns;
	m->step_ns = step_ns;
	unlock(m, 0);
}

void env_mem_advance(struct env *env, int64_t by_ns)
{
	struct env_mem *m = lock_of(env);

	m->time_ns += by_ns;
	m->monotonic_ns += by_ns;
	unlock(m, 0);
}

ssize_t env_mem_read(struct env *env, const char *path, void *buf, size_t len, uint64_t offset)
{
	struct env_mem *m = lock_of(env);
	struct mem_node *node;
	ssize_t r = path_get(m, path, &node);

	if (!r)
		r = node->is_dir ? -EISDIR : (ssize_t)mem_content_read(&node->content, buf, len, offset);
	unlock(m, 0);
	return r;
}

int env_mem_patch(struct env *env, const char *path, const void *data, size_t len, uint64_t offset)
{
	struct env_mem *m = lock_of(env);
	struct mem_node *node;
	int r = path_get(m, path, &node);

	if (!r && node->is_dir)
		r = -EISDIR;
	if (!r) {
		mem_content_write(&node->content, data, len, offset);
		mem_content_write(&node->durable_content, data, len, offset);
	}
	return unlock(m, r);
}

void env_mem_stats(struct env *env, struct env_mem_stats *ret)
{
	struct env_mem *m = lock_of(env);

	*ret = m->stats;
	unlock(m, 0);
}
