/* SPDX-License-Identifier: MIT
 *
 * Sparse file contents in memory. A page that was never written with anything
 * but zeros is NULL. Invariant: bytes of the last page behind `size` are zero,
 * so growing a file shows zeros, as POSIX says.
 */
#include "mem_content.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

void *mem_alloc(size_t bytes)
{
	void *p = calloc(1, bytes ? bytes : 1);

	if (!p)
		abort();
	return p;
}

void mem_content_release(struct mem_content *c)
{
	for (size_t i = 0; i < c->page_count; i++)
		free(c->pages[i]);
	free(c->pages);
	*c = (struct mem_content){0};
}

static int all_zero(const uint8_t *data, size_t len)
{
	return !len || (!data[0] && !memcmp(data, data + 1, len - 1));
}

static uint8_t **page_at(struct mem_content *c, size_t index)
{
	if (index >= c->page_count) {
		size_t count = MAX(index + 1, c->page_count * 2);
		uint8_t **pages = realloc(c->pages, count * sizeof(*pages));

		if (!pages)
			abort();
		memset(pages + c->page_count, 0, (count - c->page_count) * sizeof(*pages));
		c->pages = pages;
		c->page_count = count;
	}
	return &c->pages[index];
}

void mem_content_write(struct mem_content *c, const void *data, size_t len, uint64_t offset)
{
	const uint8_t *from = data;

	if (!len)
		return;
	c->size = MAX(c->size, offset + len);
	while (len) {
		size_t in_page = (size_t)(offset % MEM_PAGE_BYTES);
		size_t n = MIN(len, MEM_PAGE_BYTES - in_page);
		uint8_t **page = page_at(c, (size_t)(offset / MEM_PAGE_BYTES));

		if (!*page && !all_zero(from, n))
			*page = mem_alloc(MEM_PAGE_BYTES);
		if (*page)
			memcpy(*page + in_page, from, n);
		from += n, offset += n, len -= n;
	}
}

size_t mem_content_read(const struct mem_content *c, void *buf, size_t len, uint64_t offset)
{
	uint8_t *to = buf;
	size_t done = 0;

	if (offset >= c->size)
		return 0;
	len = (size_t)MIN((uint64_t)len, c->size - offset);
	while (done < len) {
		uint64_t at = offset + done;
		size_t in_page = (size_t)(at % MEM_PAGE_BYTES);
		size_t n = MIN(len - done, MEM_PAGE_BYTES - in_page);
		size_t index = (size_t)(at / MEM_PAGE_BYTES);

		if (index < c->page_count && c->pages[index])
			memcpy(to + done, c->pages[index] + in_page, n);
		else
			memset(to + done, 0, n);
		done += n;
	}
	return done;
}

void mem_content_resize(struct mem_content *c, uint64_t size)
{
	if (size < c->size) {
		size_t keep = (size_t)((size + MEM_PAGE_BYTES - 1) / MEM_PAGE_BYTES);
		size_t tail = (size_t)(size % MEM_PAGE_BYTES);

		for (size_t i = keep; i < c->page_count; i++) {
			free(c->pages[i]);
			c->pages[i] = NULL;
		}
		if (tail && keep <= c->page_count && c->pages[keep - 1])
			memset(c->pages[keep - 1] + tail, 0, MEM_PAGE_BYTES - tail);
	}
	c->size = size;
}

void mem_content_copy(struct mem_content *to, const struct mem_content *from)
{
	to->size = from->size;
	to->page_count = from->page_count;
	to->pages = mem_alloc(from->page_count * sizeof(*to->pages));
	for (size_t i = 0; i < from->page_count; i++)
		if (from->pages[i]) {
			to->pages[i] = mem_alloc(MEM_PAGE_BYTES);
			memcpy(to->pages[i], from->pages[i], MEM_PAGE_BYTES);
		}
}
