/* SPDX-License-Identifier: MIT
 *
 * The rules that session.yaml and agents' files keep the state model's schema. What a save may turn an older version into is model_session.c's and
 * model_agent.c's. Names beside an agent's file that tools make on the way to it match the row's pattern at most by chance: they are no agents'.
 */
#include "model.h"
#include "model_schema.h"
#include "rule.h"

static int check(enum model_kind kind, const struct rule_input *input, struct reason *reason)
{
	struct doc *doc;
	int r;

	if (model_kind_of(input->path, NULL, NULL) != kind)
		return 0;
	r = model_parse(kind, input->text, input->len, reason, &doc);
	if (!r)
		doc_free(doc);
	return r;
}

int rule_session(const struct rule_input *input, struct reason *reason)
{
	return check(MODEL_SESSION, input, reason);
}

int rule_agent(const struct rule_input *input, struct reason *reason)
{
	return check(MODEL_AGENT, input, reason);
}
