/* SPDX-License-Identifier: MIT
 *
 * See vfile_fixture.h.
 */
#include "vfile_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "env_mem.h"
#include "session_fixture.h"
#include "vfile_recovery.h"

/* Whatever an agent says of itself must come out as YAML. */
#define HOSTILE_AGENT "agent: {type: \"a: \\\"b\\\"\\n- [{# \\x01\\u2028 é\", status: active}\n"

static struct vfile_world *world_new(const char *project)
{
	struct vfile_world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->env = env_mem_new(7);
	w->fs.engine = fixture_open_ok(w->env);
	w->fs.project = (char *)project;
	w->fs.started_ns = env_time_ns(w->env);
	w->fs.vnodes = vnode_table_new();
	w->fs.recovery = recovery_cache_new();
	return w;
}

int vfile_project_setup(void **state)
{
	struct vfile_world *w = world_new("/tmp/a \"quoted\" it's\n$(id) project");

	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s1"), 0);
	fixture_put(w->fs.engine, "state/sessions/s1/state/a.yaml", "a: 1\n");
	fixture_put(w->fs.engine, "state/sessions/s1/state/a.yaml", "a: 2\n");
	assert_int_equal(fixture_save_text(w->fs.engine, "state/sessions/s1/state/a.yaml", "a: {\n"), -EBADMSG);
	fixture_put(w->fs.engine, "notes \"x\"\n\\y", "free\n");
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s1/checkpoints/before"), 0);
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/over"), 0);
	fixture_put(w->fs.engine, "state/sessions/over/session.yaml", "session: {status: completed}\n");
	fixture_put(w->fs.engine, "state/sessions/s1/agents/coder.yaml", HOSTILE_AGENT);
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s1/agents/.sync/sync"), 0);
	fixture_put(w->fs.engine, "state/.locks/by \"x\": 1", "4242\n");
	*state = w;
	return 0;
}

int vfile_sessions_setup(void **state)
{
	struct vfile_world *w = world_new("/tmp/project");

	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s1"), 0);
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s2"), 0);
	*state = w;
	return 0;
}

int vfile_world_teardown(void **state)
{
	struct vfile_world *w = *state;

	vnode_table_free(w->fs.vnodes);
	recovery_cache_free(w->fs.recovery);
	fixture_close_ok(w->fs.engine);
	env_mem_free(w->env);
	free(w);
	return 0;
}

void vfile_world_put(struct vfile_world *w, const char *path, const char *text)
{
	fixture_put(w->fs.engine, path, text);
}

void vfile_world_spoil(struct vfile_world *w, const char *text)
{
	fixture_close_ok(w->fs.engine);
	fixture_spoil(w->env, text);
	w->fs.engine = fixture_open_ok(w->env);
}

bool vfile_is_there(struct vfile_world *w, const char *dir, const char *name)
{
	return vnode_lookup(&w->fs, dir, name);
}

struct buf vfile_read_node(struct fs *fs, const struct vnode *v)
{
	struct buf out = BUF_INIT;
	uint64_t size = 0;

	if (v->row->kind != VFILE_RANGE) {
		assert_int_equal(vnode_render(fs, v, &out), 0);
		return out;
	}
	assert_int_equal(v->row->size(fs, v, &size), 0);
	for (;;) {
		size_t before = out.len;

		assert_int_equal(v->row->range(fs, v, out.len, 777, &out), 0);
		assert_true(out.len - before <= 777);
		if (out.len == before)
			break;
	}
	assert_int_equal(out.len, size);
	return out;
}

struct buf vfile_read(struct vfile_world *w, const char *dir, const char *name)
{
	const struct vnode *v = vnode_lookup(&w->fs, dir, name);

	if (!v)
		fail_msg("no %s/%s", dir, name);
	return vfile_read_node(&w->fs, v);
}

char *vfile_text(struct vfile_world *w, const char *dir, const char *name)
{
	struct buf text = vfile_read(w, dir, name);

	return buf_take(&text, NULL);
}

struct doc *vfile_doc(struct vfile_world *w, const char *dir, const char *name)
{
	cleanup_free char *text = vfile_text(w, dir, name);
	struct reason why = {0};
	struct doc *doc;

	if (doc_parse_yaml(text, strlen(text), &why, &doc))
		fail_msg("%s/%s: line %u: %s\n%s", dir, name, why.line, why.text, text);
	return doc;
}

const char *vfile_value(const struct doc_node *root, const char *path)
{
	const struct doc_node *n = doc_get_path(root, path);

	if (!n)
		fail_msg("no %s", path);
	return n->type == DOC_NULL ? "(null)" : n->text;
}

void vfile_expect(const struct doc_node *root, const char *path, const char *want)
{
	assert_string_equal(vfile_value(root, path), want);
}

void vfile_expect_in(struct vfile_world *w, const char *dir, const char *name, const char *path, const char *want)
{
	struct doc *doc = vfile_doc(w, dir, name);

	vfile_expect(doc_root(doc), path, want);
	doc_free(doc);
}

int64_t vfile_time(const struct doc_node *root, const char *path)
{
	int64_t ns;

	if (time_parse(vfile_value(root, path), &ns))
		fail_msg("%s is no time: %s", path, vfile_value(root, path));
	return ns;
}

const struct doc_node *vfile_item(const struct doc_node *list, const char *id, const char *session)
{
	for (const struct doc_node *n = list ? list->child : NULL; n; n = n->next)
		if (!strcmp(vfile_value(n, "id"), id) && (!session || !strcmp(vfile_value(n, "session"), session)))
			return n;
	fail_msg("%s is not listed", id);
	return NULL;
}
