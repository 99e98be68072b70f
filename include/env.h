/* SPDX-License-Identifier: MIT
 *
 * L1. The environment: everything the core asks of the outside world, through
 * one table, so that tests can lose power at any call. Files, directories,
 * clocks, random bytes. Nothing in core/ calls the operating system around it
 * (except pthread and memory).
 *
 * Paths are relative to the store directory, '/'-separated, without "..".
 * Files are named by small non-negative descriptors of the environment's own.
 * All functions are thread-safe; return 0 or a count on success, -errno on failure.
 *
 * Durability contract, as POSIX gives it and the in-memory environment enforces it:
 *  - bytes written are durable after fdatasync() of the file returned 0;
 *  - a created, renamed or removed name is durable after dir_sync() of its directory returned 0;
 *  - after a failed write or sync the state of the bytes since the last good sync is unknown,
 *    and a later successful sync says nothing about them.
 */
#ifndef MILESTONEFS_ENV_H
#define MILESTONEFS_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct env;

enum env_open_flags {
	ENV_READ = 0,
	ENV_WRITE = 1,  /**< read and write */
	ENV_CREATE = 2, /**< create when missing, mode 0600 */
	ENV_EXCL = 4,   /**< with ENV_CREATE: -EEXIST when there */
};

struct env_space {
	uint64_t total_bytes;
	uint64_t free_bytes; /**< to this user */
	uint64_t files_total;
	uint64_t files_free;
};

/** Called for each name but "." and ".."; a non-zero return stops the listing and is returned. */
typedef int (*env_list_fn)(void *arg, const char *name, bool is_dir);

struct env_ops {
	int (*open)(struct env *env, const char *path, int flags);
	void (*close)(struct env *env, int fd);
	/** Whole count or error; a short count only at end of file. */
	ssize_t (*pread)(struct env *env, int fd, void *buf, size_t len, uint64_t offset);
	/** Writes all of @len or fails (the part written is then unknown). */
	int (*pwrite)(struct env *env, int fd, const void *buf, size_t len, uint64_t offset);
	int (*fdatasync)(struct env *env, int fd);
	/** Reserve disk blocks for [offset, offset+len) and extend the file; -ENOSPC leaves it unchanged in size. */
	int (*allocate)(struct env *env, int fd, uint64_t offset, uint64_t len);
	int (*truncate)(struct env *env, int fd, uint64_t len);
	int (*size)(struct env *env, int fd, uint64_t *ret_bytes);
	int (*rename)(struct env *env, const char *from, const char *to);
	int (*unlink)(struct env *env, const char *path);
	int (*mkdir)(struct env *env, const char *path);    /**< mode 0700; -EEXIST when there */
	int (*dir_sync)(struct env *env, const char *path); /**< "" or "." is the store itself */
	int (*list)(struct env *env, const char *path, env_list_fn fn, void *arg);
	/** Exclusive advisory lock held until close; -EAGAIN when somebody else holds it. */
	int (*lock)(struct env *env, int fd);
	int (*space)(struct env *env, struct env_space *ret);
	int64_t (*time_ns)(struct env *env);      /**< CLOCK_REALTIME */
	int64_t (*monotonic_ns)(struct env *env); /**< CLOCK_MONOTONIC */
	int (*random)(struct env *env, void *buf, size_t len);
};

/** An environment; implementations embed it as their first member. */
struct env {
	const struct env_ops *ops;
};

/**
 * The real one, rooted at the directory @dir_fd (kept, not closed by
 * env_posix_free). Where root works in somebody's directory, what is made is that user's. NULL when out of memory.
 */
struct env *env_posix_new(int dir_fd);
void env_posix_free(struct env *env);

/* Thin wrappers, so that calls read env_pread(env, …). */
static inline int env_open(struct env *e, const char *path, int flags)
{
	return e->ops->open(e, path, flags);
}
static inline void env_close(struct env *e, int fd)
{
	e->ops->close(e, fd);
}
static inline ssize_t env_pread(struct env *e, int fd, void *buf, size_t len, uint64_t off)
{
	return e->ops->pread(e, fd, buf, len, off);
}
static inline int env_pwrite(struct env *e, int fd, const void *buf, size_t len, uint64_t off)
{
	return e->ops->pwrite(e, fd, buf, len, off);
}
static inline int env_fdatasync(struct env *e, int fd)
{
	return e->ops->fdatasync(e, fd);
}
static inline int env_allocate(struct env *e, int fd, uint64_t off, uint64_t len)
{
	return e->ops->allocate(e, fd, off, len);
}
static inline int env_truncate(struct env *e, int fd, uint64_t len)
{
	return e->ops->truncate(e, fd, len);
}
static inline int env_size(struct env *e, int fd, uint64_t *ret)
{
	return e->ops->size(e, fd, ret);
}
static inline int env_rename(struct env *e, const char *from, const char *to)
{
	return e->ops->rename(e, from, to);
}
static inline int env_unlink(struct env *e, const char *path)
{
	return e->ops->unlink(e, path);
}
static inline int env_mkdir(struct env *e, const char *path)
{
	return e->ops->mkdir(e, path);
}
static inline int env_dir_sync(struct env *e, const char *path)
{
	return e->ops->dir_sync(e, path);
}
static inline int env_list(struct env *e, const char *path, env_list_fn fn, void *arg)
{
	return e->ops->list(e, path, fn, arg);
}
static inline int env_lock(struct env *e, int fd)
{
	return e->ops->lock(e, fd);
}
static inline int env_space(struct env *e, struct env_space *ret)
{
	return e->ops->space(e, ret);
}
static inline int64_t env_time_ns(struct env *e)
{
	return e->ops->time_ns(e);
}
static inline int64_t env_monotonic_ns(struct env *e)
{
	return e->ops->monotonic_ns(e);
}
static inline int env_random(struct env *e, void *buf, size_t len)
{
	return e->ops->random(e, buf, len);
}

/** Replace @path atomically and durably with @len bytes: temporary file, fdatasync, rename, dir_sync of @dir. */
int env_replace_file(struct env *env, const char *dir, const char *path, const void *data, size_t len);
/** Read a whole file of at most @max bytes (caller frees *@ret_data, NUL-terminated). -ENOENT, -EFBIG, -ENOMEM, -EIO. */
int env_read_file(struct env *env, const char *path, size_t max, char **ret_data, size_t *ret_len);

#endif
