/* SPDX-License-Identifier: MIT
 *
 * TABLE of the operations. What is missing is missing on purpose:
 *   access       default_permissions: the kernel decides
 *   bmap         there are no blocks
 *   write_buf    plain write copies as often and needs no splice
 *   O_TMPFILE, statx, syncfs: libfuse 3.14 answers ENOSYS, which the kernel turns into what callers expect
 */
#include "ops.h"
#include "session.h"

const struct fuse_lowlevel_ops fs_operations = {
	.init = fs_session_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.getlk = op_getlk,
	.setlk = op_setlk,
	.flock = op_flock,
	.ioctl = op_ioctl,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
	.poll = op_poll,
};
