/* SPDX-License-Identifier: MIT
 *
 * One moment of the state model, and the YAML lines that its renderers share. What a session or an agent is, the registry says; when
 * something is due is told as upkeep would do it. Locks and watched processes are asked for before the moment, since asking takes
 * the lock by itself: they may be older than the rest by the time one transaction takes, never younger.
 *
 * Out of memory: nothing is returned.
 */
#include "vfile_model.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "registry.h"
#include "upkeep.h"

struct watched {
	uint32_t *pids; /* sorted */
	size_t count;
};

static int compare_pids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool is_watched(const struct watched *w, uint32_t pid)
{
	return pid && w->count && bsearch(&pid, w->pids, w->count, sizeof(pid), compare_pids);
}

/* ---- copying: lock held ---- */

static char *copy_text(const char *text)
{
	return strdup(text ? text : "");
}

/* As upkeep takes them: something changed since the newest checkpoint, and the session is at work. */
static int64_t next_checkpoint(const struct session *s)
{
	const struct checkpoint *newest = s->newest_checkpoint;
	int64_t since = newest ? newest->time_ns : s->fields.created_ns;

	if (!s->fields.auto_checkpoint || s->fields.status != SESSION_ACTIVE || (newest && s->changed_seq <= newest->seq))
		return 0;
	return since + (int64_t)s->fields.checkpoint_interval_s * NS_PER_S;
}

static int64_t expires(const struct session *s)
{
	if (session_status_is_over(s->fields.status) || !s->fields.created_ns)
		return 0;
	return s->fields.created_ns + (int64_t)s->fields.max_session_duration_s * NS_PER_S;
}

static int add_session(struct moment *m, struct engine *e, const struct session *s)
{
	struct moment_session *to;

	if (array_reserve(&m->sessions, &m->session_capacity, m->session_count + 1, sizeof(*m->sessions)))
		return -ENOMEM;
	to = &m->sessions[m->session_count];
	*to = (struct moment_session){
		.status = s->fields.status,
		.type = copy_text(s->fields.type),
		.file_missing = !s->file_ino,
		.created_ns = s->fields.created_ns,
		.changed_ns = s->changed_ns,
		.heartbeat_interval_s = s->fields.heartbeat_interval_s,
		.max_session_duration_s = s->fields.max_session_duration_s,
		.checkpoint_interval_s = s->fields.checkpoint_interval_s,
		.checkpoint_count = s->checkpoint_count,
		.checkpoint_ns = s->newest_checkpoint ? s->newest_checkpoint->time_ns : 0,
		.next_checkpoint_ns = next_checkpoint(s),
		.expires_ns = expires(s),
		.operations = registry_operation_count(e, s),
		.events = registry_event_count(e, s),
		.refusals = s->refusals,
		.refused_ns = s->refused_ns,
	};
	if (!to->type)
		return -ENOMEM;
	m->session_count++;
	strcpy(to->id, s->id);
	if (s->newest_checkpoint)
		strcpy(to->checkpoint, s->newest_checkpoint->id);
	for (const struct agent *a = s->agents; a; a = a->next)
		to->agents[a->fields.status] += !a->removed_ns;
	return 0;
}

static int add_agent(struct moment *m, const struct agent *a, const struct watched *w)
{
	const struct moment_session *s = &m->sessions[m->session_count - 1];
	struct moment_agent *to;

	if (array_reserve(&m->agents, &m->agent_capacity, m->agent_count + 1, sizeof(*m->agents)))
		return -ENOMEM;
	to = &m->agents[m->agent_count];
	*to = (struct moment_agent){
		.session = m->session_count - 1,
		.status = a->fields.status,
		.type = copy_text(a->fields.type),
		.registered_ns = a->fields.registered_ns,
		.heartbeat_ns = a->heartbeat_ns,
		.operations = a->fields.operations_completed + a->operations_added,
		.errors = a->fields.errors_encountered + a->errors_added,
		.pid = a->fields.pid,
		.watched = is_watched(w, a->fields.pid),
	};
	if (!to->type)
		return -ENOMEM;
	m->agent_count++;
	strcpy(to->id, a->id);
	if (agent_status_is_live(to->status) && to->status != AGENT_UNHEALTHY && !session_status_is_over(s->status))
		to->unhealthy_ns = to->heartbeat_ns + 3 * (int64_t)s->heartbeat_interval_s * NS_PER_S;
	return 0;
}

static int add_all(struct moment *m, struct engine *e, const char *session, const char *agent, const struct watched *w)
{
	int r = 0;

	for (struct session *s = registry_first_session(e); !r && s; s = s->next) {
		if (session && strcmp(s->id, session))
			continue;
		r = add_session(m, e, s);
		for (const struct agent *a = s->agents; !r && a; a = a->next)
			if (!a->removed_ns && (!agent || !strcmp(a->id, agent)))
				r = add_agent(m, a, w);
	}
	if (!r && ((session && !m->session_count) || (agent && !m->agent_count)))
		r = -ENOENT;
	return r;
}

int moment_take(struct fs *fs, const char *session, const char *agent, struct moment *ret)
{
	struct moment m = {0};
	struct watched w = {0};
	int r;

	engine_lock(fs->engine);
	m.now_ns = env_time_ns(engine_env(fs->engine));
	r = add_all(&m, fs->engine, session, agent, &w);
	engine_unlock(fs->engine);
	free(w.pids);
	if (r)
		moment_release(&m);
	else
		*ret = m;
	return r;
}

void moment_release(struct moment *m)
{
	for (size_t i = 0; i < m->session_count; i++)
		free(m->sessions[i].type);
	for (size_t i = 0; i < m->agent_count; i++)
		free(m->agents[i].type);
	free(m->sessions);
	free(m->agents);
	free(m->locks);
	*m = (struct moment){0};
}

void moment_count(struct fs *fs, size_t sessions[SESSION_STATUS_COUNT], size_t agents[AGENT_STATUS_COUNT], size_t *ret_checkpoints)
{
	size_t checkpoints = 0;

	memset(sessions, 0, SESSION_STATUS_COUNT * sizeof(*sessions));
	memset(agents, 0, AGENT_STATUS_COUNT * sizeof(*agents));
	engine_lock(fs->engine);
	for (const struct session *s = registry_first_session(fs->engine); s; s = s->next) {
		sessions[s->fields.status]++;
		checkpoints += s->checkpoint_count;
		for (const struct agent *a = s->agents; a; a = a->next)
			agents[a->fields.status] += !a->removed_ns;
	}
	engine_unlock(fs->engine);
	*ret_checkpoints = checkpoints;
}

size_t moment_live_agents(const struct moment_session *s)
{
	size_t live = 0;

	for (size_t i = 0; i < AGENT_STATUS_COUNT; i++)
		live += agent_status_is_live((enum agent_status)i) ? s->agents[i] : 0;
	return live;
}

/* ---- lines ---- */

void yaml_line_text(struct buf *out, int indent, const char *key, const char *value)
{
	buf_printf(out, "%*s%s: ", indent, "", key);
	if (value)
		buf_put_yaml_string(out, value, strlen(value));
	else
		buf_append_str(out, "null");
	buf_append_str(out, "\n");
}

void yaml_line_time(struct buf *out, int indent, const char *key, int64_t time_ns)
{
	char text[TIME_TEXT_BYTES];

	if (time_ns)
		time_format(time_ns, text);
	yaml_line_text(out, indent, key, time_ns ? text : NULL);
}

void yaml_line_age(struct buf *out, int indent, const char *key, int64_t now_ns, int64_t then_ns)
{
	if (then_ns)
		buf_printf(out, "%*s%s: %" PRId64 "\n", indent, "", key, (int64_t)(MAX(0, now_ns - then_ns) / NS_PER_S));
	else
		yaml_line_text(out, indent, key, NULL);
}

void yaml_line_number(struct buf *out, int indent, const char *key, uint64_t value)
{
	buf_printf(out, "%*s%s: %" PRIu64 "\n", indent, "", key, value);
}

const char *session_count_name(size_t status)
{
	return session_status_name((enum session_status)status);
}

const char *agent_count_name(size_t status)
{
	return agent_status_name((enum agent_status)status);
}

void yaml_counts(struct buf *out, int indent, const char *(*name)(size_t status), const size_t *counts, size_t count)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += counts[i];
	yaml_line_number(out, indent, "total", total);
	for (size_t i = 0; i < count; i++)
		yaml_line_number(out, indent, name(i), counts[i]);
}
