/* SPDX-License-Identifier: MIT
 *
 * What the log says of a restore: each name that comes, goes or changes, with the hashes of what it held and holds, and agents that are registered or get
 * another status by it.
 *
 * What that takes is found out between two tries, without the engine's lock: agents' files are read; hashes that nobody remembers are made of the bytes,
 * HASHED_BYTES_MAX of them in all, or, of a longer file, taken from the event of the transaction that wrote it. A hash that is not that cheap
 * stays unknown. An agent who is taken away needs no event here: he leaves as when his file is removed by hand.
 *
 * Failure: what cannot be read has no hash, and says nothing as an agent's file; only memory is an error.
 */
#include <errno.h>
#include <string.h>

#include "restore_internal.h"

#define HASHED_BYTES_MAX (16u << 20)
/* Above that a record is read before the file is; a frame holds that much. */
#define HASHED_FIRST_MAX (64u << 10)
/* Versions looked at for the one that brought a content: the others only changed attributes. */
#define VERSIONS_MAX 64
/* A longer file of an agent says nothing. */
#define AGENT_BYTES_MAX MODEL_BYTES_MAX

/* ---- asking; lock held ---- */

static struct restore_fact *fact_of(const struct restore_facts *f, const struct version *v)
{
	struct restore_fact *i = NULL;

	if (f->all)
		HASH_FIND_PTR(f->all, &v, i);
	return i;
}

/* NULL: no memory. */
static struct restore_fact *fact_make(struct restore_facts *f, const struct node *n, const struct version *v)
{
	struct restore_fact *i = fact_of(f, v);

	if (i)
		return i;
	i = calloc(1, sizeof(*i));
	if (!i)
		return NULL;
	i->node = n;
	i->version = v;
	HASH_ADD_PTR(f->all, version, i);
	if (i->hh.tbl)
		return i;
	free(i);
	return NULL;
}

/* The file a note's name stands for after the restore; NULL: none. */
static const struct version *version_then(const struct restore_note *n)
{
	const struct version *v = n->seq == SEQ_LIVE ? NULL : tree_version_at(n->d->node, n->seq);

	return v && S_ISREG(v->attrs->mode) ? v : NULL;
}

static const struct version *version_now(const struct restore_note *n)
{
	return n->old && S_ISREG(n->old->newest->attrs->mode) ? n->old->newest : NULL;
}

static bool sha_get(const struct restore_facts *f, struct engine *e, const struct node *n, const struct version *v, struct sha256 *ret)
{
	const struct restore_fact *i = fact_of(f, v);

	if (i && i->have_sha)
		*ret = i->sha;
	return (i && i->have_sha) || sha_cache_get(e->shas, n->ino, v->born, ret);
}

/* What is remembered is kept here, too: finding the hash of one version makes the cache forget that of another. */
static int ask_sha(struct restore_facts *f, struct engine *e, const struct node *n, const struct version *v)
{
	struct restore_fact *i = v ? fact_make(f, n, v) : NULL;

	if (!v || !i)
		return v ? -ENOMEM : 0;
	i->have_sha = sha_get(f, e, n, v, &i->sha);
	i->wants_sha = !i->have_sha;
	return i->have_sha ? 0 : -EAGAIN;
}

static int ask_agent(struct restore_facts *f, const struct restore_diff *d, const struct restore_note *n)
{
	const struct version *v = n->d->parent->ino == d->roots.agents ? version_then(n) : NULL;
	struct restore_fact *i = v ? fact_make(f, n->d->node, v) : NULL;

	if (!v || !i)
		return v ? -ENOMEM : 0;
	i->wants_agent = true;
	return i->found ? 0 : -EAGAIN;
}

int restore_facts_ask(struct restore_facts *f, const struct restore_diff *d)
{
	bool hash = !f->hashed && d->note_count <= RESTORE_EVENTS_MAX, missing = false;

	for (size_t i = 0; i < d->note_count; i++) {
		const struct restore_note *n = &d->notes[i];
		int r[] = {ask_agent(f, d, n), hash ? ask_sha(f, d->t->e, n->d->node, version_then(n)) : 0,
			hash ? ask_sha(f, d->t->e, n->old, version_now(n)) : 0};

		for (size_t k = 0; k < ARRAY_SIZE(r); k++) {
			if (r[k] == -ENOMEM)
				return r[k];
			missing |= r[k] == -EAGAIN;
		}
	}
	f->hashed = true;
	return missing ? -EAGAIN : 0;
}

/* ---- finding; no lock held ---- */

/* Who wrote this content, and under which path. False: that is not known. */
static bool find_writer(struct engine *e, const struct restore_fact *i, uint64_t *ret_seq, struct buf *ret_path)
{
	const struct version *v = i->version;
	int r;

	engine_lock(e);
	for (unsigned k = 0; k < VERSIONS_MAX && v->older && tree_version_same_content(v->older, i->version); k++)
		v = v->older;
	*ret_seq = v->born;
	r = tree_path_at(e->tree, i->node, v->born, ret_path);
	engine_unlock(e);
	return !r && !ret_path->error;
}

static bool sha_of_event(struct engine *e, struct restore_fact *i)
{
	cleanup_buf struct buf path = BUF_INIT;
	struct record *r;
	uint64_t seq;

	if (!find_writer(e, i, &seq, &path) || engine_load_record(e, seq, &r))
		return false;
	for (uint32_t k = 0; k < r->event_count && !i->have_sha; k++) {
		const struct event *ev = &r->events[k];

		i->have_sha = ev->flags & EVENT_HAS_NEW_SHA &&
			      (ev->type == EVENT_FILE_CREATED || ev->type == EVENT_FILE_WRITTEN || ev->type == EVENT_FILE_APPENDED) &&
			      !strcmp(ev->path, path.data ? path.data : "");
		if (i->have_sha)
			i->sha = ev->new_sha;
	}
	record_free(r);
	return i->have_sha;
}

static void find_sha(struct engine *e, struct restore_fact *i, uint64_t *left)
{
	uint64_t bytes = i->version->size;

	if (bytes > HASHED_FIRST_MAX && sha_of_event(e, i))
		return;
	if (bytes > *left)
		return;
	*left -= bytes;
	i->have_sha = !engine_content_sha(e, i->node, i->version, &i->sha);
}

static int find_agent(struct engine *e, struct restore_fact *i)
{
	cleanup_free char *text = NULL;
	int r = i->version->size > AGENT_BYTES_MAX ? -EFBIG : engine_read_text(e, i->version, &text);

	if (r == -ENOMEM)
		return r;
	r = agent_fields_parse(text ? text : "", text ? (size_t)i->version->size : 0, &i->agent);
	i->found = !r;
	return r;
}

int restore_facts_find(struct restore_facts *f, struct engine *e)
{
	struct restore_fact *i, *next;
	uint64_t left = HASHED_BYTES_MAX;
	int r = 0;

	HASH_ITER (hh, f->all, i, next) {
		if (i->wants_sha)
			find_sha(e, i, &left);
		i->wants_sha = false;
		if (!r && i->wants_agent && !i->found)
			r = find_agent(e, i);
	}
	return r;
}

void restore_facts_keep(const struct restore_facts *f, const struct restore_diff *d)
{
	for (size_t i = 0; i < d->note_count; i++) {
		const struct restore_note *n = &d->notes[i];
		const struct version *v = version_then(n), *is = n->d->node->newest;
		const struct restore_fact *fact = v ? fact_of(f, v) : NULL;

		if (fact && fact->have_sha && (is->born == d->t->seq || tree_version_same_content(is, v))) /* else a copy stands for it */
			sha_cache_put(d->t->e->shas, n->d->node->ino, is->born, &fact->sha);
	}
}

void restore_facts_release(struct restore_facts *f)
{
	struct restore_fact *i, *next;

	HASH_ITER (hh, f->all, i, next) {
		HASH_DEL(f->all, i);
		agent_fields_release(&i->agent);
		free(i);
	}
}

/* ---- the events; lock held ---- */

static void add_note(const struct restore_facts *f, struct txn *t, const struct restore_note *n, const char *path)
{
	const struct version *v = version_then(n), *old = version_now(n);
	struct event *ev = txn_add_event(t, n->type, path);
	struct sha256 sha;

	if (old && sha_get(f, t->e, n->old, old, &sha))
		event_set_old_sha(ev, &sha);
	if (!v)
		return;
	if (sha_get(f, t->e, n->d->node, v, &sha))
		event_set_new_sha(ev, &sha);
	ev->flags |= EVENT_HAS_SIZE;
	ev->size = v->size;
}

static void add_agent(const struct restore_facts *f, struct txn *t, const struct restore_note *n, const char *path, const char *session)
{
	const struct version *v = version_then(n);
	const struct restore_fact *fact = v ? fact_of(f, v) : NULL;
	struct session *s = registry_session(t->e, session);
	char id[ACTOR_ID_BYTES];
	const struct agent *a;

	if (!fact || !fact->found || !s || model_kind_of(path, NULL, id) != MODEL_AGENT)
		return;
	a = registry_agent(s, id);
	if (!a)
		model_add_registered(t, path, id, fact->agent.type);
	else if (a->fields.status != fact->agent.status)
		model_add_agent_status(t, path, id, agent_status_name(a->fields.status), agent_status_name(fact->agent.status), "restored");
}

void restore_events_add(struct restore_facts *f, const struct restore_diff *d, const char *session)
{
	bool each = d->note_count <= RESTORE_EVENTS_MAX;
	struct txn *t = d->t;

	for (size_t i = 0; i < d->note_count && !t->error; i++) {
		const struct restore_note *n = &d->notes[i];
		cleanup_buf struct buf path = BUF_INIT;
		char *copy;

		if (!each && n->d->parent->ino != d->roots.agents)
			continue;
		if (tree_dentry_path(t->e->tree, n->d, n->seq, &path) || !(copy = txn_strdup(t, path.data))) {
			t->error = -ENOMEM;
			return;
		}
		if (each)
			add_note(f, t, n, copy);
		add_agent(f, t, n, copy, session);
	}
}
