/* SPDX-License-Identifier: MIT
 *
 * Do two versions of a file show the same bytes of the store? Walks over both as runs, data or hole, however their extents are cut. Equal bytes
 * in different places of the store are not noticed: whoever asks can do what he would do with different ones.
 */
#include <errno.h>

#include "restore_internal.h"

#define EXTENTS_AT_ONCE 64

/** A walk over what a version shows. */
struct runs {
	const struct version *v;
	struct version_extents *scratch;
	struct extent items[EXTENTS_AT_ONCE];
	ssize_t count, next;
	uint64_t at, covered;
};

/* The run that begins where the walk stands. 0 or -ENOMEM. */
static int runs_get(struct runs *r, struct extent *ret)
{
	const struct extent *x;

	if (r->at == r->covered) {
		r->next = 0;
		r->count = tree_extents(r->v, r->scratch, r->at, r->v->size - r->at, r->items, EXTENTS_AT_ONCE, &r->covered);
		if (r->count < 0)
			return (int)r->count;
	}
	x = r->next < r->count ? &r->items[r->next] : NULL;
	if (x && x->file_offset <= r->at) {
		*ret = *x;
		extent_clip(ret, r->at, UINT64_MAX);
	} else {
		*ret = (struct extent){.file_offset = r->at, .len = (x ? x->file_offset : r->covered) - r->at};
	}
	return 0;
}

static void runs_pass(struct runs *r, uint64_t len)
{
	r->at += len;
	if (r->next < r->count && r->items[r->next].file_offset + r->items[r->next].len <= r->at)
		r->next++;
}

int restore_same_content(const struct version *v, const struct version *w, struct version_extents *scratch_v, struct version_extents *scratch_w)
{
	struct runs a = {.v = v, .scratch = scratch_v}, b = {.v = w, .scratch = scratch_w};

	if (tree_version_same_content(v, w))
		return 1;
	if (v->size != w->size)
		return 0;
	while (a.at < v->size) {
		struct extent x, y;
		uint64_t len;

		if (runs_get(&a, &x) || runs_get(&b, &y))
			return -ENOMEM;
		if (x.position != y.position || (x.position && x.skip != y.skip))
			return 0;
		len = MIN(x.len, y.len);
		runs_pass(&a, len);
		runs_pass(&b, len);
	}
	return 1;
}
