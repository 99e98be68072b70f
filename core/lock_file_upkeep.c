/* SPDX-License-Identifier: MIT
 *
 * Lock files whose owners are gone are released: one transaction each, the file's names in state/.locks and an event. And what people ask about
 * lock files.
 *
 * A release verifies under the lock that name and content are those it was decided for, so that a lock that changed hands is never taken away.
 *
 * Failure: no room is tried again after RETRY_NS; where nothing can be written any more the next mount finds them again.
 */
#include <errno.h>
#include <string.h>

#include "lock_file_internal.h"
#include "upkeep_private.h"

#define RETRY_NS NS_PER_S

/* ---- releasing ---- */

static const char *why_name(enum release_why w)
{
	static const char *const names[] = {"", "process_ended", "agent_dead", "creator_died"};

	return names[w];
}

static void put_owner(const struct lock_file *l, struct buf *out)
{
	if (l->pid)
		buf_printf(out, "process %u", l->pid);
	else if (l->due == RELEASE_AGENT_DEAD)
		buf_printf(out, "agent %s", l->due_agent);
	else
		buf_printf(out, "creator %u", l->creator.pid);
}

/* Every name it has in state/.locks goes. Lock held. */
static void release_add_names(struct txn *t, const struct node *n)
{
	for (const struct dentry *d = n->names; d; d = d->names_next)
		if (d->died == SEQ_NEVER && registry_place_of(t->e, d->parent->ino, NULL) == PLACE_LOCKS)
			*txn_add_change(t) = (struct change){
				.type = CHANGE_UNLINK, .ino = n->ino, .parent = d->parent->ino, .name = d->name->text, .name_len = d->name->len};
}

/* Lock held. Whatever becomes of it, it is not due any more. */
static int release_stage(struct txn *t, struct lock_file *l)
{
	struct engine *e = t->e;
	const struct node *n = tree_node(e->tree, l->ino);
	const struct dentry *d = lock_file_name(e, n);
	cleanup_buf struct buf name = BUF_INIT, owner = BUF_INIT;

	if (!d || d->born != l->token || !tree_version_same_content(l->version, n->newest)) {
		lock_file_set_due(e, l, RELEASE_NOT);
		return 0;
	}
	t->path = engine_child_path(t, d->parent, d->name->text);
	buf_put_json_string(&name, d->name->text, d->name->len);
	put_owner(l, &owner);
	if (!t->path || name.error || owner.error)
		return -ENOMEM;
	release_add_names(t, n);
	txn_add_event(t, EVENT_LOCK_RELEASED, t->path);
	txn_event_more(
		t, "\"name\":%s,\"owner\":\"%s\",\"token\":%llu,\"reason\":\"%s\"", name.data, owner.data, (unsigned long long)l->token, why_name(l->due));
	if (n->nlink == t->change_count)
		drafts_note_unlinked(e, n, UINT32_MAX); /* whoever has it open did not ask for this */
	t->base = n->newest;
	return txn_stage(t); /* the lock is free here */
}

/* The first that is due; those that went away are forgotten on the way. Lock held. */
static struct lock_file *next_due(struct engine *e)
{
	struct lock_file *l;

	while ((l = e->lock_files->due)) {
		if (!lock_file_name(e, tree_node(e->tree, l->ino)))
			lock_file_drop(e, l->ino);
		else if (l->shared)
			lock_file_set_due(e, l, RELEASE_NOT); /* it stays, whoever dies */
		else
			return l;
	}
	return NULL;
}

/* 1: one was released, or turned out not to be due; 0: none is; -errno. */
static int release_one(struct engine *e)
{
	struct request q;
	struct lock_file *l;
	struct txn t;
	int r;

	engine_lock(e);
	l = next_due(e);
	engine_unlock(e);
	if (!l)
		return 0;
	upkeep_request(e, &q);
	txn_init(&t, e, &q, OPERATION_RELEASE_LOCK);
	r = txn_reserve(&t, TXN_RESERVE_BASE);
	engine_lock(e);
	l = r ? NULL : next_due(e);
	if (l)
		r = release_stage(&t, l);
	engine_unlock(e);
	txn_finish(&t);
	return r ? r : 1;
}

int64_t lock_files_upkeep(struct engine *e, int64_t now_ns)
{
	struct lock_files *ls = e->lock_files;
	int r;

	if (!ls || now_ns < ls->retry_ns)
		return ls ? ls->retry_ns : INT64_MAX;
	while ((r = release_one(e)) > 0)
		;
	if (!r || r == -EROFS || r == -EIO) /* nothing can be written until the next mount, which finds them again */
		return INT64_MAX;
	ls->retry_ns = now_ns + RETRY_NS;
	return ls->retry_ns;
}

/* ---- what people ask ---- */

uint64_t lock_file_token(struct engine *e, uint64_t ino)
{
	const struct dentry *d;
	uint64_t token = 0;

	engine_lock(e);
	d = lock_file_name(e, tree_node(e->tree, ino));
	if (d && d->born != SEQ_NEWBORN)
		token = d->born;
	engine_unlock(e);
	return token;
}

uint64_t lock_file_take_token(struct engine *e, struct request *q, uint64_t ino)
{
	const struct dentry *d;
	bool newborn;

	q->seq = 0;
	engine_lock(e);
	d = lock_file_name(e, tree_node(e->tree, ino));
	newborn = d && d->born == SEQ_NEWBORN;
	engine_unlock(e);
	if (newborn && (engine_settle_newborn(e, q, ino) || engine_wait(e, q->seq, JOURNAL_ACKNOWLEDGED)))
		return 0;
	return lock_file_token(e, ino);
}

void lock_info_release(struct lock_info *i)
{
	free(i->name);
	i->name = NULL;
}

static int info_fill(struct engine *e, const struct lock_file *l, struct lock_info *ret)
{
	const struct dentry *d = lock_file_name(e, tree_node(e->tree, l->ino));
	const char *session, *agent = lock_file_agent(e, l, &session);

	*ret = (struct lock_info){.name = strdup(d->name->text),
		.owner = l->pid  ? LOCK_OWNER_PROCESS
			 : agent ? LOCK_OWNER_AGENT
				 : LOCK_OWNER_CREATOR,
		.pid = l->pid ? l->pid : l->creator.pid,
		.uid = l->creator.uid,
		.token = l->token,
		.taken_ns = l->taken_ns,
		.shared = l->shared};
	agent = agent ? agent : l->creator.agent;
	memcpy(ret->agent, agent, strlen(agent) + 1);
	if (session)
		memcpy(ret->session, session, strlen(session) + 1);
	memcpy(ret->comm, l->creator.comm, sizeof(ret->comm));
	return ret->name ? 0 : -ENOMEM;
}

/* One that is just being made: it holds already, and has no number yet. False: it is none. */
static bool newborn_fill(struct engine *e, const struct dentry *d, struct lock_info *ret)
{
	*ret = (struct lock_info){.owner = LOCK_OWNER_CREATOR, .uid = d->node->newest->attrs->uid};
	if (d->born != SEQ_NEWBORN || !S_ISREG(d->node->newest->attrs->mode) || !drafts_of_newborn(e, d->node, &ret->pid, &ret->taken_ns))
		return false;
	ret->name = strdup(d->name->text);
	return true;
}

static int list_newborns(struct engine *e, struct lock_info **all, size_t *count, size_t *capacity)
{
	const struct node *dir = tree_resolve(e->tree, "state/.locks", SEQ_LIVE);

	for (const struct dentry *d = dir && dir->dir ? dir->dir->first : NULL; d; d = d->next) {
		struct lock_info i;

		if (!newborn_fill(e, d, &i))
			continue;
		if (!i.name || array_reserve(all, capacity, *count + 1, sizeof(**all))) {
			lock_info_release(&i);
			return -ENOMEM;
		}
		(*all)[(*count)++] = i;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct lock_info *)a)->name, ((const struct lock_info *)b)->name);
}

int lock_files_list(struct engine *e, struct lock_info **ret, size_t *ret_count)
{
	struct lock_info *all = NULL;
	size_t count = 0, capacity = 0;
	int r = 0;

	engine_lock(e);
	for (size_t i = 0; e->lock_files && !r && i < LOCK_FILE_BUCKETS; i++)
		for (const struct lock_file *l = e->lock_files->buckets[i]; l && !r; l = l->next) {
			if (!l->token || !lock_file_name(e, tree_node(e->tree, l->ino)))
				continue;
			r = array_reserve(&all, &capacity, count + 1, sizeof(*all));
			if (!r)
				r = info_fill(e, l, &all[count]);
			count += !r;
		}
	if (!r)
		r = list_newborns(e, &all, &count, &capacity);
	engine_unlock(e);
	if (r) {
		while (count)
			lock_info_release(&all[--count]);
		free(all);
		return r;
	}
	if (count)
		qsort(all, count, sizeof(*all), by_name);
	*ret = all;
	*ret_count = count;
	return 0;
}
