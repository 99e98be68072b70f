/* SPDX-License-Identifier: MIT
 *
 * What a commit of a draft would publish, shown to the rules: as the text they are to see (the whole file, or the lines that are appended), and what
 * their answer means for the plan: refused, accepted although malformed, or of a stream only the lines that are whole and valid.
 */
#include <errno.h>
#include <string.h>

#include "draft_internal.h"

enum rule_kind draft_strictest_rule(const struct rule_options *ro, char *const *paths, size_t count)
{
	enum rule_kind kind = RULE_KIND_NONE;

	for (size_t i = 0; i < count; i++)
		kind = MAX(kind, rule_kind_of(ro, paths[i]));
	return kind;
}

/* ---- text for the rules ---- */

static int text_reserve(struct draft_plan *p, uint64_t len)
{
	p->text = malloc((size_t)len + 1);
	if (!p->text)
		return -ENOMEM;
	p->text_len = (size_t)len;
	p->text[len] = '\0';
	return 0;
}

int draft_text_whole(struct draft *d, struct draft_plan *p)
{
	uint64_t below = d->kind == DRAFT_APPEND && p->base ? p->base->size : 0;
	int r = text_reserve(p, below + (d->kind == DRAFT_APPEND ? p->append_len : p->size));
	ssize_t n;

	if (r)
		return r;
	if (d->kind != DRAFT_APPEND)
		return draft_view_read(d, p->under, 0, p->text, p->text_len);
	if (below) {
		n = engine_read(d->e, p->base, &d->base_extents, 0, p->text, (size_t)below);
		if (n != (ssize_t)below)
			return n < 0 ? (int)n : -EIO;
		p->base_matters = true;
	}
	return draft_view_read(d, NULL, 0, p->text + below, (size_t)p->append_len);
}

/* Bytes after the last newline of @base, looked for from its end. Stops looking when there are more than @max: *@ret_len is then more, too. */
static int unfinished_line(struct draft *d, const struct version *base, size_t max, size_t *ret_len)
{
	char piece[4096];
	uint64_t end = base->size;

	while (end && base->size - end <= max) {
		size_t want = (size_t)MIN(end, (uint64_t)sizeof(piece));
		ssize_t n = engine_read(d->e, base, &d->base_extents, end - want, piece, want);

		if (n != (ssize_t)want)
			return n < 0 ? (int)n : -EIO;
		while (want && piece[want - 1] != '\n') {
			want--;
			end--;
		}
		if (want)
			break;
	}
	*ret_len = (size_t)(base->size - end);
	return 0;
}

/* Bytes up to and with the first newline; all when there is none. */
static size_t first_line(const char *text, size_t len)
{
	const char *newline = memchr(text, '\n', len);

	return newline ? (size_t)(newline - text) + 1 : len;
}

/* Of the text of appended lines. */
struct lines {
	size_t before; /* bytes of the base, an unfinished line */
	size_t unseen; /* bytes at the start that no rule sees */
};

/*
 * Appended lines, with the unfinished last line of the base before them. When that line is longer than rules look at, it is not read,
 * and what is appended to it is not seen by them.
 */
static int text_lines(struct draft *d, const struct rule_options *ro, struct draft_plan *p, struct lines *ret)
{
	uint64_t size = p->base ? p->base->size : 0;
	size_t before = 0, max = ro->bytes_max ? ro->bytes_max : SIZE_MAX;
	int r = size ? unfinished_line(d, p->base, max, &before) : 0;
	bool too_long = before > max;

	p->base_matters = p->base_matters || before;
	if (too_long)
		before = 0;
	if (!r)
		r = text_reserve(p, before + p->append_len);
	if (!r && before) {
		ssize_t n = engine_read(d->e, p->base, &d->base_extents, size - before, p->text, before);

		r = n == (ssize_t)before ? 0 : -EIO;
	}
	if (!r)
		r = draft_view_read(d, NULL, 0, p->text + before, (size_t)p->append_len);
	ret->before = before;
	ret->unseen = !r && too_long ? first_line(p->text, p->text_len) : 0;
	return r;
}

/* ---- rules ---- */

static const char *line_start(const char *text, size_t len, uint32_t line)
{
	const char *at = text;

	while (--line && at) {
		at = memchr(at, '\n', len - (size_t)(at - text));
		at = at ? at + 1 : NULL;
	}
	return at;
}

/* A stream of lines publishes up to the first line that is not whole and valid; the rest stays a draft. */
static void plan_cut(struct draft_plan *p, size_t before, uint32_t bad_line)
{
	const char *end = bad_line ? line_start(p->text, p->text_len, bad_line) : NULL;
	size_t keep = end ? (size_t)(end - p->text) : 0;

	p->text_len = keep;
	p->append_len = keep > before ? keep - before : 0;
	p->reason = (struct reason){0};
}

static int plan_check(struct draft *d, const struct rule_options *ro, char *const *paths, size_t count, const struct lines *l, int flags, struct draft_plan *p)
{
	int r = 0;

	for (size_t i = 0; i < count && !r; i++) {
		struct rule_input in = {.path = paths[i], .text = p->text + l->unseen, .len = p->text_len - l->unseen, .lines_before = l->unseen != 0};

		r = rule_check(ro, &in, &p->reason);
		if (r == -EBADMSG && flags & DRAFT_STREAM) {
			if (p->rule != RULE_KIND_LINES || d->kind != DRAFT_APPEND)
				return -EAGAIN;
			plan_cut(p, l->before, p->reason.line);
			r = 0;
		}
		if (r == -EBADMSG && !rule_must_refuse(ro, paths[i], engine_had_valid(d->e, paths[i], p->before))) {
			p->malformed = true;
			r = 0;
		}
	}
	if (r == -EBADMSG) {
		p->refuse = true;
		return 0;
	}
	return r;
}

/* Does a rule want to see text, and is it small enough to be shown? Fills reason and refuse when it is too large for a schema. */
static bool plan_wants_text(const struct rule_options *ro, struct draft *d, struct draft_plan *p)
{
	uint64_t total = d->kind == DRAFT_APPEND ? p->append_len : p->size;

	if (p->rule == RULE_KIND_NONE)
		return false;
	if (d->kind == DRAFT_APPEND && p->rule != RULE_KIND_LINES && p->base)
		total += p->base->size;
	if (!ro->bytes_max || total <= ro->bytes_max)
		return true;
	if (p->rule == RULE_KIND_SCHEMA) {
		(void)reason_set(&p->reason, 0, "size", "%llu bytes are more than rules.rule_bytes_max allows (%zu)", (unsigned long long)total, ro->bytes_max);
		p->refuse = true;
	}
	return false;
}

int draft_plan_rules(struct draft *d, const struct rule_options *ro, char *const *paths, size_t count, int flags, struct draft_plan *p)
{
	struct lines l = {0};
	int r;

	if (!plan_wants_text(ro, d, p))
		return 0;
	if (d->kind == DRAFT_APPEND && p->rule == RULE_KIND_LINES) {
		if (flags & DRAFT_STREAM) { /* only whole lines can be looked at */
			r = text_lines(d, ro, p, &l);
			if (r)
				return r;
			while (p->text_len > l.before && p->text[p->text_len - 1] != '\n')
				p->text_len--;
			p->append_len = p->text_len - l.before;
			return p->append_len ? plan_check(d, ro, paths, count, &l, flags, p) : 0;
		}
		r = text_lines(d, ro, p, &l);
	} else {
		r = draft_text_whole(d, p);
		p->base_matters = p->base_matters || d->kind == DRAFT_PATCH || d->kind == DRAFT_SHARED;
	}
	return r ? r : plan_check(d, ro, paths, count, &l, flags, p);
}
