/* SPDX-License-Identifier: MIT
 *
 * L2. The bytes of a store on disk, format version 1: FORMAT, journal segments
 * and frames, draft and content files and their records. This is their only
 * specification. What a frame's payload means is specified in record.h.
 *
 * Overview
 * --------
 * A store is a directory:
 *
 *	FORMAT              what this is; without it there is no store
 *	LOCK                decimal pid of the process using it, and an flock on it
 *	README .gitignore   for people and for git
 *	journal/%08x.seg    segments of the journal; the name is the file number, from 1
 *	content/%08x.blk    content too large for a frame
 *	drafts/%08x.arena   bytes nobody published yet; may be missing or torn
 *	index/              derived, may be deleted
 *	*.tmp, *.new        unfinished; ignored and removed by the next writer
 *
 * The journal is the sequence of the valid frames of all segments, in the order of
 * their sequence numbers, which is the order of (file number, offset). All integers are
 * unsigned and little-endian. X(bytes, seed) is XXH3 with 64 bits (xxHash 0.8). Fields
 * called zero are written as zero and ignored by readers. "Block" is 4096 bytes.
 *
 * Seeds.	store_seed = X(store id, 0)
 *		seed(kind, file, offset, generation) = store_seed
 *			^ (position * 0x9e3779b97f4a7c15) ^ (generation * 0xc2b2ae3d27d4eb4f)	mod 2^64
 * where position = kind << 62 | file << 40 | offset (position.h), offset is that of the first
 * byte of the frame, record or header, and generation is 0 but in draft files. So bytes
 * that were copied from elsewhere, even from another place of the same store, are never
 * taken for a frame or record.
 *
 * FORMAT (4096 bytes)
 *	offset	bytes	field
 *	0	16	magic "milestonefs\n" and zeros
 *	16	2	version, 1
 *	18	6	zero
 *	24	8	compatible features: a reader that knows none of them may read and write
 *	32	8	incompatible features: a reader that does not know one must refuse
 *	40	16	store id, random
 *	56	8	time of creation, nanoseconds since 1970-01-01 UTC (signed)
 *	64	4024	zero
 *	4088	8	X(bytes 0..4087, 0)
 * FORMAT is valid if and only if (1) it has 4096 bytes, (2) the magic and (3) the checksum match;
 * a reader refuses (4) a version above its own and (5) incompatible features it does not
 * know. (1) to (5) hold for all versions to come. It is written last when a store is made.
 *
 * File header: the first block of each segment, content and draft file
 *	0	4	magic: "MSEG", "MBLK" or "MDRA"
 *	4	2	version, 1
 *	6	2	zero
 *	8	8	compatible features
 *	16	8	incompatible features
 *	24	4	file number, as in the name
 *	28	4	zero
 *	32	8	segment: lower bound of its sequence numbers; draft file: generation; content: 0
 *	40	16	store id
 *	56	8	bytes this file was made for (0: grows)
 *	64	4024	zero
 *	4088	8	X(bytes 0..4087, seed(kind, file number, 0, 0))
 * It is valid if and only if (1) magic, (2) number, (3) store id and (4) checksum match. A segment or content file
 * with an invalid header is read all the same (its frames and records vouch for themselves); a draft file
 * is not, because the generation is missing.
 *
 * Segment
 * -------
 * Made whole (zeros written and synced) under another name and renamed, so a segment under its own name
 * has all its space. After the header come frames at offsets that are multiples of 8, with zeros between. A write
 * begins at a block boundary; in the rare case that it continues the last block of the write before, it repeats
 * that block's bytes. A frame does not cross the end of its file; the rest of a segment stays zero.
 *
 * Frame (40 bytes, payload, zeros up to a multiple of 8)
 *	0	4	magic 0x314d464d, "MFM1"
 *	4	4	payload length in bytes, at most 16 MiB - 64 KiB
 *	8	2	type (enum journal_frame_type)
 *	10	2	flags (JOURNAL_FRAME_…)
 *	12	4	header check: low 32 bits of X(bytes 0..31 with this field 0, s)
 *	16	8	sequence number: 1, 2, 3 …
 *	24	8	synced_before: all frames with smaller numbers were durable when this one was written
 *	32	8	checksum: X(bytes 0..31, seed = X(payload, s))
 *	40		payload
 * with s = seed(JOURNAL, file number, offset of byte 0, 0).
 * A frame is valid if and only if
 *	(1) its offset is a multiple of 8 and at least 4096,
 *	(2) magic and header check match,
 *	(3) the payload length is at most 16 MiB - 64 KiB and frame and padding end inside the file,
 *	(4) 1 <= synced_before <= sequence number,
 *	(5) the checksum matches,
 *	(6) its number is greater than that of each valid frame before it.
 * Where (1) to (4) hold and (5) or (6) does not, the reader goes on behind that frame; where they do not, 8 bytes on.
 *
 * Torn tail or corruption
 * -----------------------
 * Let D be the greatest synced_before of all valid frames. A missing number below D was durable: that is
 * corruption in the middle; the reader reports it and goes on with the next valid frame. At the first missing number
 * that is not below D the journal ends (torn tail): nothing from there on was ever acknowledged as durable, even where it is
 * valid. A writer zeroes it (and removes later segments that hold more than zeros), and makes that durable, before it
 * appends, so that it can never come back. An index snapshot is only written when all it holds is durable; D is then at least
 * its number plus one, also where no frame that old is left: the numbers up to it are not given again. A writer also writes the frames from number D on again and syncs them, because
 * their being readable does not prove that they are on disk. It goes on at the next block boundary with the smallest number
 * that is greater than all kept ones and not below D.
 *
 * Record of a draft or content file (40 bytes, payload, zeros up to a multiple of 8)
 *	0	4	magic 0x3143524d, "MRC1"
 *	4	4	payload length, at most 1 MiB
 *	8	2	type (enum arena_record_type)
 *	10	2	zero
 *	12	4	header check: low 32 bits of X(bytes 0..31 with this field 0, s)
 *	16	8	draft id
 *	24	8	file offset the bytes are meant for, or new size
 *	32	8	checksum: X(bytes 0..31, seed = X(payload, s))
 *	40		payload
 * with s = seed(kind, file number, offset of byte 0, generation). Valid as a frame is, with 1 MiB and without (4) and (6).
 * The order of draft files is that of their generations. Records of a draft with an ARENA_DRAFT_END in a file of the
 * same or a later generation are dead. Broken records are skipped: a killed process may leave one that was never answered.
 *
 * Extensibility
 * -------------
 * Unknown frame types are skipped when JOURNAL_FRAME_OPTIONAL is set, else the reader refuses. Unknown flags are
 * ignored. Anything else needs a feature word or a new version.
 */
#ifndef MILESTONEFS_JOURNAL_FORMAT_H
#define MILESTONEFS_JOURNAL_FORMAT_H

#include <stdint.h>

#define FORMAT_VERSION 1
#define FORMAT_BLOCK_BYTES 4096u
#define FORMAT_MAGIC "milestonefs\n\0\0\0" /* 16 bytes with the terminating NUL */
#define FORMAT_COMPATIBLE_KNOWN UINT64_C(0)
#define FORMAT_INCOMPATIBLE_KNOWN UINT64_C(0)
#define FORMAT_SEED_POSITION UINT64_C(0x9e3779b97f4a7c15)
#define FORMAT_SEED_GENERATION UINT64_C(0xc2b2ae3d27d4eb4f)

enum format_offset {
	FORMAT_OFFSET_VERSION = 16,
	FORMAT_OFFSET_COMPATIBLE = 24,
	FORMAT_OFFSET_INCOMPATIBLE = 32,
	FORMAT_OFFSET_ID = 40,
	FORMAT_OFFSET_CREATED = 56,
	FORMAT_OFFSET_CHECKSUM = 4088,
};

/* File headers. */
#define FILE_MAGIC_SEGMENT 0x4745534du /* "MSEG" */
#define FILE_MAGIC_CONTENT 0x4b4c424du /* "MBLK" */
#define FILE_MAGIC_DRAFT 0x4152444du   /* "MDRA" */

enum file_header_offset {
	FILE_OFFSET_MAGIC = 0,
	FILE_OFFSET_VERSION = 4,
	FILE_OFFSET_COMPATIBLE = 8,
	FILE_OFFSET_INCOMPATIBLE = 16,
	FILE_OFFSET_NUMBER = 24,
	FILE_OFFSET_SEQ_OR_GENERATION = 32,
	FILE_OFFSET_ID = 40,
	FILE_OFFSET_BYTES = 56,
	FILE_OFFSET_CHECKSUM = 4088,
};

/* Frames and records share their shape; the two words in the middle differ in meaning. */
#define FRAME_MAGIC 0x314d464du  /* "MFM1" */
#define RECORD_MAGIC 0x3143524du /* "MRC1" */
#define FRAME_HEADER_BYTES 40u
#define FRAME_ALIGN 8u

enum frame_offset {
	FRAME_OFFSET_MAGIC = 0,
	FRAME_OFFSET_LENGTH = 4,
	FRAME_OFFSET_TYPE = 8,
	FRAME_OFFSET_FLAGS = 10,
	FRAME_OFFSET_HEADER_CHECK = 12,
	FRAME_OFFSET_SEQ = 16,           /* record: draft id */
	FRAME_OFFSET_SYNCED_BEFORE = 24, /* record: file offset */
	FRAME_OFFSET_CHECKSUM = 32,
};

/** Frozen ids. */
enum journal_frame_type {
	JOURNAL_FRAME_DATA = 1, /**< a payload of the layer above */
};
enum journal_frame_flags {
	JOURNAL_FRAME_OPTIONAL = 1, /**< a reader that does not know the type may skip it */
};

#define FRAME_BYTES(payload_len) (((uint64_t)(payload_len) + FRAME_HEADER_BYTES + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN)

_Static_assert(sizeof(FORMAT_MAGIC) == 16, "magic of FORMAT");
_Static_assert(FORMAT_OFFSET_CHECKSUM + 8 == FORMAT_BLOCK_BYTES, "FORMAT fills its block");
_Static_assert(FILE_OFFSET_CHECKSUM + 8 == FORMAT_BLOCK_BYTES, "a file header fills its block");
_Static_assert(FRAME_OFFSET_CHECKSUM + 8 == FRAME_HEADER_BYTES, "the checksum ends the header");
_Static_assert(FRAME_HEADER_BYTES % FRAME_ALIGN == 0, "payloads are aligned like frames");
_Static_assert(FRAME_MAGIC != RECORD_MAGIC, "frames are no records");

#endif
