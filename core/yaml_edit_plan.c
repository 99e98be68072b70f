/* SPDX-License-Identifier: MIT
 *
 * What a round of edits changes, said on the nodes of the document. Members missing in one mapping are gathered into one change,
 * however deep they go, so that a new mapping is written as a whole.
 *
 * Edits of one round have nothing to do with each other: no path is the beginning of another's. So each is looked up in the
 * document as it was before the round, and the check can compare node by node.
 *
 * A node that an alias names cannot change without the alias changing too: refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "yaml_edit_private.h"

static const char *type_name(enum doc_type type)
{
	switch (type) {
	case DOC_NULL:
		return "null";
	case DOC_BOOL:
		return "a boolean";
	case DOC_NUMBER:
		return "a number";
	case DOC_STRING:
		return "a text";
	case DOC_SEQUENCE:
		return "a list";
	case DOC_MAPPING:
		return "a mapping";
	}
	return "";
}

int yaml_plan_init(struct yaml_plan *p, const struct doc_node *root, const struct yaml_spans *spans, size_t edit_count, size_t name_count)
{
	*p = (struct yaml_plan){.root = root, .spans = spans};
	p->changes = calloc(edit_count, sizeof(*p->changes));
	p->members = calloc(name_count, sizeof(*p->members));
	return p->changes && p->members ? yaml_aliases_collect(&p->aliases, root) : -ENOMEM;
}

void yaml_plan_release(struct yaml_plan *p)
{
	free(p->changes);
	free(p->members);
	free(p->aliases.items);
	*p = (struct yaml_plan){0};
}

/* --- earlier edits of the round --- */

/* Is @a the same path as @b, or one to a mapping it is in? */
static bool leads_to(const char *a, const char *b)
{
	size_t len = strlen(a);

	return !strncmp(a, b, len) && (!b[len] || b[len] == '.');
}

static bool touches_earlier(const struct yaml_edit *before, size_t count, const struct yaml_edit *edit)
{
	for (size_t i = 0; i < count; i++)
		if (leads_to(edit->path, before[i].path) || leads_to(before[i].path, edit->path))
			return true;
	return false;
}

/* --- the way to a node --- */

struct way {
	const struct doc_node *node;
	const struct doc_node *shared; /* a node on the way that an alias names; or NULL */
	const char *rest;              /* names below node that are missing; "": node is what the path names */
	uint32_t span, map;
	unsigned depth;
};

static int refuse(struct reason *reason, const struct doc_node *at, const char *path, const char *why)
{
	(void)reason_set(reason, -EBADMSG, "yaml", "%.120s cannot be set: %s", path, why);
	if (reason) {
		reason->line = at->line;
		reason->column = at->column;
	}
	return -EBADMSG;
}

/* The last member of that name, as doc_get() finds it. */
static bool step(const struct yaml_spans *spans, struct way *w)
{
	size_t len = strcspn(w->rest, ".");
	const struct doc_node *found = NULL;
	uint32_t found_span = 0, span = spans->items[w->span].child;

	for (const struct doc_node *m = w->node->child; m; m = m->next, span = spans->items[span].next) {
		if (!yaml_key_is(m->key, w->rest, len))
			continue;
		found = m;
		found_span = span;
	}
	if (!found)
		return false;
	*w = (struct way){found, w->shared, w->rest + len + (w->rest[len] == '.'), found_span, w->span, w->depth + 1};
	return true;
}

/* A mapping, or nothing yet, is what members can be added to. */
static int check_parent(const struct way *w, const char *path, struct reason *reason)
{
	char why[120];

	if (w->node->target)
		return refuse(reason, w->node, path, "here stands an alias");
	if (w->node->type == DOC_MAPPING || w->node->type == DOC_NULL)
		return 0;
	(void)snprintf(why, sizeof(why), "here stands %s, not a mapping", type_name(w->node->type)); /* fits */
	return refuse(reason, w->node, path, why);
}

static int find(const struct yaml_plan *p, const char *path, struct way *w, struct reason *reason)
{
	*w = (struct way){.node = p->root, .rest = path, .span = p->spans->root};
	while (w->node && *w->rest) {
		int error = check_parent(w, path, reason);

		if (error)
			return error;
		if (yaml_aliases_find(&p->aliases, w->node))
			w->shared = w->node;
		if (!step(p->spans, w))
			break;
	}
	return 0;
}

/* --- changes --- */

const struct change *yaml_plan_find(const struct yaml_plan *p, const struct doc_node *node)
{
	for (size_t i = 0; i < p->change_count; i++)
		if (p->changes[i].node == node)
			return &p->changes[i];
	return NULL;
}

static struct change *change_of(struct yaml_plan *p, const struct way *w, const char *path)
{
	struct change *found = (struct change *)yaml_plan_find(p, w->node);

	if (found)
		return found;
	found = &p->changes[p->change_count++];
	*found = (struct change){.node = w->node, .span = w->span, .map = w->map, .depth = w->depth, .path = path};
	return found;
}

/* Find or add the member of that name at the end of a list. */
static struct new_member *member_of(struct yaml_plan *p, struct new_member **list, const char *name, size_t len)
{
	struct new_member *fresh;

	for (; *list; list = &(*list)->next)
		if ((*list)->name_len == len && !memcmp((*list)->name, name, len))
			return *list;
	fresh = &p->members[p->member_count++];
	*fresh = (struct new_member){.name = name, .name_len = len};
	return *list = fresh;
}

static void add_members(struct yaml_plan *p, struct change *change, const char *names, const struct yaml_edit *edit, const struct doc_node *value_node)
{
	struct new_member **list = &change->members;

	for (;;) {
		size_t len = strcspn(names, ".");
		struct new_member *m = member_of(p, list, names, len);

		if (!names[len]) {
			m->value = edit->value;
			m->value_node = value_node;
			return;
		}
		names += len + 1;
		list = &m->child;
	}
}

int yaml_plan_add(struct yaml_plan *p, const struct yaml_edit *before, size_t before_count, const struct yaml_edit *edit, const struct doc_node *value_node,
	struct reason *reason)
{
	struct change *change;
	struct way w;
	int error;

	if (touches_earlier(before, before_count, edit))
		return -EAGAIN;
	error = find(p, edit->path, &w, reason);
	if (error)
		return error;
	if (!*w.rest && (edit->only_if_missing || yaml_nodes_equal(w.node, value_node)))
		return 0;
	if (w.shared)
		return refuse(reason, w.shared, edit->path, "an alias elsewhere names what it is in");
	if (!*w.rest && yaml_aliases_reach_into(&p->aliases, w.node))
		return refuse(reason, w.node, edit->path, "an alias elsewhere names the present value");
	change = change_of(p, &w, edit->path);
	if (*w.rest) {
		add_members(p, change, w.rest, edit, value_node);
		change->before_last = w.span && yaml_ends_open(p->spans, w.span) && p->spans->items[w.span].mapping;
	} else {
		change->value = edit->value;
		change->value_node = value_node;
	}
	return 0;
}
