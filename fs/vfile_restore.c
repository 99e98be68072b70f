/* SPDX-License-Identifier: MIT
 *
 * recovery/restore: reading it lists the checkpoints that can be restored, newest first, one a line: name, time, reason, between tabs. Writing a
 * name to it restores that one, inside write(2), so that `echo` itself says what went wrong; `latest` is the newest.
 *
 * Of several names, one a line, each must be there before the first is restored: a tool whose write failed may write again.
 *
 * What a restore does is checkpoint.h's; what the kernel has to forget for it is inval.h's (`settles` in the row).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "vfile_recovery.h"
#include "vfile_rows.h"

#define WRITE_BYTES_MAX (32u << 10)
#define REASON_BYTES 256

int restore_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	cleanup_free struct recovery_point *points = NULL;
	size_t count;
	int r = recovery_points_take(fs, v->params[0], SIZE_MAX, &points, &count);

	for (size_t i = 0; !r && i < count; i++) {
		char time[TIME_TEXT_BYTES];
		struct recovery_text text;

		r = recovery_text_get(fs, points[i].dir_ino, &text);
		if (r)
			break;
		time_format(points[i].time_ns, time);
		buf_printf(out, "%s\t%s\t", points[i].id, time);
		recovery_put_plain(out, text.reason, strlen(text.reason), REASON_BYTES);
		buf_append_str(out, "\n");
		recovery_text_release(&text);
	}
	return r;
}

static int check_name(struct fs *fs, const char *session, const char *name, struct reason *reason)
{
	struct session *s;
	bool found = false;

	engine_lock(fs->engine);
	s = registry_session(fs->engine, session);
	if (s)
		found = strcmp(name, "latest") ? registry_checkpoint(s, name) != NULL : s->newest_checkpoint != NULL;
	engine_unlock(fs->engine);
	return found ? 0 : reason_set(reason, -ENOENT, "restore", "there is no checkpoint \"%.128s\": `cat recovery/restore` lists those there are", name);
}

static int restore_name(struct fs *fs, const char *session, const char *name, struct request *q)
{
	struct restore_result result;
	int r = checkpoint_restore(fs->engine, q, session, name, &result), waited;

	if (!q->seq)
		return r;
	waited = engine_wait(fs->engine, q->seq, JOURNAL_DURABLE); /* whatever the sync mode: somebody relies on this one */
	recovery_validation_note(fs, q->seq, r ? q->reason.text : "passed");
	return r ? r : waited;
}

/* Each line of @text: is it there, or, with @restore, restore it. */
static int each_name(struct fs *fs, const char *session, struct request *q, const char *text, bool restore)
{
	uint32_t line = 1;
	int r = 0;

	for (const char *end; !r && *text; text = end + (*end == '\n'), line++) {
		const char *begin = text + strspn(text, " \t\r");
		cleanup_free char *name = NULL;
		size_t len;

		end = text + strcspn(text, "\n");
		len = begin < end ? (size_t)(end - begin) : 0;
		while (len && strchr(" \t\r", begin[len - 1]))
			len--;
		if (!len)
			continue;
		name = strndup(begin, len);
		if (!name)
			r = -ENOMEM;
		else
			r = restore ? restore_name(fs, session, name, q) : check_name(fs, session, name, &q->reason);
		if (r)
			q->reason.line = line;
	}
	return r;
}

int restore_write(struct fs *fs, const struct vnode *v, struct request *q, const char *text, size_t len)
{
	cleanup_free char *copy = NULL;
	int r;

	if (len > WRITE_BYTES_MAX)
		return reason_set(&q->reason, -EFBIG, "restore", "at most %u bytes of names can be given by one write", WRITE_BYTES_MAX);
	copy = strndup(text, len);
	if (!copy)
		return -ENOMEM;
	if (strlen(copy) != len)
		return reason_set(&q->reason, -EINVAL, "restore", "there is a NUL byte in the text");
	r = each_name(fs, v->params[0], q, copy, false);
	return r ? r : each_name(fs, v->params[0], q, copy, true);
}
