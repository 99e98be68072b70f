/* SPDX-License-Identifier: MIT
 *
 * Private to core/model_*.c: making the text that a save becomes, the same for both kinds of files but for what model_kind_ops says.
 */
#ifndef MILESTONEFS_MODEL_MERGE_H
#define MILESTONEFS_MODEL_MERGE_H

#include "model_schema.h"

/** The text that is edited and what stood there before; each may be NULL. */
struct model_sides {
	const struct doc_node *root, *old;
};

struct model_text {
	const char *text; /**< NULL: none */
	size_t len;
};

struct model_kind_ops {
	enum model_kind kind;
	const char *status_path;
	/** May the save have the status that it has? 0 or -EBADMSG with reason. */
	int (*check_status)(const struct model_sides *sides, struct reason *reason);
	/** Is the save's status none of its business, so that the old one stays? NULL: never. */
	bool (*status_stays)(const struct model_sides *sides);
	/** Does put_owned() look at the text that is edited, but in a merge? */
	bool owned_by_text;
	/** Append the flow text that the daemon sets a SHARED or DAEMON row to. False: it has none. */
	bool (*put_owned)(const void *owned, const struct model_field *f, const struct model_sides *sides, struct buf *out);
};

/** As model_merge_session(). */
int model_merge(const struct model_kind_ops *ops, const struct model_text *old, const struct model_text *text, const void *owned, struct reason *reason,
	struct buf *out);
/** As model_edit_session(). */
int model_edit(const struct model_kind_ops *ops, const struct model_text *text, const void *owned, const char *status, bool fill, struct reason *reason,
	struct buf *out);

/** Refuse the status @value: the sentence, and its place. */
int model_refuse_status(const struct model_kind_ops *ops, const struct doc_node *value, struct reason *reason, const char *text);
/** Append a time as flow text; false when it is 0. */
bool model_put_time(int64_t time_ns, struct buf *out);

#endif
