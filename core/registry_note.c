/* SPDX-License-Identifier: MIT
 *
 * What a transaction means for the state model, at the moment it gets its place in history: what came and went, which sessions
 * somebody changed, which agent gave a sign of life. Called with the engine's lock held; a look into a table for each change and
 * each event, no path, no parsing.
 *
 * What the daemon does by itself is no change, so that it never gives itself something to do.
 */
#include "registry_private.h"

#include <string.h>

#include "upkeep.h"

bool registry_is_change(enum operation op, const struct actor *actor)
{
	switch (op) {
	case OPERATION_UPKEEP:
	case OPERATION_CREATE_CHECKPOINT:
	case OPERATION_REMOVE_CHECKPOINT:
		return false; /* a checkpoint shows what is there, whoever takes it */
	case OPERATION_FORMAT:
	case OPERATION_END_SYNC:
	case OPERATION_REMOVE_SYNC:
	case OPERATION_RELEASE_LOCK:
		return actor->pid != 0;
	default:
		return true;
	}
}

/* The agent who did it: by the session the process names, else the one it happened in, else the only one of that id. */
static struct agent *agent_of_actor(struct engine *e, const struct actor *actor, const char *path)
{
	struct agent *any = registry_agents_of_id(e, actor->agent);
	char id[ACTOR_ID_BYTES];
	struct session *s = any && actor->session[0] ? registry_session(e, actor->session) : NULL;
	struct agent *a = s ? registry_agent(s, actor->agent) : NULL;

	if (!a && any && layout_session_of(path, id)) {
		s = registry_session(e, id);
		a = s ? registry_agent(s, actor->agent) : NULL;
	}
	return a || !any || any->next_of_id ? a : any;
}

static bool has_event(const struct txn *t, enum event_type type)
{
	for (size_t i = 0; i < t->event_count; i++)
		if (t->events[i].type == type)
			return true;
	return false;
}

static bool is_refusal(const struct txn *t)
{
	return t->operation == OPERATION_ROLLBACK && has_event(t, EVENT_COMMIT_REFUSED);
}

/* What the kernel closes for a process that is dead comes after its death. */
static bool is_posthumous(const struct txn *t, const struct agent *a)
{
	uint32_t pid = t->q->actor.pid;

	if (t->operation == OPERATION_ROLLBACK && has_event(t, EVENT_WRITER_KILLED))
		return true;
	return pid && (pid == a->ended_pid || (a->process_ended && pid == a->fields.pid));
}

static void note_agent(struct engine *e, const struct txn *t)
{
	const struct actor *actor = &t->q->actor;
	struct agent *a = actor->agent[0] ? agent_of_actor(e, actor, t->path) : NULL;

	if (!a || t->operation == OPERATION_UPKEEP)
		return;
	if (is_refusal(t))
		a->errors_added++;
	else if (t->operation != OPERATION_ROLLBACK)
		a->operations_added++;
	a->dirty = true;
	upkeep_arm_files(e);
	if (!is_posthumous(t, a))
		upkeep_agent_lived(e, a, e->last_time_ns);
}

static void note_sessions(struct engine *e, const struct txn *t)
{
	const char *before = "";

	if (!registry_is_change(t->operation, &t->q->actor))
		return;
	for (size_t i = 0; i < t->event_count; i++) {
		struct session *s;

		if (!strcmp(t->events[i].session, before))
			continue;
		before = t->events[i].session;
		s = registry_session(e, before);
		if (!s)
			continue;
		s->changed_ns = e->last_time_ns;
		if (is_refusal(t)) {
			s->refusals++;
			s->refused_ns = e->last_time_ns;
		}
		if (t->operation == OPERATION_ROLLBACK)
			continue; /* nothing is other than before */
		s->changed_seq = t->seq;
		if (!s->newest_checkpoint || s->newest_checkpoint->seq < t->seq)
			upkeep_session_changed(e, s);
	}
}

/* Files that a restore brought back are somebody's save, although no draft wrote them. */
static void note_restored(struct engine *e, const struct txn *t)
{
	for (size_t i = 0; t->operation == OPERATION_RESTORE && i < t->change_count; i++) {
		const struct place *p = t->changes[i].type == CHANGE_CONTENT ? place_find(e->registry, t->changes[i].ino) : NULL;

		if (p && p->agent)
			p->agent->user_seq = t->seq;
		else if (p && p->kind == PLACE_NONE)
			p->session->user_seq = t->seq;
	}
}

void registry_note_transaction(struct engine *e, struct txn *t)
{
	if (!e->registry)
		return;
	note_agent(e, t); /* before what the transaction makes: registering oneself is no sign of life after that */
	for (size_t i = 0; i < t->change_count; i++) {
		const struct change *c = &t->changes[i];
		const struct place *p = place_of_change(e, c);

		t->concerns_model |= p != NULL;
		if (p && c->name && c->type != CHANGE_XATTR)
			place_look(e, p, c->name, c->name_len, c->ino);
	}
	note_sessions(e, t);
	note_restored(e, t);
}
