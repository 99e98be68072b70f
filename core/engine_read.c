/* SPDX-License-Identifier: MIT
 *
 * Reading through the engine: bytes of versions, records of transactions, ranges of event logs.
 *
 * The engine lock is held for finding out where bytes are, never while reading them. Where bytes lie never changes,
 * so a list of extents stays true after unlocking.
 */
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

#define READ_EXTENTS 32

/* Fill [offset, offset+len) of @buf from extents that lie within it; what they leave out is zeros. */
static int extents_read(struct engine *e, const struct extent *x, size_t count, uint64_t offset, char *buf, size_t len)
{
	uint64_t at = offset;

	for (size_t i = 0; i < count; i++) {
		int r;

		if (x[i].file_offset > at)
			memset(buf + (at - offset), 0, (size_t)(x[i].file_offset - at));
		r = extent_read(e, &x[i], 0, buf + (x[i].file_offset - offset), (size_t)x[i].len);
		if (r)
			return r;
		at = x[i].file_offset + x[i].len;
	}
	if (at < offset + len)
		memset(buf + (at - offset), 0, (size_t)(offset + len - at));
	return 0;
}

ssize_t engine_read(struct engine *e, const struct version *v, struct version_extents *scratch, uint64_t offset, void *buf, size_t len)
{
	struct extent found[READ_EXTENTS];
	size_t done = 0;

	if (offset >= v->size)
		return 0;
	if (len > v->size - offset)
		len = (size_t)(v->size - offset);
	while (done < len) {
		uint64_t covered;
		ssize_t count;
		int r;

		engine_lock(e);
		count = tree_extents(v, scratch, offset + done, len - done, found, READ_EXTENTS, &covered);
		engine_unlock(e);
		if (count < 0)
			return count;
		if (covered > offset + len)
			covered = offset + len;
		r = extents_read(e, found, (size_t)count, offset + done, (char *)buf + done, (size_t)(covered - offset - done));
		if (r)
			return r == -ENOMEM ? r : -EIO;
		done = (size_t)(covered - offset);
	}
	return (ssize_t)len;
}

int engine_read_text(struct engine *e, const struct version *v, char **ret)
{
	struct version_extents scratch = {0};
	char *text = malloc((size_t)v->size + 1);
	ssize_t got;

	if (!text)
		return -ENOMEM;
	got = engine_read(e, v, &scratch, 0, text, (size_t)v->size);
	extent_map_release(&scratch.map);
	if (got != (ssize_t)v->size) {
		free(text);
		return got < 0 ? (int)got : -EIO;
	}
	text[got] = '\0';
	*ret = text;
	return 0;
}

int engine_content_sha(struct engine *e, const struct node *node, const struct version *v, struct sha256 *ret)
{
	struct version_extents scratch = {0};
	struct sha256_state *s;
	cleanup_free char *chunk = NULL;
	const size_t chunk_bytes = 1u << 20;
	uint64_t at = 0;
	ssize_t n = 0;

	if (v->born != SEQ_NEWBORN && sha_cache_get(e->shas, node->ino, v->born, ret))
		return 0;
	s = sha256_new();
	chunk = malloc(MIN(chunk_bytes, v->size + 1));
	if (!s || !chunk) {
		sha256_free(s);
		return -ENOMEM;
	}
	while (at < v->size && (n = engine_read(e, v, &scratch, at, chunk, MIN(chunk_bytes, v->size - at))) > 0) {
		sha256_update(s, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	extent_map_release(&scratch.map);
	if (n >= 0) {
		sha256_peek(s, ret);
		if (v->born != SEQ_NEWBORN)
			sha_cache_put(e->shas, node->ino, v->born, ret);
	}
	sha256_free(s);
	return n < 0 ? (int)n : 0;
}

struct record_wanted {
	uint64_t seq;
	struct record *record;
};

static int record_take(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len)
{
	struct record_wanted *w = arg;

	return seq == w->seq ? record_decode(payload, len, position, seq, &w->record) : 0;
}

static int record_load_at(struct engine *e, uint64_t position, uint64_t seq, struct record **ret)
{
	struct record_wanted w = {.seq = seq};
	int r = journal_scan(e->journal, position, seq, record_take, &w);

	if (r)
		return r;
	if (!w.record)
		return -EIO;
	*ret = w.record;
	return 0;
}

int engine_load_record(struct engine *e, uint64_t seq, struct record **ret)
{
	uint64_t position = 0;

	engine_lock(e);
	if (seq && seq <= engine_shown_seq(e) && !engine_seq_lost(e, seq))
		position = e->txns[seq - 1].position;
	engine_unlock(e);
	return position ? record_load_at(e, position, seq, ret) : -ENOENT;
}

/* Render the events of one slice; refs of one frame come one after the other. */
struct render_run {
	const struct event_ref *refs;
	size_t count, next;
	struct buf *out;
	struct record *record;
};

static int render_frame(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len)
{
	struct render_run *run = arg;
	struct record *r;
	struct event_context ctx;
	int err;

	if (run->next == run->count || run->refs[run->next].frame_position != position)
		return 0;
	err = record_decode(payload, len, position, seq, &r);
	if (err)
		return err;
	ctx = (struct event_context){.tx_seq = seq, .time_ns = r->time_ns, .actor = &r->actor};
	while (run->next < run->count && run->refs[run->next].frame_position == position) {
		uint32_t ordinal = run->refs[run->next++].ordinal;

		if (ordinal < r->event_count)
			event_render(&r->events[ordinal], &ctx, ordinal, run->out);
	}
	record_free(r);
	return 0;
}

static uint64_t seq_of_position(struct engine *e, uint64_t position)
{
	uint64_t low = 1, high = e->head_seq;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (e->txns[mid - 1].position < position)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint64_t engine_event_seq(struct engine *e, const struct event_ref *ref)
{
	return e->head_seq ? seq_of_position(e, ref->frame_position) : 0;
}

int64_t engine_event_time(struct engine *e, const struct event_ref *ref)
{
	return e->head_seq ? e->txns[seq_of_position(e, ref->frame_position) - 1].time_ns : 0;
}

/* Frames close together are scanned in one go; a far one (a quiet session in a busy store) is sought. */
static int render_slice(struct engine *e, struct render_run *run)
{
	while (run->next < run->count) {
		uint64_t last;
		size_t end = run->next + 1, before = run->next;
		int r;

		engine_lock(e);
		last = seq_of_position(e, run->refs[run->next].frame_position);
		while (end < run->count) {
			uint64_t seq = seq_of_position(e, run->refs[end].frame_position);

			if (seq > last + 4)
				break;
			last = seq;
			end++;
		}
		engine_unlock(e);
		r = journal_scan(e->journal, run->refs[run->next].frame_position, last, render_frame, run);
		if (r)
			return r;
		if (run->next == before)
			return -EIO; /* the frame is not where it was */
	}
	return 0;
}

int engine_read_events(struct engine *e, const struct event_log_key *key, uint64_t offset, size_t len, struct buf *out)
{
	struct event_ref refs[256];
	size_t want = len, start = out->len;

	while (out->len - start < want) {
		size_t at = out->len;
		uint64_t skip;
		struct render_run run = {.refs = refs, .out = out};
		int r;

		engine_lock(e);
		run.count = event_log_slice(engine_event_logs(e), key, offset, want - (at - start), refs, ARRAY_SIZE(refs), &skip);
		engine_unlock(e);
		if (!run.count)
			break;
		r = render_slice(e, &run);
		if (out->error)
			return out->error;
		if (!r && skip >= out->len - at)
			r = -EIO;
		skip = MIN(skip, out->len - at);
		if (skip)
			memmove(out->data + at, out->data + at + skip, out->len - at - skip);
		out->len -= skip;
		offset += out->len - at;
		if (r && (r != -EIO || out->len == start))
			return r;
		if (r)
			break;
	}
	if (out->len - start > want)
		out->len = start + want;
	if (out->data)
		out->data[out->len] = '\0';
	return 0;
}

ssize_t engine_read_rollback(struct engine *e, const struct record *r, uint64_t offset, void *buf, size_t len)
{
	struct extent_map map = {0};
	struct extent found[READ_EXTENTS];
	size_t done = 0;
	int err = 0;

	if (!r->rollback || offset >= r->rollback->draft_size)
		return 0;
	if (len > r->rollback->draft_size - offset)
		len = (size_t)(r->rollback->draft_size - offset);
	if (extent_map_reserve(&map, r->rollback->draft_extents + 1))
		return -ENOMEM;
	for (uint32_t i = 0; i < r->rollback->draft_extents; i++)
		extent_map_insert(&map, &r->rollback->draft[i]);
	while (done < len && !err) {
		uint64_t covered;
		size_t n = extent_map_range(&map, offset + done, len - done, found, READ_EXTENTS, &covered);

		err = extents_read(e, found, n, offset + done, (char *)buf + done, (size_t)(covered - offset - done));
		done = (size_t)(covered - offset);
	}
	extent_map_release(&map);
	return err ? err : (ssize_t)len;
}
