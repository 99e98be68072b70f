/* SPDX-License-Identifier: MIT
 *
 * L6. The settings of a mount, as status/config.yaml says them. TABLE of settings: one row gives name, default,
 * bounds and the comment written into a fresh file.
 */
#ifndef MILESTONEFS_CONFIG_H
#define MILESTONEFS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "doc.h"
#include "rule.h"
#include "util.h"

/**
 * NUMBER(field, "dotted.name", default, min, max, "comment")  FLAG(field, "name", default, "comment")
 * GLOBS(field, "name", "default globs", "comment"): a sequence, or one text with blanks between the globs
 * SYNC(field, "name", max, "comment"): the word `commit` (0) or `interval:MS` (1..max milliseconds), as -o sync= takes it
 */
#define CONFIG_LIST(NUMBER, FLAG, GLOBS, SYNC)                                                                                                             \
	SYNC(sync_interval_ms, "sync", 60000,                                                                                                              \
		"commit: close and fsync return when the change survives power loss; interval:MS: when it survives the daemon's death, and power loss MS " \
		"later")                                                                                                                                   \
	NUMBER(autocommit_ms, "autocommit_ms", 1000, 50, 3600000, "how often streams held open are published")                                             \
	GLOBS(stream, "stream", "*.log *.out", "truncated files published while still being written")                                                      \
	FLAG(strict, "rules.strict", false, "refuse malformed content even where no well-formed version existed")                                          \
	GLOBS(rules_exclude, "rules.exclude", "**/.git/** **/node_modules/**", "paths no rule looks at")                                                   \
	NUMBER(rule_bytes_max, "rules.rule_bytes_max", 16777216, 1024, 268435456, "larger files are not checked")                                          \
	NUMBER(index_every, "index.every_transactions", 50000, 100, 100000000, "how often an index snapshot is written")

struct globs {
	char **items; /**< owned, NULL-terminated */
	size_t count;
};

struct config {
#define NUMBER(field, name, def, min, max, comment) uint64_t field;
#define FLAG(field, name, def, comment) bool field;
#define GLOBS(field, name, def, comment) struct globs field;
#define SYNC(field, name, max, comment) uint64_t field;
	CONFIG_LIST(NUMBER, FLAG, GLOBS, SYNC)
#undef NUMBER
#undef FLAG
#undef GLOBS
#undef SYNC
};

/** All defaults. 0 or -ENOMEM. */
int config_init(struct config *c);
void config_release(struct config *c);
/** Read a config.yaml: settings not mentioned have their default. Unknown names, wrong types and values out of
 *  bounds are refused with name, line and what is allowed. 0, -EBADMSG with reason, -ENOMEM. @c untouched on error. */
int config_parse(const char *text, size_t len, struct reason *reason, struct config *ret);
/** The file a fresh store gets: every setting with its default and its comment. */
void config_render(const struct config *c, struct buf *out);
/** "commit" or "interval:MS", as the setting `sync` and the mount option say it. 0 or -EINVAL. */
int config_parse_sync(const char *text, uint64_t *ret_interval_ms);
/** Does any of the globs match the path? */
bool globs_match(const struct globs *g, const char *path);
/** The rules' view of the settings (borrows). */
void config_rule_options(const struct config *c, struct rule_options *ret);

#endif
