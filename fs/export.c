/* SPDX-License-Identifier: MIT
 *
 * The walk of an export: a view, depth first, names in order of creation. Hard links are found by inode number: the
 * first path carries the content, later ones refer to it. Only what the tree holds is exported; virtual
 * files are views of it and can be had again.
 *
 * An export is what one turns to when something is broken: damaged bytes become zeros, the file is named, and all others are written.
 *
 * The engine is at rest (opened read only by this process), so its lock is never waited for.
 */
#include "export.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"

#define EXPORT_PIECE_BYTES (1u << 20)
#define DAMAGE_PIECE_BYTES 4096u /* in steps of that the rest of a damaged piece is looked for */

struct linked {
	uint64_t ino;
	char *path;
};

struct walk {
	struct engine *e;
	uint64_t seq;
	int64_t time_ns;
	struct export_sink *sink;
	struct reason *reason;
	char *piece;
	struct version_extents scratch;
	struct linked *links; /* open addressing by inode number; only files with several names */
	size_t link_count, link_slots;
	struct export_counts counts;
};

static struct linked *link_slot(const struct walk *w, uint64_t ino)
{
	size_t i = (size_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 32);

	for (;; i++) {
		struct linked *l = &w->links[i & (w->link_slots - 1)];

		if (!l->path || l->ino == ino)
			return l;
	}
}

static int links_grow(struct walk *w)
{
	struct linked *old = w->links;
	size_t slots = w->link_slots;

	w->links = calloc(slots ? slots * 2 : 64, sizeof(*w->links));
	if (!w->links) {
		w->links = old;
		return -ENOMEM;
	}
	w->link_slots = slots ? slots * 2 : 64;
	for (size_t i = 0; i < slots; i++)
		if (old[i].path)
			*link_slot(w, old[i].ino) = old[i];
	free(old);
	return 0;
}

/* The earlier path of @ino in *@ret, or NULL after remembering @path. */
static int link_find(struct walk *w, uint64_t ino, const char *path, const char **ret)
{
	struct linked *l;

	if ((w->link_count + 1) * 2 > w->link_slots && links_grow(w))
		return -ENOMEM;
	l = link_slot(w, ino);
	*ret = l->path;
	if (l->path)
		return 0;
	*l = (struct linked){.ino = ino, .path = strdup(path)};
	w->link_count++;
	return l->path ? 0 : -ENOMEM;
}

/* What can be read of a damaged piece, zeros for the rest. How many bytes those are; -errno. */
static ssize_t salvage(struct walk *w, const struct version *v, uint64_t offset, size_t len)
{
	size_t lost = 0;

	for (size_t at = 0, n; at < len; at += n) {
		ssize_t got = engine_read(w->e, v, &w->scratch, offset + at, w->piece + at, n = MIN(len - at, (size_t)DAMAGE_PIECE_BYTES));

		if (got == (ssize_t)n)
			continue;
		if (got < 0 && got != -EIO)
			return got;
		memset(w->piece + at, 0, n);
		lost += n;
	}
	return (ssize_t)lost;
}

static int export_content(struct walk *w, const char *path, const struct version *v)
{
	uint64_t offset = 0, lost = 0;
	int r = 0;

	while (!r && offset < v->size) {
		size_t len = (size_t)MIN(EXPORT_PIECE_BYTES, v->size - offset);
		ssize_t n = engine_read(w->e, v, &w->scratch, offset, w->piece, len);

		if (n != (ssize_t)len) {
			n = n < 0 && n != -EIO ? n : salvage(w, v, offset, len);
			if (n < 0)
				return (int)n;
			lost += (uint64_t)n;
		}
		r = w->sink->data(w->sink, w->piece, len);
		offset += len;
		w->counts.bytes += len;
	}
	if (lost) {
		w->counts.damaged++;
		log_warning("%s: %llu of its %llu bytes are damaged in the store; zeros stand for them", path, (unsigned long long)lost,
			(unsigned long long)v->size);
	}
	return r ? r : w->sink->end(w->sink);
}

static int export_dir(struct walk *w, const struct node *dir, const char *path);

static int export_entry(struct walk *w, const struct node *n, const char *path)
{
	const struct version *v = tree_version_at(n, w->seq);
	struct tree_attr a;
	const char *link_to = NULL;
	int r;

	if (!v || tree_attr_at(engine_tree(w->e), n, w->seq, w->time_ns, &a))
		return reason_set(w->reason, -EIO, "export", "%s has a name but no version at transaction %llu", path, (unsigned long long)w->seq);
	if (!S_ISDIR(a.mode) && n->names && n->names->names_next) {
		r = link_find(w, n->ino, path, &link_to);
		if (r)
			return r;
	}
	r = w->sink->entry(w->sink, path, &a, v->attrs, S_ISLNK(a.mode) ? n->symlink : NULL, link_to);
	if (r)
		return reason_set(w->reason, r, "export", "%s cannot be written: %s", path, strerror(-r));
	w->counts.files++;
	if (S_ISDIR(a.mode))
		return export_dir(w, n, path);
	if (!S_ISREG(a.mode) || link_to)
		return 0;
	r = export_content(w, path, v);
	if (r && !w->reason->text[0])
		reason_set(w->reason, r, "export", "%s cannot be written: %s", path, strerror(-r));
	return r;
}

static int export_dir(struct walk *w, const struct node *dir, const char *path)
{
	struct dentry **entries;
	size_t count;
	int r = tree_list(engine_tree(w->e), dir, w->seq, &entries, &count);

	if (r)
		return r;
	for (size_t i = 0; i < count && !r; i++) {
		cleanup_free char *child = NULL;

		if (asprintf(&child, "%s%s%s", path, *path ? "/" : "", entries[i]->name->text) < 0) {
			child = NULL;
			r = -ENOMEM;
		} else {
			r = export_entry(w, entries[i]->node, child);
		}
	}
	free(entries);
	return r;
}

int export_run(struct engine *e, uint64_t seq, struct export_sink *s, struct reason *reason, struct export_counts *ret)
{
	struct walk w = {.e = e, .seq = seq, .sink = s, .reason = reason, .piece = malloc(EXPORT_PIECE_BYTES)};
	int r = w.piece ? 0 : -ENOMEM;

	engine_lock(e);
	w.time_ns = engine_seq_time(e, seq);
	engine_unlock(e);
	if (!r)
		r = export_dir(&w, tree_node(engine_tree(e), TREE_ROOT_INO), "");
	if (!r)
		r = s->finish(s);
	if (r && !reason->text[0])
		reason_set(reason, r, "export", "the export failed: %s", strerror(-r));
	extent_map_release(&w.scratch.map);
	for (size_t i = 0; i < w.link_slots; i++)
		free(w.links[i].path);
	free(w.links);
	free(w.piece);
	if (!r)
		*ret = w.counts;
	return r;
}
