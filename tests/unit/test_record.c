/* SPDX-License-Identifier: MIT
 *
 * The record codec: every operation and change type there and back, random records, payloads cut at each byte, what
 * validity rule refuses what, blocks, positions, the size of a plain save, and how fast it decodes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "position.h"
#include "record_gen.h"
#include "stopwatch.h"
#include "util.h"

#define PAYLOAD_POSITION position_make(POSITION_JOURNAL, 3, 8192)

/* ---- comparison, field by field ---- */

/* ---- tests ---- */

static void there_and_back(struct rng *g, struct record_gen_pool *pool, enum operation operation, struct record_arena *arena)
{
	struct record_blocks blocks = {0};
	cleanup_buf struct buf payload = BUF_INIT;
	struct record r, *decoded;
	size_t meta;

	record_gen_record(g, pool, &blocks, operation, &r);
	record_gen_encode(&r, &blocks, &payload, &meta);
	record_fix_positions(&r, PAYLOAD_POSITION + meta);
	record_fix_positions(&r, 1); /* real ones stay */
	assert_int_equal(record_decode((uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, r.seq, &decoded), 0);
	record_gen_expect_same(&r, decoded);
	record_free(decoded);
	assert_int_equal(record_decode_into(arena, (uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, r.seq, &decoded), 0);
	record_gen_expect_same(&r, decoded);
	record_blocks_release(&blocks);
}

static void test_round_trip(void **state)
{
	struct record_gen_pool *pool = malloc(sizeof(*pool));
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
	s->event.old_sha = s->event.new_sha = s->event.checksum = s->event.global_checksum = record_gen_sha(&g);
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
	record_gen_encode(&s.record, &s.blocks, &payload, &meta);
	print_message("a plain save needs %zu bytes beside its content\n", meta);
	assert_true(meta <= 420);
	assert_int_equal(payload.len, meta + RECORD_BLOCK_CHECK_BYTES + 1000);
	save_release(&s);
}

/* Cut at every byte of the meta area: never accepted, never read beyond (the sanitizers watch the exact copy). */
static void test_truncation(void **state)
{
	struct record_gen_pool *pool = malloc(sizeof(*pool));
	struct rng g;

	(void)state;
	rng_init(&g, rng_seed_of_run(2));
	for (int round = 0; round < 30; round++) {
		struct record_blocks blocks = {0};
		cleanup_buf struct buf payload = BUF_INIT;
		struct record r, *decoded = NULL;
		size_t meta;

		record_gen_record(&g, pool, &blocks, round % 2 ? OPERATION_ROLLBACK : OPERATION_WRITE, &r);
		record_gen_encode(&r, &blocks, &payload, &meta);
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
	record_gen_encode(&s.record, &s.blocks, &payload, &meta);
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
	record_gen_encode(&s.record, &s.blocks, &payload, &meta);
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
	record_gen_encode(&s.record, &s.blocks, &payload, &meta);
	header = get_le16(payload.data + 2);
	assert_int_equal(header, RECORD_HEADER_BYTES + (over_count ? 8 + 8 * over_count : 0));
	buf_append(&longer, payload.data, header);
	buf_append(&longer, "later", 5);
	buf_append(&longer, payload.data + header, payload.len - header);
	put_le16(longer.data + 2, (uint16_t)(header + 5));
	put_le32(longer.data + 4, (uint32_t)meta + 5);
	assert_int_equal(record_decode((uint8_t *)longer.data, longer.len, PAYLOAD_POSITION, 9, &decoded), 0);
	record_fix_positions(&s.record, PAYLOAD_POSITION + meta + 5);
	record_gen_expect_same(&s.record, decoded);
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
	record_gen_encode(&s.record, &s.blocks, &payload, &meta);
	started = stopwatch_s();
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(record_decode_into(&arena, (uint8_t *)payload.data, payload.len, PAYLOAD_POSITION, 9, &decoded), 0);
	decode_s = stopwatch_s() - started;
	started = stopwatch_s();
	for (int i = 0; i < ROUNDS; i++) {
		buf_clear(&out);
		assert_int_equal(record_encode(&s.record, &s.blocks, &out), 0);
	}
	encode_s = stopwatch_s() - started;
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
