/* SPDX-License-Identifier: MIT
 *
 * A mount from beginning to end. In order: store and engine (so that a locked or newer store is told before anything is
 * mounted), adoption, what the file system needs, the kernel's mount, the session on it, serving.
 *
 * The end, likewise in order: no mount, no requests; drafts that may be published are; everything durable and every late reply
 * sent; the engine, and last the session, which those replies needed.
 *
 * Failure: what was begun is taken back in the opposite order, and the reason is said once.
 */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adopt.h"
#include "autocommit.h"
#include "barrier.h"
#include "handle.h"
#include "hidden.h"
#include "inval.h"
#include "lock_file.h"
#include "log.h"
#include "mount_store.h"
#include "op_lock.h"
#include "process.h"
#include "publish.h"
#include "session.h"
#include "upkeep_thread.h"
#include "vfile.h"
#include "vfile_recovery.h"
#include "view_slots.h"
#include "waiters.h"

struct mount {
	const struct project *project;
	const struct mount_options *options;
	struct daemon *daemon;
	struct mount_store *store;
	struct fuse_session *mounter; /* holds the mount; the serving session is fs.session */
	struct upkeep_thread *upkeep;
	struct fs fs;
};

int mount_check(const struct project *p, struct reason *reason)
{
	char daemon[PROJECT_DAEMON_BYTES];
	int fd;

	switch (project_mount_state(p)) {
	case MOUNT_ALIVE:
		return reason_set(reason, -EBUSY, "mount", "%s is already mounted%s; milestonefs umount %s ends it", p->mount_path,
			project_daemon_text(p, daemon), p->word);
	case MOUNT_SILENT:
		return project_silent(p, "mount", reason);
	case MOUNT_DEAD:
		fd = project_clear_dead(p, reason);
		if (fd < 0)
			return fd;
		log_info("%s was the mount of a daemon that has died; cleared", p->mount_path);
		break;
	case MOUNT_NONE:
		break;
	}
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		(void)close(fd);
		return 0;
	}
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return reason_set(reason, -errno, "mount",
			"there is no /dev/fuse here: load the module (modprobe fuse), or give the container the device (--device /dev/fuse)");
	if (geteuid() == 0 || errno != EACCES)
		return reason_set(reason, -errno, "mount", "/dev/fuse cannot be opened: %s", strerror(errno));
	return reason_set(reason, -errno, "mount", "/dev/fuse is closed to this user: make it mode 0666 as udev does (chmod 0666 /dev/fuse), or mount as root");
}

/* ---- the file system's own parts ---- */

static uint64_t agents_generation(void *arg)
{
	return engine_agent_pids_generation(((struct fs *)arg)->engine);
}

static bool agent_of_pid(void *arg, uint32_t pid, uint64_t start_time, char agent[ACTOR_ID_BYTES], char session[ACTOR_ID_BYTES])
{
	(void)start_time;
	return engine_agent_of_pid(((struct fs *)arg)->engine, pid, agent, session);
}

/* Callers are looked at through kept descriptors of /proc, more than the usual soft limit of 1024 allows; what fails for want of one is opened
 * anew each time. */
static void descriptors_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)8192);
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* then it stays as it was */
	}
}

static int parts_make(struct mount *m)
{
	struct fs *fs = &m->fs;
	const struct process_agents agents = {.generation = agents_generation, .agent_of_pid = agent_of_pid, .arg = fs};
	int r;

	descriptors_allow();
	fs->engine = mount_store_engine(m->store);
	fs->project = m->project->path;
	fs->mount_path = m->project->mount_path;
	fs->read_only = m->options->read_only;
	fs->started_ns = env_time_ns(engine_env(fs->engine));
	fs->handles = fs_handles_new();
	fs->locks = fs_locks_new();
	fs->vnodes = vnode_table_new();
	fs->views = view_slots_new();
	fs->hidden = hidden_new();
	fs->recovery = recovery_cache_new();
	fs->waiters = waiters_new();
	if (!fs->handles || !fs->locks || !fs->vnodes || !fs->views || !fs->hidden || !fs->recovery || !fs->waiters)
		return -ENOMEM;
	r = process_cache_new(&agents, &fs->processes);
	return r;
}

/* After this no thread but the engine's runs. */
static void parts_free(struct mount *m)
{
	struct fs *fs = &m->fs;

	waiters_free(fs->waiters);
	vnode_table_free(fs->vnodes);
	hidden_free(fs->hidden);
	recovery_cache_free(fs->recovery);
	view_slots_free(fs->views);
	process_cache_free(fs->processes);
	fs_locks_free(fs->locks);
	fs_handles_free(fs->handles);
}

static int adopt(struct mount *m, struct reason *reason)
{
	struct adopt_result a;
	int r = m->options->read_only ? 0 : adopt_run(&m->fs, mount_store_dir(m->store), reason, &a);
	char text[400];
	size_t n;

	if (r || m->options->read_only || !a.kept_in[0])
		return r;
	n = (size_t)snprintf(text, sizeof(text), "adopted %" PRIu64 " %s found in %s as transaction %" PRIu64 "; the originals are kept in %s of the store",
		a.entries, a.entries == 1 ? "entry" : "entries", MILESTONES_DIR, a.seq, a.kept_in);
	if (a.moved && n < sizeof(text))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "; %" PRIu64 " whose names milestonefs uses itself are below %s", a.moved, a.moved_to);
	if (a.skipped && n < sizeof(text))
		(void)snprintf(text + n, sizeof(text) - n, "; %" PRIu64 " sockets, FIFOs or devices were left out", a.skipped);
	if (m->daemon->foreground) {
		log_info("%s", text);
	} else {
		printf("milestonefs: %s\n", text);
		(void)fflush(stdout);
	}
	return 0;
}

/* ---- the kernel's side ---- */

static void fuse_says(enum fuse_log_level level, const char *format, va_list ap)
{
	char line[600];

	(void)vsnprintf(line, sizeof(line), format, ap);
	log_write(level <= FUSE_LOG_ERR ? LOG_LEVEL_ERROR : level <= FUSE_LOG_INFO ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "%s", line);
}

static int mount_arguments(const struct mount *m, struct fuse_args *args)
{
	const struct mount_options *o = m->options;
	cleanup_free char *name = NULL;
	char *list = NULL;
	int r = asprintf(&name, "fsname=milestonefs:%s", m->project->path) < 0 ? -1 : 0;

	if (!r)
		r = fuse_opt_add_opt(&list, "subtype=milestonefs,default_permissions,nosuid,nodev");
	if (!r)
		r = fuse_opt_add_opt_escaped(&list, name);
	if (!r && o->allow_other)
		r = fuse_opt_add_opt(&list, "allow_other");
	if (!r && o->read_only)
		r = fuse_opt_add_opt(&list, "ro");
	if (!r && o->noexec)
		r = fuse_opt_add_opt(&list, "noexec");
	if (!r && o->noatime)
		r = fuse_opt_add_opt(&list, "noatime");
	if (!r)
		r = fuse_opt_add_arg(args, "milestonefs");
	if (!r)
		r = fuse_opt_add_arg(args, "-o");
	if (!r)
		r = fuse_opt_add_arg(args, list);
	free(list);
	return r ? -ENOMEM : 0;
}

static int mount_failed(const struct mount *m, struct reason *reason)
{
	bool found = access("/usr/bin/fusermount3", X_OK) == 0 || access("/bin/fusermount3", X_OK) == 0 || access("/usr/local/bin/fusermount3", X_OK) == 0;

	if (geteuid() == 0)
		return reason_set(reason, -EPERM, "mount", "mounting on %s is not permitted; in a container it takes CAP_SYS_ADMIN (--cap-add SYS_ADMIN)",
			m->project->mount_path);
	if (!found)
		return reason_set(reason, -ENOENT, "mount", "fusermount3 was not found; install the package fuse3, or mount as root");
	if (m->options->allow_other)
		return reason_set(reason, -EPERM, "mount",
			"mounting on %s was refused (see above); allow_other needs the line user_allow_other in /etc/fuse.conf", m->project->mount_path);
	return reason_set(reason, -EPERM, "mount", "mounting on %s was refused by fusermount3 (see above)", m->project->mount_path);
}

static int kernel_mount(struct mount *m, struct reason *reason)
{
	static const struct fuse_lowlevel_ops nothing; /* this session only mounts */
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL), serving = FUSE_ARGS_INIT(0, NULL);
	int r = mount_arguments(m, &args);

	fuse_set_log_func(fuse_says);
	if (!r)
		r = fuse_opt_add_arg(&serving, "milestonefs");
	if (!r && m->options->debug)
		r = fuse_opt_add_arg(&serving, "-d");
	if (!r && !(m->mounter = fuse_session_new(&args, &nothing, sizeof(nothing), NULL)))
		r = -EINVAL;
	mount_store_mounting(m->store, true);
	if (!r && fuse_session_mount(m->mounter, m->project->mount_path) != 0) {
		fuse_session_destroy(m->mounter);
		m->mounter = NULL;
		r = mount_failed(m, reason);
	}
	mount_store_mounting(m->store, false);
	if (!r)
		r = fs_session_open(&m->fs, &serving, fuse_session_fd(m->mounter));
	if (r && !reason->text[0])
		reason_set(reason, r, "mount", "the FUSE session could not be made: %s", strerror(-r));
	fuse_opt_free_args(&args);
	fuse_opt_free_args(&serving);
	return r;
}

static void kernel_unmount(void *arg)
{
	struct mount *m = arg;

	waiters_stop(&m->fs); /* so that they close what keeps the mount busy */
	if (!m->mounter)
		return;
	fs_inval_stop(m->fs.inval);
	fuse_session_unmount(m->mounter); /* lazily: open files stay readable until they are closed or we end */
	fuse_session_destroy(m->mounter);
	m->mounter = NULL;
}

/* ---- serving ---- */

static void barrier_ended(void *arg)
{
	waiters_wake(arg);
}

static void serve_ready(void *arg)
{
	struct mount *m = arg;

	log_info("%s is mounted (pid %ld)", m->project->mount_path, (long)getpid());
	daemon_ready(m->daemon);
}

/* The engine's observer. */
static void committed(void *arg, uint64_t seq, const struct change *changes, size_t count)
{
	struct fs *fs = arg;

	fs_observe(fs, seq, changes, count);
	autocommit_settings(fs->autocommit);
}

static int serve(struct mount *m)
{
	const struct fs_session_calls calls = {.ready = serve_ready, .unmount = kernel_unmount, .arg = m};
	struct fs *fs = &m->fs;
	int r;

	daemon_detach(m->daemon);
	fs->inval = fs_inval_start(fs);
	r = fs->inval ? autocommit_start(fs, &fs->autocommit) : -ENOMEM;
	if (!r) {
		engine_set_observer(fs->engine, committed, fs);
		barriers_set_observer(fs->engine, barrier_ended, fs);
		lock_files_set_probe(fs->engine, process_alive);
		registry_set_numbers(fs->engine, process_number_meant);
		r = m->options->read_only ? 0 : upkeep_thread_start(fs, &m->upkeep);
	}
	if (!r)
		r = fs_session_loop(fs, mount_options_threads(m->options), &calls);
	if (m->daemon->report_fd >= 0) {
		char text[200];

		(void)snprintf(text, sizeof(text), "the kernel ended the connection before it served: %s", r ? strerror(-r) : "unmounted");
		daemon_failed(m->daemon, text);
	} else if (r) {
		log_error("serving %s ended: %s", m->project->mount_path, strerror(-r));
	}
	return r;
}

/* What writers left open: streams are published as far as they are valid, other drafts are found in pending/ next time. */
static void publish_open_handles(struct fs *fs)
{
	struct handle_list l = {0};

	(void)handles_find(fs->handles, 0, HANDLE_WRITE, &l); /* without memory: those found */
	for (size_t i = 0; i < l.count; i++) {
		struct handle *h = l.items[i];
		uint64_t seq;

		pthread_mutex_lock(&h->lock);
		if (h->streams && h->draft && handle_has_unpublished(h))
			(void)handle_publish(fs, h, DRAFT_STREAM, &seq); /* a refusal is logged, and the draft stays */
		pthread_mutex_unlock(&h->lock);
	}
	handle_list_release(fs, &l);
}

static int stop(struct mount *m)
{
	struct fs *fs = &m->fs;
	int r = 0, closed;

	kernel_unmount(m);
	upkeep_thread_stop(m->upkeep);
	autocommit_stop(fs->autocommit);
	fs->autocommit = NULL;
	if (fs->handles && !m->options->read_only) {
		publish_open_handles(fs);
		r = engine_sync(fs->engine); /* late replies are sent */
	}
	if (fs->engine) {
		engine_set_observer(fs->engine, NULL, NULL);
		barriers_set_observer(fs->engine, NULL, NULL);
	}
	fs_inval_free(fs->inval);
	fs->inval = NULL;
	closed = mount_store_close(m->store);
	fs_session_close(fs);
	parts_free(m);
	return r ? r : closed;
}

int mount_serve(const struct project *p, const struct mount_options *o, struct daemon *d)
{
	struct mount m = {.project = p, .options = o, .daemon = d};
	struct reason reason = {0};
	int r, stopped;

	r = mount_store_open(p, o, &reason, &m.store);
	if (!r)
		r = parts_make(&m);
	if (!r)
		r = adopt(&m, &reason);
	if (!r)
		r = kernel_mount(&m, &reason);
	if (r)
		log_error("%s", reason.text[0] ? reason.text : strerror(-r));
	else
		r = serve(&m);
	stopped = stop(&m);
	if (stopped && !r)
		log_error("the journal of %s could not be written to the end: %s; what was acknowledged as durable is safe", p->mount_path, strerror(-stopped));
	else if (!r)
		log_info("%s is unmounted", p->mount_path);
	return r || stopped ? 1 : 0;
}
