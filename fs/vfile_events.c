/* SPDX-License-Identifier: MIT
 *
 * The event logs as files: all.jsonl, one a day, one a session; and adding a custom event by appending to a session's.
 *
 * A log is read by range, straight from the journal; its size is the sum of its lines. It only grows, so a reader that knows the
 * size finds what it knew. Writing acts inside write(2): the lines given are checked first, all of them, then each becomes an event.
 */
#include "vfile_rows.h"

#include <errno.h>
#include <string.h>

#include "doc.h"

#define WRITE_BYTES_MAX (32u << 10)

/* ---- reading ---- */

static void log_size(struct fs *fs, const struct event_log_key *key, uint64_t *ret_bytes)
{
	uint64_t events;

	engine_lock(fs->engine);
	event_log_size(engine_event_logs(fs->engine), key, ret_bytes, &events);
	engine_unlock(fs->engine);
}

int events_all_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes)
{
	(void)v;
	log_size(fs, &(struct event_log_key){0}, ret_bytes);
	return 0;
}

int events_all_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out)
{
	(void)v;
	return engine_read_events(fs->engine, &(struct event_log_key){0}, offset, len, out);
}

int events_session_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes)
{
	log_size(fs, &(struct event_log_key){.session = v->params[0]}, ret_bytes);
	return 0;
}

int events_session_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out)
{
	return engine_read_events(fs->engine, &(struct event_log_key){.session = v->params[0]}, offset, len, out);
}

/* The day of "2026-11-22.jsonl"; false when the name is none. */
static bool day_of(const struct vnode *v, char out[TIME_TEXT_BYTES])
{
	const char *name = v->params[0];
	char again[TIME_TEXT_BYTES];
	int64_t time_ns;

	if (strlen(name) != 16 || strcmp(name + 10, ".jsonl"))
		return false;
	memcpy(out, name, 10);
	out[10] = '\0';
	if (time_parse(out, &time_ns))
		return false;
	time_format_day(time_ns, again);
	return !strcmp(again, out);
}

int events_day_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes)
{
	char day[TIME_TEXT_BYTES];

	if (!day_of(v, day))
		return -ENOENT;
	log_size(fs, &(struct event_log_key){.day = day}, ret_bytes);
	return 0;
}

int events_day_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out)
{
	char day[TIME_TEXT_BYTES];

	if (!day_of(v, day))
		return -ENOENT;
	return engine_read_events(fs->engine, &(struct event_log_key){.day = day}, offset, len, out);
}

bool events_day_exists(struct fs *fs, const struct vnode *v)
{
	uint64_t bytes = 0;

	return !events_day_size(fs, v, &bytes) && bytes;
}

struct day_names {
	struct buf text; /* NUL-terminated names, one after the other */
};

static int day_add(void *arg, const char *day)
{
	struct day_names *n = arg;

	buf_printf(&n->text, "%s.jsonl", day);
	buf_put_u8(&n->text, 0);
	return n->text.error;
}

int events_day_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg)
{
	struct day_names n = {0};
	int r;

	(void)directory;
	engine_lock(fs->engine);
	r = event_logs_days(engine_event_logs(fs->engine), day_add, &n);
	engine_unlock(fs->engine);
	for (size_t at = 0; !r && at < n.text.len; at += strlen(n.text.data + at) + 1)
		r = each(arg, n.text.data + at);
	buf_release(&n.text);
	return r;
}

static int64_t last_event_time(struct fs *fs, const struct event_log_key *key)
{
	struct event_ref refs[EVENT_LOG_STRIDE + 1];
	uint64_t bytes = 0, events, skip;
	int64_t time_ns = fs->started_ns;
	size_t count;

	engine_lock(fs->engine);
	event_log_size(engine_event_logs(fs->engine), key, &bytes, &events);
	count = bytes ? event_log_slice(engine_event_logs(fs->engine), key, bytes - 1, 1, refs, ARRAY_SIZE(refs), &skip) : 0;
	if (count)
		time_ns = engine_event_time(fs->engine, &refs[count - 1]);
	engine_unlock(fs->engine);
	return time_ns;
}

int64_t events_time(struct fs *fs, const struct vnode *v)
{
	return last_event_time(fs, &(struct event_log_key){.session = v->params[0][0] ? v->params[0] : NULL});
}

int64_t events_day_time(struct fs *fs, const struct vnode *v)
{
	char day[TIME_TEXT_BYTES];

	return day_of(v, day) ? last_event_time(fs, &(struct event_log_key){.day = day}) : fs->started_ns;
}

/* ---- adding ---- */

static bool is_own_type(const char *name)
{
	static const char *const own[] = {
#define EVENT(id, enum_name, text) text,
#include "event_list.h"
#undef EVENT
	};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (!strcmp(own[i], name) && strcmp(name, "custom"))
			return true;
	return false;
}

/* The later of two members of one name counts, as for every reader of JSON. */
static bool is_overridden(const struct doc_node *member)
{
	for (const struct doc_node *n = member->next; n; n = n->next)
		if (n->key->text_len == member->key->text_len && !memcmp(n->key->text, member->key->text, n->key->text_len))
			return true;
	return false;
}

/* JSON on one line, numbers as they were written. @skip: a list of names, NULL at its end, left out at this level. */
static void put_json(struct buf *out, const struct doc_node *n, const char *const *skip)
{
	bool mapping = n->type == DOC_MAPPING, first = true;

	if (n->type == DOC_NULL) {
		buf_append_str(out, "null");
	} else if (n->type == DOC_BOOL) {
		buf_append_str(out, n->boolean ? "true" : "false");
	} else if (n->type == DOC_NUMBER) {
		buf_append(out, n->text, n->text_len);
	} else if (n->type == DOC_STRING) {
		buf_put_json_string(out, n->text, n->text_len);
	} else {
		buf_append_str(out, mapping ? "{" : "[");
		for (const struct doc_node *c = n->child; c; c = c->next) {
			bool left_out = mapping && is_overridden(c);

			for (size_t i = 0; mapping && skip && skip[i]; i++)
				left_out |= !strcmp(c->key->text, skip[i]);
			if (left_out)
				continue;
			buf_append_str(out, first ? "" : ",");
			first = false;
			if (mapping) {
				buf_put_json_string(out, c->key->text, c->key->text_len);
				buf_append_str(out, ":");
			}
			put_json(out, c, NULL);
		}
		buf_append_str(out, mapping ? "}" : "]");
	}
}

/* One event to be: its type, and what is added to its data. */
struct custom {
	const char *type; /* in the document */
	struct buf more;
};

static int custom_parse(const struct doc_node *root, struct reason *why, struct custom *ret)
{
	static const char *const known[] = {"event_type", "data", NULL};
	const struct doc_node *type = doc_get(root, "event_type"), *data = doc_get(root, "data");
	cleanup_buf struct buf rest = BUF_INIT;

	if (!root || root->type != DOC_MAPPING)
		return reason_set(why, -EBADMSG, "event", "an event is a JSON object such as {\"event_type\":\"note\",\"data\":{}}");
	if (!type || type->type != DOC_STRING || !id_valid(type->text, type->text_len))
		return reason_set(why, -EINVAL, "event", "event_type: a name of letters, digits, '.', '_' and '-' is needed");
	if (is_own_type(type->text))
		return reason_set(why, -EINVAL, "event", "event_type: %s is logged by milestonefs itself", type->text);
	if (data && data->type != DOC_MAPPING)
		return reason_set(why, -EINVAL, "event", "data: an object is needed");
	buf_append_str(&ret->more, "\"custom\":");
	if (data)
		put_json(&ret->more, data, NULL);
	else
		buf_append_str(&ret->more, "{}");
	put_json(&rest, root, known); /* nothing that was given is lost */
	if (rest.len > 2) {
		buf_append_str(&ret->more, ",\"given\":");
		buf_append(&ret->more, rest.data, rest.len);
	}
	ret->type = type->text;
	return rest.error ? rest.error : ret->more.error;
}

/* Check one line, and log it when told to. */
static int custom_line(struct fs *fs, const struct vnode *v, struct request *q, const char *line, size_t len, bool log)
{
	struct custom c = {0};
	struct doc *doc;
	int r = doc_parse_json(line, len, &q->reason, &doc);

	if (r)
		return r;
	r = custom_parse(doc_root(doc), &q->reason, &c);
	if (!r && log)
		r = engine_log_event(fs->engine, q, EVENT_CUSTOM, v->params[0], "", c.type, c.more.data);
	buf_release(&c.more);
	doc_free(doc);
	return r;
}

static int custom_lines(struct fs *fs, const struct vnode *v, struct request *q, const char *text, size_t len, bool log)
{
	uint32_t line = 1;
	int r = 0;

	for (const char *end = text + len, *next; text < end && !r; text = next, line++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t bytes = (size_t)((newline ? newline : end) - text);

		next = newline ? newline + 1 : end;
		if (strspn(text, " \t\r") < bytes)
			r = custom_line(fs, v, q, text, bytes, log);
		if (r)
			q->reason.line = line;
	}
	return r;
}

int events_session_write(struct fs *fs, const struct vnode *v, struct request *q, const char *text, size_t len)
{
	cleanup_free char *copy = NULL;
	int r;

	if (len > WRITE_BYTES_MAX)
		return reason_set(&q->reason, -EFBIG, "event", "at most %u bytes of events can be added by one write", WRITE_BYTES_MAX);
	copy = strndup(text, len); /* ends with a NUL, which bytes of a write don't */
	if (!copy)
		return -ENOMEM;
	if (strlen(copy) != len)
		return reason_set(&q->reason, -EBADMSG, "event", "there is a NUL byte in the text");
	r = custom_lines(fs, v, q, copy, len, false);
	return r ? r : custom_lines(fs, v, q, copy, len, true);
}
