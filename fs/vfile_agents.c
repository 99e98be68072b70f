/* SPDX-License-Identifier: MIT
 *
 * Agents of all sessions in one place: agents/registry/ (links to their files), agents/status/ (how each is, now: heartbeats and counts that are not
 * in the files yet included) and status/agents.yaml.
 *
 * Names. An agent is AID.yaml. When several sessions have an agent of that id, each is AID@SID.yaml instead and AID.yaml does not exist, so that nobody
 * takes one for the other; AID@SID.yaml can be looked up always (an id holds no '@').
 * Where that is longer than a name can be, nobody can look it up, so it isn't listed: who walks the tree meets no error. agents.yaml has all.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "registry.h"
#include "vfile_model.h"
#include "vfile_rows.h"

#define SUFFIX ".yaml"
#define AGENT_NAME_BYTES (ACTOR_ID_BYTES + ACTOR_ID_BYTES + sizeof(SUFFIX)) /* of AID@SID.yaml */

/* ---- names ---- */

/* Of an id: the agents there are, without those that have just been removed and may come back. Lock held. */
static struct agent *next_there(struct agent *a)
{
	while (a && a->removed_ns)
		a = a->next_of_id;
	return a;
}

static bool has_namesake(struct engine *e, const char *id)
{
	struct agent *a = next_there(registry_agents_of_id(e, id));

	return a && next_there(a->next_of_id);
}

/* What a name means now. Lock held. */
static struct agent *agent_of_name(struct engine *e, const char *name)
{
	size_t len = strlen(name), id_len;
	char text[AGENT_NAME_BYTES];
	struct agent *a;
	struct session *s;
	char *at;

	if (len <= strlen(SUFFIX) || len >= sizeof(text) || strcmp(name + len - strlen(SUFFIX), SUFFIX) != 0)
		return NULL;
	id_len = len - strlen(SUFFIX);
	memcpy(text, name, id_len);
	text[id_len] = '\0';
	at = strchr(text, '@');
	if (!at) {
		a = next_there(registry_agents_of_id(e, text));
		return a && !next_there(a->next_of_id) ? a : NULL;
	}
	*at = '\0';
	s = registry_session(e, at + 1);
	a = s ? registry_agent(s, text) : NULL;
	return a && !a->removed_ns ? a : NULL;
}

/* Copies who that is. 0 or -ENOENT. */
static int who(struct fs *fs, const struct vnode *v, char session[ACTOR_ID_BYTES], char agent[ACTOR_ID_BYTES])
{
	const struct agent *a;

	engine_lock(fs->engine);
	a = agent_of_name(fs->engine, v->params[0]);
	if (a) {
		memcpy(session, a->session->id, ACTOR_ID_BYTES);
		memcpy(agent, a->id, ACTOR_ID_BYTES);
	}
	engine_unlock(fs->engine);
	return a ? 0 : -ENOENT;
}

bool agent_exists(struct fs *fs, const struct vnode *v)
{
	char session[ACTOR_ID_BYTES], agent[ACTOR_ID_BYTES];

	return !who(fs, v, session, agent);
}

/* All names, NUL-terminated one after the other: taken under the lock, told after it. */
static void put_names(struct engine *e, struct buf *names)
{
	engine_lock(e);
	for (const struct session *s = registry_first_session(e); s; s = s->next)
		for (const struct agent *a = s->agents; a; a = a->next) {
			if (a->removed_ns)
				continue;
			buf_append_str(names, a->id);
			if (has_namesake(e, a->id))
				buf_printf(names, "@%s", s->id);
			buf_append(names, SUFFIX, sizeof(SUFFIX));
		}
	engine_unlock(e);
}

int agent_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg)
{
	cleanup_buf struct buf names = BUF_INIT;
	int r;

	(void)directory;
	put_names(fs->engine, &names);
	r = names.error;
	for (size_t at = 0, len; !r && at < names.len; at += len + 1) {
		len = strlen(names.data + at);
		if (len <= NAME_MAX)
			r = each(arg, names.data + at);
	}
	return r;
}

int64_t agent_time(struct fs *fs, const struct vnode *v)
{
	int64_t time_ns = fs->started_ns;
	const struct agent *a;

	engine_lock(fs->engine);
	a = agent_of_name(fs->engine, v->params[0]);
	if (a && a->heartbeat_ns)
		time_ns = a->heartbeat_ns;
	engine_unlock(fs->engine);
	return time_ns;
}

/* ---- text ---- */

int agent_link_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	char session[ACTOR_ID_BYTES], agent[ACTOR_ID_BYTES];
	int r = who(fs, v, session, agent);

	if (!r)
		buf_printf(out, "../../state/sessions/%s/agents/%s" SUFFIX, session, agent);
	return r;
}

/* Where it is not known whose of that id it is, it is shown with each. */
static bool is_held_by(const struct lock_info *l, const char *agent, const char *session)
{
	return !strcmp(l->agent, agent) && (!l->session[0] || !strcmp(l->session, session));
}

static void put_locks(struct buf *out, int indent, const struct moment *m, const char *agent, const char *session)
{
	bool any = false;

	buf_printf(out, "%*slocks: [", indent, "");
	for (size_t i = 0; i < m->lock_count; i++)
		if (is_held_by(&m->locks[i], agent, session)) {
			buf_append_str(out, any ? ", " : "");
			buf_put_yaml_string(out, m->locks[i].name, strlen(m->locks[i].name));
			any = true;
		}
	buf_append_str(out, "]\n");
}

/* Everything but the id, the status first. */
static void put_agent(struct buf *out, int indent, const struct moment *m, const struct moment_agent *a)
{
	const struct moment_session *s = &m->sessions[a->session];

	buf_printf(out, "%*sstatus: %s\n", indent, "", agent_status_name(a->status));
	yaml_line_text(out, indent, "session", s->id);
	yaml_line_text(out, indent, "type", a->type);
	yaml_line_time(out, indent, "last_heartbeat", a->heartbeat_ns);
	yaml_line_age(out, indent, "last_heartbeat_age_seconds", m->now_ns, a->heartbeat_ns);
	yaml_line_number(out, indent, "heartbeat_interval_seconds", s->heartbeat_interval_s);
	yaml_line_time(out, indent, "unhealthy_at", a->unhealthy_ns);
	yaml_line_number(out, indent, "operations_completed", a->operations);
	yaml_line_number(out, indent, "errors_encountered", a->errors);
	if (a->pid)
		yaml_line_number(out, indent, "pid", a->pid);
	else
		yaml_line_text(out, indent, "pid", NULL);
	buf_printf(out, "%*spid_watched: %s\n", indent, "", a->watched ? "true" : "false");
	put_locks(out, indent, m, a->id, s->id);
	yaml_line_time(out, indent, "registered_at", a->registered_ns);
	buf_printf(out, "%*spath: \"state/sessions/%s/agents/%s" SUFFIX "\"\n", indent, "", s->id, a->id); /* ids need no escapes */
}

int agent_status_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	char session[ACTOR_ID_BYTES], agent[ACTOR_ID_BYTES];
	struct moment m;
	int r = who(fs, v, session, agent);

	if (!r)
		r = moment_take(fs, session, agent, &m);
	if (r)
		return r;
	put_agent(out, 0, &m, &m.agents[0]);
	moment_release(&m);
	return 0;
}

/* Whom to look at first: who is in trouble, then who works. */
static unsigned agent_rank(enum agent_status s)
{
	if (s == AGENT_UNHEALTHY)
		return 0;
	if (s == AGENT_DEAD)
		return 1;
	return s == AGENT_COMPLETED ? 3 : 2;
}

int agents_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	size_t counts[AGENT_STATUS_COUNT] = {0};
	struct moment m;
	int r = moment_take(fs, NULL, NULL, &m);

	(void)v;
	if (r)
		return r;
	for (size_t i = 0; i < m.agent_count; i++)
		counts[m.agents[i].status]++;
	buf_append_str(out, "counts:\n");
	yaml_counts(out, 2, agent_count_name, counts, AGENT_STATUS_COUNT);
	buf_append_str(out, m.agent_count ? "agents:\n" : "agents: []\n");
	for (unsigned rank = 0; rank <= agent_rank(AGENT_COMPLETED); rank++)
		for (size_t i = 0; i < m.agent_count; i++)
			if (agent_rank(m.agents[i].status) == rank) {
				buf_printf(out, "  - id: \"%s\"\n", m.agents[i].id);
				put_agent(out, 4, &m, &m.agents[i]);
			}
	moment_release(&m);
	return 0;
}
