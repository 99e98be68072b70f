/* SPDX-License-Identifier: MIT
 *
 * Barriers in memory: one for each directory in agents/.sync of each session, ended ones included, found by the directory's inode number.
 *
 * All of it is derived: from the directory (acknowledgements, `participants`, `timeout`) and the record next to it (when it began, whom
 * it waited for at first, how it ended). So a restart finds a barrier in progress and goes on with it, its time counted from its start.
 *
 * Leaves to others: making and removing them (barrier_make.c), ending them (barrier_upkeep.c), texts (barrier_record.c).
 *
 * Everything is under the engine's lock. Files are read without it, and what was read counts only if it is still the newest version then.
 * A barrier whose record was removed goes on by its directory, and nobody makes the record again: `rm -r` of a session may have begun.
 */
#include <errno.h>
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
}

void barrier_drop(struct engine *e, struct barrier *b)
{
	struct barrier **at = bucket_of(e, b->dir_ino);

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	barrier_free(b);
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
	b->dirty = true;
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

/* A regular file that has reached the journal. */
static struct node *file_of(struct engine *e, uint64_t dir_ino, const char *name)
{
	struct node *n = child_of(e, tree_node(e->tree, dir_ino), name);

	return n && S_ISREG(n->newest->attrs->mode) && !(n->flags & NODE_NEWBORN) ? n : NULL;
}

struct node *barrier_record_node(struct engine *e, const char *session, const char *id, struct node **ret_dir)
{
	struct session *s = registry_session(e, session);
	struct node *dir = s && s->sync_ino ? tree_node(e->tree, s->sync_ino) : NULL, *n;
	char name[ACTOR_ID_BYTES + 8];

	memcpy(name, id, strlen(id) + 1);
	strcat(name, ".yaml");
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

/* Takes @now over; true when it says something else than @list did. */
static bool list_become(struct id_list *list, struct id_list *now)
{
	bool changed = !id_list_equal(list, now);

	id_list_release(list);
	*list = *now;
	return changed;
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

		r = id_list_push(file_of(e, b->dir_ino, id) ? &acknowledged : &missing, id, strlen(id));
		if (!r && !(s && registry_agent(s, id)))
			r = id_list_push(&unregistered, id, strlen(id));
	}
	if (r) {
		id_list_release(&acknowledged);
		id_list_release(&missing);
		id_list_release(&unregistered);
		return r;
	}
	changed = list_become(&b->record.acknowledged, &acknowledged);
	changed = list_become(&b->record.missing, &missing) || changed;
	changed = list_become(&b->record.unregistered, &unregistered) || changed;
	if (changed) {
		b->stale = true;
		b->changes++;
	}
	return 0;
}

/* ---- the starter's files ---- */

struct wanted_file {
	uint64_t dir_ino, ino; /* ino 0: it is not there (any more) */
	bool timeout;
};

static const struct version *version_of(const struct node *n)
{
	return n ? n->newest : NULL;
}

/* A file of a barrier in progress that has another version than the one read. Lock held. */
static bool file_wanted(struct engine *e, struct wanted_file *ret)
{
	for (size_t i = 0; i < BARRIER_BUCKETS; i++)
		for (struct barrier *b = e->barriers->buckets[i]; b; b = b->next) {
			struct node *n;

			if (b->record.status != BARRIER_IN_PROGRESS)
				continue;
			n = file_of(e, b->dir_ino, BARRIER_PARTICIPANTS_FILE);
			*ret = (struct wanted_file){.dir_ino = b->dir_ino, .ino = n ? n->ino : 0};
			if (version_of(n) != b->participants_file)
				return true;
			n = file_of(e, b->dir_ino, BARRIER_TIMEOUT_FILE);
			*ret = (struct wanted_file){.dir_ino = b->dir_ino, .ino = n ? n->ino : 0, .timeout = true};
			if (version_of(n) != b->timeout_file)
				return true;
		}
	return false;
}

/* What version @base of the file says counts from now on, if it is still the newest. Takes @list's ids over. Lock held. */
static int file_apply(struct engine *e, const struct wanted_file *w, const struct version *base, struct id_list *list, uint64_t timeout_s)
{
	struct barrier *b = barrier_find(e, w->dir_ino);
	struct id_list first = {0};

	if (!b || version_of(file_of(e, w->dir_ino, w->timeout ? BARRIER_TIMEOUT_FILE : BARRIER_PARTICIPANTS_FILE)) != base)
		return 0; /* there is something newer to look at */
	b->dirty = b->stale = true;
	b->changes++;
	if (w->timeout) {
		b->timeout_file = base;
		b->record.timeout_s = timeout_s ? timeout_s : b->first_timeout_s;
		return 0;
	}
	if (!list->count && id_list_copy(&b->first, &first))
		return -ENOMEM;
	b->participants_file = base;
	(void)list_become(&b->record.participants, list->count ? list : &first);
	*list = (struct id_list){0};
	return barrier_look(e, b);
}

static int file_read(struct engine *e, const struct wanted_file *w)
{
	const struct version *base = NULL;
	struct id_list list = {0};
	cleanup_free char *text = NULL;
	uint64_t timeout_s = 0;
	size_t len = 0;
	int r = w->ino ? file_edit_read(e, w->ino, &base, &text, &len) : 0;

	if (r == -ENOMEM)
		return r;
	if (r || !text) { /* one that cannot be read says nothing */
		engine_lock(e);
		base = w->ino ? version_of(tree_node(e->tree, w->ino)) : NULL;
		engine_unlock(e);
	} else if (w->timeout) {
		timeout_s = barrier_parse_timeout(text, len);
	} else if ((r = barrier_parse_participants(text, len, &list))) {
		return r;
	}
	engine_lock(e);
	r = file_apply(e, w, base, &list, timeout_s);
	engine_unlock(e);
	id_list_release(&list);
	return r;
}

void barriers_read_files(struct engine *e)
{
	struct wanted_file w;
	bool more = e->barriers && __atomic_exchange_n(&e->barriers->files_changed, false, __ATOMIC_ACQ_REL);

	while (more) {
		engine_lock(e);
		more = file_wanted(e, &w);
		engine_unlock(e);
		if (more && file_read(e, &w)) {
			__atomic_store_n(&e->barriers->files_changed, true, __ATOMIC_RELEASE); /* no memory now: at the next upkeep */
			return;
		}
	}
}

/* ---- found at start, or brought back by a restore ---- */

struct found {
	char session[ACTOR_ID_BYTES], id[ACTOR_ID_BYTES];
	uint64_t dir_ino, record_ino;
	int64_t born_ns;
};

struct found_list {
	struct found *items;
	size_t count, capacity;
};

static int session_find_unknown(struct engine *e, struct session *s, struct found_list *l)
{
	struct node *dir = s->sync_ino ? tree_node(e->tree, s->sync_ino) : NULL, *record;

	for (struct dentry *d = dir && dir->dir ? dir->dir->first : NULL; d; d = d->next) {
		struct found *f;

		if (!S_ISDIR(d->node->newest->attrs->mode) || d->name->len >= ACTOR_ID_BYTES || barrier_find(e, d->node->ino))
			continue;
		if (array_reserve(&l->items, &l->capacity, l->count + 1, sizeof(*l->items)))
			return -ENOMEM;
		f = &l->items[l->count++];
		*f = (struct found){.dir_ino = d->node->ino, .born_ns = engine_seq_time(e, d->born)};
		memcpy(f->session, s->id, sizeof(f->session));
		memcpy(f->id, d->name->text, (size_t)d->name->len + 1);
		record = barrier_record_node(e, f->session, f->id, NULL);
		f->record_ino = record ? record->ino : 0;
	}
	return 0;
}

/* Is it still where a barrier is? Lock held. */
static bool is_there(struct engine *e, const char *session, uint64_t dir_ino)
{
	struct session *s = registry_session(e, session);
	struct node *n = tree_node(e->tree, dir_ino);
	struct dentry *d = n ? tree_name_at(n, SEQ_LIVE) : NULL;

	return s && d && d->parent->ino == s->sync_ino;
}

/* Barriers that have gone are dropped; returns whether any was. Lock held. */
static bool drop_gone(struct engine *e)
{
	bool any = false;

	for (size_t i = 0; i < BARRIER_BUCKETS; i++)
		for (struct barrier *b = e->barriers->buckets[i], *next; b; b = next) {
			next = b->next;
			if (!is_there(e, b->session, b->dir_ino)) {
				barrier_drop(e, b);
				any = true;
			}
		}
	return any;
}

/* The barrier of a directory, as its record has it, or else as one that goes on. No lock held. */
static int barrier_load(struct engine *e, const struct found *f, struct barrier **ret)
{
	const struct version *base;
	struct barrier_record r = {0};
	struct id_list first = {0};
	cleanup_free char *text = NULL;
	struct session *s;
	struct barrier *b;
	size_t len;
	int error = f->record_ino ? file_edit_read(e, f->record_ino, &base, &text, &len) : -ENOENT;
	bool known = !error && !barrier_record_parse(text, len, &r) && r.started_ns;

	error = 0;
	if (!known) {
		engine_lock(e);
		s = registry_session(e, f->session);
		error = s ? barrier_live_agents(s, &first) : 0;
		r.timeout_s = s ? s->fields.sync_timeout_s : 0;
		engine_unlock(e);
		r.started_ns = f->born_ns;
		r.status = BARRIER_IN_PROGRESS;
	}
	if (!error)
		error = barrier_new(e, f->session, f->id, known ? &r.participants : &first, r.timeout_s ? r.timeout_s : SESSION_SYNC_TIMEOUT_S, &b);
	if (!error) {
		int64_t age_ns = b->record.started_ns - r.started_ns; /* the clock may have been set back */

		b->dir_ino = f->dir_ino;
		b->started_mono_ns -= MAX(age_ns, (int64_t)0);
		id_list_release(&b->record.participants);
		if (!known)
			r.participants = first;
		else
			id_list_release(&first);
		b->record = r;
		*ret = b;
		return 0;
	}
	id_list_release(&first);
	barrier_record_release(&r);
	return error;
}

static int barriers_load(struct engine *e, const struct found_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct barrier *b;
		int r = barrier_load(e, &l->items[i], &b);

		if (r)
			return r;
		engine_lock(e);
		if (barrier_find(e, b->dir_ino) || !is_there(e, b->session, b->dir_ino))
			barrier_free(b);
		else
			barrier_insert(e, b);
		engine_unlock(e);
		__atomic_store_n(&e->barriers->files_changed, true, __ATOMIC_RELEASE);
	}
	return 0;
}

int barriers_rescan(struct engine *e)
{
	struct found_list l = {0};
	bool wanted, gone = false;
	int r = 0;

	engine_lock(e);
	wanted = e->barriers->rescan;
	e->barriers->rescan = false;
	if (wanted) {
		gone = drop_gone(e);
		for (struct session *s = registry_first_session(e); s && !r; s = s->next)
			r = session_find_unknown(e, s, &l);
	}
	engine_unlock(e);
	if (!r)
		r = barriers_load(e, &l);
	free(l.items);
	if (r) { /* at the next upkeep again */
		engine_lock(e);
		e->barriers->rescan = true;
		engine_unlock(e);
	}
	if (gone)
		barriers_tell(e);
	return r;
}

int barriers_start(struct engine *e)
{
	e->barriers = calloc(1, sizeof(*e->barriers));
	if (!e->barriers)
		return -ENOMEM;
	e->barriers->rescan = true;
	return barriers_rescan(e);
}

/* ---- what others ask and say ---- */

void barriers_changed(struct engine *e, struct session *s, uint64_t dir_ino)
{
	struct barrier *b = barrier_find(e, dir_ino);

	if (b) {
		b->dirty = true;
		__atomic_store_n(&e->barriers->files_changed, true, __ATOMIC_RELEASE);
	} else if (e->barriers && s && s->sync_ino == dir_ino) {
		e->barriers->rescan = true;
	} else {
		return;
	}
	upkeep_wake(e);
}

void barriers_agent_died(struct engine *e, const struct session *s, const char *agent)
{
	bool any = false;

	for (size_t i = 0; e->barriers && i < BARRIER_BUCKETS; i++)
		for (struct barrier *b = e->barriers->buckets[i]; b; b = b->next) {
			if (b->record.status != BARRIER_IN_PROGRESS || strcmp(b->session, s->id) != 0)
				continue;
			(void)id_list_add(&b->dead, agent, strlen(agent)); /* without memory its status tells, or the timeout */
			b->dirty = any = true;
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
	return reason_set(reason, -EPERM, "barrier", "%s is no participant of the barrier %s, which waits for%s", name, b->id,
			  ids.len ? ids.data : " nobody");
}

int barrier_result(struct engine *e, uint64_t dir_ino, struct buf *out)
{
	struct barrier *b = barrier_find(e, dir_ino);
	struct node *n = tree_node(e->tree, dir_ino);

	if (!b && n && n->nlink)
		return 0; /* brought back a moment ago */
	if (b && b->record.status == BARRIER_IN_PROGRESS)
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
