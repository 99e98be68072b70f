/* SPDX-License-Identifier: MIT
 *
 * SQLite beside it: write-ahead log, synchronous=FULL, in process, one row a save.
 *
 *	load_sqlite shared FILE SECONDS BYTES THREADS   a connection a thread, a transaction a save
 *	load_sqlite group FILE SECONDS BYTES THREADS    one connection; a committing thread puts what waits into one transaction
 *
 * Each thread replaces the content of eight paths of its own in turn, as the file benchmarks do. Without libsqlite3-dev the
 * program says so and exits with 77.
 */
#include "bench.h"

#ifdef BENCH_SQLITE
#include <sqlite3.h>

#define PATHS 8

struct connection {
	sqlite3 *db;
	sqlite3_stmt *save, *begin, *commit;
};

struct lite {
	const char *path;
	size_t bytes;
	char *data;
	struct connection one; /* of the group's committing thread */
	struct bench_group group;
};

__attribute__((noreturn)) static void lite_die(sqlite3 *db)
{
	fprintf(stderr, "load_sqlite: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static void lite_open(struct connection *c, const char *path)
{
	static const char set_up[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
				     "CREATE TABLE IF NOT EXISTS files(path TEXT PRIMARY KEY, content BLOB) WITHOUT ROWID;";

	if (sqlite3_open(path, &c->db) || sqlite3_busy_timeout(c->db, 60000) || sqlite3_exec(c->db, set_up, NULL, NULL, NULL) ||
		sqlite3_prepare_v2(c->db, "INSERT OR REPLACE INTO files VALUES(?,?)", -1, &c->save, NULL) ||
		sqlite3_prepare_v2(c->db, "BEGIN IMMEDIATE", -1, &c->begin, NULL) || sqlite3_prepare_v2(c->db, "COMMIT", -1, &c->commit, NULL))
		lite_die(c->db);
}

static void lite_step(struct connection *c, sqlite3_stmt *s)
{
	if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s))
		lite_die(c->db);
}

static void lite_save(struct connection *c, const struct lite *l, unsigned writer, uint64_t i)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "w%u/f%u", writer, (unsigned)(i % PATHS));
	if (sqlite3_bind_text(c->save, 1, path, -1, SQLITE_TRANSIENT) || sqlite3_bind_blob(c->save, 2, l->data, (int)l->bytes, SQLITE_STATIC))
		lite_die(c->db);
	lite_step(c, c->save);
}

static void shared_prepare(struct bench_worker *w)
{
	struct lite *l = w->crowd->arg;
	static pthread_mutex_t one_by_one = PTHREAD_MUTEX_INITIALIZER;

	w->state = calloc(1, sizeof(struct connection));
	if (!w->state)
		bench_die("malloc");
	(void)pthread_mutex_lock(&one_by_one);
	lite_open(w->state, l->path);
	(void)pthread_mutex_unlock(&one_by_one);
}

static void shared_op(struct bench_worker *w, uint64_t i)
{
	lite_save(w->state, w->crowd->arg, w->index, i);
}

static void group_op(struct bench_worker *w, uint64_t i)
{
	(void)i;
	bench_group_do(&((struct lite *)w->crowd->arg)->group);
}

static void group_commit(void *arg, uint64_t first, uint64_t last)
{
	struct lite *l = arg;

	lite_step(&l->one, l->one.begin);
	for (uint64_t i = first; i <= last; i++)
		lite_save(&l->one, l, (unsigned)(i % 16), i / 16);
	lite_step(&l->one, l->one.commit);
}

static void *group_main(void *arg)
{
	bench_group_serve(&((struct lite *)arg)->group, group_commit, arg);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_crowd *crowd = bench_crowd_new();
	static struct lite lite = {.group = BENCH_GROUP_INIT};
	pthread_t committer;
	int group;

	if (argc != 6) {
		fprintf(stderr, "usage: load_sqlite shared|group FILE SECONDS BYTES THREADS\n");
		return 2;
	}
	group = !strcmp(argv[1], "group");
	lite.path = argv[2];
	lite.bytes = strtoul(argv[4], NULL, 10);
	lite.data = calloc(1, lite.bytes + 1);
	if (!lite.data)
		bench_die("malloc");
	*crowd = (struct bench_crowd){.threads = (unsigned)atoi(argv[5]),
		.seconds = atof(argv[3]),
		.prepare = group ? NULL : shared_prepare,
		.op = group ? group_op : shared_op,
		.arg = &lite};
	if (group)
		lite_open(&lite.one, lite.path);
	if (group && (errno = pthread_create(&committer, NULL, group_main, &lite)))
		bench_die("pthread_create");
	bench_run(crowd);
	if (group) {
		bench_group_stop(&lite.group);
		(void)pthread_join(committer, NULL);
	}
	return 0;
}
#else
int main(void)
{
	fprintf(stderr, "load_sqlite: built without libsqlite3-dev\n");
	return 77;
}
#endif
