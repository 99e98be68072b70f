/* SPDX-License-Identifier: MIT
 *
 * Power loss of the in-memory environment: from the durable state and the
 * operations since, make one state that a disk could show afterwards.
 *
 * Chosen per operation, in order: durable ones always survive; the others by
 * mode. Chance follows the seed alone, and operations are visited in a fixed
 * order, so a seed names one state.
 */
#include <stdlib.h>
#include <string.h>

#include "env_mem_private.h"
#include "util.h"

#define SECTOR_BYTES 512u
#define BLOCK_BYTES 4096u

struct crash {
	enum env_mem_mode mode;
	struct rng rng;
	const struct mem_data_op *last_write; /* TORN: the one to tear */
};

static bool name_op_survives(struct crash *c, const struct mem_name_op *op)
{
	if (op->fate == MEM_DURABLE)
		return true;
	switch (c->mode) {
	case ENV_MEM_LOST:
		return false;
	case ENV_MEM_RANDOM:
		return rng_coin(&c->rng);
	default:
		return true;
	}
}

static void entries_copy(struct mem_entries *to, const struct mem_entries *from, struct mem_node **nodes)
{
	for (size_t i = 0; i < from->count; i++)
		mem_entries_set(to, from->items[i].name, nodes[from->items[i].node->index]);
}

/* The names of the machine after: the durable ones and the name operations that survive. */
static void names_crash(struct crash *c, const struct env_mem *m, struct env_mem *after)
{
	bool *survives = mem_alloc(m->name_op_count * sizeof(*survives));

	for (size_t i = 0; i < m->node_count; i++)
		entries_copy(&after->nodes[i]->names, &m->nodes[i]->durable_names, after->nodes);
	for (size_t i = 0; i < m->name_op_count; i++) {
		const struct mem_name_op *op = &m->name_ops[i];

		survives[i] = name_op_survives(c, op);
		for (size_t j = 0; survives[i] && op->fate != MEM_DURABLE && j < i; j++)
			if (!survives[j] && mem_name_ops_depend(&m->name_ops[j], op))
				survives[i] = false;
		if (!survives[i])
			continue;
		if (op->from)
			mem_entries_set(&after->nodes[op->from->index]->names, op->from_name, NULL);
		if (op->to)
			mem_entries_set(&after->nodes[op->to->index]->names, op->to_name, after->nodes[op->node->index]);
	}
	free(survives);
}

/* Some pieces of a write, cut at multiples of @piece_bytes in the file, each by chance. */
static void write_pieces(struct crash *c, const struct mem_data_op *op, uint64_t piece_bytes, struct mem_content *to)
{
	uint64_t at = op->offset;
	uint64_t end = op->offset + op->len;

	while (at < end) {
		uint64_t n = MIN(end - at, piece_bytes - at % piece_bytes);

		if (rng_coin(&c->rng))
			mem_content_write(to, op->data + (at - op->offset), (size_t)n, at);
		at += n;
	}
}

/* Tears as disks do: after the first sectors, before the last ones, or anyhow. */
static void write_torn(struct crash *c, const struct mem_data_op *op, struct mem_content *to)
{
	uint64_t first = op->offset / SECTOR_BYTES;
	uint64_t sectors = (op->offset + op->len + SECTOR_BYTES - 1) / SECTOR_BYTES - first;
	uint64_t edge = (first + rng_below(&c->rng, sectors)) * SECTOR_BYTES;
	uint64_t cut = MAX(edge, op->offset);
	size_t head = (size_t)(cut - op->offset);

	switch (rng_below(&c->rng, 3)) {
	case 0:
		mem_content_write(to, op->data, head, op->offset);
		break;
	case 1:
		if (head) /* else it would be whole */
			mem_content_write(to, op->data + head, (size_t)op->len - head, cut);
		break;
	default:
		write_pieces(c, op, SECTOR_BYTES, to);
	}
}

static void data_op_crash(struct crash *c, const struct mem_data_op *op, struct mem_content *to)
{
	if (op->fate == MEM_DURABLE || c->mode == ENV_MEM_KEPT)
		mem_data_op_apply(op, to);
	else if (c->mode == ENV_MEM_LOST)
		return;
	else if (c->mode == ENV_MEM_TORN && op == c->last_write)
		write_torn(c, op, to);
	else if (c->mode == ENV_MEM_TORN)
		mem_data_op_apply(op, to);
	else if (op->kind == MEM_WRITE)
		write_pieces(c, op, BLOCK_BYTES, to);
	else if (rng_coin(&c->rng))
		mem_data_op_apply(op, to);
}

static const struct mem_data_op *last_unsynced_write(const struct env_mem *m)
{
	const struct mem_data_op *last = NULL;

	for (size_t i = 0; i < m->node_count; i++)
		for (size_t j = 0; j < m->nodes[i]->op_count; j++) {
			const struct mem_data_op *op = &m->nodes[i]->ops[j];

			if (op->kind == MEM_WRITE && op->len && op->fate != MEM_DURABLE && (!last || op->op > last->op))
				last = op;
		}
	return last;
}

static void contents_crash(struct crash *c, const struct env_mem *m, struct env_mem *after)
{
	for (size_t i = 0; i < m->node_count; i++) {
		const struct mem_node *node = m->nodes[i];
		struct mem_content *content = &after->nodes[i]->content;

		if (node->is_dir)
			continue;
		mem_content_copy(content, &node->durable_content);
		for (size_t j = 0; j < node->op_count; j++)
			data_op_crash(c, &node->ops[j], content);
	}
}

/* What is there after a restart is on the medium: the durable state is what is seen. */
static void settle(struct env_mem *after)
{
	struct mem_node **nodes = after->nodes;

	for (size_t i = 0; i < after->node_count; i++)
		for (size_t j = 0; j < nodes[i]->names.count; j++)
			nodes[i]->names.items[j].node->links++;
	for (size_t i = 0; i < after->node_count; i++) {
		entries_copy(&nodes[i]->durable_names, &nodes[i]->names, nodes);
		if (nodes[i]->links)
			mem_content_copy(&nodes[i]->durable_content, &nodes[i]->content);
		else
			mem_content_release(&nodes[i]->content);
	}
}

struct env *env_mem_power_cycle(struct env *env, enum env_mem_mode mode, uint64_t seed)
{
	struct env_mem *m = (struct env_mem *)env;
	struct env_mem *after = (struct env_mem *)env_mem_new(seed);
	struct crash c = {.mode = mode};

	rng_init(&c.rng, seed);
	pthread_mutex_lock(&m->lock);
	c.last_write = last_unsynced_write(m);
	for (size_t i = 1; i < m->node_count; i++)
		mem_node_new(after, m->nodes[i]->is_dir);
	names_crash(&c, m, after);
	contents_crash(&c, m, after);
	settle(after);
	after->capacity = m->capacity;
	after->time_ns = m->time_ns + NS_PER_S; /* a restart takes its time; the monotonic clock begins anew */
	after->step_ns = m->step_ns;
	pthread_mutex_unlock(&m->lock);
	return &after->env;
}
