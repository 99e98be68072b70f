/* SPDX-License-Identifier: MIT
 *
 * What files say of barriers: `participants` and `timeout` whenever they have another version, and the records of barriers whose directories
 * are found at the start or were brought back.
 *
 * Files are read without the engine's lock, and what was read counts only if it is still the newest version under it; who finds it is not
 * looks again. A barrier whose record is missing or spoiled goes on by its directory: it waits for the session's live agents, from when the directory
 * was made. Failure: without memory everything stays as it was, and the next upkeep tries again.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "barrier_internal.h"

/* ---- the starter's files ---- */

struct wanted_file {
	uint64_t dir_ino, ino; /* ino 0: it is not there (any more) */
	bool timeout;
};

static const struct version *version_of(const struct node *n)
{
	return n ? n->newest : NULL;
}

/* A file of a barrier in progress that has another version than the one read. Barriers without are done with. Lock held. */
static bool file_wanted(struct engine *e, struct wanted_file *ret)
{
	struct barrier *b;

	while ((b = e->barriers->changed)) {
		struct node *participants = barrier_file(e, b->dir_ino, BARRIER_PARTICIPANTS_FILE);
		struct node *timeout = barrier_file(e, b->dir_ino, BARRIER_TIMEOUT_FILE), *n;

		ret->timeout = version_of(participants) == b->participants_file;
		n = ret->timeout ? timeout : participants;
		ret->dir_ino = b->dir_ino;
		ret->ino = n ? n->ino : 0;
		if (b->record.status == BARRIER_IN_PROGRESS && (!ret->timeout || version_of(timeout) != b->timeout_file))
			return true;
		e->barriers->changed = b->next_changed;
		b->files_changed = false;
	}
	return false;
}

/* What version @base of the file says counts from now on, if it is still the newest. Takes @list's ids over. Lock held. */
static int file_apply(struct engine *e, const struct wanted_file *w, const struct version *base, struct id_list *list, uint64_t timeout_s)
{
	struct barrier *b = barrier_find(e, w->dir_ino);
	struct id_list first = {0};

	if (!b || version_of(barrier_file(e, w->dir_ino, w->timeout ? BARRIER_TIMEOUT_FILE : BARRIER_PARTICIPANTS_FILE)) != base)
		return 0; /* there is something newer to look at */
	barrier_due(e, b, BARRIER_NOW);
	b->stale = true;
	b->changes++;
	if (w->timeout) {
		b->timeout_file = base;
		b->record.timeout_s = timeout_s ? timeout_s : b->first_timeout_s;
		return 0;
	}
	if (!list->count && id_list_copy(&b->first, &first))
		return -ENOMEM;
	b->participants_file = base;
	(void)id_list_become(&b->record.participants, list->count ? list : &first);
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
	bool more = e->barriers;

	while (more) {
		engine_lock(e);
		more = file_wanted(e, &w);
		engine_unlock(e);
		if (more && file_read(e, &w))
			return; /* no memory now: at the next upkeep */
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

bool barrier_is_there(struct engine *e, const char *session, uint64_t dir_ino)
{
	struct session *s = registry_session(e, session);
	struct node *n = tree_node(e->tree, dir_ino);
	struct dentry *d = n ? tree_name_at(n, SEQ_LIVE) : NULL;

	return s && d && d->parent->ino == s->sync_ino && S_ISDIR(n->newest->attrs->mode);
}

/* Barriers that have gone are dropped; returns whether any was. Lock held. */
static bool drop_gone(struct engine *e)
{
	bool any = false;

	for (size_t i = 0; i < BARRIER_BUCKETS; i++)
		for (struct barrier *b = e->barriers->buckets[i], *next; b; b = next) {
			next = b->next;
			if (!barrier_is_there(e, b->session, b->dir_ino)) {
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
		if (barrier_find(e, b->dir_ino) || !barrier_is_there(e, b->session, b->dir_ino))
			barrier_free(b);
		else
			barrier_insert(e, b);
		engine_unlock(e);
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
