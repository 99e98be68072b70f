/* SPDX-License-Identifier: MIT
 *
 * The rows of model_list.h, and whether one value is what its row allows. A value that isn't is told with the field, what was found and what is
 * allowed, so that who wrote it need not look anything up. Whole texts are model_check.c's.
 *
 * YAML tools disagree on words and numbers: `on` is text to some and true to others, 0300 is 300 or 192, 1e3 a number or text. What is
 * read alike by all is allowed, the rest is refused with a hint. Nothing here allocates; text of any size is shown cut.
 */
#include "model_schema.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FOUND_BYTES_MAX 40

/* Bounds of fields. */
#define SECONDS_MAX 1000000000     /* 31 years: in nanoseconds it fits 64 bits */
#define DAYS_MAX 100000            /* likewise */
#define COUNT_MAX 9007199254740991 /* 2^53 - 1: what every tool reads exactly */
#define WORD_BYTES_MAX 128         /* of a type, of an event type */
#define SENTENCE_BYTES_MAX 4096    /* of what a person says */
#define PID_MAX 4194304            /* Linux has no larger ones */

static const char *const session_statuses[] = {
#define X(name, text) text,
	SESSION_STATUS_LIST(X)
#undef X
		NULL,
};

static const char *const agent_statuses[] = {
#define X(name, text) text,
	AGENT_STATUS_LIST(X)
#undef X
		NULL,
};

#define TEXT(bytes) .type = MODEL_TEXT, .max = (bytes)
#define ID .type = MODEL_ID
#define ONE_OF(list) .type = MODEL_ONE_OF, .words = (list)
#define WHOLE(of, from, to) .type = MODEL_WHOLE, .unit = (of), .min = (from), .max = (to)
#define AT_LEAST(of, from, to) WHOLE(of, from, to), .at_least = true
#define NUMBER(of, from, to) .type = MODEL_NUMBER, .unit = (of), .min = (from), .max = (to)
#define FLAG .type = MODEL_FLAG
#define TIME .type = MODEL_TIME
#define MAPPING .type = MODEL_MAPPING, .or_null = true
#define TEXTS .type = MODEL_TEXTS, .or_null = true
#define IDS .type = MODEL_IDS, .or_null = true
#define OR_NULL(...) __VA_ARGS__, .or_null = true
#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number
#define ROW(name, of_type, value, who) {.path = name, of_type, .fallback = value, .owner = MODEL_OWNER_##who},
#define NO_ROW(...)

#define SESSION_FIELD ROW
#define AGENT_FIELD NO_ROW
static const struct model_field session_rows[] = {
#include "model_list.h"
};
#undef SESSION_FIELD
#undef AGENT_FIELD

#define SESSION_FIELD NO_ROW
#define AGENT_FIELD ROW
static const struct model_field agent_rows[] = {
#include "model_list.h"
};
#undef SESSION_FIELD
#undef AGENT_FIELD

const struct model_field *model_fields(enum model_kind kind, size_t *ret_count)
{
	assert(kind != MODEL_NONE);
	*ret_count = kind == MODEL_SESSION ? ARRAY_SIZE(session_rows) : ARRAY_SIZE(agent_rows);
	return kind == MODEL_SESSION ? session_rows : agent_rows;
}

const struct model_field *model_field(enum model_kind kind, const char *path)
{
	size_t count, i = 0;
	const struct model_field *rows = model_fields(kind, &count);

	while (i < count && strcmp(rows[i].path, path) != 0)
		i++;
	assert(i < count);
	return &rows[i];
}

bool model_is_complete(enum model_kind kind, const struct doc_node *root)
{
	size_t count, i = 0;
	const struct model_field *rows = model_fields(kind, &count);

	while (i < count && (rows[i].owner == MODEL_OWNER_OPTIONAL || doc_get_path(root, rows[i].path)))
		i++;
	return i == count;
}

size_t model_section_len(const struct model_field *f)
{
	const char *dot = strchr(f->path, '.');

	return dot ? (size_t)(dot - f->path) + 1 : 0;
}

const char *model_rule_name(enum model_kind kind)
{
	return kind == MODEL_SESSION ? "session" : "agent";
}

/* ---- values ---- */

static bool whole_read(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	return !parse_u64(text, ret) && *ret >= min && *ret <= max;
}

/* Digits with at most one point among them, no leading zeros, no exponent: the same number to every tool. */
static bool is_plain_number(const char *text)
{
	size_t whole = strspn(text, "0123456789"), fraction = 0;
	const char *p = text + whole;

	if (whole > 1 && *text == '0')
		return false;
	if (*p == '.') {
		fraction = strspn(++p, "0123456789");
		p += fraction;
	}
	return whole + fraction > 0 && !*p;
}

bool model_time_read(const struct doc_node *value, int64_t *ret_ns)
{
	char text[TIME_TEXT_BYTES];
	uint64_t seconds;

	if (value->type == DOC_NUMBER) {
		if (parse_u64(value->text, &seconds) || seconds > INT64_MAX / NS_PER_S)
			return false;
		*ret_ns = (int64_t)seconds * NS_PER_S;
		return true;
	}
	if (value->type != DOC_STRING || value->text_len + 2 > sizeof(text) || strlen(value->text) != value->text_len)
		return false;
	(void)snprintf(text, sizeof(text), "%sZ", value->text); /* fits */
	return !time_parse(value->text, ret_ns) || !time_parse(text, ret_ns);
}

uint64_t model_whole_of(const struct doc_node *value)
{
	uint64_t n = 0;

	(void)parse_u64(value->text, &n); /* it was checked */
	return n;
}

static bool is_id(const struct doc_node *value)
{
	return value->type == DOC_STRING && id_valid(value->text, value->text_len);
}

static bool is_word(const struct doc_node *value, const char *const *words)
{
	while (*words && strcmp(*words, value->text) != 0)
		words++;
	return *words && value->type == DOC_STRING && strlen(value->text) == value->text_len;
}

/* One value, or one item of a list. */
static bool scalar_fits(enum model_type type, const struct model_field *f, const struct doc_node *value)
{
	uint64_t n;
	int64_t time;

	switch (type) {
	case MODEL_TEXT:
		return value->type == DOC_STRING && value->text_len <= f->max && strlen(value->text) == value->text_len;
	case MODEL_ID:
		return is_id(value);
	case MODEL_ONE_OF:
		return is_word(value, f->words);
	case MODEL_WHOLE:
		return value->type == DOC_NUMBER && whole_read(value->text, f->min, f->max, &n);
	case MODEL_NUMBER:
		return value->type == DOC_NUMBER && is_plain_number(value->text) && value->number >= (double)f->min && value->number <= (double)f->max;
	case MODEL_FLAG:
		return value->type == DOC_BOOL;
	case MODEL_TIME:
		return model_time_read(value, &time);
	case MODEL_MAPPING:
		return value->type == DOC_MAPPING;
	case MODEL_TEXTS:
	case MODEL_IDS:
		break;
	}
	return value->type == DOC_SEQUENCE;
}

/* ---- sentences ---- */

/* Never cuts a character. */
static size_t cut_len(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

static void put_found(const struct doc_node *value, char out[FOUND_BYTES_MAX + 8])
{
	size_t len = cut_len(value->text, value->text_len, FOUND_BYTES_MAX);
	const char *quote = value->type == DOC_STRING ? "\"" : "";
	size_t items = 0;

	for (const struct doc_node *i = value->type == DOC_SEQUENCE ? value->child : NULL; i; i = i->next)
		items++;
	if (items > MODEL_LIST_MAX)
		(void)snprintf(out, FOUND_BYTES_MAX + 8, "a list of %zu", items);
	else if (value->type == DOC_MAPPING || value->type == DOC_SEQUENCE)
		(void)snprintf(out, FOUND_BYTES_MAX + 8, "%s", value->type == DOC_MAPPING ? "a mapping" : "a list");
	else if (value->type == DOC_NULL && !value->text_len)
		(void)snprintf(out, FOUND_BYTES_MAX + 8, "nothing");
	else /* fits */
		(void)snprintf(out, FOUND_BYTES_MAX + 8, "%s%.*s%s%s", quote, (int)len, value->text, len < value->text_len ? "…" : "", quote);
}

static void put_words(const char *const *words, char *out, size_t bytes)
{
	size_t at = (size_t)snprintf(out, bytes, "one of ");

	for (size_t i = 0; words[i] && at < bytes; i++)
		at += (size_t)snprintf(out + at, bytes - at, "%s%s", i ? ", " : "", words[i]);
}

static void put_allowed_whole(const struct model_field *f, const struct doc_node *value, char *out, size_t bytes)
{
	if (!f->at_least)
		(void)snprintf(out, bytes, "a whole number%s from %" PRIu64 " to %" PRIu64, f->unit, f->min, f->max);
	else if (value->type == DOC_NUMBER && value->number > (double)f->max)
		(void)snprintf(out, bytes, "a whole number%s of at least %" PRIu64 " and at most %" PRIu64, f->unit, f->min, f->max);
	else
		(void)snprintf(out, bytes, "a whole number%s of at least %" PRIu64, f->unit, f->min);
}

static void put_allowed(enum model_type type, const struct model_field *f, const struct doc_node *value, char *out, size_t bytes)
{
	switch (type) {
	case MODEL_TEXT:
		(void)snprintf(out, bytes, "text of at most %" PRIu64 " bytes", f->max);
		break;
	case MODEL_ID:
		(void)snprintf(out, bytes, "an id of letters, digits, '.', '_' and '-'");
		break;
	case MODEL_ONE_OF:
		put_words(f->words, out, bytes);
		break;
	case MODEL_WHOLE:
		put_allowed_whole(f, value, out, bytes);
		break;
	case MODEL_NUMBER:
		(void)snprintf(out, bytes, "a number%s from %" PRIu64 " to %" PRIu64, f->unit, f->min, f->max);
		break;
	case MODEL_FLAG:
		(void)snprintf(out, bytes, "true or false");
		break;
	case MODEL_TIME:
		(void)snprintf(out, bytes, "a time such as \"2026-11-22T10:00:00Z\"");
		break;
	case MODEL_MAPPING:
		(void)snprintf(out, bytes, "a mapping");
		break;
	case MODEL_TEXTS:
		(void)snprintf(out, bytes, "a list of at most %d texts", MODEL_LIST_MAX);
		break;
	case MODEL_IDS:
		(void)snprintf(out, bytes, "a list of at most %d ids", MODEL_LIST_MAX);
		break;
	}
}

/* What people are likely to have overlooked. */
static const char *hint(enum model_type type, const struct doc_node *value)
{
	static const char *const words[] = {"on", "off", "yes", "no", "y", "n"};

	if ((type == MODEL_WHOLE || type == MODEL_NUMBER) && value->quoted && is_plain_number(value->text))
		return " (the quotes make it text)";
	if (type == MODEL_FLAG && value->quoted && (!strcasecmp(value->text, "true") || !strcasecmp(value->text, "false")))
		return " (the quotes make it text)";
	if ((type == MODEL_WHOLE || type == MODEL_NUMBER) && value->type == DOC_NUMBER && !is_plain_number(value->text) && isfinite(value->number))
		return " (in plain digits)";
	for (size_t i = 0; type == MODEL_FLAG && i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(value->text, words[i]))
			return " (tools differ in what on, off, yes and no are)";
	if ((type == MODEL_TEXT || type == MODEL_ID) && (value->type == DOC_NUMBER || value->type == DOC_BOOL))
		return " (in quotes it would be text)";
	return "";
}

/* @item: its place in the list, from 1; 0 for the value itself. */
static int refuse(enum model_kind kind, const struct model_field *f, enum model_type type, const struct doc_node *value, unsigned item, struct reason *reason)
{
	char found[FOUND_BYTES_MAX + 8], allowed[160], which[32] = "";

	put_found(value, found);
	put_allowed(type, f, value, allowed, sizeof(allowed));
	if (item)
		(void)snprintf(which, sizeof(which), "item %u, ", item); /* fits */
	(void)reason_set(reason, -EBADMSG, model_rule_name(kind), "%s: %s%s%s is not %s%s%s", f->path, which, found, item ? "," : "", allowed,
		f->or_null && !item && type < MODEL_MAPPING ? ", or null" : "", hint(type, value));
	if (reason) {
		reason->line = value->line;
		reason->column = value->column;
	}
	return -EBADMSG;
}

static int check_items(enum model_kind kind, const struct model_field *f, const struct doc_node *list, struct reason *reason)
{
	const struct model_field item = {.path = f->path, .max = WORD_BYTES_MAX};
	enum model_type type = f->type == MODEL_IDS ? MODEL_ID : MODEL_TEXT;
	unsigned at = 0;

	for (const struct doc_node *i = list->child; i; i = i->next) {
		if (++at > MODEL_LIST_MAX)
			return refuse(kind, f, f->type, list, 0, reason);
		if (!scalar_fits(type, &item, i))
			return refuse(kind, &item, type, i, at, reason);
	}
	return 0;
}

int model_field_check(enum model_kind kind, const struct model_field *f, const struct doc_node *value, struct reason *reason)
{
	if (value->type == DOC_NULL && f->or_null)
		return 0;
	if (!scalar_fits(f->type, f, value))
		return refuse(kind, f, f->type, value, 0, reason);
	return value->type == DOC_SEQUENCE ? check_items(kind, f, value, reason) : 0;
}

const struct doc_node *model_field_get(enum model_kind kind, const struct doc_node *root, const char *path)
{
	const struct doc_node *value = doc_get_path(root, path);

	return value && !model_field_check(kind, model_field(kind, path), value, NULL) ? value : NULL;
}
