/* SPDX-License-Identifier: MIT
 *
 * milestonefs log: the event log of a project, for people or (--json) as it is. Read from the mount while there is one, so that it
 * can be followed; else from the store.
 *
 * Lines come in pieces of any size; a line is complete with its newline. With -n the last lines are kept in a ring. Following looks again every
 * FOLLOW_PAUSE_MS, or after some times as long as a look takes, and holds nothing in between, so that the mount can be taken away; that ends it.
 *
 * Failure: a line that is not JSON is shown as it is. Events that cannot be read are left out and named, and the status is 1.
 */
#include <argp.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "log.h"
#include "project.h"

#define PIECE_BYTES (256u << 10)
#define FOLLOW_PAUSE_MS 200
#define FOLLOW_PAUSE_MAX_MS 2000
#define DAMAGE_BYTES_MAX (256u << 20) /* in one run */
#define LINE_BYTES_MIN 64             /* of an event: no line is shorter */

struct arguments {
	const char *project, *session;
	bool limited; /* to the last lines */
	uint64_t last;
	bool follow, json;
};

struct output {
	const struct arguments *a;
	struct buf rest; /* an unfinished line */
	char **ring;
	uint64_t lines;
	bool damaged; /* something could not be read, and that was said */
	int error;
};

static const struct argp_option options[] = {
	{"lines", 'n', "N", 0, "Only the last N events", 0},
	{"session", 's', "ID", 0, "Only events of this session", 0},
	{"follow", 'f', NULL, 0, "Go on with what happens (the project must be mounted)", 0},
	{"json", 'j', NULL, 0, "The lines of the event log themselves", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'n':
		if (parse_u64(arg, &a->last) || a->last > 10000000)
			argp_error(state, "not a number of lines: %s", arg);
		a->limited = true;
		return 0;
	case 's':
		if (!id_valid(arg, strlen(arg)))
			argp_error(state, "not a session id: %s", arg);
		a->session = arg;
		return 0;
	case 'f':
		a->follow = true;
		return 0;
	case 'j':
		a->json = true;
		return 0;
	default:
		return cli_parse_project(key, arg, state, &a->project);
	}
}

static const char *text_of(const cJSON *object, const char *name)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	return s ? s : "";
}

/* Control characters of a path are not the terminal's business. */
static void print_safe(const char *s)
{
	for (; *s; s++)
		(void)putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

/* What it was about: from which status to which, for what reason; why a save was refused, and where. */
static void print_detail(const cJSON *data)
{
	const cJSON *line = cJSON_GetObjectItemCaseSensitive(data, "line");
	const char *from = text_of(data, "from"), *reason = text_of(data, "reason"), *message = text_of(data, "message");

	if (*from)
		printf(": %s to %s", from, text_of(data, "to"));
	if (*reason) {
		printf(" (");
		print_safe(reason);
		(void)putchar(')');
	}
	if (*message) {
		printf(": ");
		print_safe(message);
		if (cJSON_IsNumber(line) && line->valuedouble > 0)
			printf(" (line %.0f)", line->valuedouble);
	}
}

static void print_human(const cJSON *event)
{
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(event, "data");
	const cJSON *actor = cJSON_GetObjectItemCaseSensitive(data, "actor");
	const cJSON *pid = cJSON_GetObjectItemCaseSensitive(actor, "pid"), *seq = cJSON_GetObjectItemCaseSensitive(data, "tx_seq");
	const cJSON *size = cJSON_GetObjectItemCaseSensitive(data, "size");
	const char *who = text_of(actor, "agent"), *to = text_of(data, "new_path");

	printf("%6.0f %s ", cJSON_IsNumber(seq) ? seq->valuedouble : 0, text_of(event, "timestamp"));
	print_safe(*who ? who : text_of(actor, "comm"));
	if (cJSON_IsNumber(pid) && pid->valuedouble > 0)
		printf("[%.0f]", pid->valuedouble);
	printf(" %s ", text_of(event, "event_type"));
	print_safe(text_of(data, "path"));
	if (*to) {
		printf(" -> ");
		print_safe(to);
	}
	if (cJSON_IsNumber(size))
		printf(" (%.0f bytes)", size->valuedouble);
	print_detail(data);
	(void)putchar('\n');
}

static void print_line(const struct output *o, const char *line)
{
	cJSON *event = o->a->json ? NULL : cJSON_Parse(line);

	if (event)
		print_human(event);
	else
		puts(line);
	cJSON_Delete(event);
}

static void take_line(struct output *o, char *line)
{
	char **place;

	if (!o->ring) {
		print_line(o, line);
		return;
	}
	if (!o->a->last)
		return;
	place = &o->ring[o->lines++ % o->a->last];
	free(*place);
	*place = strdup(line);
	if (!*place)
		o->error = -ENOMEM;
}

static void output_write(struct output *o, const char *data, size_t len)
{
	char *end;
	size_t done = 0;

	buf_append(&o->rest, data, len);
	if (o->rest.error) {
		o->error = o->rest.error;
		return;
	}
	while ((end = memchr(o->rest.data + done, '\n', o->rest.len - done))) {
		*end = '\0';
		take_line(o, o->rest.data + done);
		done = (size_t)(end + 1 - o->rest.data);
	}
	memmove(o->rest.data, o->rest.data + done, o->rest.len - done);
	o->rest.len -= done;
}

/* Print what the ring kept; from here on lines go straight out. */
static void output_flush_ring(struct output *o)
{
	uint64_t n = MIN(o->lines, o->a->last), first = o->lines - n;

	if (!o->ring)
		return;
	for (uint64_t i = 0; i < o->a->last; i++) {
		char **place = &o->ring[(first + i) % o->a->last];

		if (i < n && *place)
			print_line(o, *place);
		free(*place);
		*place = NULL;
	}
	free(o->ring);
	o->ring = NULL;
}

/* Where the log is read: the mount's file, or a store. */
struct source {
	int fd;
	struct engine *engine; /* NULL: fd */
	struct event_log_key key;
};

/* Up to @len bytes at @offset appended to @out. How many, 0 at the end, or -errno. */
static ssize_t source_read(const struct source *s, uint64_t offset, size_t len, struct buf *out)
{
	size_t before = out->len;
	ssize_t n;
	int r;

	if (s->engine) {
		r = engine_read_events(s->engine, &s->key, offset, len, out);
		return r ? r : (ssize_t)(out->len - before);
	}
	if (buf_reserve(out, len))
		return -ENOMEM;
	do
		n = pread(s->fd, out->data + before, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	out->len += (size_t)n;
	return n;
}

static bool is_damaged(const struct source *s, uint64_t offset)
{
	cleanup_buf struct buf byte = BUF_INIT;

	return source_read(s, offset, 1, &byte) == -EIO;
}

/* Events that cannot be read begin at *@offset: go behind them. 0, or -EIO when there is no end to them. */
static int skip_damage(const struct source *s, uint64_t *offset)
{
	uint64_t at = *offset;

	do
		at += LINE_BYTES_MIN;
	while (is_damaged(s, at) && at - *offset < DAMAGE_BYTES_MAX);
	if (at - *offset >= DAMAGE_BYTES_MAX)
		return -EIO;
	while (at > *offset + 1 && !is_damaged(s, at - 1))
		at--;
	log_warning(
		"%" PRIu64 " bytes at offset %" PRIu64 " of the log cannot be read; status/health.yaml and fsck say what is damaged", at - *offset, *offset);
	*offset = at;
	return 0;
}

/* What is there from *@offset on. 0 or -errno. */
static int read_news(const struct source *s, uint64_t *offset, struct output *o)
{
	cleanup_buf struct buf piece = BUF_INIT;
	ssize_t n = 1;

	while (n && !o->error) {
		buf_clear(&piece);
		n = source_read(s, *offset, PIECE_BYTES, &piece);
		if (n == -EIO) {
			o->damaged = true;
			if (skip_damage(s, offset))
				return -EIO;
			continue;
		}
		if (n < 0)
			return (int)n;
		output_write(o, piece.data, (size_t)n);
		*offset += (uint64_t)n;
	}
	return o->error;
}

/* The file is closed again each time: a follower must not keep the mount busy. */
static int read_file(const char *path, uint64_t *offset, struct output *o)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct source s = {.fd = fd};

	return fd < 0 ? -errno : read_news(&s, offset, o);
}

/* It could not be read (any more). 0: because the mount was taken away, which ends the following. */
static int read_ended(const struct project *p, const struct output *o, const char *path, int error, struct reason *reason)
{
	switch (project_mount_state(p)) {
	case MOUNT_NONE:
		if (!o->a->follow)
			return reason_set(reason, -ENOTCONN, "log", "%s was unmounted meanwhile; try again", p->mount_path);
		log_info("%s was unmounted", p->mount_path);
		return 0;
	case MOUNT_DEAD:
		return reason_set(reason, -ENOTCONN, "log", "the daemon of %s has died; run: milestonefs mount %s", p->mount_path, p->word);
	case MOUNT_SILENT:
		return project_silent(p, "log", reason);
	case MOUNT_ALIVE:
		break;
	}
	return reason_set(reason, error, "log", "%s: %s", path, strerror(-error));
}

static int64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Where a look takes long, so does the pause: several who follow must not keep the mount busy all the time. */
static void pause_after(int64_t look_ns)
{
	int64_t ns = MIN(MAX(4 * look_ns, FOLLOW_PAUSE_MS * NS_PER_MS), FOLLOW_PAUSE_MAX_MS * NS_PER_MS);
	struct timespec t = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};

	(void)nanosleep(&t, NULL);
}

static int read_mounted(const struct project *p, struct output *o, struct reason *reason)
{
	const char *session = o->a->session;
	cleanup_free char *path = NULL;
	uint64_t offset = 0;

	if (asprintf(&path, "%s/state/%s%s/events%s", p->mount_path, session ? "sessions/" : "", session ? session : "",
		    session ? "/session.jsonl" : "/all.jsonl") < 0)
		return -ENOMEM;
	for (;;) {
		int64_t start_ns = now_ns(), look_ns;
		int r = read_file(path, &offset, o);

		look_ns = now_ns() - start_ns;
		if (r == -ENOMEM)
			return r;
		if (r)
			return read_ended(p, o, path, r, reason);
		output_flush_ring(o);
		(void)fflush(stdout);
		if (!o->a->follow || ferror(stdout))
			return 0;
		pause_after(look_ns);
	}
}

static int read_store(const struct project *p, struct output *o, struct reason *reason)
{
	const struct engine_options opt = {.read_only = true};
	struct store_reader s;
	uint64_t offset = 0;
	int r = store_reader_open(p, &opt, reason, &s);

	if (r)
		return r;
	r = read_news(&(struct source){.fd = -1, .engine = s.engine, .key.session = o->a->session}, &offset, o);
	if (!offset && o->a->session && !r)
		r = reason_set(reason, -ENOENT, "log", "the store knows no events of session %s", o->a->session);
	store_reader_close(&s);
	output_flush_ring(o);
	return r;
}

/* Is the mount there to be read? Without following the store will do where the mount is of no use: its daemon does not answer, or it is another user's. */
static int read_project(const struct project *p, struct output *o, struct reason *reason)
{
	enum mount_state state = project_mount_state(p);

	if (state == MOUNT_ALIVE && (o->a->follow || access(p->mount_path, X_OK) == 0))
		return read_mounted(p, o, reason);
	if (!o->a->follow)
		return read_store(p, o, reason);
	if (state == MOUNT_SILENT)
		return project_silent(p, "log", reason);
	return reason_set(reason, -ENOTCONN, "log", "%s is not mounted, so nothing will happen there to follow", p->mount_path);
}

static int log_project(const struct project *p, const struct arguments *a, struct reason *reason)
{
	struct output o = {.a = a, .ring = a->limited ? calloc(MAX(a->last, UINT64_C(1)), sizeof(*o.ring)) : NULL};
	int r;

	if (a->limited && !o.ring)
		return -ENOMEM;
	r = read_project(p, &o, reason);
	output_flush_ring(&o);
	buf_release(&o.rest);
	if (!r && (fflush(stdout) || ferror(stdout)))
		r = reason_set(reason, -EIO, "log", "the output cannot be written: %s", strerror(errno));
	return !r && o.damaged ? reason_set(reason, -EIO, "log", "the log is not complete") : r;
}

int cli_log(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "PROJECT", .doc = "Show what happened: transaction, time, who, what, where."};
	struct arguments a = {0};
	struct reason reason = {0};
	struct project p;
	int r;

	r = cli_find_project(&argp, argc, argv, &a, &a.project, &p);
	if (r)
		return r;
	r = log_project(&p, &a, &reason);
	project_release(&p);
	return r ? cli_fail(&reason, r) : 0;
}
