/* SPDX-License-Identifier: MIT
 *
 * recovery/resume.sh: a script to be sourced by bash, dash or zsh, which brings a shell back to where the session stood: goes to the working
 * directory, switches to the branch the newest checkpoint recorded if nothing can be lost by that, exports MILESTONES_SESSION, and
 * prints a summary.
 *
 * What holds, whatever paths, branches, names and texts contain:
 *   - every text of somebody else's is inside single quotes (buf_put_shell_word()), with no interpretation by any of the three shells;
 *   - what is printed holds no control characters (recovery_put_plain()); what is only used (path, branch) is exact, byte by byte;
 *   - it does not end the shell, also under `set -eu`, and leaves nothing behind but the directory and MILESTONES_SESSION: all that needs variables
 *     is in a subshell.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"
#include "registry.h"
#include "vfile_recovery.h"
#include "vfile_rows.h"

#define EVENTS_SHOWN 5
#define AGENTS_SHOWN 20
#define PLAIN_BYTES 200
#define TAIL_BYTES 8192
#define TAIL_BYTES_MAX (256u << 10)
#define UNKNOWN_BRANCH "unknown"

/* One more line to be printed: takes what @line holds and empties it. */
static void put_line(struct buf *out, struct buf *line)
{
	buf_append_str(out, " \\\n");
	buf_put_shell_word(out, line->data ? line->data : "");
	if (line->error)
		out->error = line->error;
	buf_clear(line);
}

static void put_plain(struct buf *out, const char *text)
{
	recovery_put_plain(out, text, strlen(text), PLAIN_BYTES);
}

/* ---- what is said ---- */

/* What is shown of the session; all plain already. */
struct resume {
	struct buf head, agents; /* lines, each with a newline */
	struct buf where;        /* the project's directory, plain */
	struct recovery_point point;
	struct recovery_text text; /* of the newest checkpoint */
	bool have_point;
	int64_t now_ns;
};

static void resume_release(struct resume *r)
{
	buf_release(&r->head);
	buf_release(&r->agents);
	buf_release(&r->where);
	recovery_text_release(&r->text);
}

static void put_agents(struct resume *r, const struct session *s)
{
	size_t shown = 0;

	for (const struct agent *a = s->agents; a; a = a->next) {
		if (a->removed_ns)
			continue;
		if (shown++ >= AGENTS_SHOWN) {
			buf_append_str(&r->agents, ", …");
			return;
		}
		buf_printf(&r->agents, "%s%s (%s)", shown > 1 ? ", " : "", a->id, agent_status_name(a->fields.status));
	}
	if (!shown)
		buf_append_str(&r->agents, "none");
}

/* The session as the registry has it. */
static int resume_take(struct fs *fs, const char *id, struct resume *r)
{
	struct recovery_point *points = NULL;
	const struct session *s;
	size_t count = 0;
	int err;

	engine_lock(fs->engine);
	s = registry_session(fs->engine, id);
	if (s) {
		buf_printf(&r->head, "session %s: %s\noperation in progress: ", id, session_status_name(s->fields.status));
		put_plain(&r->head, s->fields.current_operation ? s->fields.current_operation : "none");
		buf_printf(&r->head, "\nprogress: %g %%\n", s->fields.progress_percentage);
		put_agents(r, s);
	}
	engine_unlock(fs->engine);
	err = recovery_points_take(fs, id, 1, &points, &count);
	if (!err && count) {
		r->point = points[0];
		r->have_point = true;
		err = recovery_text_get(fs, r->point.dir_ino, &r->text);
	}
	free(points);
	return err ? err : r->head.error ? r->head.error : r->agents.error;
}

/* ---- the last events ---- */

static void put_member(struct buf *line, const struct doc_node *n, const char *before)
{
	if (!n || !n->text || !n->text_len)
		return;
	buf_append_str(line, before);
	recovery_put_plain(line, n->text, n->text_len, PLAIN_BYTES);
}

static void put_event(struct buf *out, const char *text, size_t len)
{
	cleanup_buf struct buf line = BUF_INIT;
	const struct doc_node *root;
	struct doc *doc;

	if (doc_parse_json(text, len, NULL, &doc))
		return;
	root = doc_root(doc);
	put_member(&line, doc_get(root, "timestamp"), "  ");
	put_member(&line, doc_get(root, "event_type"), " ");
	put_member(&line, doc_get_path(root, "data.path"), " ");
	put_member(&line, doc_get_path(root, "data.new_path"), " -> ");
	put_member(&line, doc_get(root, "agent_id"), " by ");
	put_line(out, &line);
	doc_free(doc);
}

/* The beginning of the last EVENTS_SHOWN whole lines of @text, which begins within a line unless @whole; *@ret_lines says how many there are. */
static const char *last_lines(const struct buf *text, bool whole, size_t *ret_lines)
{
	const char *begin = text->data + text->len;
	size_t lines = 0;

	while (begin > text->data && lines < EVENTS_SHOWN) {
		const char *newline = memrchr(text->data, '\n', (size_t)(begin - 1 - text->data));

		if (!newline && !whole)
			break;
		begin = newline ? newline + 1 : text->data;
		lines++;
	}
	*ret_lines = lines;
	return begin;
}

static int put_events(struct fs *fs, const char *session, struct buf *out)
{
	const struct event_log_key key = {.session = session};
	cleanup_buf struct buf text = BUF_INIT;
	uint64_t bytes, events, tail = TAIL_BYTES;
	const char *at = NULL, *end;
	size_t lines = 0;
	int r = 0;

	engine_lock(fs->engine);
	event_log_size(engine_event_logs(fs->engine), &key, &bytes, &events);
	engine_unlock(fs->engine);
	for (; bytes && !r && lines < MIN(events, (uint64_t)EVENTS_SHOWN) && tail <= TAIL_BYTES_MAX; tail *= 4) {
		buf_clear(&text);
		r = engine_read_events(fs->engine, &key, bytes - MIN(bytes, tail), (size_t)MIN(bytes, tail), &text);
		if (!r && text.len)
			at = last_lines(&text, bytes <= tail, &lines);
	}
	for (; !r && at && at < text.data + text.len; at = end + 1) {
		end = memchr(at, '\n', (size_t)(text.data + text.len - at));
		if (!end)
			break;
		put_event(out, at, (size_t)(end - at));
	}
	return r;
}

/* ---- the script ---- */

/* `printf '%s\n' 'BRANCH…'`, with what is said of the branch around its name. */
static void put_say(struct buf *out, const char *before, const char *branch, const char *after)
{
	cleanup_buf struct buf line = BUF_INIT;

	buf_printf(&line, "branch: %s", before);
	put_plain(&line, branch);
	buf_append_str(&line, after);
	buf_append_str(out, "printf '%s\\n'");
	put_line(out, &line);
	buf_append_str(out, "\n");
}

/* A full name of a branch can be looked for and compared whatever it is; what git could take for an option is never given to it. */
static void put_branch(struct buf *out, const char *branch)
{
	cleanup_buf struct buf ref = BUF_INIT;

	if (strstr(branch, "\xef\xbf\xbd")) {
		put_say(out, "not switched to ", branch, ": its name is not UTF-8");
		return;
	}
	buf_printf(&ref, "refs/heads/%s", branch);
	buf_append_str(out, "if ! git rev-parse --git-dir >/dev/null 2>&1 </dev/null; then\n");
	put_say(out, "", branch, " was recorded, but there is no repository here any more");
	buf_append_str(out, "elif [ \"$(git symbolic-ref -q HEAD 2>/dev/null </dev/null)\" = ");
	buf_put_shell_word(out, ref.data ? ref.data : "");
	buf_append_str(out, " ]; then\n");
	put_say(out, "", branch, ", as recorded");
	buf_append_str(out, "elif ! git show-ref --verify -q ");
	buf_put_shell_word(out, ref.data ? ref.data : "");
	buf_append_str(out, " 2>/dev/null </dev/null; then\n");
	put_say(out, "not switched: ", branch, ", which was recorded, does not exist any more");
	if (*branch == '-') {
		buf_append_str(out, "else\n");
		put_say(out, "not switched to ", branch, ": its name looks like an option");
	} else {
		buf_append_str(out, "elif [ -n \"$(git status --porcelain 2>&1 </dev/null)\" ]; then\n");
		put_say(out, "not switched to ", branch, ", which was recorded: the work tree is not clean (git status)");
		buf_append_str(out, "elif git switch -q --no-guess ");
		buf_put_shell_word(out, branch);
		buf_append_str(out, " >/dev/null 2>&1 </dev/null; then\n");
		put_say(out, "switched to ", branch, ", as recorded");
		buf_append_str(out, "else\n");
		put_say(out, "git could not switch to ", branch, ", which was recorded");
	}
	buf_append_str(out, "fi\n");
}

/* In a subshell, where variables and options may change. git must mean the repository of the working directory. */
static void put_switch(struct buf *out, const struct resume *r)
{
	if (!r->have_point || !*r->text.branch || !strcmp(r->text.branch, UNKNOWN_BRANCH))
		return;
	buf_append_str(out, "(\nset +eu\nif [ -n \"${ZSH_VERSION-}\" ]; then emulate sh; fi\n"
			    "unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR GIT_NAMESPACE\n");
	put_branch(out, r->text.branch);
	buf_append_str(out, ") || :\n");
}

static int put_summary(struct fs *fs, const char *session, const struct resume *r, struct buf *out)
{
	cleanup_buf struct buf line = BUF_INIT;
	char time[TIME_TEXT_BYTES];
	int err;

	buf_append_str(out, "printf '%s\\n'");
	for (const char *at = r->head.data, *end; at && (end = strchr(at, '\n')); at = end + 1) {
		buf_append(&line, at, (size_t)(end - at));
		put_line(out, &line);
	}
	buf_append_str(&line, "last checkpoint: ");
	if (r->have_point) {
		time_format(r->point.time_ns, time);
		buf_printf(&line, "%s (%s, ", r->point.id, time);
		put_plain(&line, r->text.reason);
		buf_append_str(&line, ")");
	} else {
		buf_append_str(&line, "none");
	}
	put_line(out, &line);
	buf_printf(&line, "agents: %s", r->agents.data ? r->agents.data : "");
	put_line(out, &line);
	buf_append_str(&line, "last events:");
	put_line(out, &line);
	err = put_events(fs, session, out);
	buf_append_str(out, "\n");
	return err;
}

int resume_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	cleanup_buf struct buf line = BUF_INIT;
	struct resume r = {0};
	int err = resume_take(fs, v->params[0], &r);

	put_plain(&r.where, fs->project);
	buf_printf(out, "#!/bin/sh\n# Where session %s stood. To go on, source it in bash, dash or zsh: . PATH/resume.sh\n", v->params[0]);
	buf_printf(out, "export MILESTONES_SESSION='%s'\nif \\cd ", v->params[0]);
	buf_put_shell_word(out, fs->project); /* \cd: no alias of that name */
	buf_append_str(out, " >/dev/null 2>&1; then\nprintf '%s\\n'");
	buf_printf(&line, "working directory: %s", r.where.data ? r.where.data : "");
	put_line(out, &line);
	buf_append_str(out, "\n");
	put_switch(out, &r);
	buf_append_str(out, "else\nprintf '%s\\n'");
	buf_printf(&line, "resume.sh: cannot go to %s", r.where.data ? r.where.data : "");
	put_line(out, &line);
	buf_append_str(out, " >&2\nfi\n");
	if (!err)
		err = put_summary(fs, v->params[0], &r, out);
	resume_release(&r);
	return err;
}
