/* SPDX-License-Identifier: MIT
 *
 * A journal with damage of every kind at every place: what is readable is served, what is not is told, and nothing else is lost.
 */
#include <stdio.h>

#include "cmocka_all.h"
#include "env_mem.h"
#include "journal_fixture.h"
#include "journal_format.h"
#include "position.h"
#include "rng.h"

/* --- damage ------------------------------------------------------------------- */

enum spoil { SPOIL_FLIP, SPOIL_ZERO_SECTOR, SPOIL_NOISE_BLOCKS, SPOIL_COUNT };

struct wound {
	char path[32];
	uint32_t segment;
	uint64_t offset, len;
};

static void inflict(struct env *env, const struct wound *w, enum spoil how)
{
	uint8_t bytes[3 * 4096] = {0};
	struct rng rng;

	rng_init(&rng, w->offset + 1);
	if (how == SPOIL_FLIP) {
		assert_int_equal(env_mem_read(env, w->path, bytes, 1, w->offset), 1);
		bytes[0] ^= 1 << rng_below(&rng, 8);
	} else if (how == SPOIL_NOISE_BLOCKS) {
		for (size_t i = 0; i < w->len; i++)
			bytes[i] = (uint8_t)rng_next(&rng);
	}
	assert_int_equal(env_mem_patch(env, w->path, bytes, w->len, w->offset), 0);
}

static bool reported(const struct journal_recovery *r, uint64_t seq)
{
	for (size_t i = 0; i < r->damage_count; i++)
		if (r->damage[i].seq_first && seq >= r->damage[i].seq_first && seq <= r->damage[i].seq_last)
			return true;
	return false;
}

/* Does frame @seq, intact at @position, touch the wound? */
static bool is_hit(uint64_t position, uint64_t seq, const struct wound *w)
{
	uint8_t payload[JOURNAL_FIXTURE_PAYLOAD_MAX];
	uint64_t from = position_offset(position) - FRAME_HEADER_BYTES;
	uint64_t to = position_offset(position) + journal_fixture_payload(seq, JOURNAL_FIXTURE_SALT, payload);

	return position_file(position) == w->segment && from < w->offset + w->len && w->offset < to;
}

static void check_wound(struct env *env, const struct journal_fixture_seen *whole, const struct wound *w)
{
	static struct journal_fixture_seen seen;
	struct journal_fixture f;
	uint64_t last = 0;

	seen = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT);
	seen.may_skip = true;
	assert_int_equal(journal_fixture_open(&f, env, NULL, &seen), 0);
	assert_false(seen.wrong);
	for (uint64_t seq = 1; seq <= whole->seq_last; seq++) {
		bool hit = is_hit(whole->positions[seq], seq, w);

		if (!hit && !seen.positions[seq])
			fail_msg("%s+%llu: frame %llu was lost though it was not touched", w->path, (unsigned long long)w->offset, (unsigned long long)seq);
		if (!seen.positions[seq] && seq < seen.seq_last)
			assert_true(reported(&f.recovery, seq)); /* never a silent loss */
		if (seen.positions[seq])
			assert_false(reported(&f.recovery, seq));
	}
	/* Life goes on, and the next recovery tells the same. */
	last = journal_fixture_append(&f, JOURNAL_FIXTURE_SALT, NULL);
	assert_true(last > seen.seq_last);
	assert_int_equal(journal_fixture_close(&f), 0);
	uint64_t count = seen.count;

	seen = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT);
	seen.may_skip = true;
	assert_int_equal(journal_fixture_open(&f, env, NULL, &seen), 0);
	assert_false(seen.wrong);
	assert_int_equal(seen.count, count + 1);
	assert_int_equal(seen.seq_last, last);
	assert_int_equal(f.recovery.torn_bytes, 0);
	for (uint64_t seq = 1; seq < last; seq++)
		assert_true(seen.positions[seq] || reported(&f.recovery, seq));
	assert_int_equal(journal_fixture_close(&f), 0);
}

static void test_damage_everywhere(void **state)
{
	static const uint64_t lens[] = {1, 512, 3 * 4096}, strides[] = {331, 1009, 4096 * 2 + 512};
	struct env *env = journal_fixture_filled(60);
	struct journal_fixture_seen whole = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT);
	struct journal_fixture f;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, NULL, &whole), 0);
	assert_int_equal(whole.count, 60);
	assert_int_equal(journal_fixture_close(&f), 0);
	for (int how = 0; how < SPOIL_COUNT; how++) {
		for (uint32_t segment = 1; segment <= position_file(whole.positions[60]); segment++) {
			for (uint64_t at = how * 8; at + lens[how] <= JOURNAL_FIXTURE_SEGMENT_BYTES; at += strides[how]) {
				struct env *copy = env_mem_power_cycle(env, ENV_MEM_LOST, 1); /* all is synced */
				struct wound w = {.segment = segment, .offset = at, .len = lens[how]};

				(void)snprintf(w.path, sizeof(w.path), "journal/%08x.seg", segment);
				inflict(copy, &w, (enum spoil)how);
				check_wound(copy, &whole, &w);
				env_mem_free(copy);
			}
		}
	}
	env_mem_free(env);
}

static void test_missing_segment(void **state)
{
	struct env *env = journal_fixture_filled(90);
	struct journal_fixture_seen whole = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT), seen = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT);
	struct journal_fixture f;
	uint64_t lost = 0;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, NULL, &whole), 0);
	assert_int_equal(journal_fixture_close(&f), 0);
	assert_true(position_file(whole.positions[90]) > 2);
	assert_int_equal(env_unlink(env, "journal/00000002.seg"), 0);
	seen.may_skip = true;
	assert_int_equal(journal_fixture_open(&f, env, NULL, &seen), 0);
	assert_false(seen.wrong);
	for (uint64_t seq = 1; seq <= 90; seq++) {
		bool gone = position_file(whole.positions[seq]) == 2;

		lost += gone;
		assert_int_equal(gone, !seen.positions[seq]);
		assert_int_equal(gone, reported(&f.recovery, seq));
	}
	assert_true(lost > 0);
	assert_int_equal(f.recovery.damage_count, 1);
	assert_int_equal(journal_fixture_fill(&f, 40), 130); /* over a segment's end, with a number missing before */
	assert_int_equal(journal_fixture_close(&f), 0);
	env_mem_free(env);
}

/* A frame copied into a payload, at whatever place, is content and nothing else. */
static void test_copied_frames_are_content(void **state)
{
	struct env *env = journal_fixture_filled(20);
	uint8_t copy[8192];
	struct iovec iov = {copy, sizeof(copy)};
	struct journal_recovery recovery;
	struct journal_options opt = {.segment_bytes = JOURNAL_FIXTURE_SEGMENT_BYTES};
	struct journal_fixture f;

	(void)state;
	assert_int_equal(env_mem_read(env, "journal/00000001.seg", copy, sizeof(copy), 4096), sizeof(copy));
	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	assert_int_equal(journal_reserve(f.journal, sizeof(copy)), 0);
	uint64_t position = journal_next_position(f.journal, sizeof(copy));

	assert_int_equal(journal_append(f.journal, sizeof(copy), &iov, 1), 21);
	assert_int_equal(journal_sync(f.journal), 0);
	assert_int_equal(journal_fixture_fill(&f, 1), 22);
	assert_int_equal(journal_fixture_close(&f), 0);
	/* Spoil the outer frame's header so that the scan goes through its payload. */
	char path[32];

	(void)snprintf(path, sizeof(path), "journal/%08x.seg", position_file(position));
	assert_int_equal(env_mem_patch(env, path, "broken", 6, position_offset(position) - FRAME_HEADER_BYTES), 0);
	assert_int_equal(store_open(env, 0, NULL, &f.store), 0);
	assert_int_equal(journal_open(f.store, &opt, NULL, NULL, &recovery, &f.journal), 0);
	assert_int_equal(recovery.frames, 21);
	assert_int_equal(recovery.damage_count, 1);
	assert_int_equal(recovery.damage[0].seq_first, 21);
	assert_int_equal(recovery.damage[0].seq_last, 21);
	f.recovery = recovery;
	assert_int_equal(journal_fixture_close(&f), 0);
	env_mem_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damage_everywhere),
		cmocka_unit_test(test_missing_segment),
		cmocka_unit_test(test_copied_frames_are_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
