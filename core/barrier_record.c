/* SPDX-License-Identifier: MIT
 *
 * The texts of barriers: the record .sync/ID.yaml, which this file alone writes and reads again after a restart, and the list of a starter's
 * `participants` (its words are barrier_text.h's).
 *
 * Pure functions. A record that somebody spoiled is understood as far as it goes: what is missing is zero, and the barrier goes on from
 * what its directory says. Lists are bounded by BARRIER_MEMBERS_MAX.
 */
#include <errno.h>
#include <string.h>

#include "barrier_internal.h"
#include "doc.h"

/* ---- lists of ids ---- */

void id_list_release(struct id_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->ids[i]);
	free(l->ids);
	*l = (struct id_list){0};
}

static bool has(const struct id_list *l, const char *id, size_t len)
{
	for (size_t i = 0; i < l->count; i++)
		if (!strncmp(l->ids[i], id, len) && !l->ids[i][len])
			return true;
	return false;
}

bool id_list_has(const struct id_list *l, const char *id)
{
	return has(l, id, strlen(id));
}

int id_list_push(struct id_list *l, const char *id, size_t len)
{
	char *copy;

	if (l->count == BARRIER_MEMBERS_MAX)
		return 0;
	copy = strndup(id, len);
	if (!copy || array_reserve(&l->ids, &l->capacity, l->count + 1, sizeof(*l->ids))) {
		free(copy);
		return -ENOMEM;
	}
	l->ids[l->count++] = copy;
	return 0;
}

int id_list_add(struct id_list *l, const char *id, size_t len)
{
	return id_valid(id, len) && !has(l, id, len) ? id_list_push(l, id, len) : 0;
}

int id_list_copy(const struct id_list *from, struct id_list *ret)
{
	struct id_list to = {0};

	for (size_t i = 0; i < from->count; i++)
		if (id_list_push(&to, from->ids[i], strlen(from->ids[i]))) {
			id_list_release(&to);
			return -ENOMEM;
		}
	*ret = to;
	return 0;
}

bool id_list_become(struct id_list *list, struct id_list *now)
{
	bool changed = !id_list_equal(list, now);

	id_list_release(list);
	*list = *now;
	return changed;
}

bool id_list_equal(const struct id_list *a, const struct id_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->ids[i], b->ids[i]) != 0)
			return false;
	return true;
}

void id_list_put(const struct id_list *l, bool blanks, struct buf *out)
{
	buf_append_str(out, "[");
	for (size_t i = 0; i < l->count; i++)
		buf_printf(out, "%s\"%s\"", i == 0 ? "" : blanks ? ", " : ",", l->ids[i]); /* ids need no escapes */
	buf_append_str(out, "]");
}

/* ---- the record ---- */

const char *barrier_status_name(enum barrier_status s)
{
	static const char *const names[] = {"in_progress", "completed", "failed"};

	return names[s];
}

const char *barrier_reason_name(enum barrier_reason r)
{
	static const char *const names[] = {"", "timeout", "participant_dead", "participant_completed", "removed"};

	return names[r];
}

void barrier_record_release(struct barrier_record *r)
{
	id_list_release(&r->participants);
	id_list_release(&r->acknowledged);
	id_list_release(&r->missing);
	id_list_release(&r->unregistered);
	*r = (struct barrier_record){0};
}

static void put_list(struct buf *out, const char *key, const struct id_list *l)
{
	buf_printf(out, "%s: ", key);
	id_list_put(l, true, out);
	buf_append_str(out, "\n");
}

void barrier_record_render(const struct barrier_record *r, const char *id, const char *session, struct buf *out)
{
	char time[TIME_TEXT_BYTES];

	time_format(r->started_ns, time);
	buf_printf(out, "synchronization: {id: \"%s\", session_id: \"%s\", trigger_agent: \"%s\", started_at: \"%s\"}\n", id, session, r->trigger_agent, time);
	put_list(out, "participants", &r->participants);
	buf_printf(out, "status: \"%s\"\n", barrier_status_name(r->status));
	put_list(out, "acknowledged", &r->acknowledged);
	put_list(out, "missing", &r->missing);
	if (r->unregistered.count)
		put_list(out, "unregistered", &r->unregistered);
	buf_printf(out, "timeout_seconds: %llu\n", (unsigned long long)r->timeout_s);
	time_format(r->ended_ns, time);
	if (r->ended_ns)
		buf_printf(out, "ended_at: \"%s\"\n", time);
	else
		buf_append_str(out, "ended_at: null\n");
	if (r->reason)
		buf_printf(out, "reason: \"%s\"\n", barrier_reason_name(r->reason));
	else
		buf_append_str(out, "reason: null\n");
}

static int64_t time_at(const struct doc_node *root, const char *path)
{
	const struct doc_node *n = doc_get_path(root, path);
	int64_t t = 0;

	return n && n->type == DOC_STRING && !time_parse(n->text, &t) ? t : 0;
}

static int list_at(const struct doc_node *root, const char *key, struct id_list *ret)
{
	const struct doc_node *n = doc_get(root, key);
	int r = 0;

	if (!n || n->type != DOC_SEQUENCE)
		return 0;
	for (const struct doc_node *item = n->child; item && !r; item = item->next)
		if (item->type == DOC_STRING || item->type == DOC_NUMBER)
			r = id_list_add(ret, item->text, item->text_len);
	return r;
}

static void enums_at(const struct doc_node *root, struct barrier_record *r)
{
	const struct doc_node *status = doc_get(root, "status"), *reason = doc_get(root, "reason");

	for (unsigned s = BARRIER_IN_PROGRESS; status && status->text && s <= BARRIER_FAILED; s++)
		if (!strcmp(status->text, barrier_status_name(s)))
			r->status = s;
	for (unsigned w = BARRIER_TIMEOUT; reason && reason->text && w <= BARRIER_REMOVED; w++)
		if (!strcmp(reason->text, barrier_reason_name(w)))
			r->reason = w;
}

int barrier_record_parse(const char *text, size_t len, struct barrier_record *ret)
{
	struct barrier_record r = {0};
	const struct doc_node *root, *n;
	struct doc *doc;
	int error = doc_parse_yaml(text, len, NULL, &doc);

	if (error)
		return error;
	root = doc_root(doc);
	n = doc_get_path(root, "synchronization.trigger_agent");
	if (n && n->text && n->text_len < sizeof(r.trigger_agent))
		memcpy(r.trigger_agent, n->text, n->text_len + 1);
	r.started_ns = time_at(root, "synchronization.started_at");
	r.ended_ns = time_at(root, "ended_at");
	n = doc_get(root, "timeout_seconds");
	if (n && n->type == DOC_NUMBER)
		r.timeout_s = barrier_parse_timeout(n->text, n->text_len);
	enums_at(root, &r);
	error = list_at(root, "participants", &r.participants);
	if (!error)
		error = list_at(root, "acknowledged", &r.acknowledged);
	if (!error)
		error = list_at(root, "missing", &r.missing);
	doc_free(doc);
	if (error) {
		barrier_record_release(&r);
		return error;
	}
	*ret = r;
	return 0;
}

/* ---- what a starter writes ---- */

int barrier_parse_participants(const char *text, size_t len, struct id_list *ret)
{
	struct id_list l = {0};
	size_t at = 0, word_len;
	const char *word;

	while (barrier_next_word(text, len, &at, &word, &word_len))
		if (id_list_add(&l, word, word_len)) {
			id_list_release(&l);
			return -ENOMEM;
		}
	*ret = l;
	return 0;
}
