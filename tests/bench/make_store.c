/* SPDX-License-Identifier: MIT
 *
 * Make a store with a long history, quickly: through the engine, without FUSE, synced at intervals.
 *
 *	make_store DIR FILES TRANSACTIONS BYTES
 *
 * DIR becomes (or is) the store, that is PROJECT/.milestones unmounted. It gets FILES files of BYTES bytes, a hundred to a directory, and
 * then saves of them in a fixed pseudo-random order until the journal holds TRANSACTIONS transactions. Prints a line of JSON.
 */
#include "engine_load.h"

#define FILES_A_DIRECTORY 100
#define CONTENT_BYTES_MAX 65536

static uint64_t *make_files(struct engine *e, uint64_t top, uint64_t files, const void *data, size_t bytes)
{
	uint64_t *inos = calloc(files + 1, sizeof(*inos));
	uint64_t dir = 0;
	char name[32];

	if (!inos)
		bench_die("calloc");
	for (uint64_t i = 0; i < files; i++) {
		if (i % FILES_A_DIRECTORY == 0) {
			(void)snprintf(name, sizeof(name), "d%05llu", (unsigned long long)(i / FILES_A_DIRECTORY));
			dir = load_mkdir(e, top, name);
		}
		(void)snprintf(name, sizeof(name), "file%06llu.txt", (unsigned long long)i);
		inos[i] = load_create(e, dir, name);
		(void)load_save(e, inos[i], data, bytes);
	}
	return inos;
}

int main(int argc, char **argv)
{
	static char data[CONTENT_BYTES_MAX];
	uint64_t files, transactions, seq = 0, random = 88172645463325252ull;
	struct engine_load l;
	uint64_t *inos;
	int64_t begin = bench_now_ns();
	size_t bytes;

	if (argc != 5 || (bytes = strtoul(argv[4], NULL, 10)) > sizeof(data)) {
		fprintf(stderr, "usage: make_store DIR FILES TRANSACTIONS BYTES\n");
		return 2;
	}
	files = strtoull(argv[2], NULL, 10);
	transactions = strtoull(argv[3], NULL, 10);
	memset(data, 'x', bytes);
	load_open(&l, argv[1]);
	inos = make_files(l.engine, load_session(l.engine), files, data, bytes);
	for (seq = engine_head_seq(l.engine); files && seq < transactions;) {
		random ^= random << 13; /* xorshift64, Marsaglia 2003 */
		random ^= random >> 7;
		random ^= random << 17;
		memcpy(data, &random, bytes < sizeof(random) ? bytes : sizeof(random));
		seq = load_save(l.engine, inos[random % files], data, bytes);
	}
	seq = engine_head_seq(l.engine);
	load_check(engine_sync(l.engine), "engine_sync");
	load_close(&l);
	free(inos);
	printf("{\"files\":%llu,\"transactions\":%llu,\"seconds\":%.2f}\n", (unsigned long long)files, (unsigned long long)seq,
		(double)(bench_now_ns() - begin) / 1e9);
	return 0;
}
