/* SPDX-License-Identifier: MIT
 *
 * L2. Extents: which bytes of the store a range of a file is made of, and a map
 * of them without overlaps. One structure for published content and for drafts.
 *
 * An extent names a *block* (the stored unit: raw, or lz4-compressed as a whole) and a part of it.
 */
#ifndef MILESTONEFS_EXTENT_H
#define MILESTONEFS_EXTENT_H

#include <stddef.h>
#include <stdint.h>

#define EXTENT_TO_END UINT64_MAX /* as a hole's end: everything from file_offset on */

struct extent {
	uint64_t file_offset;
	uint64_t len;        /**< bytes of the file covered; holes may be huge */
	uint64_t position;   /**< of the block; 0: a hole (reads as zeros) */
	uint32_t raw_len;    /**< of the block, uncompressed */
	uint32_t stored_len; /**< of the block as stored; < raw_len: lz4 block format */
	uint32_t skip;       /**< first byte of the block that this extent shows */
};

/** Sorted, non-overlapping; what is not covered is a hole. The owner's lock protects it. */
struct extent_map {
	struct extent *items; /**< owned */
	size_t count;
	size_t capacity;
	uint64_t data_bytes; /**< bytes covered by non-holes */
};

void extent_map_release(struct extent_map *m);
/** Make the next @inserts calls of extent_map_insert() unable to fail. 0 or -ENOMEM. */
int extent_map_reserve(struct extent_map *m, size_t inserts);
/** Lay @e over what is there (a hole removes). Needs a reservation. O(log n) to find, O(1) at the end. */
void extent_map_insert(struct extent_map *m, const struct extent *e);
/** Index of the first extent that ends after @offset; m->count when none. */
size_t extent_map_find(const struct extent_map *m, uint64_t offset);
/** Copy the parts within [offset, offset+len) to @out (clipped, at most @max). Returns how many; *@ret_covered: end offset up to which the answer is complete. */
size_t extent_map_range(const struct extent_map *m, uint64_t offset, uint64_t len, struct extent *out, size_t max, uint64_t *ret_covered);
int extent_map_copy(const struct extent_map *from, struct extent_map *to);
/** Clip @e to [start, end). */
void extent_clip(struct extent *e, uint64_t start, uint64_t end);

#endif
