/* SPDX-License-Identifier: MIT
 *
 * The golden store of format version 1 (tests/data/golden-v1.tar.gz), as the first release wrote it. IT MUST LOAD FOR EVER: when this test
 * fails, the code is wrong, not the data. A new format gets a golden store of its own, beside this one.
 *
 * It was made once, before the format was fixed, with a fixed clock and random source:
 *     test_golden --make DIR >tests/data/golden-v1.txt && tar -C DIR --sort=name --owner=0 --group=0 --mtime=@0 -czf tests/data/golden-v1.tar.gz .
 * It holds every event type, every operation a script has, content in frames (plain and lz4) and in the content store, refused and
 * killed drafts, attributes, hard links, an index snapshot, transactions after it, and a draft that was open when the daemon died.
 * (The snapshot is derived: a later version may ignore it, but must not stumble over it.)
 * golden-v1.txt tells the tree's digest (fixture_digest) at some transactions and the event log's length and SHA-256.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine_script.h"
#include "env_mem.h"
#include "event_chain.h"
#include "layout.h"

#define SEED 1
#define POINTS 4
#define DRAFT_TEXT "a thought that was not finished"

/* ---- making it ---- */

static const struct step more_steps[] = {
	{.kind = STEP_MKDIR, .a = "docs"},
	{.kind = STEP_SAVE, .a = "docs/one.md", .b = "# One\n"},
	{.kind = STEP_LINK, .a = "docs/one.md", .b = "docs/also.md"},
	{.kind = STEP_XATTR, .a = "docs/one.md", .b = "user.colour"},
	{.kind = STEP_XATTR, .a = "docs", .b = "user.of-a-directory"},
	{.kind = STEP_CHMOD, .a = "docs/one.md", .n = 0640},
	{.kind = STEP_SYMLINK, .a = "docs/link", .b = "../state/notes"},
	{.kind = STEP_MKNOD, .a = "docs/fifo", .n = S_IFIFO | 0600},
	{.kind = STEP_SAVE_BYTES, .a = "docs/in-content-store", .n = 270000},
	{.kind = STEP_PATCH, .a = "docs/in-content-store", .b = "patched", .n = 200000},
	{.kind = STEP_SAVE_BYTES, .a = "docs/in-a-frame", .n = 5000},
	{.kind = STEP_SAVE, .a = "docs/\"odd\" name\n\xff", .b = "odd"},
};

static void make_steps(struct script_run *r, const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (script_step(r, &steps[i]) != steps[i].expect)
			abort();
}

static void make_events(struct engine *e)
{
	static const enum event_type types[] = {
#define EVENT(id, name, text) id,
#include "event_list.h"
#undef EVENT
	};
	struct request q;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		fixture_request(&q);
		snprintf(q.actor.agent, sizeof(q.actor.agent), "%s", i % 2 ? "agent-1" : "");
		if (engine_log_event(e, &q, types[i], i % 3 ? "s1" : "", "a/path", types[i] == EVENT_CUSTOM ? "mine" : NULL, "\"golden\":true"))
			abort();
	}
}

static void make_compressible(struct engine *e)
{
	static char text[200000];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 40 == 39 ? '\n' : (char)('a' + i % 40 / 2);
	if (fixture_save(e, "docs/compressible", text, sizeof(text)))
		abort();
}

static void make_draft(struct engine *e)
{
	struct request q;
	struct draft *d;

	fixture_request(&q);
	if (draft_open(e, fixture_ino(e, "docs/in-a-frame"), DRAFT_WHOLE, &q.actor, &d) || draft_write(d, &q.actor, 0, DRAFT_TEXT, strlen(DRAFT_TEXT)))
		abort();
}

static int copy_out(void *arg, const char *name, bool is_dir)
{
	void **args = arg;
	struct env *env = args[0];
	const char *dir = args[1], *below = args[2];
	char from[200], to[400], block[65536];
	uint64_t at = 0;
	ssize_t n;
	int fd;

	snprintf(from, sizeof(from), "%s%s%s", below, *below ? "/" : "", name);
	snprintf(to, sizeof(to), "%s/%s", dir, from);
	if (is_dir) {
		void *deeper[3] = {env, (void *)dir, from};

		return mkdir(to, 0700) ? -errno : env_list(env, from, copy_out, deeper);
	}
	fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	while (fd >= 0 && (n = env_mem_read(env, from, block, sizeof(block), at)) > 0) {
		if (pwrite(fd, block, (size_t)n, (off_t)at) != n)
			abort();
		at += (uint64_t)n;
	}
	return fd < 0 || close(fd) ? -errno : 0;
}

static void print_values(struct engine *e)
{
	uint64_t head = engine_head_seq(e);
	char hex[SHA256_HEX_BYTES];
	struct sha256 sha;
	size_t len;
	char *events = fixture_events(e, &len);

	printf("head %llu\n", (unsigned long long)head);
	for (uint64_t i = 1; i <= POINTS; i++) {
		fixture_digest(e, head * i / POINTS, &sha);
		sha256_hex(&sha, hex);
		printf("tree %llu %s\n", (unsigned long long)(head * i / POINTS), hex);
	}
	sha256_of(events, len, &sha);
	sha256_hex(&sha, hex);
	printf("events %zu %s\n", len, hex);
	free(events);
}

static int make(const char *dir)
{
	struct env *env = env_mem_new(SEED);
	struct script_run r;
	void *args[3] = {env, (void *)dir, ""};

	script_run(&engine_scripts[0], env, &r);
	if (r.unexpected || mkdir(dir, 0700))
		abort();
	make_steps(&r, engine_scripts[1].steps, engine_scripts[1].count);
	make_steps(&r, more_steps, ARRAY_SIZE(more_steps));
	make_compressible(r.e);
	if (engine_close(r.e)) /* with an index snapshot */
		abort();
	r.e = fixture_open_ok(env);
	make_events(r.e);
	make_draft(r.e);
	if (engine_sync(r.e))
		abort();
	print_values(r.e);
	fixture_kill(env, r.e);
	if (env_list(env, "", copy_out, args))
		abort();
	env_mem_free(env);
	return 0;
}

/* ---- loading it ---- */

struct golden {
	char dir[64];
	int fd;
	struct env *env;
	struct engine *e;
};

static FILE *data_open(const char *name, const char *command)
{
	const char *slash = strrchr(__FILE__, '/');
	char path[512], line[1200];

	snprintf(path, sizeof(path), "%.*s/../data/%s", slash ? (int)(slash - __FILE__) : 1, slash ? __FILE__ : ".", name);
	if (!command)
		return fopen(path, "r");
	snprintf(line, sizeof(line), command, path);
	return popen(line, "r");
}

static int golden_setup(void **state)
{
	struct golden *g = calloc(1, sizeof(*g));
	char command[128];
	FILE *tar;

	assert_non_null(g);
	strcpy(g->dir, "/tmp/test-golden-XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	snprintf(command, sizeof(command), "tar -C %s -xzf '%%s'", g->dir);
	tar = data_open("golden-v1.tar.gz", command);
	assert_non_null(tar);
	assert_int_equal(pclose(tar), 0);
	g->fd = open(g->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(g->fd >= 0);
	g->env = env_posix_new(g->fd);
	assert_non_null(g->env);
	*state = g;
	return 0;
}

static int golden_teardown(void **state)
{
	struct golden *g = *state;
	char command[128];

	env_posix_free(g->env);
	close(g->fd);
	snprintf(command, sizeof(command), "rm -rf %s", g->dir);
	assert_int_equal(system(command), 0);
	free(g);
	return 0;
}

static void check_tree(struct engine *e, unsigned long long seq, const char *want)
{
	struct sha256 sha;
	char hex[SHA256_HEX_BYTES];

	fixture_digest(e, seq, &sha);
	sha256_hex(&sha, hex);
	if (strcmp(hex, want))
		fail_msg("the tree at transaction %llu is not what it was: %s instead of %s", seq, hex, want);
}

static void check_events(struct engine *e, size_t len, const char *want)
{
	struct sha256 sha;
	char hex[SHA256_HEX_BYTES];
	size_t all;
	char *text = fixture_events(e, &all);

	assert_true(all >= len); /* a later version may add to it when it opens the store */
	assert_true(event_chain_holds(text, all));
	sha256_of(text, len, &sha);
	sha256_hex(&sha, hex);
	assert_string_equal(hex, want);
	free(text);
}

static void check_draft(struct engine *e)
{
	struct draft_info *list;
	char text[64];
	size_t count;

	assert_int_equal(draft_list(e, &list, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(list[0].path, "docs/in-a-frame");
	assert_int_equal(draft_read_by_id(e, list[0].id, 0, text, sizeof(text)), strlen(DRAFT_TEXT));
	assert_memory_equal(text, DRAFT_TEXT, strlen(DRAFT_TEXT));
	draft_info_release(&list[0]);
	free(list);
}

/* Each transaction's record can be loaded, and what rollbacks kept can be read. */
static void check_records(struct engine *e, uint64_t head)
{
	unsigned rollbacks = 0;

	for (uint64_t seq = 1; seq <= head; seq++) {
		struct record *r;
		char bytes[4096];

		assert_int_equal(engine_load_record(e, seq, &r), 0);
		assert_int_equal(r->seq, seq);
		if (r->rollback) {
			size_t want = MIN(r->rollback->draft_size, (uint64_t)sizeof(bytes));

			rollbacks++;
			assert_int_equal(engine_read_rollback(e, r, 0, bytes, want), want);
		}
		record_free(r);
	}
	assert_true(rollbacks >= 4);
}

static void check_values(struct engine *e)
{
	FILE *f = data_open("golden-v1.txt", NULL);
	char line[200], hex[80];
	unsigned long long number;
	unsigned seen = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "head %llu", &number) == 1) {
			assert_true(engine_head_seq(e) >= number);
			check_records(e, number);
			seen |= 1;
		} else if (sscanf(line, "tree %llu %79s", &number, hex) == 2) {
			check_tree(e, number, hex);
			seen |= 2;
		} else if (sscanf(line, "events %llu %79s", &number, hex) == 2) {
			check_events(e, (size_t)number, hex);
			seen |= 4;
		}
	}
	assert_int_equal(seen, 7);
	(void)fclose(f);
}

/* What belongs to every session's skeleton by now, its session has got. */
static int check_skeleton_dir(void *arg, const char *path)
{
	char whole[200];

	snprintf(whole, sizeof(whole), "state/sessions/s1/%s", path);
	assert_int_not_equal(fixture_ino(arg, whole), 0);
	return 0;
}

static void check_healthy(struct engine *e)
{
	struct engine_health health;

	engine_get_health(e, &health);
	if (health.status != ENGINE_HEALTHY)
		fail_msg("not healthy: %s", health.why.data);
	buf_release(&health.why);
}

static void load(struct golden *g, bool no_index, bool read_only)
{
	struct engine_options opt = {.segment_bytes = 2u << 20, .root_uid = 1000, .root_gid = 1000, .no_index = no_index, .read_only = read_only};
	struct engine_stats stats;
	struct reason why = {0};
	int r = engine_open(g->env, &opt, &why, &g->e);

	if (r)
		fail_msg("engine_open: %s: %s", strerror(-r), why.text);
	engine_get_stats(g->e, &stats);
	assert_true(!no_index || stats.replayed >= 60);
	if (!read_only) {
		check_healthy(g->e);
		assert_int_equal(layout_each_skeleton_dir(check_skeleton_dir, g->e), 0);
	}
	check_values(g->e);
	check_draft(g->e);
}

static void test_it_loads(void **state)
{
	struct golden *g = *state;

	load(g, false, false);
	assert_int_equal(fixture_save_text(g->e, "docs/new", "work goes on"), 0);
	assert_int_equal(engine_close(g->e), 0);
	load(g, false, false); /* from an index snapshot of this version */
	assert_string_equal(fixture_text(g->e, "docs/new"), "work goes on");
	assert_int_equal(engine_close(g->e), 0);
}

static void test_it_loads_without_its_index(void **state)
{
	struct golden *g = *state;

	load(g, true, false);
	assert_int_equal(engine_close(g->e), 0);
}

static void test_it_loads_read_only(void **state)
{
	struct golden *g = *state;

	load(g, false, true);
	assert_int_equal(engine_close(g->e), 0);
	load(g, true, true);
	assert_int_equal(engine_close(g->e), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_loads, golden_setup, golden_teardown),
		cmocka_unit_test_setup_teardown(test_it_loads_without_its_index, golden_setup, golden_teardown),
		cmocka_unit_test_setup_teardown(test_it_loads_read_only, golden_setup, golden_teardown),
	};

	if (argc == 3 && !strcmp(argv[1], "--make"))
		return make(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
