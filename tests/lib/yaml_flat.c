/* SPDX-License-Identifier: MIT
 *
 * Documents as lines. Simple and slow: each line begins with the whole path. A path that skips names the last of duplicate keys.
 */
#include "yaml_flat.h"

#include <string.h>

struct flat {
	const char *const *skip;
	size_t skip_count, bytes_max;
	struct buf *out;
	bool too_long;
};

static void put_node(struct flat *f, const struct doc_node *node, struct buf *path, const char *dotted);

static void put_leaf(struct flat *f, const struct doc_node *node)
{
	static const char types[] = "~bns[{";

	buf_append(f->out, &types[node->type], 1);
	if (node->type == DOC_STRING || node->type == DOC_NUMBER)
		buf_put_json_string(f->out, node->text, node->text_len);
	else if (node->type == DOC_BOOL)
		buf_append(f->out, node->boolean ? "+" : "-", 1);
	buf_append(f->out, "\n", 1);
}

/* 2: @dotted is to be left out; 1: it is on the way to such; 0: neither. */
static int skipped(const struct flat *f, const char *dotted)
{
	int found = 0;

	for (size_t i = 0; dotted && i < f->skip_count; i++) {
		size_t len = strlen(dotted);

		if (!strcmp(dotted, f->skip[i]))
			return 2;
		if (!*dotted || (!strncmp(dotted, f->skip[i], len) && f->skip[i][len] == '.'))
			found = 1;
	}
	return found;
}

static bool simple_key(const struct doc_node *key)
{
	return key && key->type != DOC_SEQUENCE && key->type != DOC_MAPPING;
}

/* Is there another member of that name behind this one? */
static bool is_hidden(const struct doc_node *member)
{
	for (const struct doc_node *m = member->next; m; m = m->next)
		if (simple_key(m->key) && m->key->text_len == member->key->text_len && !memcmp(m->key->text, member->key->text, m->key->text_len))
			return true;
	return false;
}

/* Keys may hold keys: as a number they stay short. (FNV-1a) */
static uint64_t hash_of(const struct buf *b)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < b->len; i++)
		hash = (hash ^ (unsigned char)b->data[i]) * 0x100000001b3u;
	return hash;
}

static void put_child(struct flat *f, const struct doc_node *child, struct buf *path, const char *dotted)
{
	struct buf below = BUF_INIT, key = BUF_INIT;
	struct buf *out = f->out;
	size_t len = path->len;

	if (child->key) {
		f->out = &key;
		buf_append(path, "?", 1);
		put_node(f, child->key, path, NULL);
		path->len = len;
		f->out = out;
		buf_printf(path, ":%016llx", (unsigned long long)hash_of(&key));
		if (dotted && simple_key(child->key) && !is_hidden(child)) {
			buf_printf(&below, "%s%s", dotted, *dotted ? "." : "");
			buf_append(&below, child->key->text, child->key->text_len);
		}
	} else {
		buf_append(path, "-", 1);
	}
	put_node(f, child, path, below.data);
	path->len = len;
	buf_release(&below);
	buf_release(&key);
}

static void put_node(struct flat *f, const struct doc_node *node, struct buf *path, const char *dotted)
{
	int skip = skipped(f, dotted);

	if (skip == 2 || f->too_long)
		return;
	if (f->out->len > f->bytes_max) {
		f->too_long = true;
		return;
	}
	if (!skip) {
		buf_append(f->out, path->data, path->len);
		buf_append(f->out, "=", 1);
		put_leaf(f, node);
	}
	for (const struct doc_node *child = node->child; child; child = child->next)
		put_child(f, child, path, dotted);
}

bool yaml_flat(const struct doc_node *root, const char *const *skip, size_t skip_count, size_t bytes_max, struct buf *out)
{
	struct flat f = {.skip = skip, .skip_count = skip_count, .bytes_max = bytes_max, .out = out};
	struct buf path = BUF_INIT;

	if (root)
		put_node(&f, root, &path, "");
	buf_release(&path);
	return !f.too_long;
}
