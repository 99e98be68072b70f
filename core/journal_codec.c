/* SPDX-License-Identifier: MIT
 *
 * Encodes and decodes what journal_format.h specifies: headers of files, of
 * frames and of records. Nothing here does I/O or keeps state, and nothing is
 * trusted: decoders look only at the bytes they are given and bound every length.
 */
#include "journal_codec.h"

#include <errno.h>
#include <string.h>

#include "checksum.h"
#include "util.h"

uint64_t codec_seed(uint64_t store_seed, uint64_t position, uint64_t generation)
{
	return store_seed ^ position * FORMAT_SEED_POSITION ^ generation * FORMAT_SEED_GENERATION;
}

static uint64_t file_header_checksum(const struct store *store, const struct file_header *h, const uint8_t *block)
{
	return checksum_xxh3(block, FILE_OFFSET_CHECKSUM, codec_seed(store->seed, position_make(h->kind, h->number, 0), 0));
}

void codec_file_header_encode(const struct store *store, const struct file_header *h, uint8_t out[FORMAT_BLOCK_BYTES])
{
	memset(out, 0, FORMAT_BLOCK_BYTES);
	put_le32(out + FILE_OFFSET_MAGIC, h->magic);
	put_le16(out + FILE_OFFSET_VERSION, FORMAT_VERSION);
	put_le32(out + FILE_OFFSET_NUMBER, h->number);
	put_le64(out + FILE_OFFSET_SEQ_OR_GENERATION, h->seq_or_generation);
	memcpy(out + FILE_OFFSET_ID, store->id, sizeof(store->id));
	put_le64(out + FILE_OFFSET_BYTES, h->bytes);
	put_le64(out + FILE_OFFSET_CHECKSUM, file_header_checksum(store, h, out));
}

int codec_file_header_decode(const struct store *store, const uint8_t in[FORMAT_BLOCK_BYTES], struct file_header *h)
{
	if (get_le32(in + FILE_OFFSET_MAGIC) != h->magic || get_le32(in + FILE_OFFSET_NUMBER) != h->number ||
		memcmp(in + FILE_OFFSET_ID, store->id, sizeof(store->id)) != 0 || get_le64(in + FILE_OFFSET_CHECKSUM) != file_header_checksum(store, h, in))
		return -EBADMSG;
	if (get_le16(in + FILE_OFFSET_VERSION) != FORMAT_VERSION || (get_le64(in + FILE_OFFSET_INCOMPATIBLE) & ~FORMAT_INCOMPATIBLE_KNOWN))
		return -EPROTONOSUPPORT;
	h->seq_or_generation = get_le64(in + FILE_OFFSET_SEQ_OR_GENERATION);
	h->bytes = get_le64(in + FILE_OFFSET_BYTES);
	return 0;
}

static uint32_t header_check(const uint8_t *header, uint64_t seed)
{
	uint8_t copy[FRAME_OFFSET_CHECKSUM];

	memcpy(copy, header, sizeof(copy));
	put_le32(copy + FRAME_OFFSET_HEADER_CHECK, 0);
	return (uint32_t)checksum_xxh3(copy, sizeof(copy), seed);
}

static uint64_t frame_checksum(const uint8_t *frame, uint32_t payload_len, uint64_t seed)
{
	return checksum_xxh3(frame, FRAME_OFFSET_CHECKSUM, checksum_xxh3(frame + FRAME_HEADER_BYTES, payload_len, seed));
}

void codec_frame_seal(const struct frame_header *h, uint64_t seed, uint8_t *frame)
{
	put_le32(frame + FRAME_OFFSET_MAGIC, h->magic);
	put_le32(frame + FRAME_OFFSET_LENGTH, h->payload_len);
	put_le16(frame + FRAME_OFFSET_TYPE, h->type);
	put_le16(frame + FRAME_OFFSET_FLAGS, h->flags);
	put_le64(frame + FRAME_OFFSET_SEQ, h->seq);
	put_le64(frame + FRAME_OFFSET_SYNCED_BEFORE, h->synced_before);
	put_le32(frame + FRAME_OFFSET_HEADER_CHECK, header_check(frame, seed));
	put_le64(frame + FRAME_OFFSET_CHECKSUM, frame_checksum(frame, h->payload_len, seed));
}

bool codec_frame_decode(const uint8_t *in, uint64_t seed, uint32_t want_magic, uint32_t payload_max, struct frame_header *ret)
{
	uint32_t len = get_le32(in + FRAME_OFFSET_LENGTH);

	if (get_le32(in + FRAME_OFFSET_MAGIC) != want_magic || len > payload_max || get_le32(in + FRAME_OFFSET_HEADER_CHECK) != header_check(in, seed))
		return false;
	*ret = (struct frame_header){
		.magic = want_magic,
		.payload_len = len,
		.type = get_le16(in + FRAME_OFFSET_TYPE),
		.flags = get_le16(in + FRAME_OFFSET_FLAGS),
		.seq = get_le64(in + FRAME_OFFSET_SEQ),
		.synced_before = get_le64(in + FRAME_OFFSET_SYNCED_BEFORE),
	};
	return true;
}

bool codec_frame_check(const uint8_t *frame, uint32_t payload_len, uint64_t seed)
{
	return get_le64(frame + FRAME_OFFSET_CHECKSUM) == frame_checksum(frame, payload_len, seed);
}
