/* SPDX-License-Identifier: MIT
 *
 * Saving session.yaml: the transitions of its status, and what the daemon keeps current in it. The rest is model_merge.c's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model_merge.h"

static int check_status(const struct model_sides *sides, struct reason *reason);
static bool status_stays(const struct model_sides *sides);
static bool put_owned(const void *owned, const struct model_field *f, const struct model_sides *sides, struct buf *out);

static const struct model_kind_ops session_ops = {
	.kind = MODEL_SESSION,
	.status_path = "session.status",
	.check_status = check_status,
	.status_stays = status_stays,
	.put_owned = put_owned,
};

/* @before: NULL when there is none. */
static bool may_be(const enum session_status *before, enum session_status status)
{
	return before ? session_status_may_become(*before, status) : status != SESSION_EXPIRED;
}

static int refuse_status(const enum session_status *before, enum session_status status, const struct doc_node *value, struct reason *reason)
{
	char text[sizeof(reason->text)], allowed[160] = "";
	size_t at = 0;

	for (size_t i = 0; i <= SESSION_EXPIRED; i++)
		if (may_be(before, (enum session_status)i))
			at += (size_t)snprintf(allowed + at, sizeof(allowed) - at, "%s%s", at ? ", " : "", session_status_name((enum session_status)i));
	if (before)
		(void)snprintf(text, sizeof(text), "\"%s\" cannot become \"%s\"; allowed now: %s", session_status_name(*before), session_status_name(status),
			allowed); /* fits */
	else
		(void)snprintf(text, sizeof(text), "a new session cannot be \"%s\"; allowed: %s", session_status_name(status), allowed); /* fits */
	return model_refuse_status(&session_ops, value, reason, text);
}

/* A template says what a session begins with, and by the time it is saved the session is active already. */
static bool status_stays(const struct model_sides *sides)
{
	const struct doc_node *value = doc_get_path(sides->root, session_ops.status_path);
	const struct doc_node *old_value = model_field_get(MODEL_SESSION, sides->old, session_ops.status_path);
	enum session_status status, before;

	return value && session_status_parse(value->text, &status) && status == SESSION_INITIALIZING && old_value &&
	       session_status_parse(old_value->text, &before) && before == SESSION_ACTIVE;
}

/* A save without status says the default, which may follow any. An old text without a valid status, from before it was checked, is none. */
static int check_status(const struct model_sides *sides, struct reason *reason)
{
	const struct doc_node *value = doc_get_path(sides->root, session_ops.status_path);
	const struct doc_node *old_value = model_field_get(MODEL_SESSION, sides->old, session_ops.status_path);
	enum session_status status, old_status, *before = NULL;

	if (!value || !session_status_parse(value->text, &status))
		return 0;
	if (old_value && session_status_parse(old_value->text, &old_status))
		before = &old_status;
	return may_be(before, status) || status_stays(sides) ? 0 : refuse_status(before, status, value, reason);
}

static bool put_owned(const void *owned, const struct model_field *f, const struct model_sides *sides, struct buf *out)
{
	const struct session_owned *o = owned;
	const struct {
		const char *path, *flow;
	} flows[] = {
		{"state.active_agents", o->active_agents},
		{"state.last_checkpoint", o->last_checkpoint},
		{"recovery.last_backup", o->last_backup},
		{"recovery.recovery_points", o->recovery_points},
	};

	(void)sides;
	if (!strcmp(f->path, "session.id") && o->id) {
		buf_put_yaml_string(out, o->id, strlen(o->id));
		return true;
	}
	if (!strcmp(f->path, "session.created_at"))
		return model_put_time(o->created_ns, out);
	if (!strcmp(f->path, "session.last_updated"))
		return model_put_time(o->last_updated_ns, out);
	for (size_t i = 0; i < ARRAY_SIZE(flows); i++)
		if (!strcmp(f->path, flows[i].path) && flows[i].flow) {
			buf_append_str(out, flows[i].flow);
			return true;
		}
	return false;
}

int model_merge_session(
	const char *old, size_t old_len, const char *text, size_t len, const struct session_owned *owned, struct reason *reason, struct buf *out)
{
	return model_merge(&session_ops, &(struct model_text){old, old_len}, &(struct model_text){text, len}, owned, reason, out);
}

int model_edit_session(const char *text, size_t len, const struct session_owned *owned, const char *status, struct reason *reason, struct buf *out)
{
	return model_edit(&session_ops, &(struct model_text){text, len}, owned, status, owned->fill, reason, out);
}
