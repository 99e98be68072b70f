/* SPDX-License-Identifier: MIT
 *
 * See session_fixture.h.
 */
#include "session_fixture.h"

#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "doc.h"
#include "env_mem.h"
#include "upkeep.h"

int fixture_env_setup(void **state)
{
	*state = env_mem_new(5);
	env_mem_set_clock(*state, FIXTURE_START_NS, 1000);
	return 0;
}

int fixture_env_teardown(void **state)
{
	env_mem_free(*state);
	return 0;
}

struct engine *fixture_open_session(struct env *env)
{
	struct engine *e = fixture_open_ok(env);

	if (!fixture_ino(e, S1))
		assert_int_equal(fixture_mkdir(e, S1), 0);
	return e;
}

void fixture_put(struct engine *e, const char *path, const char *text)
{
	int r = fixture_save_text(e, path, text);

	if (r)
		fail_msg("%s cannot be saved: %s", path, strerror(-r));
}

struct engine *fixture_open_upkept(struct env *env, const char *yaml)
{
	struct engine *e = fixture_open_session(env);

	if (yaml)
		fixture_put(e, S1 "/session.yaml", yaml);
	(void)upkeep_run(e);
	return e;
}

void fixture_close_ok(struct engine *e)
{
	assert_int_equal(engine_close(e), 0);
}

struct engine *fixture_reopen(struct env *env, struct engine *e)
{
	fixture_close_ok(e);
	return fixture_open_ok(env);
}

int fixture_restore(struct engine *e, const char *checkpoint, struct restore_result *ret)
{
	struct restore_result result;
	struct request q;
	int r;

	fixture_request(&q);
	ret = ret ? ret : &result;
	*ret = (struct restore_result){0};
	r = checkpoint_restore(e, &q, "s1", checkpoint, ret);
	return r ? r : engine_wait(e, q.seq, JOURNAL_DURABLE);
}

void fixture_spoil(struct env *env, const char *text)
{
	static const char path[] = "journal/00000001.seg";
	static char data[2u << 20];
	ssize_t len = env_mem_read(env, path, data, sizeof(data), 0);
	const char *at = len > 0 ? memmem(data, (size_t)len, text, strlen(text)) : NULL;

	assert_non_null(at);
	assert_int_equal(env_mem_patch(env, path, "#", 1, (uint64_t)(at - data) + strlen(text) / 2), 0);
}

/* ---- time ---- */

void fixture_later(struct env *env, struct engine *e, int64_t seconds)
{
	env_mem_advance(env, seconds * NS_PER_S);
	(void)upkeep_run(e);
}

unsigned fixture_pass(struct env *env, struct engine *e, int64_t seconds)
{
	int64_t end_ns = env_monotonic_ns(env) + seconds * NS_PER_S, now_ns;
	unsigned runs = 0;

	for (int64_t next_ns = upkeep_run(e); (now_ns = env_monotonic_ns(env)) < end_ns; runs++) {
		env_mem_advance(env, MAX(MIN(next_ns, end_ns) - now_ns, 0));
		next_ns = upkeep_run(e);
	}
	return runs;
}

/* ---- who is there ---- */

struct session *fixture_session(struct engine *e, const char *id)
{
	struct session *s = registry_session(e, id);

	assert_non_null(s);
	return s;
}

struct agent *fixture_agent(struct engine *e, const char *session, const char *id)
{
	struct agent *a = registry_agent(fixture_session(e, session), id);

	assert_non_null(a);
	return a;
}

void fixture_heartbeat(struct engine *e, const char *path)
{
	assert_true(upkeep_heartbeat(e, fixture_ino(e, path)));
}

void fixture_expect_status(struct engine *e, const char *agent, const char *status)
{
	char path[300];
	const char *text;
	struct agent_fields f;

	snprintf(path, sizeof(path), AGENTS "%s.yaml", agent);
	text = fixture_text(e, path);
	assert_int_equal(agent_fields_parse(text, strlen(text), &f), 0);
	assert_string_equal(agent_status_name(f.status), status);
	assert_string_equal(agent_status_name(fixture_agent(e, "s1", agent)->fields.status), status);
	agent_fields_release(&f);
}

/* ---- what files and events say ---- */

void fixture_expect_says(struct engine *e, const char *path, const char *text)
{
	const char *is = fixture_text(e, path);

	if (!strstr(is, text))
		fail_msg("%s does not say %s: %s", path, text, is);
}

/* The node of a member; *@ret_doc is the caller's. */
static const struct doc_node *member_of(struct engine *e, const char *path, const char *member, struct doc **ret_doc)
{
	const char *text = fixture_text(e, path);

	if (doc_parse_yaml(text, strlen(text), NULL, ret_doc))
		fail_msg("%s is malformed: %s", path, text);
	return doc_get_path(doc_root(*ret_doc), member);
}

const char *fixture_member(struct engine *e, const char *path, const char *member)
{
	static char texts[4][4096];
	static size_t next;
	char *out = texts[next++ % ARRAY_SIZE(texts)];
	size_t len = 0;
	struct doc *doc;
	const struct doc_node *n = member_of(e, path, member, &doc);

	out[0] = '\0';
	if (!n || n->type != DOC_SEQUENCE)
		snprintf(out, sizeof(texts[0]), "%s", !n ? "(none)" : n->type == DOC_NULL ? "null" : n->text);
	for (n = n && n->type == DOC_SEQUENCE ? n->child : NULL; n && len < sizeof(texts[0]); n = n->next)
		len += (size_t)snprintf(out + len, sizeof(texts[0]) - len, "%s%s", n->text, n->next ? " " : "");
	doc_free(doc);
	return out;
}

size_t fixture_member_count(struct engine *e, const char *path, const char *member)
{
	struct doc *doc;
	const struct doc_node *n = member_of(e, path, member, &doc);
	size_t count = 0;

	assert_true(n && n->type == DOC_SEQUENCE);
	for (n = n->child; n; n = n->next)
		count++;
	doc_free(doc);
	return count;
}

unsigned fixture_count_session_events(struct engine *e, const char *session, const char *text)
{
	struct event_log_key key = {.session = session};
	struct buf out = BUF_INIT;
	uint64_t bytes, count;
	unsigned n = 0;

	engine_lock(e);
	event_log_size(engine_event_logs(e), &key, &bytes, &count);
	engine_unlock(e);
	assert_int_equal(engine_read_events(e, &key, 0, (size_t)bytes, &out), 0);
	for (char *line = out.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		n += strstr(line, text) != NULL;
	}
	buf_release(&out);
	return n;
}

unsigned fixture_count_events(struct engine *e, const char *text)
{
	return fixture_count_session_events(e, NULL, text);
}
