/* SPDX-License-Identifier: MIT
 *
 * agents/.health/monitor.jsonl: one line an interval about who of a session's agents is healthy. A real file, made with its first line;
 * only the daemon writes it. When it has grown beyond MONITOR_BYTES_MAX it is replaced by its newer half (what was cut off is still in
 * history).
 *
 * A line is made under the lock, with the statuses its own transaction brings; its bytes are put into the transaction outside it.
 */
#include "upkeep_private.h"

#include <errno.h>
#include <string.h>

#define MONITOR_FILE "monitor.jsonl"
#define MONITOR_BYTES_MAX (1u << 20)

static void put_unhealthy(struct buf *out, const struct session *s)
{
	bool first = true;

	for (const struct agent *a = s->agents; a; a = a->next) {
		if (a->removed_ns || (a->fields.status != AGENT_UNHEALTHY && a->fields.status != AGENT_DEAD))
			continue;
		buf_append_str(out, first ? "" : ",");
		buf_put_json_string(out, a->id, strlen(a->id));
		first = false;
	}
}

static size_t count_healthy(const struct session *s)
{
	size_t n = 0;

	for (const struct agent *a = s->agents; a; a = a->next)
		n += agent_is_watched(a) && a->fields.status != AGENT_UNHEALTHY;
	return n;
}

int monitor_line_make(struct engine *e, const struct session *s, int64_t time_ns, struct monitor_line *ret)
{
	struct monitor_line l = {.due = true};
	const struct node *session = tree_node(e->tree, s->dir_ino), *dir = s->health_ino ? tree_node(e->tree, s->health_ino) : NULL;
	const struct dentry *d = dir ? tree_lookup(e->tree, dir, MONITOR_FILE, strlen(MONITOR_FILE), SEQ_LIVE) : NULL;
	char time[TIME_TEXT_BYTES];

	if (dir && (!d || S_ISREG(d->node->newest->attrs->mode)))
		l.dir_ino = s->health_ino;
	l.uid = session->newest->attrs->uid;
	l.gid = session->newest->attrs->gid;
	if (d) {
		l.ino = d->node->ino;
		l.base = d->node->newest;
	}
	time_format(time_ns, time);
	buf_printf(&l.text, "{\"timestamp\":\"%s\",\"session_id\":\"%s\",\"healthy_agents\":%zu,\"unhealthy_agents\":[", time, s->id, count_healthy(s));
	put_unhealthy(&l.text, s);
	buf_append_str(&l.text, "]}\n");
	if (l.text.error) {
		buf_release(&l.text);
		return -ENOMEM;
	}
	*ret = l;
	return 0;
}

/* The newer half, from the beginning of a line on, before the new one. */
static int keep_half(struct engine *e, struct monitor_line *l)
{
	struct version_extents scratch = {0};
	uint64_t from = l->base->size / 2, len = l->base->size - from;
	cleanup_free char *half = malloc((size_t)len);
	struct buf text = BUF_INIT;
	const char *line;
	ssize_t got;

	if (!half)
		return -ENOMEM;
	got = engine_read(e, l->base, &scratch, from, half, (size_t)len);
	extent_map_release(&scratch.map);
	if (got != (ssize_t)len)
		return got == -ENOMEM ? -ENOMEM : 0; /* damaged: the new line alone */
	line = memchr(half, '\n', (size_t)len);
	if (line)
		buf_append(&text, line + 1, (size_t)(half + len - line - 1));
	buf_append(&text, l->text.data, l->text.len);
	if (text.error) {
		buf_release(&text);
		return -ENOMEM;
	}
	buf_release(&l->text);
	l->text = text;
	return 0;
}

int monitor_line_prepare(struct engine *e, struct monitor_line *l, struct record_blocks *blocks)
{
	int r = 0;

	if (!l->due || !l->dir_ino)
		return 0;
	l->replaces = !l->base || l->base->size + l->text.len > MONITOR_BYTES_MAX;
	if (l->base && l->replaces)
		r = keep_half(e, l);
	if (!r)
		r = record_blocks_add(blocks, l->text.data, l->text.len, &l->extent);
	l->extent.len = l->text.len;
	l->extent.file_offset = l->replaces ? 0 : l->base->size;
	return r;
}

int monitor_line_add(const struct monitor_line *l, struct txn *t)
{
	const struct node *dir = tree_node(t->e->tree, l->dir_ino);
	const struct dentry *d = dir ? tree_lookup(t->e->tree, dir, MONITOR_FILE, strlen(MONITOR_FILE), SEQ_LIVE) : NULL;
	uint64_t ino = l->ino;
	struct extent *x;

	if (!l->due || !l->dir_ino)
		return 0;
	if (!dir || !dir->nlink || (d ? d->node->newest : NULL) != l->base)
		return -EAGAIN;
	if (!l->base) {
		ino = tree_take_ino(t->e->tree);
		*txn_add_change(t) = (struct change){.type = CHANGE_CREATE,
			.ino = ino,
			.parent = l->dir_ino,
			.name = MONITOR_FILE,
			.name_len = (uint32_t)strlen(MONITOR_FILE),
			.mode = S_IFREG | 0644,
			.uid = l->uid,
			.gid = l->gid};
	}
	x = txn_alloc(t, sizeof(*x));
	if (!x)
		return -ENOMEM;
	*x = l->extent;
	*txn_add_change(t) = (struct change){.type = CHANGE_CONTENT,
		.ino = ino,
		.content_flags = l->replaces ? CONTENT_REPLACE : 0,
		.size = x->file_offset + x->len,
		.extents = x,
		.extent_count = 1};
	return 0;
}

void monitor_line_release(struct monitor_line *l)
{
	buf_release(&l->text);
}
