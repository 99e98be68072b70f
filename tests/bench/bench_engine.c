/* SPDX-License-Identifier: MIT
 *
 * What the core alone costs, without FUSE: saves, appends and reads through the engine's door.
 *
 *	bench_engine DIR SECONDS [ROW]      (DIR: an empty directory on the disk to measure; ROW: only this one, from 0)
 *
 * For each row a line of JSON with its name, one as load_files prints it, and one with syncs and bytes of the journal and processor
 * time of the whole process, an operation. Rows that do not wait show the processor's part alone. Asserts nothing.
 */
#include "engine_load.h"

#include <sys/resource.h>

#define FILES 8

struct row {
	const char *what;
	void (*op)(struct bench_worker *w, uint64_t i);
	unsigned threads;
	bool wait; /* until durable */
	size_t bytes;
	const char *suffix;
};

struct work {
	struct engine *engine;
	const struct row *row;
	char data[4096];
	uint64_t top;
	uint64_t directories;
};

struct files {
	uint64_t ino[FILES];
	struct version_extents scratch;
};

static void prepare(struct bench_worker *w)
{
	struct work *k = w->crowd->arg;
	struct files *f = calloc(1, sizeof(*f));
	char name[32];
	uint64_t dir;

	if (!f)
		bench_die("calloc");
	(void)snprintf(name, sizeof(name), "w%llu", (unsigned long long)__atomic_fetch_add(&k->directories, 1, __ATOMIC_RELAXED));
	dir = load_mkdir(k->engine, k->top, name);
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "f%u%s", i, k->row->suffix);
		f->ino[i] = load_create(k->engine, dir, name);
		(void)load_save(k->engine, f->ino[i], k->data, k->row->bytes);
	}
	w->state = f;
}

static void finish(const struct work *k, uint64_t seq)
{
	if (k->row->wait)
		load_check(engine_wait(k->engine, seq, JOURNAL_DURABLE), "engine_wait");
}

static void op_save(struct bench_worker *w, uint64_t i)
{
	const struct work *k = w->crowd->arg;

	finish(k, load_save(k->engine, ((struct files *)w->state)->ino[i % FILES], k->data, k->row->bytes));
}

static void op_append(struct bench_worker *w, uint64_t i)
{
	const struct work *k = w->crowd->arg;
	struct request q;
	struct draft *d;

	load_request(&q);
	load_check(draft_open(k->engine, ((struct files *)w->state)->ino[i % FILES], DRAFT_APPEND, &q.actor, &d), "draft_open");
	load_check(draft_write(d, &q.actor, 0, k->data, k->row->bytes), "draft_write");
	load_check(draft_commit(d, &q, 0), "draft_commit");
	draft_close(d);
	finish(k, q.seq);
}

static void op_read(struct bench_worker *w, uint64_t i)
{
	const struct work *k = w->crowd->arg;
	struct files *f = w->state;
	struct version *v;
	char buf[4096];

	engine_lock(k->engine);
	v = tree_version_at(tree_node(engine_tree(k->engine), f->ino[i % FILES]), engine_live_seq(k->engine));
	engine_unlock(k->engine);
	if (engine_read(k->engine, v, &f->scratch, 0, buf, k->row->bytes) != (ssize_t)k->row->bytes)
		bench_die("engine_read");
}

static const struct row rows[] = {
	{"save 1 KiB, durable, 1 writer", op_save, 1, true, 1024, ".txt"},
	{"save 1 KiB, durable, 16 writers", op_save, 16, true, 1024, ".txt"},
	{"save 1 KiB .yaml, durable, 16 writers", op_save, 16, true, 1024, ".yaml"},
	{"save 1 KiB, not waiting, 1 writer", op_save, 1, false, 1024, ".txt"},
	{"save 1 KiB .yaml, not waiting, 1 writer", op_save, 1, false, 1024, ".yaml"},
	{"append 200 bytes, durable, 1 writer", op_append, 1, true, 200, ".txt"},
	{"append 200 bytes, not waiting, 1 writer", op_append, 1, false, 200, ".txt"},
	{"read 1 KiB, 1 reader", op_read, 1, false, 1024, ".txt"},
};

static double cpu_seconds(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void run_row(struct work *k, const struct row *row, double seconds)
{
	struct engine_stats before, after;
	struct bench_crowd *crowd = bench_crowd_new();
	double cpu = cpu_seconds(), ops = 0;

	k->row = row;
	*crowd = (struct bench_crowd){.threads = row->threads, .seconds = seconds, .prepare = prepare, .op = row->op, .arg = k};
	printf("{\"what\":\"%s\"}\n", row->what);
	engine_get_stats(k->engine, &before);
	bench_run(crowd);
	load_check(engine_sync(k->engine), "engine_sync");
	engine_get_stats(k->engine, &after);
	for (unsigned i = 0; i < row->threads; i++)
		ops += (double)crowd->workers[i].ops;
	printf("{\"syncs_per_op\":%.3f,\"bytes_per_op\":%.0f,\"cpu_us_per_op\":%.2f}\n", (double)(after.journal.syncs - before.journal.syncs) / ops,
		(double)(after.journal.bytes_written - before.journal.bytes_written) / ops, (cpu_seconds() - cpu) * 1e6 / ops);
	fflush(stdout);
	(void)munmap(crowd, sizeof(*crowd));
}

int main(int argc, char **argv)
{
	struct engine_load l;
	static struct work work;
	int only = argc > 3 ? atoi(argv[3]) : -1;

	if (argc < 3) {
		fprintf(stderr, "usage: bench_engine DIR SECONDS [ROW]\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(work.data); i++) /* letters that no compressor gains on */
		work.data[i] = (char)('A' + (i * i * 2654435761u >> 24) % 26);
	load_open(&l, argv[1]);
	work.engine = l.engine;
	work.top = load_session(l.engine);
	for (int i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++)
		if (only < 0 || only == i)
			run_row(&work, &rows[i], atof(argv[2]));
	load_close(&l);
	return 0;
}
