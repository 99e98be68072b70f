/* SPDX-License-Identifier: MIT
 *
 * Private to the journal and the arena: file headers, frames and records as
 * bytes. Specified in journal_format.h; pure functions, no I/O.
 */
#ifndef MILESTONEFS_JOURNAL_CODEC_H
#define MILESTONEFS_JOURNAL_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal_format.h"
#include "position.h"
#include "store.h"

/** What is mixed into every checksum: the store and the place. */
uint64_t codec_seed(uint64_t store_seed, uint64_t position, uint64_t generation);

/** The first block of a segment, content or draft file. */
struct file_header {
	uint32_t magic;
	enum position_kind kind;
	uint32_t number;
	uint64_t seq_or_generation;
	uint64_t bytes;
};
void codec_file_header_encode(const struct store *store, const struct file_header *h, uint8_t out[FORMAT_BLOCK_BYTES]);
/** @h->magic, kind and number say what is expected; the rest is filled. 0, -EBADMSG invalid, -EPROTONOSUPPORT newer. */
int codec_file_header_decode(const struct store *store, const uint8_t in[FORMAT_BLOCK_BYTES], struct file_header *h);

/** A frame's or record's header in memory. */
struct frame_header {
	uint32_t magic; /* FRAME_MAGIC or RECORD_MAGIC */
	uint32_t payload_len;
	uint16_t type, flags;
	uint64_t seq;           /* record: draft id */
	uint64_t synced_before; /* record: file offset */
};
/** Write the header in front of the payload, which stands at @frame + FRAME_HEADER_BYTES already. */
void codec_frame_seal(const struct frame_header *h, uint64_t seed, uint8_t *frame);
/**
 * Does a header begin at @in (FRAME_HEADER_BYTES readable) that vouches for itself? @want_magic and @payload_max bound it.
 * The payload is not looked at; use codec_frame_check() for that.
 */
bool codec_frame_decode(const uint8_t *in, uint64_t seed, uint32_t want_magic, uint32_t payload_max, struct frame_header *ret);
/** Do the header and the @payload_len bytes behind it have the checksum they carry? */
bool codec_frame_check(const uint8_t *frame, uint32_t payload_len, uint64_t seed);

#endif
