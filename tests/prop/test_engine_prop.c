/* SPDX-License-Identifier: MIT
 *
 * Random operations on an engine and on a naive model (fs_model.h), many of them invalid: the answers are the same, and so is the tree, now
 * and then compared with all of it; older states are compared with copies of the model. In between the engine is closed and opened, killed,
 * loses power (everything acknowledged is there), loses its index snapshot or finds it damaged.
 *
 * RNG_SEED repeats a run; ENGINE_PROP_OPS and ENGINE_PROP_RUNS change its length.
 */
#include "env_mem.h"
#include "prop_world.h"

static int spoil_index(void *arg, const char *name, bool is_dir)
{
	struct prop_world *w = arg;
	char path[300];

	(void)is_dir;
	snprintf(path, sizeof(path), "index/%s", name);
	if (rng_coin(&w->rng))
		(void)env_unlink(w->env, path);
	else
		(void)env_mem_patch(w->env, path, "spoilt", 6, rng_below(&w->rng, 4000));
	return 0;
}

static void restart(struct prop_world *w)
{
	uint64_t how = rng_below(&w->rng, 4), head;
	char path[FS_MODEL_PATH] = "";
	uint64_t left = 0;
	struct engine_health health;

	snprintf(w->what, sizeof(w->what), "restart, way %llu", (unsigned long long)how);
	prop_check(w, !engine_sync(w->e)); /* what was refused was not waited for */
	head = engine_head_seq(w->e);
	if (how < 2 && rng_coin(&w->rng))
		left = prop_leave_draft(w, path);
	if (how == 0)
		prop_check(w, !engine_close(w->e));
	else
		fixture_kill(w->env, w->e);
	if (how >= 2) {
		struct env *after = env_mem_power_cycle(w->env, how == 2 ? ENV_MEM_LOST : ENV_MEM_RANDOM, rng_next(&w->rng));

		env_mem_free(w->env);
		w->env = after;
	}
	if (rng_below(&w->rng, 3) == 0)
		(void)env_list(w->env, "index", spoil_index, w);
	w->e = fixture_open_ok(w->env);
	prop_check(w, engine_head_seq(w->e) - head <= 1); /* at its end the daemon brings its own files up to date */
	engine_get_health(w->e, &health);
	prop_check(w, health.status == ENGINE_HEALTHY);
	buf_release(&health.why);
	w->lost_power = w->lost_power || how >= 2;
	prop_discard_ghosts(w, left);
	if (left)
		prop_take_up_draft(w, path);
	prop_compare(w, w->m, SEQ_LIVE);
	prop_compare_history(w, 4);
	prop_compare_events(w);
}

static uint64_t number_from_env(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : fallback;
}

static void run(uint64_t seed, uint64_t count)
{
	struct prop_world *w = malloc(sizeof(*w));

	assert_non_null(w);
	prop_begin(w, seed);
	for (w->op = 1; w->op <= count; w->op++) {
		env_mem_advance(w->env, 3 * NS_PER_S); /* names removed are forgotten by now */
		prop_operation(w);
		if (rng_below(&w->rng, 6) == 0)
			prop_save_state(w);
		if (rng_below(&w->rng, 20) == 0) {
			prop_compare(w, w->m, SEQ_LIVE);
			prop_compare_history(w, 1);
		}
		if (rng_below(&w->rng, 60) == 0)
			restart(w);
		prop_check_no_drafts(w);
	}
	snprintf(w->what, sizeof(w->what), "the end");
	prop_compare(w, w->m, SEQ_LIVE);
	prop_compare_history(w, 20);
	prop_compare_events(w);
	prop_end(w);
	free(w);
}

static void test_engine_is_the_model(void **state)
{
	uint64_t seed = rng_seed_of_run(20261122), runs = number_from_env("ENGINE_PROP_RUNS", getenv("RNG_SEED") ? 1 : 20);

	(void)state;
	for (uint64_t i = 0; i < runs; i++)
		run(seed + i, number_from_env("ENGINE_PROP_OPS", 4000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engine_is_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
