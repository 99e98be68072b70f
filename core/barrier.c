/* SPDX-License-Identifier: MIT
 *
 * Barriers in memory: one for each directory in agents/.sync of each session, ended ones included, found by the directory's inode number.
 *
 * All of it is derived: from the directory (acknowledgements, `participants`, `timeout`) and the record next to it (when it began, whom
 * it waited for at first, how it ended). So a restart finds a barrier in progress and goes on with it, its time counted from its start.
 *
 * Leaves to others: finding them (barrier_load.c), making and removing them (barrier_make.c), ending them (barrier_upkeep.c), texts
 * (barrier_record.c).
 *
 * Everything is under the engine's lock. A barrier whose record was removed goes on by its directory, and nobody makes the record again: `rm -r` of a session may have begun.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "barrier_internal.h"
#include "upkeep.h"

/* ---- the table ---- */

static struct barrier **bucket_of(struct engine *e, uint64_t dir_ino)
{
	return &e->barriers->buckets[dir_ino % BARRIER_BUCKETS];
}

struct barrier *barrier_find(struct engine *e, uint64_t dir_ino)
{
	struct barrier *b = e->barriers ? *bucket_of(e, dir_ino) : NULL;

	while (b && b->dir_ino != dir_ino)
		b = b->next;
	return b;
}

void barrier_insert(struct engine *e, struct barrier *b)
{
	struct barrier **bucket = bucket_of(e, b->dir_ino);

	b->next = *bucket;
	*bucket = b;
	barrier_due(e, b, BARRIER_NOW);
	barrier_files_changed(e, b);
}

void barrier_drop(struct engine *e, struct barrier *b)
{
	struct barrier **at = bucket_of(e, b->dir_ino);

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	due_remove(&e->barriers->due, &b->due);
	for (at = &e->barriers->changed; b->files_changed && *at; at = &(*at)->next_changed)
		if (*at == b) {
			*at = b->next_changed;
			break;
		}
	for (at = &e->barriers->unsafe; b->unsafe && *at; at = &(*at)->next_unsafe)
		if (*at == b) {
			*at = b->next_unsafe;
			break;
		}
	barrier_free(b);
}

void barrier_due(struct engine *e, struct barrier *b, int64_t due_ns)
{
	if (b->record.status == BARRIER_IN_PROGRESS)
		due_set(&e->barriers->due, &b->due, due_ns);
	else
		due_remove(&e->barriers->due, &b->due);
}

void barrier_files_changed(struct engine *e, struct barrier *b)
{
	if (b->files_changed || b->record.status != BARRIER_IN_PROGRESS)
		return;
	b->files_changed = true;
	b->next_changed = e->barriers->changed;
	e->barriers->changed = b;
}

void barrier_free(struct barrier *b)
{
	if (!b)
		return;
	barrier_record_release(&b->record);
	id_list_release(&b->first);
	id_list_release(&b->dead);
	free(b);
}

int barrier_new(struct engine *e, const char *session, const char *id, const struct id_list *first, uint64_t timeout_s, struct barrier **ret)
{
	struct barrier *b = calloc(1, sizeof(*b));

	if (!b || id_list_copy(first, &b->first) || id_list_copy(first, &b->record.participants)) {
		barrier_free(b);
		return -ENOMEM;
	}
	memcpy(b->session, session, strlen(session) + 1);
	memcpy(b->id, id, strlen(id) + 1);
	b->first_timeout_s = b->record.timeout_s = timeout_s;
	b->record.started_ns = env_time_ns(e->env);
	b->started_mono_ns = env_monotonic_ns(e->env);
	*ret = b;
	return 0;
}

void barriers_free(struct barriers *bs)
{
	if (!bs)
		return;
	for (size_t i = 0; i < BARRIER_BUCKETS; i++)
		while (bs->buckets[i]) {
			struct barrier *b = bs->buckets[i];

			bs->buckets[i] = b->next;
			barrier_free(b);
		}
	free(bs);
}

/* ---- looking at directories ---- */

static struct node *child_of(struct engine *e, const struct node *dir, const char *name)
{
	struct dentry *d = dir ? tree_lookup(e->tree, dir, name, strlen(name), SEQ_LIVE) : NULL;

	return d ? d->node : NULL;
}

struct node *barrier_file(struct engine *e, uint64_t dir_ino, const char *name)
{
	struct node *n = child_of(e, tree_node(e->tree, dir_ino), name);

	return n && S_ISREG(n->newest->attrs->mode) && !(n->flags & NODE_NEWBORN) ? n : NULL;
}

struct node *barrier_record_node(struct engine *e, const char *session, const char *id, struct node **ret_dir)
{
	struct session *s = registry_session(e, session);
	struct node *dir = s && s->sync_ino ? tree_node(e->tree, s->sync_ino) : NULL, *n;
	char name[ACTOR_ID_BYTES + 8];

	(void)snprintf(name, sizeof(name), "%s.yaml", id); /* an id fits */
	n = child_of(e, dir, name);
	if (ret_dir)
		*ret_dir = dir;
	return n;
}

int barrier_live_agents(const struct session *s, struct id_list *ret)
{
	struct id_list l = {0};

	for (const struct agent *a = s->agents; a; a = a->next)
		if (!a->removed_ns && agent_status_is_live(a->fields.status) && id_list_push(&l, a->id, strlen(a->id))) {
			id_list_release(&l);
			return -ENOMEM;
		}
	*ret = l;
	return 0;
}

int barrier_look(struct engine *e, struct barrier *b)
{
	struct session *s = registry_session(e, b->session);
	struct id_list acknowledged = {0}, missing = {0}, unregistered = {0};
	const struct id_list *all = &b->record.participants;
	bool changed;
	int r = 0;

	for (size_t i = 0; i < all->count && !r; i++) {
		const char *id = all->ids[i];

		r = id_list_push(barrier_file(e, b->dir_ino, id) ? &acknowledged : &missing, id, strlen(id));
		if (!r && !(s && registry_agent(s, id)))
			r = id_list_push(&unregistered, id, strlen(id));
	}
	if (r) {
		id_list_release(&acknowledged);
		id_list_release(&missing);
		id_list_release(&unregistered);
		return r;
	}
	changed = id_list_become(&b->record.acknowledged, &acknowledged);
	changed = id_list_become(&b->record.missing, &missing) || changed;
	changed = id_list_become(&b->record.unregistered, &unregistered) || changed;
	if (changed) {
		b->stale = true;
		b->changes++;
	}
	return 0;
}

/* ---- what others ask and say ---- */

void barriers_changed(struct engine *e, struct session *s, uint64_t dir_ino, uint64_t ino)
{
	struct barrier *b = barrier_find(e, dir_ino);

	if (b) {
		barrier_due(e, b, BARRIER_NOW);
		barrier_files_changed(e, b);
	} else if (e->barriers && s && s->sync_ino == dir_ino) {
		if (barrier_is_there(e, s->id, ino) != (barrier_find(e, ino) != NULL))
			e->barriers->rescan = true;
	} else {
		return;
	}
	upkeep_wake(e);
}

void barriers_agent_ended(struct engine *e, const struct session *s, const char *agent, bool dead)
{
	bool any = false;

	for (size_t i = 0; e->barriers && i < BARRIER_BUCKETS; i++)
		for (struct barrier *b = e->barriers->buckets[i]; b; b = b->next) {
			if (b->record.status != BARRIER_IN_PROGRESS || strcmp(b->session, s->id) != 0)
				continue;
			if (dead)
				(void)id_list_add(&b->dead, agent, strlen(agent)); /* without memory its status tells, or the timeout */
			barrier_due(e, b, BARRIER_NOW);
			any = true;
		}
	if (any)
		upkeep_wake(e);
}

static void put_ids(const struct id_list *l, struct buf *out)
{
	for (size_t i = 0; i < l->count; i++)
		buf_printf(out, " %s", l->ids[i]);
}

int barrier_check_entry(struct engine *e, uint64_t dir_ino, const char *name, uint32_t mode, struct reason *reason)
{
	struct barrier *b = barrier_find(e, dir_ino);
	cleanup_buf struct buf ids = BUF_INIT;

	if (!S_ISREG(mode))
		return reason_set(reason, -EPERM, "barrier", "%s: in a barrier only files can be made: touch ID acknowledges for the agent ID", name);
	if (!b)
		return 0; /* one that is not known yet: what does not belong there is not counted */
	if (b->record.status != BARRIER_IN_PROGRESS)
		return reason_set(reason, -EPERM, "barrier", "%s: the barrier %s has ended (%s)", name, b->id, barrier_status_name(b->record.status));
	if (!strcmp(name, BARRIER_PARTICIPANTS_FILE) || !strcmp(name, BARRIER_TIMEOUT_FILE) || id_list_has(&b->record.participants, name))
		return 0;
	put_ids(&b->record.participants, &ids);
	return reason_set(reason, -EPERM, "barrier", "%s is no participant of the barrier %s, which waits for%s", name, b->id, ids.len ? ids.data : " nobody");
}

int barrier_result(struct engine *e, uint64_t dir_ino, struct buf *out)
{
	struct barrier *b = barrier_find(e, dir_ino);
	struct node *n = tree_node(e->tree, dir_ino);

	if (!b && n && n->nlink)
		return 0; /* brought back a moment ago */
	if (b && (b->record.status == BARRIER_IN_PROGRESS || b->unsafe))
		return journal_error(e->journal) ? -EIO : 0;
	if (b && b->record.status == BARRIER_COMPLETED) {
		buf_append_str(out, "completed\n");
	} else if (!b || b->record.reason == BARRIER_REMOVED) {
		buf_append_str(out, "failed: removed\n");
	} else {
		buf_append_str(out, "failed: missing");
		put_ids(&b->record.missing, out);
		buf_append_str(out, "\n");
	}
	return out->error ? out->error : 1;
}

void barriers_set_observer(struct engine *e, void (*fn)(void *arg), void *arg)
{
	engine_lock(e);
	e->barriers->observer = fn;
	e->barriers->observer_arg = arg;
	engine_unlock(e);
}

void barriers_tell(struct engine *e)
{
	void (*fn)(void *arg);
	void *arg;

	engine_lock(e);
	fn = e->barriers->observer;
	arg = e->barriers->observer_arg;
	engine_unlock(e);
	if (fn)
		fn(arg);
}
