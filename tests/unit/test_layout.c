/* SPDX-License-Identifier: MIT
 *
 * The places of the tree: each row of LAYOUT_LIST is walked, its `*` filled in, and asked what it says; then what its
 * flags mean for creating, removing and renaming.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "layout.h"

struct row {
	const char *pattern;
	uint32_t flags;
};

static const struct row rows[] = {
#define PLACE(pattern, flags) {pattern, flags},
	LAYOUT_LIST(PLACE)
#undef PLACE
};

/* The pattern with each `*` as @name. */
static const char *filled(const char *pattern, const char *name, char out[512])
{
	size_t at = 0;

	for (; *pattern; pattern++)
		at += (size_t)snprintf(out + at, 512 - at, *pattern == '*' ? "%s" : "%.1s", *pattern == '*' ? name : pattern);
	return out;
}

/* Flags of the row that stands for any entry beside this one, if there is one. */
static uint32_t beside(const char *pattern)
{
	const char *slash = strrchr(pattern, '/');
	size_t len = slash ? (size_t)(slash - pattern) + 1 : 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strlen(rows[i].pattern) == len + 1 && !strncmp(rows[i].pattern, pattern, len) && rows[i].pattern[len] == '*')
			return rows[i].flags;
	return 0;
}

static void test_each_row_is_found(void **state)
{
	char path[512], more[600];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(layout_flags_of(filled(rows[i].pattern, "a.B-9_", path)), rows[i].flags);
		snprintf(more, sizeof(more), "%sx", path);
		if (rows[i].pattern[strlen(rows[i].pattern) - 1] != '*')
			assert_int_equal(layout_flags_of(more), beside(rows[i].pattern));
		snprintf(more, sizeof(more), "x/%s", path);
		assert_int_equal(layout_flags_of(more), 0);
		snprintf(more, sizeof(more), "%.*s", (int)strlen(path) - 1, path);
		if (rows[i].pattern[strlen(rows[i].pattern) - 1] != '*')
			assert_int_equal(layout_flags_of(more), beside(rows[i].pattern));
	}
}

static void test_parents_come_first(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *slash = strrchr(rows[i].pattern, '/');
		bool found = !slash;

		for (size_t k = 0; slash && k < i && !found; k++)
			found = strlen(rows[k].pattern) == (size_t)(slash - rows[i].pattern) &&
				!strncmp(rows[k].pattern, rows[i].pattern, (size_t)(slash - rows[i].pattern));
		if (!found)
			fail_msg("%s: its directory is not a row before it", rows[i].pattern);
		assert_false(rows[i].flags & LAYOUT_FIXED && strchr(rows[i].pattern, '*'));
	}
}

static void test_free_places(void **state)
{
	static const char *const free_paths[] = {"", "x", "notes/a.yaml", "state/sessions/s1/state/a", "state/sessions/s1/state/agents/a.yaml",
		"state/sessions/s1/agents/a/b", "status/config.yaml/x", "state//sessions", "a/b/c/d/e/f/g/h", "state/sessions/",
		"state/sessions/s1/session.yaml~", "cache/state_cache/s1"};
	struct reason why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(free_paths); i++) {
		if (strcmp(free_paths[i], "state/sessions/"))
			assert_int_equal(layout_flags_of(free_paths[i]), 0);
		if (!*free_paths[i] || strstr(free_paths[i], "//") || !strncmp(free_paths[i], "state/sessions/", 16))
			continue;
		assert_int_equal(layout_check_remove(free_paths[i], &why), 0);
		assert_int_equal(layout_check_rename(free_paths[i], &why), 0);
	}
	assert_int_equal(layout_check_create("notes", S_IFDIR, &why), 0);
	assert_int_equal(layout_check_create("state/sessions/s1/state/\xff", S_IFIFO, NULL), 0);
	assert_int_equal(layout_check_create("state/.locks/build", S_IFREG, NULL), 0);
}

static int refused(int error, const char *path, const struct reason *why)
{
	if (error) {
		assert_non_null(strstr(why->text, path));
		assert_string_equal(why->rule, "layout");
	}
	return error;
}

/* What each flag of a row forbids. */
static void test_flags_mean_what_they_say(void **state)
{
	char path[512], child[600];
	struct reason why = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t f = rows[i].flags;

		filled(rows[i].pattern, "s1", path);
		snprintf(child, sizeof(child), "%s/entry", path);
		assert_int_equal(refused(layout_check_remove(path, &why), path, &why), f & (LAYOUT_FIXED | LAYOUT_SKELETON) ? -EPERM : 0);
		assert_int_equal(refused(layout_check_rename(path, &why), path, &why),
			f & (LAYOUT_FIXED | LAYOUT_SKELETON | LAYOUT_SESSION | LAYOUT_NAMED) ? -EPERM : 0);
		if (f & (LAYOUT_SESSION | LAYOUT_NAMED | LAYOUT_SKELETON))
			assert_int_equal(refused(layout_check_rename_to(path, S_IFDIR, false, &why), path, &why), -EPERM);
		if (f & LAYOUT_SKELETON)
			assert_int_equal(refused(layout_check_create(path, S_IFREG, &why), path, &why), -EPERM);
		if (f & LAYOUT_SEALED) {
			assert_int_equal(refused(layout_check_create(child, S_IFREG, &why), child, &why), -EROFS);
			assert_int_equal(refused(layout_check_create(child, S_IFDIR, &why), child, &why), -EROFS);
			assert_int_equal(refused(layout_check_remove(child, &why), child, &why), -EROFS);
			assert_int_equal(refused(layout_check_rename(child, &why), child, &why), -EROFS);
		}
		if (f & LAYOUT_DIRS_ONLY) {
			assert_int_equal(refused(layout_check_create(child, S_IFREG, &why), child, &why), -EPERM);
			assert_int_equal(refused(layout_check_create(child, S_IFLNK, &why), child, &why), -EPERM);
			assert_int_equal(refused(layout_check_create(child, S_IFDIR, &why), child, &why), 0);
		}
		if (f & LAYOUT_FILES_ONLY) {
			assert_int_equal(refused(layout_check_create(child, S_IFDIR, &why), child, &why), -EPERM);
			assert_int_equal(refused(layout_check_create(child, S_IFLNK, &why), child, &why), -EPERM);
			assert_int_equal(refused(layout_check_create(child, S_IFREG, &why), child, &why), 0);
		}
		if (f & LAYOUT_FIXED && !(f & LAYOUT_FILE))
			assert_int_equal(refused(layout_check_create(path, S_IFDIR, &why), path, &why), -EPERM);
		if (f & LAYOUT_NO_LINK)
			assert_int_equal(refused(layout_check_create(path, S_IFLNK, &why), path, &why), -EPERM);
	}
}

static void test_session_ids(void **state)
{
	static const char *const bad[] = {".hidden", "-dash", "_under", "with space", "umlaut-\xc3\xa9", "new\nline", "a:b", "a*", "~x", "a\\b"};
	static const char *const good[] = {"a", "A1", "0", "a.b_c-d"};
	char path[600], id[130];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(path, sizeof(path), "state/sessions/%s", bad[i]);
		assert_int_equal(layout_check_create(path, S_IFDIR, NULL), -EINVAL);
		snprintf(path, sizeof(path), "state/sessions/s1/agents/%s.yaml", bad[i]);
		assert_int_equal(layout_check_create(path, S_IFREG, NULL), bad[i][0] == '.' ? 0 : -EINVAL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(path, sizeof(path), "state/sessions/%s", good[i]);
		assert_int_equal(layout_check_create(path, S_IFDIR, NULL), 0);
		snprintf(path, sizeof(path), "state/sessions/s1/agents/%s.yaml", good[i]);
		assert_int_equal(layout_check_create(path, S_IFREG, NULL), 0);
	}
	memset(id, 'a', 129);
	id[129] = '\0';
	snprintf(path, sizeof(path), "state/sessions/%s", id);
	assert_int_equal(layout_check_create(path, S_IFDIR, NULL), -EINVAL);
	id[128] = '\0';
	snprintf(path, sizeof(path), "state/sessions/%s", id);
	assert_int_equal(layout_check_create(path, S_IFDIR, NULL), 0);
	assert_int_equal(layout_check_create("state/sessions/s1/agents/sedAbC123", S_IFREG, NULL), 0);
	assert_int_equal(layout_check_create("state/sessions/s1/agents/.yaml", S_IFREG, NULL), 0);
}

static void test_renames_onto_places(void **state)
{
	struct reason why;

	(void)state;
	assert_int_equal(layout_check_rename_to("status/config.yaml", S_IFREG, true, &why), 0);
	assert_int_equal(layout_check_rename_to("status/config.yaml", S_IFLNK, true, &why), -EPERM);
	assert_int_equal(layout_check_rename_to("status/other", S_IFREG, false, &why), -EPERM);
	assert_int_equal(layout_check_rename_to("state/.locks", S_IFDIR, true, &why), -EPERM);
	assert_int_equal(layout_check_rename_to("state/sessions/s2", S_IFDIR, false, &why), -EPERM);
	assert_int_equal(layout_check_rename_to("state/sessions/s2/events", S_IFDIR, false, &why), -EPERM);
	assert_int_equal(layout_check_rename_to("state/sessions/s2/events/x", S_IFREG, false, &why), -EROFS);
	assert_int_equal(layout_check_rename_to("state/sessions/s2/session.yaml", S_IFREG, true, &why), 0);
	assert_int_equal(layout_check_rename_to("state/sessions/s2/agents/a.yaml", S_IFREG, true, &why), 0);
	assert_int_equal(layout_check_rename_to("state/sessions/s2/agents/-.yaml", S_IFREG, false, &why), -EINVAL);
	assert_int_equal(layout_check_rename_to("notes/a", S_IFDIR, true, &why), 0);
}

/* sed -i and editors can replace the settings; nothing else appears beside them. */
static void test_status_takes_replacements_only(void **state)
{
	static const char *const tools[] = {"sedAbC123", ".config.yaml.swp", "config.yaml~", "4913", "config.yaml.tmp", ".tmp1"};
	static const char *const others[] = {"newfile", "sedation", "notes.yaml", "sed"};
	char path[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		snprintf(path, sizeof(path), "status/%s", tools[i]);
		assert_int_equal(layout_check_create(path, S_IFREG, NULL), 0);
		assert_int_equal(layout_check_create(path, S_IFDIR, NULL), -EPERM);
		assert_int_equal(layout_check_rename(path, NULL), 0);
		assert_int_equal(layout_check_remove(path, NULL), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		snprintf(path, sizeof(path), "status/%s", others[i]);
		assert_int_equal(layout_check_create(path, S_IFREG, NULL), -EPERM);
	}
	assert_int_equal(layout_check_create("status/config.yaml", S_IFREG, NULL), 0);
	assert_int_equal(layout_check_create("status/config.yaml", S_IFIFO, NULL), -EPERM);
}

static void test_session_of(void **state)
{
	char out[129], path[400], long_id[130];

	(void)state;
	assert_true(layout_session_of("state/sessions/s1", out));
	assert_string_equal(out, "s1");
	assert_true(layout_session_of("state/sessions/s-2.x/state/sessions/s9/f", out));
	assert_string_equal(out, "s-2.x");
	assert_true(layout_session_of("state/sessions/s1/", out));
	assert_string_equal(out, "s1");
	strcpy(out, "kept");
	assert_false(layout_session_of("", out));
	assert_false(layout_session_of("state/sessions", out));
	assert_false(layout_session_of("state/sessions/", out));
	assert_false(layout_session_of("state/sessions//x", out));
	assert_false(layout_session_of("state/sessionsx/s1", out));
	assert_false(layout_session_of("x/state/sessions/s1", out));
	memset(long_id, 'z', 129);
	long_id[129] = '\0';
	snprintf(path, sizeof(path), "state/sessions/%s/x", long_id);
	assert_false(layout_session_of(path, out));
	assert_string_equal(out, "kept");
	snprintf(path, sizeof(path), "state/sessions/%s/x", long_id + 1);
	assert_true(layout_session_of(path, out));
	assert_string_equal(out, long_id + 1);
}

struct walk {
	size_t count, stop_at;
	char seen[64][64];
};

static int walk_add(void *arg, const char *name)
{
	struct walk *w = arg;

	if (w->count == w->stop_at)
		return -ENOSPC;
	snprintf(w->seen[w->count++], sizeof(w->seen[0]), "%s", name);
	return 0;
}

static void test_walks(void **state)
{
	struct walk w = {.stop_at = 64};
	size_t dirs = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		dirs += rows[i].flags & LAYOUT_FIXED && !(rows[i].flags & LAYOUT_FILE);
	assert_int_equal(layout_each_fixed_dir(walk_add, &w), 0);
	assert_int_equal(w.count, dirs);
	for (size_t i = 0; i < w.count; i++) {
		assert_true(layout_flags_of(w.seen[i]) & LAYOUT_FIXED);
		assert_null(strstr(w.seen[i], ".yaml"));
	}
	w = (struct walk){.stop_at = 3};
	assert_int_equal(layout_each_fixed_dir(walk_add, &w), -ENOSPC);
	assert_int_equal(w.count, 3);
	w = (struct walk){.stop_at = 64};
	assert_int_equal(layout_each_skeleton_dir(walk_add, &w), 0);
	assert_int_equal(w.count, 7);
	assert_string_equal(w.seen[0], "state");
	assert_string_equal(w.seen[1], "agents");
	assert_string_equal(w.seen[2], "agents/.sync");
	assert_string_equal(w.seen[3], "agents/.health");
	assert_string_equal(w.seen[6], "recovery");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_row_is_found),
		cmocka_unit_test(test_parents_come_first),
		cmocka_unit_test(test_free_places),
		cmocka_unit_test(test_flags_mean_what_they_say),
		cmocka_unit_test(test_session_ids),
		cmocka_unit_test(test_status_takes_replacements_only),
		cmocka_unit_test(test_renames_onto_places),
		cmocka_unit_test(test_session_of),
		cmocka_unit_test(test_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
