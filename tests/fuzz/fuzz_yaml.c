/* SPDX-License-Identifier: MIT
 *
 * YAML: the check and the parser must agree, and what passes must be a consistent
 * tree: no cycle, aliases to nodes that stand before them, keys for members only.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "doc.h"

static void walk(const struct doc_node *node, bool in_mapping, int depth)
{
	assert(depth <= DOC_DEPTH_MAX);
	for (; node; node = node->next) {
		assert(node->line >= 1 && node->column >= 1);
		assert(node->text[node->text_len] == '\0');
		assert(!node->key == !in_mapping);
		if (node->key)
			walk(node->key, false, depth + 1);
		if (node->target) {
			const struct doc_node *target = node->target;

			assert(target->type == node->type && target->child == node->child && target->text == node->text);
			assert(target->line < node->line || (target->line == node->line && target->column < node->column));
		} else if (node->type == DOC_SEQUENCE || node->type == DOC_MAPPING) {
			walk(node->child, node->type == DOC_MAPPING, depth + 1);
		} else {
			assert(!node->child);
			assert(!node->quoted || node->type == DOC_STRING);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct reason check_reason = {0}, parse_reason = {0};
	struct doc *doc = NULL;
	int error = doc_check_yaml(text, size, &check_reason);

	assert(error == 0 || error == -EBADMSG);
	assert(doc_parse_yaml(text, size, &parse_reason, &doc) == error);
	if (error) {
		assert(check_reason.line && check_reason.column && check_reason.text[0]);
		assert(!memcmp(&check_reason, &parse_reason, sizeof(check_reason)));
	} else {
		walk(doc_root(doc), false, 0);
	}
	doc_free(doc);
	return 0;
}
