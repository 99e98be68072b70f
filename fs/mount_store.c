/* SPDX-License-Identifier: MIT
 *
 * The store's directory has mode 0500 while nothing is mounted over it, so that nobody writes there by mistake, and 0700
 * while a daemon works: an ordinary user's daemon is bound by it too.
 *
 * The mode is put back while the lock is still held, or a daemon that starts right then would find its directory closed. The engine
 * gives the lock up when it closes; so the lock's descriptor is duplicated where it passes by, in the environment's lock operation.
 */
#include "mount_store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE_MOUNTED 0700
#define MODE_UNMOUNTED 0500

/* The environment's operations, with a lock that is remembered. First member: found from env->ops. */
struct kept_ops {
	struct env_ops ops;
	const struct env_ops *real;
	int lock_fd;
};

struct mount_store {
	int dir_fd;
	bool read_only;
	mode_t mode; /* of the directory as it was, when it was made writable for a while */
	struct env *env;
	struct kept_ops kept;
	struct engine *engine;
};

static int lock_and_keep(struct env *env, int fd)
{
	struct kept_ops *k = (struct kept_ops *)env->ops; /* it lies in a mount_store, never in constant memory */
	int r = k->real->lock(env, fd);

	if (!r && k->lock_fd < 0)
		k->lock_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* -1: the lock is given up a little early */
	return r;
}

static int open_dir(const struct project *p, bool create, struct reason *reason)
{
	int fd;

	if (create && mkdir(p->mount_path, MODE_MOUNTED) < 0 && errno != EEXIST)
		return reason_set(reason, -errno, "mount", "cannot make %s: %s", p->mount_path, strerror(errno));
	fd = open(p->mount_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (!create && errno == ENOENT)
		return reason_set(reason, -ENOENT, "mount", "%s: there is nothing to show read-only yet; mount without ro makes it", p->mount_path);
	if (errno == ELOOP)
		return reason_set(reason, -ELOOP, "mount", "%s is a symbolic link; a directory is needed there", p->mount_path);
	if (errno == ENOTDIR)
		return reason_set(reason, -ENOTDIR, "mount", "%s is not a directory; move it away", p->mount_path);
	return reason_set(reason, -errno, "mount", "cannot open %s: %s", p->mount_path, strerror(errno));
}

/* Sets *@ret_mode when it changed it. */
static int make_writable(int fd, const struct project *p, mode_t *ret_mode, struct reason *reason)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & S_IRWXU) == S_IRWXU)
		return 0;
	if (fchmod(fd, (st.st_mode & 07077) | MODE_MOUNTED) == 0) {
		*ret_mode = st.st_mode & 07777;
		return 0;
	}
	if (errno == EROFS)
		return reason_set(reason, -EROFS, "mount", "%s is on a read-only file system; milestonefs mount -o ro shows it as it is", p->mount_path);
	return reason_set(reason, -errno, "mount", "%s belongs to somebody else (uid %u): %s; mount it as that user or as root", p->mount_path,
		(unsigned)st.st_uid, strerror(errno));
}

int mount_store_open(const struct project *p, const struct mount_options *o, struct reason *reason, struct mount_store **ret)
{
	struct engine_options options = {
		.project = p->path,
		.read_only = o->read_only,
		.threads = true,
		.root_uid = getuid(),
		.root_gid = getgid(),
		.sync_given = o->sync_interval_ms >= 0,
		.sync_interval_ms = o->sync_interval_ms >= 0 ? (uint32_t)o->sync_interval_ms : 0,
	};
	struct mount_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->read_only = o->read_only;
	s->kept.lock_fd = -1;
	r = s->dir_fd = open_dir(p, !o->read_only, reason);
	if (r >= 0)
		r = o->read_only ? 0 : make_writable(s->dir_fd, p, &s->mode, reason);
	if (!r && !(s->env = env_posix_new(s->dir_fd)))
		r = -ENOMEM;
	if (!r) {
		s->kept.real = s->env->ops;
		s->kept.ops = *s->env->ops;
		s->kept.ops.lock = lock_and_keep;
		s->env->ops = &s->kept.ops;
		r = engine_open(s->env, &options, reason, &s->engine);
		if (r && reason->text[0])
			reason_prefix(reason, p->mount_path);
	}
	if (r) {
		(void)mount_store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct engine *mount_store_engine(struct mount_store *s)
{
	return s->engine;
}

int mount_store_dir(struct mount_store *s)
{
	return s->dir_fd;
}

void mount_store_mounting(struct mount_store *s, bool begins)
{
	struct stat st;

	if (!s->read_only || geteuid() == 0)
		return; /* it is writable, or need not be */
	if (begins) {
		s->mode = fstat(s->dir_fd, &st) < 0 ? 0 : st.st_mode & 07777;
		if (s->mode && !(s->mode & S_IWUSR))
			(void)fchmod(s->dir_fd, s->mode | S_IWUSR); /* else fusermount3 says why not */
	} else if (s->mode && !(s->mode & S_IWUSR)) {
		(void)fchmod(s->dir_fd, s->mode);
	}
}

int mount_store_close(struct mount_store *s)
{
	struct stat st;
	bool served;
	int r;

	if (!s)
		return 0;
	served = s->engine && !s->read_only;
	r = engine_close(s->engine);
	/* A courtesy. Without an engine it never became a store, and is as it was, or it is another daemon's, who needs the mode that we gave it, too. */
	if (served && s->kept.lock_fd >= 0 && fstat(s->dir_fd, &st) == 0)
		(void)fchmod(s->dir_fd, (st.st_mode & 07077) | MODE_UNMOUNTED);
	else if (!served && !s->read_only && s->mode && (s->kept.lock_fd >= 0 || !store_is_locked(s->dir_fd)))
		(void)fchmod(s->dir_fd, s->mode);
	if (s->kept.lock_fd >= 0)
		(void)close(s->kept.lock_fd); /* the lock is given up here */
	env_posix_free(s->env);
	if (s->dir_fd >= 0)
		(void)close(s->dir_fd);
	free(s);
	return r;
}
