/* SPDX-License-Identifier: MIT
 *
 * Which paths are files of the state model, and the statuses of sessions and agents: their names and what may become what. The fields are
 * model_schema.c's, merging a save is model_session.c's and model_agent.c's.
 */
#include "model.h"

#include <assert.h>
#include <string.h>

#define SESSIONS "state/sessions/"
#define AGENTS "agents/"
#define SUFFIX ".yaml"

static void copy_id(char out[ACTOR_ID_BYTES], const char *id, size_t len)
{
	if (!out)
		return;
	memcpy(out, id, len);
	out[len] = '\0';
}

enum model_kind model_kind_of(const char *path, char session[ACTOR_ID_BYTES], char agent[ACTOR_ID_BYTES])
{
	const char *sid, *name, *dot;
	size_t sid_len;

	if (strncmp(path, SESSIONS, sizeof(SESSIONS) - 1) != 0)
		return MODEL_NONE;
	sid = path + sizeof(SESSIONS) - 1;
	sid_len = strcspn(sid, "/");
	if (!sid[sid_len] || !id_valid(sid, sid_len))
		return MODEL_NONE;
	name = sid + sid_len + 1;
	if (!strcmp(name, "session.yaml")) {
		copy_id(session, sid, sid_len);
		return MODEL_SESSION;
	}
	if (strncmp(name, AGENTS, sizeof(AGENTS) - 1) != 0)
		return MODEL_NONE;
	name += sizeof(AGENTS) - 1;
	dot = strrchr(name, '.');
	if (!dot || strcmp(dot, SUFFIX) != 0 || !id_valid(name, (size_t)(dot - name)))
		return MODEL_NONE; /* a tool's temporary or hidden file, or one of a lower directory */
	copy_id(session, sid, sid_len);
	copy_id(agent, name, (size_t)(dot - name));
	return MODEL_AGENT;
}

static const char *const session_names[] = {
#define X(name, text) text,
	SESSION_STATUS_LIST(X)
#undef X
};

static const char *const agent_names[] = {
#define X(name, text) text,
	AGENT_STATUS_LIST(X)
#undef X
};

const char *session_status_name(enum session_status s)
{
	assert((size_t)s < ARRAY_SIZE(session_names));
	return session_names[s];
}

const char *agent_status_name(enum agent_status s)
{
	assert((size_t)s < ARRAY_SIZE(agent_names));
	return agent_names[s];
}

bool session_status_parse(const char *text, enum session_status *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(session_names); i++)
		if (!strcmp(text, session_names[i])) {
			*ret = (enum session_status)i;
			return true;
		}
	return false;
}

bool agent_status_parse(const char *text, enum agent_status *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(agent_names); i++)
		if (!strcmp(text, agent_names[i])) {
			*ret = (enum agent_status)i;
			return true;
		}
	return false;
}

#define BIT(status) (1u << SESSION_##status)

bool session_status_may_become(enum session_status from, enum session_status to)
{
	static const unsigned next[] = {
		[SESSION_INITIALIZING] = BIT(ACTIVE) | BIT(FAILED),
		[SESSION_ACTIVE] = BIT(PAUSED) | BIT(COMPLETED) | BIT(FAILED) | BIT(EXPIRED),
		[SESSION_PAUSED] = BIT(ACTIVE) | BIT(COMPLETED) | BIT(FAILED) | BIT(EXPIRED),
		[SESSION_COMPLETED] = BIT(ACTIVE),
		[SESSION_FAILED] = BIT(ACTIVE),
		[SESSION_EXPIRED] = BIT(ACTIVE),
	};

	_Static_assert(ARRAY_SIZE(next) == ARRAY_SIZE(session_names), "each status has its row");
	return from == to || (next[from] & 1u << to);
}

bool session_status_is_over(enum session_status s)
{
	return s == SESSION_COMPLETED || s == SESSION_FAILED || s == SESSION_EXPIRED;
}

bool agent_status_is_live(enum agent_status s)
{
	return s != AGENT_DEAD && s != AGENT_COMPLETED;
}
