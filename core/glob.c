/* SPDX-License-Identifier: MIT
 *
 * Iterative glob matching with two bookmarks: one for the last `*` within the
 * current component, one for the last `**` component. After a mismatch the star eats one
 * more character, else the double star one more component. Going back to the last of a kind
 * is enough: what follows an earlier one was already matched as far left as
 * possible, so letting it eat more can't help. Hence no exponential blow-up.
 *
 * A pattern that glob_valid() refuses matches something or nothing, but never reads
 * beyond its end: an unclosed '[' stands for itself.
 */
#include "glob.h"

#include <stdint.h>
#include <string.h>

/* One character; a byte that begins no UTF-8 sequence counts as one. */
static const char *next_char(const char *p, uint32_t *ret_code)
{
	const unsigned char *u = (const unsigned char *)p;
	unsigned more = *u >= 0xf0 ? 3 : *u >= 0xe0 ? 2 : *u >= 0xc0 ? 1 : 0;
	uint32_t code = more ? *u & (0x3fu >> more) : *u;

	for (unsigned i = 1; i <= more; i++) {
		if ((u[i] & 0xc0) != 0x80) {
			*ret_code = *u;
			return p + 1;
		}
		code = code << 6 | (u[i] & 0x3f);
	}
	*ret_code = code;
	return p + 1 + more;
}

/* The ']' that closes the set at @open ('['), or NULL. A ']' right at the start is a member. */
static const char *set_end(const char *open)
{
	const char *p = open + 1;

	p += *p == '!' || *p == '^';
	for (bool first = true; *p && *p != '/'; p++, first = false) {
		if (*p == ']' && !first)
			return p;
		if (*p == '\\' && !*++p)
			return NULL;
	}
	return NULL;
}

static const char *set_char(const char *p, uint32_t *ret_code)
{
	return next_char(p + (*p == '\\'), ret_code);
}

static bool set_has(const char *open, const char *end, uint32_t code)
{
	const char *p = open + 1;
	bool negated = *p == '!' || *p == '^', found = false;

	for (p += negated; p < end;) {
		uint32_t low, high;

		p = set_char(p, &low);
		high = low;
		if (*p == '-' && p + 1 < end)
			p = set_char(p + 1, &high);
		found = found || (low <= code && code <= high);
	}
	return found != negated;
}

/* Match one pattern element (no star) against one character. Both advance only on success. */
static bool match_one(const char **pattern, const char **path)
{
	const char *p = *pattern, *after, *end;
	uint32_t code, literal;

	if (!**path)
		return false;
	after = next_char(*path, &code);
	if (*p == '?') {
		if (code == '/')
			return false;
		p++;
	} else if (*p == '[' && (end = set_end(p))) {
		if (code == '/' || !set_has(p, end, code))
			return false;
		p = end + 1;
	} else {
		p += *p == '\\' && p[1];
		if (!*p)
			return false;
		p = next_char(p, &literal);
		if (literal != code)
			return false;
	}
	*pattern = p;
	*path = after;
	return true;
}

/* Is the component at @p, the start of one, exactly `**`? */
static bool is_double_star(const char *p)
{
	return p[0] == '*' && p[1] == '*' && (!p[2] || p[2] == '/');
}

static const char *component_after(const char *path)
{
	const char *slash = strchr(path, '/');

	return slash ? slash + 1 : NULL;
}

static bool match_path(const char *pattern, const char *path)
{
	const char *star = NULL, *star_path = NULL;   /* pattern after the last `*`, path where it is tried */
	const char *stars = NULL, *stars_path = NULL; /* the same for the last double star and component */
	bool at_start = true;                         /* of a pattern component */

	for (;;) {
		if (at_start && is_double_star(pattern)) {
			if (!pattern[2])
				return *path != '\0';
			stars = pattern += 3;
			stars_path = path;
			star = NULL;
			continue;
		}
		if (*pattern == '*') {
			star = ++pattern;
			star_path = path;
			at_start = false;
			continue;
		}
		if (!*pattern && !*path)
			return true;
		if (match_one(&pattern, &path)) {
			at_start = pattern[-1] == '/';
			if (at_start)
				star = NULL;
		} else if (star && *star_path && *star_path != '/') {
			uint32_t eaten;

			path = star_path = next_char(star_path, &eaten);
			pattern = star;
		} else if (stars && (stars_path = component_after(stars_path))) {
			path = stars_path;
			pattern = stars;
			star = NULL;
			at_start = true;
		} else {
			return false;
		}
	}
}

/* Compare what is literal at the end of the pattern's last component; false: no match possible. */
static bool tail_fits(const char *pattern, size_t pattern_len, const char *path, size_t path_len)
{
	while (pattern_len && !strchr("*?[]\\/", pattern[pattern_len - 1])) {
		if (!path_len || pattern[--pattern_len] != path[--path_len])
			return false;
	}
	return true;
}

bool glob_match(const char *pattern, const char *path)
{
	const char *base;

	if (!strchr(pattern, '/')) {
		base = strrchr(path, '/');
		path = base ? base + 1 : path;
	} else if (*pattern == '/') {
		pattern++;
	}
	return tail_fits(pattern, strlen(pattern), path, strlen(path)) && match_path(pattern, path);
}

bool glob_valid(const char *pattern)
{
	const char *p = pattern + (*pattern == '/');
	bool at_start = true;

	for (; *p; p++) {
		if (*p == '/') {
			if (at_start)
				return false;
			at_start = true;
			continue;
		}
		at_start = false;
		if (*p == '[' && !(p = set_end(p)))
			return false;
		if (*p == '\\' && (!*++p || *p == '/'))
			return false;
	}
	return !at_start;
}
