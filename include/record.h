/* SPDX-License-Identifier: MIT
 *
 * L5. A record: the payload of one journal frame, i.e. one transaction: header (when, who, what), changes, events, content blocks.
 * The byte format is specified at the end of this file.
 */
#ifndef MILESTONEFS_RECORD_H
#define MILESTONEFS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "actor.h"
#include "buf.h"
#include "change.h"
#include "event.h"

/** Operations: frozen ids and the names shown as `operation`. */
#define OPERATION_LIST(X)                             \
	X(1, FORMAT, "format")                        \
	X(2, ADOPT, "adopt")                          \
	X(3, WRITE, "write")                          \
	X(4, APPEND, "append")                        \
	X(5, PATCH, "patch")                          \
	X(6, TRUNCATE, "truncate")                    \
	X(7, CREATE, "create")                        \
	X(8, MKDIR, "mkdir")                          \
	X(9, MKNOD, "mknod")                          \
	X(10, SYMLINK, "symlink")                     \
	X(11, LINK, "link")                           \
	X(12, REMOVE, "remove")                       \
	X(13, RMDIR, "rmdir")                         \
	X(14, RENAME, "rename")                       \
	X(15, EXCHANGE, "exchange")                   \
	X(16, SETATTR, "setattr")                     \
	X(17, SETXATTR, "setxattr")                   \
	X(18, ROLLBACK, "rollback")                   \
	X(19, CREATE_SESSION, "create_session")       \
	X(20, LOG_EVENT, "log_event")                 \
	X(21, CONFIGURE, "configure")                 \
	X(22, UPKEEP, "upkeep")                       \
	X(23, CREATE_CHECKPOINT, "create_checkpoint") \
	X(24, REMOVE_CHECKPOINT, "remove_checkpoint") \
	X(25, RESTORE, "restore")                     \
	X(26, START_SYNC, "start_sync")               \
	X(27, END_SYNC, "end_sync")                   \
	X(28, REMOVE_SYNC, "remove_sync")             \
	X(29, RELEASE_LOCK, "release_lock")

enum operation {
#define X(id, name, text) OPERATION_##name = id,
	OPERATION_LIST(X)
#undef X
};
const char *operation_name(enum operation op); /* "unknown" for ids of a newer writer */

/** Why a draft ended in rollbacks/: kept in the record of an OPERATION_ROLLBACK. */
struct record_rollback {
	enum operation wanted; /**< what was tried */
	struct extent *draft;  /**< the refused bytes: extents of the draft, may be none */
	uint32_t draft_extents;
	uint64_t draft_size;
	int32_t error; /**< errno given to the writer, 0 if none */
	uint32_t line, column;
	const char *rule; /**< "" when no rule was involved */
	const char *text; /**< the sentence */
};

/** One decoded or to-be-encoded transaction. Everything borrowed while encoding; owned by the record after record_decode(). */
struct record {
	uint64_t seq;       /**< the frame's; not in the payload */
	int64_t time_ns;    /**< commit time, never before the previous transaction's */
	int64_t started_ns; /**< when its draft or request began */
	enum operation operation;
	struct actor actor;
	const char *path;       /**< target_file, relative to the mount root */
	uint64_t draft_id;      /**< draft it consumed, 0 none */
	uint64_t base_seq;      /**< version of the target before it (transaction that made it), 0: did not exist */
	struct sha256 base_sha; /**< of that version; zeros when unknown or none */
	struct change *changes;
	uint32_t change_count;
	struct event *events;
	uint32_t event_count;
	struct record_rollback *rollback; /**< OPERATION_ROLLBACK only, else NULL */
	const uint64_t *drafts_over;      /**< drafts that ended without a transaction of their own (never published, or a copy is kept), by their ids */
	uint32_t drafts_over_count;       /**< at most RECORD_DRAFTS_OVER_MAX */
};
#define RECORD_DRAFTS_OVER_MAX 64

/**
 * Encoding in two steps, since positions are only known when the frame has its place: blocks (content that lies in this frame) are
 * added first, each giving a *provisional* position that extents use; record_encode() lays out the payload; changes handed to
 * tree_apply() live need real ones: record_fix_positions().
 *
 * Provisional positions are POSITION_JOURNAL with file POSITION_FILE_MAX and the offset within the block area.
 */
struct record_blocks {
	struct buf bytes;
};
/** Add @len > 0 bytes as a block, lz4-compressed when len >= 1024 and it saves at least 20 %, behind its checksum. Fills position, raw_len,
 *  stored_len, skip of @e. 0/-ENOMEM. */
int record_blocks_add(struct record_blocks *b, const void *data, size_t len, struct extent *e);
void record_blocks_release(struct record_blocks *b);
/** The checksum that stands, little-endian, in the RECORD_BLOCK_CHECK_BYTES before the stored bytes of a block. */
uint64_t record_block_check(const void *stored, size_t stored_len);
#define RECORD_BLOCK_CHECK_BYTES 8

/** Upper bound of the payload for journal_reserve(), before events are sealed (their size doesn't depend on sealing). */
size_t record_encoded_bytes_max(const struct record *r, const struct record_blocks *blocks);
/** Encode header, changes and events into @out (blocks follow it in the frame as they are: iovec {out, blocks->bytes}). 0 or -ENOMEM. */
int record_encode(const struct record *r, const struct record_blocks *blocks, struct buf *out);
/** Turn provisional positions into real ones; the block area begins at @blocks_position. */
void record_fix_positions(struct record *r, uint64_t blocks_position);

/**
 * Decode a payload that begins at @position. All strings and arrays are owned by the result (one allocation). Bounds-checked; unknown change types,
 * operations above the known, or flags it does not understand give -EPROTONOSUPPORT, malformed bytes -EBADMSG, else 0/-ENOMEM.
 * Unknown event types are kept (they only render).
 */
int record_decode(const uint8_t *payload, size_t len, uint64_t position, uint64_t seq, struct record **ret);
void record_free(struct record *r);

/** Memory for decoding one record after the other without allocating (replay). Zero-initialised; one thread at a time. */
struct record_arena {
	void *memory; /**< owned */
	size_t bytes;
};
void record_arena_release(struct record_arena *a);
/** As record_decode(), but *@ret lives in @a until the next call with it or its release; never record_free() it. */
int record_decode_into(struct record_arena *a, const uint8_t *payload, size_t len, uint64_t position, uint64_t seq, struct record **ret);

/**
 * The raw bytes of a block: @stored is as read from its position, @raw_len what the extent says. Writes exactly @raw_len bytes to @out.
 * 0; -EIO: the stored bytes are no such block (@out is then undefined, but never written beyond @raw_len).
 */
int record_block_read(const void *stored, size_t stored_len, size_t raw_len, void *out);

/* ---- the bytes ----------------------------------------------------------------------------------------------------
 *
 * Overview. A payload is the meta area (header, changes, events) and then the block area (content that lies in this frame):
 *
 *   header | agent session comm path | [base_sha] | [rollback] | change × change_count | event × event_count || block area
 *
 * Integers are little-endian at any alignment. leN is N bits wide. A *text* is le16 length (0xffff: le32 length follows)
 * and that many bytes, without NUL among them; a *value* is the same but may hold any byte.
 *
 * Header:
 *    0 u8   version, 1
 *    1 u8   flags: 1 base_sha follows; 2 base_sha is the old_sha of the first event; 4 rollback follows
 *    2 le16 header_bytes, 80 or more; what lies beyond the fields known to the reader is skipped
 *    4 le32 meta_bytes: of the meta area, header included; the block area begins there
 *    8 le64 time_ns (signed)
 *   16 le64 started_ns (signed)
 *   24 le64 draft_id
 *   32 le64 base_seq
 *   40 le64 actor: leader_start
 *   48 le32 actor: pid
 *   52 le32 actor: uid
 *   56 le32 actor: gid
 *   60 le32 actor: leader_pid
 *   64 le16 operation
 *   66 le16 zero
 *   68 le32 change_count
 *   72 le32 event_count
 *   76 le32 extent_count: of all changes and the rollback together
 *   80 le64 drafts_over_count: when header_bytes is 88 or more, else there are none
 *   88 le64 draft id × drafts_over_count
 *   header_bytes: text agent (<= 128 bytes), text session (<= 128), text comm (<= 16), text path
 *      [32 bytes base_sha]
 *
 * Rollback: le16 wanted, le32 error (signed), le32 line, le32 column, le64 draft_size, le32 draft_extents, extent × draft_extents,
 * text rule, text text.
 *
 * Change: u8 type, u8 bits (1: value present), le64 ino, then by type:
 *   CREATE   le64 parent, le32 mode, le32 uid, le32 gid, le32 attr_mask, le64 rdev, le64 atime_ns, le64 mtime_ns, text name, [value]
 *   LINK     le64 parent, text name
 *   UNLINK   le64 parent, text name
 *   ATTR     le32 mode, le32 uid, le32 gid, le32 attr_mask, le64 atime_ns, le64 mtime_ns
 *   XATTR    text name, [value]
 *   CONTENT  le32 content_flags, le32 extent_count, le64 size, extent × extent_count
 *
 * Extent (36 bytes): le64 file_offset, le64 len, le64 position, le32 raw_len, le32 stored_len, le32 skip. A position in
 * file POSITION_FILE_MAX of the journal is an offset into this frame's block area, so frames can be moved; 0 is a hole; any other is
 * as in position.h. A block is its raw_len bytes as they are when stored_len = raw_len, else one lz4 block (no frame header) of stored_len bytes.
 * The 8 bytes before its position are le64 XXH3-64 (seed 0) of its stored bytes, so that a reader of one block need not read the frame.
 *
 * Event: le16 type, le16 bits, le32 line_bytes, le64 sequence_number, 32 bytes checksum, 32 bytes global_checksum, then
 * what the bits say, in this order:
 *      1 32 bytes old_sha          16 text operation; else the name of the record's operation
 *      2 32 bytes new_sha          32 text path; else the record's path
 *      4 le64 size                 64 text session (<= 128); else the previous event's, for the first event the session of the record's
 *                                     path: the 1..128 bytes of X in state/sessions/X or state/sessions/X/…, none for other paths
 *                                 128 text new_path   256 value more   512 text custom_type; else ""
 *
 * A payload is valid if and only if
 *  (1) version is 1, no unknown flag or bit is set, the operation and all change types are known, the zero field is 0
 *      (else: a newer writer's, -EPROTONOSUPPORT);
 *  (2) header_bytes <= meta_bytes <= the payload's length, its parts fill the meta area exactly,
 *      and drafts_over, if it is there, lies within header_bytes;
 *  (3) flags 1 and 2 are not both set, and 2 only when the first event has an old_sha; flag 4 is set exactly for OPERATION_ROLLBACK;
 *  (4) the extents of all changes and the rollback are extent_count; each ends at or before 2^64-1, and unless it is a hole, skip + len <= raw_len,
 *      0 < stored_len <= raw_len, and a block of this frame, its checksum included, lies within the block area;
 *  (5) names of CREATE, LINK and UNLINK have 1..255 bytes, none of them '/' or NUL; names of XATTR have 1..255 bytes without NUL;
 *  (6) texts hold no NUL and `more` holds none; event types are not 0.
 * Integrity of the bytes is the frame's checksum's affair. Whether a change makes sense for the tree is apply()'s.
 *
 * Extensibility. A field that old readers may ignore goes to the end of the header (header_bytes grows). Anything else is a new flag, bit,
 * operation, change type or version, which old readers refuse. New event types are not refused: they only render.
 *
 * Frozen ids: OPERATION_LIST, enum change_type, attr_mask and content_flags bits, event_list.h, and these:
 */
#define RECORD_VERSION 1
enum record_format {
	RECORD_HEADER_BYTES = 80,
	RECORD_EXTENT_BYTES = 36,
	RECORD_CHANGE_BYTES_MIN = 10,
	RECORD_EVENT_BYTES_MIN = 80,
	RECORD_TEXT_LONG = 0xffff,
	RECORD_NAME_BYTES_MAX = 255,
};
enum record_flags {
	RECORD_HAS_BASE_SHA = 1,
	RECORD_BASE_SHA_OF_EVENT = 2,
	RECORD_HAS_ROLLBACK = 4,
};
enum record_change_bits {
	RECORD_CHANGE_HAS_VALUE = 1,
};
enum record_event_bits { /* 1, 2, 4 are enum event_flags */
	RECORD_EVENT_OPERATION = 16,
	RECORD_EVENT_PATH = 32,
	RECORD_EVENT_SESSION = 64,
	RECORD_EVENT_NEW_PATH = 128,
	RECORD_EVENT_MORE = 256,
	RECORD_EVENT_CUSTOM_TYPE = 512,
};
_Static_assert(EVENT_HAS_OLD_SHA == 1 && EVENT_HAS_NEW_SHA == 2 && EVENT_HAS_SIZE == 4, "on disk");
_Static_assert(CHANGE_CREATE == 1 && CHANGE_CONTENT == 6, "on disk");
_Static_assert(OPERATION_FORMAT == 1 && OPERATION_UPKEEP == 22, "on disk");

#endif
