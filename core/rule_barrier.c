/* SPDX-License-Identifier: MIT
 *
 * The rules that a barrier's `participants` file holds ids and its `timeout` seconds: a barrier that did not wait for somebody whose name is
 * misspelt, or for longer than was said, would be worse than one that is refused.
 */
#include "barrier_text.h"
#include "doc_build.h"
#include "rule.h"

#include <errno.h>

static void set_place(struct reason *reason, const struct rule_input *input, const char *word)
{
	if (reason)
		doc_place(input->text, (size_t)(word - input->text), &reason->line, &reason->column);
}

int rule_participants(const struct rule_input *input, struct reason *reason)
{
	size_t at = 0, count = 0, len;
	const char *word;
	int r;

	while (barrier_next_word(input->text, input->len, &at, &word, &len)) {
		if (id_valid(word, len) && ++count <= BARRIER_MEMBERS_MAX)
			continue;
		if (count > BARRIER_MEMBERS_MAX)
			r = reason_set(reason, -EBADMSG, NULL, "more than %d participants", BARRIER_MEMBERS_MAX);
		else
			r = reason_set(reason, -EBADMSG, NULL,
				"%.*s is no agent's id (letters, digits, '.', '_' and '-'; ids stand one a line or between blanks)", (int)MIN(len, (size_t)64),
				word);
		set_place(reason, input, word);
		return r;
	}
	return 0;
}

int rule_timeout(const struct rule_input *input, struct reason *reason)
{
	size_t at = 0, len;
	const char *word;

	if (barrier_parse_timeout(input->text, input->len) || !barrier_next_word(input->text, input->len, &at, &word, &len))
		return 0;
	(void)reason_set(reason, -EBADMSG, NULL, "a timeout is a whole number of seconds from 1 to %d, in plain digits", BARRIER_TIMEOUT_MAX_S);
	set_place(reason, input, word);
	return -EBADMSG;
}
