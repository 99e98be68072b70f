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
#define OPERATION_LIST(X)                                                                                                  \
	X(1, FORMAT, "format")                                                                                             \
	X(2, ADOPT, "adopt")                                                                                               \
	X(3, WRITE, "write")                                                                                               \
	X(4, APPEND, "append")                                                                                             \
	X(5, PATCH, "patch")                                                                                               \
	X(6, TRUNCATE, "truncate")                                                                                         \
	X(7, CREATE, "create")                                                                                             \
	X(8, MKDIR, "mkdir")                                                                                               \
	X(9, MKNOD, "mknod")                                                                                               \
	X(10, SYMLINK, "symlink")                                                                                          \
	X(11, LINK, "link")                                                                                                \
	X(12, REMOVE, "remove")                                                                                            \
	X(13, RMDIR, "rmdir")                                                                                              \
	X(14, RENAME, "rename")                                                                                            \
	X(15, EXCHANGE, "exchange")                                                                                        \
	X(16, SETATTR, "setattr")                                                                                          \
	X(17, SETXATTR, "setxattr")                                                                                        \
	X(18, ROLLBACK, "rollback")                                                                                        \
	X(19, CREATE_SESSION, "create_session")                                                                            \
	X(20, LOG_EVENT, "log_event")                                                                                      \
	X(21, CONFIGURE, "configure")                                                                                      \
	X(22, UPKEEP, "upkeep")

enum operation {
#define X(id, name, text) OPERATION_##name = id,
	OPERATION_LIST(X)
#undef X
};
const char *operation_name(enum operation op); /* "unknown" for ids of a newer writer */

/** Why a draft ended in rollbacks/: kept in the record of an OPERATION_ROLLBACK. */
struct record_rollback {
	enum operation wanted;	  /**< what was tried */
	struct extent *draft;	  /**< the refused bytes: extents of the draft, may be none */
	uint32_t draft_extents;
	uint64_t draft_size;
	int32_t error;		  /**< errno given to the writer, 0 if none */
	uint32_t line, column;
	const char *rule;	  /**< "" when no rule was involved */
	const char *text;	  /**< the sentence */
};

/** One decoded or to-be-encoded transaction. Everything borrowed while encoding; owned by the record after record_decode(). */
struct record {
	uint64_t seq;	    /**< the frame's; not in the payload */
	int64_t time_ns;    /**< commit time, never before the previous transaction's */
	int64_t started_ns; /**< when its draft or request began */
	enum operation operation;
	struct actor actor;
	const char *path;      /**< target_file, relative to the mount root */
	uint64_t draft_id;     /**< draft it consumed, 0 none */
	uint64_t base_seq;     /**< version of the target before it (transaction that made it), 0: did not exist */
	struct sha256 base_sha; /**< of that version; zeros when unknown or none */
	struct change *changes;
	uint32_t change_count;
	struct event *events;
	uint32_t event_count;
	struct record_rollback *rollback; /**< OPERATION_ROLLBACK only, else NULL */
};

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
/** Add @len bytes as a block, lz4-compressed when len >= 1024 and it saves at least 20 %. Fills position, raw_len, stored_len, skip of @e. 0/-ENOMEM. */
int record_blocks_add(struct record_blocks *b, const void *data, size_t len, struct extent *e);
void record_blocks_release(struct record_blocks *b);

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

#endif
