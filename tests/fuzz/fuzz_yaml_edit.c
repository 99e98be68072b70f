/* SPDX-License-Identifier: MIT
 *
 * Edits of any text: the first byte chooses the edits. What comes out parses to what went in but for the edited members, these hold what
 * they should, and a second time nothing changes. With YAML_EDIT_STRICT set, an edit that only the final check refused is a
 * failure too: that finds what people could write and the editor does not know.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"
#include "yaml_edit.h"
#include "yaml_flat.h"

#define FLAT_BYTES_MAX (1u << 20)
#define EDITS_MAX 4

/* Short names, so that random texts have them. No path begins another. */
static const struct yaml_edit sets[][EDITS_MAX] = {
	{{"a", "1", false}},
	{{"a", "[x, \"y\"]", false}, {"b", "null", false}},
	{{"a.b", "\"z\"", false}},
	{{"a.b", "{}", false}, {"a.c", "2", true}, {"b", "3", true}},
	{{"a.b.c", "x", false}, {"a.b.d", "y", false}, {"c", "[]", false}, {"d.a", "0", true}},
	{{"d", "2", false}},
};

static struct doc *parse(const char *text, size_t len)
{
	struct doc *doc = NULL;

	return doc_parse_yaml(text, len, NULL, &doc) ? NULL : doc;
}

static void check_value(const struct doc *doc, const struct yaml_edit *e)
{
	struct buf want = BUF_INIT, got = BUF_INIT;
	struct doc *value = parse(e->value, strlen(e->value));
	const struct doc_node *node = doc_get_path(doc_root(doc), e->path);

	assert(node && value);
	if (!e->only_if_missing) {
		assert(yaml_flat(doc_root(value), NULL, 0, FLAT_BYTES_MAX, &want));
		if (yaml_flat(node, NULL, 0, FLAT_BYTES_MAX, &got))
			assert(want.len == got.len && !memcmp(want.data, got.data, got.len));
	}
	doc_free(value);
	buf_release(&want);
	buf_release(&got);
}

static void check_rest(const struct doc *was, const struct doc *now, const struct yaml_edit *edits, size_t count)
{
	struct buf before = BUF_INIT, after = BUF_INIT;
	const char *skip[EDITS_MAX];

	for (size_t i = 0; i < count; i++)
		skip[i] = edits[i].path;
	if (yaml_flat(doc_root(was), skip, count, FLAT_BYTES_MAX, &before)) {
		assert(yaml_flat(doc_root(now), skip, count, FLAT_BYTES_MAX, &after));
		assert(before.len == after.len && (!before.len || !memcmp(before.data, after.data, after.len)));
	}
	buf_release(&before);
	buf_release(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct yaml_edit *edits = sets[size ? data[0] % (sizeof(sets) / sizeof(sets[0])) : 0];
	const char *text = (const char *)data + (size > 0);
	struct buf out = BUF_INIT, again = BUF_INIT;
	struct reason reason = {0};
	struct doc *was, *now;
	size_t count = 0;
	int error;

	size -= size > 0;
	while (count < EDITS_MAX && edits[count].path)
		count++;
	error = yaml_edit(text, size, edits, count, &reason, &out);
	was = parse(text, size);
	assert(error == 0 || error == -EBADMSG);
	if (error) {
		assert(reason.line && reason.column && reason.text[0] && !out.len);
		assert(!getenv("YAML_EDIT_STRICT") || !strstr(reason.text, "does not know"));
	} else {
		now = parse(out.data, out.len);
		assert(was && now);
		check_rest(was, now, edits, count);
		for (size_t i = 0; i < count; i++)
			check_value(now, &edits[i]);
		assert(!yaml_edit(out.data, out.len, edits, count, NULL, &again));
		assert(again.len == out.len && !memcmp(again.data, out.data, out.len));
		doc_free(now);
	}
	doc_free(was);
	buf_release(&out);
	buf_release(&again);
	return 0;
}
