/* SPDX-License-Identifier: MIT
 *
 * L3. Bytes outside frames, in append-only files of checksummed records:
 *
 *  - the draft arena (drafts/): what writers wrote and nobody published yet. It survives the death of
 *    this process (bytes are in the page cache before write(2) is answered), not power loss; it
 *    is never synced. A file all of whose drafts have ended is used again.
 *  - the content store (content/): blocks of large content, referred to by frames. Synced before the
 *    journal's own sync (journal_options.before_sync). Written once, never changed.
 *
 * A record: header (draft id, type, length, checksum seeded with the store's seed and its position) and payload.
 * Bytes are specified in journal_format.h.
 */
#ifndef MILESTONEFS_ARENA_H
#define MILESTONEFS_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "position.h"
#include "store.h"

/** Frozen ids of record types. */
enum arena_record_type {
	ARENA_DRAFT_BEGIN = 1,    /**< payload: opaque description made by the layer above */
	ARENA_DRAFT_WRITE = 2,    /**< payload: the bytes; `file_offset` says where they go */
	ARENA_DRAFT_TRUNCATE = 3, /**< `file_offset` is the new size; no payload */
	ARENA_DRAFT_REF = 4,      /**< payload: le64 position, le64 length of a content block written for this draft */
	ARENA_DRAFT_END = 5,      /**< the draft was published or discarded */
	ARENA_CONTENT_BLOCK = 6,  /**< content store only: the bytes */
};

struct arena_record {
	uint64_t draft_id;
	enum arena_record_type type;
	uint64_t file_offset;
	const void *data;
	size_t len; /**< at most ARENA_RECORD_MAX */
};
#define ARENA_RECORD_MAX (1u << 20)

struct arena;

/** One record met while opening the draft arena; @position is that of its payload. @r->data borrowed. Non-zero stops. */
typedef int (*arena_replay_fn)(void *arg, const struct arena_record *r, uint64_t position);

/**
 * Open both, before the journal. Every intact record of drafts that did not end is shown to @fn, file by file in order of writing; broken
 * records are passed over (a killed process leaves one that was never answered in front of others that were), ends and what they ended
 * are not shown. Ids must not be used again while the process lives. Old draft files are kept until arena_draft_end() was called for each draft met in them.
 * With @read_only nothing is changed.
 */
int arena_open(struct store *store, bool read_only, arena_replay_fn fn, void *arg, struct arena **ret);
/** Files without live drafts are removed; others stay for the next recovery. */
void arena_close(struct arena *a);

/** Append a draft record (written, not synced, when this returns). 0, -ENOSPC, -EIO. @ret_position (NULL allowed): of the payload. */
int arena_draft_append(struct arena *a, const struct arena_record *r, uint64_t *ret_position);
/** Write ARENA_DRAFT_END and let go of the draft's space. Errors only waste space, so none is returned. */
void arena_draft_end(struct arena *a, uint64_t draft_id);

/** Append one content block of at most ARENA_RECORD_MAX bytes. 0, -ENOSPC, -EIO. */
int arena_content_append(struct arena *a, uint64_t draft_id, const void *data, size_t len, uint64_t *ret_position);
/** Make all content blocks appended so far durable; cheap when there is nothing new. A failure is sticky: -EIO ever after. */
int arena_content_sync(struct arena *a);

/** Read bytes at a POSITION_DRAFT or POSITION_CONTENT position. 0 or -EIO/-ENOENT. */
int arena_read(struct arena *a, uint64_t position, void *buf, size_t len);
/** Check the stored checksum of the content block whose payload begins at @position: 0, -EIO; @len is its payload length. */
int arena_content_verify(struct arena *a, uint64_t position, size_t len);

/** Who wants to hear that an append was refused for want of room, the first time since there was some: must only signal. Set before there are appenders. */
void arena_set_no_room(struct arena *a, void (*fn)(void *arg), void *arg);
/** Was an append refused for want of room, and is there still none, as far as is known? */
bool arena_no_room(struct arena *a);
/** Then look again, and take room for a record of any length: 0 there is, else as the append. */
int arena_find_room(struct arena *a);

struct arena_stats {
	uint64_t draft_bytes, draft_files, drafts_live, content_bytes, content_files;
};
void arena_get_stats(struct arena *a, struct arena_stats *ret);

#endif
