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

#define UNHEALTHY_AFTER_INTERVALS 3 /* as upkeep judges */

struct watched {
	struct watched_pid *pids; /* sorted */
	size_t count;
};

static int compare_pids(const void *a, const void *b)
{
	const struct watched_pid *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static bool is_watched(const struct watched *w, uint32_t pid)
{
	const struct watched_pid key = {.pid = pid};

	return pid && w->count && bsearch(&key, w->pids, w->count, sizeof(key), compare_pids);
}

/* ---- copying: lock held ---- */

static char *copy_text(const char *text)
{
	return strdup(text ? text : "");
}

/* The moment, by both clocks. */
struct clocks {
	int64_t wall_ns, monotonic_ns;
};

static int64_t wall_time(const struct clocks *c, int64_t monotonic_ns)
{
	return c->wall_ns + (monotonic_ns - c->monotonic_ns);
}

static int64_t created(struct engine *e, const struct session *s)
{
	const struct node *dir = tree_node(engine_tree(e), s->dir_ino);

	if (s->fields.created_ns || !dir->names)
		return s->fields.created_ns;
	return engine_seq_time(e, dir->names->born);
}

static int64_t next_checkpoint(const struct session *s, const struct clocks *now)
{
	if (!s->unsaved_ns || !s->fields.auto_checkpoint || !s->fields.recovery_enabled || !s->checkpoints_ino)
		return 0;
	return wall_time(now, s->unsaved_ns + (int64_t)s->fields.checkpoint_interval_s * NS_PER_S);
}

static int64_t expires(struct engine *e, const struct session *s)
{
	if (session_status_is_over(s->fields.status) || !s->fields.max_session_duration_s || !s->file_ino)
		return 0;
	return MAX(created(e, s), s->reopened_ns) + (int64_t)s->fields.max_session_duration_s * NS_PER_S;
}

/* Silence is looked for at whole intervals of the monotonic clock, when there are three of it. */
static int64_t becomes_unhealthy(const struct agent *a, const struct clocks *now)
{
	int64_t interval_ns = (int64_t)a->session->fields.heartbeat_interval_s * NS_PER_S;
	int64_t at_ns = a->alive_ns + UNHEALTHY_AFTER_INTERVALS * interval_ns;

	if (a->fields.status > AGENT_IDLE || session_status_is_over(a->session->fields.status))
		return 0;
	return wall_time(now, ALIGN_UP(at_ns, interval_ns));
}

static int add_session(struct moment *m, struct engine *e, const struct session *s, const struct clocks *now)
{
	struct moment_session *to;

	if (array_reserve(&m->sessions, &m->session_capacity, m->session_count + 1, sizeof(*m->sessions)))
		return -ENOMEM;
	to = &m->sessions[m->session_count];
	*to = (struct moment_session){
		.status = s->fields.status,
		.type = copy_text(s->fields.type),
		.file_missing = !s->file_ino,
		.created_ns = created(e, s),
		.changed_ns = s->changed_ns,
		.heartbeat_interval_s = s->fields.heartbeat_interval_s,
		.max_session_duration_s = s->fields.max_session_duration_s,
		.checkpoint_interval_s = s->fields.checkpoint_interval_s,
		.checkpoint_count = s->checkpoint_count,
		.checkpoint_ns = s->newest_checkpoint ? s->newest_checkpoint->time_ns : 0,
		.next_checkpoint_ns = next_checkpoint(s, now),
		.expires_ns = expires(e, s),
		.operations = registry_operation_count(e, s),
		.events = registry_event_count(e, s),
		.refusals = s->refusals,
		.refused_ns = s->refused_ns,
	};
	if (!to->type)
		return -ENOMEM;
	m->session_count++;
	memcpy(to->id, s->id, sizeof(to->id));
	if (s->newest_checkpoint)
		memcpy(to->checkpoint, s->newest_checkpoint->id, sizeof(to->checkpoint));
	for (const struct agent *a = s->agents; a; a = a->next)
		to->agents[a->fields.status] += !a->removed_ns;
	return 0;
}

static int add_agent(struct moment *m, const struct agent *a, const struct watched *w, const struct clocks *now)
{
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
		.unhealthy_ns = becomes_unhealthy(a, now),
		.operations = a->fields.operations_completed + a->operations_added,
		.errors = a->fields.errors_encountered + a->errors_added,
		.pid = a->fields.pid,
		.watched = is_watched(w, a->fields.pid),
	};
	if (!to->type)
		return -ENOMEM;
	m->agent_count++;
	memcpy(to->id, a->id, sizeof(to->id));
	return 0;
}

static int add_all(struct moment *m, struct engine *e, const char *session, const char *agent, const struct watched *w)
{
	const struct clocks now = {m->now_ns, env_monotonic_ns(engine_env(e))};
	int r = 0;

	for (struct session *s = registry_first_session(e); !r && s; s = s->next) {
		if (session && strcmp(s->id, session) != 0)
			continue;
		r = add_session(m, e, s, &now);
		for (const struct agent *a = s->agents; !r && a; a = a->next)
			if (!a->removed_ns && (!agent || !strcmp(a->id, agent)))
				r = add_agent(m, a, w, &now);
	}
	if (!r && ((session && !m->session_count) || (agent && !m->agent_count)))
		r = -ENOENT;
	return r;
}

int moment_take(struct fs *fs, const char *session, const char *agent, struct moment *ret)
{
	struct moment m = {0};
	struct watched w = {0};
	uint64_t generation;
	int r = upkeep_watched_pids(fs->engine, &w.pids, &w.count, &generation);

	if (!r)
		r = lock_files_list(fs->engine, &m.locks, &m.lock_count);
	if (!r) {
		engine_lock(fs->engine);
		m.now_ns = env_time_ns(engine_env(fs->engine));
		r = add_all(&m, fs->engine, session, agent, &w);
		engine_unlock(fs->engine);
	}
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
	for (size_t i = 0; i < m->lock_count; i++)
		lock_info_release(&m->locks[i]);
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
