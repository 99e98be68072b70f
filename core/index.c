/* SPDX-License-Identifier: MIT
 *
 * Index snapshots: the tree, the event logs and the transaction index as of one durable transaction, so that a mount need
 * not replay all of history. Derived: may be deleted at any time, and a bad one is ignored.
 *
 * File index/SEQ.idx (16 hex digits), written under a temporary name, synced and renamed. A sequence of chunks:
 *
 *   0  u32 type     1 head, 2 tree, 3 event logs, 4 transactions, 5 rollbacks, 6 live drafts, 7 end, 8 restores
 *   4  u32 length   of the payload
 *   8  u64 checksum XXH3-64 of the 8 bytes before and the payload, seeded with the store's seed mixed with the chunk's number
 *  16  payload
 *
 * A file is valid if and only if every chunk's checksum holds and the last chunk is `end`. Head: u32 version (1), u32 zero, u64
 * seq, u64 position of that frame's payload, u64 next draft id. Transactions: (u64 position, i64 time) for 1…seq. Rollbacks, restores and
 * live drafts: u64 each. Payloads of one type are concatenated in order. Little-endian.
 *
 * The engine lock is taken in slices; the tree is multi-version, so changes meanwhile do no harm.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine_internal.h"

enum chunk_type { CHUNK_HEAD = 1, CHUNK_TREE, CHUNK_LOGS, CHUNK_TXNS, CHUNK_ROLLBACKS, CHUNK_DRAFTS, CHUNK_END, CHUNK_RESTORES };

#define CHUNK_HEADER_BYTES 16
#define CHUNK_BYTES_MAX (64u << 20)
#define INDEX_VERSION 1
#define SLICE_NODES 512
#define SLICE_EVENTS 16384

struct index_writer {
	struct engine *e;
	int fd;
	uint64_t offset;
	uint32_t chunks;
	struct buf payload;
	struct buf log_ends; /**< ends of the event chains at the head the snapshot is of */
	struct event_logs_mark *mark;
	int error;
};

static uint64_t chunk_seed(const struct engine *e, uint32_t number)
{
	return e->store->seed ^ (uint64_t)(number + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

/* The first 16 bytes of w->payload are kept free for the header. */
static void chunk_begin(struct index_writer *w)
{
	buf_clear(&w->payload);
	buf_append_zeros(&w->payload, CHUNK_HEADER_BYTES);
}

static void chunk_write(struct index_writer *w, enum chunk_type type)
{
	uint8_t *head = (uint8_t *)w->payload.data;
	uint64_t sum;

	if (w->error)
		return;
	if (w->payload.error) {
		w->error = w->payload.error;
		return;
	}
	put_le32(head, type);
	put_le32(head + 4, (uint32_t)(w->payload.len - CHUNK_HEADER_BYTES));
	sum = checksum_xxh3(head + CHUNK_HEADER_BYTES, w->payload.len - CHUNK_HEADER_BYTES, chunk_seed(w->e, w->chunks));
	put_le64(head + 8, checksum_xxh3(head, 8, sum));
	w->chunks++;
	w->error = env_pwrite(w->e->env, w->fd, w->payload.data, w->payload.len, w->offset);
	w->offset += w->payload.len;
}

static void write_head(struct index_writer *w, uint64_t seq)
{
	struct engine *e = w->e;

	chunk_begin(w);
	buf_put_le32(&w->payload, INDEX_VERSION);
	buf_put_le32(&w->payload, 0);
	buf_put_le64(&w->payload, seq);
	engine_lock(e);
	buf_put_le64(&w->payload, e->txns[seq - 1].position);
	buf_put_le64(&w->payload, e->next_draft_id);
	engine_unlock(e);
	chunk_write(w, CHUNK_HEAD);
}

static void write_tree(struct index_writer *w, uint64_t seq)
{
	uint64_t cursor = 0;
	int more = 1;

	chunk_begin(w);
	while (more == 1 && !w->error) {
		engine_lock(w->e);
		more = tree_dump(w->e->tree, seq, &cursor, SLICE_NODES, &w->payload);
		engine_unlock(w->e);
		if (more < 0)
			w->error = more;
		if (w->payload.len > (1u << 20)) {
			chunk_write(w, CHUNK_TREE);
			chunk_begin(w);
		}
	}
	chunk_write(w, CHUNK_TREE);
}

static void write_logs(struct index_writer *w)
{
	int more = 1;

	chunk_begin(w);
	buf_append(&w->payload, w->log_ends.data, w->log_ends.len);
	while (more == 1 && !w->error) {
		engine_lock(w->e);
		more = event_logs_dump_more(w->e->logs, w->mark, SLICE_EVENTS, &w->payload);
		engine_unlock(w->e);
		if (more < 0)
			w->error = more;
		if (w->payload.len > (1u << 20)) {
			chunk_write(w, CHUNK_LOGS);
			chunk_begin(w);
		}
	}
	chunk_write(w, CHUNK_LOGS);
}

static void write_txns(struct index_writer *w, uint64_t seq)
{
	for (uint64_t at = 0; at < seq && !w->error;) {
		uint64_t end = MIN(at + 16384, seq);

		chunk_begin(w);
		engine_lock(w->e);
		for (; at < end; at++) {
			buf_put_le64(&w->payload, w->e->txns[at].position);
			buf_put_le64(&w->payload, (uint64_t)w->e->txns[at].time_ns);
		}
		engine_unlock(w->e);
		chunk_write(w, CHUNK_TXNS);
	}
}

/* Numbers of transactions of one kind. */
static void write_seqs(struct index_writer *w, enum chunk_type type, const struct seq_list *list, uint64_t seq)
{
	chunk_begin(w);
	engine_lock(w->e);
	for (size_t i = 0; i < list->count && list->seqs[i] <= seq; i++)
		buf_put_le64(&w->payload, list->seqs[i]);
	engine_unlock(w->e);
	chunk_write(w, type);
}

static void write_rest(struct index_writer *w, uint64_t seq)
{
	struct engine *e = w->e;

	write_seqs(w, CHUNK_ROLLBACKS, &e->rollbacks, seq);
	write_seqs(w, CHUNK_RESTORES, &e->restores, seq);
	chunk_begin(w);
	engine_lock(e);
	for (struct draft *d = e->recovered; d; d = d->next)
		buf_put_le64(&w->payload, d->id);
	for (size_t i = e->ended_first; i < e->ended_count; i++) /* over, but the snapshot does not hold the transaction that says so */
		if (e->ended[i].seq > seq)
			buf_put_le64(&w->payload, e->ended[i].id);
	for (size_t i = 0; i < DRAFT_BUCKETS; i++)
		for (struct draft *d = e->drafts[i]; d; d = d->next) {
			buf_put_le64(&w->payload, d->id); /* in this order: see draft_split() */
			buf_put_le64(&w->payload, d->split_id);
		}
	engine_unlock(e);
	chunk_write(w, CHUNK_DRAFTS);
	chunk_begin(w);
	chunk_write(w, CHUNK_END);
}

static int index_remove_others(void *arg, const char *name, bool is_dir)
{
	struct engine *e = ((void **)arg)[0];
	const char *keep = ((void **)arg)[1];
	char path[300];

	if (is_dir || !strcmp(name, keep))
		return 0;
	snprintf(path, sizeof(path), "index/%s", name);
	(void)env_unlink(e->env, path); /* a leftover costs space only */
	return 0;
}

static int index_writer_release(struct index_writer *w)
{
	buf_release(&w->payload);
	buf_release(&w->log_ends);
	event_logs_mark_free(w->mark);
	return w->error;
}

int index_write(struct engine *e)
{
	struct index_writer w = {.e = e};
	uint64_t seq;
	char name[64], path[80];
	void *args[2] = {e, name};

	engine_lock(e);
	seq = e->head_seq;
	if (seq && seq != e->index_seq)
		w.error = event_logs_dump_begin(e->logs, seq, &w.log_ends, &w.mark);
	engine_unlock(e);
	if (seq == e->index_seq)
		return 0;
	if (!w.error)
		w.error = engine_wait(e, seq, JOURNAL_DURABLE);
	if (w.error)
		return index_writer_release(&w);
	w.fd = env_open(e->env, "index/new.tmp", ENV_WRITE | ENV_CREATE);
	if (w.fd < 0) {
		w.error = w.fd;
		return index_writer_release(&w);
	}
	w.error = env_truncate(e->env, w.fd, 0);
	write_head(&w, seq);
	write_tree(&w, seq);
	write_logs(&w);
	write_txns(&w, seq);
	write_rest(&w, seq);
	if (!w.error)
		w.error = env_fdatasync(e->env, w.fd);
	env_close(e->env, w.fd);
	snprintf(name, sizeof(name), "%016" PRIx64 ".idx", seq);
	snprintf(path, sizeof(path), "index/%s", name);
	if (!w.error)
		w.error = env_rename(e->env, "index/new.tmp", path);
	if (!w.error)
		w.error = env_dir_sync(e->env, "index");
	if (!w.error) {
		(void)env_list(e->env, "index", index_remove_others, args);
		engine_lock(e);
		e->index_seq = seq;
		engine_unlock(e);
	}
	return index_writer_release(&w);
}

/* ---- loading ---- */

struct index_parts {
	struct buf tree, logs;
	uint64_t seq, position, next_draft_id;
	bool ended;
};

static int take_head(struct index_parts *p, const uint8_t *data, size_t len)
{
	if (len != 32 || get_le32(data) != INDEX_VERSION)
		return -EBADMSG;
	p->seq = get_le64(data + 8);
	p->position = get_le64(data + 16);
	p->next_draft_id = get_le64(data + 24);
	return 0;
}

static int take_txns(struct engine *e, uint64_t *count, const uint8_t *data, size_t len)
{
	int r = array_reserve(&e->txns, &e->txn_capacity, *count + len / 16, sizeof(*e->txns));

	for (size_t at = 0; !r && at + 16 <= len; at += 16)
		e->txns[(*count)++] = (struct txn_ref){get_le64(data + at), (int64_t)get_le64(data + at + 8)};
	return r;
}

static int take_seqs(struct seq_list *list, const uint8_t *data, size_t len)
{
	int r = array_reserve(&list->seqs, &list->capacity, list->count + len / 8, sizeof(*list->seqs));

	for (size_t at = 0; !r && at + 8 <= len; at += 8)
		list->seqs[list->count++] = get_le64(data + at);
	return r;
}

/* Drafts the snapshot knew to be over need no second look; decided when the journal has accepted the snapshot. */
static int take_drafts(struct engine *e, const uint8_t *data, size_t len)
{
	buf_clear(&e->index_drafts);
	buf_append(&e->index_drafts, data, len);
	return e->index_drafts.error;
}

static int take_chunk(struct engine *e, struct index_parts *p, uint64_t *txns, uint32_t type, const uint8_t *data, size_t len)
{
	switch (type) {
	case CHUNK_HEAD:
		return take_head(p, data, len);
	case CHUNK_TREE:
		buf_append(&p->tree, data, len);
		return p->tree.error;
	case CHUNK_LOGS:
		buf_append(&p->logs, data, len);
		return p->logs.error;
	case CHUNK_TXNS:
		return take_txns(e, txns, data, len);
	case CHUNK_ROLLBACKS:
		return take_seqs(&e->rollbacks, data, len);
	case CHUNK_RESTORES:
		return take_seqs(&e->restores, data, len);
	case CHUNK_DRAFTS:
		return take_drafts(e, data, len);
	case CHUNK_END:
		p->ended = true;
		return 0;
	default:
		return -EBADMSG;
	}
}

static int index_read_chunks(struct engine *e, int fd, struct index_parts *p, uint64_t *txns)
{
	cleanup_free uint8_t *data = NULL;
	size_t capacity = 0;
	uint64_t offset = 0;
	uint8_t head[CHUNK_HEADER_BYTES];
	int r = 0;

	for (uint32_t number = 0; !r && !p->ended; number++) {
		uint32_t len;

		if (env_pread(e->env, fd, head, sizeof(head), offset) != sizeof(head))
			return -EBADMSG;
		len = get_le32(head + 4);
		if (len > CHUNK_BYTES_MAX)
			return -EBADMSG;
		if (array_reserve(&data, &capacity, len + 1, 1))
			return -ENOMEM;
		if (env_pread(e->env, fd, data, len, offset + sizeof(head)) != (ssize_t)len)
			return -EBADMSG;
		if (get_le64(head + 8) != checksum_xxh3(head, 8, checksum_xxh3(data, len, chunk_seed(e, number))))
			return -EBADMSG;
		r = take_chunk(e, p, txns, get_le32(head), data, len);
		offset += sizeof(head) + len;
	}
	return r;
}

static int index_newest(void *arg, const char *name, bool is_dir)
{
	char *best = arg;

	if (!is_dir && strlen(name) == 20 && !strcmp(name + 16, ".idx") && strcmp(name, best) > 0)
		memcpy(best, name, 21);
	return 0;
}

int index_load(struct engine *e, uint64_t *ret_position, uint64_t *ret_seq)
{
	struct index_parts p = {0};
	char best[24] = "", path[40];
	uint64_t txns = 0;
	int fd, r;

	r = env_list(e->env, "index", index_newest, best);
	if (r || !best[0])
		return r ? r : -ENOENT;
	snprintf(path, sizeof(path), "index/%s", best);
	fd = env_open(e->env, path, ENV_READ);
	if (fd < 0)
		return fd;
	r = index_read_chunks(e, fd, &p, &txns);
	env_close(e->env, fd);
	if (!r && (!p.seq || txns != p.seq))
		r = -EBADMSG;
	if (!r)
		r = tree_load(e->tree, (const uint8_t *)p.tree.data, p.tree.len);
	if (!r)
		r = event_logs_load(e->logs, (const uint8_t *)p.logs.data, p.logs.len);
	buf_release(&p.tree);
	buf_release(&p.logs);
	if (r)
		return r;
	e->head_seq = e->index_seq = p.seq;
	e->index_draft_id = p.next_draft_id;
	e->last_time_ns = e->txns[p.seq - 1].time_ns;
	e->next_draft_id = MAX(e->next_draft_id, p.next_draft_id);
	*ret_position = p.position;
	*ret_seq = p.seq;
	return 0;
}

/* ---- in the background ---- */

static void *index_thread(void *arg)
{
	struct engine *e = arg;

	engine_lock(e);
	while (!e->stopping) {
		if (!e->index_wanted) {
			pthread_cond_wait(&e->index_cond, &e->lock);
			continue;
		}
		e->index_wanted = false;
		engine_unlock(e);
		(void)index_write(e); /* derived; tried again after as many transactions */
		engine_lock(e);
		e->index_running = false;
	}
	engine_unlock(e);
	return NULL;
}

int index_start(struct engine *e)
{
	int r = pthread_create(&e->index_thread, NULL, index_thread, e);

	e->index_started = r == 0;
	return -r;
}

void index_stop(struct engine *e)
{
	engine_lock(e);
	e->stopping = true;
	pthread_cond_signal(&e->index_cond);
	engine_unlock(e);
	if (e->index_started)
		pthread_join(e->index_thread, NULL);
	e->index_started = false;
}

void index_consider(struct engine *e)
{
	if (!e->index_started || e->index_running || e->head_seq - e->index_seq < e->config->index_every)
		return;
	e->index_running = e->index_wanted = true;
	pthread_cond_signal(&e->index_cond);
}
