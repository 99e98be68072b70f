/* SPDX-License-Identifier: MIT
 *
 * Globs: a table of cases, a comparison with a naive recursive matcher on random
 * patterns and paths, and patterns that make backtracking matchers explode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "glob.h"
#include "util.h"

struct sample {
	const char *pattern, *path;
	bool matches;
};

static const struct sample samples[] = {
	{"*.log", "a.log", true},
	{"*.log", "x/y/a.log", true},
	{"*.log", "a.logs", false},
	{"*.log", ".log", true},
	{"*.log", "log", false},
	{"*.log", "a.log/b", false},
	{"a", "a", true},
	{"a", "x/a", true},
	{"a", "ab", false},
	{"a/b", "a/b", true},
	{"a/b", "x/a/b", false},
	{"/a", "a", true},
	{"/a", "x/a", false},
	{"a/*.yaml", "a/b.yaml", true},
	{"a/*.yaml", "a/b/c.yaml", false},
	{"*/b", "a/b", true},
	{"*/b", "b", false},
	{"*/b", "x/a/b", false},
	{"**/b", "b", true},
	{"**/b", "x/y/b", true},
	{"**/b", "xb", false},
	{"a/**", "a/x/y", true},
	{"a/**", "a", false},
	{"a/**", "a/", false},
	{"a/**/b", "a/b", true},
	{"a/**/b", "a/x/y/b", true},
	{"a/**/b", "a/xb", false},
	{"a/**/b", "ab", false},
	{"**/.git/**", ".git/config", true},
	{"**/.git/**", "x/.git/refs/heads", true},
	{"**/.git/**", ".git", false},
	{"**/.git/**", "x.git/config", false},
	{"**/node_modules/**", "a/node_modules/b/package.json", true},
	{"**", "a", true},
	{"**", "a/b/c", true},
	{"*", "a/b", true},
	{"**/**", "a", true},
	{"**/*", "a/b", true},
	{"**/**/b", "b", true},
	{"a**b", "axxb", true},
	{"a**b/c", "ax/b/c", false},
	{"x/**y", "x/ay", true},
	{"x/**y", "x/a/y", false},
	{"**/a/*/b", "a/a/x/b", true},
	{"**/a/**/b/*.c", "a/b/a/b/x.c", true},
	{"**/a/b/*.c", "a/b/a/b/x.c", true},
	{"*a*b*c", "xaxbxc", true},
	{"*a*b*c", "xbxaxc", false},
	{"?", "a", true},
	{"?", "\xc3\xa9", true},
	{"?", "", false},
	{"a?b", "a/b", false},
	{"a?c/d", "a/c/d", false},
	{"[abc]x", "bx", true},
	{"[abc]x", "dx", false},
	{"[a-c]", "b", true},
	{"[!a-c]", "b", false},
	{"[^a-c]", "d", true},
	{"[]a]", "]", true},
	{"[!]a]", "]", false},
	{"[a-]", "-", true},
	{"[\\]]", "]", true},
	{"x/[!a]b", "x//b", false},
	{"x[/]b", "x/b", false},
	{"[\xc3\xa0-\xc3\xaf]", "\xc3\xa9", true},
	{"[\xc3\xa0-\xc3\xaf]", "a", false},
	{"[ab", "[ab", true},
	{"\\*", "*", true},
	{"\\*", "a", false},
	{"a\\?", "a?", true},
	{"a\\?", "ab", false},
	{"*.JSON", "a.json", false},
	{"a.json", "a.json", true},
	{"", "", true},
	{"", "a", false},
	{"a/", "a/b", false},
	{"state/sessions/*/session.yaml", "state/sessions/s1/session.yaml", true},
	{"state/sessions/*/session.yaml", "state/sessions/s1/x/session.yaml", false},
	{"*.tar.gz", "a.tar.tar.gz", true},
	{"a*/b*/c", "ax/by/c", true},
	{"a*/b*/c", "ax/y/c", false},
	{"?*", "a", true},
	{"?*?", "a", false},
};

static void test_samples(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		if (glob_match(samples[i].pattern, samples[i].path) != samples[i].matches)
			fail_msg("'%s' on '%s': expected %d", samples[i].pattern, samples[i].path, samples[i].matches);
}

static void test_valid(void **state)
{
	static const char *const valid[] = {"*", "**", "a/b", "/a", "[ab]", "[!]]", "[]]", "\\*", "**/.git/**", "a\\\\", "[\\]]", "]", "{a,b}"};
	static const char *const invalid[] = {"", "/", "a/", "//a", "a//b", "[", "[a", "[]", "[!]", "[a/b]", "a\\", "a[b\\]", "a\\/b", "x/[a"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(valid); i++)
		if (!glob_valid(valid[i]))
			fail_msg("'%s' should be valid", valid[i]);
	for (size_t i = 0; i < ARRAY_SIZE(invalid); i++)
		if (glob_valid(invalid[i]))
			fail_msg("'%s' should be invalid", invalid[i]);
}

/* The definition, literally, for patterns of letters, '?', '*', '**' and '/'. */
static bool naive(const char *pattern, const char *path, bool at_start)
{
	if (at_start && !strcmp(pattern, "**"))
		return *path;
	if (at_start && !strncmp(pattern, "**/", 3)) {
		for (;;) {
			if (naive(pattern + 3, path, true))
				return true;
			path = strchr(path, '/');
			if (!path)
				return false;
			path++;
		}
	}
	if (*pattern == '*')
		return naive(pattern + 1, path, false) || (*path && *path != '/' && naive(pattern, path + 1, false));
	if (!*pattern || !*path)
		return *pattern == *path;
	if (*pattern == '?' ? *path == '/' : *pattern != *path)
		return false;
	return naive(pattern + 1, path + 1, *pattern == '/');
}

static uint32_t draw(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

static void draw_text(uint64_t *seed, const char *const *pieces, uint32_t piece_count, char *out)
{
	uint32_t count = 1 + draw(seed) % 8;

	for (*out = '\0'; count; count--)
		strcat(out, pieces[draw(seed) % piece_count]);
}

static void test_against_naive(void **state)
{
	static const char *const parts[] = {"a", "b", "/", "*", "?", "**", "/**/", "*/", "ab"}, *const letters[] = {"a", "b", "/", "ab", "a/"};
	uint64_t seed = (uint64_t)time(NULL);
	uint32_t matched = 0;

	(void)state;
	printf("seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < 300000; i++) {
		char pattern[64], path[64];
		const char *base;
		bool expected;

		draw_text(&seed, parts, ARRAY_SIZE(parts), pattern);
		draw_text(&seed, letters, ARRAY_SIZE(letters), path);
		base = strrchr(path, '/');
		expected = strchr(pattern, '/') ? naive(pattern + (*pattern == '/'), path, true) : naive(pattern, base ? base + 1 : path, true);
		matched += expected;
		if (glob_match(pattern, path) != expected)
			fail_msg("'%s' on '%s': expected %d", pattern, path, expected);
	}
	assert_true(matched > 3000);
}

static void test_no_explosion(void **state)
{
	char pattern[600] = "", path[4096], *p = pattern;
	struct timespec start, end;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &start);
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	for (int i = 0; i < 100; i++)
		p = stpcpy(p, "a*");
	strcpy(p, "b[c]");
	assert_false(glob_match(pattern, path));
	for (size_t i = 1; i < sizeof(path) - 1; i += 2)
		path[i] = '/';
	for (p = pattern; p < pattern + 500;)
		p = stpcpy(p, "**/a/*/");
	strcpy(p, "[b]");
	assert_false(glob_match(pattern, path));
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec < 100); /* exponential would outlast the sun */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_against_naive),
		cmocka_unit_test(test_no_explosion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
