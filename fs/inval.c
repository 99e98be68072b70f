/* SPDX-License-Identifier: MIT
 *
 * Telling the kernel what changed. Attributes are made invalid at once: the kernel takes no inode lock for that. Of entries
 * it is told at once, too, that all it knows is to be looked up again (the epoch of the connection, Linux 6.16), which takes no lock either.
 * Pages, and on older kernels entries, wait in a queue for a thread of their own, because the kernel takes the pages' or the
 * directory's lock, which a request that is being served may hold until it is answered.
 *
 * Invariant: nobody calls the kernel with the queue's lock held, and no other lock of ours is held by any caller.
 *
 * When the daemon is killed, the kernel may hold this thread for a directory's lock whose owner waits for our answer; that one is given up
 * when /dev/fuse is closed, which this thread would keep open: both would wait for ever, and everybody who touches the mount.
 * So it has a table of descriptors of its own, with nothing in it but another opening of the device (FUSE_DEV_IOC_CLONE): requests
 * end with the opening they were read from. (Not those that nobody has read: several processes that work in one directory can still hold each other
 * up until the next mount clears it. That is why entries are told of by the epoch, where there is one.)
 *
 * Failure: without memory for a queue entry, or a kernel that does not know the node (ENOENT, the usual
 * case), nothing is to be done; what is cached ends with its timeout.
 */
#include "inval.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "entry.h"
#include "handle.h"
#include "node_id.h"
#include "session.h"

struct inval_item {
	struct inval_item *next;
	uint64_t node_id; /* of the file, or the directory of an entry */
	char name[];      /* "": the pages of the file */
};

struct fs_inval {
	struct fs *fs;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, moved;
	struct inval_item *first, **end; /* under lock */
	uint64_t queued, done;           /* under lock: items so far */
	bool stop;                       /* under lock */
	atomic_bool no_epoch;            /* the kernel knows none */
};

/* Not in the headers of older kernels. */
#define NOTIFY_INC_EPOCH 8

static void inval_do(struct fs *fs, const struct inval_item *item)
{
	if (item->name[0])
		(void)fuse_lowlevel_notify_inval_entry(fs->session, item->node_id, item->name, strlen(item->name));
	else
		(void)fuse_lowlevel_notify_inval_inode(fs->session, item->node_id, 0, 0);
}

/* Another opening of the device, alone in a table of this thread's own. Without it (an old kernel, no right to open the device) the shared one serves. */
static int device_own(struct fs *fs)
{
	uint32_t shared = (uint32_t)fuse_session_fd(fs->session);
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, FUSE_DEV_IOC_CLONE, &shared) < 0 || unshare(CLONE_FILES) < 0) {
		util_close_fd(&fd);
		return -1;
	}
	if (fd > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0); /* cannot fail but for want of memory: then it holds more than it must */
	(void)close_range((unsigned)fd + 1, ~0u, 0);
	return fd;
}

static void *inval_main(void *arg)
{
	struct fs_inval *i = arg;

	fs_session_write_through(device_own(i->fs));
	pthread_mutex_lock(&i->lock);
	while (!i->stop) {
		struct inval_item *item = i->first;

		if (!item) {
			pthread_cond_wait(&i->wake, &i->lock);
			continue;
		}
		i->first = item->next;
		if (!i->first)
			i->end = &i->first;
		pthread_mutex_unlock(&i->lock);
		inval_do(i->fs, item);
		free(item);
		pthread_mutex_lock(&i->lock);
		i->done++;
		pthread_cond_broadcast(&i->moved);
	}
	pthread_mutex_unlock(&i->lock);
	return NULL;
}

struct fs_inval *fs_inval_start(struct fs *fs)
{
	struct fs_inval *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->fs = fs;
	i->end = &i->first;
	pthread_mutex_init(&i->lock, NULL);
	pthread_cond_init(&i->wake, NULL);
	pthread_cond_init(&i->moved, NULL);
	if (pthread_create(&i->thread, NULL, inval_main, i) == 0)
		return i;
	pthread_cond_destroy(&i->moved);
	pthread_cond_destroy(&i->wake);
	pthread_mutex_destroy(&i->lock);
	free(i);
	return NULL;
}

void fs_inval_stop(struct fs_inval *i)
{
	bool first;

	if (!i)
		return;
	pthread_mutex_lock(&i->lock);
	first = !i->stop;
	i->stop = true;
	pthread_cond_signal(&i->wake);
	pthread_cond_broadcast(&i->moved);
	pthread_mutex_unlock(&i->lock);
	if (first)
		pthread_join(i->thread, NULL);
}

void fs_inval_free(struct fs_inval *i)
{
	if (!i)
		return;
	fs_inval_stop(i);
	while (i->first) {
		struct inval_item *item = i->first;

		i->first = item->next;
		free(item);
	}
	pthread_cond_destroy(&i->moved);
	pthread_cond_destroy(&i->wake);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

static void inval_queue(struct fs_inval *i, uint64_t node_id, const char *name, size_t len)
{
	struct inval_item *item = i ? malloc(sizeof(*item) + len + 1) : NULL;

	if (!item)
		return;
	item->next = NULL;
	item->node_id = node_id;
	memcpy(item->name, name, len);
	item->name[len] = '\0';
	pthread_mutex_lock(&i->lock);
	if (!i->stop) {
		*i->end = item;
		i->end = &item->next;
		i->queued++;
		item = NULL;
		pthread_cond_signal(&i->wake);
	}
	pthread_mutex_unlock(&i->lock);
	free(item);
}

void fs_inval_wait(struct fs *fs)
{
	struct fs_inval *i = fs->inval;
	uint64_t until;

	if (!i)
		return;
	pthread_mutex_lock(&i->lock);
	until = i->queued;
	while (i->done < until && !i->stop)
		pthread_cond_wait(&i->moved, &i->lock);
	pthread_mutex_unlock(&i->lock);
}

void fs_inval_attr(struct fs *fs, uint64_t node_id)
{
	if (fs->session)
		(void)fuse_lowlevel_notify_inval_inode(fs->session, node_id, -1, 0);
}

void fs_inval_data(struct fs *fs, uint64_t node_id)
{
	inval_queue(fs->inval, node_id, "", 0);
}

/* Whatever entry the kernel remembers, and whatever answer about one is under way, it asks about again. False: it cannot be told so. */
static bool entries_forget(struct fs *fs)
{
	const struct fuse_out_header h = {.len = sizeof(h), .error = NOTIFY_INC_EPOCH};

	if (!fs->inval || !fs->session || atomic_load(&fs->inval->no_epoch))
		return false;
	if (write(fuse_session_fd(fs->session), &h, sizeof(h)) < 0 && errno == EINVAL)
		atomic_store(&fs->inval->no_epoch, true);
	return !atomic_load(&fs->inval->no_epoch); /* any other error: the connection is gone, and with it what was remembered */
}

void fs_inval_entry(struct fs *fs, uint64_t parent, const char *name)
{
	if (!entries_forget(fs))
		(void)fuse_lowlevel_notify_inval_entry(fs->session, parent, name, strlen(name)); /* unknown is fine */
}

/*
 * Does the kernel know of this change of a name because it asked for it? Not: what a refusal puts back, what a control file or a recovered
 * draft brings about, a newborn that nobody wrote and that vanishes with its last RELEASE.
 */
static bool entry_known(const struct fs_session_request *asked, const struct change *c, const struct change *changes, size_t count)
{
	switch (asked->opcode) {
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_CREATE:
		return c->type == CHANGE_CREATE; /* and what is below a new directory nobody has looked up */
	case FUSE_LINK:
		return c->type == CHANGE_CREATE ? c->ino == asked->second : c->ino == asked->second && c->parent == asked->node_id;
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		return c->type == CHANGE_UNLINK && c->parent == asked->node_id;
	case FUSE_RENAME:
	case FUSE_RENAME2:
		for (size_t i = 0; i < count; i++) /* one that is carried out takes a name away */
			if (changes[i].type == CHANGE_UNLINK && changes[i].parent == asked->node_id)
				return c->parent == asked->node_id || c->parent == asked->second;
		return false;
	default:
		return c->type == CHANGE_CREATE && c->ino == asked->node_id; /* the first commit of a newborn */
	}
}

/*
 * While a file is open for writing its attributes have no timeout (entry.h), so a commit of the file the
 * kernel's request is about needs nothing.
 */
void fs_observe(void *arg, uint64_t seq, const struct change *changes, size_t count)
{
	const struct fs_session_request *asked = fs_session_request();
	struct fs *fs = arg;
	bool forgotten = false;

	for (size_t i = 0; i < count; i++) {
		const struct change *c = &changes[i];
		bool entry = c->type == CHANGE_CREATE || c->type == CHANGE_LINK || c->type == CHANGE_UNLINK;

		if (c->type == CHANGE_CONTENT && handles_mapped(fs->handles, c->ino) && c->ino != asked->node_id)
			fs_inval_data(fs, c->ino);
		if (!entry && c->ino != asked->node_id)
			fs_inval_attr(fs, c->ino);
		if (entry && (!seq || !entry_known(asked, c, changes, count))) { /* seq 0: a newborn is gone */
			if (!forgotten && !entry_kept_by_us(fs, c->parent)) {    /* there the kernel remembers nothing */
				forgotten = entries_forget(fs);
				if (!forgotten)
					inval_queue(fs->inval, c->parent, c->name, c->name_len);
			}
			fs_inval_attr(fs, c->parent);
			if (c->type != CHANGE_CREATE)
				fs_inval_attr(fs, c->ino); /* its links */
		}
	}
}
