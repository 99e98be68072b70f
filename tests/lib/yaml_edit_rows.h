/* SPDX-License-Identifier: MIT
 *
 * Edits of YAML texts by example: what was, what is set, what it becomes (cmocka).
 */
#ifndef MILESTONEFS_TEST_YAML_EDIT_ROWS_H
#define MILESTONEFS_TEST_YAML_EDIT_ROWS_H

#include "yaml_edit.h"

struct yaml_edit_row {
	const char *text;
	const char *edits; /**< one or several, a line each: PATH=VALUE, or PATH?=VALUE for what is set only when it is missing */
	const char *want;  /**< NULL: the text as it is */
};

void yaml_edit_check_rows(const struct yaml_edit_row *rows, size_t count);
/** yaml_edit() with edits as in a row. */
int yaml_edit_lines(const char *text, size_t len, const char *lines, struct reason *reason, struct buf *out);
/** Refused at that line with these words, and nothing is written. */
void yaml_edit_refused(const char *text, const char *lines, uint32_t line, const char *words);

#endif
