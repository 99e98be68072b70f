/* SPDX-License-Identifier: MIT
 *
 * Restoring while others work: in another session, who must not wait for it, and in the same one, where each restore must still be all
 * of the checkpoint or nothing. Every restore compares both views itself afterwards (restore_check.c), so its answer is the verdict.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../../core/restore_internal.h" /* to compare without restoring */
#include "cmocka_all.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "rng.h"

#define STATE "state/sessions/s1/state/"
#define DIRS 40
#define OTHERS 3

struct world {
	struct env *env;
	struct engine *e;
	unsigned files; /* in each directory */
	atomic_bool stop;
	_Atomic unsigned seed;
};

static void path_of(char *path, unsigned dir, unsigned file)
{
	snprintf(path, 64, STATE "d%u/f%u", dir, file);
}

static void begin(struct world *w, unsigned files)
{
	struct engine_options opt = {.threads = true};
	struct reason why = {0};
	char path[64];

	*w = (struct world){.env = env_mem_new(5), .files = files};
	assert_int_equal(engine_open(w->env, &opt, &why, &w->e), 0);
	assert_int_equal(fixture_mkdir(w->e, "state/sessions/s1"), 0);
	assert_int_equal(fixture_mkdir(w->e, "state/sessions/s2"), 0);
	for (unsigned d = 0; d < DIRS; d++) {
		snprintf(path, sizeof(path), STATE "d%u", d);
		assert_int_equal(fixture_mkdir(w->e, path), 0);
		for (unsigned f = 0; f < files; f++) {
			path_of(path, d, f);
			assert_int_equal(fixture_save_text(w->e, path, "first\n"), 0);
		}
	}
	assert_int_equal(fixture_mkdir(w->e, "state/sessions/s1/checkpoints/c"), 0);
}

static void end(struct world *w)
{
	assert_int_equal(engine_close(w->e), 0);
	env_mem_free(w->env);
}

static void restore(struct world *w, struct restore_result *ret, uint64_t *ret_seq)
{
	struct request q;
	int r;

	fixture_request(&q);
	r = checkpoint_restore(w->e, &q, "s1", "c", ret);
	if (r)
		fail_msg("%s: %s", strerror(-r), q.reason.text);
	*ret_seq = q.seq;
}

/* ---- while views are compared ---- */

struct watcher {
	struct world *w;
	const char *path;      /* is saved once, NULL: nothing */
	atomic_bool comparing; /* set and cleared under the engine's lock */
	unsigned turns;        /* how often somebody else had the lock meanwhile */
};

static void *take_turns(void *arg)
{
	struct watcher *t = arg;
	bool now;

	while (!atomic_load(&t->w->stop)) {
		engine_lock(t->w->e);
		now = atomic_load(&t->comparing);
		t->turns += now;
		engine_unlock(t->w->e);
		if (now && t->path) {
			if (fixture_append(t->w->e, t->path, "# x\n", 4))
				abort();
			t->path = NULL;
		}
	}
	return NULL;
}

/* The result of comparing, in slices or not, while @path is saved. */
static int compare(struct world *w, bool slices, const char *path, unsigned *ret_turns)
{
	struct watcher t = {.w = w, .path = path};
	struct request q;
	struct txn txn;
	struct restore_diff d = {.t = &txn, .slices = slices};
	struct session *s;
	pthread_t thread;
	int r;

	fixture_request(&q);
	txn_init(&txn, w->e, &q, OPERATION_RESTORE);
	atomic_store(&w->stop, false);
	engine_lock(w->e);
	assert_int_equal(pthread_create(&thread, NULL, take_turns, &t), 0);
	s = registry_session(w->e, "s1");
	d.roots = (struct restore_roots){s->state_ino, s->agents_ino};
	d.seq = registry_checkpoint(s, "c")->seq;
	d.seq_time_ns = engine_seq_time(w->e, d.seq);
	atomic_store(&t.comparing, true);
	r = restore_diff_make(&d);
	atomic_store(&t.comparing, false);
	*ret_turns = t.turns;
	engine_unlock(w->e);
	atomic_store(&w->stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(d.moved, r == -EAGAIN);
	if (!r)
		assert_int_equal(d.files_restored, DIRS * w->files);
	txn_finish(&txn);
	restore_diff_release(&d);
	return r;
}

static void test_others_go_on(void **state)
{
	unsigned turns;
	struct world w;
	char path[64];

	(void)state;
	begin(&w, 750);
	for (unsigned d = 0; d < DIRS; d++)
		for (unsigned f = 0; f < w.files; f++) {
			path_of(path, d, f);
			assert_int_equal(fixture_save_text(w.e, path, "second\n"), 0);
		}
	assert_int_equal(compare(&w, false, NULL, &turns), 0);
	assert_int_equal(turns, 0);
	assert_int_equal(compare(&w, true, NULL, &turns), 0);
	print_message("others had %u turns while %u files were compared\n", turns, DIRS * w.files);
	assert_true(turns > 20);
	assert_int_equal(compare(&w, true, "state/sessions/s2/state/log", &turns), 0);
	assert_true(turns > 20);
	assert_int_equal(compare(&w, true, STATE "d1/f1", &turns), -EAGAIN);
	assert_int_equal(compare(&w, true, STATE "new", &turns), -EAGAIN);
	assert_int_equal(compare(&w, true, "state/sessions/s1/agents/a.yaml", &turns), -EAGAIN);
	end(&w);
}

/* What a restore waits for is not what others do elsewhere. */
static void *save_elsewhere(void *arg)
{
	struct world *w = arg;

	while (!atomic_load(&w->stop))
		if (fixture_append(w->e, "state/sessions/s2/state/log", "x\n", 2))
			abort();
	return NULL;
}

static void test_restored_beside_another_session(void **state)
{
	struct restore_result result;
	struct world w;
	pthread_t thread;
	uint64_t seq;

	(void)state;
	begin(&w, 200);
	assert_int_equal(fixture_save_text(w.e, STATE "d3/f3", "second\n"), 0);
	assert_int_equal(pthread_create(&thread, NULL, save_elsewhere, &w), 0);
	restore(&w, &result, &seq);
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(result.files_restored, 1);
	assert_string_equal(fixture_text(w.e, STATE "d3/f3"), "first\n");
	end(&w);
}

/* ---- the same session ---- */

/* A newborn, or a file that is there. */
static void save_or_give_up(struct world *w, const char *path, bool save)
{
	struct tree_attr attr = {.ino = fixture_ino(w->e, path)};
	struct request q;
	struct draft *d;

	fixture_request(&q);
	if (!attr.ino) {
		char dir[64];

		snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
		if (!fixture_ino(w->e, dir) || engine_create(w->e, &q, fixture_ino(w->e, dir), strrchr(path, '/') + 1, 0644, &attr))
			return;
	}
	if (draft_open(w->e, attr.ino, DRAFT_WHOLE, &q.actor, &d))
		return;
	if (save) {
		(void)draft_write(d, &q.actor, 0, "third\n", 6);
		(void)draft_commit(d, &q, 0);
	} else {
		(void)draft_rollback(d, &q, "given up");
	}
	draft_close(d);
}

/* Of whatever is there; most of it may be gone at any moment. */
static void *work_inside(void *arg)
{
	struct world *w = arg;
	struct rng g;

	rng_init(&g, atomic_fetch_add(&w->seed, 1));
	while (!atomic_load(&w->stop)) {
		char path[64], to[64];

		path_of(path, (unsigned)rng_below(&g, DIRS), (unsigned)rng_below(&g, w->files + 3));
		path_of(to, (unsigned)rng_below(&g, DIRS), (unsigned)rng_below(&g, w->files + 3));
		switch (rng_below(&g, 8)) {
		case 0:
			(void)fixture_unlink(w->e, path);
			break;
		case 1:
			(void)fixture_rename(w->e, path, to, 0);
			break;
		case 2:
			(void)fixture_link(w->e, path, to);
			break;
		case 3:
			snprintf(to, sizeof(to), "state/out%u", (unsigned)rng_below(&g, 5));
			(void)(rng_coin(&g) ? fixture_link(w->e, path, to) : fixture_rename(w->e, path, to, 0));
			break;
		case 4:
			snprintf(path, sizeof(path), STATE "d%u", (unsigned)rng_below(&g, DIRS));
			snprintf(to, sizeof(to), rng_coin(&g) ? "state/dir%u" : STATE "d%u", (unsigned)rng_below(&g, DIRS));
			(void)(rng_coin(&g) ? fixture_rename(w->e, path, to, 0) : fixture_rename(w->e, to, path, 0));
			break;
		case 5:
			(void)fixture_chmod(w->e, path, 0600 + (unsigned)rng_below(&g, 8));
			break;
		default:
			save_or_give_up(w, path, rng_coin(&g));
		}
		if (rng_below(&g, 50) == 0) {
			const struct timespec pause = {.tv_nsec = (long)rng_below(&g, 20000000)};

			(void)nanosleep(&pause, NULL); /* so that some comparisons get through at once */
		}
	}
	return NULL;
}

static void test_restored_whole_or_not_at_all(void **state)
{
	struct restore_result result;
	struct world w;
	pthread_t threads[OTHERS];
	uint64_t seq;

	(void)state;
	begin(&w, 60);
	atomic_store(&w.seed, (unsigned)rng_seed_of_run(11));
	for (size_t i = 0; i < OTHERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_inside, &w), 0);
	for (int i = 0; i < 40; i++)
		restore(&w, &result, &seq);
	atomic_store(&w.stop, true);
	for (size_t i = 0; i < OTHERS; i++)
		pthread_join(threads[i], NULL);
	restore(&w, &result, &seq);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others_go_on),
		cmocka_unit_test(test_restored_beside_another_session),
		cmocka_unit_test(test_restored_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
