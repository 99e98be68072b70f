/* SPDX-License-Identifier: MIT
 *
 * Reading through a draft: its map lies over the base, which shows where nothing was written. What size it has, and where data is.
 */
#include <errno.h>
#include <string.h>

#include "draft_internal.h"

/* ---- sizes ---- */

const struct version *draft_newest(struct draft *d)
{
	const struct version *v;

	engine_lock(d->e);
	v = d->node->newest;
	engine_unlock(d->e);
	return v;
}

/* Size of what lies below the draft, now. */
static uint64_t base_size(struct draft *d)
{
	if (d->kind == DRAFT_WHOLE || !d->node)
		return 0;
	if (d->kind == DRAFT_PATCH)
		return d->base_text ? d->base_len : d->base->size;
	return draft_newest(d)->size;
}

uint64_t draft_size_locked(struct draft *d)
{
	if (d->kind == DRAFT_APPEND)
		return base_size(d) + d->size;
	if (d->kind == DRAFT_WHOLE || d->size_set)
		return d->size;
	return MAX(base_size(d), d->size);
}

uint64_t draft_size(struct draft *d)
{
	uint64_t size;

	pthread_mutex_lock(&d->lock);
	size = draft_size_locked(d);
	pthread_mutex_unlock(&d->lock);
	return size;
}

int64_t draft_mtime(struct draft *d)
{
	int64_t t;

	pthread_mutex_lock(&d->lock);
	t = d->keep_mtime ? 0 : d->mtime_ns;
	pthread_mutex_unlock(&d->lock);
	return t;
}

/* ---- reading ---- */

static int base_read(struct draft *d, const struct version *base, uint64_t offset, char *buf, size_t len)
{
	ssize_t n = 0;

	if (d->base_text && base == d->base && d->kind == DRAFT_PATCH) {
		n = offset < d->base_len ? (ssize_t)MIN((uint64_t)len, d->base_len - offset) : 0;
		if (n)
			memcpy(buf, d->base_text + offset, (size_t)n);
	} else if (base && d->kind != DRAFT_WHOLE)
		n = engine_read(d->e, base, &d->base_extents, offset, buf, len);
	if (n < 0)
		return (int)n;
	memset(buf + n, 0, len - (size_t)n);
	return 0;
}

/* What the last write wrote is still at hand. */
static bool recent_copy(const struct draft *d, const struct extent *x, char *buf)
{
	if (!d->recent || x->file_offset < d->recent_offset || x->file_offset + x->len > d->recent_offset + d->recent_len)
		return false;
	memcpy(buf, d->recent + (x->file_offset - d->recent_offset), (size_t)x->len);
	return true;
}

/* [offset, offset+len) as if the draft's map lay over @base; draft.lock held; the range is within the size. */
static int view_read(struct draft *d, const struct version *base, uint64_t offset, char *buf, size_t len)
{
	struct extent found[16];
	uint64_t at = offset, end = offset + len;

	while (at < end) {
		uint64_t covered;
		size_t n = extent_map_range(&d->map, at, end - at, found, ARRAY_SIZE(found), &covered);
		int r = 0;

		if (covered > end)
			covered = end;
		for (size_t i = 0; i < n && !r; i++) {
			if (found[i].file_offset > at)
				r = base_read(d, base, at, buf + (at - offset), (size_t)(found[i].file_offset - at));
			if (!r && !recent_copy(d, &found[i], buf + (found[i].file_offset - offset)))
				r = extent_read(d->e, &found[i], 0, buf + (found[i].file_offset - offset), (size_t)found[i].len);
			at = found[i].file_offset + found[i].len;
		}
		if (!r && at < covered)
			r = base_read(d, base, at, buf + (at - offset), (size_t)(covered - at));
		if (r)
			return r;
		at = covered;
	}
	return 0;
}

static ssize_t append_read(struct draft *d, uint64_t offset, char *buf, size_t len)
{
	const struct version *base = draft_newest(d);
	size_t below = offset < base->size ? (size_t)MIN((uint64_t)len, base->size - offset) : 0;
	size_t above;
	int r = 0;

	if (below) {
		ssize_t n = engine_read(d->e, base, &d->base_extents, offset, buf, below);

		if (n < 0)
			return n;
	}
	offset = offset + below - base->size; /* now relative to the appended bytes */
	if (below == len || offset >= d->size)
		return (ssize_t)below;
	above = (size_t)MIN((uint64_t)(len - below), d->size - offset);
	r = view_read(d, NULL, offset, buf + below, above);
	return r ? r : (ssize_t)(below + above);
}

ssize_t draft_read(struct draft *d, uint64_t offset, void *buf, size_t len)
{
	uint64_t size;
	ssize_t n;

	pthread_mutex_lock(&d->lock);
	if (d->kind == DRAFT_APPEND && d->node) {
		n = append_read(d, offset, buf, len);
	} else {
		const struct version *base = d->kind == DRAFT_SHARED && d->node ? draft_newest(d) : d->base;

		size = d->node ? draft_size_locked(d) : d->size;
		len = offset < size ? (size_t)MIN((uint64_t)len, size - offset) : 0;
		n = len ? view_read(d, base, offset, buf, len) : 0;
		n = n ? n : (ssize_t)len;
	}
	pthread_mutex_unlock(&d->lock);
	return n;
}

int draft_view_read(struct draft *d, const struct version *base, uint64_t offset, void *buf, size_t len)
{
	return view_read(d, base, offset, buf, len);
}

/* ---- SEEK_DATA, SEEK_HOLE ---- */

/* End of the run of data (or hole) that @at lies in, and which of both it is. */
static int run_at(struct draft *d, const struct version *base, uint64_t at, uint64_t size, bool *ret_data, uint64_t *ret_end)
{
	struct extent x;
	uint64_t covered;
	ssize_t n = (ssize_t)extent_map_range(&d->map, at, size - at, &x, 1, &covered);

	if (n && x.file_offset == at) {
		*ret_data = x.position != EXTENT_ZERO;
		*ret_end = at + x.len;
		return 0;
	}
	*ret_end = n ? x.file_offset : size;
	if (d->base_text && d->kind == DRAFT_PATCH && at < d->base_len) {
		*ret_data = true;
		*ret_end = MIN(*ret_end, (uint64_t)d->base_len);
		return 0;
	}
	if (!base || d->kind == DRAFT_WHOLE || at >= base->size) {
		*ret_data = false;
		return 0;
	}
	*ret_end = MIN(*ret_end, base->size);
	engine_lock(d->e);
	n = tree_extents(base, &d->base_extents, at, *ret_end - at, &x, 1, &covered);
	engine_unlock(d->e);
	if (n < 0)
		return (int)n;
	*ret_data = n && x.file_offset == at;
	if (*ret_data)
		*ret_end = at + x.len;
	else if (n)
		*ret_end = x.file_offset;
	return 0;
}

int64_t draft_seek(struct draft *d, uint64_t offset, bool data)
{
	const struct version *base;
	uint64_t size, at = offset;
	int64_t found = -ENXIO;

	pthread_mutex_lock(&d->lock);
	size = draft_size_locked(d);
	base = d->kind == DRAFT_SHARED || d->kind == DRAFT_APPEND ? draft_newest(d) : d->base;
	if (d->kind == DRAFT_APPEND) { /* appended bytes are one run of data after the base */
		found = offset >= size ? -ENXIO : (int64_t)(data ? offset : size);
		at = size;
	}
	while (at < size) {
		bool is_data = false;
		uint64_t end = size;
		int r = run_at(d, base, at, size, &is_data, &end);

		if (r) {
			found = r;
			break;
		}
		if (is_data == data) {
			found = (int64_t)at;
			break;
		}
		at = end;
	}
	if (found == -ENXIO && !data && offset < size)
		found = (int64_t)size; /* the end of a file counts as a hole */
	pthread_mutex_unlock(&d->lock);
	return found;
}
