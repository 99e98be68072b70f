/* SPDX-License-Identifier: MIT
 *
 * Settings: the table of config.h as a struct, read from and written as YAML. What a setting does is for whoever reads it.
 *
 * A configuration is built aside and handed over whole, so a refused file leaves the settings in force untouched. Each refusal names
 * the setting, its place in the text and what would be allowed.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "glob.h"

#define NAME_BYTES_MAX 128
#define GLOBS_MAX 256
#define GLOB_BYTES_MAX 512

enum setting_kind { SETTING_NUMBER, SETTING_FLAG, SETTING_GLOBS, SETTING_SYNC };

struct setting {
	enum setting_kind kind;
	const char *name;
	size_t offset;  /* of the field in struct config */
	uint64_t value; /* default */
	uint64_t min, max;
	const char *globs; /* default */
	const char *comment;
};

static const struct setting settings[] = {
#define NUMBER(field, name, def, min, max, comment) {SETTING_NUMBER, name, offsetof(struct config, field), def, min, max, NULL, comment},
#define FLAG(field, name, def, comment) {SETTING_FLAG, name, offsetof(struct config, field), def, 0, 1, NULL, comment},
#define GLOBS(field, name, def, comment) {SETTING_GLOBS, name, offsetof(struct config, field), 0, 0, 0, def, comment},
#define SYNC(field, name, max, comment) {SETTING_SYNC, name, offsetof(struct config, field), 0, 0, max, NULL, comment},
	CONFIG_LIST(NUMBER, FLAG, GLOBS, SYNC)
#undef NUMBER
#undef FLAG
#undef GLOBS
#undef SYNC
};

static void *field_of(struct config *c, const struct setting *s)
{
	return (char *)c + s->offset;
}

/* ---- globs ---- */

static void globs_release(struct globs *g)
{
	for (size_t i = 0; i < g->count; i++)
		free(g->items[i]);
	free(g->items);
	*g = (struct globs){0};
}

static int globs_add(struct globs *g, const char *text, size_t len)
{
	char **items;

	if (len > GLOB_BYTES_MAX || g->count == GLOBS_MAX)
		return -EINVAL;
	items = realloc(g->items, (g->count + 2) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	g->items = items;
	items[g->count] = strndup(text, len);
	if (!items[g->count])
		return -ENOMEM;
	items[g->count + 1] = NULL;
	return glob_valid(items[g->count++]) ? 0 : -EINVAL;
}

static int globs_add_words(struct globs *g, const char *text)
{
	static const char blanks[] = " \t\n";
	int r = 0;

	for (text += strspn(text, blanks); *text && !r; text += strspn(text, blanks)) {
		size_t len = strcspn(text, blanks);

		r = globs_add(g, text, len);
		text += len;
	}
	return r;
}

/* An empty list is a list too. */
static int globs_finish(struct globs *g)
{
	if (!g->items)
		g->items = calloc(1, sizeof(*g->items));
	return g->items ? 0 : -ENOMEM;
}

bool globs_match(const struct globs *g, const char *path)
{
	for (size_t i = 0; i < g->count; i++)
		if (glob_match(g->items[i], path))
			return true;
	return false;
}

/* ---- all of them ---- */

void config_release(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (settings[i].kind == SETTING_GLOBS)
			globs_release(field_of(c, &settings[i]));
}

static int set_default(struct config *c, const struct setting *s)
{
	struct globs *g = field_of(c, s);
	int r;

	switch (s->kind) {
	case SETTING_FLAG:
		*(bool *)field_of(c, s) = s->value != 0;
		return 0;
	case SETTING_GLOBS:
		r = globs_add_words(g, s->globs);
		return r ? r : globs_finish(g);
	default:
		*(uint64_t *)field_of(c, s) = s->value;
		return 0;
	}
}

int config_init(struct config *c)
{
	int r = 0;

	memset(c, 0, sizeof(*c));
	for (size_t i = 0; !r && i < ARRAY_SIZE(settings); i++)
		r = set_default(c, &settings[i]);
	if (r)
		config_release(c);
	return r;
}

int config_parse_sync(const char *text, uint64_t *ret_interval_ms)
{
	static const char prefix[] = "interval:";
	uint64_t ms;

	if (!strcmp(text, "commit")) {
		*ret_interval_ms = 0;
		return 0;
	}
	if (strncmp(text, prefix, sizeof(prefix) - 1) || parse_u64(text + sizeof(prefix) - 1, &ms) || !ms)
		return -EINVAL;
	*ret_interval_ms = ms;
	return 0;
}

/* ---- reading ---- */

struct parse {
	struct config *config;
	struct reason *reason;
};

static int refuse(const struct parse *p, const struct doc_node *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int refuse(const struct parse *p, const struct doc_node *at, const char *fmt, ...)
{
	char text[sizeof(p->reason->text)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* a longer sentence is cut */
	va_end(ap);
	reason_set(p->reason, -EBADMSG, "config", "%s", text);
	if (p->reason && at) {
		p->reason->line = at->line;
		p->reason->column = at->column;
	}
	return -EBADMSG;
}

static const char *shown(const struct doc_node *node)
{
	switch (node->type) {
	case DOC_SEQUENCE:
		return "a list";
	case DOC_MAPPING:
		return "a mapping";
	case DOC_NULL:
		return "nothing";
	default:
		return node->text;
	}
}

static int read_number(const struct parse *p, const struct setting *s, const struct doc_node *value)
{
	uint64_t n;

	if (value->type != DOC_NUMBER || parse_u64(value->text, &n) || n < s->min || n > s->max)
		return refuse(p, value, "%s: %.80s: a whole number from %" PRIu64 " to %" PRIu64 " is allowed", s->name, shown(value), s->min, s->max);
	*(uint64_t *)field_of(p->config, s) = n;
	return 0;
}

static int read_flag(const struct parse *p, const struct setting *s, const struct doc_node *value)
{
	if (value->type != DOC_BOOL)
		return refuse(p, value, "%s: %.80s: true or false is allowed", s->name, shown(value));
	*(bool *)field_of(p->config, s) = value->boolean;
	return 0;
}

static int read_sync(const struct parse *p, const struct setting *s, const struct doc_node *value)
{
	uint64_t ms;

	if (value->type != DOC_STRING || config_parse_sync(value->text, &ms) || ms > s->max)
		return refuse(p, value, "%s: %.80s: commit, or interval:MS with 1 to %" PRIu64 " milliseconds, is allowed", s->name, shown(value), s->max);
	*(uint64_t *)field_of(p->config, s) = ms;
	return 0;
}

static int read_globs(const struct parse *p, const struct setting *s, const struct doc_node *value)
{
	struct globs fresh = {0}, *g = field_of(p->config, s);
	const struct doc_node *at = value;
	int r = 0;

	if (value->type == DOC_STRING)
		r = globs_add_words(&fresh, value->text);
	else if (value->type == DOC_SEQUENCE)
		for (const struct doc_node *i = value->child; i && !r; i = i->next) {
			at = i;
			r = i->type == DOC_STRING ? globs_add(&fresh, i->text, i->text_len) : -EINVAL;
		}
	else if (value->type != DOC_NULL)
		r = -EINVAL;
	if (!r)
		r = globs_finish(&fresh);
	if (r) {
		globs_release(&fresh);
		return r == -EINVAL ? refuse(p, at, "%s: %.80s: a list of at most %d glob patterns is allowed, such as [\"*.log\", \"logs/**\"]", s->name,
					      shown(at), GLOBS_MAX)
				    : r;
	}
	globs_release(g);
	*g = fresh;
	return 0;
}

static int read_setting(const struct parse *p, const struct setting *s, const struct doc_node *value)
{
	switch (s->kind) {
	case SETTING_NUMBER:
		return read_number(p, s, value);
	case SETTING_FLAG:
		return read_flag(p, s, value);
	case SETTING_GLOBS:
		return read_globs(p, s, value);
	case SETTING_SYNC:
		return read_sync(p, s, value);
	}
	return -EINVAL;
}

static const struct setting *find_setting(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (!strcmp(settings[i].name, name))
			return &settings[i];
	return NULL;
}

static bool is_group(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (!strncmp(settings[i].name, name, len) && settings[i].name[len] == '.')
			return true;
	return false;
}

static int refuse_unknown(const struct parse *p, const char *name, const struct doc_node *at)
{
	struct buf known = BUF_INIT;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		buf_printf(&known, "%s%s", i ? ", " : "", settings[i].name);
	r = known.error ? known.error : refuse(p, at, "%.80s: no such setting; there are %s", name, known.data);
	buf_release(&known);
	return r;
}

/* Members of the mapping whose name is @prefix ("" for the file's). No deeper than the names of the table. */
static int read_mapping(const struct parse *p, const char *prefix, const struct doc_node *mapping)
{
	int r = 0;

	for (const struct doc_node *value = mapping->child; value && !r; value = value->next) {
		char name[NAME_BYTES_MAX];
		const struct setting *s;

		if (snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", value->key->text ? value->key->text : "?") >= (int)sizeof(name))
			return refuse_unknown(p, name, value->key);
		s = find_setting(name);
		if (s)
			r = read_setting(p, s, value);
		else if (!is_group(name))
			r = refuse_unknown(p, name, value->key);
		else if (value->type == DOC_MAPPING)
			r = read_mapping(p, name, value);
		else if (value->type != DOC_NULL)
			r = refuse(p, value, "%s: %.80s: a mapping of settings is allowed", name, shown(value));
	}
	return r;
}

int config_parse(const char *text, size_t len, struct reason *reason, struct config *ret)
{
	struct config fresh;
	struct parse p = {&fresh, reason};
	const struct doc_node *root;
	struct doc *doc;
	int r = doc_parse_yaml(text, len, reason, &doc);

	if (r)
		return r;
	r = config_init(&fresh);
	if (r) {
		doc_free(doc);
		return r;
	}
	root = doc_root(doc);
	if (root && root->type == DOC_MAPPING)
		r = read_mapping(&p, "", root);
	else if (root && root->type != DOC_NULL)
		r = refuse(&p, root, "the settings are a mapping, such as `autocommit_ms: 1000`");
	if (!r && doc_next_line(doc))
		r = refuse(&p, &(struct doc_node){.line = doc_next_line(doc), .column = 1}, "a second document begins here (---): the file holds one");
	doc_free(doc);
	if (r)
		config_release(&fresh);
	else
		*ret = fresh;
	return r;
}

/* ---- writing ---- */

static void render_value(const struct config *c, const struct setting *s, struct buf *out)
{
	const void *field = (const char *)c + s->offset;
	const struct globs *g = field;
	uint64_t number = s->kind == SETTING_NUMBER || s->kind == SETTING_SYNC ? *(const uint64_t *)field : 0;

	switch (s->kind) {
	case SETTING_NUMBER:
		buf_printf(out, "%" PRIu64, number);
		break;
	case SETTING_FLAG:
		buf_append_str(out, *(const bool *)field ? "true" : "false");
		break;
	case SETTING_GLOBS:
		buf_append_str(out, "[");
		for (size_t i = 0; i < g->count; i++) {
			buf_append_str(out, i ? ", " : "");
			buf_put_yaml_string(out, g->items[i], strlen(g->items[i]));
		}
		buf_append_str(out, "]");
		break;
	case SETTING_SYNC:
		if (number)
			buf_printf(out, "interval:%" PRIu64, number);
		else
			buf_append_str(out, "commit");
		break;
	}
}

static void render_comment(const struct setting *s, const char *indent, struct buf *out)
{
	buf_printf(out, "%s# %s", indent, s->comment);
	if (s->kind == SETTING_NUMBER)
		buf_printf(out, " (%" PRIu64 " to %" PRIu64 ")", s->min, s->max);
	buf_append_str(out, "\n");
}

void config_render(const struct config *c, struct buf *out)
{
	const char *group = "";
	size_t group_len = 0;

	buf_append_str(out, "# Settings of this mount: checked when saved, in force at once.\n"
			    "# One that is not mentioned has its default.\n");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const struct setting *s = &settings[i];
		const char *dot = strrchr(s->name, '.');
		size_t len = dot ? (size_t)(dot - s->name) : 0;

		if (len != group_len || strncmp(group, s->name, len)) {
			group = s->name;
			group_len = len;
			if (len)
				buf_printf(out, "%.*s:\n", (int)len, group);
		}
		render_comment(s, len ? "  " : "", out);
		buf_printf(out, "%s%s: ", len ? "  " : "", dot ? dot + 1 : s->name);
		render_value(c, s, out);
		buf_append_str(out, "\n");
	}
}

void config_rule_options(const struct config *c, struct rule_options *ret)
{
	*ret = (struct rule_options){
		.bytes_max = (size_t)c->rule_bytes_max,
		.exclude = c->rules_exclude.items,
		.exclude_count = c->rules_exclude.count,
		.strict = c->strict,
	};
}
