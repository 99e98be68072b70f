/* SPDX-License-Identifier: MIT
 *
 * Work on an engine without a mount, for the benchmarks that look below FUSE: a store on a real disk, and saves, creations and reads
 * as the operations of a mount would do them. Every failure ends the program.
 */
#ifndef MILESTONEFS_ENGINE_LOAD_H
#define MILESTONEFS_ENGINE_LOAD_H

#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "bench.h"
#include "draft.h"
#include "engine.h"
#include "env.h"

struct engine_load {
	struct env *env;
	struct engine *engine;
};

static inline void load_check(int r, const char *what)
{
	errno = -r;
	if (r)
		bench_die(what);
}

/** Open (make) the store in @path. */
static inline void load_open(struct engine_load *l, const char *path)
{
	struct engine_options opt = {.threads = true, .root_uid = getuid(), .root_gid = getgid()};
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct reason reason = {0};
	int r;

	if (dir < 0)
		bench_die(path);
	l->env = env_posix_new(dir);
	if (!l->env)
		bench_die("env_posix_new");
	r = engine_open(l->env, &opt, &reason, &l->engine);
	if (r) {
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, reason.text);
		load_check(r, "engine_open");
	}
}

static inline void load_close(struct engine_load *l)
{
	load_check(engine_close(l->engine), "engine_close");
	env_posix_free(l->env);
}

static inline void load_request(struct request *q)
{
	*q = (struct request){.uid = getuid(), .gid = getgid()};
	q->actor.uid = q->uid;
	q->actor.gid = q->gid;
	q->actor.pid = (uint32_t)getpid();
	(void)snprintf(q->actor.comm, sizeof(q->actor.comm), "bench");
}

static inline uint64_t load_ino(struct engine *e, const char *path)
{
	struct node *n;

	engine_lock(e);
	n = tree_resolve(engine_tree(e), path, engine_live_seq(e));
	engine_unlock(e);
	return n ? n->ino : 0;
}

/** The inode of a directory below @parent, made when missing. */
static inline uint64_t load_mkdir(struct engine *e, uint64_t parent, const char *name)
{
	struct tree_attr attr;
	struct request q;

	load_request(&q);
	load_check(engine_mkdir(e, &q, parent, name, 0755, &attr), "engine_mkdir");
	return attr.ino;
}

/** A new file's inode; it enters the journal with its first save. */
static inline uint64_t load_create(struct engine *e, uint64_t parent, const char *name)
{
	struct tree_attr attr;
	struct request q;

	load_request(&q);
	load_check(engine_create(e, &q, parent, name, 0644, &attr), "engine_create");
	return attr.ino;
}

/** open(O_TRUNC), write, close: returns the transaction to wait for. */
static inline uint64_t load_save(struct engine *e, uint64_t ino, const void *data, size_t len)
{
	struct request q;
	struct draft *d;

	load_request(&q);
	load_check(draft_open(e, ino, DRAFT_WHOLE, &q.actor, &d), "draft_open");
	load_check(draft_write(d, &q.actor, 0, data, len), "draft_write");
	load_check(draft_commit(d, &q, 0), "draft_commit");
	draft_close(d);
	return q.seq;
}

/** Session bench's own directory; the session is made when missing. */
static inline uint64_t load_session(struct engine *e)
{
	if (!load_ino(e, "state/sessions/bench"))
		(void)load_mkdir(e, load_ino(e, "state/sessions"), "bench");
	return load_ino(e, "state/sessions/bench/state");
}

#endif
