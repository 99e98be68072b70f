/* SPDX-License-Identifier: MIT
 *
 * Saving an agent's file: which statuses are a save's to say, and what the daemon keeps current in it. Counters are shared: who saves the
 * file may set them, and what the daemon has counted since is added. The rest is model_merge.c's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model_merge.h"

static int check_status(const struct model_sides *sides, struct reason *reason);
static bool status_stays(const struct model_sides *sides);
static bool put_owned(const void *owned, const struct model_field *f, const struct model_sides *sides, struct buf *out);

static const struct model_kind_ops agent_ops = {
	.kind = MODEL_AGENT,
	.status_path = "agent.status",
	.check_status = check_status,
	.status_stays = status_stays,
	.owned_by_text = true,
	.put_owned = put_owned,
};

/* Whether an agent gives signs of life is not for a file to say. */
static bool is_daemons_word(enum agent_status status)
{
	return status == AGENT_UNHEALTHY || status == AGENT_DEAD;
}

/* A save that brings back what it read is no statement about signs of life, even when these have come or ended since: what holds by now stays.
 * (An agent found unhealthy that saves its file with a temporary one has shown life before the rename.) */
static bool status_stays(const struct model_sides *sides)
{
	const struct doc_node *value = doc_get_path(sides->root, agent_ops.status_path);
	enum agent_status status;

	return value && model_field_get(MODEL_AGENT, sides->old, agent_ops.status_path) && agent_status_parse(value->text, &status) && is_daemons_word(status);
}

static int check_status(const struct model_sides *sides, struct reason *reason)
{
	const struct doc_node *value = doc_get_path(sides->root, agent_ops.status_path);
	char text[sizeof(reason->text)], allowed[160] = "";
	enum agent_status status;
	size_t at = 0;

	if (!value || !agent_status_parse(value->text, &status) || !is_daemons_word(status) || status_stays(sides))
		return 0;
	for (size_t i = 0; i <= AGENT_COMPLETED; i++)
		if (!is_daemons_word((enum agent_status)i))
			at += (size_t)snprintf(allowed + at, sizeof(allowed) - at, "%s%s", at ? ", " : "", agent_status_name((enum agent_status)i));
	(void)snprintf(text, sizeof(text), "milestonefs itself says which agents are \"%s\", by their signs of life; this one is new (a save may say: %s)",
		value->text, allowed); /* fits */
	return model_refuse_status(&agent_ops, value, reason, text);
}

/* The save's number, or the one before it, and what was added. */
static bool put_count(uint64_t added, const struct model_field *f, const struct model_sides *sides, struct buf *out)
{
	const struct doc_node *value = model_field_get(MODEL_AGENT, sides->root, f->path);
	uint64_t count;

	if (!added)
		return false;
	if (!value)
		value = model_field_get(MODEL_AGENT, sides->old, f->path);
	count = value ? model_whole_of(value) : 0;
	buf_printf(out, "%" PRIu64, added < f->max - count ? count + added : f->max);
	return true;
}

static bool put_owned(const void *owned, const struct model_field *f, const struct model_sides *sides, struct buf *out)
{
	const struct agent_owned *o = owned;
	const char *id = !strcmp(f->path, "agent.id") ? o->id : !strcmp(f->path, "agent.session_id") ? o->session_id : NULL;

	if (id) {
		buf_put_yaml_string(out, id, strlen(id));
		return true;
	}
	if (!strcmp(f->path, "agent.registered_at"))
		return model_put_time(o->registered_ns, out);
	if (!strcmp(f->path, "agent.last_updated"))
		return model_put_time(o->last_updated_ns, out);
	if (!strcmp(f->path, "metrics.last_heartbeat"))
		return model_put_time(o->heartbeat_ns, out);
	if (!strcmp(f->path, "metrics.operations_completed"))
		return put_count(o->operations_added, f, sides, out);
	if (!strcmp(f->path, "metrics.errors_encountered"))
		return put_count(o->errors_added, f, sides, out);
	return false;
}

int model_merge_agent(const char *old, size_t old_len, const char *text, size_t len, const struct agent_owned *owned, struct reason *reason, struct buf *out)
{
	return model_merge(&agent_ops, &(struct model_text){old, old_len}, &(struct model_text){text, len}, owned, reason, out);
}

int model_edit_agent(const char *text, size_t len, const struct agent_owned *owned, const char *status, struct reason *reason, struct buf *out)
{
	return model_edit(&agent_ops, &(struct model_text){text, len}, owned, status, owned->fill, reason, out);
}
