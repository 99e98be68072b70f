/* SPDX-License-Identifier: MIT
 *
 * The moment a draft is handed to the engine. `unsettled` is cleared before the commit and set again when something is left:
 * a stream's unfinished line, or all of it for want of room or health. A write that comes between sets it after its bytes arrived.
 *
 * Leaves to others: whether this is the time (op_file_close.c, autocommit.c, op_lock.c).
 */
#include "publish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "inval.h"
#include "log.h"
#include "proc_read.h"

void log_refusal(const char *operation, const char *name, const struct request *q, int error)
{
	const struct reason *r = &q->reason;

	if (!r->text[0] && error != -EIO && error != -ENOSPC)
		return;
	if (r->line)
		log_info("%s %s: %s: %s (rule %s, line %u, column %u), by %s pid %u", operation, name, strerror(-error), r->text, r->rule, r->line, r->column,
			q->actor.comm, q->actor.pid);
	else
		log_info("%s %s: %s%s%s, by %s pid %u", operation, name, strerror(-error), r->text[0] ? ": " : "", r->text, q->actor.comm, q->actor.pid);
}

static void request_of_handle(const struct handle *h, struct request *q)
{
	*q = (struct request){.actor = h->actor, .uid = h->actor.uid, .gid = h->actor.gid};
}

/* The path, or the number of a file without one. */
static void log_handle_refusal(struct fs *fs, const struct handle *h, const char *operation, const struct request *q, int error)
{
	cleanup_buf struct buf path = BUF_INIT;
	struct node *node;

	engine_lock(fs->engine);
	node = tree_node(engine_tree(fs->engine), h->node_id);
	if (!node || tree_path_at(engine_tree(fs->engine), node, engine_live_seq(fs->engine), &path) < 0)
		buf_printf(&path, "inode %" PRIu64, h->node_id);
	engine_unlock(fs->engine);
	log_refusal(operation, path.data ? path.data : "", q, error);
}

int handle_publish(struct fs *fs, struct handle *h, int flags, uint64_t *ret_seq)
{
	bool dirty = draft_is_dirty(h->draft);
	struct request q;
	int r;

	request_of_handle(h, &q);
	atomic_store(&h->unsettled, false);
	atomic_store(&h->held, false);
	r = draft_commit(h->draft, &q, flags); /* it is published here */
	*ret_seq = q.seq;
	if (r < 0) {
		if (r != -EBADMSG && r != -ESTALE)
			atomic_store(&h->unsettled, true);
		log_handle_refusal(fs, h, "save of", &q, r);
		return r;
	}
	if (draft_is_dirty(h->draft))
		atomic_store(&h->unsettled, true);
	else
		atomic_store(&h->newborn, false);
	handles_refresh(fs, h);
	/* Other processes' mappings follow the live file; a shared draft's do already. */
	if (dirty && q.seq && handles_mapped(fs->handles, h->node_id) && draft_kind_of(h->draft) != DRAFT_SHARED)
		fs_inval_data(fs, h->node_id);
	return r;
}

int handle_discard(struct fs *fs, struct handle *h, uint32_t tgid, uint64_t *ret_seq)
{
	char text[128], comm[ACTOR_COMM_BYTES];
	struct proc_stat st;
	struct request q;
	int r;

	request_of_handle(h, &q);
	memcpy(comm, h->actor.comm, sizeof(comm));
	if (proc_stat_read_pid(tgid, &st) == 0 && (st.exit_code & 0x7f))
		snprintf(text, sizeof(text), "writer %s (pid %u) was killed by signal %d", comm, tgid, st.exit_code & 0x7f);
	else
		snprintf(text, sizeof(text), "writer %s (pid %u) was killed by a signal", comm, tgid);
	atomic_store(&h->unsettled, false);
	r = draft_rollback(h->draft, &q, text);
	*ret_seq = q.seq;
	if (r < 0)
		atomic_store(&h->unsettled, true);
	if (q.seq) {
		reason_set(&q.reason, r, "", "%s", text);
		log_handle_refusal(fs, h, "unfinished save of", &q, r < 0 ? r : -EINTR);
	}
	return r;
}

void handles_publish_of(struct fs *fs, uint64_t ino, uint32_t tgid)
{
	struct handle_list l;
	uint64_t seq;

	if (!handles_writing(fs->handles, ino))
		return;
	(void)handles_find(fs->handles, ino, HANDLE_WRITE, &l); /* without memory: those found */
	for (size_t i = 0; i < l.count; i++) {
		struct handle *h = l.items[i];

		if (!handle_used_by(h, tgid))
			continue;
		pthread_mutex_lock(&h->lock);
		if (h->draft && draft_is_dirty(h->draft) && draft_is_written(h->draft))
			(void)handle_publish(fs, h, 0, &seq); /* refused: stays a draft, said at close again */
		pthread_mutex_unlock(&h->lock);
	}
	handle_list_release(fs, &l);
}
