/* SPDX-License-Identifier: MIT
 *
 * See fs_model.h.
 */
#include "fs_model.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NOREPLACE 1u
#define EXCHANGE 2u

struct fs_model *fs_model_new(void)
{
	struct fs_model *m = calloc(1, sizeof(*m));

	assert(m);
	return m;
}

static void blob_unref(struct fs_blob *b)
{
	if (b && --b->refs == 0)
		free(b);
}

void fs_model_free(struct fs_model *m)
{
	for (size_t i = 0; m && i < FS_MODEL_ENTRIES; i++)
		blob_unref(m->files[i].content);
	free(m);
}

struct fs_model *fs_model_copy(const struct fs_model *m)
{
	struct fs_model *copy = fs_model_new();

	*copy = *m;
	for (size_t i = 0; i < FS_MODEL_ENTRIES; i++)
		if (copy->files[i].content)
			copy->files[i].content->refs++;
	return copy;
}

struct fs_entry *fs_model_find(struct fs_model *m, const char *path)
{
	for (size_t i = 0; i < FS_MODEL_ENTRIES; i++)
		if (m->entries[i].path[0] && !strcmp(m->entries[i].path, path))
			return &m->entries[i];
	return NULL;
}

struct fs_file *fs_model_file(struct fs_model *m, const char *path)
{
	struct fs_entry *e = fs_model_find(m, path);

	return e ? &m->files[e->file] : NULL;
}

size_t fs_model_names(const struct fs_model *m, uint32_t file)
{
	size_t n = 0;

	for (size_t i = 0; i < FS_MODEL_ENTRIES; i++)
		n += m->entries[i].path[0] && m->entries[i].file == file;
	return n;
}

size_t fs_model_count(const struct fs_model *m)
{
	size_t n = 0;

	for (size_t i = 0; i < FS_MODEL_ENTRIES; i++)
		n += m->entries[i].path[0] != '\0';
	return n;
}

size_t fs_model_size(const struct fs_file *f)
{
	return f->content ? f->content->size : 0;
}

bool fs_model_is_json(const char *path)
{
	size_t len = strlen(path);

	return len >= 5 && !strcmp(path + len - 5, ".json");
}

static int check_parent(struct fs_model *m, const char *path)
{
	char dir[FS_MODEL_PATH];
	const char *slash = strrchr(path, '/');
	struct fs_file *f;

	if (!slash)
		return 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	f = fs_model_file(m, dir);
	return !f ? -ENOENT : S_ISDIR(f->mode) ? 0 : -ENOTDIR;
}

int fs_model_check_new(struct fs_model *m, const char *path)
{
	int r = check_parent(m, path);

	return r ? r : fs_model_find(m, path) ? -EEXIST : 0;
}

static struct fs_entry *entry_add(struct fs_model *m, const char *path, uint32_t file)
{
	for (size_t i = 0; i < FS_MODEL_ENTRIES; i++)
		if (!m->entries[i].path[0]) {
			snprintf(m->entries[i].path, FS_MODEL_PATH, "%s", path);
			m->entries[i].file = file;
			return &m->entries[i];
		}
	return NULL;
}

int fs_model_make(struct fs_model *m, const char *path, uint32_t mode, const char *target)
{
	int r = fs_model_check_new(m, path);
	uint32_t i = 0;

	if (r)
		return r;
	while (i < FS_MODEL_ENTRIES && m->files[i].used)
		i++;
	if (i == FS_MODEL_ENTRIES || !entry_add(m, path, i))
		return -ENOSPC;
	m->files[i] = (struct fs_file){.used = true, .mode = mode, .uid = 1000, .gid = 1000};
	if (target)
		fs_model_set(&m->files[i], target, strlen(target));
	return 0;
}

/* {"v": NUMBER}, a newline; patches and truncations of it are not. */
static bool well_formed(const char *data, size_t size)
{
	size_t at = 6;

	if (size < 8 || memcmp(data, "{\"v\": ", at))
		return false;
	while (at < size && data[at] >= '0' && data[at] <= '9')
		at++;
	return at > 6 && at < size && data[at] == '}' && (size == at + 1 || (size == at + 2 && data[at + 1] == '\n'));
}

bool fs_model_refuses(struct fs_model *m, const char *path, const char *data, size_t size)
{
	struct fs_entry *e = fs_model_find(m, path);
	bool json = false;

	if (!size || well_formed(data, size) || !e)
		return false;
	for (size_t i = 0; i < FS_MODEL_ENTRIES; i++)
		if (m->entries[i].path[0] && m->entries[i].file == e->file)
			json = json || fs_model_is_json(m->entries[i].path);
	return json && m->files[e->file].was_valid;
}

static void content_take(struct fs_file *f, struct fs_blob *fresh)
{
	blob_unref(f->content);
	f->content = fresh;
	f->mtime_known = false;
	if (fresh && fresh->size)
		f->was_valid = well_formed(fresh->data, fresh->size);
}

static struct fs_blob *blob_new(size_t size)
{
	struct fs_blob *b = calloc(1, sizeof(*b) + size + 1);

	assert(b);
	b->refs = 1;
	b->size = size;
	return b;
}

void fs_model_set(struct fs_file *f, const char *data, size_t size)
{
	struct fs_blob *b = blob_new(size);

	if (size)
		memcpy(b->data, data, size);
	content_take(f, b);
}

static struct fs_blob *resized(const struct fs_file *f, size_t size)
{
	struct fs_blob *b = blob_new(size);
	size_t old = fs_model_size(f);

	if (old && size)
		memcpy(b->data, f->content->data, old < size ? old : size);
	return b;
}

void fs_model_write(struct fs_file *f, size_t offset, const char *data, size_t size)
{
	size_t old = fs_model_size(f);
	struct fs_blob *b = resized(f, offset + size > old ? offset + size : old);

	if (data)
		memcpy(b->data + offset, data, size);
	else
		memset(b->data + offset, 0, size);
	content_take(f, b);
}

void fs_model_truncate(struct fs_file *f, size_t size)
{
	content_take(f, resized(f, size));
}

static void entry_remove(struct fs_model *m, struct fs_entry *e)
{
	uint32_t file = e->file;

	e->path[0] = '\0';
	if (fs_model_names(m, file))
		return;
	blob_unref(m->files[file].content);
	m->files[file] = (struct fs_file){0};
}

int fs_model_link(struct fs_model *m, const char *from, const char *to)
{
	struct fs_entry *e = fs_model_find(m, from);
	int r;

	if (!e)
		return -ENOENT;
	if (S_ISDIR(m->files[e->file].mode))
		return -EPERM;
	r = fs_model_check_new(m, to);
	if (!r && !entry_add(m, to, e->file))
		r = -ENOSPC;
	return r;
}

int fs_model_unlink(struct fs_model *m, const char *path)
{
	int r = check_parent(m, path);
	struct fs_entry *e = fs_model_find(m, path);

	if (r || !e)
		return r ? r : -ENOENT;
	if (S_ISDIR(m->files[e->file].mode))
		return -EISDIR;
	entry_remove(m, e);
	return 0;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strncmp(path, dir, len) && path[len] == '/';
}

static bool has_children(struct fs_model *m, const char *dir)
{
	for (size_t i = 0; i < FS_MODEL_ENTRIES; i++)
		if (m->entries[i].path[0] && is_below(m->entries[i].path, dir))
			return true;
	return false;
}

int fs_model_rmdir(struct fs_model *m, const char *path)
{
	int r = check_parent(m, path);
	struct fs_entry *e = fs_model_find(m, path);

	if (r || !e)
		return r ? r : -ENOENT;
	if (!S_ISDIR(m->files[e->file].mode))
		return -ENOTDIR;
	if (has_children(m, path))
		return -ENOTEMPTY;
	entry_remove(m, e);
	return 0;
}

/* Everything at and below @from is henceforth at and below @to, with a mark in front so that an exchange can tell them apart. */
static void move(struct fs_model *m, const char *from, const char *to)
{
	char path[FS_MODEL_PATH * 2];

	for (size_t i = 0; i < FS_MODEL_ENTRIES; i++) {
		char *p = m->entries[i].path;

		if (strcmp(p, from) && !is_below(p, from))
			continue;
		snprintf(path, sizeof(path), "*%s%s", to, p + strlen(from));
		assert(strlen(path) < FS_MODEL_PATH);
		memcpy(p, path, strlen(path) + 1);
	}
}

static void unmark(struct fs_model *m)
{
	for (size_t i = 0; i < FS_MODEL_ENTRIES; i++)
		if (m->entries[i].path[0] == '*')
			memmove(m->entries[i].path, m->entries[i].path + 1, strlen(m->entries[i].path));
}

/* May the content of @f be known as @path, where @replaced was (or nothing)? */
static bool name_refused(const struct fs_file *f, const char *path, const struct fs_file *replaced)
{
	return S_ISREG(f->mode) && fs_model_is_json(path) && fs_model_size(f) && !well_formed(f->content->data, f->content->size) && replaced &&
	       S_ISREG(replaced->mode) && replaced->was_valid;
}

static int check_replace(const struct fs_file *f, const struct fs_file *t, bool t_has_children)
{
	bool dir = S_ISDIR(f->mode), to_dir = S_ISDIR(t->mode);

	if (to_dir && !dir)
		return -EISDIR;
	if (!to_dir && dir)
		return -ENOTDIR;
	return to_dir && t_has_children ? -ENOTEMPTY : 0;
}

int fs_model_rename(struct fs_model *m, const char *from, const char *to, uint32_t flags)
{
	struct fs_entry *e = fs_model_find(m, from), *t = fs_model_find(m, to);
	int r = check_parent(m, from);

	if (!r)
		r = check_parent(m, to);
	if (r || !e)
		return r ? r : -ENOENT;
	if (flags & EXCHANGE && !t)
		return -ENOENT;
	if (is_below(to, from) || (flags & EXCHANGE && is_below(from, to)))
		return -EINVAL;
	if (t && flags & NOREPLACE)
		return -EEXIST;
	if (t && !(flags & EXCHANGE))
		r = check_replace(&m->files[e->file], &m->files[t->file], has_children(m, to));
	if (r || (t && t->file == e->file))
		return r;
	if (name_refused(&m->files[e->file], to, t ? &m->files[t->file] : NULL) ||
		(flags & EXCHANGE && name_refused(&m->files[t->file], from, &m->files[e->file])))
		return -EBADMSG;
	if (flags & EXCHANGE)
		move(m, to, from);
	else if (t)
		entry_remove(m, t);
	move(m, from, to);
	unmark(m);
	return 0;
}
