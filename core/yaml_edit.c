/* SPDX-License-Identifier: MIT
 *
 * Comment-preserving edits of YAML text: the rounds (see yaml_edit_private.h) and the arguments. Spans, plan, placing and check are in
 * files of their own.
 *
 * A round takes as many of the edits, in order, as have nothing to do with each other; nearly always that is all of them. If its
 * text does not pass the check, the edits are tried one by one, so that the reason names the one that cannot be made. The loop
 * ends with a text that has been parsed and compared with the one before: a text that was not is never returned. On any failure
 * @out is as it was.
 */
#include "yaml_edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "yaml_edit_private.h"

/* --- the arguments --- */

static size_t count_names(const char *path)
{
	size_t count = 0;

	for (;;) {
		size_t len = strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

		count++;
		if (!len || count > DOC_DEPTH_MAX)
			return 0;
		if (!path[len])
			return count;
		if (path[len] != '.')
			return 0;
		path += len + 1;
	}
}

static bool is_one_line(const char *value)
{
	return !value[strcspn(value, "\r\n")] && !strstr(value, "\xc2\x85") && !strstr(value, "\xe2\x80\xa8") && !strstr(value, "\xe2\x80\xa9");
}

static int parse_within(const char *before, const char *value, const char *after, struct doc **ret)
{
	cleanup_buf struct buf text = BUF_INIT;

	buf_append_str(&text, before);
	buf_append_str(&text, value);
	buf_append_str(&text, after);
	return text.error ? text.error : doc_parse_yaml(text.data, text.len, NULL, ret);
}

/* What a list in brackets is does not depend on what is around it. */
static bool is_flow_list(const char *value, const struct doc_node *flow_item)
{
	return *value == '[' && flow_item && flow_item->type == DOC_SEQUENCE && !flow_item->next;
}

/* A value must be one node, and the same in block and in flow style. *@ret_doc is [value]. */
static int parse_value(const char *value, struct doc **ret)
{
	const struct doc_node *flow_item, *block_item;
	struct doc *flow = NULL, *block = NULL;
	int error = is_one_line(value) ? 0 : -EINVAL;

	if (!error)
		error = parse_within("[", value, "]", &flow);
	if (!error && is_flow_list(value, doc_root(flow)->child)) {
		*ret = flow;
		return 0;
	}
	if (!error)
		error = parse_within("k: ", value, "\n", &block);
	if (!error) {
		flow_item = doc_root(flow)->child;
		block_item = doc_get(doc_root(block), "k");
		if (!flow_item || flow_item->next || !block_item || block_item->next || !yaml_nodes_equal(flow_item, block_item))
			error = -EINVAL;
	}
	doc_free(block);
	if (!error) {
		*ret = flow;
		return 0;
	}
	doc_free(flow);
	return error == -EBADMSG ? -EINVAL : error;
}

/* --- rounds --- */

/* One text, in both readings. */
struct reading {
	struct doc *doc;
	struct yaml_spans spans;
};

struct edit_run {
	const struct yaml_edit *edits;
	size_t count, next; /* next: the first that is not applied yet */
	size_t name_count;
	struct doc **values; /* [value] of each edit */
	struct reason *reason;
	bool singly;     /* no more than one change a round */
	size_t refused;  /* one more than the number of the edit that reason speaks of */
	struct buf text; /* the present text; empty: the caller's still is */
};

static size_t bom_len(const char *text, size_t len)
{
	return len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

static int reading_init(struct reading *r, const char *text, size_t len, struct reason *reason)
{
	size_t bom = bom_len(text, len);
	int error;

	*r = (struct reading){0};
	error = doc_parse_yaml(text, len, reason, &r->doc);
	if (error)
		return error;
	error = yaml_spans_parse(&r->spans, text + bom, len - bom);
	if (error == -EFBIG)
		return reason_set(reason, -EBADMSG, "yaml", "too long to be edited");
	return error == -EBADMSG ? reason_set(reason, error, "yaml", "this cannot be edited") : error;
}

static void reading_release(struct reading *r)
{
	doc_free(r->doc);
	yaml_spans_release(&r->spans);
}

static int plan_edit(struct edit_run *run, struct yaml_plan *plan, size_t first)
{
	size_t i = run->next;
	/* a reason is said of the text as it was before this call, if it can be */
	struct reason *reason = run->refused == i + 1 ? NULL : run->reason;
	int error = yaml_plan_add(plan, run->edits + first, i - first, &run->edits[i], doc_root(run->values[i])->child, reason);

	if (error == -EBADMSG)
		run->refused = i + 1;
	return error;
}

static int plan_round(struct edit_run *run, struct yaml_plan *plan)
{
	size_t first = run->next;

	while (run->next < run->count && !(run->singly && plan->change_count)) {
		int error = plan_edit(run, plan, first);

		if (!error) {
			run->next++;
			continue;
		}
		if ((error == -EAGAIN || error == -EBADMSG) && plan->change_count)
			return 0; /* what bars the way may go with this round: an alias, say */
		if (error != -EAGAIN)
			return error;
		first = run->next; /* what came before changed nothing: begin anew */
	}
	return 0;
}

static void refuse_round(const struct edit_run *run, const struct yaml_plan *plan)
{
	const struct change *c = &plan->changes[0];

	(void)reason_set(run->reason, -EBADMSG, "yaml",
		"%.120s cannot be set without changing something else: this is written in a way that the editor does "
		"not know",
		c->path);
	if (run->reason) {
		run->reason->line = c->node ? c->node->line : 1;
		run->reason->column = c->node ? c->node->column : 1;
	}
}

/* The new text of one round. */
static int splice_round(const struct reading *from, const struct yaml_plan *plan, const char *text, struct buf *out)
{
	struct yaml_splices splices;
	int error;

	yaml_splices_init(&splices, &from->spans);
	for (size_t i = 0; i < plan->change_count; i++) {
		const struct change *c = &plan->changes[i];

		if (c->value)
			yaml_place_value(&splices, c, c->value, strlen(c->value));
		else
			yaml_place_members(&splices, c);
	}
	buf_append(out, text, (size_t)(from->spans.text - text));
	error = yaml_splices_apply(&splices, out);
	yaml_splices_release(&splices);
	return error;
}

/* Make the plan's text and read it. On success *@from is the new reading, of run->text. */
static int apply_round(struct edit_run *run, struct reading *from, struct yaml_plan *plan, const char *text)
{
	struct reading to = {0};
	struct buf next = BUF_INIT;
	int error = splice_round(from, plan, text, &next);

	if (!error)
		error = reading_init(&to, next.data, next.len, NULL);
	if (!error && !yaml_plan_holds(plan, doc_root(to.doc), &to.spans))
		error = -EBADMSG;
	if (error) {
		reading_release(&to);
		buf_release(&next);
		return error;
	}
	reading_release(from);
	*from = to;
	buf_release(&run->text);
	run->text = next; /* to.spans borrow its bytes, which have not moved */
	return 0;
}

/* Apply some edits to @from, or find that they must go singly. */
static int do_round(struct edit_run *run, struct reading *from, const char *text)
{
	struct yaml_plan plan;
	size_t first = run->next;
	int error = yaml_plan_init(&plan, doc_root(from->doc), &from->spans, run->count, run->name_count);

	if (!error)
		error = plan_round(run, &plan);
	if (!error && plan.change_count) {
		error = apply_round(run, from, &plan, text);
		if (error == -EBADMSG && run->singly) {
			refuse_round(run, &plan);
		} else if (error == -EBADMSG) {
			run->singly = true;
			run->next = first;
			error = 0;
		}
	}
	yaml_plan_release(&plan);
	return error;
}

static int run_rounds(struct edit_run *run, const char *text, size_t len, struct buf *out)
{
	struct reading reading;
	int error = reading_init(&reading, text, len, run->reason);

	while (!error && run->next < run->count)
		error = do_round(run, &reading, run->text.data ? run->text.data : text);
	reading_release(&reading);
	if (error)
		return error;
	if (run->text.data)
		buf_append(out, run->text.data, run->text.len);
	else
		buf_append(out, text, len);
	return out->error;
}

int yaml_edit(const char *text, size_t len, const struct yaml_edit *edits, size_t count, struct reason *reason, struct buf *out)
{
	struct edit_run run = {.edits = edits, .count = count, .reason = reason};
	int error = 0;

	run.values = calloc(count + 1, sizeof(*run.values));
	if (!run.values)
		return -ENOMEM;
	for (size_t i = 0; i < count && !error; i++) {
		size_t names = count_names(edits[i].path);

		run.name_count += names;
		error = names ? parse_value(edits[i].value, &run.values[i]) : -EINVAL;
		if (error == -EINVAL)
			(void)reason_set(reason, error, "yaml", "malformed edit of %.120s", edits[i].path);
	}
	if (!error)
		error = run_rounds(&run, text, len, out);
	for (size_t i = 0; i < count; i++)
		doc_free(run.values[i]);
	free(run.values);
	buf_release(&run.text);
	return error;
}

void yaml_put_string(struct buf *out, const char *text)
{
	buf_put_yaml_string(out, text, strlen(text));
}
