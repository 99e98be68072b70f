/* SPDX-License-Identifier: MIT
 *
 * The scanner: the valid frames of a list of segments in order, whatever lies
 * between them. It knows the rules of validity of journal_format.h and nothing of
 * what a missing frame means; recovery and readers of the log decide that.
 *
 * A segment is read lazily into one buffer, in steps that grow, so that a look
 * at one frame is cheap and a whole replay streams. Blocks the disk refuses to
 * read count as zeros and are remembered.
 */
#include "journal_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define STEP_BYTES_MIN (64u << 10)
#define STEP_BYTES_MAX (1u << 20)

int scanner_init(struct scanner *sc, struct journal *j, size_t segment_count)
{
	*sc = (struct scanner){.j = j, .fd = -1, .step = STEP_BYTES_MIN};
	if (!segment_count)
		return 0;
	sc->segments = calloc(segment_count, sizeof(*sc->segments));
	if (!sc->segments)
		return -ENOMEM;
	for (size_t i = 0; i < segment_count; i++)
		sc->segments[i] = (struct scan_segment){j->segments[i].number, j->segments[i].size, 0};
	sc->count = segment_count;
	sc->offset = FORMAT_BLOCK_BYTES;
	return 0;
}

void scanner_release(struct scanner *sc)
{
	if (sc->fd >= 0)
		env_close(sc->j->env, sc->fd);
	free(sc->segments);
	free(sc->buf);
	*sc = (struct scanner){.fd = -1};
}

static void window_reset(struct scanner *sc)
{
	sc->buf_of = sc->at;
	sc->base = sc->filled = sc->offset / FORMAT_BLOCK_BYTES * FORMAT_BLOCK_BYTES;
}

void scanner_seek(struct scanner *sc, size_t at, uint64_t offset, uint64_t seq_last)
{
	sc->at = at;
	sc->offset = offset;
	sc->seq_last = seq_last;
	if (sc->buf_of != at || offset < sc->base || offset > sc->filled)
		window_reset(sc);
}

/* Some block of the range can't be read: read what can be. */
static int fill_by_block(struct scanner *sc, uint64_t offset, uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i += FORMAT_BLOCK_BYTES) {
		size_t part = MIN(len - i, FORMAT_BLOCK_BYTES);
		int r = sc->fill(sc, sc->segments[sc->at].number, offset + i, buf + i, part);

		if (r == -EIO) {
			memset(buf + i, 0, part);
			sc->unreadable = true;
			sc->unreadable_at = sc->at;
			sc->unreadable_offset = offset + i;
		} else if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* Have the bytes up to @end (at most the segment's size) in the buffer. */
static int need(struct scanner *sc, uint64_t end)
{
	const struct scan_segment *s = &sc->segments[sc->at];
	size_t len;
	int r;

	assert(end <= s->size);
	if (sc->buf_of != sc->at || sc->offset < sc->base || !sc->buf)
		window_reset(sc);
	if (end <= sc->filled)
		return 0;
	if (s->size - sc->base > sc->buf_cap) {
		uint8_t *buf = malloc(s->size); /* pages that are never filled cost nothing */

		if (!buf)
			return -ENOMEM;
		if (sc->filled > sc->base)
			memcpy(buf, sc->buf, sc->filled - sc->base);
		free(sc->buf);
		sc->buf = buf;
		sc->buf_cap = s->size;
	}
	len = (size_t)MIN(MAX(end - sc->filled, sc->step), s->size - sc->filled);
	sc->step = MIN(sc->step * 2, STEP_BYTES_MAX);
	r = sc->fill(sc, s->number, sc->filled, sc->buf + (sc->filled - sc->base), len);
	if (r == -EIO)
		r = fill_by_block(sc, sc->filled, sc->buf + (sc->filled - sc->base), len);
	if (r < 0)
		return r;
	sc->filled += len;
	return 0;
}

static const uint8_t *at_offset(const struct scanner *sc, uint64_t offset)
{
	return sc->buf + (offset - sc->base);
}

static void mark_junk(struct scanner *sc, uint64_t end)
{
	struct scan_segment *s = &sc->segments[sc->at];

	s->junk_end = MAX(s->junk_end, end);
}

/* Are these bytes all zero? @len is a multiple of 8. Written so that compilers vectorise it. */
static bool all_zero(const uint8_t *p, size_t len)
{
	uint64_t any = 0, word;

	for (size_t i = 0; i < len; i += 8) {
		memcpy(&word, p + i, 8);
		any |= word;
	}
	return !any;
}

/* No frame begins at `offset`: go to the next place where one may, at least 8 bytes on. */
static int skip(struct scanner *sc)
{
	const uint64_t size = sc->segments[sc->at].size;
	bool first = true;

	while (sc->offset < size) {
		uint64_t end = MIN(ALIGN_UP(sc->offset + 1, FORMAT_BLOCK_BYTES), size);
		int r = need(sc, end);

		if (r < 0)
			return r;
		if (!all_zero(at_offset(sc, sc->offset), (size_t)(end - sc->offset))) {
			for (; sc->offset < end; sc->offset += FRAME_ALIGN, first = false) {
				const uint8_t *p = at_offset(sc, sc->offset);

				if (!first && get_le32(p) == FRAME_MAGIC)
					return 0;
				if (!all_zero(p, FRAME_ALIGN))
					mark_junk(sc, sc->offset + FRAME_ALIGN);
			}
		}
		sc->offset = end;
		first = false;
	}
	return 0;
}

/* Is there a frame at `offset`? 1 accepted, 0 no (then `offset` has moved), -errno. */
static int try_frame(struct scanner *sc)
{
	const struct scan_segment *s = &sc->segments[sc->at];
	const uint64_t offset = sc->offset;
	struct frame_header h;
	uint64_t seed, end;
	int r = need(sc, offset + FRAME_HEADER_BYTES);

	if (r < 0)
		return r;
	if (get_le32(at_offset(sc, offset)) != FRAME_MAGIC)
		return skip(sc);
	seed = codec_seed(sc->j->store->seed, position_make(POSITION_JOURNAL, s->number, offset), 0);
	if (!codec_frame_decode(at_offset(sc, offset), seed, FRAME_MAGIC, JOURNAL_PAYLOAD_MAX, &h) || FRAME_BYTES(h.payload_len) > s->size - offset ||
		h.synced_before < 1 || h.synced_before > h.seq)
		return skip(sc);
	end = offset + FRAME_BYTES(h.payload_len);
	r = need(sc, end);
	if (r < 0)
		return r;
	sc->offset = end;
	if (h.seq <= sc->seq_last || !codec_frame_check(at_offset(sc, offset), h.payload_len, seed)) {
		mark_junk(sc, end); /* its header vouches for its length, so just this frame is lost */
		return 0;
	}
	sc->frame = h;
	sc->frame_at = sc->at;
	sc->frame_offset = offset;
	sc->payload = at_offset(sc, offset + FRAME_HEADER_BYTES);
	sc->seq_last = h.seq;
	return 1;
}

int scanner_next(struct scanner *sc)
{
	while (sc->at < sc->count) {
		int r = 0;

		if (sc->offset < FORMAT_BLOCK_BYTES)
			sc->offset = FORMAT_BLOCK_BYTES;
		if (sc->offset + FRAME_HEADER_BYTES <= sc->segments[sc->at].size)
			r = try_frame(sc);
		else if (sc->offset < sc->segments[sc->at].size)
			r = skip(sc);
		else
			scanner_seek(sc, sc->at + 1, FORMAT_BLOCK_BYTES, sc->seq_last);
		if (r)
			return r;
	}
	return 0;
}

uint64_t scanner_position(const struct scanner *sc)
{
	return position_make(POSITION_JOURNAL, sc->segments[sc->frame_at].number, sc->frame_offset + FRAME_HEADER_BYTES);
}

int scanner_frame_known(const struct scanner *sc)
{
	if (sc->frame.type == JOURNAL_FRAME_DATA)
		return 1;
	return sc->frame.flags & JOURNAL_FRAME_OPTIONAL ? 0 : -EPROTONOSUPPORT;
}
