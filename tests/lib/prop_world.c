/* SPDX-License-Identifier: MIT
 *
 * See prop_world.h: the world, and random things to do to it.
 */
#include "prop_world.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "env_mem.h"

void prop_expect(struct prop_world *w, int got, int want)
{
	if (got == want)
		return;
	rng_report(&w->rng, "test_engine_prop");
	fail_msg("operation %llu, %s: answered %d (%s) instead of %d (%s)", (unsigned long long)w->op, w->what, got, strerror(-got), want, strerror(-want));
}

const char *const prop_bases[] = {"w", "state/sessions/s0/state"};

void prop_random_path(struct prop_world *w, char out[FS_MODEL_PATH])
{
	static const char *const names[] = {"a", "b.txt", "c.json", "c.json", "d.json", "e.jsonl.txt", "f.log", "g", "h", "n m", "x\"\n\xff"};
	static const char *const dirs[] = {"d1", "d2", "d3"};
	int n = snprintf(out, FS_MODEL_PATH, "%s", prop_bases[rng_below(&w->rng, 2)]);

	for (uint64_t depth = rng_coin(&w->rng) ? rng_below(&w->rng, 3) : 0; depth; depth--)
		n += snprintf(out + n, (size_t)(FS_MODEL_PATH - n), "/%s", dirs[rng_below(&w->rng, 3)]);
	if (rng_below(&w->rng, 8) == 0)
		snprintf(out + n, (size_t)(FS_MODEL_PATH - n), "/%s", dirs[rng_below(&w->rng, 3)]);
	else
		snprintf(out + n, (size_t)(FS_MODEL_PATH - n), "/%s", names[rng_below(&w->rng, ARRAY_SIZE(names))]);
}

void prop_some_path(struct prop_world *w, char out[FS_MODEL_PATH])
{
	prop_random_path(w, out);
	for (int tries = 0; tries < 12 && !fs_model_find(w->m, out); tries++)
		prop_random_path(w, out);
}

void prop_parent_of(const char *path, char out[FS_MODEL_PATH])
{
	snprintf(out, FS_MODEL_PATH, "%.*s", (int)(strrchr(path, '/') - path), path);
}

bool prop_is_regular(struct prop_world *w, const char *path)
{
	struct fs_file *f = fs_model_file(w->m, path);

	return f && S_ISREG(f->mode);
}

size_t prop_random_text(struct prop_world *w, const char *path, char out[PROP_TEXT_MAX])
{
	uint64_t dice = rng_below(&w->rng, 10);
	size_t n;

	if (dice == 0)
		return 0;
	if (fs_model_is_json(path))
		return (size_t)snprintf(out, PROP_TEXT_MAX, dice < 6 ? "{\"v\": %llu}\n" : "[x%llu", (unsigned long long)rng_below(&w->rng, 1000));
	n = 1 + (size_t)rng_below(&w->rng, dice < 8 ? 40 : PROP_TEXT_MAX - 1);
	for (size_t i = 0; i < n; i++)
		out[i] = i ? (char)('a' + rng_below(&w->rng, 26)) : '#';
	return n;
}

bool prop_is_ruled(struct prop_world *w, const char *path)
{
	struct fs_entry *e = fs_model_find(w->m, path);

	for (size_t i = 0; e && i < FS_MODEL_ENTRIES; i++)
		if (w->m->entries[i].path[0] && w->m->entries[i].file == e->file && fs_model_is_json(w->m->entries[i].path))
			return true;
	return fs_model_is_json(path);
}

void prop_say(struct prop_world *w, const char *op, const char *a, const char *b)
{
	snprintf(w->what, sizeof(w->what), "%s %s %s", op, a, b);
}

int prop_commit_close(struct prop_world *w, struct draft *d, struct request *q, int r)
{
	if (!r)
		r = draft_commit(d, q, 0);
	draft_close(d);
	return r ? r : engine_wait(w->e, q->seq, JOURNAL_DURABLE);
}

int prop_model_xattr(struct fs_file *f, size_t i, const char *value, int flags)
{
	if (!f)
		return -ENOENT;
	if (!f->xattrs[i].set && (!value || flags & XATTR_REPLACE))
		return -ENODATA;
	if (f->xattrs[i].set && flags & XATTR_CREATE)
		return -EEXIST;
	f->xattrs[i].set = value != NULL;
	snprintf(f->xattrs[i].value, sizeof(f->xattrs[i].value), "%s", value ? value : "");
	return 0;
}

void prop_begin(struct prop_world *w, uint64_t seed)
{
	*w = (struct prop_world){.env = env_mem_new(seed), .m = fs_model_new()};
	rng_init(&w->rng, seed);
	w->e = fixture_open_ok(w->env);
	prop_check(w, !fixture_mkdir(w->e, "state/sessions/s0"));
	prop_check(w, !fixture_mkdir(w->e, "w"));
	prop_check(w, !fs_model_make(w->m, "w", S_IFDIR | 0755, NULL));
	prop_check(w, !fs_model_make(w->m, "state", S_IFDIR | 0755, NULL));
	prop_check(w, !fs_model_make(w->m, "state/sessions", S_IFDIR | 0755, NULL));
	prop_check(w, !fs_model_make(w->m, "state/sessions/s0", S_IFDIR | 0755, NULL));
	prop_check(w, !fs_model_make(w->m, "state/sessions/s0/state", S_IFDIR | 0755, NULL));
}

void prop_end(struct prop_world *w)
{
	for (size_t i = 0; i < PROP_SAVED; i++)
		fs_model_free(w->saved[i].m);
	fs_model_free(w->m);
	prop_check(w, !engine_close(w->e));
	env_mem_free(w->env);
}
