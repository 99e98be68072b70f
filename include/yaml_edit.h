/* SPDX-License-Identifier: MIT
 *
 * L2. Comment-preserving edits of YAML text: set single members of (nested) mappings and leave every other byte as it was,
 * so that the daemon can keep its fields current in a file a person keeps.
 *
 * What is promised: the result parses to what the text parsed to, but for the members named; bytes outside the members that were
 * set, and outside the lines that were inserted, are equal. libyaml's marks (yaml_mark_t) give the places.
 */
#ifndef MILESTONEFS_YAML_EDIT_H
#define MILESTONEFS_YAML_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "util.h"

/** One member to set. Borrowed. */
struct yaml_edit {
	const char *path;     /**< dotted, e.g. "state.active_agents"; each key [A-Za-z0-9_]+ */
	const char *value;    /**< YAML flow text on one line, put in as it is: null, 12, "x", ["a", "b"], {} */
	bool only_if_missing; /**< a default: a member that is there, whatever it holds, stays as it is */
};

/**
 * Apply @edits, in order, to the first document of @text and append the result to @out. Missing members are added at the end of
 * their mapping, in its own style (block or flow) and indentation; missing mappings above them too; a parent that is null or empty
 * becomes a mapping. An empty or comment-only text becomes a document. A value that is replaced keeps its trailing comment; an
 * anchor on it moves to the new value only when nothing refers to it. Line ends (LF or CRLF) follow the text's; a byte order mark stays.
 * Of duplicate keys the last is set (the one doc_get() returns). Setting a value equal to the present one changes nothing.
 *
 * 0; -EBADMSG with reason (line, column): @text is not well-formed, its root or a parent on the way is no mapping, a parent is an alias, or the
 * value to replace carries an anchor that is referred to elsewhere; -ENOMEM. @out is unchanged on failure.
 */
int yaml_edit(const char *text, size_t len, const struct yaml_edit *edits, size_t count, struct reason *reason, struct buf *out);

/** Append @text as a double-quoted YAML scalar (always one line, always valid whatever the bytes; not UTF-8 shows as U+FFFD). */
void yaml_put_string(struct buf *out, const char *text);

#endif
