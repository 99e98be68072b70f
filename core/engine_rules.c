/* SPDX-License-Identifier: MIT
 *
 * What the rules need from the engine: content of versions, and whether a name ever had well-formed content ("a good file never turns
 * bad"). Reads outside the engine lock.
 */
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

static int version_check(struct engine *e, const struct rule_options *ro, const char *path, const struct version *v, struct reason *reason)
{
	struct rule_input in = {.path = path, .len = (size_t)v->size};
	cleanup_free char *text = NULL;
	int r;

	if (v->size > ro->bytes_max && rule_kind_of(ro, path) != RULE_KIND_SCHEMA)
		return 0;
	if (v->size > ro->bytes_max)
		return reason_set(reason, -EBADMSG, "size", "%s is larger than rules.rule_bytes_max (%zu bytes)", path, ro->bytes_max);
	r = engine_read_text(e, v, &text);
	in.text = text;
	return r ? r : rule_check(ro, &in, reason);
}

bool engine_had_valid(struct engine *e, const char *path, const struct node *node)
{
	struct rule_options ro;
	const struct version *v;

	config_rule_options(engine_config(e), &ro);
	engine_lock(e);
	if (!node || node->flags & NODE_NEWBORN) {
		uint64_t ino = engine_removed_recently(e, path);

		node = ino ? tree_node(e->tree, ino) : NULL;
	}
	v = node ? node->newest : NULL;
	while (v && v->size == 0)
		v = v->older;
	engine_unlock(e);
	if (!v || v->size > ro.bytes_max)
		return false;
	return version_check(e, &ro, path, v, NULL) == 0;
}

int engine_check_content(struct engine *e, struct request *q, const char *path, const struct version *v, const struct node *replaced, bool *ret_malformed)
{
	struct rule_options ro;
	int r;

	config_rule_options(engine_config(e), &ro);
	if (!rule_applies(&ro, path))
		return 0;
	r = version_check(e, &ro, path, v, &q->reason);
	if (r != -EBADMSG)
		return r;
	if (rule_must_refuse(&ro, path, engine_had_valid(e, path, replaced)))
		return -EBADMSG;
	if (ret_malformed)
		*ret_malformed = true;
	return 0;
}
