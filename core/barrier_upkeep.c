/* SPDX-License-Identifier: MIT
 *
 * What barriers need the upkeep thread for: their ends, and records kept current while they go on.
 *
 *   nobody is missing (and there is somebody, or the grace is over)   completed
 *   somebody missing is dead or has left                             failed, participant_dead
 *   somebody missing has completed, so he does not come either       failed, participant_completed
 *   the time is up                                                   failed, timeout
 *
 * in this order. An end is one transaction: the record's last text and the event. A record in progress is written again when it says
 * less than is known, at most once in BARRIER_RECORD_INTERVAL_NS, and without an event.
 *
 * A text is made under the lock, prepared without it, and staged only if the barrier has not changed meanwhile. Failure: no room is tried
 * again after RETRY_NS. When nothing can be written any more, the barrier stays in progress and its readers are told (barrier_result()).
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "barrier_internal.h"
#include "upkeep_private.h"

#define RETRY_NS NS_PER_S

struct job {
	uint64_t dir_ino, changes;
	char session[ACTOR_ID_BYTES], id[ACTOR_ID_BYTES];
	enum barrier_status status; /* in progress: only the record is to be written */
	enum barrier_reason reason;
	int64_t ended_ns;
	size_t event_bytes;
	uint64_t seq;              /* of its transaction, when it is done */
	const struct node *record; /* NULL: none to write */
	struct buf text;
	struct extent x;
};

/* ---- deciding; the lock is held ---- */

/* Why somebody missing will not come; BARRIER_NO_REASON: all may. */
static enum barrier_reason who_stays_away(struct engine *e, const struct barrier *b)
{
	struct session *s = registry_session(e, b->session);
	enum barrier_reason reason = BARRIER_NO_REASON;

	for (size_t i = 0; i < b->record.missing.count; i++) {
		const char *id = b->record.missing.ids[i];
		const struct agent *a = s ? registry_agent(s, id) : NULL;

		if (id_list_has(&b->dead, id) || (a && a->fields.status == AGENT_DEAD))
			return BARRIER_PARTICIPANT_DEAD;
		if (a && a->fields.status == AGENT_COMPLETED)
			reason = BARRIER_PARTICIPANT_COMPLETED;
	}
	return reason;
}

static int64_t after_start_ns(const struct barrier *b, uint64_t seconds)
{
	return b->started_mono_ns + (int64_t)seconds * NS_PER_S;
}

static enum barrier_status decide(struct engine *e, const struct barrier *b, int64_t now_ns, enum barrier_reason *ret_reason)
{
	*ret_reason = BARRIER_NO_REASON;
	if (!b->record.missing.count)
		return b->record.participants.count || now_ns >= after_start_ns(b, BARRIER_EMPTY_GRACE_S) ? BARRIER_COMPLETED : BARRIER_IN_PROGRESS;
	*ret_reason = who_stays_away(e, b);
	if (!*ret_reason && now_ns >= after_start_ns(b, b->record.timeout_s))
		*ret_reason = BARRIER_TIMEOUT;
	return *ret_reason ? BARRIER_FAILED : BARRIER_IN_PROGRESS;
}

static int64_t next_look_ns(const struct barrier *b)
{
	int64_t due_ns = after_start_ns(b, b->record.participants.count ? b->record.timeout_s : BARRIER_EMPTY_GRACE_S);

	return b->stale ? MIN(due_ns, b->record_due_ns) : due_ns;
}

/* The record as it is at that end; its lists are the barrier's own. */
static struct barrier_record ended_record(const struct barrier *b, const struct job *j)
{
	struct barrier_record r = b->record;

	r.status = j->status;
	r.reason = j->reason;
	r.ended_ns = j->ended_ns;
	return r;
}

/* 0: nothing is to be done with it now. 1: @ret says what. -ENOMEM. */
static int job_of(struct engine *e, struct barrier *b, int64_t now_ns, struct job *ret)
{
	struct barrier_record record;
	int r = barrier_look(e, b);

	if (r)
		return r;
	*ret = (struct job){.dir_ino = b->dir_ino, .changes = b->changes};
	ret->status = decide(e, b, now_ns, &ret->reason);
	ret->record = barrier_record_node(e, b->session, b->id, NULL);
	if (ret->status == BARRIER_IN_PROGRESS && (!b->stale || !ret->record || now_ns < b->record_due_ns)) {
		b->stale = b->stale && ret->record;
		barrier_due(e, b, next_look_ns(b));
		return 0;
	}
	if (ret->status != BARRIER_IN_PROGRESS)
		ret->ended_ns = env_time_ns(e->env);
	memcpy(ret->session, b->session, sizeof(ret->session));
	memcpy(ret->id, b->id, sizeof(ret->id));
	record = ended_record(b, ret);
	ret->event_bytes = barrier_event_bytes(&record);
	barrier_record_render(&record, b->id, b->session, &ret->text);
	return ret->text.error ? ret->text.error : 1;
}

/* The first barrier something is to be done with. */
static bool next_job(struct engine *e, int64_t now_ns, struct job *ret)
{
	const struct due *first;

	while ((first = e->barriers->due.first) && first->ns <= now_ns) {
		struct barrier *b = (struct barrier *)((char *)first - offsetof(struct barrier, due));
		int r = job_of(e, b, now_ns, ret);

		if (r > 0)
			return true;
		if (r < 0) {
			buf_release(&ret->text);
			barrier_due(e, b, now_ns + RETRY_NS);
		}
	}
	return false;
}

/* ---- doing ---- */

/* Lock held. */
static int job_stage(struct txn *t, struct job *j)
{
	struct engine *e = t->e;
	struct barrier *b = barrier_find(e, j->dir_ino);
	struct node *dir = NULL, *record = barrier_record_node(e, j->session, j->id, &dir);
	struct barrier_record r;
	char *path;

	if (!b || b->record.status != BARRIER_IN_PROGRESS || b->changes != j->changes || record != j->record || !dir)
		return -EAGAIN;
	path = engine_child_path(t, dir, j->id);
	if (!path)
		return -ENOMEM;
	t->path = path;
	if (record)
		barrier_add_content(t, record, &j->x, j->text.len);
	if (j->status != BARRIER_IN_PROGRESS) {
		r = ended_record(b, j);
		barrier_add_event(t, path, j->id, &r);
	}
	return txn_stage(t);
}

/* What a job done, or not done, means for the barrier. Lock held. */
static void job_note(struct engine *e, const struct job *j, int64_t now_ns, int r)
{
	struct barrier *b = barrier_find(e, j->dir_ino);

	if (!b)
		return;
	if (!r) {
		b->record.status = j->status;
		b->record.reason = j->reason;
		b->record.ended_ns = j->ended_ns;
		if (j->status != BARRIER_IN_PROGRESS) {
			b->unsafe = true;
			b->next_unsafe = e->barriers->unsafe;
			e->barriers->unsafe = b;
		}
		b->stale = false;
		b->record_due_ns = now_ns + BARRIER_RECORD_INTERVAL_NS;
	}
	if (!r || r == -EAGAIN)
		barrier_due(e, b, BARRIER_NOW);
	else
		barrier_due(e, b, r == -EROFS || r == -EIO ? INT64_MAX : now_ns + RETRY_NS);
}

static int job_do(struct engine *e, struct job *j, int64_t now_ns)
{
	struct request q;
	struct txn t;
	int r = 0;

	upkeep_request(e, &q);
	txn_init(&t, e, &q, j->status == BARRIER_IN_PROGRESS ? OPERATION_UPKEEP : OPERATION_END_SYNC);
	if (j->record)
		r = record_blocks_add(&t.blocks, j->text.data, j->text.len, &j->x);
	j->x.len = j->text.len;
	if (!r)
		r = txn_reserve(&t, j->event_bytes);
	engine_lock(e);
	if (!r)
		r = job_stage(&t, j); /* the barrier ends here */
	job_note(e, j, now_ns, r);
	engine_unlock(e);
	j->seq = t.seq;
	txn_finish(&t);
	return r;
}

/* Ends are told once they are safe: who read "completed" acts on it. All of them were staged up to @seq. */
static void ends_acknowledge(struct engine *e, uint64_t seq)
{
	if (engine_wait(e, seq, JOURNAL_ACKNOWLEDGED))
		return; /* the journal is poisoned, and that is what readers hear */
	engine_lock(e);
	for (struct barrier *b = e->barriers->unsafe; b; b = b->next_unsafe)
		b->unsafe = false;
	e->barriers->unsafe = NULL;
	engine_unlock(e);
}

int64_t barriers_upkeep(struct engine *e, int64_t now_ns)
{
	int64_t due_ns = INT64_MAX;
	uint64_t ended_seq = 0;
	bool found, tell = false;
	int again = 0;

	if (!e->barriers)
		return INT64_MAX;
	barriers_read_files(e);
	if (barriers_rescan(e))
		due_ns = now_ns + RETRY_NS;
	do {
		struct job j = {0};
		int r;

		engine_lock(e);
		found = next_job(e, now_ns, &j);
		engine_unlock(e);
		if (!found)
			break;
		r = job_do(e, &j, now_ns);
		tell = tell || (r ? r != -EAGAIN : j.status != BARRIER_IN_PROGRESS);
		ended_seq = !r && j.status != BARRIER_IN_PROGRESS ? j.seq : ended_seq;
		again = r == -EAGAIN ? again + 1 : 0;
		buf_release(&j.text);
	} while (again < BARRIER_TRIES);
	if (ended_seq)
		ends_acknowledge(e, ended_seq);
	if (tell)
		barriers_tell(e);
	engine_lock(e);
	if (e->barriers->due.first)
		due_ns = MIN(due_ns, MAX(e->barriers->due.first->ns, now_ns));
	engine_unlock(e);
	return due_ns;
}
