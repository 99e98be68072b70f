/* SPDX-License-Identifier: MIT
 *
 * Names of the in-memory environment: paths, and the calls that change or sync directories. As in env_mem.c, each checks its arguments,
 * asks mem_op_begin() what becomes of it, and records the change as pending until a sync.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "env_mem_private.h"
#include "util.h"

/* --- paths ------------------------------------------------------------------- */

int mem_path_find(struct env_mem *m, const char *path, struct mem_node **ret_parent, const char **ret_name, struct mem_node **ret_node)
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

int mem_path_get(struct env_mem *m, const char *path, struct mem_node **ret_node)
{
	struct mem_node *parent;
	const char *name;
	int r;

	if (!*path || !strcmp(path, ".")) {
		*ret_node = m->nodes[0];
		return 0;
	}
	r = mem_path_find(m, path, &parent, &name, ret_node);
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
int mem_name_op_run(struct env_mem *m, struct mem_name_op op)
{
	struct mem_node *replaced;
	int r;
	enum mem_outcome out = mem_op_begin(m, false, &r);

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

	if (mem_gone(m))
		return -EIO;
	r = mem_path_find(m, from, &from_dir, &from_name, &node);
	if (!r)
		r = mem_path_find(m, to, &to_dir, &to_name, &target);
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
	return mem_name_op_run(
		m, (struct mem_name_op){.from = from_dir, .from_name = (char *)from_name, .to = to_dir, .to_name = (char *)to_name, .node = node});
}

int mem_rename(struct env *env, const char *from, const char *to)
{
	struct env_mem *m = mem_enter(env);

	return mem_leave(m, rename_locked(m, from, to));
}

int mem_unlink(struct env *env, const char *path)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *parent, *node;
	const char *name;
	int r;

	if (mem_gone(m))
		return mem_leave(m, -EIO);
	r = mem_path_find(m, path, &parent, &name, &node);
	if (!r && !node)
		r = -ENOENT;
	if (!r && node->is_dir)
		r = -EISDIR;
	if (!r)
		r = mem_name_op_run(m, (struct mem_name_op){.from = parent, .from_name = (char *)name});
	return mem_leave(m, r);
}

int mem_mkdir(struct env *env, const char *path)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *parent, *node;
	const char *name;
	int r;

	if (mem_gone(m))
		return mem_leave(m, -EIO);
	r = mem_path_find(m, path, &parent, &name, &node);
	if (!r && node)
		r = -EEXIST;
	if (!r)
		r = mem_name_op_run(m, (struct mem_name_op){.to = parent, .to_name = (char *)name, .node = mem_node_new(m, true)});
	return mem_leave(m, r);
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

int mem_dir_sync(struct env *env, const char *path)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *node;
	enum mem_outcome out;
	int r;

	if (mem_gone(m))
		return mem_leave(m, -EIO);
	r = mem_path_get(m, path, &node);
	if (!r && !node->is_dir)
		r = -ENOTDIR;
	if (r)
		return mem_leave(m, r);
	out = mem_op_begin(m, true, &r);
	if (out == OUT_FAILED)
		name_ops_unsure(m, node);
	if (out == OUT_DONE) {
		name_ops_commit(m, node);
		m->stats.dir_syncs++;
	}
	return mem_leave(m, r);
}

struct listed {
	char *name;
	bool is_dir;
};

int mem_list(struct env *env, const char *path, env_list_fn fn, void *arg)
{
	struct env_mem *m = mem_enter(env);
	struct mem_node *node;
	struct listed *names;
	size_t count;
	int r = mem_gone(m) ? -EIO : mem_path_get(m, path, &node);

	if (!r && !node->is_dir)
		r = -ENOTDIR;
	if (r)
		return mem_leave(m, r);
	count = node->names.count;
	names = mem_alloc(count * sizeof(*names));
	for (size_t i = 0; i < count; i++) {
		names[i].name = strdup(node->names.items[i].name);
		names[i].is_dir = node->names.items[i].node->is_dir;
		if (!names[i].name)
			abort();
	}
	mem_leave(m, 0);
	for (size_t i = 0; i < count; i++) {
		if (!r)
			r = fn(arg, names[i].name, names[i].is_dir);
		free(names[i].name);
	}
	free(names);
	return r;
}
