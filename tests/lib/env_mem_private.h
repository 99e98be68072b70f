/* SPDX-License-Identifier: MIT
 *
 * What env_mem.c (files and the rest of the calls), env_mem_names.c (names), env_mem_knobs.c (what tests set) and env_mem_crash.c (what survives)
 * share.
 * All fields are guarded by env_mem.lock.
 */
#ifndef MILESTONEFS_TEST_ENV_MEM_PRIVATE_H
#define MILESTONEFS_TEST_ENV_MEM_PRIVATE_H

#include <pthread.h>

#include "env_mem.h"
#include "mem_content.h"
#include "rng.h"

/** How certain an operation since the durable state is. */
enum mem_fate {
	MEM_PENDING, /**< not synced yet */
	MEM_UNSURE,  /**< a sync or write failed: no sync will ever make it certain */
	MEM_DURABLE, /**< synced, kept in the list only because an uncertain one precedes it */
};

enum mem_data_kind { MEM_WRITE, MEM_TRUNCATE, MEM_ALLOCATE };

struct mem_data_op {
	enum mem_data_kind kind;
	enum mem_fate fate;
	uint64_t op; /**< number of the operation */
	uint64_t offset;
	uint64_t len;  /**< truncate: the new size is `offset` */
	uint8_t *data; /**< owned; writes only */
};

struct mem_node;

struct mem_entry {
	char *name; /**< owned */
	struct mem_node *node;
};

struct mem_entries {
	struct mem_entry *items;
	size_t count, capacity;
};

/** A file or directory. Owned by env_mem.nodes until env_mem_free(). */
struct mem_node {
	bool is_dir;
	size_t index; /**< in env_mem.nodes */
	/* directory */
	struct mem_entries names;         /**< as the process sees them */
	struct mem_entries durable_names; /**< certain, before env_mem.name_ops */
	/* file */
	struct mem_content content;         /**< as the process sees it */
	struct mem_content durable_content; /**< certain, before `ops` */
	struct mem_data_op *ops;
	size_t op_count, op_capacity;
	unsigned links;   /**< names in the process's view */
	unsigned opens;   /**< descriptors */
	int locked_by_fd; /**< -1: nobody */
};

/** Takes @from_name out of @from and puts @node in @to; either directory may be NULL. One atomic step. */
struct mem_name_op {
	enum mem_fate fate;
	struct mem_node *from, *to, *node;
	char *from_name, *to_name; /**< owned */
};

struct mem_fd {
	struct mem_node *node; /**< NULL: free */
	bool writable;
};

struct mem_fault {
	uint64_t op;
	int error;
};

#define MEM_FAULTS_MAX 64

struct env_mem {
	struct env env;
	pthread_mutex_t lock;
	struct mem_node **nodes; /**< [0] is the root */
	size_t node_count, node_capacity;
	struct mem_name_op *name_ops; /**< since the durable names, in order, of all directories */
	size_t name_op_count, name_op_capacity;
	struct mem_fd *fds;
	size_t fd_count, fd_capacity;
	struct rng rng;
	struct env_mem_stats stats;
	struct mem_fault faults[MEM_FAULTS_MAX];
	size_t fault_count;
	int sync_error;
	uint64_t power_off_at, kill_at; /**< 0: never */
	bool off, dead;
	uint64_t capacity; /**< bytes; 0: no limit */
	int64_t time_ns, monotonic_ns, step_ns;
};

enum mem_outcome {
	OUT_DONE,
	OUT_FAILED, /* an armed fault */
	OUT_POWER,  /* the power goes during this operation */
	OUT_KILLED, /* the process dies during this operation */
	OUT_GONE,   /* the power or process went earlier */
};

/* env_mem.c */
/** Takes the lock. */
struct env_mem *mem_enter(struct env *env);
/** Gives it back and returns @r. */
int mem_leave(struct env_mem *m, int r);
/** Power or process went. */
bool mem_gone(const struct env_mem *m);
/** Counts the operation and decides. *@ret_error is what the call returns unless OUT_DONE. */
enum mem_outcome mem_op_begin(struct env_mem *m, bool is_sync, int *ret_error);
/** NULL: not open. */
struct mem_node *mem_fd_node(struct env_mem *m, int fd);
void mem_fd_close(struct env_mem *m, int fd);
uint64_t mem_used_bytes(const struct env_mem *m);

/* env_mem_names.c */
/** The node, with *@ret_parent and *@ret_name (its last component). 0 also when only the last component is missing (*@ret_node NULL). */
int mem_path_find(struct env_mem *m, const char *path, struct mem_node **ret_parent, const char **ret_name, struct mem_node **ret_node);
/** 0, -ENOENT or another error of the path. */
int mem_path_get(struct env_mem *m, const char *path, struct mem_node **ret_node);
int mem_name_op_run(struct env_mem *m, struct mem_name_op op);
int mem_rename(struct env *env, const char *from, const char *to);
int mem_unlink(struct env *env, const char *path);
int mem_mkdir(struct env *env, const char *path);
int mem_dir_sync(struct env *env, const char *path);
int mem_list(struct env *env, const char *path, env_list_fn fn, void *arg);

/* env_mem_node.c */
struct mem_node *mem_node_new(struct env_mem *m, bool is_dir);
struct mem_node *mem_entries_get(const struct mem_entries *e, const char *name, size_t len);
/** @node NULL removes. */
void mem_entries_set(struct mem_entries *e, const char *name, struct mem_node *node);
void mem_data_op_apply(const struct mem_data_op *op, struct mem_content *c);
/** Do both touch one name of one directory? */
bool mem_name_ops_depend(const struct mem_name_op *a, const struct mem_name_op *b);

#endif
