/* SPDX-License-Identifier: MIT
 *
 * The floor of a file system in user space: files in memory, served through the same libfuse, and a write-ahead log with group commit (floor_log.h).
 *
 *	floor_fs [--log FILE] DIR     mount on DIR and serve until it is unmounted
 *
 * What it takes is the price of FUSE and of the disk; what a file system beside it takes longer is its own doing. So it does what makes FUSE fast (one
 * request for open and truncation, direct I/O, no FLUSH for handles that only read, names and attributes kept by the kernel, libfuse's loop of several
 * threads) and nothing else: no versions, checks, events or owners, no reading of the log. All is gone with the process. It serves what load_files.c does.
 *
 * With a log, FLUSH and FSYNC of a changed handle, rename and unlink are answered when their record is on the disk; a new file's name is in the record of
 * its first FLUSH, a new directory's goes before it. Without, all is answered at once. SIGUSR1 makes of the next unmounting a mounting anew, of the same
 * files, which the kernel then knows nothing of.
 *
 * Locks: the tree's, over all of floor_tree.h; below it the log's. Neither is held during I/O or while an answer is sent. Failure: of memory, ends it.
 */
#include "floor_log.h"

#include <signal.h>
#include <sys/param.h>

struct floor {
	pthread_mutex_t lock;
	struct floor_node root;
	uint64_t last_ino;
	struct floor_log log;
};

static volatile sig_atomic_t mount_again;

/* ---- nodes, under the lock ---- */

static struct floor *lock(fuse_req_t req)
{
	struct floor *f = fuse_req_userdata(req);

	(void)pthread_mutex_lock(&f->lock);
	return f;
}

static void unlock(struct floor *f)
{
	(void)pthread_mutex_unlock(&f->lock);
}

static struct floor_node *node_of(struct floor *f, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &f->root : (struct floor_node *)ino;
}

/* Whether the log answers @req, when the record is on the disk. */
static bool node_log(struct floor *f, fuse_req_t req, const struct floor_node *n, struct floor_record r)
{
	r.ino = n->attr.st_ino;
	r.parent = n->parent->attr.st_ino;
	r.size = (uint64_t)n->attr.st_size;
	return floor_log_append(&f->log, req, r, n->name, n->data ? n->data + r.offset : NULL);
}

static void finish(struct floor *f, fuse_req_t req, bool logged, int error)
{
	unlock(f);
	if (!logged)
		(void)fuse_reply_err(req, error);
}

/* ---- names ---- */

static void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct floor *f = lock(req);
	struct floor_node *n = floor_node_find(node_of(f, dir), name);
	struct fuse_entry_param e = n ? floor_node_entry(n) : (struct fuse_entry_param){0};

	unlock(f);
	(void)(n ? fuse_reply_entry(req, &e) : fuse_reply_err(req, ENOENT));
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	struct floor *f = lock(req);

	floor_node_forget(node_of(f, ino), count);
	unlock(f);
	fuse_reply_none(req);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	struct floor *f = lock(req);
	struct floor_node *n = floor_node_make(node_of(f, dir), name, S_IFDIR | mode, ++f->last_ino);
	struct fuse_entry_param e = floor_node_entry(n);

	(void)node_log(f, NULL, n, (struct floor_record){.kind = FLOOR_MKDIR});
	unlock(f);
	(void)fuse_reply_entry(req, &e);
}

static void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct floor *f = lock(req);
	struct floor_node *n = floor_node_find(node_of(f, dir), name);
	bool logged = n && node_log(f, req, n, (struct floor_record){.kind = FLOOR_UNLINK});

	if (n)
		floor_node_unlink(n);
	finish(f, req, logged, n ? 0 : ENOENT);
}

static void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t new_dir, const char *new_name, unsigned flags)
{
	struct floor *f = lock(req);
	struct floor_node *n = floor_node_find(node_of(f, dir), name);
	bool logged = false;

	if (n && !flags) {
		floor_node_move(n, node_of(f, new_dir), new_name);
		logged = node_log(f, req, n, (struct floor_record){.kind = FLOOR_RENAME});
	}
	finish(f, req, logged, flags ? EINVAL : n ? 0 : ENOENT);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct floor *f = lock(req);

	fi->fh = (uintptr_t)floor_list(node_of(f, ino));
	unlock(f);
	(void)fuse_reply_open(req, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct floor_listing *l = (struct floor_listing *)(uintptr_t)fi->fh;
	size_t left = (size_t)off < l->bytes ? l->bytes - (size_t)off : 0;

	(void)ino;
	(void)fuse_reply_buf(req, l->entries + off, MIN(left, size)); /* the kernel asks again for an entry that is cut */
}

/* ---- files ---- */

static void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct floor *f = lock(req);
	struct floor_node *n = floor_node_make(node_of(f, dir), name, mode, ++f->last_ino);
	struct fuse_entry_param e = floor_node_entry(n);

	floor_handle_open(n, fi, true);
	unlock(f);
	(void)fuse_reply_create(req, &e, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct floor *f = lock(req);

	floor_handle_open(node_of(f, ino), fi, false);
	unlock(f);
	(void)fuse_reply_open(req, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	free((void *)(uintptr_t)fi->fh); /* a handle or a listing */
	(void)fuse_reply_err(req, 0);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct floor *f = lock(req);
	struct stat attr = node_of(f, ino)->attr;

	(void)fi;
	unlock(f);
	(void)fuse_reply_attr(req, &attr, FLOOR_KEPT_S);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int which, struct fuse_file_info *fi)
{
	struct floor *f = lock(req);

	if (which & FUSE_SET_ATTR_SIZE)
		floor_node_resize(node_of(f, ino), attr->st_size);
	unlock(f);
	op_getattr(req, ino, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct floor *f = lock(req);
	struct floor_node *n = node_of(f, ino);
	size_t left = off < n->attr.st_size ? (size_t)(n->attr.st_size - off) : 0, bytes = MIN(left, size);
	char *copy = floor_memory(malloc(bytes + 1));

	(void)fi;
	if (bytes)
		memcpy(copy, n->data + off, bytes);
	unlock(f);
	(void)fuse_reply_buf(req, copy, bytes);
	free(copy);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t bytes, off_t off, struct fuse_file_info *fi)
{
	struct floor *f = lock(req);

	floor_handle_write((struct floor_handle *)(uintptr_t)fi->fh, node_of(f, ino), data, bytes, off);
	unlock(f);
	(void)fuse_reply_write(req, bytes);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct floor_handle *h = (struct floor_handle *)(uintptr_t)fi->fh;
	struct floor *f = lock(req);
	bool logged = false;

	if (h && h->changed) {
		struct floor_record r = {.kind = FLOOR_WRITE, .offset = (uint64_t)h->from, .bytes = (uint32_t)(h->to - h->from)};

		*h = (struct floor_handle){0}; /* before the answer, after which it may be released */
		logged = node_log(f, req, node_of(f, ino), r);
	}
	finish(f, req, logged, 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	(void)data_only;
	op_flush(req, ino, fi);
}

static const struct fuse_lowlevel_ops ops = {.lookup = op_lookup,
	.forget = op_forget,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rename = op_rename,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.releasedir = op_release,
	.create = op_create,
	.open = op_open,
	.release = op_release,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.fsync = op_fsync};

static void ask_again(int signal)
{
	(void)signal;
	mount_again = 1;
}

static int serve(struct floor *f, const char *path)
{
	char *argv[] = {"floor_fs", "-o", "fsname=floor"};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct fuse_session *s = fuse_session_new(&args, &ops, sizeof(ops), f);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int r;

	if (!s || !config || fuse_set_signal_handlers(s) || fuse_session_mount(s, path))
		return 1;
	floor_log_start(&f->log);
	r = fuse_session_loop_mt(s, config);
	floor_log_stop(&f->log);
	fuse_session_unmount(s);
	fuse_remove_signal_handlers(s);
	fuse_session_destroy(s);
	fuse_loop_cfg_destroy(config);
	fuse_opt_free_args(&args);
	return r;
}

int main(int argc, char **argv)
{
	static struct floor floor = {.lock = PTHREAD_MUTEX_INITIALIZER, .log = FLOOR_LOG_INIT};
	int r;

	if (argc != 2 && (argc != 4 || strcmp(argv[1], "--log") != 0)) {
		fprintf(stderr, "usage: floor_fs [--log FILE] DIR\n");
		return 2;
	}
	if (argc == 4)
		floor_log_open(&floor.log, argv[2]);
	(void)signal(SIGUSR1, ask_again);
	floor_node_init(&floor.root, S_IFDIR | 0755, ++floor.last_ino);
	floor.root.parent = &floor.root;
	do {
		mount_again = 0;
		r = serve(&floor, argv[argc - 1]);
	} while (!r && mount_again);
	return r != 0;
}
