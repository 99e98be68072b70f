/* SPDX-License-Identifier: MIT
 *
 * What a commit of a draft would publish: gathered, checked by the rules and hashed outside the engine lock, so that neither parsing nor
 * reading a large file keeps anybody waiting.
 *
 * A plan is made against the newest version (its base). For whole files and plain appends it does not matter if the base moves on before the
 * plan is staged; for patches and for whatever a rule looked at together with the base it does, and the plan is made again.
 *
 * Left to others: showing it to the rules (draft_rules.c), staging it (draft_commit.c).
 */
#include <errno.h>
#include <string.h>

#include "draft_internal.h"

#define OLD_SHA_BYTES_MAX (1u << 20)
#define RESUME_BYTES_MAX (256u << 10)
#define HASHED_HOLES_MAX (64u << 20)
#define GATHER_EXTENTS 16384

void draft_plan_release(struct draft_plan *p)
{
	record_blocks_release(&p->blocks);
	free(p->extents);
	free(p->text);
	extent_map_release(&p->rest);
	model_save_free(p->model);
	sha256_free(p->running); /* of a plan that was not staged */
	*p = (struct draft_plan){0};
}

/* ---- extents ---- */

static int plan_add_extent(struct draft_plan *p, const struct extent *x)
{
	int r = array_reserve(&p->extents, &p->extent_capacity, p->extent_count + 1, sizeof(*p->extents));

	if (!r)
		p->extents[p->extent_count++] = *x;
	return r;
}

static int plan_add_bytes(struct draft *d, struct draft_plan *p, bool in_frame, uint64_t offset, const char *data, size_t len)
{
	struct extent x = {.file_offset = offset, .len = len};
	int r;

	if (in_frame) {
		r = record_blocks_add(&p->blocks, data, len, &x);
	} else {
		r = arena_content_append(d->e->arena, d->id, data, len, &x.position);
		x.raw_len = x.stored_len = (uint32_t)len;
	}
	x.file_offset = offset;
	x.len = len;
	return r ? r : plan_add_extent(p, &x);
}

/* One run of bytes that lie in the draft arena, in pieces. */
static int plan_add_run(struct draft *d, struct draft_plan *p, bool in_frame, uint64_t start, uint64_t end)
{
	size_t piece = in_frame ? COMMIT_INLINE_MAX : ARENA_RECORD_MAX;
	cleanup_free char *data = malloc((size_t)MIN(end - start, (uint64_t)piece));

	if (!data)
		return -ENOMEM;
	while (start < end) {
		size_t n = (size_t)MIN(end - start, (uint64_t)piece);
		int r = draft_view_read(d, NULL, start, data, n);

		if (!r)
			r = plan_add_bytes(d, p, in_frame, start, data, n);
		if (r)
			return r;
		start += n;
	}
	return 0;
}

static uint64_t arena_bytes(const struct draft *d, uint64_t end)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < d->map.count && d->map.items[i].file_offset < end; i++)
		if (d->map.items[i].position != EXTENT_ZERO && position_kind(d->map.items[i].position) == POSITION_DRAFT)
			sum += d->map.items[i].len;
	return sum;
}

static bool in_arena(const struct extent *x)
{
	return x->position != EXTENT_ZERO && position_kind(x->position) == POSITION_DRAFT;
}

/* Too many short blocks for one record: they are written again, as long ones. */
static bool is_gathered(const struct draft *d, const struct extent *x)
{
	return in_arena(x) || (d->map.count > GATHER_EXTENTS && x->position != EXTENT_ZERO && x->len < ARENA_RECORD_MAX / 2);
}

static bool has_content_blocks(const struct draft *d)
{
	for (size_t i = 0; i < d->map.count; i++)
		if (d->map.items[i].position != EXTENT_ZERO && !in_arena(&d->map.items[i]))
			return true;
	return false;
}

/* What was written up to @end: arena bytes into blocks (short in all: in the frame), content blocks as they are, zeros as holes. */
static int plan_extents(struct draft *d, struct draft_plan *p, uint64_t end)
{
	bool in_frame = d->map.count <= GATHER_EXTENTS && arena_bytes(d, end) <= COMMIT_INLINE_MAX;
	int r = 0;

	for (size_t i = 0; i < d->map.count && d->map.items[i].file_offset < end && !r;) {
		struct extent x = d->map.items[i];
		size_t next = i + 1;

		extent_clip(&x, 0, end);
		if (is_gathered(d, &x)) {
			uint64_t stop = x.file_offset + x.len;

			while (next < d->map.count && is_gathered(d, &d->map.items[next]) && d->map.items[next].file_offset == stop && stop < end)
				stop += d->map.items[next++].len; /* not within MIN(), which would count twice */
			stop = MIN(stop, end);
			r = plan_add_run(d, p, in_frame, x.file_offset, stop);
		} else if (x.position != EXTENT_ZERO) {
			r = plan_add_extent(p, &x);
		} else if (!p->whole) {
			x = (struct extent){.file_offset = x.file_offset, .len = x.len};
			r = plan_add_extent(p, &x);
		}
		i = next;
	}
	return r;
}

/* A small whole file is one block, holes and all. */
static int plan_small_whole(struct draft *d, struct draft_plan *p)
{
	int r = 0;

	if (!p->text)
		r = draft_text_whole(d, p);
	if (r || !p->size)
		return r;
	return plan_add_bytes(d, p, true, 0, p->text, (size_t)p->size);
}

/* ---- hashes ---- */

static int hash_view(struct draft *d, const struct version *base, uint64_t len, struct sha256 *ret)
{
	cleanup_free char *chunk = malloc(len ? (size_t)MIN(len, (uint64_t)ARENA_RECORD_MAX) : 1);
	struct sha256_state *s = sha256_new();
	int r = chunk && s ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < len && !r;) {
		size_t n = (size_t)MIN(len - at, (uint64_t)ARENA_RECORD_MAX);

		r = draft_view_read(d, base, at, chunk, n);
		if (!r)
			sha256_update(s, chunk, n);
		at += n;
	}
	if (!r)
		sha256_peek(s, ret);
	sha256_free(s);
	return r;
}

/* The running hash of the base: kept from the last append, or made once for a file that is short. */
static struct sha256_state *running_hash(struct draft *d, const struct version *base)
{
	struct sha256_state *s = base ? hash_resume_take(d->e->hashes, d->ino, base->born) : NULL;
	cleanup_free char *text = NULL;

	if (s || (base && base->size > RESUME_BYTES_MAX))
		return s;
	s = sha256_new();
	if (!s || !base || !base->size)
		return s;
	text = malloc((size_t)base->size);
	if (!text || engine_read(d->e, base, &d->base_extents, 0, text, (size_t)base->size) != (ssize_t)base->size) {
		sha256_free(s);
		return NULL; /* then the event has no hash of the whole */
	}
	sha256_update(s, text, (size_t)base->size);
	return s;
}

static int hash_append(struct draft *d, struct draft_plan *p)
{
	cleanup_free char *chunk = malloc((size_t)MIN(p->append_len + 1, (uint64_t)ARENA_RECORD_MAX));
	struct sha256_state *added = sha256_new();
	int r = chunk && added ? 0 : -ENOMEM;

	if (!r)
		p->running = running_hash(d, p->base);
	for (uint64_t at = 0; at < p->append_len && !r;) {
		size_t n = (size_t)MIN(p->append_len - at, (uint64_t)ARENA_RECORD_MAX);

		r = draft_view_read(d, NULL, at, chunk, n);
		if (!r)
			sha256_update(added, chunk, n);
		if (!r && p->running)
			sha256_update(p->running, chunk, n);
		at += n;
	}
	if (!r) {
		sha256_peek(added, &p->bytes_sha);
		p->have_bytes_sha = true;
	}
	if (!r && p->running) {
		sha256_peek(p->running, &p->sha);
		p->have_sha = p->base_matters = true;
	}
	sha256_free(added);
	return r;
}

/* Nothing bounds a hole but the largest size of a file, and a commit costs what was written: it goes without a hash then, as that of a patch does. */
static bool mostly_holes(const struct draft *d, uint64_t size)
{
	uint64_t written = 0;

	for (size_t i = 0; i < d->map.count; i++)
		if (d->map.items[i].position != EXTENT_ZERO)
			written += d->map.items[i].len;
	return size > HASHED_HOLES_MAX && size - HASHED_HOLES_MAX > written;
}

static int plan_hash(struct draft *d, struct draft_plan *p)
{
	if (d->kind == DRAFT_APPEND && !p->model)
		return hash_append(d, p);
	if (p->text && p->text_len == p->size) {
		sha256_of(p->text, p->text_len, &p->sha);
		p->have_sha = true;
		return 0;
	}
	if (!p->whole || mostly_holes(d, p->size))
		return 0;
	p->have_sha = true;
	if (d->sha && d->sha_next == p->size) {
		sha256_peek(d->sha, &p->sha);
		return 0;
	}
	return hash_view(d, p->base, p->size, &p->sha);
}

void draft_plan_old_sha(struct draft *d, struct draft_plan *p)
{
	if (!p->base)
		return;
	if (sha_cache_get(d->e->shas, d->ino, p->base->born, &p->old_sha))
		p->have_old_sha = true;
	else if (d->kind != DRAFT_APPEND && p->base->size <= OLD_SHA_BYTES_MAX) /* an append costs what it adds */
		p->have_old_sha = engine_content_sha(d->e, d->node, p->base, &p->old_sha) == 0;
}

static void plan_begin(struct draft *d, struct draft_plan *p)
{
	bool newborn;

	engine_lock(d->e);
	newborn = d->node->flags & NODE_NEWBORN;
	p->base = newborn ? NULL : d->node->newest;
	engine_unlock(d->e);
	p->under = p->base;
	p->whole = d->kind == DRAFT_WHOLE || (newborn && d->kind != DRAFT_APPEND);
	if (d->kind == DRAFT_APPEND)
		p->append_len = d->size;
	else if (p->whole || d->size_set)
		p->size = d->size;
	else
		p->size = MAX(p->base->size, d->size);
}

/* ---- files of the state model ---- */

/* A patch means the text its writer saw. The daemon's upkeep in between moved bytes about, but took nothing back: it goes below the
 * merge, not below the patch. Only another user's save does. */
static void plan_under(struct draft *d, const char *path, struct draft_plan *p)
{
	uint64_t user_seq = model_user_seq(d->e, path), size;

	if (d->kind != DRAFT_PATCH || p->whole || !p->base)
		return;
	if (d->base_text && user_seq == d->last_seq)
		size = d->base_len;
	else if (!d->base_text && d->base->born >= user_seq)
		size = d->base->size;
	else
		return;
	p->under = d->base;
	if (!d->size_set)
		p->size = MAX(size, d->size);
}

/* What was saved becomes what the file is to hold, whole. */
static int plan_model(struct draft *d, const char *path, struct draft_plan *p)
{
	int r = p->text ? 0 : draft_text_whole(d, p);

	if (!r)
		r = model_save_prepare(d->e, path, p->before, &p->text, &p->text_len, &p->blocks, &p->reason, &p->model);
	if (r == -EBADMSG) {
		p->refuse = true;
		return 0;
	}
	if (r)
		return r == -ENOENT ? 0 : r;
	p->whole = p->base_matters = true;
	p->size = p->text_len;
	return 0;
}

static int plan_add_text(struct draft *d, struct draft_plan *p)
{
	size_t piece = p->text_len <= COMMIT_INLINE_MAX ? COMMIT_INLINE_MAX : ARENA_RECORD_MAX;
	int r = 0;

	for (size_t at = 0; at < p->text_len && !r; at += piece)
		r = plan_add_bytes(d, p, p->text_len <= COMMIT_INLINE_MAX, at, p->text + at, MIN(p->text_len - at, piece));
	return r;
}

int draft_prepare(struct draft *d, char *const *paths, size_t path_count, const struct node *before, int flags, struct draft_plan *p)
{
	bool model = model_kind_of(paths[0], NULL, NULL) != MODEL_NONE;
	struct rule_options ro;
	int r;

	*p = (struct draft_plan){.before = before};
	config_rule_options(engine_config(d->e), &ro);
	plan_begin(d, p);
	if (model)
		plan_under(d, paths[0], p);
	p->rule = draft_strictest_rule(&ro, paths, path_count);
	r = draft_plan_rules(d, &ro, paths, path_count, flags, p);
	if (!r && !p->refuse && model)
		r = plan_model(d, paths[0], p);
	if (r || p->refuse)
		return r;
	if (p->model)
		r = plan_add_text(d, p);
	else if (d->kind != DRAFT_APPEND && p->whole && p->size <= COMMIT_INLINE_MAX && !has_content_blocks(d))
		r = plan_small_whole(d, p);
	else
		r = plan_extents(d, p, d->kind == DRAFT_APPEND ? p->append_len : MIN(p->size, EXTENT_TO_END));
	if (!r)
		r = plan_hash(d, p);
	if (!r)
		draft_plan_old_sha(d, p);
	return r;
}

int draft_own_extents(struct draft *d, struct draft_plan *p)
{
	return plan_extents(d, p, d->size);
}
