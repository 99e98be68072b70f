/* SPDX-License-Identifier: MIT
 *
 * L6. The state model's schema: the table of model_list.h, and checking texts against it. Pure functions; thread-safe.
 */
#ifndef MILESTONEFS_MODEL_SCHEMA_H
#define MILESTONEFS_MODEL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "doc.h"
#include "model.h"
#include "util.h"

enum model_type { MODEL_TEXT, MODEL_ID, MODEL_ONE_OF, MODEL_WHOLE, MODEL_NUMBER, MODEL_FLAG, MODEL_TIME, MODEL_MAPPING, MODEL_TEXTS, MODEL_IDS };
enum model_owner { MODEL_OWNER_USER, MODEL_OWNER_OPTIONAL, MODEL_OWNER_SHARED, MODEL_OWNER_DAEMON };

/** A row of model_list.h. */
struct model_field {
	const char *path;
	enum model_type type;
	bool or_null;
	bool at_least;            /**< max is only a matter of sanity */
	uint64_t min, max;        /**< of numbers; TEXT: max bytes */
	const char *unit;         /**< of numbers: "" or " of seconds" */
	const char *const *words; /**< ONE_OF: NULL-terminated */
	const char *fallback;     /**< YAML flow text */
	enum model_owner owner;
};

/** Items of a list. */
#define MODEL_LIST_MAX 1024

/** The rows of a kind of file, in their order. */
const struct model_field *model_fields(enum model_kind kind, size_t *ret_count);
/** The row of a path that is known to be there. */
const struct model_field *model_field(enum model_kind kind, const char *path);
/** Length of the path's section with its dot, 0 when it has none: "session." of "session.id". */
size_t model_section_len(const struct model_field *f);
/** "session" or "agent": the rule of a reason. */
const char *model_rule_name(enum model_kind kind);

/** Is @value (not NULL) what the row's type allows? 0, or -EBADMSG with field, place, what was found and what is allowed in @reason (NULL allowed). */
int model_field_check(enum model_kind kind, const struct model_field *f, const struct doc_node *value, struct reason *reason);

/** The value of a field if @root has a valid one, else NULL. */
const struct doc_node *model_field_get(enum model_kind kind, const struct doc_node *root, const char *path);
/** Does it say something of every row but OPTIONAL ones? NULL: an empty text. */
bool model_is_complete(enum model_kind kind, const struct doc_node *root);
/** A time as a file may say it: RFC 3339, without a zone meaning UTC, or seconds since the epoch. False: none. */
bool model_time_read(const struct doc_node *value, int64_t *ret_ns);
/** The whole number of a valid WHOLE field. */
uint64_t model_whole_of(const struct doc_node *value);

/**
 * Check a whole parsed text: it is a mapping, its sections are, fields of users have their types, and no name that is known is misspelt.
 * 0, -EBADMSG with reason.
 */
int model_check(enum model_kind kind, const struct doc_node *root, struct reason *reason);

/** Is a text of @len bytes within MODEL_BYTES_MAX? 0 or -EBADMSG with reason. */
int model_check_size(enum model_kind kind, size_t len, struct reason *reason);
/** doc_parse_yaml() and model_check() of a text within MODEL_BYTES_MAX. 0, -EBADMSG with reason, -ENOMEM. */
int model_parse(enum model_kind kind, const char *text, size_t len, struct reason *reason, struct doc **ret);

#endif
