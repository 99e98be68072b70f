/* SPDX-License-Identifier: MIT
 *
 * Extended attributes: user.*, trusted.* and security.* (the kernel checks who may), no POSIX ACLs. Virtual entries have none;
 * views show theirs.
 */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "entry.h"
#include "lock_file.h"
#include "node_id.h"
#include "ops.h"
#include "publish.h"
#include "reply.h"
#include "session.h"

enum {
	XATTR_NAME_BYTES_MAX = 255,
	XATTR_VALUE_BYTES_MAX = 64 << 10,
};

static int name_check(const char *name)
{
	static const char *const known[] = {"user.", "trusted.", "security."};

	if (strlen(name) > XATTR_NAME_BYTES_MAX)
		return -ERANGE;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(name, known[i], strlen(known[i])))
			return name[strlen(known[i])] ? 0 : -EINVAL;
	return -EOPNOTSUPP;
}

static void set(fuse_req_t req, uint64_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct fs *fs = fs_of(req);
	struct request q;
	int r = name_check(name);

	fs_order_wait(fs, req);
	if (r == 0 && !strcmp(name, LOCK_FILE_TOKEN_XATTR))
		r = -EPERM; /* it is given, and only shown */
	if (r == 0 && size > XATTR_VALUE_BYTES_MAX)
		r = -E2BIG;
	if (r == 0)
		r = entry_check_alter(fs, ino);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	fs_request_init(req, &q);
	r = engine_setxattr(fs->engine, &q, ino, name, value, size, flags);
	if (r < 0)
		log_refusal("xattr", name, &q, r);
	reply_error_after(fs, req, q.seq, JOURNAL_ACKNOWLEDGED, r);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	set(req, ino, name, value ? value : "", size, flags);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	set(req, ino, name, NULL, 0, XATTR_REPLACE);
}

/* Answer with @data, or its length when the caller asks for that. */
static void answer(fuse_req_t req, const struct buf *data, size_t size, int r)
{
	if (r == 0 && data->error)
		r = data->error;
	if (r == 0 && size && data->len > size)
		r = -ERANGE;
	if (r < 0)
		reply_error(req, r);
	else if (size)
		(void)fuse_reply_buf(req, data->data, data->len);
	else
		(void)fuse_reply_xattr(req, data->len);
}

/* The fencing token of a lock file, in decimal. Who asks for it while he is making the file gets one, too. -ENODATA: it is none. */
static int token_put(fuse_req_t req, uint64_t node_id, struct buf *out)
{
	struct fs *fs = fs_of(req);
	uint64_t token = 0;
	struct request q;

	if (node_id_is_live(node_id)) {
		fs_request_init(req, &q);
		token = lock_file_take_token(fs->engine, &q, node_id);
	}
	if (token)
		buf_printf(out, "%llu", (unsigned long long)token);
	return token ? 0 : -ENODATA;
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	cleanup_buf struct buf data = BUF_INIT;
	struct fs *fs = fs_of(req);
	const struct version *v;
	const char *value;
	struct node *node;
	size_t len;
	int r = name_check(name);

	fs_order_wait(fs, req);
	if (r == 0 && node_id_is_virtual(ino))
		r = -ENODATA;
	if (r == 0 && !strcmp(name, LOCK_FILE_TOKEN_XATTR)) {
		r = token_put(req, ino, &data);
	} else if (r == 0) {
		engine_lock(fs->engine);
		v = entry_version(fs, ino, &node);
		r = v ? tree_xattr_get(v->attrs, name, strlen(name), &value, &len) : -ENOENT;
		if (r == 0)
			buf_append(&data, value, len);
		engine_unlock(fs->engine);
	}
	answer(req, &data, size, r);
}

struct list {
	struct buf names;
	bool privileged; /* who is not doesn't even see trusted.* */
};

static int list_add(void *arg, const char *name, size_t len)
{
	struct list *l = arg;

	if (!l->privileged && len >= strlen("trusted.") && !strncmp(name, "trusted.", strlen("trusted.")))
		return 0;
	buf_append(&l->names, name, len);
	buf_append(&l->names, "", 1);
	return 0;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct list l = {.privileged = fuse_req_ctx(req)->uid == 0};
	struct fs *fs = fs_of(req);
	const struct version *v;
	struct node *node;
	int r = 0;

	fs_order_wait(fs, req);
	if (!node_id_is_virtual(ino)) {
		engine_lock(fs->engine);
		v = entry_version(fs, ino, &node);
		r = v ? tree_xattr_list(v->attrs, list_add, &l) : -ENOENT;
		engine_unlock(fs->engine);
	}
	if (r == 0 && node_id_is_live(ino) && lock_file_token(fs->engine, ino))
		buf_append(&l.names, LOCK_FILE_TOKEN_XATTR, sizeof(LOCK_FILE_TOKEN_XATTR));
	answer(req, &l.names, size, r);
	buf_release(&l.names);
}
