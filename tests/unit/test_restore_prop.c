/* SPDX-License-Identifier: MIT
 *
 * Random trees, checkpoints, more random changes, restores: each makes the live view equal to that of the checkpoint, by every name, type,
 * attribute, time, content and hard link; what lies outside the session stays as it is, to the inode; a restart finds the same.
 *
 * RNG_SEED repeats a run; RESTORE_PROP_RUNS changes how many there are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint.h"
#include "cmocka_all.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "rng.h"

#define S1 "state/sessions/s1"
#define ROUNDS 12
#define OPS_MAX 40
#define PATH_MAX_HERE 300
#define DRAFTS_MAX 6

struct world {
	struct env *env;
	struct engine *e;
	struct rng rng;
	struct draft *drafts[DRAFTS_MAX];
	size_t draft_count;
};

/* ---- what a view shows ---- */

struct entry {
	char path[PATH_MAX_HERE];
	uint64_t ino;
	struct tree_attr attr;
	char sha[SHA256_HEX_BYTES];
	char symlink[64];
	char xattrs[200];
};

struct view {
	struct entry *items;
	size_t count, capacity;
};

static int put_xattr(void *arg, const char *name, size_t len)
{
	struct {
		struct entry *x;
		const struct attrs *a;
	} *w = arg;
	const char *value;
	size_t value_len, at = strlen(w->x->xattrs);

	assert_int_equal(tree_xattr_get(w->a, name, len, &value, &value_len), 0);
	snprintf(w->x->xattrs + at, sizeof(w->x->xattrs) - at, "%.*s=%.*s;", (int)len, name, (int)value_len, value);
	return 0;
}

static void put_content(struct engine *e, const struct version *v, struct entry *x)
{
	struct version_extents scratch = {0};
	char *text = malloc((size_t)v->size + 1);
	struct sha256 sha;

	assert_non_null(text);
	assert_int_equal(engine_read(e, v, &scratch, 0, text, (size_t)v->size), v->size);
	sha256_of(text, (size_t)v->size, &sha);
	sha256_hex(&sha, x->sha);
	extent_map_release(&scratch.map);
	free(text);
}

static bool is_history(const char *path)
{
	return !strcmp(path, S1 "/agents/.sync") || !strcmp(path, S1 "/agents/.health");
}

static void collect(struct engine *e, const struct node *dir, const char *path, uint64_t seq, struct view *v)
{
	struct dentry **list;
	size_t count;

	engine_lock(e);
	assert_int_equal(tree_list(engine_tree(e), dir, seq, &list, &count), 0);
	engine_unlock(e);
	for (size_t i = 0; i < count; i++) {
		const struct node *n = list[i]->node;
		const struct version *version = tree_version_at(n, seq);
		struct entry x = {.ino = n->ino};
		struct {
			struct entry *x;
			const struct attrs *a;
		} w = {&x, version->attrs};

		snprintf(x.path, sizeof(x.path), "%s/%s", path, list[i]->name->text);
		if (is_history(x.path))
			continue;
		assert_int_equal(tree_attr_at(engine_tree(e), n, seq, seq == SEQ_LIVE ? INT64_MAX : engine_seq_time(e, seq), &x.attr), 0);
		(void)tree_xattr_list(version->attrs, put_xattr, &w);
		if (S_ISREG(x.attr.mode))
			put_content(e, version, &x);
		if (S_ISLNK(x.attr.mode))
			snprintf(x.symlink, sizeof(x.symlink), "%s", n->symlink);
		assert_int_equal(array_reserve(&v->items, &v->capacity, v->count + 1, sizeof(x)), 0);
		v->items[v->count++] = x;
		if (S_ISDIR(x.attr.mode))
			collect(e, n, x.path, seq, v);
	}
	free(list);
}

static int by_path(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static void look(struct engine *e, const char *const *tops, size_t count, uint64_t seq, struct view *v)
{
	*v = (struct view){0};
	for (size_t i = 0; i < count; i++) {
		struct node *n;

		engine_lock(e);
		n = tree_resolve(engine_tree(e), tops[i], seq);
		engine_unlock(e);
		if (n)
			collect(e, n, tops[i], seq, v);
	}
	if (v->count)
		qsort(v->items, v->count, sizeof(*v->items), by_path);
}

/* The first name of the inode: so names that are one file say the same. */
static const char *first_name(const struct view *v, uint64_t ino)
{
	for (size_t i = 0; i < v->count; i++)
		if (v->items[i].ino == ino)
			return v->items[i].path;
	return "";
}

static void describe(const struct view *v, const struct entry *x, bool exact, char *out, size_t bytes)
{
	snprintf(out, bytes, "%s %o %u:%u %llu bytes mtime %lld atime %lld sha %.12s -> %s {%s} links %s ino %llu", x->path, x->attr.mode, x->attr.uid,
		x->attr.gid, (unsigned long long)x->attr.size, (long long)x->attr.mtime_ns, (long long)x->attr.atime_ns, x->sha, x->symlink, x->xattrs,
		S_ISDIR(x->attr.mode) ? "" : first_name(v, x->ino), exact ? (unsigned long long)x->ino : 0);
}

static void expect_same(struct world *w, const struct view *a, const struct view *b, bool exact, const char *what)
{
	char x[1200], y[1200];

	for (size_t i = 0; i < MAX(a->count, b->count); i++) {
		x[0] = y[0] = '\0';
		if (i < a->count)
			describe(a, &a->items[i], exact, x, sizeof(x));
		if (i < b->count)
			describe(b, &b->items[i], exact, y, sizeof(y));
		if (strcmp(x, y)) {
			rng_report(&w->rng, "test_restore_prop");
			fail_msg("%s:\n  was %s\n  is  %s", what, x, y);
		}
	}
}

static const char *const inside[] = {S1 "/state", S1 "/agents"};
static const char *const outside[] = {"notes", "state/sessions/s2/state"};

/* ---- changing things ---- */

static const char *random_path(struct world *w, char *out)
{
	static const char *const tops[] = {S1 "/state", S1 "/state", S1 "/state", "notes", "state/sessions/s2/state"};
	int n;

	if (rng_below(&w->rng, 10) == 0) {
		snprintf(out, PATH_MAX_HERE, S1 "/agents/agent-%d%s", (int)rng_below(&w->rng, 3), rng_coin(&w->rng) ? ".yaml" : "~");
		return out;
	}
	n = snprintf(out, PATH_MAX_HERE, "%s", tops[rng_below(&w->rng, ARRAY_SIZE(tops))]);
	for (uint64_t i = 1 + rng_below(&w->rng, 3); i; i--)
		n += snprintf(out + n, (size_t)(PATH_MAX_HERE - n), "/%c", (char)('a' + rng_below(&w->rng, 4)));
	return out;
}

static void random_text(struct world *w, char *out, size_t max)
{
	size_t len = rng_below(&w->rng, 4) ? rng_below(&w->rng, 100) : rng_below(&w->rng, max);

	for (size_t i = 0; i < len; i++)
		out[i] = (char)('a' + rng_below(&w->rng, 26));
	out[len] = '\0';
}

static void set_times(struct world *w, const char *path)
{
	struct change c = {.type = CHANGE_ATTR, .ino = fixture_ino(w->e, path), .attr_mask = (uint32_t)(rng_coin(&w->rng) ? ATTR_MTIME : ATTR_ATIME)};
	struct tree_attr attr;
	struct request q;

	c.mtime_ns = c.atime_ns = (int64_t)rng_below(&w->rng, 1000000) * NS_PER_MS;
	fixture_request(&q);
	(void)engine_setattr(w->e, &q, c.ino, &c, &attr);
}

static void set_owner(struct world *w, const char *path)
{
	struct change c = {.type = CHANGE_ATTR, .ino = fixture_ino(w->e, path), .attr_mask = ATTR_UID | ATTR_GID | ATTR_MODE};
	struct tree_attr attr;
	struct request q;

	c.uid = (uint32_t)rng_below(&w->rng, 3);
	c.gid = (uint32_t)rng_below(&w->rng, 3);
	c.mode = (uint32_t)rng_below(&w->rng, 01000);
	fixture_request(&q);
	(void)engine_setattr(w->e, &q, c.ino, &c, &attr);
}

static void make_node(struct world *w, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX_HERE];
	struct tree_attr attr;
	struct request q;

	fixture_request(&q);
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	(void)engine_mknod(w->e, &q, fixture_ino(w->e, dir), slash + 1, (rng_coin(&w->rng) ? S_IFIFO : S_IFREG) | 0640, 0, &attr);
}

/* Somebody begins to write a new file, or an old one, and is not done. */
static void begin_draft(struct world *w, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX_HERE];
	struct tree_attr attr;
	struct request q;
	struct draft *d;

	if (w->draft_count == DRAFTS_MAX)
		return;
	fixture_request(&q);
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	(void)engine_create(w->e, &q, fixture_ino(w->e, dir), slash + 1, 0644, &attr); /* it may be there already */
	if (draft_open(w->e, fixture_ino(w->e, path), DRAFT_WHOLE, &q.actor, &d))
		return;
	if (rng_coin(&w->rng))
		assert_int_equal(draft_write(d, &q.actor, 0, "not done", 8), 0);
	w->drafts[w->draft_count++] = d;
}

static void end_drafts(struct world *w)
{
	while (w->draft_count) {
		struct draft *d = w->drafts[--w->draft_count];
		struct request q;

		fixture_request(&q);
		(void)draft_commit(d, &q, 0);
		draft_close(d);
	}
}

/* Most of it makes sense; what does not is refused, and that is fine. */
static void random_change(struct world *w)
{
	static char text[9000];
	char a[PATH_MAX_HERE], b[PATH_MAX_HERE];
	const char *path = random_path(w, a), *other = random_path(w, b);

	random_text(w, text, sizeof(text) - 1);
	switch (rng_below(&w->rng, 20)) {
	case 0:
	case 1:
	case 2:
		(void)fixture_save_text(w->e, path, strstr(path, "/agents/") ? "agent: {type: x}\n" : text);
		break;
	case 3:
	case 4:
		(void)fixture_append(w->e, path, text, strlen(text));
		break;
	case 5:
		(void)fixture_patch(w->e, path, rng_coin(&w->rng), rng_below(&w->rng, 5000), text, strlen(text));
		break;
	case 6:
	case 7:
		(void)fixture_mkdir(w->e, path);
		break;
	case 8:
	case 9:
	case 10:
		(void)fixture_rename(w->e, path, other, 0);
		break;
	case 11:
		(void)fixture_rename(w->e, path, other, 2); /* exchange */
		break;
	case 12:
	case 13:
		(void)fixture_link(w->e, path, other);
		break;
	case 14:
		(void)(rng_coin(&w->rng) ? fixture_unlink(w->e, path) : fixture_rmdir(w->e, path));
		break;
	case 15:
		(void)fixture_symlink(w->e, rng_coin(&w->rng) ? "here" : "there", path);
		break;
	case 16:
		make_node(w, path);
		break;
	case 17:
		(void)fixture_setxattr(w->e, path, rng_coin(&w->rng) ? "user.x" : "user.y", rng_below(&w->rng, 3) ? text + strlen(text) / 2 : NULL);
		break;
	case 18:
		rng_coin(&w->rng) ? set_times(w, path) : set_owner(w, path);
		break;
	default:
		begin_draft(w, path);
	}
}

/* All below it goes, as rm -r does it. */
static void remove_all(struct world *w, const char *path)
{
	struct view v;

	look(w->e, &path, 1, SEQ_LIVE, &v);
	for (size_t i = v.count; i-- > 0;)
		(void)(S_ISDIR(v.items[i].attr.mode) ? fixture_rmdir(w->e, v.items[i].path) : fixture_unlink(w->e, v.items[i].path));
	free(v.items);
}

static bool has_hard_links(const struct view *v)
{
	for (size_t i = 0; i < v->count; i++)
		if (!S_ISDIR(v->items[i].attr.mode) && v->items[i].attr.nlink > 1)
			return true;
	return false;
}

/* ---- the property ---- */

static void restore_one(struct world *w, const char *name, uint64_t seq)
{
	struct view want, before, is, after;
	struct restore_result result;
	struct request q;
	int r;

	look(w->e, inside, ARRAY_SIZE(inside), seq, &want); /* before: what happens to a directory later blurs its times in older views */
	look(w->e, outside, ARRAY_SIZE(outside), SEQ_LIVE, &before);
	fixture_request(&q);
	r = checkpoint_restore(w->e, &q, "s1", name, &result);
	if (r) {
		rng_report(&w->rng, "test_restore_prop");
		fail_msg("restore: %s: %s", strerror(-r), q.reason.text);
	}
	look(w->e, inside, ARRAY_SIZE(inside), SEQ_LIVE, &is);
	look(w->e, outside, ARRAY_SIZE(outside), SEQ_LIVE, &after);
	expect_same(w, &want, &is, false, "restored");
	expect_same(w, &before, &after, true, "outside");
	/* Once more changes nothing. (A file of several names that could not come back itself is copied again.) */
	assert_int_equal(checkpoint_restore(w->e, &q, "s1", name, &result), 0);
	if (!has_hard_links(&is) && (result.files_restored || result.files_removed)) {
		rng_report(&w->rng, "test_restore_prop");
		fail_msg("restored %llu, removed %llu where nothing differs", (unsigned long long)result.files_restored,
			(unsigned long long)result.files_removed);
	}
	free(want.items);
	free(before.items);
	free(is.items);
	free(after.items);
}

static uint64_t seq_of(struct engine *e, const char *name)
{
	uint64_t seq;

	engine_lock(e);
	seq = registry_checkpoint(registry_session(e, "s1"), name)->seq;
	engine_unlock(e);
	return seq;
}

/* Names of newborns that came to nothing alter a directory's times until the next restart. */
static void forget_times_of_dirs(struct view *v)
{
	for (size_t i = 0; i < v->count; i++)
		if (S_ISDIR(v->items[i].attr.mode))
			v->items[i].attr.mtime_ns = v->items[i].attr.atime_ns = 0;
}

static void restart(struct world *w)
{
	static const char *const users[] = {S1 "/state", "state/sessions/s2/state", "notes"}; /* the daemon's own files may be kept current at the end */
	struct view before, after;

	end_drafts(w);
	look(w->e, users, ARRAY_SIZE(users), SEQ_LIVE, &before);
	if (rng_coin(&w->rng)) {
		assert_int_equal(engine_close(w->e), 0);
	} else {
		assert_int_equal(engine_sync(w->e), 0);
		fixture_kill(w->env, w->e);
	}
	w->e = fixture_open_ok(w->env);
	look(w->e, users, ARRAY_SIZE(users), SEQ_LIVE, &after);
	forget_times_of_dirs(&before);
	forget_times_of_dirs(&after);
	expect_same(w, &before, &after, true, "after a restart");
	free(before.items);
	free(after.items);
}

static void run(uint64_t seed)
{
	struct world w = {.env = env_mem_new(seed)};
	char names[ROUNDS][24];
	struct request q;

	rng_init(&w.rng, seed);
	w.e = fixture_open_ok(w.env);
	assert_int_equal(fixture_mkdir(w.e, S1), 0);
	assert_int_equal(fixture_mkdir(w.e, "state/sessions/s2"), 0);
	assert_int_equal(fixture_mkdir(w.e, "notes"), 0);
	for (size_t i = 0; i < ROUNDS; i++) {
		for (uint64_t k = rng_below(&w.rng, OPS_MAX); k; k--)
			random_change(&w);
		snprintf(names[i], sizeof(names[i]), "point-%zu", i);
		fixture_request(&q);
		assert_int_equal(checkpoint_create(w.e, &q, "s1", names[i], NULL, NULL, NULL), 0);
		for (uint64_t k = rng_below(&w.rng, OPS_MAX); k; k--)
			random_change(&w);
		if (rng_below(&w.rng, 6) == 0)
			remove_all(&w, S1 "/state");
		if (rng_below(&w.rng, 3)) {
			const char *name = names[rng_below(&w.rng, i + 1)];

			restore_one(&w, name, seq_of(w.e, name));
		}
		if (rng_coin(&w.rng))
			end_drafts(&w);
		if (rng_below(&w.rng, 5) == 0)
			restart(&w);
	}
	end_drafts(&w);
	assert_int_equal(engine_close(w.e), 0);
	env_mem_free(w.env);
}

static void test_a_restore_makes_the_views_equal(void **state)
{
	const char *runs = getenv("RESTORE_PROP_RUNS");
	uint64_t seed = rng_seed_of_run(1), count = getenv("RNG_SEED") ? 1 : runs ? strtoull(runs, NULL, 0) : 60;

	(void)state;
	for (uint64_t i = 0; i < count; i++)
		run(seed + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_restore_makes_the_views_equal)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
