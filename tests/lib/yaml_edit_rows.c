/* SPDX-License-Identifier: MIT
 *
 * See yaml_edit_rows.h.
 */
#include "yaml_edit_rows.h"

#include <errno.h>
#include <string.h>

#include "cmocka_all.h"

#define EDITS_MAX 8

static size_t parse_edits(char *lines, struct yaml_edit edits[EDITS_MAX])
{
	size_t count = 0;

	for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
		char *equals = strchr(line, '=');

		bool if_missing;

		assert_non_null(equals);
		assert_true(count < EDITS_MAX);
		if_missing = equals > line && equals[-1] == '?';
		equals[if_missing ? -1 : 0] = '\0';
		edits[count++] = (struct yaml_edit){.path = line, .value = equals + 1, .only_if_missing = if_missing};
	}
	return count;
}

int yaml_edit_lines(const char *text, size_t len, const char *lines, struct reason *reason, struct buf *out)
{
	struct yaml_edit edits[EDITS_MAX];
	char copy[1024];

	assert_true(strlen(lines) < sizeof(copy));
	strcpy(copy, lines);
	return yaml_edit(text, len, edits, parse_edits(copy, edits), reason, out);
}

static void check_row(const struct yaml_edit_row *row)
{
	const char *want = row->want ? row->want : row->text;
	struct reason reason = {0};
	struct buf out = BUF_INIT;
	int error = yaml_edit_lines(row->text, strlen(row->text), row->edits, &reason, &out);

	if (error)
		fail_msg("%d, %u:%u %s\n%s\n--- of\n%s", error, reason.line, reason.column, reason.text, row->edits, row->text);
	buf_append(&out, "", 1);
	if (strcmp(out.data, want))
		fail_msg("%s\n--- of\n%s\n--- gives\n%s\n--- not\n%s", row->edits, row->text, out.data, want);
	buf_release(&out);
}

void yaml_edit_check_rows(const struct yaml_edit_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_row(&rows[i]);
}

void yaml_edit_refused(const char *text, const char *lines, uint32_t line, const char *words)
{
	struct reason reason = {0};
	struct buf out = BUF_INIT;

	buf_append_str(&out, "before");
	if (yaml_edit_lines(text, strlen(text), lines, &reason, &out) != -EBADMSG)
		fail_msg("accepted: %s\n--- of\n%s\n--- gives\n%s", lines, text, out.data);
	assert_string_equal(out.data, "before");
	assert_string_equal(reason.rule, "yaml");
	if (reason.line != line || !strstr(reason.text, words))
		fail_msg("%s\n--- of\n%s\n--- says %u: %s", lines, text, reason.line, reason.text);
	assert_int_equal(yaml_edit_lines(text, strlen(text), lines, NULL, &out), -EBADMSG);
	buf_release(&out);
}
