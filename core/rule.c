/* SPDX-License-Identifier: MIT
 *
 * Which rules apply to a path, and asking them. What a rule looks at is in
 * rule_*.c; what becomes of a refused commit is the transaction's business.
 *
 * The hot question is "does any rule concern this name?", asked at each open
 * and rename. Most names are rejected by the literal end of each row's
 * pattern; the excludes are only tried for the few names that pass.
 */
#include "rule.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "glob.h"

static const struct rule rules[] = {
#define GLOBS(...)          \
	{                   \
		__VA_ARGS__ \
	}
#define RULE(id, NAME, name, globs, flags, function) {id, name, globs, flags, function},
#include "rule_list.h"
#undef RULE
#undef GLOBS
};

const struct rule *rule_table(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(rules);
	return rules;
}

static bool rule_concerns(const struct rule *rule, const char *path)
{
	for (const char *const *glob = rule->globs; *glob; glob++)
		if (glob_match(*glob, path))
			return true;
	return false;
}

static bool is_excluded(const struct rule_options *options, const char *path)
{
	for (size_t i = 0; options && i < options->exclude_count; i++)
		if (glob_match(options->exclude[i], path))
			return true;
	return false;
}

static enum rule_kind kind_of_rule(const struct rule *rule)
{
	if (rule->flags & RULE_FLAG_SCHEMA)
		return RULE_KIND_SCHEMA;
	return rule->flags & RULE_FLAG_LINES ? RULE_KIND_LINES : RULE_KIND_WHOLE;
}

enum rule_kind rule_kind_of(const struct rule_options *options, const char *path)
{
	enum rule_kind kind = RULE_KIND_NONE;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rule_concerns(&rules[i], path))
			kind = MAX(kind, kind_of_rule(&rules[i]));
	if (kind != RULE_KIND_NONE && is_excluded(options, path))
		return RULE_KIND_NONE;
	return kind;
}

bool rule_applies(const struct rule_options *options, const char *path)
{
	return rule_kind_of(options, path) != RULE_KIND_NONE;
}

static int ask(const struct rule *rule, size_t bytes_max, const struct rule_input *input, struct reason *reason)
{
	size_t bytes = input->len;
	int error;

	if (rule->flags & RULE_FLAG_LINES)
		bytes -= input->checked_prefix;
	if (bytes_max && bytes > bytes_max) {
		if (!(rule->flags & RULE_FLAG_REFUSE_LARGE))
			return 0;
		return reason_set(reason, -EBADMSG, rule->name, "%zu bytes; at most %zu can be checked (rule_bytes_max)", bytes, bytes_max);
	}
	error = rule->check(input, reason);
	if (error == -EBADMSG && reason) {
		(void)snprintf(reason->rule, sizeof(reason->rule), "%s", rule->name); /* names fit: tested */
		if (reason->line)
			reason->line += (uint32_t)input->lines_before;
	}
	return error;
}

int rule_check(const struct rule_options *options, const struct rule_input *input, struct reason *reason)
{
	int error = 0;

	assert(input->checked_prefix <= input->len);
	if (!input->len || is_excluded(options, input->path))
		return 0;
	for (size_t i = 0; !error && i < ARRAY_SIZE(rules); i++)
		if (rule_concerns(&rules[i], input->path))
			error = ask(&rules[i], options ? options->bytes_max : 0, input, reason);
	return error;
}

bool rule_must_refuse(const struct rule_options *options, const char *path, bool had_valid)
{
	return had_valid || (options && options->strict) || rule_kind_of(options, path) == RULE_KIND_SCHEMA;
}
