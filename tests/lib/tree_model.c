/* SPDX-License-Identifier: MIT
 *
 * The model says in the plainest way what each change means. Every look-up is a linear search.
 */
#include "tree_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void model_init(struct model_state *m, uint32_t uid, uint32_t gid, int64_t time)
{
	memset(m, 0, sizeof(*m));
	m->files[0] = (struct model_file){.ino = 1, .mode = S_IFDIR | 0755, .uid = uid, .gid = gid, .mtime = time, .ctime = time};
	m->file_count = 1;
	m->time = time;
}

struct model_file *model_file(struct model_state *m, uint64_t ino)
{
	for (uint32_t i = 0; i < m->file_count; i++)
		if (m->files[i].ino == ino)
			return &m->files[i];
	return NULL;
}

struct model_entry *model_entry(struct model_state *m, uint64_t parent, const char *name, size_t len)
{
	for (uint32_t i = 0; i < m->entry_count; i++) {
		struct model_entry *e = &m->entries[i];

		if (e->parent == parent && strlen(e->name) == len && !memcmp(e->name, name, len))
			return e;
	}
	return NULL;
}

static uint32_t names(const struct model_state *m, uint64_t ino)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->entry_count; i++)
		n += m->entries[i].ino == ino;
	return n;
}

uint32_t model_nlink(const struct model_state *m, uint64_t ino)
{
	uint32_t n = 2;

	if (!S_ISDIR(model_file((struct model_state *)m, ino)->mode))
		return names(m, ino);
	if (ino != 1 && !names(m, ino))
		return 0;
	for (uint32_t i = 0; i < m->entry_count; i++)
		if (m->entries[i].parent == ino)
			n += S_ISDIR(model_file((struct model_state *)m, m->entries[i].ino)->mode);
	return n;
}

bool model_dir_has_entries(const struct model_state *m, uint64_t ino)
{
	for (uint32_t i = 0; i < m->entry_count; i++)
		if (m->entries[i].parent == ino)
			return true;
	return false;
}

static bool name_ok(const char *name, size_t len)
{
	if (!name || len < 1 || len > 255)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '/' || !name[i])
			return false;
	return !(len <= 2 && !memcmp(name, "..", len));
}

static bool links_later(const struct change *changes, size_t count, uint64_t ino)
{
	for (size_t i = 0; i < count; i++)
		if (changes[i].type == CHANGE_LINK && changes[i].ino == ino)
			return true;
	return false;
}

static struct model_file *parent_of(struct model_state *m, const struct change *changes, size_t count, uint64_t ino)
{
	struct model_file *f = model_file(m, ino);

	if (!f || f->newborn || !S_ISDIR(f->mode))
		return NULL;
	return ino == 1 || names(m, ino) || links_later(changes, count, ino) ? f : NULL;
}

static void touch_dir(struct model_file *dir, int64_t time)
{
	if (dir->mtime_set || dir->mtime < time)
		dir->mtime = time;
	if (dir->ctime < time)
		dir->ctime = time;
	dir->mtime_set = false;
}

static void add_entry(struct model_state *m, uint64_t parent, uint64_t ino, const char *name, size_t len, bool newborn)
{
	struct model_entry *e = &m->entries[m->entry_count++];

	*e = (struct model_entry){.parent = parent, .ino = ino, .newborn = newborn};
	memcpy(e->name, name, len);
}

static void remove_entry(struct model_state *m, struct model_entry *e)
{
	size_t after = (size_t)(&m->entries[m->entry_count] - (e + 1));

	memmove(e, e + 1, after * sizeof(*e));
	m->entry_count--;
}

static bool create_ok(const struct change *c)
{
	mode_t type = c->mode & S_IFMT;

	if (c->ino < 2 || c->ino >> 40 || !name_ok(c->name, c->name_len) || c->mode > 0177777)
		return false;
	if (type == S_IFLNK)
		return c->value && c->value_len && c->value_len < 4096 && !memchr(c->value, 0, c->value_len);
	return type == S_IFREG || type == S_IFDIR || type == S_IFIFO || type == S_IFSOCK || type == S_IFBLK || type == S_IFCHR;
}

static void fill(struct model_file *f, uint64_t seq, int64_t time, const struct change *c)
{
	*f = (struct model_file){.ino = c->ino, .mode = c->mode, .uid = c->uid, .gid = c->gid, .born = seq, .mtime = time, .ctime = time};
	if (c->attr_mask & ATTR_MTIME) {
		f->mtime = c->mtime_ns;
		f->mtime_set = true;
	}
	if (c->attr_mask & ATTR_ATIME) {
		f->atime = c->atime_ns;
		f->atime_set = true;
	}
	if (S_ISCHR(c->mode) || S_ISBLK(c->mode))
		f->rdev = c->rdev;
	if (S_ISLNK(c->mode)) {
		memcpy(f->target, c->value, c->value_len);
		f->size = c->value_len;
	}
}

static int create(struct model_state *m, uint64_t seq, int64_t time, const struct change *changes, size_t count, const struct change *c)
{
	struct model_file *f = model_file(m, c->ino), *parent = parent_of(m, changes, count, c->parent);
	struct model_entry *e;

	if (!create_ok(c) || !parent || (f && !f->newborn) || (f && (f->mode ^ c->mode) & S_IFMT))
		return -EIO;
	e = model_entry(m, c->parent, c->name, c->name_len);
	if (e && (!f || e->ino != c->ino))
		return -EIO;
	if (!e && f && names(m, c->ino))
		return -EIO;
	if (e)
		remove_entry(m, e);
	fill(f ? f : &m->files[m->file_count++], seq, time, c);
	add_entry(m, c->parent, c->ino, c->name, c->name_len, false);
	touch_dir(parent, time);
	return 0;
}

/* Is @ino @below or one of the directories above it? */
static bool is_above(struct model_state *m, uint64_t ino, uint64_t below)
{
	while (below != ino) {
		uint64_t up = 0;

		for (uint32_t i = 0; i < m->entry_count; i++)
			if (m->entries[i].ino == below)
				up = m->entries[i].parent;
		if (!up)
			return false;
		below = up;
	}
	return true;
}

static int link_name(struct model_state *m, int64_t time, const struct change *changes, size_t count, const struct change *c)
{
	struct model_file *f = model_file(m, c->ino), *parent = parent_of(m, changes, count, c->parent);

	if (!f || f->newborn || f->ino == 1 || !parent || !name_ok(c->name, c->name_len) || model_entry(m, c->parent, c->name, c->name_len))
		return -EIO;
	if (S_ISDIR(f->mode) && (names(m, c->ino) || is_above(m, c->ino, c->parent)))
		return -EIO;
	add_entry(m, c->parent, c->ino, c->name, c->name_len, false);
	f->ctime = f->ctime > time ? f->ctime : time;
	touch_dir(parent, time);
	return 0;
}

static int unlink_name(struct model_state *m, int64_t time, const struct change *changes, size_t count, const struct change *c)
{
	struct model_file *parent = model_file(m, c->parent), *f;
	struct model_entry *e;

	if (!parent || parent->newborn || !S_ISDIR(parent->mode) || !name_ok(c->name, c->name_len))
		return -EIO;
	e = model_entry(m, c->parent, c->name, c->name_len);
	if (!e || e->newborn || (c->ino && c->ino != e->ino))
		return -EIO;
	f = model_file(m, e->ino);
	if (S_ISDIR(f->mode) && model_dir_has_entries(m, f->ino) && !links_later(changes, count, f->ino))
		return -EIO;
	remove_entry(m, e);
	f->ctime = f->ctime > time ? f->ctime : time;
	touch_dir(parent, time);
	return 0;
}

static void begin(struct model_file *f, uint64_t seq, int64_t time, bool keep_ctime)
{
	int64_t at = time;

	if (f->born != seq) {
		f->born = seq;
		f->has_older = true;
		f->older_ctime = f->ctime;
	}
	if (keep_ctime)
		return;
	if (f->has_older && f->older_ctime >= time)
		at = f->older_ctime + 1;
	f->ctime = f->ctime > at ? f->ctime : at;
}

static void set_attrs(struct model_file *f, const struct change *c)
{
	if (c->attr_mask & ATTR_MODE)
		f->mode = (f->mode & S_IFMT) | (c->mode & 07777);
	if (c->attr_mask & ATTR_UID)
		f->uid = c->uid;
	if (c->attr_mask & ATTR_GID)
		f->gid = c->gid;
	if (c->attr_mask & ATTR_ATIME) {
		f->atime = c->atime_ns;
		f->atime_set = true;
	}
	if (c->attr_mask & ATTR_MTIME) {
		f->mtime = c->mtime_ns;
		f->mtime_set = true;
	}
}

static struct model_xattr *find_xattr(struct model_file *f, const struct change *c)
{
	for (uint32_t i = 0; i < f->xattr_count; i++)
		if (strlen(f->xattrs[i].name) == c->name_len && !memcmp(f->xattrs[i].name, c->name, c->name_len))
			return &f->xattrs[i];
	return NULL;
}

static bool xattr_ok(struct model_file *f, const struct change *c)
{
	return c->name && c->name_len && c->name_len < 256 && !memchr(c->name, 0, c->name_len) && (c->value || find_xattr(f, c));
}

static void set_xattr(struct model_file *f, const struct change *c)
{
	struct model_xattr *x = find_xattr(f, c);

	if (!c->value) {
		*x = f->xattrs[--f->xattr_count];
		return;
	}
	if (!x)
		x = &f->xattrs[f->xattr_count++];
	*x = (struct model_xattr){.value_len = c->value_len};
	memcpy(x->name, c->name, c->name_len);
	memcpy(x->value, c->value, c->value_len);
}

static bool content_ok(const struct change *c)
{
	if (c->size > INT64_MAX)
		return false;
	for (uint32_t i = 0; i < c->extent_count; i++) {
		const struct extent *e = &c->extents[i];

		if (!e->len || e->len > UINT64_MAX - e->file_offset)
			return false;
		if (e->position && (e->file_offset + e->len > c->size || !e->stored_len || e->stored_len > e->raw_len || e->skip + e->len > e->raw_len))
			return false;
	}
	return true;
}

static void set_content(struct model_file *f, const struct change *c)
{
	if (c->content_flags & CONTENT_REPLACE)
		memset(f->bytes, 0, sizeof(f->bytes));
	for (uint64_t i = c->size; i < MODEL_SIZE; i++)
		f->bytes[i] = 0;
	for (uint32_t i = 0; i < c->extent_count; i++) {
		const struct extent *e = &c->extents[i];

		for (uint64_t k = 0; k < e->len && e->file_offset + k < MODEL_SIZE; k++)
			f->bytes[e->file_offset + k] = e->position ? e->position * 1000 + e->skip + k : 0;
	}
	f->size = c->size;
}

int model_apply(struct model_state *m, uint64_t seq, int64_t time, const struct change *changes, size_t count, size_t at)
{
	const struct change *c = &changes[at];
	struct model_file *f = model_file(m, c->ino);

	switch (c->type) {
	case CHANGE_CREATE:
		return create(m, seq, time, changes, count, c);
	case CHANGE_LINK:
		return link_name(m, time, changes, count, c);
	case CHANGE_UNLINK:
		return unlink_name(m, time, changes, count, c);
	case CHANGE_ATTR:
		if (!f || f->newborn || c->attr_mask > 63)
			return -EIO;
		begin(f, seq, time, c->attr_mask & ATTR_KEEP_CTIME);
		set_attrs(f, c);
		return 0;
	case CHANGE_XATTR:
		if (!f || f->newborn || !xattr_ok(f, c))
			return -EIO;
		begin(f, seq, time, false);
		set_xattr(f, c);
		return 0;
	case CHANGE_CONTENT:
		if (!f || f->newborn || !S_ISREG(f->mode) || !content_ok(c))
			return -EIO;
		begin(f, seq, time, false);
		set_content(f, c);
		if (!(c->content_flags & CONTENT_KEEP_MTIME)) {
			f->mtime = f->ctime;
			f->mtime_set = false;
		}
		return 0;
	}
	return -EIO;
}

static int place_ok(struct model_state *m, uint64_t parent, const char *name, size_t len)
{
	if (!parent_of(m, NULL, 0, parent) || !name_ok(name, len))
		return -EIO;
	return model_entry(m, parent, name, len) ? -EEXIST : 0;
}

int model_newborn_create(struct model_state *m, int64_t time, const struct change *c)
{
	int r;

	if (!create_ok(c) || model_file(m, c->ino))
		return -EIO;
	r = place_ok(m, c->parent, c->name, c->name_len);
	if (r)
		return r;
	fill(&m->files[m->file_count], UINT64_MAX - 1, time, c);
	m->files[m->file_count++].newborn = true;
	add_entry(m, c->parent, c->ino, c->name, c->name_len, true);
	touch_dir(model_file(m, c->parent), time);
	return 0;
}

int model_newborn_change(struct model_state *m, uint64_t ino, int64_t time, const struct change *c)
{
	struct model_file *f = model_file(m, ino);

	if (c->type == CHANGE_XATTR && !xattr_ok(f, c))
		return -EIO;
	if (c->type == CHANGE_XATTR)
		set_xattr(f, c);
	else
		set_attrs(f, c);
	if ((c->type == CHANGE_XATTR || !(c->attr_mask & ATTR_KEEP_CTIME)) && f->ctime < time)
		f->ctime = time;
	return 0;
}

void model_newborn_unlink(struct model_state *m, uint64_t ino)
{
	for (uint32_t i = 0; i < m->entry_count; i++)
		if (m->entries[i].ino == ino) {
			remove_entry(m, &m->entries[i]);
			return;
		}
}

int model_newborn_rename(struct model_state *m, uint64_t ino, uint64_t parent, const char *name, size_t len)
{
	int r = place_ok(m, parent, name, len);

	if (r)
		return r;
	model_newborn_unlink(m, ino);
	add_entry(m, parent, ino, name, len, true);
	return 0;
}

void model_snapshot(const struct model_state *m, struct model_state *to)
{
	*to = *m;
	to->file_count = to->entry_count = 0;
	for (uint32_t i = 0; i < m->file_count; i++)
		if (!m->files[i].newborn)
			to->files[to->file_count++] = m->files[i];
	for (uint32_t i = 0; i < m->entry_count; i++)
		if (!m->entries[i].newborn)
			to->entries[to->entry_count++] = m->entries[i];
}

bool model_path(struct model_state *m, const struct model_entry *e, char *out, size_t bytes)
{
	char below[4096];

	snprintf(out, bytes, "%s", e->name);
	for (uint64_t dir = e->parent; dir != 1;) {
		const struct model_entry *up = NULL;

		for (uint32_t i = 0; i < m->entry_count; i++)
			if (m->entries[i].ino == dir)
				up = &m->entries[i];
		if (!up)
			return false;
		snprintf(below, sizeof(below), "%s", out);
		snprintf(out, bytes, "%s/%.3000s", up->name, below);
		dir = up->parent;
	}
	return true;
}
