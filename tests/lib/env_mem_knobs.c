/* SPDX-License-Identifier: MIT
 *
 * What a test sets and sees of the in-memory environment: faults, power, limits, clocks, bytes behind its back.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "env_mem_private.h"
#include "util.h"

void env_mem_fail_at(struct env *env, uint64_t op, int error)
{
	struct env_mem *m = mem_enter(env);

	assert(m->fault_count < MEM_FAULTS_MAX && error > 0);
	m->faults[m->fault_count++] = (struct mem_fault){op, error};
	mem_leave(m, 0);
}

void env_mem_fail_syncs(struct env *env, int error)
{
	struct env_mem *m = mem_enter(env);

	m->sync_error = error;
	mem_leave(m, 0);
}

void env_mem_power_off_at(struct env *env, uint64_t op)
{
	struct env_mem *m = mem_enter(env);

	m->power_off_at = op;
	mem_leave(m, 0);
}

bool env_mem_is_off(struct env *env)
{
	struct env_mem *m = mem_enter(env);

	return mem_leave(m, m->off);
}

void env_mem_kill_at(struct env *env, uint64_t op)
{
	struct env_mem *m = mem_enter(env);

	m->kill_at = op;
	mem_leave(m, 0);
}

void env_mem_kill(struct env *env)
{
	struct env_mem *m = mem_enter(env);

	for (size_t fd = 0; fd < m->fd_count; fd++)
		mem_fd_close(m, (int)fd);
	m->dead = false;
	m->kill_at = 0;
	mem_leave(m, 0);
}

void env_mem_set_capacity(struct env *env, uint64_t bytes)
{
	struct env_mem *m = mem_enter(env);

	m->capacity = bytes;
	mem_leave(m, 0);
}

void env_mem_set_clock(struct env *env, int64_t time_ns, int64_t step_ns)
{
	struct env_mem *m = mem_enter(env);

	m->time_ns = time_ns;
	m->step_ns = step_ns;
	mem_leave(m, 0);
}

void env_mem_advance(struct env *env, int64_t by_ns)
{
	struct env_mem *m = mem_enter(env);

	m->time_ns += by_ns;
	m->monotonic_ns += by_ns;
	mem_leave(m, 0);
}

ssize_t env_mem_read(struct env *env, const char *path, void *buf, size_t len, uint64_t offset)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *node;
	ssize_t r = mem_path_get(m, path, &node);

	if (!r)
		r = node->is_dir ? -EISDIR : (ssize_t)mem_content_read(&node->content, buf, len, offset);
	mem_leave(m, 0);
	return r;
}

int env_mem_patch(struct env *env, const char *path, const void *data, size_t len, uint64_t offset)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *node;
	int r = mem_path_get(m, path, &node);

	if (!r && node->is_dir)
		r = -EISDIR;
	if (!r) {
		mem_content_write(&node->content, data, len, offset);
		mem_content_write(&node->durable_content, data, len, offset);
	}
	return mem_leave(m, r);
}

void env_mem_stats(struct env *env, struct env_mem_stats *ret)
{
	struct env_mem *m = mem_enter(env);

	*ret = m->stats;
	mem_leave(m, 0);
}
