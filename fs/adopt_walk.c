/* SPDX-License-Identifier: MIT
 *
 * Lists what is to be adopted, and decides under which name. A path keeps its name unless the mount gives it another
 * meaning (virtual files, directories nobody may write in, ids) or something is there already; then it goes, with
 * all below it, to a directory of its own. Existing directories are merged. Hard links stay links, but for files that have one identity.
 *
 * Sockets, FIFOs and devices are left out: they are no content, and stay with the originals.
 */
#include "adopt_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uthash.h>

#include "layout.h"
#include "vfile.h"

#define DEPTH_MAX 512

/** A file with several names. */
struct linked {
	struct {
		uint64_t dev, ino;
	} key;
	char *to;
	UT_hash_handle hh;
};

struct walk {
	struct fs *fs;
	const char *aside;
	struct reason *reason;
	struct adopt_list *list;
	struct linked *linked;
};

void adopt_list_release(struct adopt_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->items[i].from);
		free(l->items[i].to);
		free(l->items[i].symlink);
		free(l->items[i].link_to);
	}
	free(l->items);
	*l = (struct adopt_list){0};
}

static int list_add(struct walk *w, const char *from, const char *to, const struct stat *st, char *link_target)
{
	struct adopt_list *l = w->list;
	struct adopt_item item = {
		.from = strdup(from),
		.to = strdup(to),
		.symlink = link_target,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_ns = st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec,
	};

	if (!item.from || !item.to || array_reserve(&l->items, &l->capacity, l->count + 1, sizeof(*l->items)) < 0) {
		free(item.from);
		free(item.to);
		free(link_target);
		return -ENOMEM;
	}
	l->items[l->count++] = item;
	return 0;
}

static void linked_release(struct walk *w)
{
	while (w->linked) {
		struct linked *l = w->linked;

		HASH_DEL(w->linked, l);
		free(l->to);
		free(l);
	}
}

/* The last item: is it one more name of an earlier one? The first one's name is remembered. */
static int list_link(struct walk *w, const struct stat *st)
{
	struct adopt_item *item = &w->list->items[w->list->count - 1];
	struct linked *l, look = {0};

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2 || layout_flags_of(item->to) & (LAYOUT_NO_LINK | LAYOUT_NAMED))
		return 0;
	look.key.dev = st->st_dev;
	look.key.ino = st->st_ino;
	HASH_FIND(hh, w->linked, &look.key, sizeof(look.key), l);
	if (l) {
		item->link_to = strdup(l->to);
		return item->link_to ? 0 : -ENOMEM;
	}
	l = calloc(1, sizeof(*l));
	if (!l || !(l->to = strdup(item->to))) {
		free(l);
		return -ENOMEM;
	}
	l->key = look.key;
	HASH_ADD(hh, w->linked, key, sizeof(l->key), l);
	return 0;
}

/* Type bits of what the tree has at @path, 0 for nothing. */
static uint32_t tree_type(struct fs *fs, const char *path)
{
	uint32_t type = 0;
	struct node *n;

	engine_lock(fs->engine);
	n = tree_resolve(engine_tree(fs->engine), path, engine_live_seq(fs->engine));
	if (n)
		type = n->newest->attrs->mode & S_IFMT;
	engine_unlock(fs->engine);
	return type;
}

static bool is_virtual(struct fs *fs, const char *path)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash ? strndup(path, (size_t)(slash - path)) : strdup("");

	return dir && vnode_lookup(fs, dir, slash ? slash + 1 : path);
}

/* May @path have its own name? A directory that is there already may. */
static bool name_is_free(struct walk *w, const char *path, uint32_t mode)
{
	uint32_t there = tree_type(w->fs, path);
	struct reason ignored = {0};

	if (there)
		return S_ISDIR(mode) && S_ISDIR(there);
	return !is_virtual(w->fs, path) && layout_check_create(path, mode, &ignored) == 0;
}

/* The name in the tree of an entry of the directory @dir_to. */
static char *choose_name(struct walk *w, const char *dir_to, const char *name, const char *from, uint32_t mode, bool aside, bool *ret_moved)
{
	char *to = NULL;

	*ret_moved = false;
	if (asprintf(&to, "%s%s%s", dir_to, *dir_to ? "/" : "", name) < 0)
		return NULL;
	if (aside || name_is_free(w, to, mode))
		return to;
	*ret_moved = true;
	free(to);
	return asprintf(&to, "%s/%s", w->aside, from) < 0 ? NULL : to;
}

/* Directories above a path that is put aside, as far as they are not listed yet. */
static int add_parents(struct walk *w, const char *to, const struct stat *like)
{
	struct stat st = *like;
	int r = 0;

	st.st_mode = S_IFDIR | 0755;
	for (const char *slash = strchr(to, '/'); slash && !r; slash = strchr(slash + 1, '/')) {
		cleanup_free char *dir = strndup(to, (size_t)(slash - to));
		bool listed = false;

		if (!dir)
			return -ENOMEM;
		for (size_t i = 0; i < w->list->count && !listed; i++)
			listed = !strcmp(w->list->items[i].to, dir);
		if (!listed)
			r = list_add(w, "", dir, &st, NULL);
	}
	return r;
}

static char *read_link(int dir_fd, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

	return n > 0 ? strndup(target, (size_t)n) : NULL;
}

static int walk_dir(struct walk *w, int fd, const char *from, const char *to, bool aside, unsigned depth);

static int walk_entry(struct walk *w, int dir_fd, const char *name, const char *dir_from, const char *dir_to, bool aside, unsigned depth)
{
	cleanup_free char *from = NULL, *to = NULL;
	char *target = NULL;
	struct stat st;
	bool moved, listed;
	int r = 0, fd;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (asprintf(&from, "%s%s%s", dir_from, *dir_from ? "/" : "", name) < 0)
		return -ENOMEM;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) {
		w->list->skipped++;
		return 0;
	}
	to = choose_name(w, dir_to, name, from, st.st_mode, aside, &moved);
	if (!to)
		return -ENOMEM;
	if (moved) {
		w->list->moved++;
		r = add_parents(w, to, &st);
	}
	if (!r && S_ISLNK(st.st_mode) && !(target = read_link(dir_fd, name)))
		r = -errno;
	listed = !r && (moved || aside || !S_ISDIR(st.st_mode) || !tree_type(w->fs, to));
	if (listed)
		r = list_add(w, from, to, &st, target);
	if (listed && !r)
		r = list_link(w, &st);
	if (r || !S_ISDIR(st.st_mode))
		return r;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return reason_set(w->reason, -errno, "adopt", "%s: %s", from, strerror(errno));
	r = walk_dir(w, fd, from, to, aside || moved, depth + 1);
	if (listed && !r && !(r = list_add(w, from, to, &st, NULL)))
		w->list->items[w->list->count - 1].filled = true;
	return r;
}

/* Takes @fd. */
static int walk_dir(struct walk *w, int fd, const char *from, const char *to, bool aside, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!dir || depth > DEPTH_MAX) {
		r = dir ? -ELOOP : -errno;
		if (dir)
			(void)closedir(dir);
		else
			(void)close(fd);
		return reason_set(w->reason, r, "adopt", "%s: %s", from, strerror(-r));
	}
	while (!r && (errno = 0, e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = walk_entry(w, dirfd(dir), e->d_name, from, to, aside, depth);
	if (!r && errno)
		r = -errno;
	(void)closedir(dir);
	return r;
}

int adopt_list_make(struct fs *fs, int stage_fd, const char *aside, struct reason *reason, struct adopt_list *ret)
{
	struct adopt_list list = {0};
	struct walk w = {.fs = fs, .aside = aside, .reason = reason, .list = &list};
	int fd = openat(stage_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : walk_dir(&w, fd, "", "", false, 0);

	linked_release(&w);
	if (r) {
		adopt_list_release(&list);
		return r;
	}
	*ret = list;
	return 0;
}
