/* SPDX-License-Identifier: MIT
 *
 * L1. A position: where bytes lie in the store, packed into 64 bits so that an
 * extent or an event needs one word for it. Persistent (it is written into
 * frames and index snapshots), so its layout is frozen:
 *
 *   bits 63..62  enum position_kind
 *   bits 61..40  file number (22 bits)
 *   bits 39..0   byte offset in that file (40 bits)
 *
 * 0 is "no position" (offset 0 of every file is its header).
 */
#ifndef MILESTONEFS_POSITION_H
#define MILESTONEFS_POSITION_H

#include <stdint.h>

enum position_kind {
	POSITION_JOURNAL = 0, /**< journal/FILE.seg: bytes inside a frame */
	POSITION_CONTENT = 1, /**< content/FILE.blk: large content a frame refers to */
	POSITION_DRAFT = 2,   /**< drafts/FILE.arena: bytes nobody published yet */
};

#define POSITION_FILE_MAX ((1u << 22) - 1)
#define POSITION_OFFSET_MAX ((UINT64_C(1) << 40) - 1)

static inline uint64_t position_make(enum position_kind kind, uint32_t file, uint64_t offset)
{
	return (uint64_t)kind << 62 | (uint64_t)file << 40 | offset;
}
static inline enum position_kind position_kind(uint64_t p)
{
	return (enum position_kind)(p >> 62);
}
static inline uint32_t position_file(uint64_t p)
{
	return (uint32_t)(p >> 40) & POSITION_FILE_MAX;
}
static inline uint64_t position_offset(uint64_t p)
{
	return p & POSITION_OFFSET_MAX;
}

#endif
