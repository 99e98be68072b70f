/* SPDX-License-Identifier: MIT
 *
 * Nodes, names and pending operations of the in-memory environment: its data
 * structures, without its calls (env_mem.c) and without crashes (env_mem_crash.c).
 *
 * Names are arrays searched from the front; tests have few. Callers hold the lock.
 */
#include <stdlib.h>
#include <string.h>

#include "env_mem_private.h"
#include "util.h"

struct mem_node *mem_node_new(struct env_mem *m, bool is_dir)
{
	struct mem_node *node = mem_alloc(sizeof(*node));

	if (array_reserve(&m->nodes, &m->node_capacity, m->node_count + 1, sizeof(struct mem_node *)))
		abort();
	node->is_dir = is_dir;
	node->index = m->node_count;
	node->locked_by_fd = -1;
	m->nodes[m->node_count++] = node;
	return node;
}

struct mem_node *mem_entries_get(const struct mem_entries *e, const char *name, size_t len)
{
	for (size_t i = 0; i < e->count; i++)
		if (!strncmp(e->items[i].name, name, len) && !e->items[i].name[len])
			return e->items[i].node;
	return NULL;
}

void mem_entries_set(struct mem_entries *e, const char *name, struct mem_node *node)
{
	size_t i = 0;

	while (i < e->count && strcmp(e->items[i].name, name))
		i++;
	if (i < e->count && node) {
		e->items[i].node = node;
	} else if (i < e->count) {
		free(e->items[i].name);
		memmove(&e->items[i], &e->items[i + 1], (e->count - i - 1) * sizeof(e->items[0]));
		e->count--;
	} else if (node) {
		if (array_reserve(&e->items, &e->capacity, e->count + 1, sizeof(struct mem_entry)))
			abort();
		e->items[e->count].name = strdup(name);
		if (!e->items[e->count].name)
			abort();
		e->items[e->count++].node = node;
	}
}

void mem_data_op_apply(const struct mem_data_op *op, struct mem_content *c)
{
	switch (op->kind) {
	case MEM_WRITE:
		mem_content_write(c, op->data, (size_t)op->len, op->offset);
		break;
	case MEM_TRUNCATE:
		mem_content_resize(c, op->offset);
		break;
	case MEM_ALLOCATE:
		if (op->offset + op->len > c->size)
			mem_content_resize(c, op->offset + op->len);
		break;
	}
}

static bool touches(const struct mem_name_op *op, const struct mem_node *dir, const char *name)
{
	return dir && ((op->from == dir && !strcmp(op->from_name, name)) || (op->to == dir && !strcmp(op->to_name, name)));
}

bool mem_name_ops_depend(const struct mem_name_op *a, const struct mem_name_op *b)
{
	return touches(a, b->from, b->from_name) || touches(a, b->to, b->to_name);
}

static void entries_release(struct mem_entries *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->items[i].name);
	free(e->items);
}

static void node_free(struct mem_node *node)
{
	entries_release(&node->names);
	entries_release(&node->durable_names);
	mem_content_release(&node->content);
	mem_content_release(&node->durable_content);
	for (size_t i = 0; i < node->op_count; i++)
		free(node->ops[i].data);
	free(node->ops);
	free(node);
}

void env_mem_free(struct env *env)
{
	struct env_mem *m = (struct env_mem *)env;

	if (!m)
		return;
	for (size_t i = 0; i < m->node_count; i++)
		node_free(m->nodes[i]);
	for (size_t i = 0; i < m->name_op_count; i++) {
		free(m->name_ops[i].from_name);
		free(m->name_ops[i].to_name);
	}
	free(m->nodes);
	free(m->name_ops);
	free(m->fds);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
