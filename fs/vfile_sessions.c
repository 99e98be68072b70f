/* SPDX-License-Identifier: MIT
 *
 * Sessions from outside: state/active/ and state/completed/ (links by status), status/sessions.yaml, and each session's own health.yaml.
 *
 * health.yaml begins with one word: `healthy`, `degraded` (the lines of `why` say what a person should look at) or `read-only` (the mount is).
 * What is over needs nobody's attention: agents of a completed session are not complained about. It tells times, not ages: while nothing happens
 * it stays the same, so that tools which copy a session find a file that keeps still. What of the session is known to be damaged is listed by path and
 * transaction.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vfile_damage.h"
#include "registry.h"
#include "vfile_model.h"
#include "vfile_rows.h"

/** Items of a session that are named as damaged. */
#define DAMAGED_MAX 100
/** Refused saves are worth a sentence that long. */
#define REFUSAL_RECENT_NS (3600 * NS_PER_S)
/** A checkpoint may be that late, and another interval, before somebody should hear of it. */
#define CHECKPOINT_GRACE_NS (10 * NS_PER_S)

/* ---- links by status ---- */

/* Is there a session of that name, and is it over? */
static bool session_is(struct fs *fs, const char *id, bool over)
{
	const struct session *s;
	bool yes;

	engine_lock(fs->engine);
	s = registry_session(fs->engine, id);
	yes = s && session_status_is_over(s->fields.status) == over;
	engine_unlock(fs->engine);
	return yes;
}

bool session_active_exists(struct fs *fs, const struct vnode *v)
{
	return session_is(fs, v->params[0], false);
}

bool session_completed_exists(struct fs *fs, const struct vnode *v)
{
	return session_is(fs, v->params[0], true);
}

static int list(struct fs *fs, bool over, vfile_each_fn each, void *arg)
{
	cleanup_buf struct buf names = BUF_INIT;
	int r;

	engine_lock(fs->engine);
	for (const struct session *s = registry_first_session(fs->engine); s; s = s->next)
		if (session_status_is_over(s->fields.status) == over)
			buf_append(&names, s->id, strlen(s->id) + 1);
	engine_unlock(fs->engine);
	r = names.error;
	for (size_t at = 0; !r && at < names.len; at += strlen(names.data + at) + 1)
		r = each(arg, names.data + at);
	return r;
}

int session_active_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg)
{
	(void)directory;
	return list(fs, false, each, arg);
}

int session_completed_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg)
{
	(void)directory;
	return list(fs, true, each, arg);
}

int session_link_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	(void)fs;
	buf_printf(out, "../sessions/%s", v->params[0]);
	return 0;
}

int64_t session_time(struct fs *fs, const struct vnode *v)
{
	int64_t time_ns = fs->started_ns;
	const struct session *s;

	engine_lock(fs->engine);
	s = registry_session(fs->engine, v->params[0]);
	if (s && s->changed_ns)
		time_ns = s->changed_ns;
	engine_unlock(fs->engine);
	return time_ns;
}

bool session_exists(struct fs *fs, const struct vnode *v)
{
	bool yes;

	engine_lock(fs->engine);
	yes = registry_session(fs->engine, v->params[0]);
	engine_unlock(fs->engine);
	return yes;
}

/* ---- status/sessions.yaml ---- */

static void put_session(struct buf *out, const struct moment *m, const struct moment_session *s)
{
	buf_printf(out, "  - id: \"%s\"\n    status: %s\n", s->id, session_status_name(s->status));
	yaml_line_text(out, 4, "type", s->type);
	yaml_line_time(out, 4, "created_at", s->created_ns);
	yaml_line_time(out, 4, "last_change", s->changed_ns);
	yaml_line_age(out, 4, "last_change_age_seconds", m->now_ns, s->changed_ns);
	buf_printf(out, "    agents: {live: %zu, unhealthy: %zu}\n", moment_live_agents(s), s->agents[AGENT_UNHEALTHY]);
	yaml_line_text(out, 4, "newest_checkpoint", *s->checkpoint ? s->checkpoint : NULL);
	yaml_line_age(out, 4, "newest_checkpoint_age_seconds", m->now_ns, s->checkpoint_ns);
	yaml_line_time(out, 4, "next_checkpoint_at", s->next_checkpoint_ns);
	yaml_line_time(out, 4, "expires_at", s->expires_ns);
	buf_printf(out, "    path: \"state/sessions/%s\"\n", s->id);
}

int sessions_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	size_t counts[SESSION_STATUS_COUNT] = {0};
	struct moment m;
	int r = moment_take(fs, NULL, NULL, &m);

	(void)v;
	if (r)
		return r;
	for (size_t i = 0; i < m.session_count; i++)
		counts[m.sessions[i].status]++;
	buf_append_str(out, "counts:\n");
	yaml_counts(out, 2, session_count_name, counts, SESSION_STATUS_COUNT);
	buf_append_str(out, m.session_count ? "sessions:\n" : "sessions: []\n");
	for (unsigned over = 0; over < 2; over++) /* what goes on comes first */
		for (size_t i = 0; i < m.session_count; i++)
			if (session_status_is_over(m.sessions[i].status) == over)
				put_session(out, &m, &m.sessions[i]);
	moment_release(&m);
	return 0;
}

/* ---- health.yaml ---- */

static void __attribute__((format(printf, 2, 3))) why(struct buf *out, const char *fmt, ...)
{
	cleanup_buf struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (text.error) {
		out->error = text.error;
		return;
	}
	buf_append_str(out, "  - ");
	buf_put_yaml_string(out, text.data, text.len);
	buf_append_str(out, "\n");
}

static void why_agents(struct buf *out, const struct moment *m, const struct moment_session *s)
{
	for (size_t i = 0; i < m->agent_count; i++) {
		const struct moment_agent *a = &m->agents[i];
		char since[TIME_TEXT_BYTES];

		time_format(a->heartbeat_ns, since);
		if (a->status == AGENT_UNHEALTHY)
			why(out, "agent %s is unhealthy: no sign of life since %s (one is expected every %" PRIu64 " s)", a->id, since,
				s->heartbeat_interval_s);
		if (a->status == AGENT_DEAD)
			why(out, "agent %s is dead", a->id);
	}
}

static void why_session(struct buf *out, const struct moment *m, const struct moment_session *s)
{
	int64_t late_ns = s->next_checkpoint_ns ? m->now_ns - s->next_checkpoint_ns : 0;
	char since[TIME_TEXT_BYTES];

	if (s->file_missing)
		why(out, "session.yaml is missing: defaults hold");
	if (s->status == SESSION_EXPIRED)
		why(out, "the session has expired: it is older than max_session_duration, %" PRIu64 " s", s->max_session_duration_s);
	if (s->status == SESSION_FAILED)
		why(out, "the session has failed");
	if (!session_status_is_over(s->status))
		why_agents(out, m, s);
	time_format(s->next_checkpoint_ns, since);
	if (late_ns > CHECKPOINT_GRACE_NS + (int64_t)s->checkpoint_interval_s * NS_PER_S)
		why(out, "an automatic checkpoint has been due since %s", since);
	time_format(s->refused_ns, since);
	if (s->refused_ns && m->now_ns - s->refused_ns < REFUSAL_RECENT_NS)
		why(out, "%" PRIu64 " %s refused, the last at %s: see transactions/rollbacks", s->refusals, s->refusals == 1 ? "save was" : "saves were",
			since);
}

static void put_numbers(struct buf *out, const struct moment_session *s)
{
	yaml_line_text(out, 0, "session", s->id);
	buf_printf(out, "session_status: %s\n", session_status_name(s->status));
	yaml_line_time(out, 0, "created_at", s->created_ns);
	yaml_line_time(out, 0, "last_change", s->changed_ns);
	yaml_line_time(out, 0, "expires_at", s->expires_ns);
	buf_append_str(out, "agents:\n");
	yaml_counts(out, 2, agent_count_name, s->agents, AGENT_STATUS_COUNT);
	yaml_line_number(out, 0, "checkpoints", s->checkpoint_count);
	yaml_line_text(out, 0, "newest_checkpoint", *s->checkpoint ? s->checkpoint : NULL);
	yaml_line_time(out, 0, "newest_checkpoint_at", s->checkpoint_ns);
	yaml_line_time(out, 0, "next_checkpoint_at", s->next_checkpoint_ns);
	yaml_line_number(out, 0, "transactions", s->operations);
	yaml_line_number(out, 0, "events", s->events);
	yaml_line_number(out, 0, "refused_saves", s->refusals);
}

/* Files of the session that damage is known of. */
struct damaged {
	struct buf text;
	size_t count;
};

static bool put_damaged(void *arg, const char *path, uint64_t first, uint64_t last)
{
	struct damaged *d = arg;

	yaml_line_text(&d->text, 0, "  - path", path);
	yaml_line_number(&d->text, 4, "first_sequence", first);
	yaml_line_number(&d->text, 4, "last_sequence", last);
	return ++d->count < DAMAGED_MAX;
}

static int find_damaged(struct fs *fs, const char *session, struct damaged *ret)
{
	char prefix[sizeof("state/sessions//") + ACTOR_ID_BYTES];
	struct damage damage;
	int r = damage_take(fs, &damage);

	if (r)
		return r;
	snprintf(prefix, sizeof(prefix), "state/sessions/%s/", session);
	r = damage_each_path(fs, &damage, prefix, put_damaged, ret);
	damage_release(&damage);
	return r ? r : ret->text.error;
}

static void why_store(struct buf *out, enum engine_status status, const struct damaged *d)
{
	if (status == ENGINE_READ_ONLY)
		why(out, "the mount is read-only: status/health.yaml says why");
	else if (status != ENGINE_HEALTHY)
		why(out, "the mount is degraded: status/health.yaml says why");
	if (d->count)
		why(out, "%s%zu %s of this session %s damaged: see below", d->count == DAMAGED_MAX ? "at least " : "", d->count,
			d->count == 1 ? "item" : "items", d->count == 1 ? "is" : "are");
}

int session_health_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	cleanup_buf struct buf reasons = BUF_INIT;
	struct damaged damaged = {0};
	struct engine_health health;
	const char *status;
	struct moment m;
	int r = moment_take(fs, v->params[0], NULL, &m);

	if (r)
		return r;
	engine_get_health(fs->engine, &health);
	buf_release(&health.why);
	if (fs->read_only)
		health.status = ENGINE_READ_ONLY;
	r = find_damaged(fs, v->params[0], &damaged);
	why_store(&reasons, health.status, &damaged);
	why_session(&reasons, &m, &m.sessions[0]);
	status = health.status == ENGINE_READ_ONLY ? "read-only" : reasons.len ? "degraded" : "healthy";
	buf_printf(out, "status: %s\n", status);
	buf_append_str(out, reasons.len ? "why:\n" : "why: []\n");
	buf_append(out, reasons.data, reasons.len);
	buf_append_str(out, damaged.count ? "damaged:\n" : "damaged: []\n");
	buf_append(out, damaged.text.data ? damaged.text.data : "", damaged.text.len);
	put_numbers(out, &m.sessions[0]);
	buf_release(&damaged.text);
	moment_release(&m);
	return r ? r : reasons.error;
}
