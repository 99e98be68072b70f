/* SPDX-License-Identifier: MIT
 *
 * The bytes of one in-memory file: sparse, in pages of 4 KiB, so that large
 * preallocated files cost nothing. Allocation failure ends the test program.
 */
#ifndef MILESTONEFS_TEST_MEM_CONTENT_H
#define MILESTONEFS_TEST_MEM_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#define MEM_PAGE_BYTES 4096u

struct mem_content {
	uint64_t size;     /**< bytes */
	uint8_t **pages;   /**< owned; NULL is a page of zeros */
	size_t page_count; /**< entries of `pages` */
};

void *mem_alloc(size_t bytes); /**< zeroed, or abort */
void mem_content_release(struct mem_content *c);
void mem_content_write(struct mem_content *c, const void *data, size_t len, uint64_t offset);
/** Bytes read: less than @len only at the end. */
size_t mem_content_read(const struct mem_content *c, void *buf, size_t len, uint64_t offset);
void mem_content_resize(struct mem_content *c, uint64_t size);
/** @to must be empty. */
void mem_content_copy(struct mem_content *to, const struct mem_content *from);

#endif
