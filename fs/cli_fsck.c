/* SPDX-License-Identifier: MIT
 *
 * milestonefs fsck. Only reads, unless told to repair. Exit status as fsck(8): 0 clean, 1 repaired, 4 errors left, 8 could not be
 * done, 16 usage.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "fsck.h"
#include "log.h"
#include "project.h"

enum fsck_status { FSCK_CLEAN = 0, FSCK_REPAIRED = 1, FSCK_ERRORS_LEFT = 4, FSCK_OPERATIONAL = 8, FSCK_USAGE = 16 };

struct arguments {
	const char *place;
	bool repair, force, quiet;
};

static const struct argp_option options[] = {
	{"repair", 'r', NULL, 0,
		"Cut off an unfinished write at the end, make FORMAT and damaged headers anew, drop index snapshots that are no good. Never deletes readable "
		"history",
		0},
	{"force", 'F', NULL, 0, "Look also while the store is in use (what is being written may look unfinished)", 0},
	{"quiet", 'q', NULL, 0, "Say nothing about a clean store", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'r':
		a->repair = true;
		return 0;
	case 'F':
		a->force = true;
		return 0;
	case 'q':
		a->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "one argument too many: %s", arg);
		a->place = arg;
		return 0;
	case ARGP_KEY_END:
		if (a->repair && a->force)
			argp_error(state, "--repair and --force exclude each other");
		if (!state->arg_num)
			argp_error(state, "name the project's directory, or a store");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int open_project(const struct project *p, const struct arguments *a, struct reason *reason)
{
	char daemon[PROJECT_DAEMON_BYTES];

	switch (a->force ? MOUNT_NONE : project_mount_state(p)) {
	case MOUNT_ALIVE:
		return reason_set(reason, -EBUSY, "fsck", "%s is mounted%s; unmount it first: milestonefs umount %s", p->mount_path,
			project_daemon_text(p, daemon), p->word);
	case MOUNT_SILENT:
		return project_silent(p, "fsck", reason);
	default:
		return project_open_store(p, reason);
	}
}

/* A directory that holds a FORMAT, such as a copy of a store; else a project. What may be a mount is not touched. */
static int open_place(const struct arguments *a, struct reason *reason)
{
	struct project p;
	int fd = project_names_mount(a->place) ? -1 : open(a->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd >= 0 && faccessat(fd, "FORMAT", F_OK, 0) == 0)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	r = project_find(a->place, reason, &p);
	if (r)
		return r;
	r = open_project(&p, a, reason);
	project_release(&p);
	return r;
}

static int check(struct fsck *f, struct env *env, struct reason *reason)
{
	int r = fsck_index(f, env, reason);

	if (!r)
		r = fsck_journal(f, env, reason);
	return r ? r : fsck_tree(f, env, reason);
}

static int repair(struct fsck *f, struct env *env, struct reason *reason)
{
	int r = fsck_repair(f, env, reason);

	if (r)
		return r;
	if (f->torn_bytes)
		printf("%s: repaired: the unfinished write was cut off\n", f->name);
	if (f->bad_headers)
		printf("%s: repaired: headers were made anew\n", f->name);
	if (f->bad_indexes)
		printf("%s: repaired: index snapshots were dropped\n", f->name);
	f->bad_headers = f->bad_indexes = 0;
	return 0;
}

static int repair_format(struct fsck *f, struct env *env, struct reason *reason)
{
	int r = store_rebuild_format(env, f->store_id, reason);

	if (!r)
		printf("%s: repaired: FORMAT was made anew\n", f->name);
	return r;
}

static void say_sum(const struct fsck *f, bool quiet)
{
	uint64_t mendable = f->bad_headers + f->bad_indexes, errors = f->errors + mendable;

	if (errors)
		printf("%s: %" PRIu64 " error%s in %" PRIu64 " transactions; what can be read is served by a mount%s\n", f->name, errors,
			errors == 1 ? "" : "s", f->transactions, mendable ? "; --repair mends what can be" : "");
	else if (!quiet)
		printf("%s: clean, %" PRIu64 " transactions, %" PRIu64 " events, %" PRIu64 " names, %" PRIu64 " bytes\n", f->name, f->transactions, f->events,
			f->files, f->bytes);
}

/* The exit status, or -errno with @reason. */
static int check_and_repair(struct fsck *f, const struct arguments *a, struct env *env, struct reason *reason)
{
	int status = FSCK_CLEAN, r = fsck_format(f, env, reason);

	if (r)
		return r;
	if (f->bad_format && !a->repair) {
		printf("%s: nothing else can be read without it; --repair makes it\n", f->name);
		return FSCK_ERRORS_LEFT;
	}
	if (f->bad_format) {
		r = repair_format(f, env, reason);
		status = FSCK_REPAIRED;
	}
	if (!r)
		r = check(f, env, reason);
	if (!r && a->repair && (f->torn_bytes || f->bad_headers || f->bad_indexes)) {
		r = repair(f, env, reason);
		status = FSCK_REPAIRED;
	}
	if (r)
		return r;
	say_sum(f, a->quiet);
	return f->errors || f->bad_headers || f->bad_indexes ? status | FSCK_ERRORS_LEFT : status;
}

static int failed(const struct reason *reason, int r)
{
	(void)cli_fail(reason, r);
	return FSCK_OPERATIONAL;
}

static int fsck_place(const struct arguments *a, int dir_fd, struct env *env)
{
	struct fsck f = {.out = stdout, .name = a->place};
	struct reason reason = {0};
	struct stat st;
	int r;

	if (store_is_locked(dir_fd) && !a->force) {
		log_error("%s: the store is in use by process %ld; unmount it there, or look with --force", a->place, (long)store_lock_pid(dir_fd));
		return FSCK_OPERATIONAL;
	}
	if (fstat(dir_fd, &st) < 0)
		r = -errno;
	else {
		if (a->repair)
			(void)fchmod(dir_fd, (st.st_mode & 07777) | S_IWUSR); /* an error shows when something is written */
		r = check_and_repair(&f, a, env, &reason);
		if (a->repair)
			(void)fchmod(dir_fd, st.st_mode & 07777);
	}
	if (r < 0) {
		(void)fflush(stdout);
		if (reason.text[0])
			reason_prefix(&reason, a->place);
		return failed(&reason, r);
	}
	return fflush(stdout) ? FSCK_OPERATIONAL : r;
}

int cli_fsck(int argc, char **argv)
{
	static const struct argp argp = {.options = options,
		.parser = parse,
		.args_doc = "PROJECT|STORE",
		.doc = "Check a store while it is not mounted: every frame, event, block and name."};
	struct arguments a = {0};
	struct reason reason = {0};
	struct env *env;
	int dir_fd, status;

	argp_err_exit_status = FSCK_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &a))
		return FSCK_USAGE;
	dir_fd = open_place(&a, &reason);
	if (dir_fd < 0)
		return failed(&reason, dir_fd);
	env = env_posix_new(dir_fd);
	status = env ? fsck_place(&a, dir_fd, env) : FSCK_OPERATIONAL;
	env_posix_free(env);
	(void)close(dir_fd);
	return status;
}
