/* SPDX-License-Identifier: MIT
 *
 * L6. Content rules: may this text be committed under this name? The rules
 * are the rows of rule_list.h. Pure functions of their arguments; thread-safe.
 *
 * An empty text satisfies every rule. Case counts in names: `X.YAML` is free-form.
 */
#ifndef MILESTONEFS_RULE_H
#define MILESTONEFS_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util.h"

/** The file is a list of lines, each valid on its own: only new lines are looked at. */
#define RULE_FLAG_LINES 0x1u
/** The file has a schema: an invalid text is refused even for a name that was never valid. */
#define RULE_FLAG_SCHEMA 0x2u
/** A text larger than bytes_max is refused; without this flag it passes unchecked. */
#define RULE_FLAG_REFUSE_LARGE 0x4u

#define RULE_GLOBS_MAX 4

/** All borrowed for the call. */
struct rule_input {
	const char *path; /**< relative to the mount's root, no leading '/' */
	const char *text; /**< need not be NUL-terminated */
	size_t len;
	/**
	 * RULE_FLAG_LINES: this many leading bytes passed before; checking starts with the
	 * line that holds the first byte after them (so text appended to a last line without
	 * newline is seen joined to it). 0 for other rules and whole saves; at most len.
	 */
	size_t checked_prefix;
	/** Lines of the file before `text`, where a caller passes only its end (from the
	 * start of a line); added to reason.line. 0 when `text` is the whole file. */
	uint64_t lines_before;
};

/** From status/config.yaml; borrowed, owned by the configuration. NULL as a whole: no bound, no excludes, not strict. */
struct rule_options {
	size_t bytes_max; /**< rule_bytes_max; 0: no bound */
	char **exclude;   /**< globs that no rule looks at */
	size_t exclude_count;
	bool strict; /**< refuse malformed content also where there never was a valid version */
};

struct rule {
	uint32_t id;
	const char *name;
	const char *globs[RULE_GLOBS_MAX + 1]; /**< ends with NULL */
	unsigned flags;
	int (*check)(const struct rule_input *input, struct reason *reason);
};

enum rule_id {
#define RULE(id, NAME, name, globs, flags, function) RULE_##NAME = (id),
#include "rule_list.h"
#undef RULE
};

/** How a file's content may be published. Larger is stricter. */
enum rule_kind {
	RULE_KIND_NONE,   /**< free-form: no rule applies; any bytes, at any time */
	RULE_KIND_LINES,  /**< by whole valid lines */
	RULE_KIND_WHOLE,  /**< only whole and valid */
	RULE_KIND_SCHEMA, /**< only whole, valid and by its schema */
};

/** The table, for those who walk it. */
const struct rule *rule_table(size_t *ret_count);

/** The strictest kind of the rules that apply to @path; NONE also where an exclude matches.
 * Well below a microsecond, a few nanoseconds a row when no rule applies. */
enum rule_kind rule_kind_of(const struct rule_options *options, const char *path);
/** Is any rule concerned with @path? */
bool rule_applies(const struct rule_options *options, const char *path);

/**
 * Check a text against all rules that apply to its path.
 * Returns 0; -EBADMSG with @reason (NULL allowed): rule is the name of the row, the place
 * and the sentence are for a person; -ENOMEM.
 */
int rule_check(const struct rule_options *options, const struct rule_input *input, struct reason *reason);

/**
 * The policy "a good file never turns bad": must a commit that rule_check() found invalid be
 * refused? If not, it is accepted and logged. @had_valid: the name (by the identity that its
 * replacement keeps) has ever had content that passed; empty content is no such version.
 */
bool rule_must_refuse(const struct rule_options *options, const char *path, bool had_valid);

/** The functions of the rows. */
#define RULE(id, NAME, name, globs, flags, function) int function(const struct rule_input *input, struct reason *reason);
#include "rule_list.h"
#undef RULE

#endif
