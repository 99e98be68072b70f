/* SPDX-License-Identifier: MIT
 *
 * Events: lines byte for byte, jq's opinion of them, both chains computed again by the recipe in event.h, every event type,
 * paths that are not UTF-8, and how fast lines are made.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "event.h"
#include "stopwatch.h"
#include "util.h"

#define TIME_NS 1795341600123456789 /* 2026-11-22T10:00:00.123456789Z */
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static struct event blank(enum event_type type)
{
	return (struct event){.type = type, .session = "", .operation = "write", .path = "", .new_path = "", .more = "", .custom_type = ""};
}

static struct actor agent_actor(void)
{
	return (struct actor){.agent = "coder-1", .session = "never-shown", .pid = 4242, .uid = 1000, .gid = 1000, .comm = "bash"};
}

/* Seal alone on fresh chains and return the line without its newline; the caller frees it. */
static char *line_of(struct event *e, const struct event_context *ctx, uint32_t ordinal)
{
	cleanup_buf struct buf scratch = BUF_INIT;
	struct event_chain session = {0}, global = {0};
	struct buf out = BUF_INIT;

	char *room;

	assert_int_equal(buf_reserve(&scratch, event_line_bytes_max(e, ctx)), 0);
	room = scratch.data;
	assert_int_equal(event_seal(e, ctx, ordinal, &session, &global, &scratch), 0);
	assert_ptr_equal(scratch.data, room); /* it was enough */
	assert_true(e->line_bytes + 64 <= event_line_bytes_max(e, ctx));
	event_render(e, ctx, ordinal, &out);
	assert_int_equal(out.error, 0);
	assert_int_equal(out.len, e->line_bytes);
	assert_int_equal(strlen(out.data), out.len);
	assert_int_equal(out.data[out.len - 1], '\n');
	out.data[out.len - 1] = '\0';
	return buf_take(&out, NULL);
}

/* What the recipe hashes: @prev_hex and the line without the members named. */
static void recipe(const char *prev_hex, const char *line, bool without_global, char out_hex[SHA256_HEX_BYTES])
{
	cleanup_buf struct buf b = BUF_INIT;
	const char *global = NULL;
	const char *checksum = line + strlen(line) - strlen(",\"checksum\":\"" ZEROS "\"}");
	struct sha256 sha;

	for (const char *p = line; (p = strstr(p, ",\"global_checksum\":\"")); p++)
		global = p; /* the last: an author may use the word, too */
	assert_non_null(global);
	assert_memory_equal(checksum, ",\"checksum\":\"", 13);
	buf_append_str(&b, prev_hex);
	if (without_global) {
		buf_append(&b, line, (size_t)(global - line));
		global += strlen(",\"global_checksum\":\"" ZEROS "\"");
		buf_append(&b, global, (size_t)(checksum - global));
	} else {
		buf_append(&b, line, (size_t)(checksum - line));
	}
	buf_append_str(&b, "}");
	sha256_of(b.data, b.len, &sha);
	sha256_hex(&sha, out_hex);
}

static void assert_chains(const char *line, const struct event *e, const char *prev_session, const char *prev_global)
{
	char expected[SHA256_HEX_BYTES], stated[SHA256_HEX_BYTES];

	recipe(prev_global, line, true, expected);
	sha256_hex(&e->global_checksum, stated);
	assert_string_equal(stated, expected);
	recipe(prev_session, line, false, expected);
	sha256_hex(&e->checksum, stated);
	assert_string_equal(stated, expected);
}

static void assert_line(struct event *e, const struct event_context *ctx, const char *head, const char *sequence)
{
	char global[SHA256_HEX_BYTES], checksum[SHA256_HEX_BYTES], expected[4000];
	char *line = line_of(e, ctx, 0);

	sha256_hex(&e->global_checksum, global);
	sha256_hex(&e->checksum, checksum);
	snprintf(expected, sizeof(expected), "%s,\"global_checksum\":\"%s\"},\"sequence_number\":%s,\"checksum\":\"%s\"}", head, global, sequence, checksum);
	assert_string_equal(line, expected);
	assert_chains(line, e, ZEROS, ZEROS);
	free(line);
}

static void test_golden_save(void **state)
{
	struct actor actor = agent_actor();
	struct event_context ctx = {.tx_seq = 42, .time_ns = TIME_NS, .actor = &actor};
	struct event e = blank(EVENT_FILE_WRITTEN);

	(void)state;
	e.session = "s1";
	e.path = "state/sessions/s1/state/plan.yaml";
	e.flags = EVENT_HAS_NEW_SHA | EVENT_HAS_SIZE;
	e.size = 12;
	memset(e.new_sha.bytes, 0xab, SHA256_BYTES);
	assert_line(&e, &ctx,
		"{\"event_id\":\"evt-42-0\",\"timestamp\":\"2026-11-22T10:00:00.123456Z\",\"session_id\":\"s1\","
		"\"event_type\":\"file_written\",\"agent_id\":\"coder-1\",\"data\":{\"operation\":\"write\","
		"\"path\":\"state/sessions/s1/state/"
		"plan.yaml\",\"actor\":{\"agent\":\"coder-1\",\"pid\":4242,\"uid\":1000,\"comm\":\"bash\"},"
		"\"old_sha256\":null,\"new_sha256\":"
		"\"abababababababababababababababababababababababababababababababab\",\"size\":12,"
		"\"tx_seq\":42",
		"1");
	/* The whole of it once and for all: written down, so that the recipe can't change unnoticed. */
	{
		char hex[SHA256_HEX_BYTES];

		sha256_hex(&e.global_checksum, hex);
		assert_string_equal(hex, "5e9c91eca6584f9eb78cd8e121c2b9da3b736d168a8e0a49b4250751c48e9238");
		sha256_hex(&e.checksum, hex);
		assert_string_equal(hex, "33dcf3cc145cee2a16e3462d4b37eb62f8868da57e141da86b187b70fd2bb989");
	}
}

static void test_golden_rename_by_nobody(void **state)
{
	struct actor actor = {.comm = "unknown"};
	struct event_context ctx = {.tx_seq = 1, .time_ns = 0, .actor = &actor};
	struct event e = blank(EVENT_RENAMED);

	(void)state;
	e.operation = "rename";
	e.path = "a\"b\\c\n\x7f\xc3\xa4";
	e.new_path = "bad\xff\xfe/x";
	e.more = "\"agent_id\":\"a\",\"n\":[1,2]";
	assert_line(&e, &ctx,
		"{\"event_id\":\"evt-1-0\",\"timestamp\":\"1970-01-01T00:00:00.000000Z\",\"session_id\":\"global\","
		"\"event_type\":\"renamed\",\"agent_id\":\"system\",\"data\":{\"operation\":\"rename\","
		"\"path\":\"a\\\"b\\\\c\\n\\u007f\xc3\xa4\",\"new_path\":\"bad\xef\xbf\xbd\xef\xbf\xbd/"
		"x\",\"new_path_hex\":\"626164fffe2f78\","
		"\"actor\":{\"agent\":null,\"pid\":0,\"uid\":0,\"comm\":\"unknown\"},"
		"\"old_sha256\":null,\"new_sha256\":null,\"size\":null,\"agent_id\":\"a\",\"n\":[1,2],\"tx_seq\":1",
		"1");
}

static void test_custom(void **state)
{
	struct actor actor = agent_actor();
	struct event_context ctx = {.tx_seq = 7, .time_ns = -1, .actor = &actor};
	struct event e = blank(EVENT_CUSTOM);

	(void)state;
	e.operation = "log_event";
	e.custom_type = "build \"finished\"";
	e.more = "\"custom\":{\"checksum\":\"x\",\"global_checksum\":\"y\"}";
	e.path = "\x80";
	e.flags = EVENT_HAS_OLD_SHA;
	assert_line(&e, &ctx,
		"{\"event_id\":\"evt-7-0\",\"timestamp\":\"1969-12-31T23:59:59.999999Z\",\"session_id\":\"global\","
		"\"event_type\":\"build "
		"\\\"finished\\\"\",\"agent_id\":\"coder-1\",\"data\":{\"operation\":\"log_event\","
		"\"path\":\"\xef\xbf\xbd\",\"path_hex\":\"80\",\"actor\":{\"agent\":\"coder-1\",\"pid\":4242,\"uid\":"
		"1000,\"comm\":\"bash\"},"
		"\"old_sha256\":\"" ZEROS "\",\"new_sha256\":null,\"size\":null,\"custom\":{\"checksum\":\"x\","
		"\"global_checksum\":\"y\"},\"tx_seq\":7",
		"1");
}

/* jq -c . of each line is the line: every event type, and strings of all kinds. */
static void test_jq_agrees(void **state)
{
	static const char *const paths[] = {"", "a", "\x01\x1f\b\f\r\t\n\"\\/", "\xff", "caf\xc3\xa9/\xe2\x98\x83/\xf0\x9f\x98\x80", "\xed\xa0\x80", "x\x7fy",
		"\xc2\x80\xe2\x80\xa8\xef\xbb\xbf"};
	char in[] = "/tmp/test_event_XXXXXX", command[200];
	cleanup_buf struct buf all = BUF_INIT, back = BUF_INIT;
	struct actor actor = agent_actor();
	FILE *file;
	char block[4096];
	size_t n;
	int fd;

	(void)state;
	if (system("jq --version >/dev/null 2>&1") != 0)
		skip();
#define EVENT(id, name, text)                                                                                              \
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {                                                                   \
		struct event e = blank(EVENT_##name);                                                                      \
		struct event_context ctx = {.tx_seq = 1 + i, .time_ns = TIME_NS + (int64_t)i * NS_PER_S, .actor = &actor}; \
		char *line;                                                                                                \
		e.path = paths[i];                                                                                         \
		e.new_path = paths[ARRAY_SIZE(paths) - 1 - i];                                                             \
		e.flags = (uint32_t)i;                                                                                     \
		e.size = UINT64_C(1) << (i * 6);                                                                           \
		assert_string_equal(event_type_name(EVENT_##name), text);                                                  \
		assert_int_equal(EVENT_##name, id);                                                                        \
		line = line_of(&e, &ctx, (uint32_t)i);                                                                     \
		assert_chains(line, &e, ZEROS, ZEROS);                                                                     \
		assert_non_null(strstr(line, "\"event_type\":\"" text "\""));                                              \
		buf_append_str(&all, line);                                                                                \
		buf_append_str(&all, "\n");                                                                                \
		free(line);                                                                                                \
	}
#include "event_list.h"
#undef EVENT
	fd = mkstemp(in);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, all.data, all.len), all.len);
	close(fd);
	snprintf(command, sizeof(command), "jq -c . %s", in);
	file = popen(command, "r");
	assert_non_null(file);
	while ((n = fread(block, 1, sizeof(block), file)) > 0)
		buf_append(&back, block, n);
	assert_int_equal(pclose(file), 0);
	unlink(in);
	assert_string_equal(back.data, all.data);
}

/* Two sessions interleaved: each continues its own chain, the global one runs through both; following is the same as sealing. */
static void test_chains(void **state)
{
	cleanup_buf struct buf scratch = BUF_INIT, out = BUF_INIT;
	struct event_chain sessions[2] = {{0}}, followed[2] = {{0}}, global = {0}, global_followed = {0};
	char prev[2][SHA256_HEX_BYTES] = {ZEROS, ZEROS}, prev_global[SHA256_HEX_BYTES] = ZEROS;
	struct actor actor = agent_actor();

	(void)state;
	for (int i = 0; i < 10; i++) {
		int s = i % 3 != 0;
		struct event e = blank(EVENT_FILE_APPENDED);
		struct event_context ctx = {.tx_seq = 5 + (uint64_t)i, .time_ns = TIME_NS, .actor = &actor};

		e.session = s ? "one" : "";
		buf_clear(&out);
		assert_int_equal(event_seal(&e, &ctx, 3, &sessions[s], &global, &scratch), 0);
		event_render(&e, &ctx, 3, &out);
		out.data[out.len - 1] = '\0';
		assert_chains(out.data, &e, prev[s], prev_global);
		sha256_hex(&e.checksum, prev[s]);
		sha256_hex(&e.global_checksum, prev_global);
		event_follow(&e, &followed[s], &global_followed);
		assert_int_equal(e.sequence_number, sessions[s].sequence_number);
		assert_int_equal(global.sequence_number, i + 1);
	}
	assert_int_equal(sessions[0].sequence_number, 4);
	assert_int_equal(sessions[1].sequence_number, 6);
	assert_memory_equal(sessions, followed, sizeof(sessions));
	assert_memory_equal(&global, &global_followed, sizeof(global));
}

/* A newer writer's type: its name isn't known, but its length is, so the line keeps its length. */
static void test_unknown_type(void **state)
{
	static const size_t lengths[] = {3, 8, 12, 30, 62};
	struct actor actor = agent_actor();
	struct event_context ctx = {.tx_seq = 42, .time_ns = TIME_NS, .actor = &actor};
	struct event known = blank(EVENT_CUSTOM);
	cleanup_buf struct buf out = BUF_INIT;

	(void)state;
	assert_null(event_type_name((enum event_type)999));
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char name[64] = "", shown[100];
		struct event e;

		memset(name, 'n', lengths[i]);
		known.custom_type = name;
		free(line_of(&known, &ctx, 0));
		e = known;
		e.type = (enum event_type)999;
		buf_clear(&out);
		event_render(&e, &ctx, 0, &out);
		assert_int_equal(out.len, known.line_bytes);
		memset(name, '_', lengths[i]);
		memcpy(name, "event_999", MIN(lengths[i], (size_t)9));
		snprintf(shown, sizeof(shown), "\"event_type\":\"%s\",", name);
		assert_non_null(strstr(out.data, shown));
		known.sequence_number = 0;
	}
}

static void test_id(void **state)
{
	char id[48];

	(void)state;
	event_id_format(42, 0, id);
	assert_string_equal(id, "evt-42-0");
	event_id_format(UINT64_MAX, UINT32_MAX, id);
	assert_string_equal(id, "evt-18446744073709551615-4294967295");
}

/* Figures to look at; only absurd ones fail. */
static void test_speed(void **state)
{
	enum { ROUNDS = 200000 };
	cleanup_buf struct buf scratch = BUF_INIT, out = BUF_INIT;
	struct event_chain session = {0}, global = {0};
	struct actor actor = agent_actor();
	struct event_context ctx = {.tx_seq = 42, .time_ns = TIME_NS, .actor = &actor};
	struct event e = blank(EVENT_FILE_WRITTEN);
	double started, seal_s, render_s;
	size_t bytes = 0;

	(void)state;
	e.session = "s1";
	e.path = "state/sessions/s1/state/plan/plan-1.yaml";
	e.flags = EVENT_HAS_OLD_SHA | EVENT_HAS_NEW_SHA | EVENT_HAS_SIZE;
	started = stopwatch_s();
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(event_seal(&e, &ctx, 0, &session, &global, &scratch), 0);
	seal_s = stopwatch_s() - started;
	started = stopwatch_s();
	for (int i = 0; i < ROUNDS; i++) {
		if (out.len > 100000)
			buf_clear(&out);
		ctx.time_ns += NS_PER_MS;
		event_render(&e, &ctx, 0, &out);
		bytes += e.line_bytes;
	}
	render_s = stopwatch_s() - started;
	print_message("seal %.0f events/s; render %.0f MB/s, %.3f us a line of %u bytes\n", ROUNDS / seal_s, (double)bytes / render_s / 1e6,
		render_s / ROUNDS * 1e6, e.line_bytes);
	assert_true(ROUNDS / seal_s > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_save),
		cmocka_unit_test(test_golden_rename_by_nobody),
		cmocka_unit_test(test_custom),
		cmocka_unit_test(test_jq_agrees),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_unknown_type),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
