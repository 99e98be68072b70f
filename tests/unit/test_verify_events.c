/* SPDX-License-Identifier: MIT
 *
 * scripts/verify-events.sh, which must find out alone what is wrong with a log: logs made by event.c are accepted as
 * they are, and after each kind of damage the right line is named.
 *
 * Run in the project's directory. Needs jq, awk and sha256sum, as the script does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "event.h"
#include "util.h"

#define SCRIPT "scripts/verify-events.sh"
#define TIME_NS 1795341600123456789
#define LINES_MAX 3000

/* A log as lines without newlines. */
struct lines {
	char *text[LINES_MAX + 1];
	size_t count;
};

struct fixture {
	char dir[64];
	struct lines all, session; /* of "one", in all */
	char output[20000];        /* of the last run */
};

static void lines_release(struct lines *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->text[i]);
	l->count = 0;
}

static struct lines lines_copy(const struct lines *from)
{
	struct lines l = {.count = from->count};

	for (size_t i = 0; i < l.count; i++)
		l.text[i] = strdup(from->text[i]);
	return l;
}

static void make_logs(size_t count, struct lines *all, struct lines *session)
{
	static const char *const names[] = {"", "one", "two"};
	cleanup_buf struct buf scratch = BUF_INIT, out = BUF_INIT;
	struct event_chain chains[3] = {{0}}, global = {0};
	struct actor actor = {.agent = "a", .pid = 1, .uid = 1000, .comm = "sh"};
	char long_text[20000] = "\"custom\":{\"text\":\"";

	memset(long_text + strlen(long_text), 'x', sizeof(long_text) - 100);
	strcat(long_text, "\",\"checksum\":\"y\"}");
	all->count = session->count = 0;
	for (size_t i = 0; i < count; i++) {
		size_t s = (i * 7 / 3) % 3;
		struct event e = {.type = EVENT_FILE_WRITTEN,
			.session = names[s],
			.operation = "write",
			.path = "state/\xc3\xa4\\ 'q' \"%s\"/\xff",
			.new_path = "",
			.more = i % 50 == 7 ? long_text : "",
			.custom_type = "",
			.flags = EVENT_HAS_SIZE,
			.size = 1000 + i};
		struct event_context ctx = {.tx_seq = 1 + i / 2, .time_ns = TIME_NS + (int64_t)i * NS_PER_S, .actor = &actor};

		buf_clear(&out);
		assert_int_equal(event_seal(&e, &ctx, (uint32_t)(i % 2), &chains[s], &global, &scratch), 0);
		event_render(&e, &ctx, (uint32_t)(i % 2), &out);
		out.data[out.len - 1] = '\0';
		all->text[all->count++] = strdup(out.data);
		if (s == 1)
			session->text[session->count++] = strdup(out.data);
	}
}

static void write_log(const struct fixture *f, const char *name, const struct lines *l, const char *last_end)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	for (size_t i = 0; i < l->count; i++)
		fprintf(file, "%s%s", l->text[i], i + 1 < l->count ? "\n" : last_end);
	assert_int_equal(fclose(file), 0);
}

/* Run the script on the file; its exit status, its output in f->output. */
static int run(struct fixture *f, const char *name, const char *options)
{
	char command[400];
	FILE *pipe;
	size_t n;
	int status;

	snprintf(command, sizeof(command), SCRIPT " %s '%s/%s' 2>&1", options, f->dir, name);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	n = fread(f->output, 1, sizeof(f->output) - 1, pipe);
	f->output[n] = '\0';
	status = pclose(pipe);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void accepted(struct fixture *f, const char *name, const struct lines *l, const char *options)
{
	char expected[200];

	write_log(f, name, l, "\n");
	if (run(f, name, options) != 0)
		fail_msg("%s %s: %s", options, name, f->output);
	snprintf(expected, sizeof(expected), "%s/%s: %zu events verified\n", f->dir, name, l->count);
	assert_memory_equal(f->output, expected, strlen(expected));
}

/* The first line named must be @line, for a reason that contains @what. Releases @l. */
static void refused(struct fixture *f, const char *name, struct lines *l, size_t line, const char *what)
{
	char expected[40];

	write_log(f, name, l, "\n");
	if (run(f, name, "") != 1)
		fail_msg("%s accepted, %s expected in line %zu: %s", name, what, line, f->output);
	snprintf(expected, sizeof(expected), "line %zu: ", line);
	if (strncmp(f->output, expected, strlen(expected)) != 0 || !strstr(f->output, what))
		fail_msg("%s: line %zu: %s expected, got %s", name, line, what, f->output);
	assert_null(strstr(f->output, "verified"));
	lines_release(l);
}

static void only_line(struct fixture *f, size_t line)
{
	char expected[40];

	snprintf(expected, sizeof(expected), "line %zu: ", line);
	for (const char *p = f->output; *p; p = strchr(p, '\n') + 1)
		assert_memory_equal(p, expected, strlen(expected));
}

static struct lines without(const struct lines *from, size_t line)
{
	struct lines l = lines_copy(from);

	free(l.text[line - 1]);
	memmove(&l.text[line - 1], &l.text[line], (l.count - line) * sizeof(l.text[0]));
	l.count--;
	return l;
}

/* Replace the last @from of line @line by @to. */
static struct lines edited(const struct lines *source, size_t line, const char *from, const char *to)
{
	struct lines l = lines_copy(source);
	char *old = l.text[line - 1], *at = NULL, *new = malloc(strlen(old) + strlen(to) + 1);

	for (char *p = old; (p = strstr(p, from)); p++)
		at = p;
	assert_non_null(at);
	sprintf(new, "%.*s%s%s", (int)(at - old), old, to, at + strlen(from));
	free(old);
	l.text[line - 1] = new;
	return l;
}

/* ---- tests ---- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/test_verify_XXXXXX");
	if (!mkdtemp(f->dir) || system("command -v jq sha256sum awk >/dev/null") != 0 || access(SCRIPT, X_OK))
		return -1;
	make_logs(60, &f->all, &f->session);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	lines_release(&f->all);
	lines_release(&f->session);
	if (system(command) != 0)
		return -1;
	free(f);
	return 0;
}

static void test_accepts(void **state)
{
	struct fixture *f = *state;
	struct lines none = {.count = 0}, day = lines_copy(&f->all);

	accepted(f, "all.jsonl", &f->all, "");
	accepted(f, "session.jsonl", &f->session, "");
	accepted(f, "copy-of-all", &f->all, "");
	accepted(f, "copy-of-session", &f->session, "");
	accepted(f, "all.jsonl", &none, "");
	for (size_t i = 0; i < 13; i++)
		free(day.text[i]);
	memmove(&day.text[0], &day.text[13], (day.count - 13) * sizeof(day.text[0]));
	day.count -= 13;
	accepted(f, "2026-11-22.jsonl", &day, "");
	assert_non_null(strstr(f->output, "begins in the middle"));
	accepted(f, "other", &day, "--day");
	lines_release(&day);
}

static void test_edits(void **state)
{
	struct fixture *f = *state;
	static const size_t at[] = {1, 2, 8, 30, 59, 60};

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		struct lines l = edited(&f->all, at[i], "\"size\":1", "\"size\":2");

		refused(f, "all.jsonl", &l, at[i], "checksum does not match");
		only_line(f, at[i]);
		if (at[i] < 10)
			continue; /* a day's first lines are taken as they are */
		l = edited(&f->all, at[i], "\"pid\":1", "\"pid\":7");
		refused(f, "2026-11-22.jsonl", &l, at[i], "checksum does not match");
	}
}

static void test_cuts_and_swaps(void **state)
{
	struct fixture *f = *state;
	struct lines l = without(&f->all, 1);
	char *swap;

	refused(f, "all.jsonl", &l, 1, "");
	l = without(&f->session, 1);
	refused(f, "session.jsonl", &l, 1, "the beginning is missing");
	l = without(&f->session, 9);
	refused(f, "session.jsonl", &l, 9, "where 9 belongs");
	only_line(f, 9);
	l = without(&f->all, 20);
	refused(f, "all.jsonl", &l, 20, "global_checksum does not match");
	l = lines_copy(&f->session);
	swap = l.text[4], l.text[4] = l.text[5], l.text[5] = swap;
	refused(f, "session.jsonl", &l, 5, "sequence_number 6");
	l = lines_copy(&f->all); /* of different sessions: only the global chain and tx_seq can tell */
	swap = l.text[20], l.text[20] = l.text[21], l.text[21] = swap;
	refused(f, "all.jsonl", &l, 21, "does not match");
	l = lines_copy(&f->session); /* one line twice */
	free(l.text[10]);
	l.text[10] = strdup(l.text[9]);
	refused(f, "session.jsonl", &l, 11, "sequence_number 10");
	l = lines_copy(&f->session); /* one of another session */
	free(l.text[3]);
	l.text[3] = strdup(f->all.text[0]);
	refused(f, "session.jsonl", &l, 4, "another session");
}

static void test_malformed(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {"", "{", "no", "[1]", "\"x\"", "null", "{}{}"};
	static const char *const fields[] = {"event_id", "timestamp", "session_id", "event_type", "sequence_number", "checksum"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct lines l = lines_copy(&f->session);

		free(l.text[6]);
		l.text[6] = strdup(bad[i]);
		refused(f, "session.jsonl", &l, 7, "malformed JSON");
		only_line(f, 7);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		char from[40], to[40];
		struct lines l;

		snprintf(from, sizeof(from), "\"%s\":", fields[i]);
		snprintf(to, sizeof(to), "\"x%s\":", fields[i]);
		l = edited(&f->all, 12, from, to);
		refused(f, "all.jsonl", &l, 12, fields[i]);
		assert_non_null(strstr(f->output, "missing"));
		only_line(f, 12);
	}
}

static void test_ends(void **state)
{
	struct fixture *f = *state;
	char options[200], count[20];
	const char *last = f->session.text[f->session.count - 1];
	struct lines l = lines_copy(&f->session);

	snprintf(options, sizeof(options), "--count %zu --last %.64s", f->session.count, last + strlen(last) - 66);
	accepted(f, "session.jsonl", &f->session, options);
	free(l.text[--l.count]); /* whole lines cut off at the end are only found by --count or --last */
	accepted(f, "session.jsonl", &l, "");
	assert_int_equal(run(f, "session.jsonl", options), 1);
	snprintf(count, sizeof(count), "--count=%zu", f->session.count);
	assert_int_equal(run(f, "session.jsonl", count), 1);
	assert_non_null(strstr(f->output, "the log ends after"));
	l.text[l.count - 1][100] = '\0'; /* half a line */
	refused(f, "session.jsonl", &l, f->session.count - 1, "malformed JSON");
	write_log(f, "session.jsonl", &f->session, "");
	assert_int_equal(run(f, "session.jsonl", ""), 1);
	assert_non_null(strstr(f->output, "does not end with a newline"));
}

static void test_usage(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, "missing", ""), 2);
	assert_int_equal(run(f, "missing", "--no-such-option"), 2);
	assert_int_equal(run(f, "missing", "--count x"), 2);
	assert_int_equal(run(f, "missing", "--help"), 0);
	assert_non_null(strstr(f->output, "--count"));
}

static void test_speed(void **state)
{
	struct fixture *f = *state;
	struct lines all, session, l;
	time_t started;

	make_logs(LINES_MAX, &all, &session);
	started = time(NULL);
	accepted(f, "all.jsonl", &all, "");
	print_message("%d events of 3 sessions verified in %ld s\n", LINES_MAX, (long)(time(NULL) - started));
	l = edited(&all, 2500, "\"uid\":1", "\"uid\":2"); /* beyond the first batch */
	refused(f, "all.jsonl", &l, 2500, "checksum does not match");
	only_line(f, 2500);
	lines_release(&all);
	lines_release(&session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_cuts_and_swaps),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
