/* SPDX-License-Identifier: MIT
 *
 * The rule that status/config.yaml holds settings: what config.h can read, and nothing it doesn't know. So a file that was
 * accepted is in force, and a misspelt setting is told to who wrote it.
 */
#include <string.h>

#include "config.h"
#include "rule.h"

int rule_config(const struct rule_input *input, struct reason *reason)
{
	struct config c;
	int r = config_parse(input->text, input->len, reason, &c);

	if (!r)
		config_release(&c);
	return r;
}
