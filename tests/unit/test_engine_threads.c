/* SPDX-License-Identifier: MIT
 *
 * Many writers and readers of one engine with its threads, on a real disk: no append is lost or cut, no reader sees half of a save, what was
 * acknowledged is there after a restart. Index snapshots are written all the while. Made for ThreadSanitizer.
 *
 * ENGINE_THREADS_MS is how long it runs.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine_fixture.h"
#include "event_chain.h"
#include "rng.h"

#define WRITERS 8
#define READERS 4
#define SAVE_BYTES_MAX 9000

struct shared {
	struct engine *e;
	atomic_bool stop;
	_Atomic uint64_t appended[WRITERS], lines[WRITERS], saves[WRITERS], reads;
	atomic_int wrong;
	char why[200];
};

struct worker {
	struct shared *s;
	unsigned number;
	pthread_t thread;
};

static void wrong(struct shared *s, const char *what, int r)
{
	if (!atomic_exchange(&s->wrong, 1))
		snprintf(s->why, sizeof(s->why), "%s: %d (%s)", what, r, strerror(r < 0 ? -r : 0));
}

/* Content that shows whether it is whole: a letter and a length, then only that letter. */
static size_t self_checking(char *out, uint64_t round, unsigned who)
{
	char letter = (char)('a' + (round + who) % 26);
	size_t n = 16 + (size_t)((round * 977 + who * 131) % (SAVE_BYTES_MAX - 16));
	int head = snprintf(out, SAVE_BYTES_MAX, "%c%07zu", letter, n);

	memset(out + head, letter, n - (size_t)head);
	return n;
}

static bool is_whole(const char *text, size_t len)
{
	size_t n = 0;

	if (!len)
		return true;
	if (len < 16 || sscanf(text + 1, "%7zu", &n) != 1 || n != len)
		return false;
	for (size_t i = 8; i < len; i++)
		if (text[i] != text[0])
			return false;
	return true;
}

static void *write_some(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->s;
	char text[SAVE_BYTES_MAX], path[64], temp[64], line[128];

	for (uint64_t round = 0; !atomic_load(&s->stop) && !atomic_load(&s->wrong); round++) {
		size_t n = self_checking(text, round, w->number);
		int r;

		snprintf(path, sizeof(path), "state/save-%u", (unsigned)(round + w->number) % 4);
		r = fixture_save(s->e, path, text, n);
		if (r)
			wrong(s, "save", r);
		n = (size_t)snprintf(line, sizeof(line), "writer %u round %llu\n", w->number, (unsigned long long)round);
		r = fixture_append(s->e, "state/shared.log", line, n);
		if (r)
			wrong(s, "append", r);
		else
			atomic_fetch_add(&s->appended[w->number], 1);
		n = (size_t)snprintf(line, sizeof(line), "{\"writer\":%u,\"round\":%llu}\n", w->number, (unsigned long long)round);
		r = fixture_append(s->e, "state/shared.jsonl", line, n);
		if (r)
			wrong(s, "append to jsonl", r);
		else
			atomic_fetch_add(&s->lines[w->number], 1);
		n = self_checking(text, round, w->number + 7);
		snprintf(temp, sizeof(temp), "state/temporary-%u", w->number);
		r = fixture_save(s->e, temp, text, n);
		if (!r)
			r = fixture_rename(s->e, temp, "state/renamed", 0);
		if (r)
			wrong(s, "save and rename", r);
		if (round % 8 == 0) {
			snprintf(path, sizeof(path), "state/dir-%u", w->number);
			r = fixture_mkdir(s->e, path);
			if (!r)
				r = fixture_chmod(s->e, path, 0700);
			if (!r)
				r = fixture_rmdir(s->e, path);
			if (r)
				wrong(s, "mkdir, chmod, rmdir", r);
		}
		atomic_store(&s->saves[w->number], round + 1);
	}
	return NULL;
}

static void *read_some(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->s;
	struct rng rng;
	char path[64];

	rng_init(&rng, w->number + 1);
	while (!atomic_load(&s->stop) && !atomic_load(&s->wrong)) {
		uint64_t seq = rng_coin(&rng) ? SEQ_LIVE : 1 + rng_below(&rng, engine_head_seq(s->e));
		uint64_t which = rng_below(&rng, 7);
		char *text = NULL;
		size_t len = 0;
		int r;

		snprintf(path, sizeof(path), which < 4 ? "state/save-%u" : which < 6 ? "state/renamed" : "state/shared.log", (unsigned)which);
		r = fixture_read(s->e, path, seq, &text, &len);
		if (r && r != -ENOENT)
			wrong(s, path, r);
		if (!r && which < 6 && !is_whole(text, len))
			wrong(s, path, -EILSEQ);
		if (!r && which == 6 && len && (text[len - 1] != '\n' || strncmp(text, "writer ", 7) != 0))
			wrong(s, path, -EILSEQ);
		free(text);
		atomic_fetch_add(&s->reads, 1);
	}
	return NULL;
}

/* Every line that was acknowledged is there once, whole, and each writer's in his order. */
static void check_lines(struct engine *e, const char *path, const char *format, _Atomic uint64_t *counts)
{
	cleanup_free char *text = NULL;
	uint64_t seen[WRITERS] = {0};
	size_t len;
	char *line, *save = NULL;

	assert_int_equal(fixture_read(e, path, SEQ_LIVE, &text, &len), 0);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned writer = WRITERS;
		unsigned long long round = 0;
		char again[128];

		assert_int_equal(sscanf(line, format, &writer, &round), 2);
		assert_true(writer < WRITERS);
		snprintf(again, sizeof(again), format, writer, round);
		assert_string_equal(again, line);
		assert_int_equal(round, seen[writer]);
		seen[writer]++;
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(seen[i], atomic_load(&counts[i]));
}

static void check_all(struct engine *e, struct shared *s)
{
	char path[64];
	size_t len;
	char *text;

	check_lines(e, "state/shared.log", "writer %u round %llu", s->appended);
	check_lines(e, "state/shared.jsonl", "{\"writer\":%u,\"round\":%llu}", s->lines);
	for (unsigned i = 0; i <= 4; i++) {
		snprintf(path, sizeof(path), i < 4 ? "state/save-%u" : "state/renamed", i);
		assert_int_equal(fixture_read(e, path, SEQ_LIVE, &text, &len), 0);
		assert_true(len && is_whole(text, len));
		free(text);
	}
	text = fixture_events(e, &len);
	assert_true(event_chain_holds(text, len));
	free(text);
}

struct place {
	int fd;
	struct env *env;
};

static struct engine *open_with_threads(const char *dir, struct place *ret)
{
	struct engine_options opt = {.threads = true, .segment_bytes = 2u << 20, .root_uid = 1000, .root_gid = 1000};
	struct reason why = {0};
	struct engine *e = NULL;
	int r;

	ret->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(ret->fd >= 0);
	ret->env = env_posix_new(ret->fd);
	assert_non_null(ret->env);
	r = engine_open(ret->env, &opt, &why, &e);
	if (r)
		fail_msg("engine_open: %s: %s", strerror(-r), why.text);
	return e;
}

static void close_place(struct engine *e, struct place *p)
{
	assert_int_equal(engine_close(e), 0);
	env_posix_free(p->env);
	close(p->fd);
}

static void run_threads(struct shared *s, unsigned ms)
{
	struct worker workers[WRITERS + READERS];
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	for (unsigned i = 0; i < WRITERS + READERS; i++) {
		workers[i] = (struct worker){.s = s, .number = i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, i < WRITERS ? write_some : read_some, &workers[i]), 0);
	}
	nanosleep(&ts, NULL);
	atomic_store(&s->stop, true);
	for (unsigned i = 0; i < WRITERS + READERS; i++)
		pthread_join(workers[i].thread, NULL);
}

static void test_writers_and_readers(void **state)
{
	char dir[] = "/tmp/test-engine-threads-XXXXXX", command[128];
	const char *ms = getenv("ENGINE_THREADS_MS");
	struct shared s = {0};
	struct engine_stats stats;
	struct sha256 before, after;
	struct place place;

	(void)state;
	assert_non_null(mkdtemp(dir));
	s.e = open_with_threads(dir, &place);
	assert_int_equal(fixture_save_text(s.e, "status/config.yaml", "index:\n  every_transactions: 100\n"), 0);
	for (unsigned i = 0; i < 6; i++) {
		char path[64];

		snprintf(path, sizeof(path), i < 4 ? "state/save-%u" : i < 5 ? "state/shared.log" : "state/shared.jsonl", i);
		assert_int_equal(fixture_save_text(s.e, path, ""), 0);
	}
	run_threads(&s, ms ? (unsigned)atoi(ms) : 2000);
	if (atomic_load(&s.wrong))
		fail_msg("%s", s.why);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_true(atomic_load(&s.saves[i]) > 0);
	assert_true(atomic_load(&s.reads) > 0);
	engine_get_stats(s.e, &stats);
	assert_true(stats.index_seq > 0); /* snapshots were written meanwhile */
	check_all(s.e, &s);
	fixture_digest(s.e, SEQ_LIVE, &before);
	close_place(s.e, &place);

	s.e = open_with_threads(dir, &place);
	check_all(s.e, &s);
	fixture_digest(s.e, SEQ_LIVE, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	close_place(s.e, &place);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writers_and_readers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
