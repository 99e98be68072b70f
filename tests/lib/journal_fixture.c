/* SPDX-License-Identifier: MIT
 *
 * Frames that judge themselves: see journal_fixture.h.
 */
#include "journal_fixture.h"

#include <assert.h>
#include <string.h>

#include "env_mem.h"
#include "rng.h"

size_t journal_fixture_payload(uint64_t seq, uint32_t salt, uint8_t *out)
{
	struct rng rng;
	size_t len;

	rng_init(&rng, seq * 1000003 + salt);
	switch (rng_below(&rng, 8)) {
	case 0:
		len = rng_below(&rng, 9);
		break;
	case 1:
		len = rng_below(&rng, JOURNAL_FIXTURE_PAYLOAD_MAX + 1);
		break;
	default:
		len = rng_below(&rng, 1800);
	}
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(rng_next(&rng) >> 32);
	return len;
}

int journal_fixture_seen_frame(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len)
{
	struct journal_fixture_seen *seen = arg;
	uint8_t want[JOURNAL_FIXTURE_PAYLOAD_MAX];
	size_t want_len;

	if (!seen)
		return 0;
	want_len = journal_fixture_payload(seq, seq <= seen->old_seq_last ? seen->old_salt : seen->salt, want);
	if (len != want_len || (len && memcmp(payload, want, len)) || seq >= JOURNAL_FIXTURE_SEQ_MAX)
		seen->wrong = true;
	if (seq <= seen->seq_last || (!seen->may_skip && seen->count && seq != seen->seq_last + 1))
		seen->wrong = true;
	if (!seen->count)
		seen->seq_first = seq;
	seen->count++;
	seen->seq_last = seq;
	if (seq < JOURNAL_FIXTURE_SEQ_MAX)
		seen->positions[seq] = position;
	return 0;
}

int journal_fixture_open(struct journal_fixture *f, struct env *env, const struct journal_options *opt, struct journal_fixture_seen *seen)
{
	struct journal_options options = opt ? *opt : (struct journal_options){0};
	int r;

	*f = (struct journal_fixture){0};
	if (!options.segment_bytes)
		options.segment_bytes = JOURNAL_FIXTURE_SEGMENT_BYTES;
	r = store_open(env, options.read_only ? STORE_READ_ONLY : STORE_CREATE, NULL, &f->store);
	if (r < 0)
		return r;
	r = journal_open(f->store, &options, seen ? journal_fixture_seen_frame : NULL, seen, &f->recovery, &f->journal);
	if (r < 0) {
		store_close(f->store);
		*f = (struct journal_fixture){0};
	}
	return r;
}

int journal_fixture_close(struct journal_fixture *f)
{
	int r = journal_close(f->journal);

	journal_recovery_release(&f->recovery);
	store_close(f->store);
	*f = (struct journal_fixture){0};
	return r;
}

uint64_t journal_fixture_append(struct journal_fixture *f, uint32_t salt, int *ret_error)
{
	uint8_t payload[JOURNAL_FIXTURE_PAYLOAD_MAX];
	uint64_t seq = journal_next_seq(f->journal);
	struct iovec iov[2];
	size_t len = journal_fixture_payload(seq, salt, payload);
	int r = journal_reserve(f->journal, len);

	if (r < 0) {
		if (ret_error)
			*ret_error = r;
		return 0;
	}
	iov[0] = (struct iovec){payload, len / 3};
	iov[1] = (struct iovec){payload + len / 3, len - len / 3};
	return journal_append(f->journal, len, iov, 2);
}

uint64_t journal_fixture_append_promised(struct journal_fixture *f, uint32_t salt, bool *ret_kept)
{
	uint8_t payload[JOURNAL_FIXTURE_PAYLOAD_MAX], back[JOURNAL_FIXTURE_PAYLOAD_MAX];
	uint64_t position, seq = journal_next_seq(f->journal);
	size_t len = journal_fixture_payload(seq, salt, payload);
	struct iovec iov = {payload, len};

	if (journal_reserve(f->journal, len) < 0)
		return 0;
	position = journal_next_position(f->journal, len);
	(void)journal_sync(f->journal); /* its failure shows in later waits */
	seq = journal_append(f->journal, len, &iov, 1);
	*ret_kept = journal_error(f->journal) || (journal_read(f->journal, position, back, len) == 0 && !memcmp(back, payload, len));
	return seq;
}

struct journal_fixture_seen journal_fixture_seen_of(uint32_t salt)
{
	return (struct journal_fixture_seen){.old_seq_last = UINT64_MAX, .old_salt = salt};
}

uint64_t journal_fixture_fill(struct journal_fixture *f, int count)
{
	uint64_t seq = 0;

	for (int i = 0; i < count; i++) {
		seq = journal_fixture_append(f, JOURNAL_FIXTURE_SALT, NULL);
		assert(seq > 0);
		assert(journal_wait(f->journal, seq, JOURNAL_DURABLE) == 0);
	}
	return seq;
}

struct env *journal_fixture_filled(int count)
{
	struct env *env = env_mem_new(1);
	struct journal_fixture f;

	assert(journal_fixture_open(&f, env, NULL, NULL) == 0);
	assert(journal_fixture_fill(&f, count) == (uint64_t)count);
	assert(journal_fixture_close(&f) == 0);
	return env;
}
