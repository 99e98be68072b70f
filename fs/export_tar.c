/* SPDX-License-Identifier: MIT
 *
 * Export as a tar archive, by libarchive: pax format, restricted to ustar where that says everything, so that any tar reads it.
 * Written as it goes; nothing but one piece of content is in memory.
 *
 * Failure: the archive ends where it failed; the exit status says so.
 */
#include "export.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct tar_sink {
	struct export_sink sink; /* first */
	struct archive *archive;
};

static int tar_error(const struct tar_sink *t)
{
	int e = archive_errno(t->archive);

	return e > 0 ? -e : -EIO;
}

static int64_t seconds_of(int64_t ns, long *ret_rest)
{
	int64_t s = ns / NS_PER_S, rest = ns % NS_PER_S;

	*ret_rest = (long)(rest < 0 ? rest + NS_PER_S : rest);
	return rest < 0 ? s - 1 : s;
}

struct xattr_copy {
	const struct attrs *attrs;
	struct archive_entry *entry;
};

static int copy_xattr(void *arg, const char *name, size_t len)
{
	struct xattr_copy *x = arg;
	char text[256];
	const char *value;
	size_t value_len;

	if (len >= sizeof(text) || tree_xattr_get(x->attrs, name, len, &value, &value_len))
		return 0;
	memcpy(text, name, len);
	text[len] = '\0';
	archive_entry_xattr_add_entry(x->entry, text, value, value_len);
	return 0;
}

static int tar_entry(struct export_sink *s, const char *path, const struct tree_attr *a, const struct attrs *attrs, const char *symlink, const char *link_to)
{
	struct tar_sink *t = (struct tar_sink *)s;
	struct archive_entry *e = archive_entry_new();
	struct xattr_copy x = {.attrs = attrs, .entry = e};
	long rest;
	int64_t seconds;
	int r;

	if (!e)
		return -ENOMEM;
	if (S_ISSOCK(a->mode)) { /* tar knows no sockets */
		archive_entry_free(e);
		return 0;
	}
	archive_entry_set_pathname(e, path);
	archive_entry_set_mode(e, a->mode);
	archive_entry_set_uid(e, a->uid);
	archive_entry_set_gid(e, a->gid);
	seconds = seconds_of(a->mtime_ns, &rest);
	archive_entry_set_mtime(e, seconds, rest);
	archive_entry_set_size(e, S_ISREG(a->mode) && !link_to ? (int64_t)a->size : 0);
	if (S_ISCHR(a->mode) || S_ISBLK(a->mode))
		archive_entry_set_rdev(e, (dev_t)a->rdev);
	if (link_to)
		archive_entry_set_hardlink(e, link_to);
	else if (symlink)
		archive_entry_set_symlink(e, symlink);
	(void)tree_xattr_list(attrs, copy_xattr, &x); /* cannot fail: copy_xattr never does */
	r = archive_write_header(t->archive, e) < ARCHIVE_WARN ? tar_error(t) : 0;
	archive_entry_free(e);
	return r;
}

static int tar_data(struct export_sink *s, const void *data, size_t len)
{
	struct tar_sink *t = (struct tar_sink *)s;

	return archive_write_data(t->archive, data, len) == (la_ssize_t)len ? 0 : tar_error(t);
}

static int tar_end(struct export_sink *s)
{
	struct tar_sink *t = (struct tar_sink *)s;

	return archive_write_finish_entry(t->archive) < ARCHIVE_WARN ? tar_error(t) : 0;
}

static int tar_finish(struct export_sink *s)
{
	struct tar_sink *t = (struct tar_sink *)s;

	return archive_write_close(t->archive) < ARCHIVE_WARN ? tar_error(t) : 0;
}

int export_to_tar(struct engine *e, uint64_t seq, int fd, struct reason *reason, struct export_counts *ret)
{
	struct tar_sink t = {.sink = {.entry = tar_entry, .data = tar_data, .end = tar_end, .finish = tar_finish}};
	int r;

	t.archive = archive_write_new();
	if (!t.archive)
		return -ENOMEM;
	r = archive_write_set_format_pax_restricted(t.archive);
	if (r == ARCHIVE_OK) {
		(void)archive_write_set_options(t.archive, "xattrheader=SCHILY"); /* which GNU tar knows; an old library writes its own as well */
		r = archive_write_open_fd(t.archive, fd);
	}
	if (r == ARCHIVE_OK)
		r = export_run(e, seq, &t.sink, reason, ret);
	else
		r = reason_set(reason, tar_error(&t), "export", "the archive cannot be begun: %s", archive_error_string(t.archive));
	(void)archive_write_free(t.archive);
	return r;
}
