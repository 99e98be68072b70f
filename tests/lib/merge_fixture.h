/* SPDX-License-Identifier: MIT
 *
 * Saving and editing the files of the state model as texts (model_schema.h), and what their table of fields leads to expect (cmocka).
 */
#ifndef MILESTONEFS_TEST_MERGE_FIXTURE_H
#define MILESTONEFS_TEST_MERGE_FIXTURE_H

#include "model_schema.h"

#define MERGE_NS (1795341600LL * NS_PER_S)
#define MERGE_AT "2026-11-22T10:00:00.000000Z"
#define MERGE_LATER "2026-11-22T11:00:00.000000Z"

/** What milestonefs knows of a session and of an agent; and nothing. */
extern const struct session_owned merge_session_owned, merge_session_nothing;
extern const struct agent_owned merge_agent_owned, merge_agent_nothing;
/** What an empty file becomes with that knowledge. */
extern const char merge_new_session[], merge_new_agent[];

/** Room for one merged text, and the reason of a refusal. {0} to begin with; release its text. */
struct merge_result {
	struct buf text;
	struct reason why;
};

/** Save @text over @old (NULL: none); @owned: a session_owned or an agent_owned. 0 or -errno; a refused save leaves nothing in @res but the reason. */
int merge_save(struct merge_result *res, enum model_kind kind, const char *old, const char *text, const void *owned);
/** The same, accepted: the text it becomes. */
const char *merge_saved(struct merge_result *res, enum model_kind kind, const char *old, const char *text, const void *owned);
void merge_refused(enum model_kind kind, const char *old, const char *text, uint32_t line, const char *sentence);
/** milestonefs edits @text; @status NULL: that stays. */
int merge_edit(struct merge_result *res, enum model_kind kind, const char *text, const void *owned, const char *status);
const char *merge_edited(struct merge_result *res, enum model_kind kind, const char *text, const void *owned, const char *status);

/** The value at a dotted path in @text: a list's items each with a comma, "mapping", "null", "missing". In @res. */
const char *merge_value_at(struct merge_result *res, const char *text, const char *path);
/** A value of the field's type that is not its default, as flow text; *@ret_said: as merge_value_at() says it. */
const char *merge_other_value(const struct model_field *f, const char **ret_said);
/** What a file says when its default was filled in. */
const char *merge_fallback_said(struct merge_result *res, const struct model_field *f);

#endif
