/* SPDX-License-Identifier: MIT
 *
 * Reading frames of an open journal, from the file or from batches not yet
 * written. A batch leaves memory only after its pwrite returned, so bytes not
 * found in memory are in the file, if they were ever appended.
 */
#include "journal_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Where the frames of @b begin and end. A batch that continues a block owns only what is new in it. */
static uint64_t batch_begin(const struct batch *b)
{
	return b->offset + b->lead;
}
static uint64_t batch_end(const struct batch *b)
{
	return b->offset + b->len;
}

/* The batch that holds byte @offset of @segment, or NULL; then *@ret_limit is lowered to where the next one begins. */
static const struct batch *batch_find(const struct batch *list, uint32_t segment, uint64_t offset, uint64_t *ret_limit)
{
	for (; list; list = list->next) {
		if (list->segment != segment || batch_end(list) <= offset)
			continue;
		if (batch_begin(list) <= offset)
			return list;
		*ret_limit = MIN(*ret_limit, batch_begin(list));
	}
	return NULL;
}

/* Under lock: copy what is in memory at @offset. Returns the bytes copied; 0: up to *@ret_limit they are in the file. */
static size_t copy_from_memory(const struct journal *j, uint32_t segment, uint64_t offset, void *buf, size_t len, uint64_t *ret_limit)
{
	const struct batch *const lists[] = {j->open, j->queue, j->writing};
	const struct batch *b = NULL;

	*ret_limit = offset + len;
	for (size_t i = 0; i < ARRAY_SIZE(lists) && !b; i++)
		b = batch_find(lists[i], segment, offset, ret_limit);
	if (!b)
		return 0;
	len = (size_t)MIN(len, batch_end(b) - offset);
	memcpy(buf, b->buf + (offset - b->offset), len);
	return len;
}

static int read_file(struct journal *j, uint32_t segment, uint64_t offset, void *buf, size_t len)
{
	struct env_file file;
	ssize_t n;
	int r = env_files_get(j->files, segment, &file);

	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	n = env_pread(j->env, file.fd, buf, len, offset);
	env_files_put(j->files, &file);
	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO;
}

static int read_bytes(struct journal *j, uint32_t segment, uint64_t offset, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len) {
		uint64_t limit;
		size_t n;
		int r;

		pthread_mutex_lock(&j->lock);
		n = copy_from_memory(j, segment, offset, to, len, &limit);
		pthread_mutex_unlock(&j->lock);
		if (!n) {
			n = (size_t)(limit - offset);
			r = read_file(j, segment, offset, to, n);
			if (r < 0)
				return r;
		}
		to += n;
		offset += n;
		len -= n;
	}
	return 0;
}

/* Under lock: how far the frames of segment @index reach. */
static uint64_t segment_end(const struct journal *j, size_t index)
{
	if (index < j->current)
		return j->segments[index].size;
	return index == j->current ? j->append_offset : 0;
}

static ssize_t segment_index(const struct journal *j, uint32_t number)
{
	size_t low = 0, high = j->segment_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (j->segments[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < j->segment_count && j->segments[low].number == number ? (ssize_t)low : -1;
}

int journal_read(struct journal *j, uint64_t position, void *buf, size_t len)
{
	const uint64_t offset = position_offset(position);
	bool inside;
	ssize_t i;

	if (position_kind(position) != POSITION_JOURNAL || offset < FORMAT_BLOCK_BYTES)
		return -EINVAL;
	pthread_mutex_lock(&j->lock);
	i = segment_index(j, position_file(position));
	inside = i >= 0 && offset <= segment_end(j, (size_t)i) && len <= segment_end(j, (size_t)i) - offset;
	pthread_mutex_unlock(&j->lock);
	return inside ? read_bytes(j, position_file(position), offset, buf, len) : -EIO;
}

static int fill_live(struct scanner *sc, uint32_t number, uint64_t offset, uint8_t *buf, size_t len)
{
	return read_bytes(sc->j, number, offset, buf, len);
}

/* A scanner over what is there now, from the frame whose payload is at @position (0: the first). */
static int live_scanner(struct scanner *sc, struct journal *j, uint64_t position)
{
	const uint32_t number = position_file(position);
	size_t count, from = 0;
	int r;

	pthread_mutex_lock(&j->lock);
	count = MIN(j->current + 1, j->segment_count);
	r = scanner_init(sc, j, count);
	for (size_t i = 0; !r && i < count; i++) {
		sc->segments[i].size = segment_end(j, i);
		from += sc->segments[i].number < number;
	}
	pthread_mutex_unlock(&j->lock);
	if (r < 0)
		return r;
	sc->fill = fill_live;
	if (!position)
		return 0;
	if (position_kind(position) != POSITION_JOURNAL || position_offset(position) < FRAME_HEADER_BYTES)
		return -EINVAL;
	if (from < count && sc->segments[from].number == number)
		scanner_seek(sc, from, position_offset(position) - FRAME_HEADER_BYTES, 0);
	else
		scanner_seek(sc, from, FORMAT_BLOCK_BYTES, 0);
	return 0;
}

int journal_scan(struct journal *j, uint64_t position, uint64_t seq_last, journal_replay_fn fn, void *arg)
{
	struct scanner sc;
	int r = live_scanner(&sc, j, position);

	while (!r) {
		r = scanner_next(&sc);
		if (r <= 0)
			break;
		if (sc.frame.seq > seq_last) {
			r = 0;
			break;
		}
		r = scanner_frame_known(&sc);
		if (r > 0)
			r = fn(arg, sc.frame.seq, scanner_position(&sc), sc.payload, sc.frame.payload_len);
		if (!r && sc.frame.seq == seq_last)
			break;
	}
	scanner_release(&sc);
	return r;
}
