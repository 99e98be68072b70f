/* SPDX-License-Identifier: MIT
 *
 * What a save of session.yaml or of an agent's file is besides its bytes: the text is merged with defaults and with what the daemon owns
 * (model.h), an agent's first save registers it, a changed status is an event, and the session's list of agents follows in the same
 * transaction.
 *
 * Made in three steps, as every commit: prepared without the engine's lock, added to the transaction under it (-EAGAIN when what it relied
 * on has moved: the session's file, or who is registered), and settled once staged.
 */
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

void model_save_free(struct model_save *m)
{
	if (!m)
		return;
	free(m->user_text);
	free(m->type);
	free(m);
}

/* The text the name stood for until now: of @before, or of what went away within two seconds. "" when there was none. */
static int old_text(struct engine *e, const char *path, const struct node *before, char **ret, size_t *ret_len, bool *ret_found)
{
	struct version_extents scratch = {0};
	const struct version *v;
	ssize_t got = 0;

	engine_lock(e);
	if (!before || before->flags & NODE_NEWBORN)
		before = engine_removed_file(e, path);
	v = before ? before->newest : NULL;
	engine_unlock(e);
	*ret_found = v;
	*ret_len = v ? (size_t)v->size : 0;
	*ret = malloc(*ret_len + 1);
	if (!*ret)
		return -ENOMEM;
	if (*ret_len)
		got = engine_read(e, v, &scratch, 0, *ret, *ret_len);
	extent_map_release(&scratch.map);
	if (got != (ssize_t)*ret_len)
		*ret_found = false; /* what cannot be read any more decides nothing */
	return 0;
}

static void put_agent(struct buf *out, const char *id)
{
	buf_append_str(out, out->len > 1 ? ", " : "");
	yaml_put_string(out, id);
}

/* The session's live agents, as they will be when @id is live or not. In order of id. */
static void put_agents_with(const struct session *s, const char *id, bool live, struct buf *out)
{
	buf_append_str(out, "[");
	for (const struct agent *a = s->agents; a; a = a->next) {
		if (live && strcmp(id, a->id) <= 0) {
			put_agent(out, id);
			live = false;
		}
		if (strcmp(id, a->id) && agent_status_is_live(a->fields.status))
			put_agent(out, a->id);
	}
	if (live)
		put_agent(out, id);
	buf_append_str(out, "]");
}

/* session.yaml's list of agents follows. A session file that cannot be edited (from before there was a schema) stays as it is. */
static int prepare_session_edit(struct engine *e, struct model_save *m, bool live, int64_t now_ns, struct record_blocks *blocks)
{
	struct session_owned_text owned;
	cleanup_buf struct buf agents = BUF_INIT, out = BUF_INIT;
	cleanup_free char *text = NULL;
	const struct version *base;
	struct session *s;
	uint64_t ino = 0;
	size_t len;
	int r = -ENOENT;

	engine_lock(e);
	s = registry_session(e, m->session);
	if (s) {
		ino = s->file_ino;
		put_agents_with(s, m->agent, live, &agents);
		r = agents.error ? agents.error : session_owned_fill(e, s, now_ns, &owned);
	}
	engine_unlock(e);
	if (r)
		return r == -ENOENT ? 0 : r;
	owned.owned.id = m->session;
	owned.owned.active_agents = agents.data;
	r = file_edit_read(e, ino, &base, &text, &len);
	if (!r)
		r = model_edit_session(text, len, &owned.owned, "", NULL, &out);
	session_owned_release(&owned);
	if (r)
		return r == -ENOMEM ? r : 0;
	r = file_edit_prepare(ino, base, out.data ? out.data : "", out.len, blocks, &m->edit);
	m->has_edit = !r;
	return r;
}

static int merge_session(struct engine *e, struct model_save *m, const char *old, size_t old_len, int64_t now_ns, struct reason *reason, struct buf *out)
{
	struct session_owned_text owned;
	struct session *s;
	int r = 0;

	engine_lock(e);
	s = registry_session(e, m->session);
	if (s) {
		r = session_owned_fill(e, s, now_ns, &owned);
		if (!r && !owned.owned.created_ns)
			owned.owned.created_ns = now_ns;
	}
	engine_unlock(e);
	if (!s)
		return -ENOENT;
	if (r)
		return r;
	owned.owned.id = m->session;
	r = model_merge_session(old, old_len, m->user_text, m->user_len, &owned.owned, reason, out);
	session_owned_release(&owned);
	return r;
}

static int merge_agent(struct engine *e, struct model_save *m, const char *old, size_t old_len, int64_t now_ns, struct reason *reason, struct buf *out)
{
	struct agent_owned owned = {.id = m->agent, .session_id = m->session, .registered_ns = now_ns, .last_updated_ns = now_ns, .heartbeat_ns = now_ns};
	struct session *s;
	struct agent *a;

	engine_lock(e);
	s = registry_session(e, m->session);
	a = s ? registry_agent(s, m->agent) : NULL;
	m->registers = !a;
	if (a) {
		if (a->fields.registered_ns)
			owned.registered_ns = a->fields.registered_ns;
		owned.heartbeat_ns = a->heartbeat_ns;
		m->operations_added = owned.operations_added = a->operations_added;
		m->errors_added = owned.errors_added = a->errors_added;
	}
	engine_unlock(e);
	return s ? model_merge_agent(old, old_len, m->user_text, m->user_len, &owned, reason, out) : -ENOENT;
}

/* What changed between the two texts that others must hear of. */
static int compare_sessions(struct model_save *m, const char *old, size_t old_len, const struct buf *merged)
{
	struct session_fields before, after;
	int r = session_fields_parse(old ? old : "", old_len, &before);

	if (r)
		return r;
	r = session_fields_parse(merged->data, merged->len, &after);
	if (!r) {
		m->from = session_status_name(before.status);
		m->to = session_status_name(after.status);
		m->status_changed = old && before.status != after.status;
		session_fields_release(&after);
	}
	session_fields_release(&before);
	return r;
}

static int compare_agents(struct model_save *m, const char *old, size_t old_len, const struct buf *merged, bool *ret_list_changes, bool *ret_live)
{
	struct agent_fields before, after;
	int r = agent_fields_parse(old ? old : "", old_len, &before);

	if (r)
		return r;
	r = agent_fields_parse(merged->data, merged->len, &after);
	if (!r) {
		m->from = agent_status_name(before.status);
		m->to = agent_status_name(after.status);
		m->status_changed = old && !m->registers && before.status != after.status;
		*ret_live = agent_status_is_live(after.status);
		*ret_list_changes = m->registers || *ret_live != agent_status_is_live(before.status);
		m->type = after.type;
		after.type = NULL;
		agent_fields_release(&after);
	}
	agent_fields_release(&before);
	return r;
}

int model_save_prepare(struct engine *e, const char *path, const struct node *before, char **text, size_t *len, struct record_blocks *blocks,
	struct reason *reason, struct model_save **ret)
{
	struct model_save *m = calloc(1, sizeof(*m));
	int64_t now_ns = env_time_ns(e->env);
	cleanup_buf struct buf merged = BUF_INIT;
	cleanup_free char *old = NULL;
	bool found = false, list_changes = false, live = false;
	size_t old_len = 0;
	int r = m ? 0 : -ENOMEM;

	if (!r) {
		m->kind = model_kind_of(path, m->session, m->agent);
		m->user_text = *text;
		m->user_len = *len;
		*text = NULL;
		r = old_text(e, path, before, &old, &old_len, &found);
	}
	if (!r)
		r = m->kind == MODEL_SESSION ? merge_session(e, m, found ? old : NULL, old_len, now_ns, reason, &merged)
					     : merge_agent(e, m, found ? old : NULL, old_len, now_ns, reason, &merged);
	if (!r)
		r = m->kind == MODEL_SESSION ? compare_sessions(m, found ? old : NULL, old_len, &merged)
					     : compare_agents(m, found ? old : NULL, old_len, &merged, &list_changes, &live);
	if (!r && list_changes)
		r = prepare_session_edit(e, m, live, now_ns, blocks);
	if (r) { /* the text is the caller's again, as it was */
		if (m) {
			*text = m->user_text;
			m->user_text = NULL;
		}
		model_save_free(m);
		return r;
	}
	*len = merged.len;
	*text = buf_take(&merged, NULL);
	*ret = m;
	return 0;
}

void model_add_registered(struct txn *t, const char *path, const char *agent, const char *type)
{
	cleanup_buf struct buf text = BUF_INIT;

	buf_put_json_string(&text, type ? type : "", type ? strlen(type) : 0);
	txn_add_event(t, EVENT_AGENT_REGISTERED, path);
	txn_event_more(t, "\"agent_id\":\"%s\",\"type\":%s", agent, text.data ? text.data : "\"\"");
}

void model_add_agent_status(struct txn *t, const char *path, const char *agent, const char *from, const char *to, const char *reason)
{
	txn_add_event(t, EVENT_AGENT_STATUS_CHANGED, path);
	txn_event_more(t, "\"agent_id\":\"%s\",\"from\":\"%s\",\"to\":\"%s\",\"reason\":\"%s\"", agent, from, to, reason);
}

int model_save_add(struct model_save *m, struct txn *t, const char *path)
{
	struct session *s = registry_session(t->e, m->session);
	struct agent *a = s && m->kind == MODEL_AGENT ? registry_agent(s, m->agent) : NULL;
	int r;

	if (!s || (m->kind == MODEL_AGENT && m->registers == (a != NULL)))
		return -EAGAIN;
	if (a && (a->operations_added < m->operations_added || a->errors_added < m->errors_added))
		return -EAGAIN; /* written by somebody else meanwhile */
	r = m->has_edit ? file_edit_add(&m->edit, t) : 0;
	if (r)
		return r;
	if (m->kind == MODEL_AGENT && m->registers)
		model_add_registered(t, path, m->agent, m->type);
	if (m->status_changed && m->kind == MODEL_AGENT) {
		model_add_agent_status(t, path, m->agent, m->from, m->to, "saved");
	} else if (m->status_changed) {
		txn_add_event(t, EVENT_SESSION_STATUS_CHANGED, path);
		txn_event_more(t, "\"from\":\"%s\",\"to\":\"%s\"", m->from, m->to);
	}
	return 0;
}

void model_save_staged(struct model_save *m, struct engine *e, uint64_t seq)
{
	struct session *s = registry_session(e, m->session);
	struct agent *a = s && m->kind == MODEL_AGENT ? registry_agent(s, m->agent) : NULL;

	if (a) {
		a->user_seq = seq;
		a->operations_added -= m->operations_added;
		a->errors_added -= m->errors_added;
	}
	if (s && m->kind == MODEL_SESSION)
		s->user_seq = seq;
}

uint64_t model_user_seq(struct engine *e, const char *path)
{
	char session[ACTOR_ID_BYTES], agent[ACTOR_ID_BYTES];
	enum model_kind kind = model_kind_of(path, session, agent);
	uint64_t seq = UINT64_MAX;
	struct session *s;
	struct agent *a;

	engine_lock(e);
	s = kind == MODEL_NONE ? NULL : registry_session(e, session);
	a = s && kind == MODEL_AGENT ? registry_agent(s, agent) : NULL;
	if (a)
		seq = a->user_seq;
	else if (s && kind == MODEL_SESSION)
		seq = s->user_seq;
	engine_unlock(e);
	return seq;
}
