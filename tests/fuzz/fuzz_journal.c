/* SPDX-License-Identifier: MIT
 *
 * Recovery over arbitrary segment bytes: never a crash, never an endless loop, and
 * what recovery left behind recovers to the same a second time. The input
 * patches valid segments: triples of (le16 offset in 8-byte words, length, bytes), or, when its first byte is odd,
 * replaces the first segment's frames.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "env_mem.h"
#include "journal_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len)
{
	(void)position;
	*(uint64_t *)arg = *(uint64_t *)arg * 31 + seq + (len ? payload[len - 1] : 0);
	return 0;
}

static void spoil(struct env *env, const uint8_t *data, size_t size)
{
	if (!size)
		return;
	if (*data & 1) {
		size_t len = size - 1 < JOURNAL_FIXTURE_SEGMENT_BYTES - 4096 ? size - 1 : JOURNAL_FIXTURE_SEGMENT_BYTES - 4096;

		(void)env_mem_patch(env, "journal/00000001.seg", data + 1, len, 4096);
		return;
	}
	for (data++, size--; size > 3;) {
		uint64_t offset = ((uint64_t)data[0] | (uint64_t)data[1] << 8) * 8 % (2 * JOURNAL_FIXTURE_SEGMENT_BYTES);
		size_t len = data[2] % 64, room = JOURNAL_FIXTURE_SEGMENT_BYTES - offset % JOURNAL_FIXTURE_SEGMENT_BYTES;

		data += 3, size -= 3;
		len = len < size ? len : size;
		len = len < room ? len : room;
		(void)env_mem_patch(env, offset < JOURNAL_FIXTURE_SEGMENT_BYTES ? "journal/00000001.seg" : "journal/00000002.seg", data, len,
			offset % JOURNAL_FIXTURE_SEGMENT_BYTES);
		data += len, size -= len;
	}
}

static int recover(struct env *env, uint64_t *ret_hash, struct journal_recovery *ret_recovery)
{
	struct journal_options opt = {.segment_bytes = JOURNAL_FIXTURE_SEGMENT_BYTES};
	struct store *store;
	struct journal *j;
	int r = store_open(env, 0, NULL, &store);

	*ret_hash = 0;
	assert(!r);
	r = journal_open(store, &opt, count, ret_hash, ret_recovery, &j);
	if (!r) {
		journal_recovery_release(ret_recovery);
		r = journal_close(j);
		assert(!r);
	}
	store_close(store);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct env *base;
	struct journal_recovery first = {0}, second = {0};
	uint64_t hash, again;
	struct env *env;

	if (!base) {
		struct journal_fixture f;
		int r;

		base = env_mem_new(1);
		r = journal_fixture_open(&f, base, NULL, NULL);
		assert(!r);
		for (int i = 0; i < 40; i++) {
			uint64_t seq = journal_fixture_append(&f, 1, NULL);

			r = journal_wait(f.journal, seq, JOURNAL_DURABLE);
			assert(!r);
		}
		r = journal_fixture_close(&f);
		assert(!r);
	}
	env = env_mem_power_cycle(base, ENV_MEM_LOST, 1);
	spoil(env, data, size);
	if (recover(env, &hash, &first) == 0) {
		int r = recover(env, &again, &second);

		assert(!r && hash == again && second.torn_bytes == 0 && first.frames == second.frames);
		(void)r;
	}
	env_mem_free(env);
	return 0;
}
