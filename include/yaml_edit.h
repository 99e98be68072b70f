/* SPDX-License-Identifier: MIT
 *
 * L2. Comment-preserving edits of YAML text: set single members of (nested) mappings and leave every other byte as it was,
 * so that the daemon can keep its fields current in a file a person keeps.
 *
 * What is promised: the result parses to what the text parsed to, but for the members named; bytes outside the members that were
 * set, and outside the lines that were inserted, are equal.
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
 * their mapping, in its own style (block or flow, indentation, quotes of keys); missing mappings above them too; a parent that is
 * null or not written becomes a mapping. An empty or comment-only text becomes a document. Merge keys (<<) are members like others.
 *
 * A value that is replaced keeps its trailing comment and its place; one that took several lines (block scalar, sequence, mapping)
 * leaves as whole lines, with the comments between its items, and the new one stands behind the ':'. An anchor on it stays, a tag
 * goes. Line ends (LF or CRLF) follow the text's; a byte order mark stays. Of duplicate keys the last is set (the one doc_get()
 * returns). Setting a value equal to the present one changes nothing. A text that ends within a block scalar, without line break,
 * takes new members before its last one.
 *
 * Every result has been parsed and compared with what was there, so what is promised holds or nothing is returned.
 *
 * 0; -EBADMSG with reason (rule "yaml", line, column): @text is not well-formed; its root or a parent on the way is no mapping or an
 * alias; an alias elsewhere names the value to replace, something in it, or a mapping that it is in; the text is written in a way
 * that cannot be edited without changing something else. -EINVAL: a path or value that is not as above. -ENOMEM. @out is unchanged
 * on failure. Lines count in the text as the edits before left it. Time is linear in the text; memory as doc.h bounds it.
 */
int yaml_edit(const char *text, size_t len, const struct yaml_edit *edits, size_t count, struct reason *reason, struct buf *out);

/** Append @text as a double-quoted YAML scalar (always one line, always valid whatever the bytes; not UTF-8 shows as U+FFFD). */
void yaml_put_string(struct buf *out, const char *text);

#endif
