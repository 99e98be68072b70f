/* SPDX-License-Identifier: MIT
 *
 * What becomes due of a session by the passing of time:
 *
 *   expiry       max_session_duration after created_at, or after it was last reopened: status expired, a checkpoint of reason "expiry"
 *   checkpoints  checkpoint_interval after the first change that no checkpoint shows (auto_checkpoint, recovery.enabled): reason "periodic".
 *                So two are at least an interval apart, no change is older than that without one, and nothing is taken when nothing changed
 *   retention    automatic checkpoints go when they are backup_retention days old; with 0 days as soon as there is a newer one. Named ones
 *                never go, nor does the newest of all: there is always something to go back to
 *
 * Each finds who is due under the lock and does it without, by name: a session may be gone by then, which is no error.
 * Failure: the session is left alone for UPKEEP_RETRY_NS.
 */
#include "upkeep_private.h"

#include <errno.h>
#include <string.h>

#include "checkpoint.h"

#define SECONDS_PER_DAY 86400
#define SESSION_FILE "session.yaml"
/* Versions of session.yaml looked at for the time when it was reopened. */
#define VERSIONS_MAX 4096
/* What one task does before the others have their turn again. */
#define IN_ONE_GO_MAX 64

/* When one session is due for something: monotonic; INT64_MAX: never. Lock held. */
typedef int64_t (*due_fn)(struct engine *e, const struct session *s, int64_t now_ns);

/* The first session that is due; false: none, and *@ret_next_ns is when the first will be. Takes the lock. */
static bool find_due(struct engine *e, due_fn due, int64_t now_ns, char session[ACTOR_ID_BYTES], int64_t *ret_next_ns)
{
	bool found = false;

	*ret_next_ns = INT64_MAX;
	engine_lock(e);
	for (const struct session *s = registry_first_session(e); s && !found; s = s->next) {
		int64_t at_ns = due(e, s, now_ns);

		if (at_ns != INT64_MAX)
			at_ns = MAX(at_ns, s->retry_ns);
		found = at_ns <= now_ns;
		if (found)
			memcpy(session, s->id, sizeof(s->id));
		else
			*ret_next_ns = MIN(*ret_next_ns, at_ns);
	}
	engine_unlock(e);
	return found;
}

static void note_result(struct engine *e, const char *session, int64_t now_ns, int r)
{
	struct session *s;

	if (!r)
		return;
	engine_lock(e);
	s = registry_session(e, session);
	if (s)
		s->retry_ns = now_ns + UPKEEP_RETRY_NS;
	engine_unlock(e);
}

/* A time of the wall clock as one of the monotonic clock, for waiting. */
static int64_t monotonic_of(struct engine *e, int64_t time_ns, int64_t now_ns)
{
	int64_t left_ns;

	if (time_ns == INT64_MAX || __builtin_sub_overflow(time_ns, env_time_ns(e->env), &left_ns) || __builtin_add_overflow(now_ns, left_ns, &left_ns))
		return INT64_MAX;
	return left_ns;
}

/* ---- expiry ---- */

static int64_t expiry_due(struct engine *e, const struct session *s, int64_t now_ns)
{
	const struct node *dir = tree_node(e->tree, s->dir_ino), *file = s->file_ino ? tree_node(e->tree, s->file_ino) : NULL;
	int64_t from_ns = s->fields.created_ns;

	if (session_status_is_over(s->fields.status) || !s->fields.max_session_duration_s || !file || file->newest->born == s->uneditable)
		return INT64_MAX;
	if (!from_ns && dir->names)
		from_ns = engine_seq_time(e, dir->names->born);
	return monotonic_of(e, upkeep_after(MAX(from_ns, s->reopened_ns), s->fields.max_session_duration_s), now_ns);
}

static bool version_is_over(struct engine *e, const struct version *v, bool *ret_over)
{
	struct version_extents scratch = {0};
	struct session_fields f;
	cleanup_free char *text = v->size <= UPKEEP_TEXT_BYTES_MAX ? malloc((size_t)v->size + 1) : NULL;
	ssize_t got = text ? 0 : -1;

	if (text && v->size)
		got = engine_read(e, v, &scratch, 0, text, (size_t)v->size);
	extent_map_release(&scratch.map);
	if (got < 0 || session_fields_parse(text, (size_t)got, &f))
		return false;
	*ret_over = session_status_is_over(f.status);
	session_fields_release(&f);
	return true;
}

/* What session.yaml said at some time: an entry of the name, and a version of the file it named. Tools replace the file (`sed -i`), so its own versions are
 * not all that the name stood for. */
struct saying {
	const struct dentry *entry;
	const struct version *version;
};

/* What it said last, by @seq. Lock held. */
static bool saying_until(struct engine *e, const struct node *dir, uint64_t seq, struct saying *ret)
{
	ret->entry = tree_lookup_until(e->tree, dir, SESSION_FILE, strlen(SESSION_FILE), seq);
	ret->version = ret->entry ? tree_version_at(ret->entry->node, MIN(seq, ret->entry->died - 1)) : NULL;
	return ret->version;
}

static uint64_t saying_born(const struct saying *s)
{
	return MAX(s->version->born, s->entry->born);
}

/* When session.yaml last said that the session is not over after it had said so: history knows. 1: never. No lock held. */
static int64_t find_reopened(struct engine *e, uint64_t dir_ino)
{
	uint64_t seq = SEQ_LIVE - 1, since = 0;
	bool over = false;
	int64_t time_ns = 1;

	for (unsigned i = 0; i < VERSIONS_MAX; i++, seq = since - 1) {
		struct saying said;
		bool found;

		engine_lock(e);
		found = saying_until(e, tree_node(e->tree, dir_ino), seq, &said);
		engine_unlock(e);
		if (!found || !version_is_over(e, said.version, &over) || over)
			break;
		since = saying_born(&said);
	}
	if (over && since) {
		engine_lock(e);
		time_ns = engine_seq_time(e, since);
		engine_unlock(e);
	}
	return time_ns;
}

/* True: it was only now found out when it was reopened, so that it may be due later. */
static bool look_for_reopening(struct engine *e, const char *session)
{
	struct session *s;
	uint64_t dir_ino = 0;
	int64_t reopened_ns;

	engine_lock(e);
	s = registry_session(e, session);
	if (s && !s->reopened_ns)
		dir_ino = s->dir_ino;
	engine_unlock(e);
	if (!dir_ino)
		return false;
	reopened_ns = find_reopened(e, dir_ino);
	engine_lock(e);
	s = registry_session(e, session);
	if (s)
		s->reopened_ns = reopened_ns;
	engine_unlock(e);
	return true;
}

static void expire(struct engine *e, const char *session, int64_t now_ns)
{
	struct session *s;
	struct request q;
	int r;

	upkeep_request(e, &q);
	r = checkpoint_create(e, &q, session, NULL, "expiry", session_status_name(SESSION_EXPIRED), NULL);
	note_result(e, session, now_ns, r == -ESTALE ? 0 : r); /* somebody has ended it meanwhile */
	engine_lock(e);
	s = registry_session(e, session);
	if (!r && s && s->file_ino && !session_status_is_over(s->fields.status)) /* its file cannot be edited: the checkpoint is all there is */
		s->uneditable = tree_node(e->tree, s->file_ino)->newest->born;
	engine_unlock(e);
}

int64_t upkeep_expiry(struct engine *e, int64_t now_ns)
{
	char session[ACTOR_ID_BYTES];
	int64_t next_ns;

	for (unsigned i = 0; find_due(e, expiry_due, now_ns, session, &next_ns); i++) {
		if (i == IN_ONE_GO_MAX)
			return now_ns;
		if (!look_for_reopening(e, session))
			expire(e, session, now_ns);
	}
	return next_ns;
}

/* ---- automatic checkpoints ---- */

static int64_t checkpoint_due(struct engine *e, const struct session *s, int64_t now_ns)
{
	(void)e;
	(void)now_ns;
	if (!s->unsaved_ns || !s->fields.auto_checkpoint || !s->fields.recovery_enabled || !s->checkpoints_ino)
		return INT64_MAX;
	return upkeep_after(s->unsaved_ns, s->fields.checkpoint_interval_s);
}

int64_t upkeep_checkpoints(struct engine *e, int64_t now_ns)
{
	char session[ACTOR_ID_BYTES];
	int64_t next_ns;

	for (unsigned i = 0; find_due(e, checkpoint_due, now_ns, session, &next_ns); i++) {
		struct request q;

		if (i == IN_ONE_GO_MAX)
			return now_ns;
		upkeep_request(e, &q);
		note_result(e, session, now_ns, checkpoint_create(e, &q, session, NULL, "periodic", NULL, NULL));
	}
	return next_ns;
}

/* ---- retention ---- */

/* The oldest that retention may remove, or NULL. */
static const struct checkpoint *oldest_removable(const struct session *s)
{
	const struct checkpoint *c = s->oldest_checkpoint;

	while (c && c != s->newest_checkpoint && !c->automatic)
		c = c->newer;
	return c != s->newest_checkpoint ? c : NULL;
}

static int64_t retention_due(struct engine *e, const struct session *s, int64_t now_ns)
{
	const struct checkpoint *c = oldest_removable(s);
	uint64_t seconds;

	if (!c)
		return INT64_MAX;
	if (__builtin_mul_overflow(s->fields.backup_retention_days, (uint64_t)SECONDS_PER_DAY, &seconds))
		return INT64_MAX;
	return monotonic_of(e, upkeep_after(c->time_ns, seconds), now_ns);
}

/* Somebody took it who gave it such a name as the daemon gives. */
static void keep(struct engine *e, const char *session, const char *name)
{
	struct checkpoint *c;
	struct session *s;

	engine_lock(e);
	s = registry_session(e, session);
	c = s ? registry_checkpoint(s, name) : NULL;
	if (c)
		c->automatic = false;
	engine_unlock(e);
}

static void remove_oldest(struct engine *e, const char *session, int64_t now_ns)
{
	const struct checkpoint *c = NULL;
	char name[ACTOR_ID_BYTES];
	uint64_t dir_ino = 0;
	struct session *s;
	struct request q;
	int r;

	engine_lock(e);
	s = registry_session(e, session);
	c = s ? oldest_removable(s) : NULL;
	if (c) {
		memcpy(name, c->id, sizeof(c->id));
		dir_ino = c->dir_ino;
	}
	engine_unlock(e);
	if (!c)
		return;
	if (checkpoint_is_manual(e, dir_ino)) {
		keep(e, session, name);
		return;
	}
	upkeep_request(e, &q);
	r = checkpoint_remove(e, &q, session, name);
	note_result(e, session, now_ns, r == -ENOENT ? 0 : r);
}

int64_t upkeep_retention(struct engine *e, int64_t now_ns)
{
	char session[ACTOR_ID_BYTES];
	int64_t next_ns;

	for (unsigned i = 0; find_due(e, retention_due, now_ns, session, &next_ns); i++) {
		if (i == IN_ONE_GO_MAX)
			return now_ns;
		remove_oldest(e, session, now_ns);
	}
	return next_ns;
}
