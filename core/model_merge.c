/* SPDX-License-Identifier: MIT
 *
 * The text that a save becomes: what was saved, with edits (yaml_edit.h) in the order of the table, so that a text without fields gets them in
 * that order. A field of the user's that is missing gets its default; what the daemon owns is set; a shared field that is missing goes on from
 * what stood there before.
 *
 * What has been accepted can be kept current later: a text in which the daemon could not set each of its fields, because an anchor on one is
 * referred to, is refused when it is saved. So upkeep fails only on texts from before they were checked.
 *
 * On failure the output is unchanged.
 */
#include "model_merge.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "yaml_edit.h"

#define EDITS_MAX 32

/* Values live in one buffer that may move until all are there. */
struct edits {
	struct yaml_edit list[EDITS_MAX];
	size_t value_at[EDITS_MAX];
	size_t count;
	struct buf values;
};

static void edits_release(struct edits *e)
{
	buf_release(&e->values);
}

/* The value is what the caller has appended to e->values since @value_at. */
static void edits_add(struct edits *e, const char *path, size_t value_at)
{
	assert(e->count < EDITS_MAX);
	buf_put_u8(&e->values, '\0');
	e->list[e->count] = (struct yaml_edit){.path = path};
	e->value_at[e->count++] = value_at;
}

static int edits_apply(struct edits *e, const struct model_text *text, struct reason *reason, struct buf *out)
{
	if (e->values.error)
		return e->values.error;
	for (size_t i = 0; i < e->count; i++)
		e->list[i].value = e->values.data + e->value_at[i];
	return yaml_edit(text->text, text->len, e->list, e->count, reason, out);
}

/* A checked scalar or list of texts, as flow text. */
static void put_value(const struct doc_node *value, struct buf *out)
{
	switch (value->type) {
	case DOC_STRING:
		buf_put_yaml_string(out, value->text, value->text_len);
		break;
	case DOC_NUMBER:
		buf_append_str(out, value->text);
		break;
	case DOC_BOOL:
		buf_append_str(out, value->boolean ? "true" : "false");
		break;
	case DOC_SEQUENCE:
		buf_append_str(out, "[");
		for (const struct doc_node *i = value->child; i; i = i->next) {
			buf_append_str(out, i == value->child ? "" : ", ");
			buf_put_yaml_string(out, i->text, i->text_len);
		}
		buf_append_str(out, "]");
		break;
	case DOC_NULL:
	case DOC_MAPPING: /* no row that goes on from an older value is one */
		buf_append_str(out, "null");
		break;
	}
}

/* What the save leaves to us of one row. */
static void merge_row(const struct model_kind_ops *ops, const struct model_field *f, const struct model_sides *sides, const void *owned, struct edits *e)
{
	bool is_users = f->owner == MODEL_OWNER_USER, is_daemons = f->owner == MODEL_OWNER_DAEMON;
	const struct doc_node *before = is_users ? NULL : model_field_get(ops->kind, sides->old, f->path);
	size_t at = e->values.len;

	if (f->owner == MODEL_OWNER_OPTIONAL)
		return;
	if (ops->status_stays && !strcmp(f->path, ops->status_path) && ops->status_stays(sides)) {
		put_value(model_field_get(ops->kind, sides->old, f->path), &e->values);
		edits_add(e, f->path, at);
		return;
	}
	if (!is_users && ops->put_owned(owned, f, sides, &e->values)) {
		edits_add(e, f->path, at);
		return;
	}
	if (!is_daemons && doc_get_path(sides->root, f->path))
		return;
	if (before)
		put_value(before, &e->values);
	else
		buf_append_str(&e->values, f->fallback);
	edits_add(e, f->path, at);
}

/* Could the daemon set each of the fields that it keeps current? Only an anchor can keep it from that. */
static int check_editable(const struct model_kind_ops *ops, const struct buf *merged, struct reason *reason)
{
	struct yaml_edit list[EDITS_MAX];
	cleanup_buf struct buf scratch = BUF_INIT;
	size_t count, n = 0;
	const struct model_field *rows = model_fields(ops->kind, &count);

	if (!memchr(merged->data, '&', merged->len))
		return 0;
	for (size_t i = 0; i < count; i++)
		if (rows[i].owner >= MODEL_OWNER_SHARED || !strcmp(rows[i].path, ops->status_path))
			list[n++] = (struct yaml_edit){.path = rows[i].path, .value = "\"?\""}; /* what no field says, so it is a change */
	return yaml_edit(merged->data, merged->len, list, n, reason, &scratch);
}

/* Refusals by the parser and the editor are the rule's, too. */
static int name_rule(const struct model_kind_ops *ops, int r, struct reason *reason)
{
	if (r == -EBADMSG && reason)
		(void)snprintf(reason->rule, sizeof(reason->rule), "%s", model_rule_name(ops->kind)); /* fits */
	return r;
}

static int merge_docs(const struct model_kind_ops *ops, const struct model_sides *sides, const struct model_text *text, const void *owned,
	struct reason *reason, struct buf *out)
{
	struct edits e = {0};
	cleanup_buf struct buf merged = BUF_INIT;
	size_t count;
	const struct model_field *rows = model_fields(ops->kind, &count);
	int r = ops->check_status(sides, reason);

	if (r)
		return r;
	for (size_t i = 0; i < count; i++)
		merge_row(ops, &rows[i], sides, owned, &e);
	r = edits_apply(&e, text, reason, &merged);
	edits_release(&e);
	if (!r)
		r = model_check_size(ops->kind, merged.len, reason); /* so that it can be saved again */
	if (!r)
		r = check_editable(ops, &merged, reason);
	if (r)
		return r;
	if (buf_reserve(out, merged.len))
		return -ENOMEM;
	buf_append(out, merged.data, merged.len);
	return 0;
}

int model_merge(const struct model_kind_ops *ops, const struct model_text *old, const struct model_text *text, const void *owned, struct reason *reason,
	struct buf *out)
{
	struct doc *doc, *old_doc = NULL;
	struct model_sides sides;
	int r = model_parse(ops->kind, text->text, text->len, reason, &doc);

	if (r)
		return name_rule(ops, r, reason);
	if (old->text)
		r = doc_parse_yaml(old->text, old->len, NULL, &old_doc);
	if (r != -ENOMEM) { /* an old text that is not YAML says nothing */
		sides = (struct model_sides){.root = doc_root(doc), .old = doc_root(old_doc)};
		r = merge_docs(ops, &sides, text, owned, reason, out);
	}
	doc_free(old_doc);
	doc_free(doc);
	return name_rule(ops, r, reason);
}

int model_edit(const struct model_kind_ops *ops, const struct model_text *text, const void *owned, const char *status, bool fill, struct reason *reason,
	struct buf *out)
{
	struct edits e = {0};
	struct model_sides sides = {0};
	struct doc *doc = NULL;
	size_t count;
	const struct model_field *rows = model_fields(ops->kind, &count);
	int r = fill || ops->owned_by_text ? doc_parse_yaml(text->text, text->len, reason, &doc) : 0; /* else only the edit itself reads it */

	if (r)
		return name_rule(ops, r, reason);
	sides.root = doc_root(doc);
	for (size_t i = 0; i < count; i++) {
		size_t at = e.values.len;

		if (*status && !strcmp(rows[i].path, ops->status_path)) {
			buf_put_yaml_string(&e.values, status, strlen(status));
			edits_add(&e, rows[i].path, at);
		} else if (rows[i].owner >= MODEL_OWNER_SHARED && ops->put_owned(owned, &rows[i], &sides, &e.values)) {
			edits_add(&e, rows[i].path, at);
		} else if (fill && rows[i].owner != MODEL_OWNER_OPTIONAL && !doc_get_path(sides.root, rows[i].path)) {
			buf_append_str(&e.values, rows[i].fallback);
			edits_add(&e, rows[i].path, at);
		}
	}
	r = edits_apply(&e, text, reason, out);
	edits_release(&e);
	doc_free(doc);
	return name_rule(ops, r, reason);
}

int model_refuse_status(const struct model_kind_ops *ops, const struct doc_node *value, struct reason *reason, const char *text)
{
	(void)reason_set(reason, -EBADMSG, model_rule_name(ops->kind), "%s: %s", ops->status_path, text);
	if (reason) {
		reason->line = value->line;
		reason->column = value->column;
	}
	return -EBADMSG;
}

bool model_put_time(int64_t time_ns, struct buf *out)
{
	char text[TIME_TEXT_BYTES];

	if (!time_ns)
		return false;
	time_format(time_ns, text);
	buf_printf(out, "\"%s\"", text);
	return true;
}
