/* SPDX-License-Identifier: MIT
 *
 * Does the edited document say what it should? Two documents are compared node by node, with the plan of the round telling which
 * nodes may differ and how. Anything else that differs means the edit is not made: a person's file is worth more than a field.
 *
 * Aliases are compared by what they name: the node of the new document that stands where the old alias's target stood. Targets come
 * before their aliases, so both have been compared by then. No alias is followed, so the cost is that of the text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "yaml_edit_private.h"

/* --- aliases --- */

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct alias_target *)a)->node, y = (uintptr_t)((const struct alias_target *)b)->node;

	return (x > y) - (x < y);
}

static int collect(struct alias_targets *a, const struct doc_node *node)
{
	int error = 0;

	if (node->target) {
		if (array_reserve(&a->items, &a->cap, a->count + 1, sizeof(*a->items)))
			return -ENOMEM;
		a->items[a->count++] = (struct alias_target){.node = node->target, .refs = 1};
		return 0;
	}
	for (const struct doc_node *m = node->child; m && !error; m = m->next) {
		if (m->key)
			error = collect(a, m->key);
		if (!error)
			error = collect(a, m);
	}
	return error;
}

int yaml_aliases_collect(struct alias_targets *a, const struct doc_node *root)
{
	int error = root ? collect(a, root) : 0;
	size_t kept = 0;

	if (error || !a->count)
		return error;
	qsort(a->items, a->count, sizeof(*a->items), by_address);
	for (size_t i = 1; i < a->count; i++) {
		if (a->items[i].node == a->items[kept].node)
			a->items[kept].refs++;
		else
			a->items[++kept] = a->items[i];
	}
	a->count = kept + 1;
	return 0;
}

struct alias_target *yaml_aliases_find(const struct alias_targets *a, const struct doc_node *node)
{
	struct alias_target key = {.node = node};

	return a->count ? bsearch(&key, a->items, a->count, sizeof(*a->items), by_address) : NULL;
}

static void mark_inside(struct alias_targets *a, const struct doc_node *node)
{
	struct alias_target *target = yaml_aliases_find(a, node->target ? node->target : node);

	if (node->target) {
		target->inside++;
		return;
	}
	if (target)
		target->within = true;
	for (const struct doc_node *m = node->child; m; m = m->next) {
		if (m->key)
			mark_inside(a, m->key);
		mark_inside(a, m);
	}
}

bool yaml_aliases_reach_into(struct alias_targets *a, const struct doc_node *root)
{
	bool found = false;

	if (!a->count)
		return false;
	mark_inside(a, root);
	for (size_t i = 0; i < a->count; i++) {
		found |= a->items[i].within && a->items[i].inside < a->items[i].refs;
		a->items[i].within = false;
		a->items[i].inside = 0;
	}
	return found;
}

/* --- comparing --- */

bool yaml_key_is(const struct doc_node *key, const char *name, size_t len)
{
	return key->type != DOC_SEQUENCE && key->type != DOC_MAPPING && key->text_len == len && !memcmp(key->text, name, len);
}

static bool same_leaf(const struct doc_node *a, const struct doc_node *b)
{
	if (a->type != b->type || a->boolean != b->boolean)
		return false;
	return a->type == DOC_NULL || a->type == DOC_BOOL || (a->text_len == b->text_len && !memcmp(a->text, b->text, a->text_len));
}

bool yaml_nodes_equal(const struct doc_node *a, const struct doc_node *b)
{
	if (!same_leaf(a, b))
		return false;
	for (a = a->child, b = b->child; a && b; a = a->next, b = b->next)
		if ((a->key && !yaml_nodes_equal(a->key, b->key)) || !yaml_nodes_equal(a, b))
			return false;
	return !a && !b;
}

/* Is the first of @now as planned, and so on? Returns what is behind them, or sets *@ret_held to false. */
static const struct doc_node *members_hold(const struct new_member *m, const struct doc_node *now, bool *ret_held)
{
	for (; m && now; m = m->next, now = now->next) {
		bool held = true;

		if (now->target || now->key->target || !yaml_key_is(now->key, m->name, m->name_len))
			break;
		if (m->value)
			held = yaml_nodes_equal(now, m->value_node);
		else if (now->type != DOC_MAPPING || members_hold(m->child, now->child, &held))
			break;
		if (!held)
			break;
	}
	*ret_held = !m;
	return now;
}

static bool holds(struct yaml_plan *p, const struct doc_node *was, const struct doc_node *now);

/* The children of @was and the new members, in their order. */
static bool children_hold(struct yaml_plan *p, const struct doc_node *was, const struct doc_node *now, const struct change *change)
{
	bool held = true, before_last = change && change->before_last;

	for (; was; was = was->next, now = now->next) {
		if (before_last && !was->next)
			now = members_hold(change->members, now, &held);
		if (!held || !now || !was->key != !now->key)
			return false;
		if ((was->key && !holds(p, was->key, now->key)) || !holds(p, was, now))
			return false;
	}
	if (change && !before_last)
		now = members_hold(change->members, now, &held);
	return held && !now;
}

static bool holds(struct yaml_plan *p, const struct doc_node *was, const struct doc_node *now)
{
	const struct change *change = yaml_plan_find(p, was);
	struct alias_target *target = yaml_aliases_find(&p->aliases, was->target ? was->target : was);

	if (change && change->value)
		return !now->target && yaml_nodes_equal(now, change->value_node);
	if (was->target || now->target)
		return was->target && target->now == now->target;
	if (target)
		target->now = now;
	if (change)
		return now->type == DOC_MAPPING && children_hold(p, was->child, now->child, change);
	return same_leaf(was, now) && was->quoted == now->quoted && children_hold(p, was->child, now->child, NULL);
}

static bool same_rest(const struct yaml_spans *was, const struct yaml_spans *now)
{
	return was->rest == now->rest && !memcmp(was->text + was->len - was->rest, now->text + now->len - now->rest, now->rest);
}

bool yaml_plan_holds(struct yaml_plan *p, const struct doc_node *now, const struct yaml_spans *spans)
{
	if (!now || !same_rest(p->spans, spans))
		return false;
	if (p->root)
		return holds(p, p->root, now);
	return now->type == DOC_MAPPING && children_hold(p, NULL, now->child, yaml_plan_find(p, NULL));
}
