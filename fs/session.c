/* SPDX-License-Identifier: MIT
 *
 * The FUSE session and what goes over its descriptor: a second session object, made on a duplicate of the descriptor the mounting one holds, with
 * our own read and write functions. So the INIT reply can be amended with what libfuse 3.14 does not know (shared
 * mappings of direct I/O files, kernel 6.6 and newer; set-id bits, setid.h), and a supervisor can later keep the descriptor.
 *
 * Leaves to others: mounting (mount.c), threads (session_loop.c), the order of RELEASE (session_order.c).
 *
 * Failure: a kernel that does not offer the extension gets the plain reply; shared mappings are then ENODEV.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "session_internal.h"
#include "tsan.h"
#include "util.h"

#define MAX_WRITE_BYTES (1u << 20)
/* With the kernel's default of 12, requests overtake a RELEASE (FUSE-NOTES 2 in docs/DESIGN.md). */
#define MAX_BACKGROUND 1000
#define CONGESTION_THRESHOLD 750
/* fuse.h of Debian 12 ends at protocol 7.38. */
#define INIT_FLAGS2_DIRECT_IO_ALLOW_MMAP (1u << (36 - 32))

static ssize_t session_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

/* The reply to INIT, with the bits libfuse can't set, of those @offered. */
static ssize_t write_amended(int fd, const struct iovec *iov, uint32_t offered)
{
	struct fuse_init_out out;
	struct iovec amended[2] = {iov[0], iov[1]};

	if (iov[1].iov_len < sizeof(out))
		return writev(fd, iov, 2);
	memcpy(&out, iov[1].iov_base, sizeof(out));
	if (offered & FUSE_INIT_EXT) {
		out.flags |= FUSE_INIT_EXT;
		out.flags2 |= INIT_FLAGS2_DIRECT_IO_ALLOW_MMAP;
	}
	out.flags |= offered & FUSE_HANDLE_KILLPRIV_V2;
	amended[1] = (struct iovec){&out, sizeof(out)};
	return writev(fd, amended, 2);
}

static _Thread_local int own_device = -1;

void fs_session_write_through(int fd)
{
	own_device = fd;
}

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fs *fs = userdata;
	uint64_t init = atomic_load_explicit(&fs->loop->init_unique, memory_order_relaxed);

	tsan_before_reply(fs);
	if (init && count == 2 && iov[0].iov_len == sizeof(struct fuse_out_header)) {
		const struct fuse_out_header *h = iov[0].iov_base;

		if (h->unique == init && !h->error) {
			atomic_store(&fs->loop->init_unique, 0);
			return write_amended(fd, iov, atomic_load(&fs->loop->init_flags));
		}
	}
	return writev(own_device >= 0 ? own_device : fd, iov, count);
}

static const struct fuse_custom_io session_io = {.writev = session_writev, .read = session_read};

static void want(struct fuse_conn_info *conn, unsigned capability)
{
	conn->want |= conn->capable & capability;
}

void fs_session_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS);
	want(conn, FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS);
	want(conn, FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_AUTO_INVAL_DATA);
	/* Splicing gains nothing here, and would go around the custom I/O. Set-id bits are negotiated above. */
	conn->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				  FUSE_CAP_SPLICE_MOVE);
	conn->max_write = MAX_WRITE_BYTES;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = CONGESTION_THRESHOLD;
	conn->time_gran = 1;
}

/* The FUSE descriptor is the session's. */
static void loop_free(struct fs_loop *l)
{
	if (!l)
		return;
	util_close_fd(&l->wake_fd);
	util_close_fd(&l->end_fd);
	pthread_mutex_destroy(&l->read_lock);
	free(l);
}

static struct fs_loop *loop_new(int fuse_fd)
{
	struct fs_loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	util_mutex_init_brief(&l->read_lock);
	l->buffer_bytes = MAX_WRITE_BYTES + 4096;
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->fuse_fd = fcntl(fuse_fd, F_DUPFD_CLOEXEC, 0);
	if (l->wake_fd >= 0 && l->end_fd >= 0 && l->fuse_fd >= 0 && fcntl(l->fuse_fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0)
		return l;
	util_close_fd(&l->fuse_fd);
	loop_free(l);
	return NULL;
}

int fs_session_open(struct fs *fs, struct fuse_args *args, int fuse_fd)
{
	int r;

	fs->order = fs_order_new();
	fs->loop = loop_new(fuse_fd);
	if (!fs->order || !fs->loop) {
		fs_session_close(fs);
		return -ENOMEM;
	}
	fs->session = fuse_session_new(args, &fs_operations, sizeof(fs_operations), fs);
	r = fs->session ? fuse_session_custom_io(fs->session, &session_io, fs->loop->fuse_fd) : -EINVAL;
	if (r) {
		(void)close(fs->loop->fuse_fd); /* not the session's yet */
		fs_session_close(fs);
		return r < 0 ? r : -EINVAL;
	}
	return 0;
}

void fs_session_stop(struct fs *fs)
{
	uint64_t one = 1;

	if (write(fs->loop->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it was told often enough */
}

void fs_session_close(struct fs *fs)
{
	if (fs->session)
		fuse_session_destroy(fs->session); /* closes the descriptor too */
	fs->session = NULL;
	loop_free(fs->loop);
	fs->loop = NULL;
	fs_order_free(fs->order);
	fs->order = NULL;
}
