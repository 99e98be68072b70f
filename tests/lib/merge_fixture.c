/* SPDX-License-Identifier: MIT
 *
 * See merge_fixture.h.
 */
#include "merge_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"

const struct session_owned merge_session_owned = {.id = "s1",
	.created_ns = MERGE_NS,
	.last_updated_ns = MERGE_NS + 3600 * NS_PER_S,
	.active_agents = "[\"a\", \"b\"]",
	.last_checkpoint = "\"c2\"",
	.last_backup = "null",
	.recovery_points = "[\"c2\", \"c1\"]"};
const struct session_owned merge_session_nothing = {0};

const struct agent_owned merge_agent_owned = {.id = "coder-1",
	.session_id = "s1",
	.registered_ns = MERGE_NS,
	.last_updated_ns = MERGE_NS + 3600 * NS_PER_S,
	.heartbeat_ns = MERGE_NS + 3600 * NS_PER_S};
const struct agent_owned merge_agent_nothing = {0};

int merge_save(struct merge_result *res, enum model_kind kind, const char *old, const char *text, const void *owned)
{
	size_t old_len = old ? strlen(old) : 0;
	int r;

	buf_clear(&res->text);
	buf_append_str(&res->text, "kept");
	res->why = (struct reason){0};
	r = kind == MODEL_SESSION ? model_merge_session(old, old_len, text, strlen(text), owned, &res->why, &res->text)
				  : model_merge_agent(old, old_len, text, strlen(text), owned, &res->why, &res->text);
	assert_memory_equal(res->text.data, "kept", 4);
	if (r)
		assert_int_equal(res->text.len, 4);
	else
		memmove(res->text.data, res->text.data + 4, res->text.len - 3), res->text.len -= 4;
	return r;
}

const char *merge_saved(struct merge_result *res, enum model_kind kind, const char *old, const char *text, const void *owned)
{
	if (merge_save(res, kind, old, text, owned))
		fail_msg("%s: line %u: %s", text, res->why.line, res->why.text);
	return res->text.data;
}

void merge_refused(enum model_kind kind, const char *old, const char *text, uint32_t line, const char *sentence)
{
	struct merge_result res = {0};

	if (merge_save(&res, kind, old, text, kind == MODEL_SESSION ? (const void *)&merge_session_owned : &merge_agent_owned) != -EBADMSG)
		fail_msg("accepted: %s", text);
	assert_string_equal(res.why.text, sentence);
	assert_int_equal(res.why.line, line);
	assert_string_equal(res.why.rule, model_rule_name(kind));
	buf_release(&res.text);
}

int merge_edit(struct merge_result *res, enum model_kind kind, const char *text, const void *owned, const char *status)
{
	buf_clear(&res->text);
	res->why = (struct reason){0};
	return kind == MODEL_SESSION ? model_edit_session(text, strlen(text), owned, status, &res->why, &res->text)
				     : model_edit_agent(text, strlen(text), owned, status, &res->why, &res->text);
}

const char *merge_edited(struct merge_result *res, enum model_kind kind, const char *text, const void *owned, const char *status)
{
	if (merge_edit(res, kind, text, owned, status))
		fail_msg("%s: line %u: %s", text, res->why.line, res->why.text);
	return res->text.data;
}

const char merge_new_session[] = "session:\n"
				 "  id: \"s1\"\n"
				 "  type: \"general\"\n"
				 "  status: \"active\"\n"
				 "  created_at: \"" MERGE_AT "\"\n"
				 "  last_updated: \"" MERGE_LATER "\"\n"
				 "context: {}\n"
				 "state:\n"
				 "  current_operation: null\n"
				 "  progress_percentage: 0\n"
				 "  active_agents: [\"a\", \"b\"]\n"
				 "  last_checkpoint: \"c2\"\n"
				 "configuration:\n"
				 "  auto_checkpoint: true\n"
				 "  checkpoint_interval: 300\n"
				 "  max_session_duration: 14400\n"
				 "  backup_retention: 7\n"
				 "recovery:\n"
				 "  enabled: true\n"
				 "  last_backup: null\n"
				 "  recovery_points: [\"c2\", \"c1\"]\n";

const char merge_new_agent[] = "agent:\n"
			       "  id: \"coder-1\"\n"
			       "  type: \"general\"\n"
			       "  session_id: \"s1\"\n"
			       "  status: \"initializing\"\n"
			       "  registered_at: \"" MERGE_AT "\"\n"
			       "  last_updated: \"" MERGE_LATER "\"\n"
			       "state: {}\n"
			       "metrics:\n"
			       "  operations_completed: 0\n"
			       "  errors_encountered: 0\n"
			       "  total_execution_time: 0\n"
			       "  last_heartbeat: \"" MERGE_LATER "\"\n"
			       "coordination:\n"
			       "  dependencies: []\n"
			       "  subscribers: []\n"
			       "  event_subscriptions: []\n";

const char *merge_value_at(struct merge_result *res, const char *text, const char *path)
{
	const struct doc_node *value;
	struct doc *doc;

	assert_int_equal(doc_parse_yaml(text, strlen(text), NULL, &doc), 0);
	value = doc_get_path(doc_root(doc), path);
	buf_clear(&res->text);
	if (!value)
		buf_append_str(&res->text, "missing");
	else if (value->type == DOC_SEQUENCE)
		for (const struct doc_node *i = value->child; i; i = i->next)
			buf_printf(&res->text, "%s,", i->text);
	else
		buf_append_str(&res->text, value->type == DOC_NULL ? "null" : value->type == DOC_MAPPING ? "mapping" : value->text);
	doc_free(doc);
	return res->text.data ? res->text.data : "";
}

const char *merge_other_value(const struct model_field *f, const char **ret_said)
{
	switch (f->type) {
	case MODEL_TEXT:
	case MODEL_ID:
		*ret_said = "other";
		return "'other'";
	case MODEL_ONE_OF:
		*ret_said = "completed";
		return "completed";
	case MODEL_WHOLE:
	case MODEL_NUMBER:
		*ret_said = "17";
		return "17";
	case MODEL_FLAG:
		*ret_said = "false";
		return "false";
	case MODEL_TIME:
		*ret_said = "2020-02-03T04:05:06Z";
		return "2020-02-03T04:05:06Z";
	case MODEL_MAPPING:
		*ret_said = "mapping";
		return "{x: 1}";
	case MODEL_TEXTS:
	case MODEL_IDS:
		break;
	}
	*ret_said = "x,y,";
	return "[x, 'y']";
}

const char *merge_fallback_said(struct merge_result *res, const struct model_field *f)
{
	char text[200];

	snprintf(text, sizeof(text), "k: %s\n", f->fallback);
	return merge_value_at(res, text, "k");
}
