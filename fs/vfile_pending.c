/* SPDX-License-Identifier: MIT
 *
 * transactions/pending/: one ID.yaml and ID.draft for each draft with bytes nobody has published: those being written now, and those a
 * daemon that died left behind. They come and go, so nothing about them is remembered.
 */
#include "vfile_transactions.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vfile_rows.h"

/* The draft a name stands for. 0 or -ENOENT. */
static int info_of_name(struct fs *fs, const char *name, const char *suffix, struct draft_info *ret)
{
	uint64_t id = tx_name_number(name, suffix, true);
	struct draft_info info;
	char own[TX_ID_BYTES];

	if (!id || draft_info_get(fs->engine, id, &info))
		return -ENOENT;
	tx_draft_id_format(info.started_ns, id, own);
	if (strncmp(name, own, strlen(own)) || strcmp(name + strlen(own), suffix)) {
		draft_info_release(&info);
		return -ENOENT;
	}
	*ret = info;
	return 0;
}

static bool exists(struct fs *fs, const struct vnode *v, const char *suffix)
{
	struct draft_info info;

	if (info_of_name(fs, v->params[0], suffix, &info))
		return false;
	draft_info_release(&info);
	return true;
}

bool pending_exists(struct fs *fs, const struct vnode *v)
{
	return exists(fs, v, ".yaml");
}

bool pending_draft_exists(struct fs *fs, const struct vnode *v)
{
	return exists(fs, v, ".draft");
}

static int list(struct fs *fs, const char *suffix, vfile_each_fn each, void *arg)
{
	struct draft_info *drafts;
	size_t count;
	int r = draft_list(fs->engine, &drafts, &count);

	if (r)
		return r;
	for (size_t i = 0; i < count; i++) {
		char name[TX_ID_BYTES + 8];

		tx_draft_id_format(drafts[i].started_ns, drafts[i].id, name);
		strcat(name, suffix);
		if (!r)
			r = each(arg, name);
		draft_info_release(&drafts[i]);
	}
	free(drafts);
	return r;
}

int pending_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg)
{
	(void)directory;
	return list(fs, ".yaml", each, arg);
}

int pending_draft_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg)
{
	(void)directory;
	return list(fs, ".draft", each, arg);
}

static const char *kind_name(enum draft_kind kind)
{
	switch (kind) {
	case DRAFT_WHOLE:
		return "whole";
	case DRAFT_PATCH:
		return "patch";
	case DRAFT_APPEND:
		return "append";
	case DRAFT_SHARED:
		return "shared";
	}
	return "unknown";
}

int pending_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	struct draft_info info;
	char id[TX_ID_BYTES];
	int r = info_of_name(fs, v->params[0], ".yaml", &info);

	if (r)
		return r;
	tx_draft_id_format(info.started_ns, info.id, id);
	buf_append_str(out, "transaction:\n");
	tx_put_text(out, "id", id);
	tx_put_text(out, "operation", operation_name(info.operation));
	tx_put_text(out, "target_file", info.path);
	tx_put_text(out, "status", "pending");
	tx_put_time(out, "started_at", info.started_ns);
	tx_put_backup(out, info.path, info.has_base, sha256_is_zero(&info.base_sha) ? NULL : &info.base_sha);
	tx_put_actor(out, &info.actor);
	buf_append_str(out, "draft:\n");
	tx_put_text(out, "kind", kind_name(info.kind));
	buf_printf(out, "  size: %" PRIu64 "\n  left_behind: %s\n", info.size, info.recovered ? "true" : "false");
	draft_info_release(&info);
	return 0;
}

int64_t pending_time(struct fs *fs, const struct vnode *v)
{
	const char *dot = strrchr(v->params[0], '.');
	struct draft_info info;
	int64_t time_ns = fs->started_ns;

	if (dot && !info_of_name(fs, v->params[0], dot, &info)) {
		time_ns = info.started_ns;
		draft_info_release(&info);
	}
	return time_ns;
}

int pending_draft_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes)
{
	struct draft_info info;
	int r = info_of_name(fs, v->params[0], ".draft", &info);

	if (r)
		return r;
	*ret_bytes = info.size;
	draft_info_release(&info);
	return 0;
}

int pending_draft_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out)
{
	uint64_t id = tx_name_number(v->params[0], ".draft", true);
	ssize_t got;

	got = buf_reserve(out, len) ? -ENOMEM : draft_read_by_id(fs->engine, id, offset, out->data + out->len, len);
	if (got < 0)
		return (int)got;
	out->len += (size_t)got;
	return 0;
}
