/* SPDX-License-Identifier: MIT
 *
 * Replies that wait: the request and what is to be answered lie in one allocation around the journal's waiter, freed by its callback.
 *
 * Failure: no memory for a deferred reply makes this worker wait itself. A
 * poisoned journal turns every waiting success into EIO; errors stay what they are.
 */
#include "reply.h"

#include <errno.h>
#include <stdlib.h>

#include "process.h"
#include "session.h"

void fs_request_init(fuse_req_t req, struct request *q)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	*q = (struct request){.uid = ctx->uid, .gid = ctx->gid};
	(void)process_actor_fill(fs_of(req)->processes, (uint32_t)ctx->pid, ctx->uid, ctx->gid, &q->actor); /* exiting: what is known */
}

void reply_error(fuse_req_t req, int error)
{
	(void)fuse_reply_err(req, -error); /* a request the kernel gave up needs no reply */
}

enum deferred_kind { DEFERRED_ERROR, DEFERRED_WRITE, DEFERRED_ENTRY, DEFERRED_ATTR };

struct deferred {
	struct journal_waiter waiter; /* first: the callback's argument */
	fuse_req_t req;
	enum deferred_kind kind;
	int error;
	union {
		size_t written;
		struct fuse_entry_param entry;
		struct {
			struct stat st;
			double timeout_s;
		} attr;
	};
};

static void deferred_send(struct deferred *d, int error)
{
	if (!d->error)
		d->error = error;
	if (d->error || d->kind == DEFERRED_ERROR)
		reply_error(d->req, d->error);
	else if (d->kind == DEFERRED_WRITE)
		(void)fuse_reply_write(d->req, d->written);
	else if (d->kind == DEFERRED_ENTRY)
		(void)fuse_reply_entry(d->req, &d->entry);
	else
		(void)fuse_reply_attr(d->req, &d->attr.st, d->attr.timeout_s);
}

static void deferred_done(struct journal_waiter *w, int error)
{
	struct deferred *d = (struct deferred *)w;

	deferred_send(d, error);
	free(d);
}

static void defer(struct fs *fs, const struct deferred *want)
{
	struct deferred now = *want, *d;

	if (!want->waiter.seq) {
		deferred_send(&now, 0);
		return;
	}
	d = malloc(sizeof(*d));
	if (!d) {
		deferred_send(&now, engine_wait(fs->engine, want->waiter.seq, want->waiter.level));
		return;
	}
	*d = *want;
	d->waiter.fn = deferred_done;
	d->waiter.leads = fs_session_request()->alone;
	if (engine_notify(fs->engine, &d->waiter))
		fs_session_slept(fs);
}

void reply_error_after(struct fs *fs, fuse_req_t req, uint64_t seq, enum journal_level level, int error)
{
	defer(fs, &(struct deferred){.waiter = {.seq = seq, .level = level}, .req = req, .kind = DEFERRED_ERROR, .error = error});
}

void reply_write_after(struct fs *fs, fuse_req_t req, uint64_t seq, enum journal_level level, size_t size)
{
	defer(fs, &(struct deferred){.waiter = {.seq = seq, .level = level}, .req = req, .kind = DEFERRED_WRITE, .written = size});
}

void reply_entry_after(struct fs *fs, fuse_req_t req, uint64_t seq, const struct fuse_entry_param *e)
{
	defer(fs, &(struct deferred){.waiter = {.seq = seq, .level = JOURNAL_ACKNOWLEDGED}, .req = req, .kind = DEFERRED_ENTRY, .entry = *e});
}

void reply_attr_after(struct fs *fs, fuse_req_t req, uint64_t seq, const struct stat *st, double timeout_s)
{
	defer(fs,
		&(struct deferred){
			.waiter = {.seq = seq, .level = JOURNAL_ACKNOWLEDGED}, .req = req, .kind = DEFERRED_ATTR, .attr = {.st = *st, .timeout_s = timeout_s}});
}
