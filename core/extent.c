/* SPDX-License-Identifier: MIT
 *
 * Extent maps: a sorted array of non-overlapping pieces. Laying an extent over the
 * map replaces what it covers by at most three pieces (the left rest, itself,
 * the right rest), so an insert adds at most two. Appending at the end touches
 * nothing else; elsewhere the tail of the array moves, unless the number of pieces stays.
 *
 * Invariants: items are in order, each len > 0 and position != 0; data_bytes is the sum of their len.
 * Only extent_map_reserve() and extent_map_copy() can fail, with the map unchanged.
 */
#include "extent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

static uint64_t extent_end(const struct extent *e)
{
	return e->len > EXTENT_TO_END - e->file_offset ? EXTENT_TO_END : e->file_offset + e->len;
}

void extent_clip(struct extent *e, uint64_t start, uint64_t end)
{
	uint64_t e_end = MIN(extent_end(e), end);

	if (e->file_offset < start) {
		uint64_t cut = MIN(start - e->file_offset, e->len);

		if (e->position)
			e->skip += (uint32_t)cut;
		e->file_offset = start;
	}
	e->len = e_end > e->file_offset ? e_end - e->file_offset : 0;
}

void extent_map_release(struct extent_map *m)
{
	free(m->items);
	*m = (struct extent_map){0};
}

int extent_map_reserve(struct extent_map *m, size_t inserts)
{
	if (inserts > (SIZE_MAX - m->count) / 2)
		return -ENOMEM;
	return array_reserve(&m->items, &m->capacity, m->count + 2 * inserts, sizeof(*m->items));
}

/* First index in [low, count) whose extent ends after @offset. */
static size_t find_from(const struct extent_map *m, size_t low, uint64_t offset)
{
	size_t high = m->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (extent_end(&m->items[middle]) <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t extent_map_find(const struct extent_map *m, uint64_t offset)
{
	if (!m->count || extent_end(&m->items[m->count - 1]) <= offset)
		return m->count;
	return find_from(m, 0, offset);
}

void extent_map_insert(struct extent_map *m, const struct extent *e)
{
	uint64_t start = e->file_offset, end = extent_end(e);
	struct extent pieces[3];
	size_t from, to, n = 0;

	if (end <= start)
		return;
	from = extent_map_find(m, start);
	/* Whatever ends by @end is covered; the one after it, when it begins before @end, loses its head. */
	to = from == m->count ? from : find_from(m, from, end);
	if (to < m->count && m->items[to].file_offset < end)
		to++;
	if (from < to && m->items[from].file_offset < start) {
		pieces[n] = m->items[from];
		extent_clip(&pieces[n++], 0, start);
	}
	if (e->position)
		pieces[n++] = *e;
	if (from < to && extent_end(&m->items[to - 1]) > end) {
		pieces[n] = m->items[to - 1];
		extent_clip(&pieces[n++], end, EXTENT_TO_END);
	}
	assert(m->count - (to - from) + n <= m->capacity);
	for (size_t i = from; i < to; i++)
		m->data_bytes -= m->items[i].len;
	for (size_t i = 0; i < n; i++)
		m->data_bytes += pieces[i].len;
	if (to < m->count && n != to - from)
		memmove(&m->items[from + n], &m->items[to], (m->count - to) * sizeof(*m->items));
	if (n)
		memcpy(&m->items[from], pieces, n * sizeof(*pieces));
	m->count = m->count - (to - from) + n;
}

size_t extent_map_range(const struct extent_map *m, uint64_t offset, uint64_t len, struct extent *out, size_t max, uint64_t *ret_covered)
{
	uint64_t end = len > EXTENT_TO_END - offset ? EXTENT_TO_END : offset + len;
	size_t n = 0;

	for (size_t i = extent_map_find(m, offset); i < m->count && m->items[i].file_offset < end; i++) {
		if (n == max) {
			*ret_covered = MAX(offset, m->items[i].file_offset);
			return n;
		}
		out[n] = m->items[i];
		extent_clip(&out[n++], offset, end);
	}
	*ret_covered = end;
	return n;
}

int extent_map_copy(const struct extent_map *from, struct extent_map *to)
{
	int r = array_reserve(&to->items, &to->capacity, from->count, sizeof(*to->items));

	if (r)
		return r;
	if (from->count)
		memcpy(to->items, from->items, from->count * sizeof(*to->items));
	to->count = from->count;
	to->data_bytes = from->data_bytes;
	return 0;
}
