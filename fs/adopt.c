/* SPDX-License-Identifier: MIT
 *
 * Adoption in three steps, each a rename or a transaction, so that a crash anywhere neither loses nor adopts twice:
 *
 *  1. the foreign entries are renamed into adopted/TIME.after-SEQ/, SEQ being the head of the journal at that moment;
 *  2. one ADOPT transaction makes the tree out of what lies there: adopted from here on, durable before 3;
 *  3. the directory is renamed to adopted/TIME.
 *
 * A start that finds a TIME.after-SEQ goes on: if the journal has an ADOPT transaction behind SEQ, step 3 is all that is
 * missing; else steps 1 (for what was left) and 2. Nothing is ever deleted.
 *
 * Failure: the mount does not start, the message names the file, and the originals are in the store.
 */
#include "adopt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "adopt_move.h"
#include "adopt_walk.h"
#include "store.h"

#define ADOPTED "adopted"
#define STAGE_MARK ".after-"
#define STAMP_BYTES 17 /* 20261122T100000Z and NUL */

struct stage {
	char name[80]; /* in adopted/: TIME.after-SEQ; "" when there is none */
	char stamp[32];
	uint64_t after_seq;
};

/* Is @name one that adoption makes in adopted/? */
static bool is_stamp(const char *name)
{
	return strlen(name) >= STAMP_BYTES - 1 && strspn(name, "0123456789") == 8 && name[8] == 'T' && strspn(name + 9, "0123456789") == 6 && name[15] == 'Z';
}

static int dir_fsync(int fd)
{
	return fsync(fd) < 0 ? -errno : 0;
}

static int open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

typedef int (*entry_fn)(void *arg, int dir_fd, const char *name);

static int each_entry(int dir_fd, const char *path, entry_fn fn, void *arg)
{
	int fd = open_dir(dir_fd, path), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		r = fd < 0 ? fd : -errno;
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	while (!r && (errno = 0, e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = fn(arg, dirfd(dir), e->d_name);
	if (!r && errno)
		r = -errno;
	(void)closedir(dir);
	return r;
}

static int find_stage(void *arg, int dir_fd, const char *name)
{
	struct stage *s = arg;
	const char *mark = strstr(name, STAGE_MARK);

	(void)dir_fd;
	if (is_stamp(name) && mark && strlen(name) < sizeof(s->name) && !parse_u64(mark + strlen(STAGE_MARK), &s->after_seq)) {
		snprintf(s->name, sizeof(s->name), "%s", name);
		snprintf(s->stamp, sizeof(s->stamp), "%.*s", (int)MIN(mark - name, 31), name);
	}
	return 0;
}

struct foreign {
	bool any;
	int to_fd; /* where to move them; -1: only look */
	struct reason *reason;
};

/* Rename to @want in @to_fd, or to want~N when an earlier try left one there. Tells the name in @ret_name (NULL allowed). */
static int move_aside(int from_fd, const char *name, int to_fd, const char *want, char ret_name[64])
{
	for (int i = 0; i < 1000; i++) {
		char to[NAME_MAX + 8];
		struct stat st;
		int r;

		if (i)
			snprintf(to, sizeof(to), "%.240s~%d", want, i);
		else
			snprintf(to, sizeof(to), "%s", want);
		if (fstatat(to_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		r = adopt_move(from_fd, name, to_fd, to);
		if (r)
			return r;
		if (ret_name)
			snprintf(ret_name, 64, ADOPTED "/%.50s", to);
		return 0;
	}
	return -EEXIST;
}

static int foreign_entry(struct foreign *f, int dir_fd, const char *name)
{
	int r;

	f->any = true;
	if (f->to_fd < 0)
		return 0;
	r = move_aside(dir_fd, name, f->to_fd, name, NULL);
	if (r)
		return reason_set(f->reason, r, "adopt", ".milestones/%s cannot be moved aside: %s; move it out of .milestones by hand", name, strerror(-r));
	return 0;
}

/* What a user had in a directory of his own of that name keeps it in its path. */
static int foreign_in_adopted(void *arg, int dir_fd, const char *name)
{
	struct foreign *f = arg;
	struct foreign below = {.to_fd = -1, .reason = f->reason};
	int r;

	if (is_stamp(name))
		return 0;
	if (f->to_fd >= 0) {
		if (mkdirat(f->to_fd, ADOPTED, 0755) < 0 && errno != EEXIST)
			return -errno;
		below.to_fd = open_dir(f->to_fd, ADOPTED);
		if (below.to_fd < 0)
			return below.to_fd;
	}
	r = foreign_entry(&below, dir_fd, name);
	if (below.to_fd >= 0)
		(void)close(below.to_fd);
	f->any = true;
	return r;
}

static bool is_dir(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int foreign_in_store(void *arg, int dir_fd, const char *name)
{
	if (store_owns_name(name))
		return 0;
	if (!strcmp(name, ADOPTED) && is_dir(dir_fd, name))
		return each_entry(dir_fd, ADOPTED, foreign_in_adopted, arg);
	return foreign_entry(arg, dir_fd, name);
}

/* Step 1: into the stage that is there, or a new one. */
static int stage_fill(struct fs *fs, int dir_fd, struct stage *s, struct reason *reason)
{
	cleanup_fd int adopted = -1, stage = -1;
	struct foreign f = {.to_fd = -1, .reason = reason};
	int r;

	if (!is_dir(dir_fd, ADOPTED)) {
		if (faccessat(dir_fd, ADOPTED, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && renameat(dir_fd, ADOPTED, dir_fd, ADOPTED ".found") < 0)
			return -errno;
		if (mkdirat(dir_fd, ADOPTED, 0700) < 0)
			return -errno;
	}
	adopted = open_dir(dir_fd, ADOPTED);
	if (adopted < 0)
		return adopted;
	if (!s->name[0]) {
		time_t now = (time_t)(env_time_ns(engine_env(fs->engine)) / NS_PER_S);
		struct tm tm;

		gmtime_r(&now, &tm);
		strftime(s->stamp, sizeof(s->stamp), "%Y%m%dT%H%M%SZ", &tm);
		s->after_seq = engine_head_seq(fs->engine);
		snprintf(s->name, sizeof(s->name), "%s" STAGE_MARK "%" PRIu64, s->stamp, s->after_seq);
		if (mkdirat(adopted, s->name, 0700) < 0)
			return -errno;
	}
	stage = open_dir(adopted, s->name);
	if (stage < 0)
		return stage;
	f.to_fd = stage;
	r = each_entry(dir_fd, ".", foreign_in_store, &f);
	if (!r)
		r = dir_fsync(stage);
	if (!r)
		r = dir_fsync(adopted);
	return r ? r : dir_fsync(dir_fd);
}

/* Was step 2 of this stage done before a crash? */
static int stage_committed(struct fs *fs, const struct stage *s, bool *ret)
{
	*ret = false;
	for (uint64_t seq = engine_head_seq(fs->engine); seq > s->after_seq && !*ret; seq--) {
		struct record *record;
		int r = engine_load_record(fs->engine, seq, &record);

		if (r == -ENOENT)
			continue; /* lost to damage, which the newest transactions never are alone */
		if (r)
			return r;
		*ret = record->operation == OPERATION_ADOPT;
		record_free(record);
	}
	return 0;
}

struct feed {
	struct adopt_list list;
	size_t next;
	int stage_fd;
	int fd; /* of the file being read */
	struct reason *reason;
};

static ssize_t feed_read(struct adopt_entry *a, void *buf, size_t len)
{
	struct feed *f = a->arg;
	const char *from = f->list.items[f->next - 1].from;
	ssize_t n;

	if (f->fd < 0)
		f->fd = openat(f->stage_fd, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (f->fd < 0)
		return reason_set(f->reason, -errno, "adopt", ".milestones/%s cannot be read: %s", from, strerror(errno));
	do
		n = read(f->fd, buf, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return reason_set(f->reason, -errno, "adopt", ".milestones/%s: %s", from, strerror(errno));
	if (n == 0) {
		(void)close(f->fd);
		f->fd = -1;
	}
	return n;
}

/* What belongs to users (security.* and ACLs are the file system's business). */
static bool xattr_is_adopted(const char *name)
{
	return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8);
}

struct xattr_feed {
	int (*add)(void *arg, const char *name, const char *value, size_t len);
	void *add_arg;
};

static int feed_xattr(void *arg, const char *name, const char *value, size_t len)
{
	const struct xattr_feed *f = arg;

	return xattr_is_adopted(name) ? f->add(f->add_arg, name, value, len) : 0;
}

static int feed_xattrs(struct adopt_entry *a, int (*add)(void *arg, const char *name, const char *value, size_t len), void *add_arg)
{
	struct feed *f = a->arg;
	cleanup_fd int fd = openat(f->stage_fd, f->list.items[f->next - 1].from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	/* Not to be opened: reading the content says what is wrong. */
	return fd < 0 ? 0 : adopt_each_xattr(fd, feed_xattr, &(struct xattr_feed){add, add_arg});
}

/* 1 and an entry, 0 at the end. */
static int feed_next(void *arg, struct adopt_entry *ret)
{
	struct feed *f = arg;
	const struct adopt_item *item;

	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
	if (f->next == f->list.count)
		return 0;
	item = &f->list.items[f->next++];
	*ret = (struct adopt_entry){.path = item->to,
		.mode = item->mode,
		.uid = item->uid,
		.gid = item->gid,
		.mtime_ns = item->mtime_ns,
		.symlink = item->symlink,
		.link_to = item->link_to,
		.filled = item->filled,
		.read = feed_read,
		.xattrs = S_ISLNK(item->mode) || !*item->from ? NULL : feed_xattrs,
		.arg = f};
	return 1;
}

/* Step 2. */
static int stage_commit(struct fs *fs, int stage_fd, const struct stage *s, struct reason *reason, struct adopt_result *ret)
{
	struct request q = {.uid = getuid(), .gid = getgid()};
	struct feed feed = {.stage_fd = stage_fd, .fd = -1, .reason = reason};
	int r;

	snprintf(ret->moved_to, sizeof(ret->moved_to), "adopted-%s", s->stamp);
	r = adopt_list_make(fs, stage_fd, ret->moved_to, reason, &feed.list);
	if (r)
		return r;
	q.actor.uid = q.uid;
	q.actor.gid = q.gid;
	snprintf(q.actor.comm, sizeof(q.actor.comm), "milestonefs");
	ret->moved = feed.list.moved;
	ret->skipped = feed.list.skipped;
	if (feed.list.count)
		r = engine_adopt(fs->engine, &q, feed_next, &feed, &ret->entries);
	if (!r)
		r = engine_wait(fs->engine, q.seq, JOURNAL_DURABLE); /* adopted from here on */
	if (r && !reason->text[0])
		reason_set(reason, r, "adopt", "the files found in .milestones could not be adopted: %s", q.reason.text[0] ? q.reason.text : strerror(-r));
	ret->seq = q.seq;
	if (feed.fd >= 0)
		(void)close(feed.fd);
	adopt_list_release(&feed.list);
	return r;
}

/* Step 3. */
static int stage_finish(int dir_fd, const struct stage *s, struct adopt_result *ret)
{
	cleanup_fd int adopted = open_dir(dir_fd, ADOPTED);
	int r = adopted < 0 ? adopted : move_aside(adopted, s->name, adopted, s->stamp, ret->kept_in);

	return r ? r : dir_fsync(adopted);
}

int adopt_run(struct fs *fs, int dir_fd, struct reason *reason, struct adopt_result *ret)
{
	struct adopt_result result = {0};
	struct foreign look = {.to_fd = -1, .reason = reason};
	struct stage s = {0};
	cleanup_fd int stage_fd = -1;
	bool committed = false;
	int r = 0;

	if (is_dir(dir_fd, ADOPTED))
		r = each_entry(dir_fd, ADOPTED, find_stage, &s);
	if (!r && s.name[0])
		r = stage_committed(fs, &s, &committed);
	if (!r && !committed) {
		r = each_entry(dir_fd, ".", foreign_in_store, &look);
		if (!r && !look.any && !s.name[0]) {
			*ret = result;
			return 0;
		}
		if (!r)
			r = stage_fill(fs, dir_fd, &s, reason);
		if (!r) {
			cleanup_fd int adopted = open_dir(dir_fd, ADOPTED);

			stage_fd = open_dir(adopted, s.name);
			r = stage_fd < 0 ? stage_fd : stage_commit(fs, stage_fd, &s, reason, &result);
		}
	}
	if (!r)
		r = stage_finish(dir_fd, &s, &result);
	if (r && !reason->text[0])
		reason_set(reason, r, "adopt", "adopting the files found in .milestones failed: %s", strerror(-r));
	if (r)
		return r;
	if (committed) /* what came since the crash is next */
		return adopt_run(fs, dir_fd, reason, ret);
	*ret = result;
	return 0;
}
