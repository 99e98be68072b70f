/* SPDX-License-Identifier: MIT
 *
 * L5. Events: what a transaction did, as one JSON line each, hash-chained.
 *
 * An event is stored in its transaction's frame in binary (see record.h); its line is a pure function of
 * the stored fields, so the log is never stored twice. A line is, in this order and without blanks:
 *
 *   {"event_id":"evt-SEQ-N","timestamp":"…","session_id":"s1","event_type":"file_written","agent_id":"system",
 *    "data":{"operation":"write","path":"…",["new_path":"…",]"actor":{"agent":…,"pid":…,"uid":…,"comm":"…"},
 *            "old_sha256":null,"new_sha256":"…","size":12[,MORE],"tx_seq":42,"global_checksum":"…"},
 *    "sequence_number":7,"checksum":"…"}
 *
 * session_id is "global" for what belongs to no session. agent_id is the actor's agent or "system". What is absent is null: path, old_sha256,
 * new_sha256, size, the actor's agent. A path that is not UTF-8 shows U+FFFD for what is not, and is followed by "path_hex" ("new_path_hex")
 * with all its bytes in hex. A custom event shows its author's type as event_type and his data as "custom":{…}, put into MORE by who logs it.
 * Chain: "global_checksum" is the SHA-256 of the previous event's global_checksum (64 hex digits; 64 zeros
 * before the first) followed by the line without its `,"global_checksum":"…"` and without its `,"checksum":"…"`.
 * "checksum" is the SHA-256 of the previous checksum of the same session followed by the line without its `,"checksum":"…"`.
 * Neither the digest input nor the line includes the newline. scripts/verify-events.sh does this with jq and sha256sum.
 */
#ifndef MILESTONEFS_EVENT_H
#define MILESTONEFS_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor.h"
#include "buf.h"
#include "checksum.h"

enum event_type {
#define EVENT(id, name, text) EVENT_##name = id,
#include "event_list.h"
#undef EVENT
};

/** "file_written" for EVENT_FILE_WRITTEN; NULL for an unknown id (a newer writer's). */
const char *event_type_name(enum event_type type);

enum event_flags {
	EVENT_HAS_OLD_SHA = 1,
	EVENT_HAS_NEW_SHA = 2,
	EVENT_HAS_SIZE = 4,
};

/** One event. Strings are borrowed (from a decoded frame, or from the caller while it is staged). "" means absent. */
struct event {
	enum event_type type;
	const char *session;     /**< session id, "" for global */
	const char *operation;   /**< name of the transaction's operation */
	const char *path;        /**< relative to the mount root */
	const char *new_path;    /**< renames and links */
	const char *more;        /**< further members of data as JSON text without braces, e.g. "\"agent_id\":\"a\""; may be "" */
	const char *custom_type; /**< EVENT_CUSTOM: the event_type its author gave; else "" */
	uint32_t flags;
	struct sha256 old_sha, new_sha;
	uint64_t size;
	/* fixed by event_seal() */
	uint64_t sequence_number; /**< within the session, from 1 */
	struct sha256 checksum, global_checksum;
	uint32_t line_bytes; /**< with the newline */
};

/** What all events of a transaction share. */
struct event_context {
	uint64_t tx_seq;
	int64_t time_ns;
	const struct actor *actor;
};

/** The end of a chain: what the next event of it continues. */
struct event_chain {
	uint64_t sequence_number; /**< of the last event, 0: none */
	struct sha256 checksum;   /**< of the last event, zeros: none */
};

/**
 * Number the event (@ordinal within its transaction, from 0), compute both checksums and line_bytes, and move both chains on.
 * 0 or -ENOMEM (nothing moved). Uses @scratch as working memory (kept between calls to avoid allocation).
 */
int event_seal(
	struct event *e, const struct event_context *ctx, uint32_t ordinal, struct event_chain *session, struct event_chain *global, struct buf *scratch);
/** Upper bound of the line, before sealing. With so much room in @scratch, event_seal() cannot fail. */
size_t event_line_bytes_max(const struct event *e, const struct event_context *ctx);
/** Move the chains on past a sealed event read from the journal. */
void event_follow(const struct event *e, struct event_chain *session, struct event_chain *global);
/**
 * Append the line of a sealed event, newline included: exactly e->line_bytes bytes (a type of a newer writer is shown as event_ID cut or
 * filled with '_' to the length of its name). Out of memory: nothing is appended, out->error is set.
 */
void event_render(const struct event *e, const struct event_context *ctx, uint32_t ordinal, struct buf *out);
/** The event id "evt-SEQ-N". */
void event_id_format(uint64_t tx_seq, uint32_t ordinal, char out[48]);

#endif
