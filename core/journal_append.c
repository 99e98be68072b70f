/* SPDX-License-Identifier: MIT
 *
 * Reserve, append, and the batches in memory. Placement is decided here, once,
 * under `lock`: a frame goes behind the one before, unless the batch is full
 * (next block) or the segment is (next segment). So journal_next_position() and
 * journal_append() cannot disagree.
 *
 * A batch that is taken for writing between the two would move the next frame
 * to the next block. Then the next batch continues the last block instead: it
 * repeats that block's bytes and the frame stands where it was promised.
 *
 * Space cannot run out (invariant (I) in journal_internal.h; asserted). Memory
 * can: then the journal is poisoned, as if the write had failed.
 */
#include "journal_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BATCH_BYTES_MIN (64u << 10)
#define BATCH_BYTES_KEPT (1u << 20) /* larger buffers are not kept for use again */
#define QUEUE_BYTES_MAX (32u << 20) /* beyond it a reservation writes first */

void journal_batch_free(struct batch *b)
{
	if (!b)
		return;
	free(b->buf);
	free(b);
}

/* Room for @len bytes and the padding of the last block. */
static int batch_grow(struct batch *b, size_t len)
{
	size_t cap = b->cap ? b->cap : BATCH_BYTES_MIN;
	uint8_t *buf;

	while (cap < len)
		cap *= 2;
	if (cap == b->cap)
		return 0;
	buf = aligned_alloc(FORMAT_BLOCK_BYTES, cap);
	if (!buf)
		return -ENOMEM;
	if (b->len)
		memcpy(buf, b->buf, b->len);
	free(b->buf);
	b->buf = buf;
	b->cap = cap;
	return 0;
}

struct batch *journal_batch_new(struct journal *j)
{
	struct batch *b = j->spare;

	if (b) {
		j->spare = b->next;
		j->spare_count--;
		b->next = NULL;
		b->len = b->lead = 0;
		b->frames = 0;
		return b;
	}
	b = calloc(1, sizeof(*b));
	if (b && batch_grow(b, BATCH_BYTES_MIN) < 0) {
		free(b);
		return NULL;
	}
	return b;
}

/* The open batch is complete; the next begins at the next block. */
static void batch_close(struct journal *j)
{
	struct batch *b = j->open;

	j->open = NULL;
	j->continues = false;
	j->append_offset = ALIGN_UP(j->append_offset, FORMAT_BLOCK_BYTES);
	if (!b)
		return;
	if (b->len == b->lead) {
		journal_retire(j, b);
		return;
	}
	*j->queue_end = b;
	j->queue_end = &b->next;
	j->queued_bytes += b->len;
}

/* It is full, so nothing is gained by waiting for more. */
static void batch_complete(struct journal *j)
{
	batch_close(j);
	if (j->started)
		pthread_cond_signal(&j->work);
}

/* Decide where a frame of @bytes goes: afterwards at append_offset of the current segment. */
static void place(struct journal *j, uint64_t bytes)
{
	if (j->open && j->open->len > j->open->lead && j->open->len + bytes > JOURNAL_BATCH_BYTES_MAX)
		batch_complete(j);
	if (!j->open && !j->continues)
		j->append_offset = ALIGN_UP(j->append_offset, FORMAT_BLOCK_BYTES);
	assert(j->current < j->segment_count);
	if (j->append_offset + bytes > j->segments[j->current].size) {
		batch_complete(j);
		j->current++;
		j->append_offset = FORMAT_BLOCK_BYTES;
		assert(j->current < j->segment_count); /* (I) */
		assert(j->append_offset + bytes <= j->segments[j->current].size);
	}
}

static int open_batch_begin(struct journal *j)
{
	struct batch *b = journal_batch_new(j);

	if (!b)
		return -ENOMEM;
	b->segment = j->segments[j->current].number;
	b->offset = j->append_offset / FORMAT_BLOCK_BYTES * FORMAT_BLOCK_BYTES;
	b->lead = b->len = (size_t)(j->append_offset - b->offset);
	assert(j->continues || !b->lead);
	memcpy(b->buf, j->last_block, b->lead);
	j->continues = false;
	j->open = b;
	return 0;
}

static void batch_add(struct journal *j, uint64_t seq, const struct iovec *iov, int iov_count, size_t payload_len)
{
	struct batch *b = j->open;
	uint8_t *frame = b->buf + b->len, *to = frame + FRAME_HEADER_BYTES;
	const struct frame_header h = {
		.magic = FRAME_MAGIC,
		.payload_len = (uint32_t)payload_len,
		.type = JOURNAL_FRAME_DATA,
		.seq = seq,
		.synced_before = atomic_load(&j->seq_durable) + 1,
	};

	for (int i = 0; i < iov_count; i++) {
		if (iov[i].iov_len)
			memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	memset(to, 0, (size_t)(frame + FRAME_BYTES(payload_len) - to));
	codec_frame_seal(&h, codec_seed(j->store->seed, position_make(POSITION_JOURNAL, b->segment, b->offset + b->len), 0), frame);
	b->len += FRAME_BYTES(payload_len);
	b->seq_last = seq;
	b->frames++;
	j->append_offset += FRAME_BYTES(payload_len);
}

static int refuse(struct journal *j, uint64_t charge)
{
	bool first;

	pthread_mutex_lock(&j->lock);
	first = !j->refused;
	j->refused = MAX(j->refused, charge);
	pthread_mutex_unlock(&j->lock);
	if (first && j->no_room)
		j->no_room(j->poisoned_arg);
	return -ENOSPC;
}

bool journal_no_room(struct journal *j)
{
	bool yes;

	pthread_mutex_lock(&j->lock);
	yes = j->refused;
	pthread_mutex_unlock(&j->lock);
	return yes;
}

int journal_find_room(struct journal *j)
{
	uint64_t charge;
	int r;

	pthread_mutex_lock(&j->lock);
	charge = j->refused;
	pthread_mutex_unlock(&j->lock);
	r = charge ? journal_prepare(j, charge, false) : 0;
	pthread_mutex_lock(&j->lock);
	if (!r && j->refused == charge)
		j->refused = 0;
	pthread_mutex_unlock(&j->lock);
	return r == -EDQUOT ? -ENOSPC : r;
}

int journal_reserve(struct journal *j, size_t payload_bytes)
{
	uint64_t charge;
	int r = 0;

	if (j->read_only)
		return -EROFS;
	if (payload_bytes > j->payload_max)
		return -EFBIG;
	charge = journal_charge(payload_bytes);
	for (;;) {
		bool crowded;

		pthread_mutex_lock(&j->lock);
		crowded = j->queued_bytes > QUEUE_BYTES_MAX;
		if (atomic_load(&j->error)) {
			r = -EIO;
		} else if (crowded) {
			r = -EAGAIN;
		} else if (journal_has_room(j, charge)) {
			j->charged += charge;
			if (j->started && journal_wants_segment(j))
				pthread_cond_signal(&j->prepare);
		} else {
			r = -EAGAIN;
		}
		pthread_mutex_unlock(&j->lock);
		if (r != -EAGAIN)
			return r;
		r = crowded ? journal_write_out(j, false) : journal_prepare(j, charge, false);
		if (r < 0)
			return r == -ENOSPC || r == -EDQUOT ? refuse(j, charge) : r;
	}
}

void journal_unreserve(struct journal *j, size_t payload_bytes)
{
	pthread_mutex_lock(&j->lock);
	assert(j->charged >= journal_charge(payload_bytes));
	j->charged -= journal_charge(payload_bytes);
	pthread_mutex_unlock(&j->lock);
}

uint64_t journal_next_position(struct journal *j, size_t payload_bytes)
{
	uint64_t position = 0;

	pthread_mutex_lock(&j->lock);
	if (!atomic_load(&j->error)) {
		place(j, FRAME_BYTES(payload_bytes));
		j->promised = true;
		position = position_make(POSITION_JOURNAL, j->segments[j->current].number, j->append_offset + FRAME_HEADER_BYTES);
	}
	pthread_mutex_unlock(&j->lock);
	return position;
}

/* 0, or -ENOMEM with nothing appended. */
static int append_locked(struct journal *j, uint64_t seq, const struct iovec *iov, int iov_count, size_t len)
{
	int r = 0;

	place(j, FRAME_BYTES(len));
	if (!j->open)
		r = open_batch_begin(j);
	if (!r)
		r = batch_grow(j->open, j->open->len + FRAME_BYTES(len));
	if (!r)
		batch_add(j, seq, iov, iov_count, len);
	return r;
}

uint64_t journal_append(struct journal *j, size_t reserved_bytes, const struct iovec *iov, int iov_count)
{
	const uint64_t charge = journal_charge(reserved_bytes);
	size_t len = 0;
	uint64_t seq;
	int r = 0;

	for (int i = 0; i < iov_count; i++)
		len += iov[i].iov_len;
	assert(len <= reserved_bytes);
	pthread_mutex_lock(&j->lock);
	assert(j->charged >= charge);
	seq = j->seq_next++;
	j->stats.frames++;
	if (!atomic_load(&j->error))
		r = append_locked(j, seq, iov, iov_count, len);
	j->promised = false;
	j->charged -= charge;
	if (!j->lazy_deadline_ns && j->started) {
		j->lazy_deadline_ns = -1; /* the commit thread computes it */
		pthread_cond_signal(&j->work);
	}
	if (j->started && journal_wants_segment(j))
		pthread_cond_signal(&j->prepare);
	pthread_mutex_unlock(&j->lock);
	if (r < 0)
		(void)journal_poison(j); /* its waiters hear of it */
	return seq;
}

uint64_t journal_next_seq(struct journal *j)
{
	uint64_t seq;

	pthread_mutex_lock(&j->lock);
	seq = j->seq_next;
	pthread_mutex_unlock(&j->lock);
	return seq;
}

/* Remember the block the open batch ends in, for a frame that was promised a place in it. */
static void keep_last_block(struct journal *j)
{
	const struct batch *b = j->open;
	size_t part = b->len % FORMAT_BLOCK_BYTES;

	memcpy(j->last_block, b->buf + b->len - part, part);
	j->continues = part > 0;
}

struct batch *journal_take(struct journal *j)
{
	struct batch *list;

	assert(!j->writing);
	if (j->open && j->open->len > j->open->lead) {
		const uint64_t end = j->append_offset;
		const bool promised = j->promised;

		if (promised)
			keep_last_block(j);
		const bool continues = promised && j->continues;

		batch_close(j);
		if (continues) {
			j->append_offset = end;
			j->continues = true;
		}
	}
	list = j->queue;
	j->queue = NULL;
	j->queue_end = &j->queue;
	j->queued_bytes = 0;
	j->writing = list;
	return list;
}

void journal_retire(struct journal *j, struct batch *list)
{
	while (list) {
		struct batch *b = list;

		list = b->next;
		if (j->spare_count < 2 && b->cap <= BATCH_BYTES_KEPT) {
			b->next = j->spare;
			j->spare = b;
			j->spare_count++;
		} else {
			journal_batch_free(b);
		}
	}
}
