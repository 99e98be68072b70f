/* SPDX-License-Identifier: MIT
 *
 * What a file of the state model says, as a struct. Lenient: the file may be from before it was checked, so what is not valid by its row is as if it
 * was missing, and a text that cannot be parsed says nothing at all. Defaults are those of the table.
 */
#include "model.h"

#include <errno.h>
#include <string.h>

#include "model_schema.h"

struct source {
	enum model_kind kind;
	const struct doc_node *root; /* NULL: not YAML, or empty */
};

/* The value, or NULL for missing, nonsense and null. */
static const struct doc_node *get(const struct source *s, const char *path)
{
	const struct doc_node *value = model_field_get(s->kind, s->root, path);

	return value && value->type != DOC_NULL ? value : NULL;
}

static const char *fallback(const struct source *s, const char *path)
{
	return model_field(s->kind, path)->fallback;
}

static uint64_t get_whole(const struct source *s, const char *path)
{
	const struct doc_node *value = get(s, path);
	uint64_t n = 0;

	if (value)
		return model_whole_of(value);
	(void)parse_u64(fallback(s, path), &n); /* null is none: 0 */
	return n;
}

static bool get_flag(const struct source *s, const char *path)
{
	const struct doc_node *value = get(s, path);

	return value ? value->boolean : !strcmp(fallback(s, path), "true");
}

static int64_t get_time(const struct source *s, const char *path)
{
	const struct doc_node *value = get(s, path);
	int64_t ns = 0;

	return value && model_time_read(value, &ns) && ns > 0 ? ns : 0;
}

/* An owned word: of the value, or of the default, which is quoted. */
static char *get_word(const struct source *s, const char *path)
{
	const struct doc_node *value = get(s, path);
	const char *text = fallback(s, path);

	return value ? strdup(value->text) : strndup(text + 1, strlen(text) - 2);
}

void session_fields_release(struct session_fields *f)
{
	if (!f)
		return;
	free(f->type);
	free(f->current_operation);
	*f = (struct session_fields){0};
}

static int session_fill(const struct source *s, struct session_fields *f)
{
	const struct doc_node *value = get(s, "session.status");

	*f = (struct session_fields){.status = SESSION_ACTIVE};
	if (value)
		(void)session_status_parse(value->text, &f->status); /* a valid one */
	f->created_ns = get_time(s, "session.created_at");
	value = get(s, "state.progress_percentage");
	f->progress_percentage = value ? value->number : 0;
	f->auto_checkpoint = get_flag(s, "configuration.auto_checkpoint");
	f->checkpoint_interval_s = get_whole(s, "configuration.checkpoint_interval");
	f->max_session_duration_s = get_whole(s, "configuration.max_session_duration");
	f->backup_retention_days = get_whole(s, "configuration.backup_retention");
	f->heartbeat_interval_s = get_whole(s, "configuration.heartbeat_interval");
	f->sync_timeout_s = get_whole(s, "configuration.sync_timeout");
	f->recovery_enabled = get_flag(s, "recovery.enabled");
	f->type = get_word(s, "session.type");
	value = get(s, "state.current_operation");
	f->current_operation = value ? strdup(value->text) : NULL;
	return f->type && (f->current_operation || !value) ? 0 : -ENOMEM;
}

int session_fields_of(const struct doc_node *root, struct session_fields *ret)
{
	struct session_fields f;
	int r = session_fill(&(struct source){MODEL_SESSION, root}, &f);

	if (r)
		session_fields_release(&f);
	else
		*ret = f;
	return r;
}

int session_fields_parse(const char *text, size_t len, struct session_fields *ret)
{
	struct doc *doc = NULL;
	int r = doc_parse_yaml(text, len, NULL, &doc);

	if (r != -ENOMEM)
		r = session_fields_of(doc_root(doc), ret);
	doc_free(doc);
	return r;
}

static void list_free(char **list)
{
	for (char **i = list; i && *i; i++)
		free(*i);
	free(list);
}

void agent_fields_release(struct agent_fields *f)
{
	if (!f)
		return;
	free(f->type);
	list_free(f->event_subscriptions);
	*f = (struct agent_fields){0};
}

/* The texts of a checked list, NULL-terminated and owned; NULL for an empty one. 0 or -ENOMEM. */
static int get_texts(const struct source *s, const char *path, char ***ret)
{
	const struct doc_node *value = get(s, path);
	size_t count = 0;
	char **list;

	*ret = NULL;
	for (const struct doc_node *i = value ? value->child : NULL; i; i = i->next)
		count++;
	if (!count)
		return 0;
	list = calloc(count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	count = 0;
	for (const struct doc_node *i = value->child; i; i = i->next) {
		list[count] = strdup(i->text);
		if (!list[count++]) {
			list_free(list);
			return -ENOMEM;
		}
	}
	*ret = list;
	return 0;
}

static int agent_fill(const struct source *s, struct agent_fields *f)
{
	const struct doc_node *value = get(s, "agent.status");
	int r;

	*f = (struct agent_fields){.status = AGENT_INITIALIZING};
	if (value)
		(void)agent_status_parse(value->text, &f->status); /* a valid one */
	f->pid = (uint32_t)get_whole(s, "agent.pid");              /* at most 4194304 */
	f->registered_ns = get_time(s, "agent.registered_at");
	f->heartbeat_ns = get_time(s, "metrics.last_heartbeat");
	f->operations_completed = get_whole(s, "metrics.operations_completed");
	f->errors_encountered = get_whole(s, "metrics.errors_encountered");
	r = get_texts(s, "coordination.event_subscriptions", &f->event_subscriptions);
	f->type = get_word(s, "agent.type");
	return f->type ? r : -ENOMEM;
}

int agent_fields_of(const struct doc_node *root, struct agent_fields *ret)
{
	struct agent_fields f;
	int r = agent_fill(&(struct source){MODEL_AGENT, root}, &f);

	if (r)
		agent_fields_release(&f);
	else
		*ret = f;
	return r;
}

int agent_fields_parse(const char *text, size_t len, struct agent_fields *ret)
{
	struct doc *doc = NULL;
	int r = doc_parse_yaml(text, len, NULL, &doc);

	if (r != -ENOMEM)
		r = agent_fields_of(doc_root(doc), ret);
	doc_free(doc);
	return r;
}
