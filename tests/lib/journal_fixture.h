/* SPDX-License-Identifier: MIT
 *
 * A store with a journal of small segments over any environment, and frames whose
 * bytes follow from their number and a salt, so that each frame found can be judged.
 */
#ifndef MILESTONEFS_TEST_JOURNAL_FIXTURE_H
#define MILESTONEFS_TEST_JOURNAL_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "journal.h"
#include "store.h"

#define JOURNAL_FIXTURE_SEGMENT_BYTES (64u << 10)
#define JOURNAL_FIXTURE_PAYLOAD_MAX (16u << 10)
#define JOURNAL_FIXTURE_SEQ_MAX 4096
#define JOURNAL_FIXTURE_SALT 1 /**< where nothing else is said */

/** What a replay saw. Frames up to @old_seq_last must have @old_salt, later ones @salt. */
struct journal_fixture_seen {
	uint64_t old_seq_last;
	uint32_t old_salt, salt;
	bool may_skip; /* numbers may be missing (damage) */
	uint64_t count, seq_first, seq_last;
	uint64_t positions[JOURNAL_FIXTURE_SEQ_MAX]; /* by seq; 0: not seen */
	bool wrong;                                  /* a frame with other bytes, or out of order */
};

struct journal_fixture {
	struct store *store;
	struct journal *journal;
	struct journal_recovery recovery;
};

/** Length of frame @seq's payload, and its bytes into @out (JOURNAL_FIXTURE_PAYLOAD_MAX). */
size_t journal_fixture_payload(uint64_t seq, uint32_t salt, uint8_t *out);
int journal_fixture_seen_frame(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len);
/** Open store and journal; 0 or -errno with nothing left open. @seen may be NULL. */
int journal_fixture_open(struct journal_fixture *f, struct env *env, const struct journal_options *opt, struct journal_fixture_seen *seen);
/** Returns what journal_close() said. */
int journal_fixture_close(struct journal_fixture *f);
/** Reserve and append the frame of the next number. Its number, or 0 and the error in *@ret_error (NULL allowed). */
uint64_t journal_fixture_append(struct journal_fixture *f, uint32_t salt, int *ret_error);
/** The same, with everything flushed between asking for the position and appending. *@ret_kept: it is where it was said. */
uint64_t journal_fixture_append_promised(struct journal_fixture *f, uint32_t salt, bool *ret_kept);
/** Expects frames of one salt only. */
struct journal_fixture_seen journal_fixture_seen_of(uint32_t salt);
/** Append @count frames, each durable by itself, so that only the last one is not proven. The last one's number. */
uint64_t journal_fixture_fill(struct journal_fixture *f, int count);
/** An in-memory environment with a journal of so many frames, closed. */
struct env *journal_fixture_filled(int count);

#endif
