/* SPDX-License-Identifier: MIT
 *
 * Virtual files without a mount: an engine in memory, the vnode table over it. Each row of the table is listed or looked up and
 * then read whole: its text must be what its name says it is (YAML, JSON lines, OpenMetrics…) and as long as stat(2) says.
 * A row without a sample below fails test_each_row().
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "doc.h"
#include "node_id.h"
#include "vfile_fixture.h"

static bool ends_with(const char *text, const char *end)
{
	return strlen(text) >= strlen(end) && !strcmp(text + strlen(text) - strlen(end), end);
}

static void check_text(const struct vnode *v, const struct buf *text)
{
	struct reason why = {0};
	const char *data = text->data ? text->data : "";

	if (ends_with(v->path, ".yaml") && doc_check_yaml(data, text->len, &why))
		fail_msg("%s: line %u: %s\n%s", v->path, why.line, why.text, data);
	if (ends_with(v->path, ".jsonl")) {
		assert_true(text->len && data[text->len - 1] == '\n');
		if (doc_check_jsonl(data, text->len, &why))
			fail_msg("%s: line %u: %s", v->path, why.line, why.text);
	}
	assert_true(text->len > 0);
}

struct walk {
	struct fs *fs;
	unsigned seen[64]; /* by row */
	unsigned count;
	char last[256];
};

/* It shows a directory that was there then. */
static void check_view(struct fs *fs, const struct vnode *v)
{
	struct dentry **found;
	struct view view;
	size_t count;

	assert_true(v->row->view(fs, v, &view));
	assert_in_range(view.seq, 1, engine_head_seq(fs->engine));
	engine_lock(fs->engine);
	assert_int_equal(tree_list(engine_tree(fs->engine), tree_node(engine_tree(fs->engine), view.root_ino), view.seq, &found, &count), 0);
	engine_unlock(fs->engine);
	free(found);
}

static void drop_last(struct buf *path)
{
	char *slash = strrchr(path->data, '/');

	assert_true(path->len > 0);
	path->len = slash ? (size_t)(slash - path->data) : 0;
	path->data[path->len] = '\0';
}

/* A link leads from where it is to something real. */
static void check_link(struct fs *fs, const struct vnode *v)
{
	struct buf target = vfile_read_node(fs, v), path = BUF_INIT;
	const char *to = target.data;

	buf_append_str(&path, v->path);
	drop_last(&path);
	for (; !strncmp(to, "../", 3); to += 3)
		drop_last(&path);
	buf_printf(&path, "%s%s", path.len ? "/" : "", to);
	if (!fixture_ino(fs->engine, path.data))
		fail_msg("%s leads to %s, which is %s: nothing", v->path, target.data, path.data);
	buf_release(&target);
	buf_release(&path);
}

static int visit(void *arg, const struct vnode *v)
{
	struct walk *w = arg;
	size_t rows;
	const struct vfile_row *table = vfile_table(&rows);
	const char *slash = strrchr(v->path, '/');
	struct buf text;
	struct stat st;
	char *dir;

	w->count++;
	w->seen[v->row - table]++;
	snprintf(w->last, sizeof(w->last), "%s", v->path);
	assert_true(node_id_is_virtual(v->id));
	assert_ptr_equal(vnode_get(w->fs, v->id), v);
	dir = strndup(v->path, slash ? (size_t)(slash - v->path) : 0);
	assert_ptr_equal(vnode_lookup(w->fs, dir, slash ? slash + 1 : v->path), v);
	free(dir);
	vnode_stat(w->fs, v, &st);
	assert_int_equal(st.st_ino, v->id);
	assert_int_equal(st.st_mode & 07777, v->row->mode);
	assert_true(st.st_mtim.tv_sec >= 0);
	if (v->row->kind == VFILE_VIEW) {
		check_view(w->fs, v);
		return 0;
	}
	if (v->row->kind == VFILE_LINK) {
		check_link(w->fs, v);
		return 0;
	}
	text = vfile_read_node(w->fs, v);
	if (!strstr(v->path, "metrics"))
		assert_int_equal(st.st_size, text.len);
	check_text(v, &text);
	buf_release(&text);
	return 0;
}

static const char *const directories[] = {"", "status", "state/events", "state/sessions/s1/events", "transactions/committed", "transactions/rollbacks",
	"transactions/pending", "cache/checksums", "replay", "state/sessions/s1/checkpoints/before", "state/sessions/s1/recovery", "state/active",
	"state/completed", "state/sessions/s1", "agents/registry", "agents/status"};

static void test_each_row(void **state)
{
	struct vfile_world *w = *state;
	struct walk walk = {.fs = &w->fs};
	struct request q;
	struct tree_attr attr;
	struct draft *d;
	size_t rows;
	const struct vfile_row *table = vfile_table(&rows);

	fixture_request(&q);
	assert_int_equal(engine_create(w->fs.engine, &q, fixture_ino(w->fs.engine, "state/sessions/s1/state"), "open.txt", 0644, &attr), 0);
	assert_int_equal(draft_open(w->fs.engine, attr.ino, DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_write(d, &q.actor, 0, "not yet", 7), 0);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		assert_int_equal(vnode_list(&w->fs, directories[i], visit, &walk), 0);
	for (size_t i = 0; i < rows; i++) {
		const char *last = strrchr(table[i].pattern, '/');
		bool listed = !table[i].unlisted && (!last || strcmp(last, "/*") || table[i].list);

		if (listed && !walk.seen[i])
			fail_msg("row %zu, %s: no sample in this test", i, table[i].pattern);
		assert_true(table[i].render || table[i].range || table[i].view || (table[i].ready && table[i].begin && table[i].unlisted));
		assert_true((table[i].mode & 0222) == 0 || table[i].write || table[i].kind == VFILE_VIEW || table[i].kind == VFILE_LINK ||
			    !strncmp(table[i].pattern, "state/sessions/*/", 17)); /* what rm -r of a session must not ask about */
	}
	draft_close(d);
}

static void test_directories(void **state)
{
	struct vfile_world *w = *state;
	static const char *const others[] = {"state", "state/sessions", "state/sessions/s1/state", "state/sessions/s1/agents", "cache", "agents"};

	for (int twice = 0; twice < 2; twice++) {
		for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
			assert_true(vnode_directory(&w->fs, *directories[i] ? fixture_ino(w->fs.engine, directories[i]) : TREE_ROOT_INO));
		for (size_t i = 0; i < ARRAY_SIZE(others); i++)
			assert_false(vnode_directory(&w->fs, fixture_ino(w->fs.engine, others[i])));
		assert_false(vnode_directory(&w->fs, 999999));
	}
}

static void test_names_that_are_none(void **state)
{
	struct vfile_world *w = *state;
	static const struct {
		const char *dir, *name;
	} none[] = {
		{"", "README"},
		{"", "status/health.yaml/x"},
		{"status", "config.yaml"},
		{"state/events", "2026-02-30.jsonl"},
		{"state/events", "1999-01-01.jsonl"},
		{"state/events", "x"},
		{"transactions/committed", "nonsense.yaml"},
		{"transactions/committed", "tx-20261122T100000.000000Z-0000000001.yaml"},
		{"transactions/committed", "tx-.yaml"},
		{"transactions/committed", "tx-1.yaml"},
		{"transactions/committed", ".yaml"},
		{"transactions/committed", "tx-d1.yaml"},
		{"transactions/pending", "tx-20261122T100000.000000Z-d1.yaml"},
		{"transactions/pending", "tx-d.yaml"},
		{"replay", "0"},
		{"replay", "01"},
		{"replay", "99999999"},
		{"replay", "x"},
		{"replay", "9999-01-01"},
		{"replay", "1970-01-01"},
		{"state/sessions/s1/events", "other"},
		{"state/sessions//events", "session.jsonl"},
		{"state/sessions/s1/x/events", "session.jsonl"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (vnode_lookup(&w->fs, none[i].dir, none[i].name))
			fail_msg("there is %s/%s", none[i].dir, none[i].name);
}

/* A file that waits: nothing until something has happened, and then always the same; found by name only. */
static void test_wait(void **state)
{
	struct vfile_world *w = *state;
	static const char dir[] = "state/sessions/s1/agents/.sync/sync";
	const struct vnode *v = vnode_lookup(&w->fs, dir, "wait");
	struct walk walk = {.fs = &w->fs};
	struct buf text = BUF_INIT;
	uint64_t subject = 0;

	assert_non_null(v);
	assert_int_equal(v->row->kind, VFILE_WAIT);
	assert_int_equal(vnode_list(&w->fs, dir, visit, &walk), 0);
	assert_int_equal(walk.count, 0);
	assert_int_equal(v->row->begin(&w->fs, v, &subject), 0);
	assert_int_equal(v->row->ready(&w->fs, v, subject, &text), 0);
	assert_int_equal(text.len, 0);
	assert_int_equal(fixture_rmdir(w->fs.engine, dir), 0);
	assert_null(vnode_lookup(&w->fs, dir, "wait"));
	assert_int_equal(v->row->begin(&w->fs, v, &subject), -ENOENT);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(fixture_mkdir(w->fs.engine, dir), again ? -EEXIST : 0);
		assert_int_equal(v->row->ready(&w->fs, v, subject, &text), 1);
		assert_string_equal(text.data, "failed: removed\n");
		buf_release(&text);
	}
}

/* ---- the rest ---- */

static void test_sha256sums(void **state)
{
	struct vfile_world *w = *state;
	struct buf text = vfile_read(w, "cache/checksums", "SHA256SUMS");
	char want[200], hex[SHA256_HEX_BYTES];
	struct sha256 sha;
	const struct vnode *v = vnode_lookup(&w->fs, "cache/checksums", "SHA256SUMS");
	struct stat st;

	sha256_of("a: 2\n", 5, &sha);
	sha256_hex(&sha, hex);
	snprintf(want, sizeof(want), "%s  state/sessions/s1/state/a.yaml\n", hex);
	assert_non_null(strstr(text.data, want));
	sha256_of("free\n", 5, &sha);
	sha256_hex(&sha, hex);
	snprintf(want, sizeof(want), "\\%s  notes \"x\"\\n\\\\y\n", hex);
	assert_non_null(strstr(text.data, want));
	assert_non_null(strstr(text.data, "  status/config.yaml\n"));
	assert_null(strstr(text.data, "README.md"));
	vnode_stat(&w->fs, v, &st);
	assert_int_equal(st.st_size, text.len);
	buf_release(&text);
}

static void test_health(void **state)
{
	struct vfile_world *w = *state;
	struct buf text = vfile_read(w, "status", "health.yaml");
	char want[64];
	struct doc *doc;

	assert_int_equal(strncmp(text.data, "status: healthy\n", 16), 0);
	assert_int_equal(doc_parse_yaml(text.data, text.len, NULL, &doc), 0);
	vfile_expect(doc_root(doc), "project", w->fs.project);
	snprintf(want, sizeof(want), "%d", (int)getpid());
	vfile_expect(doc_root(doc), "pid", want);
	snprintf(want, sizeof(want), "%llu", (unsigned long long)engine_head_seq(w->fs.engine));
	vfile_expect(doc_root(doc), "head_sequence", want);
	doc_free(doc);
	buf_release(&text);
	w->fs.read_only = true;
	text = vfile_read(w, "status", "health.yaml");
	assert_int_equal(strncmp(text.data, "status: read-only\n", 18), 0);
	assert_non_null(strstr(text.data, "-o ro"));
	w->fs.read_only = false;
	buf_release(&text);
}

static uint64_t view_seq(struct vfile_world *w, const struct vnode *v)
{
	struct view view;

	assert_true(v->row->view(&w->fs, v, &view));
	assert_int_equal(view.root_ino, TREE_ROOT_INO);
	assert_int_equal(view.above_ino, 0);
	return view.seq;
}

static void test_replay_names(void **state)
{
	struct vfile_world *w = *state;
	uint64_t head = engine_head_seq(w->fs.engine);
	const struct vnode *v;
	char name[TIME_TEXT_BYTES];
	int64_t time_ns;

	snprintf(name, sizeof(name), "%llu", (unsigned long long)head);
	v = vnode_lookup(&w->fs, "replay", name);
	assert_non_null(v);
	assert_int_equal(view_seq(w, v), head);
	v = vnode_lookup(&w->fs, "replay", "1");
	assert_int_equal(view_seq(w, v), 1);
	engine_lock(w->fs.engine);
	time_ns = engine_seq_time(w->fs.engine, 2);
	engine_unlock(w->fs.engine);
	time_format(time_ns + 1000, name);
	v = vnode_lookup(&w->fs, "replay", name);
	assert_non_null(v);
	assert_in_range(view_seq(w, v), 2, head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_row, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_directories, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_names_that_are_none, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_wait, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_sha256sums, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_health, vfile_project_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_replay_names, vfile_project_setup, vfile_world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
