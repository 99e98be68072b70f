/* SPDX-License-Identifier: MIT
 *
 * JSON: the check and the parser must agree; what passes must have a consistent tree
 * with places inside the text; JSON lines must agree with JSON on a text of one line.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "doc.h"

static size_t walk(const struct doc_node *node, uint32_t *line)
{
	size_t count = 0;

	for (; node; node = node->next) {
		assert(node->line >= *line && node->column >= 1); /* document order */
		*line = node->line;
		assert(node->text[node->text_len] == '\0' && strlen(node->text) == node->text_len);
		assert(utf8_valid(node->text, node->text_len, &(size_t){0}));
		if (node->key)
			assert(node->key->type == DOC_STRING && node->key->line <= node->line);
		count += 1 + walk(node->child, line);
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct reason check_reason = {0}, parse_reason = {0};
	struct doc *doc = NULL;
	uint32_t line = 1;
	int error = doc_check_json(text, size, &check_reason), lines_error;

	assert(error == 0 || error == -EBADMSG);
	assert(doc_parse_json(text, size, &parse_reason, &doc) == error);
	lines_error = doc_check_jsonl(text, size, NULL);
	assert(lines_error == 0 || lines_error == -EBADMSG);
	if (size && !memchr(text, '\n', size) && !error)
		assert(!lines_error);
	if (error) {
		assert(check_reason.line && check_reason.column && check_reason.text[0]);
		assert(!memcmp(&check_reason, &parse_reason, sizeof(check_reason)));
	} else {
		assert(!doc_root(doc) == (walk(doc_root(doc), &line) == 0));
	}
	doc_free(doc);
	return 0;
}
