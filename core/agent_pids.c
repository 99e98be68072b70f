/* SPDX-License-Identifier: MIT
 *
 * What a commit changes beyond the tree: settings in force, and the processes agents have registered (`agent.pid` in
 * state/sessions/SID/agents/AID.yaml), by which writers without MILESTONES_AGENT are attributed.
 *
 * engine_after_commit() is called after each transaction, on the committing thread, no lock held. Which files matter is told without
 * the lock by name where a change has one; only CONTENT, which names no file, needs a look at the tree.
 *
 * A file that cannot be read or parsed registers no process: attribution falls back, nothing else depends on it.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "doc.h"
#include "engine_internal.h"

#define AGENT_FILE_BYTES_MAX (1u << 20)
#define SUFFIX ".yaml"

/* Is it state/sessions/SID/agents/AID.yaml? Copies AID to @out. */
static bool agent_of_path(const char *path, char out[ACTOR_ID_BYTES])
{
	char session[129];
	const char *name;
	size_t len;

	if (!layout_session_of(path, session))
		return false;
	path += strlen("state/sessions/") + strlen(session);
	if (strncmp(path, "/agents/", 8))
		return false;
	name = path + 8;
	len = strlen(name);
	if (len <= sizeof(SUFFIX) - 1 || strcmp(name + len - (sizeof(SUFFIX) - 1), SUFFIX))
		return false;
	len -= sizeof(SUFFIX) - 1;
	if (!id_valid(name, len))
		return false; /* a hidden file or one of a lower directory */
	memcpy(out, name, len);
	out[len] = '\0';
	return true;
}

static uint32_t pid_in_text(const char *text, size_t len)
{
	const struct doc_node *pid;
	struct doc *doc;
	uint64_t n = 0;

	if (doc_parse_yaml(text, len, NULL, &doc))
		return 0;
	pid = doc_get_path(doc_root(doc), "agent.pid");
	if (!pid || pid->type != DOC_NUMBER || parse_u64(pid->text, &n) || n > INT32_MAX)
		n = 0;
	doc_free(doc);
	return (uint32_t)n;
}

static uint32_t pid_of_version(struct engine *e, const struct version *v)
{
	struct version_extents scratch = {0};
	cleanup_free char *text = NULL;
	ssize_t got;

	if (!v->size || v->size > AGENT_FILE_BYTES_MAX)
		return 0;
	text = malloc((size_t)v->size);
	got = text ? engine_read(e, v, &scratch, 0, text, (size_t)v->size) : -ENOMEM;
	extent_map_release(&scratch.map);
	return got > 0 ? pid_in_text(text, (size_t)got) : 0;
}

/* The version an agent's file has now, or NULL when the inode is none. Lock held. */
static const struct version *agent_version(struct engine *e, uint64_t ino, char out[ACTOR_ID_BYTES])
{
	struct node *n = tree_node(e->tree, ino);
	const struct version *v = n ? tree_version_at(n, engine_live_seq(e)) : NULL;
	struct buf path = BUF_INIT;
	bool is_agent;

	if (!v || !S_ISREG(v->attrs->mode))
		return NULL;
	is_agent = !tree_path_at(e->tree, n, engine_live_seq(e), &path) && path.data && agent_of_path(path.data, out);
	buf_release(&path);
	return is_agent ? v : NULL;
}

/* Lock held. @pid 0: the inode has none. */
static void remember_pid(struct engine *e, uint64_t ino, uint32_t pid, const char *agent)
{
	size_t i = 0;

	while (i < e->agent_pid_count && e->agent_pids[i].ino != ino)
		i++;
	if (!pid) {
		if (i < e->agent_pid_count) {
			e->agent_pids[i] = e->agent_pids[e->agent_pid_count - 1];
			__atomic_store_n(&e->agent_pid_count, e->agent_pid_count - 1, __ATOMIC_RELAXED);
			__atomic_fetch_add(&e->agent_pids_changes, 1, __ATOMIC_RELAXED);
		}
		return;
	}
	if (array_reserve(&e->agent_pids, &e->agent_pid_capacity, i + 1, sizeof(*e->agent_pids)))
		return; /* this agent is attributed by its environment only */
	if (i < e->agent_pid_count && e->agent_pids[i].pid == pid && !strcmp(e->agent_pids[i].agent, agent))
		return;
	__atomic_fetch_add(&e->agent_pids_changes, 1, __ATOMIC_RELAXED);
	e->agent_pids[i] = (struct agent_pid){.pid = pid, .ino = ino};
	memcpy(e->agent_pids[i].agent, agent, strlen(agent) + 1);
	if (i == e->agent_pid_count)
		__atomic_store_n(&e->agent_pid_count, i + 1, __ATOMIC_RELAXED);
}

/* Two commits may reload one file in any order: whoever finds the version it read still the newest is right, others look again. */
void engine_reload_agent(struct engine *e, uint64_t ino)
{
	for (;;) {
		char agent[ACTOR_ID_BYTES] = "", agent_now[ACTOR_ID_BYTES];
		const struct version *v;
		uint32_t pid = 0;
		bool settled;

		engine_lock(e);
		v = agent_version(e, ino, agent);
		engine_unlock(e);
		if (v)
			pid = pid_of_version(e, v);
		engine_lock(e);
		settled = agent_version(e, ino, agent_now) == v && (!v || !strcmp(agent, agent_now));
		if (settled)
			remember_pid(e, ino, pid, agent);
		engine_unlock(e);
		if (settled)
			return;
	}
}

static bool ends_in_yaml(const char *name, size_t len)
{
	return len >= sizeof(SUFFIX) - 1 && !memcmp(name + len - (sizeof(SUFFIX) - 1), SUFFIX, sizeof(SUFFIX) - 1);
}

enum concern { CONCERN_NONE, CONCERN_CONFIG, CONCERN_AGENT };

static bool is_named(const struct dentry *d, const char *name)
{
	return d && d->name->len == strlen(name) && !memcmp(d->name->text, name, d->name->len);
}

/* By the newest name: two or three pointers away, no path is built for ordinary files. Lock held. */
static enum concern concern_of(struct engine *e, const struct node *n)
{
	const struct dentry *d = n ? n->names : NULL, *parent;
	char agent[ACTOR_ID_BYTES];
	struct buf path = BUF_INIT;
	enum concern concern = CONCERN_NONE;

	if (!d || !ends_in_yaml(d->name->text, d->name->len))
		return CONCERN_NONE;
	parent = d->parent->names;
	if (!is_named(parent, "agents") && !is_named(parent, "status"))
		return CONCERN_NONE;
	if (!tree_dentry_path(e->tree, d, SEQ_LIVE, &path) && path.data) {
		if (!strcmp(path.data, "status/config.yaml"))
			concern = CONCERN_CONFIG;
		else if (agent_of_path(path.data, agent))
			concern = CONCERN_AGENT;
	}
	buf_release(&path);
	return concern;
}

void engine_after_commit(struct engine *e, const struct change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct change *c = &changes[i];
		enum concern concern;

		if (c->type != CHANGE_CONTENT && c->type != CHANGE_LINK && c->type != CHANGE_UNLINK)
			continue;
		if (c->type != CHANGE_CONTENT && !ends_in_yaml(c->name, c->name_len))
			continue;
		engine_lock(e);
		concern = concern_of(e, tree_node(e->tree, c->ino));
		if (concern == CONCERN_NONE && c->type == CHANGE_UNLINK && engine_has_agent_pids(e))
			concern = CONCERN_AGENT; /* its path may be gone with its directory: let it be looked up by number */
		engine_unlock(e);
		if (concern == CONCERN_CONFIG)
			(void)engine_reload_config(e); /* a bad one is a problem health shows */
		else if (concern == CONCERN_AGENT)
			engine_reload_agent(e, c->ino);
	}
}
