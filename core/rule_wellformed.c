/* SPDX-License-Identifier: MIT
 *
 * The rules that structured files are well-formed, in the words of their formats;
 * the checks themselves are doc.h's and allocate nothing that grows with the text.
 *
 * JSON lines: a file only grows by appends as a rule, so only the lines that the
 * checked prefix does not hold whole are read. The cost is that of the new lines.
 */
#include <errno.h>
#include <string.h>

#include "doc.h"
#include "rule.h"

int rule_wellformed_yaml(const struct rule_input *input, struct reason *reason)
{
	return doc_check_yaml(input->text, input->len, reason);
}

int rule_wellformed_json(const struct rule_input *input, struct reason *reason)
{
	return doc_check_json(input->text, input->len, reason);
}

/* Lines that end within the first @len bytes; only counted for a refusal. */
static uint32_t count_lines(const char *text, size_t len)
{
	const char *end = text + len, *newline;
	uint32_t count = 0;

	for (; (newline = memchr(text, '\n', (size_t)(end - text))); text = newline + 1)
		count++;
	return count;
}

int rule_wellformed_jsonl(const struct rule_input *input, struct reason *reason)
{
	const char *newline = memrchr(input->text, '\n', input->checked_prefix);
	/* from the newline, an empty line: so that a byte order mark after it is not at the start */
	size_t start = newline ? (size_t)(newline - input->text) : 0;
	int error = doc_check_jsonl(input->text + start, input->len - start, reason);

	if (error == -EBADMSG && reason)
		reason->line += count_lines(input->text, start);
	return error;
}
