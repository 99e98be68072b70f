/* SPDX-License-Identifier: MIT
 *
 * Whether a whole text is a file of the state model: a mapping whose sections are mappings, each of a user's fields what its row allows
 * (model_schema.c), and no name misspelt. What the daemon owns is not looked at, since it is overwritten; what the schema does not know is the
 * user's own.
 *
 * A misspelt name would be such an own field and do nothing, silently; so, in the sections whose fields do something, a name close to a
 * known one is refused. How close depends on its length: `status` and `state` are told apart by chance, `pid` and `uid` on purpose.
 * A section's own name likewise, where the section is missing and the other one holds its fields.
 * Merge keys and aliases in place of a section are refused, too: a default that is filled in, or a field kept current, would hide what they say.
 *
 * Cost: linear in the text, whose size is bounded. Aliases are looked at, never followed.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model_schema.h"

#define NAME_BYTES_MAX 32 /* of a known field's name */

__attribute__((format(printf, 4, 5))) static int refuse(enum model_kind kind, const struct doc_node *at, struct reason *reason, const char *fmt, ...)
{
	char text[sizeof(reason->text)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* a longer sentence is cut */
	va_end(ap);
	(void)reason_set(reason, -EBADMSG, model_rule_name(kind), "%s", text);
	if (reason && at) {
		reason->line = at->line;
		reason->column = at->column;
	}
	return -EBADMSG;
}

/* ---- misspelt names ---- */

static int plain_char(char c)
{
	return c == '-' ? '_' : tolower((unsigned char)c);
}

/* Characters to insert, remove, change or swap with their neighbour to make @a of @b: optimal string alignment. Neither is longer than NAME_BYTES_MAX + 2. */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][NAME_BYTES_MAX + 3];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2], *spare;

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		spare = before, before = above, above = row, row = spare;
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			bool same = plain_char(a[i - 1]) == plain_char(b[j - 1]);

			row[j] = MIN(above[j - 1] + !same, MIN(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && plain_char(a[i - 1]) == plain_char(b[j - 2]) && plain_char(a[i - 2]) == plain_char(b[j - 1]))
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
	}
	return row[b_len];
}

static bool is_misspelt(const struct doc_node *key, const char *known)
{
	size_t len = strlen(known);
	unsigned far = len > 5 ? 2 : len > 3 ? 1 : 0;

	assert(len <= NAME_BYTES_MAX);
	if (key->text_len > len + far || key->text_len + far < len)
		return false;
	return edit_distance(key->text, key->text_len, known, len) <= far;
}

static bool is_name(const struct doc_node *key, const char *name)
{
	return key->text_len == strlen(name) && !memcmp(key->text, name, key->text_len);
}

/* @section with its dot, @len bytes: a name that is no row's, but close to one that a user sets. */
static int check_name(enum model_kind kind, const char *section, size_t len, const struct doc_node *key, struct reason *reason)
{
	size_t count;
	const struct model_field *rows = model_fields(kind, &count), *close = NULL;

	for (size_t i = 0; i < count; i++) {
		if (model_section_len(&rows[i]) != len || strncmp(rows[i].path, section, len) != 0)
			continue;
		if (is_name(key, rows[i].path + len))
			return 0;
		if (!close && rows[i].owner != MODEL_OWNER_DAEMON && is_misspelt(key, rows[i].path + len))
			close = &rows[i];
	}
	return close ? refuse(kind, key, reason, "%.*s%s: there is no such field; did you mean %s?", (int)len, section, key->text, close->path) : 0;
}

/* ---- sections ---- */

static bool names_matter(const char *section, size_t len)
{
	static const char *const sections[] = {"session.", "configuration.", "agent."};

	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		if (len == strlen(sections[i]) && !strncmp(section, sections[i], len))
			return true;
	return false;
}

/* The members of @mapping; @section with its dot, "" for the file's own. */
static int check_members(enum model_kind kind, const char *section, size_t len, const struct doc_node *mapping, struct reason *reason)
{
	bool matter = names_matter(section, len);
	int r = 0;

	for (const struct doc_node *m = mapping->child; m && !r; m = m->next) {
		if (m->key->type == DOC_SEQUENCE || m->key->type == DOC_MAPPING)
			continue;
		if (is_name(m->key, "<<") && !m->key->quoted)
			r = refuse(kind, m->key, reason, "%.*s<<: merge keys are not followed here: write the members out", (int)len, section);
		else if (matter)
			r = check_name(kind, section, len, m->key, reason);
	}
	return r;
}

/* Has @mapping a field of the section? */
static bool holds_field(enum model_kind kind, const char *section, size_t len, const struct doc_node *mapping)
{
	size_t count;
	const struct model_field *rows = model_fields(kind, &count);

	for (const struct doc_node *m = mapping->child; m; m = m->next)
		for (size_t i = 0; i < count; i++)
			if (model_section_len(&rows[i]) == len && !strncmp(rows[i].path, section, len) && is_name(m->key, rows[i].path + len))
				return true;
	return false;
}

/* A section is missing: one close to it that holds its fields was meant to be it. */
static int check_missing(enum model_kind kind, const struct doc_node *root, const char *section, size_t len, const char *name, struct reason *reason)
{
	for (const struct doc_node *m = root->child; m; m = m->next)
		if (m->type == DOC_MAPPING && m->key->type == DOC_STRING && is_misspelt(m->key, name) && holds_field(kind, section, len, m))
			return refuse(kind, m->key, reason, "%s: there is no such section; did you mean %s?", m->key->text, name);
	return 0;
}

/* @row is the first of its section. */
static int check_section(enum model_kind kind, const struct doc_node *root, const struct model_field *row, struct reason *reason)
{
	size_t len = model_section_len(row);
	const struct doc_node *section;
	char name[NAME_BYTES_MAX];

	assert(len <= sizeof(name));
	memcpy(name, row->path, len - 1);
	name[len - 1] = '\0';
	section = doc_get(root, name);
	if (!section && names_matter(row->path, len))
		return check_missing(kind, root, row->path, len, name, reason);
	if (!section || (section->type == DOC_NULL && !section->target))
		return 0;
	if (section->target)
		return refuse(kind, section, reason, "%s: an alias cannot stand here: write the members out", name);
	if (section->type != DOC_MAPPING)
		return refuse(kind, section, reason, "%s: %s is not a mapping with members such as %s", name,
			section->type == DOC_SEQUENCE ? "a list" : "a single value", row->path + len);
	return check_members(kind, row->path, len, section, reason);
}

int model_check(enum model_kind kind, const struct doc_node *root, struct reason *reason)
{
	size_t count, len, before = 0;
	const struct model_field *rows = model_fields(kind, &count);
	int r;

	if (!root || root->type == DOC_NULL)
		return 0;
	if (root->type != DOC_MAPPING)
		return refuse(kind, root, reason, "%s is not a mapping with sections such as `%s: {status: active}`",
			root->type == DOC_SEQUENCE ? "a list" : "a single value", model_rule_name(kind));
	r = check_members(kind, "", 0, root, reason);
	for (size_t i = 0; i < count && !r; i++, before = len) {
		const struct doc_node *value = doc_get_path(root, rows[i].path);

		len = model_section_len(&rows[i]);
		if (len && (!i || before != len || strncmp(rows[i].path, rows[i - 1].path, len) != 0))
			r = check_section(kind, root, &rows[i], reason);
		if (!r && value && rows[i].owner != MODEL_OWNER_DAEMON)
			r = model_field_check(kind, &rows[i], value, reason);
	}
	return r;
}

int model_check_size(enum model_kind kind, size_t len, struct reason *reason)
{
	if (len <= MODEL_BYTES_MAX)
		return 0;
	return reason_set(reason, -EBADMSG, model_rule_name(kind),
		"%zu bytes; at most %u are allowed: what is larger belongs in files of its own under the session's state/", len, MODEL_BYTES_MAX);
}

/* A second document would say nothing here, and keep most tools from reading the file. */
static int check_single(enum model_kind kind, const struct doc *doc, struct reason *reason)
{
	const struct doc_node at = {.line = doc_next_line(doc), .column = 1};

	return at.line ? refuse(kind, &at, reason, "a second document begins here (---): the file holds one") : 0;
}

int model_parse(enum model_kind kind, const char *text, size_t len, struct reason *reason, struct doc **ret)
{
	struct doc *doc;
	int r = model_check_size(kind, len, reason);

	if (!r)
		r = doc_parse_yaml(text, len, reason, &doc);
	if (r)
		return r;
	r = model_check(kind, doc_root(doc), reason);
	if (!r)
		r = check_single(kind, doc, reason);
	if (r)
		doc_free(doc);
	else
		*ret = doc;
	return r;
}
