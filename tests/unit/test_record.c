/* SPDX-License-Identifier: MIT
 *
 * The record codec: every operation and change type there and back, random records, payloads cut at each byte, what
 * validity rule refuses what, blocks, positions, the size of a plain save, and how fast it decodes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmocka_all.h"
#include "position.h"
#include "record.h"
#include "rng.h"
#include "util.h"

#define PAYLOAD_POSITION position_make(POSITION_JOURNAL, 3, 8192)

/* Memory for one generated record; thrown away as a whole. */
struct pool {
	char bytes[1 << 20];
	size_t used;
};

static void *pool_take(struct pool *p, size_t len)
{
	void *at = p->bytes + p->used;

	p->used += ALIGN_UP(len, 8);
	assert_true(p->used <= sizeof(p->bytes));
	memset(at, 0, len);
	return at;
}

static const char *random_text(struct rng *g, struct pool *p, size_t max)
{
	size_t len = rng_below(g, max + 1);
	char *text = pool_take(p, len + 1);

	for (size_t i = 0; i < len; i++)
		text[i] = (char)(1 + rng_below(g, 255));
	return text;
}

static struct sha256 random_sha(struct rng *g)
{
	struct sha256 s;

	for (size_t i = 0; i < sizeof(s.bytes); i++)
		s.bytes[i] = (uint8_t)rng_next(g);
	return s;
}

static struct extent *random_extents(struct rng *g, struct pool *p, struct record_blocks *blocks, uint32_t *ret_count)
{
	uint32_t count = (uint32_t)rng_below(g, 5);
	struct extent *e = pool_take(p, (count + 1) * sizeof(*e));
	char data[3000];

	for (uint32_t i = 0; i < count; i++) {
		e[i].file_offset = rng_below(g, 1u << 30);
		switch (rng_below(g, 3)) {
		case 0: /* a hole, perhaps endless */
			e[i].len = rng_coin(g) ? EXTENT_TO_END - e[i].file_offset : rng_below(g, 1u << 30);
			break;
		case 1: /* elsewhere */
			e[i].position = position_make((enum position_kind)rng_below(g, 3), 1 + (uint32_t)rng_below(g, 100), 77);
			e[i].raw_len = 5000;
			e[i].stored_len = rng_coin(g) ? 5000 : 1;
			e[i].skip = (uint32_t)rng_below(g, 5000);
			e[i].len = 5000 - e[i].skip;
			break;
		default:
			memset(data, rng_coin(g) ? 'x' : (int)rng_below(g, 256), sizeof(data));
			e[i].len = 1 + rng_below(g, sizeof(data));
			assert_int_equal(record_blocks_add(blocks, data, e[i].len, &e[i]), 0);
		}
	}
	*ret_count = count;
	return e;
}

static void random_name(struct rng *g, struct pool *p, struct change *c, char first)
{
	size_t len = 1 + rng_below(g, 255);
	char *name = pool_take(p, len); /* not NUL-terminated, as the contract has it */

	memset(name, first, len);
	c->name = name;
	c->name_len = (uint32_t)len;
}

static void random_change(struct rng *g, struct pool *p, struct record_blocks *blocks, enum change_type type, struct change *c)
{
	*c = (struct change){.type = type, .ino = rng_next(g)};
	if (type == CHANGE_CREATE || type == CHANGE_LINK || type == CHANGE_UNLINK) {
		c->parent = rng_next(g);
		random_name(g, p, c, 'n');
	}
	if (type == CHANGE_CREATE || type == CHANGE_ATTR) {
		c->mode = (uint32_t)rng_next(g);
		c->uid = (uint32_t)rng_next(g);
		c->gid = (uint32_t)rng_next(g);
		c->attr_mask = (uint32_t)rng_below(g, 64);
		c->atime_ns = (int64_t)rng_next(g);
		c->mtime_ns = (int64_t)rng_next(g);
	}
	if (type == CHANGE_CREATE)
		c->rdev = rng_next(g);
	if (type == CHANGE_XATTR)
		random_name(g, p, c, '/');
	if ((type == CHANGE_XATTR || type == CHANGE_CREATE) && rng_coin(g)) {
		c->value_len = (uint32_t)rng_below(g, 70000);
		c->value = pool_take(p, c->value_len + 1);
	}
	if (type == CHANGE_CONTENT) {
		c->content_flags = (uint32_t)rng_below(g, 4);
		c->size = rng_next(g);
		c->extents = random_extents(g, p, blocks, &c->extent_count);
	}
}

static void random_event(struct rng *g, struct pool *p, const struct record *r, struct event *e)
{
	*e = (struct event){.type = (enum event_type)(1 + rng_below(g, 65535)), .flags = (uint32_t)rng_below(g, 8)};
	e->operation = rng_coin(g) ? operation_name(r->operation) : random_text(g, p, 20);
	e->path = rng_coin(g) ? r->path : random_text(g, p, 300);
	e->session = rng_coin(g) ? "s1" : random_text(g, p, 2);
	e->new_path = rng_coin(g) ? "" : random_text(g, p, 300);
	e->more = rng_below(g, 8) ? "" : random_text(g, p, 70000);
	e->custom_type = rng_coin(g) ? "" : random_text(g, p, 30);
	if (e->flags & EVENT_HAS_OLD_SHA)
		e->old_sha = rng_coin(g) ? r->base_sha : random_sha(g);
	if (e->flags & EVENT_HAS_NEW_SHA)
		e->new_sha = random_sha(g);
	if (e->flags & EVENT_HAS_SIZE)
		e->size = rng_next(g);
	e->sequence_number = rng_next(g);
	e->line_bytes = (uint32_t)rng_next(g);
	e->checksum = random_sha(g);
	e->global_checksum = random_sha(g);
}

static void random_actor(struct rng *g, struct actor *a)
{
	memset(a->agent, 'a', rng_below(g, ACTOR_ID_BYTES));
	memset(a->session, 's', rng_below(g, ACTOR_ID_BYTES));
	memset(a->comm, 'c', rng_below(g, ACTOR_COMM_BYTES));
	a->pid = (uint32_t)rng_next(g);
	a->uid = (uint32_t)rng_next(g);
	a->gid = (uint32_t)rng_next(g);
	a->leader_pid = (uint32_t)rng_next(g);
	a->leader_start = rng_next(g);
}

static void random_rollback(struct rng *g, struct pool *p, struct record_blocks *blocks, struct record *r)
{
	struct record_rollback *b = pool_take(p, sizeof(*b));

	b->wanted = OPERATION_WRITE;
	b->draft = random_extents(g, p, blocks, &b->draft_extents);
	b->draft_size = rng_next(g);
	b->error = -(int32_t)rng_below(g, 200);
	b->line = (uint32_t)rng_next(g);
	b->column = (uint32_t)rng_next(g);
	b->rule = random_text(g, p, 20);
	b->text = random_text(g, p, 400);
	r->rollback = b;
}

static void random_record(struct rng *g, struct pool *p, struct record_blocks *blocks, enum operation operation, struct record *r)
{
	static const char *const paths[] = {"", "state/sessions/s1/state/a", "state/sessions/s1", "state/sessions/", "x"};

	p->used = 0;
	*r = (struct record){.operation = operation, .seq = 5};
	r->time_ns = (int64_t)rng_next(g);
	r->started_ns = (int64_t)rng_next(g);
	random_actor(g, &r->actor);
	r->path = rng_below(g, 20) ? paths[rng_below(g, ARRAY_SIZE(paths))] : random_text(g, p, 70000);
	r->draft_id = rng_next(g);
	r->base_seq = rng_next(g);
	if (rng_coin(g))
		r->base_sha = random_sha(g);
	r->change_count = (uint32_t)rng_below(g, 4);
	r->changes = pool_take(p, (r->change_count + 1) * sizeof(*r->changes));
	for (uint32_t i = 0; i < r->change_count; i++)
		random_change(g, p, blocks, (enum change_type)(1 + rng_below(g, 6)), &r->changes[i]);
	r->event_count = (uint32_t)rng_below(g, 4);
	r->events = pool_take(p, (r->event_count + 1) * sizeof(*r->events));
	for (uint32_t i = 0; i < r->event_count; i++)
		random_event(g, p, r, &r->events[i]);
	if (rng_coin(g)) {
		uint64_t *over = pool_take(p, RECORD_DRAFTS_OVER_MAX * sizeof(*over));

		r->drafts_over = over;
		r->drafts_over_count = (uint32_t)rng_below(g, RECORD_DRAFTS_OVER_MAX + 1);
		for (uint32_t i = 0; i < r->drafts_over_count; i++)
			over[i] = rng_next(g);
	}
	if (operation == OPERATION_ROLLBACK)
		random_rollback(g, p, blocks, r);
}

/* ---- comparison, field by field ---- */

static void same_extents(const struct extent *a, const struct extent *b, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(a[i].file_offset, b[i].file_offset);
		assert_int_equal(a[i].len, b[i].len);
		assert_int_equal(a[i].position, b[i].position);
		assert_int_equal(a[i].raw_len, b[i].raw_len);
		assert_int_equal(a[i].stored_len, b[i].stored_len);
		assert_int_equal(a[i].skip, b[i].skip);
	}
}

static void same_change(const struct change *a, const struct change *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->ino, b->ino);
	assert_int_equal(a->parent, b->parent);
	assert_int_equal(a->name_len, b->name_len);
	if (a->name_len)
		assert_memory_equal(a->name, b->name, a->name_len);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_int_equal(a->rdev, b->rdev);
	assert_int_equal(a->attr_mask, b->attr_mask);
	assert_int_equal(a->atime_ns, b->atime_ns);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_int_equal(!a->value, !b->value);
	assert_int_equal(a->value_len, b->value_len);
	if (a->value_len)
		assert_memory_equal(a->value, b->value, a->value_len);
	assert_int_equal(a->content_flags, b->content_flags);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->extent_count, b->extent_count);
	same_extents(a->extents, b->extents, a->extent_count);
}

static void same_event(const struct event *a, const struct event *b)
{
	assert_int_equal(a->type, b->type);
	assert_string_equal(a->session, b->session);
	assert_string_equal(a->operation, b->operation);
	assert_string_equal(a->path, b->path);
	assert_string_equal(a->new_path, b->new_path);
	assert_string_equal(a->more, b->more);
	assert_string_equal(a->custom_type, b->custom_type);
	assert_int_equal(a->flags, b->flags);
	assert_memory_equal(&a->old_sha, &b->old_sha, sizeof(a->old_sha));
	assert_memory_equal(&a->new_sha, &b->new_sha, sizeof(a->new_sha));
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->sequence_number, b->sequence_number);
	assert_memory_equal(&a->checksum, &b->checksum, sizeof(a->checksum));
	assert_memory_equal(&a->global_checksum, &b->global_checksum, sizeof(a->global_checksum));
	assert_int_equal(a->line_bytes, b->line_bytes);
}

static void same_record(const struct record *a, const struct record *b)
{
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->time_ns, b->time_ns);
	assert_int_equal(a->started_ns, b->started_ns);
	assert_int_equal(a->operation, b->operation);
	assert_string_equal(a->actor.agent, b->actor.agent);
	assert_string_equal(a->actor.session, b->actor.session);
	assert_string_equal(a->actor.comm, b->actor.comm);
	assert_int_equal(a->actor.pid, b->actor.pid);
	assert_int_equal(a->actor.uid, b->actor.uid);
	assert_int_equal(a->actor.gid, b->actor.gid);
	assert_int_equal(a->actor.leader_pid, b->actor.leader_pid);
	assert_int_equal(a->actor.leader_start, b->actor.leader_start);
	assert_string_equal(a->path, b->path);
	assert_int_equal(a->draft_id, b->draft_id);
	assert_int_equal(a->base_seq, b->base_seq);
	assert_memory_equal(&a->base_sha, &b->base_sha, sizeof(a->base_sha));
	assert_int_equal(a->change_count, b->change_count);
	for (uint32_t i = 0; i < a->change_count; i++)
		same_change(&a->changes[i], &b->changes[i]);
	assert_int_equal(a->event_count, b->event_count);
	for (uint32_t i = 0; i < a->event_count; i++)
		same_event(&a->events[i], &b->events[i]);
	assert_int_equal(a->drafts_over_count, b->drafts_over_count);
	for (uint32_t i = 0; i < a->drafts_over_count; i++)
		assert_int_equal(a->drafts_over[i], b->drafts_over[i]);
	assert_int_equal(!a->rollback, !b->rollback);
	if (!a->rollback)
		return;
	assert_int_equal(a->rollback->wanted, b->rollback->wanted);
	assert_int_equal(a->rollback->error, b->rollback->error);
	assert_int_equal(a->rollback->line, b->rollback->line);
	assert_int_equal(a->rollback->column, b->rollback->column);
	assert_int_equal(a->rollback->draft_size, b->rollback->draft_size);
	assert_int_equal(a->rollback->draft_extents, b->rollback->draft_extents);
	same_extents(a->rollback->draft, b->rollback->draft, a->rollback->draft_extents);
	assert_string_equal(a->rollback->rule, b->rollback->rule);
	assert_string_equal(a->rollback->text, b->rollback->text);
}

/* A whole payload, as the journal would hold it; *@ret_meta: where its block area begins. */
static void encode(const struct record *r, const struct record_blocks *blocks, struct buf *out, size_t *ret_meta)
{
	size_t bound = record_encoded_bytes_max(r, blocks);

	assert_int_equal(record_encode(r, blocks, out), 0);
	*ret_meta = out->len;
	buf_append(out, blocks->bytes.data, blocks->bytes.len);
	assert_true(out->len <= bound);
}

/* ---- tests ---- */

static void there_and_back(struct rng *g, struct pool *pool, enum operation operation, struct record_arena *arena)
{
	struct record_blocks blocks = {0};
	cleanup_buf struct buf payload = BUF_INIT;
	struct record r, *decoded;
	size_t meta;

	random_record(g, pool, &blocks, operation, &r);
	encode(&r, &blocks, &payload, &meta);
	record_fix_positions(&r, PAYLOAD_POSITION + meta);
	record_fix_positions(&r, 1); /* real ones stay */
	assert_int_equal(record_decode((uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, r.seq, &decoded), 0);
	same_record(&r, decoded);
	record_free(decoded);
	assert_int_equal(record_decode_into(arena, (uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, r.seq, &decoded), 0);
	same_record(&r, decoded);
	record_blocks_release(&blocks);
}

static void test_round_trip(void **state)
{
	struct pool *pool = malloc(sizeof(*pool));
	struct record_arena arena = {0};
	struct rng g;

	(void)state;
	rng_init(&g, rng_seed_of_run(1));
	rng_report(&g, "round trip");
	for (int i = 0; i < 300; i++) {
#define X(id, name, text) there_and_back(&g, pool, OPERATION_##name, &arena);
		OPERATION_LIST(X)
#undef X
	}
	record_arena_release(&arena);
	free(pool);
}

static void test_operations(void **state)
{
	(void)state;
#define X(id, name, text)                       \
	assert_int_equal(OPERATION_##name, id); \
	assert_string_equal(operation_name(OPERATION_##name), text);
	OPERATION_LIST(X)
#undef X
	assert_string_equal(operation_name((enum operation)9999), "unknown");
}

/* A save as most are: one whole-file content change, one event. */
struct save {
	struct record record;
	struct change change;
	struct extent extent;
	struct event event;
	struct record_blocks blocks;
};

static void save_make(struct save *s, size_t content_bytes)
{
	static const char path[] = "state/sessions/s1/state/plan/plan-1.yaml"; /* 40 characters */
	char *content = malloc(content_bytes);
	struct rng g;

	assert_int_equal(strlen(path), 40);
	rng_init(&g, 4);
	for (size_t i = 0; i < content_bytes; i++)
		content[i] = (char)rng_next(&g);
	*s = (struct save){.extent = {.len = content_bytes}};
	assert_int_equal(record_blocks_add(&s->blocks, content, content_bytes, &s->extent), 0);
	s->change = (struct change){
		.type = CHANGE_CONTENT, .ino = 77, .content_flags = CONTENT_REPLACE, .size = content_bytes, .extents = &s->extent, .extent_count = 1};
	s->event = (struct event){.type = EVENT_FILE_WRITTEN,
		.session = "s1",
		.operation = "write",
		.path = path,
		.new_path = "",
		.more = "",
		.custom_type = "",
		.flags = EVENT_HAS_OLD_SHA | EVENT_HAS_NEW_SHA | EVENT_HAS_SIZE,
		.size = content_bytes,
		.sequence_number = 12,
		.line_bytes = 700};
	s->event.old_sha = s->event.new_sha = s->event.checksum = s->event.global_checksum = random_sha(&g);
	s->record = (struct record){.seq = 9,
		.time_ns = 1234567890123456789,
		.started_ns = 1234567890123450000,
		.operation = OPERATION_WRITE,
		.path = path,
		.draft_id = 3,
		.base_seq = 8,
		.actor = {.agent = "coder-1", .session = "s1", .pid = 4242, .uid = 1000, .gid = 1000, .comm = "bash"},
		.base_sha = s->event.old_sha,
		.changes = &s->change,
		.change_count = 1,
		.events = &s->event,
		.event_count = 1};
	free(content);
}

static void save_release(struct save *s)
{
	record_blocks_release(&s->blocks);
}

static void test_plain_save_is_small(void **state)
{
	cleanup_buf struct buf payload = BUF_INIT;
	struct save s;
	size_t meta;

	(void)state;
	save_make(&s, 1000);
	encode(&s.record, &s.blocks, &payload, &meta);
	print_message("a plain save needs %zu bytes beside its content\n", meta);
	assert_true(meta <= 420);
	assert_int_equal(payload.len, meta + RECORD_BLOCK_CHECK_BYTES + 1000);
	save_release(&s);
}

/* Cut at every byte of the meta area: never accepted, never read beyond (the sanitizers watch the exact copy). */
static void test_truncation(void **state)
{
	struct pool *pool = malloc(sizeof(*pool));
	struct rng g;

	(void)state;
	rng_init(&g, rng_seed_of_run(2));
	for (int round = 0; round < 30; round++) {
		struct record_blocks blocks = {0};
		cleanup_buf struct buf payload = BUF_INIT;
		struct record r, *decoded = NULL;
		size_t meta;

		random_record(&g, pool, &blocks, round % 2 ? OPERATION_ROLLBACK : OPERATION_WRITE, &r);
		encode(&r, &blocks, &payload, &meta);
		for (size_t len = 0; len < meta; len += len < 3000 ? 1 : 997) {
			uint8_t *cut = malloc(len + !len);
			int error;

			memcpy(cut, payload.data, len);
			error = record_decode(cut, len, PAYLOAD_POSITION, 5, &decoded);
			rng_assert(&g, error == -EBADMSG && !decoded);
			if (len >= RECORD_HEADER_BYTES) { /* and with a header that owns up to the cut */
				put_le32(cut + 4, (uint32_t)len);
				error = record_decode(cut, len, PAYLOAD_POSITION, 5, &decoded);
				rng_assert(&g, error == -EBADMSG && !decoded);
			}
			free(cut);
		}
		record_blocks_release(&blocks);
	}
	free(pool);
}

/* Each byte of a save's meta area turned over: refused or accepted, but within bounds; and a good one decodes afterwards. */
static void test_flipped_bytes(void **state)
{
	cleanup_buf struct buf payload = BUF_INIT;
	struct record_arena arena = {0};
	struct record *decoded;
	struct save s;
	size_t meta, refused = 0;

	(void)state;
	save_make(&s, 100);
	encode(&s.record, &s.blocks, &payload, &meta);
	for (size_t i = 0; i < meta; i++)
		for (int bit = 0; bit < 8; bit++) {
			payload.data[i] ^= (char)(1 << bit);
			refused += record_decode_into(&arena, (uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, 9, &decoded) != 0;
			payload.data[i] ^= (char)(1 << bit);
		}
	assert_true(refused > 400);
	assert_int_equal(record_decode_into(&arena, (uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, 9, &decoded), 0);
	record_arena_release(&arena);
	save_release(&s);
}

/* ---- what refuses what ---- */

static int decode_with(const struct buf *payload, size_t offset, uint64_t value, size_t bytes)
{
	uint8_t *copy = malloc(payload->len);
	struct record *decoded;
	int error;

	memcpy(copy, payload->data, payload->len);
	for (size_t i = 0; i < bytes; i++)
		copy[offset + i] = (uint8_t)(value >> 8 * i);
	error = record_decode(copy, payload->len, PAYLOAD_POSITION, 9, &decoded);
	if (!error)
		record_free(decoded);
	free(copy);
	return error;
}

static void test_refusals(void **state)
{
	cleanup_buf struct buf payload = BUF_INIT;
	struct save s;
	size_t meta, change, extent, event;

	(void)state;
	save_make(&s, 100);
	encode(&s.record, &s.blocks, &payload, &meta);
	change = RECORD_HEADER_BYTES + 2 + 7 + 2 + 2 + 2 + 4 + 2 + 40;
	extent = change + 10 + 16;
	event = extent + RECORD_EXTENT_BYTES;
	assert_int_equal(decode_with(&payload, 0, 1, 1), 0);
	assert_int_equal(decode_with(&payload, 0, 2, 1), -EPROTONOSUPPORT);     /* version */
	assert_int_equal(decode_with(&payload, 1, 8 | 2, 1), -EPROTONOSUPPORT); /* flags */
	assert_int_equal(decode_with(&payload, 1, 1 | 2, 1), -EBADMSG);
	assert_int_equal(decode_with(&payload, 1, 2 | 4, 1), -EBADMSG); /* a rollback that is none */
	assert_int_equal(decode_with(&payload, 2, 79, 2), -EBADMSG);
	assert_int_equal(decode_with(&payload, 4, payload.len + 1, 4), -EBADMSG);
	assert_int_equal(decode_with(&payload, 64, 0, 2), -EPROTONOSUPPORT); /* operation */
	assert_int_equal(decode_with(&payload, 64, 999, 2), -EPROTONOSUPPORT);
	assert_int_equal(decode_with(&payload, 64, OPERATION_ROLLBACK, 2), -EBADMSG);
	assert_int_equal(decode_with(&payload, 66, 1, 2), -EPROTONOSUPPORT);
	assert_int_equal(decode_with(&payload, 68, UINT32_MAX, 4), -EBADMSG); /* counts */
	assert_int_equal(decode_with(&payload, 72, UINT32_MAX, 4), -EBADMSG);
	assert_int_equal(decode_with(&payload, 76, UINT32_MAX, 4), -EBADMSG);
	assert_int_equal(decode_with(&payload, 76, 2, 4), -EBADMSG);
	assert_int_equal(decode_with(&payload, 76, 0, 4), -EBADMSG);
	assert_int_equal(decode_with(&payload, RECORD_HEADER_BYTES + 2, 0, 1), -EBADMSG); /* NUL in the agent's id */
	assert_int_equal(decode_with(&payload, change, 7, 1), -EPROTONOSUPPORT);
	assert_int_equal(decode_with(&payload, change, 0, 1), -EPROTONOSUPPORT);
	assert_int_equal(decode_with(&payload, change + 1, 2, 1), -EPROTONOSUPPORT);
	assert_int_equal(decode_with(&payload, change + 1, 1, 1), -EPROTONOSUPPORT); /* content has no value */
	assert_int_equal(decode_with(&payload, change + 10, 4, 4), -EPROTONOSUPPORT);
	assert_int_equal(decode_with(&payload, extent, UINT64_MAX, 8), -EBADMSG);
	assert_int_equal(decode_with(&payload, extent + 8, 101, 8), -EBADMSG);
	assert_int_equal(decode_with(&payload, extent + 16, position_make(POSITION_JOURNAL, POSITION_FILE_MAX, 1), 8), -EBADMSG);
	assert_int_equal(decode_with(&payload, extent + 16, position_make(POSITION_JOURNAL, 5, 1), 8), 0); /* another frame's */
	assert_int_equal(decode_with(&payload, extent + 24, 99, 4), -EBADMSG);                             /* raw < stored */
	assert_int_equal(decode_with(&payload, extent + 28, 0, 4), -EBADMSG);                              /* nothing stored */
	assert_int_equal(decode_with(&payload, extent + 32, 1, 4), -EBADMSG);                              /* skip + len > raw */
	assert_int_equal(decode_with(&payload, event, 0, 2), -EBADMSG);                                    /* type */
	assert_int_equal(decode_with(&payload, event, 60000, 2), 0);                                       /* a newer writer's only renders */
	assert_int_equal(decode_with(&payload, event + 2, 8 | 7, 2), -EPROTONOSUPPORT);
	assert_int_equal(decode_with(&payload, event + 2, 6, 2), -EBADMSG); /* no old_sha for flag 2 */
	save_release(&s);
}

static void test_names(void **state)
{
	static const struct {
		enum change_type type;
		const char *name;
		size_t bad; /* offset in the name set to this: */
		char to;
		int error;
	} rows[] = {
		{CHANGE_LINK, "name", 1, '/', -EBADMSG},
		{CHANGE_UNLINK, "name", 0, '\0', -EBADMSG},
		{CHANGE_CREATE, "name", 3, '/', -EBADMSG},
		{CHANGE_XATTR, "name", 2, '/', 0},
		{CHANGE_XATTR, "name", 2, '\0', -EBADMSG},
		{CHANGE_LINK, "name", 1, 'x', 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct change c = {.type = rows[i].type, .ino = 1, .name = rows[i].name, .name_len = 4};
		struct record r = {.operation = OPERATION_LINK, .path = "", .changes = &c, .change_count = 1};
		cleanup_buf struct buf payload = BUF_INIT;
		char *name;

		assert_int_equal(record_encode(&r, NULL, &payload), 0);
		name = memmem(payload.data, payload.len, "name", 4);
		assert_non_null(name);
		assert_int_equal(decode_with(&payload, (size_t)(name - payload.data) + rows[i].bad, (uint8_t)rows[i].to, 1), rows[i].error);
		assert_int_equal(decode_with(&payload, (size_t)(name - payload.data) - 2, 0, 2), -EBADMSG); /* an empty one */
	}
}

/* Bytes of the meta area that belong to nothing; and a component too long to be a session is none. */
static void test_meta_area_is_full(void **state)
{
	struct event e = {.type = EVENT_FILE_REMOVED, .session = "", .operation = "remove", .new_path = "", .more = "", .custom_type = ""};
	struct record r = {.operation = OPERATION_REMOVE, .events = &e, .event_count = 1}, *decoded;
	cleanup_buf struct buf payload = BUF_INIT;
	char path[200] = "state/sessions/";

	(void)state;
	for (size_t len = 128; len <= 129; len++) {
		memset(path + 15, 'x', len);
		r.path = e.path = path;
		e.session = len == 128 ? path + 15 : "";
		buf_clear(&payload);
		assert_int_equal(record_encode(&r, NULL, &payload), 0);
		assert_int_equal(payload.len, RECORD_HEADER_BYTES + 3 * 2 + 2 + strlen(path) + RECORD_EVENT_BYTES_MIN); /* no session stored */
		assert_int_equal(record_decode((uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, 9, &decoded), 0);
		assert_string_equal(decoded->events[0].session, e.session);
		record_free(decoded);
	}
	buf_put_u8(&payload, 0);
	put_le32(payload.data + 4, (uint32_t)payload.len);
	assert_int_equal(record_decode((uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, 9, &decoded), -EBADMSG);
}

/* A later version's longer header is skipped, with and without the part that follows the fixed one. */
static void longer_header(const uint64_t *over, uint32_t over_count)
{
	cleanup_buf struct buf payload = BUF_INIT, longer = BUF_INIT;
	struct record *decoded;
	size_t meta, header;
	struct save s;

	save_make(&s, 100);
	s.record.drafts_over = over;
	s.record.drafts_over_count = over_count;
	encode(&s.record, &s.blocks, &payload, &meta);
	header = get_le16(payload.data + 2);
	assert_int_equal(header, RECORD_HEADER_BYTES + (over_count ? 8 + 8 * over_count : 0));
	buf_append(&longer, payload.data, header);
	buf_append(&longer, "later", 5);
	buf_append(&longer, payload.data + header, payload.len - header);
	put_le16(longer.data + 2, (uint16_t)(header + 5));
	put_le32(longer.data + 4, (uint32_t)meta + 5);
	assert_int_equal(record_decode((uint8_t *)longer.data, longer.len, PAYLOAD_POSITION, 9, &decoded), 0);
	record_fix_positions(&s.record, PAYLOAD_POSITION + meta + 5);
	same_record(&s.record, decoded);
	record_free(decoded);
	if (over_count) { /* more than there is room for */
		put_le64(longer.data + RECORD_HEADER_BYTES, over_count + 1);
		assert_int_equal(record_decode((uint8_t *)longer.data, longer.len, PAYLOAD_POSITION, 9, &decoded), -EBADMSG);
		put_le64(longer.data + RECORD_HEADER_BYTES, UINT64_MAX);
		assert_int_equal(record_decode((uint8_t *)longer.data, longer.len, PAYLOAD_POSITION, 9, &decoded), -EBADMSG);
	}
	save_release(&s);
}

static void test_longer_header(void **state)
{
	(void)state;
	longer_header(NULL, 0);
	longer_header((const uint64_t[]){7, UINT64_MAX}, 2);
}

static void test_blocks(void **state)
{
	static const size_t sizes[] = {1, 1023, 1024, 5000, 70000};
	struct record_blocks b = {0};
	struct rng g;

	(void)state;
	rng_init(&g, 3);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (int noisy = 0; noisy < 2; noisy++) {
			size_t len = sizes[i];
			char *data = malloc(len), *back = malloc(len);
			struct extent e = {0};
			const char *stored;

			for (size_t k = 0; k < len; k++)
				data[k] = noisy ? (char)rng_next(&g) : (char)('a' + k % 10);
			assert_int_equal(record_blocks_add(&b, data, len, &e), 0);
			assert_int_equal(e.raw_len, len);
			assert_int_equal(e.skip, 0);
			if (noisy || len < 1024)
				assert_int_equal(e.stored_len, len);
			else
				assert_true(e.stored_len <= len * 4 / 5);
			stored = b.bytes.data + position_offset(e.position);
			assert_int_equal(record_block_read(stored, e.stored_len, len, back), 0);
			assert_memory_equal(back, data, len);
			if (e.stored_len < len) {
				assert_int_equal(record_block_read(stored, e.stored_len - 1, len, back), -EIO);
				assert_int_equal(record_block_read(stored, e.stored_len, len - 1, back), -EIO);
			}
			assert_int_equal(record_block_read(stored, len + 1, len, back), -EIO);
			assert_int_equal(record_block_read(stored, 0, len, back), -EIO);
			free(data);
			free(back);
		}
	{
		char data[4096] = {0}; /* saves some 15 %: not worth it */
		struct extent e = {0};

		for (size_t k = 600; k < sizeof(data); k++)
			data[k] = (char)rng_next(&g);
		assert_int_equal(record_blocks_add(&b, data, sizeof(data), &e), 0);
		assert_int_equal(e.stored_len, sizeof(data));
	}
	record_blocks_release(&b);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Figures to look at; only absurd ones fail. */
static void test_speed(void **state)
{
	cleanup_buf struct buf payload = BUF_INIT, out = BUF_INIT;
	struct record_arena arena = {0};
	struct record *decoded;
	struct save s;
	enum { ROUNDS = 200000 };
	double started, decode_s, encode_s;
	size_t meta;

	(void)state;
	save_make(&s, 100);
	encode(&s.record, &s.blocks, &payload, &meta);
	started = now_s();
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(record_decode_into(&arena, (uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, 9, &decoded), 0);
	decode_s = now_s() - started;
	started = now_s();
	for (int i = 0; i < ROUNDS; i++) {
		buf_clear(&out);
		assert_int_equal(record_encode(&s.record, &s.blocks, &out), 0);
	}
	encode_s = now_s() - started;
	print_message("decode %.2f M records/s, encode %.2f M records/s\n", ROUNDS / decode_s / 1e6, ROUNDS / encode_s / 1e6);
	assert_true(ROUNDS / decode_s > 1000);
	record_arena_release(&arena);
	save_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_plain_save_is_small),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_flipped_bytes),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_longer_header),
		cmocka_unit_test(test_meta_area_is_full),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
