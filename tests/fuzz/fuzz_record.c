/* SPDX-License-Identifier: MIT
 *
 * Fuzz the record decoder: whatever the bytes, it stays within them and within its memory; what it accepts can be encoded
 * again and decodes to the same bytes; blocks never write beyond what they promise.
 *
 * The first byte of the input chooses what is fuzzed: even, a payload; odd, a stored block.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "position.h"
#include "record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define POSITION position_make(POSITION_JOURNAL, 7, 4096)

static void must(int condition)
{
	if (!condition)
		abort();
}

/* Encode what was decoded with positions of frame blocks made provisional again. */
static void encode_again(struct record *r, size_t meta_bytes, size_t len, struct buf *out)
{
	struct record_blocks blocks = {.bytes = {.len = len - meta_bytes}};
	uint64_t blocks_position = POSITION + meta_bytes;

	for (uint32_t i = 0; i < r->change_count; i++)
		for (uint32_t k = 0; k < r->changes[i].extent_count; k++) {
			struct extent *e = (struct extent *)(uintptr_t)&r->changes[i].extents[k];

			if (e->position >= blocks_position && e->position - blocks_position <= len - meta_bytes &&
				e->stored_len <= len - meta_bytes - (e->position - blocks_position))
				e->position = position_make(POSITION_JOURNAL, POSITION_FILE_MAX, e->position - blocks_position);
		}
	if (r->rollback)
		for (uint32_t k = 0; k < r->rollback->draft_extents; k++) {
			struct extent *e = &r->rollback->draft[k];

			if (e->position >= blocks_position && e->position - blocks_position <= len - meta_bytes &&
				e->stored_len <= len - meta_bytes - (e->position - blocks_position))
				e->position = position_make(POSITION_JOURNAL, POSITION_FILE_MAX, e->position - blocks_position);
		}
	must(record_encode(r, &blocks, out) == 0);
	must(out->len <= record_encoded_bytes_max(r, &blocks));
}

static void fuzz_payload(const uint8_t *data, size_t len)
{
	cleanup_buf struct buf first = BUF_INIT, second = BUF_INIT;
	struct record_arena arena = {0};
	struct record *r = NULL, *again = NULL;
	uint8_t *payload = malloc(len + !len);
	size_t meta_bytes;
	int error;

	must(payload != NULL);
	memcpy(payload, data, len);
	error = record_decode(payload, len, POSITION, 9, &r);
	must(error == 0 || error == -EBADMSG || error == -EPROTONOSUPPORT);
	must(record_decode_into(&arena, payload, len, POSITION, 9, &again) == error);
	if (!error) {
		meta_bytes = (size_t)payload[4] | (size_t)payload[5] << 8 | (size_t)payload[6] << 16 | (size_t)payload[7] << 24;
		encode_again(r, meta_bytes, len, &first);
		record_free(r);
		buf_append(&first, payload + meta_bytes, len - meta_bytes);
		must(record_decode((uint8_t *)first.data, first.len, POSITION, 9, &r) == 0);
		meta_bytes = first.len - (len - meta_bytes);
		encode_again(r, meta_bytes, first.len, &second);
		must(second.len == meta_bytes && !memcmp(first.data, second.data, meta_bytes));
		record_free(r);
	}
	record_arena_release(&arena);
	free(payload);
}

static void fuzz_block(const uint8_t *data, size_t len)
{
	size_t raw_len;
	uint8_t *out;

	if (len < 2)
		return;
	raw_len = (size_t)data[0] << 4 | data[1] >> 4;
	out = malloc(raw_len + !raw_len); /* exactly, so that a sanitizer sees each byte beyond */
	must(out != NULL);
	(void)record_block_read(data + 2, len - 2, raw_len, out); /* any answer will do, as long as it stays inside */
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1)
		fuzz_block(data + 1, size - 1);
	else
		fuzz_payload(data + 1, size - 1);
	return 0;
}
