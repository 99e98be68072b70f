/* SPDX-License-Identifier: MIT
 *
 * The texts of /proc parsed, and callers told apart in spite of fork, exec and reused pids. (These files of fs/ need no FUSE, so they
 * are tested here; last_close.c by tests/mount/test_last_close.sh.)
 */
#include <stdatomic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../fs/proc_read.c"
#include "../../fs/process.c"
#include "../../fs/process_actor.c"
#include "../../fs/process_children.c"

#include <linux/sched.h>
#include <signal.h>
#include <sys/wait.h>

static void test_stat_parse(void **state)
{
	(void)state;
	static const char text[] = "7 (a) S 1) R 3 4 5 34816 -1 4195332 0 0 0 0 0 0 0 0 20 0 6 0 4242 0 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 "
				   "20 21 22 23 24 25 26 27 9\n";
	struct proc_stat st;
	assert_int_equal(proc_stat_parse(text, strlen(text), &st), 0);
	assert_int_equal(st.state, 'R');
	assert_int_equal(st.ppid, 3);
	assert_int_equal(st.session, 5);
	assert_int_equal(st.flags, 4195332);
	assert_int_equal(st.threads, 6);
	assert_int_equal(st.start_time, 4242);
	assert_int_equal(st.exit_code, 9);
	for (size_t len = 0; len < 60; len++) /* no cut is accepted nor read beyond */
		assert_int_equal(proc_stat_parse(text, len, &st), -EINVAL);
}

static void test_killed(void **state)
{
	(void)state;
	assert_true(proc_stat_killed(&(struct proc_stat){.flags = PROC_PF_SIGNALED, .exit_code = 9}, true));
	assert_true(proc_stat_killed(&(struct proc_stat){.flags = PROC_PF_SIGNALED, .exit_code = 0x8b}, true));
	assert_false(proc_stat_killed(&(struct proc_stat){.flags = PROC_PF_SIGNALED, .exit_code = 0x300}, true));
	assert_false(proc_stat_killed(&(struct proc_stat){.flags = PROC_PF_SIGNALED}, true));
	assert_true(proc_stat_killed(&(struct proc_stat){.flags = PROC_PF_SIGNALED}, false));
	assert_false(proc_stat_killed(&(struct proc_stat){.flags = PROC_PF_EXITING}, false));
}

static void test_environ(void **state)
{
	(void)state;
	static const char block[] = "XMILESTONES_AGENT=no\0MILESTONES_AGENT=a-1\0MILESTONES_AGENT=second\0MILESTONES_SESSION=../s\0CUT=abc";
	char id[ACTOR_ID_BYTES] = "kept";
	assert_false(proc_environ_id(block, sizeof(block) - 1, "MILESTONES_SESSION", id));
	assert_false(proc_environ_id(block, sizeof(block) - 1, "CUT", id));
	assert_string_equal(id, "kept");
	assert_true(proc_environ_id(block, sizeof(block) - 1, "MILESTONES_AGENT", id));
	assert_string_equal(id, "a-1");
}

static void test_fdinfo(void **state)
{
	(void)state;
	static const char text[] = "pos:\t0\nflags:\t02100001\nmnt_id:\t29\nino:\t1234567890123\n";
	struct proc_fdinfo info;
	assert_int_equal(proc_fdinfo_parse(text, strlen(text), &info), 0);
	assert_int_equal(info.flags & O_ACCMODE, O_WRONLY);
	assert_int_equal(info.mnt_id, 29);
	assert_true(info.ino == 1234567890123);
	assert_int_equal(info.fuse_connection, 0);
	static const char device[] = "pos:\t0\nflags:\t02104002\nmnt_id:\t24\nino:\t90\nfuse_connection:\t41\n";
	assert_int_equal(proc_fdinfo_parse(device, strlen(device), &info), 0);
	assert_int_equal(info.fuse_connection, 41);
	assert_int_equal(proc_fdinfo_parse("pos:\t0\n", 7, &info), -EINVAL);
}

/* To a child and nobody else: -1, of a clone that failed, would be everybody. */
static void child_signal(pid_t pid, int sig)
{
	assert_true(pid > 0);
	assert_int_equal(kill(pid, sig), 0);
}

/* A child that waits, and becomes `sleep` of another agent at SIGUSR1. */
static void child_exec(int sig)
{
	(void)sig;
	execle("/bin/sleep", "sleep", "30", (char *)NULL, (char *[]){"MILESTONES_AGENT=after", NULL});
	_exit(1);
}

static pid_t child_start(pid_t wanted)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	pid_t pids[] = {wanted};
	if (wanted) {
		args.set_tid = (uintptr_t)pids;
		args.set_tid_size = 1;
	}
	signal(SIGUSR1, child_exec);
	pid_t pid = wanted ? (pid_t)syscall(SYS_clone3, &args, sizeof(args)) : fork();
	if (pid == 0) {
		alarm(60); /* the test may fail before it ends it */
		for (;;)
			pause();
	}
	return pid;
}

static void child_end(pid_t pid)
{
	child_signal(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_status_and_mount(void **state)
{
	cleanup_fd int dir = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct proc_status st;
	struct proc_mount mount;
	struct proc_fdinfo info;
	char text[512];
	struct stat root;

	(void)state;
	assert_int_equal(proc_status_read(dir, &st), 0);
	assert_int_equal(st.ppid, getppid());
	assert_true(st.fd_table);
	assert_true(st.threads >= 1);
	cleanup_fd int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(text, sizeof(text), "fdinfo/%d", fd);
	ssize_t n = proc_read(dir, text, text, sizeof(text));
	assert_true(n > 0);
	assert_int_equal(proc_fdinfo_parse(text, (size_t)n, &info), 0);
	assert_int_equal(proc_mount_read(dir, info.mnt_id, &mount), 0);
	assert_int_equal(fstat(fd, &root), 0);
	assert_true(mount.dev == root.st_dev);
	assert_false(mount.fuse);
	assert_int_equal(proc_mount_read(dir, UINT32_MAX, &mount), -ENOENT);
}

static void test_zombie_has_no_table(void **state)
{
	struct proc_status st;
	char path[32];
	siginfo_t ended;

	(void)state;
	pid_t child = fork();
	if (!child)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT), 0);
	snprintf(path, sizeof(path), "/proc/%d", child);
	cleanup_fd int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(proc_status_read(dir, &st), 0);
	assert_false(st.fd_table);
	waitpid(child, NULL, 0);
	assert_true(proc_status_read(dir, &st) < 0);
}

static void test_exec_seen(void **state)
{
	(void)state;
	struct process_cache *cache;
	struct actor actor;
	assert_int_equal(process_cache_new(NULL, &cache), 0);
	pid_t pid = child_start(0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(process_actor_fill(cache, (uint32_t)pid, 7, 8, &actor), 0);
		assert_string_equal(actor.agent, "");
		assert_int_equal(actor.pid, pid);
		assert_int_equal(actor.uid, 7);
		assert_int_equal(actor.gid, 8);
		assert_int_equal(actor.leader_pid, getsid(0));
	}
	child_signal(pid, SIGUSR1);
	for (int i = 0; i < 6000 && (strcmp(actor.comm, "sleep") != 0 || strcmp(actor.agent, "after") != 0); i++) {
		usleep(10000);
		process_actor_fill(cache, (uint32_t)pid, 7, 8, &actor);
	}
	assert_int_equal(process_actor_fill(cache, (uint32_t)pid, 7, 8, &actor), 0);
	assert_string_equal(actor.comm, "sleep");
	assert_string_equal(actor.agent, "after");
	child_signal(pid, SIGKILL);
	siginfo_t info;
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT); /* a zombie has no environment any more */
	assert_int_equal(process_actor_fill(cache, (uint32_t)pid, 7, 8, &actor), PROCESS_EXITING);
	assert_string_equal(actor.agent, "after");
	child_end(pid);
	assert_int_equal(process_actor_fill(cache, (uint32_t)pid, 7, 8, &actor), PROCESS_EXITING);
	assert_string_equal(actor.comm, "unknown");
	process_cache_free(cache);
}

static void test_pid_reused(void **state)
{
	(void)state;
	struct process_cache *cache;
	struct actor actor;
	assert_int_equal(process_cache_new(NULL, &cache), 0);
	pid_t pid = child_start(0);
	child_signal(pid, SIGUSR1);
	do {
		usleep(20000);
		assert_int_equal(process_actor_fill(cache, (uint32_t)pid, 0, 0, &actor), 0);
	} while (strcmp(actor.agent, "after") != 0);
	child_end(pid);
	pid_t again = child_start(pid);
	if (again != pid) { /* not allowed to choose a pid, or no such call */
		if (again > 0)
			child_end(again);
		process_cache_free(cache);
		skip();
	}
	assert_int_equal(process_actor_fill(cache, (uint32_t)pid, 0, 0, &actor), 0);
	assert_string_equal(actor.agent, "");
	assert_string_equal(actor.session, "");
	child_end(pid);
	process_cache_free(cache);
}

struct registry {
	uint64_t generation;
	uint32_t pid;
	unsigned calls;
};

static uint64_t registry_generation(void *arg)
{
	return ((struct registry *)arg)->generation;
}

static bool registry_agent(void *arg, uint32_t pid, uint64_t start_time, char agent[ACTOR_ID_BYTES], char session[ACTOR_ID_BYTES])
{
	struct registry *r = arg;
	r->calls++;
	if (pid != r->pid || !start_time)
		return false;
	strcpy(agent, "registered");
	strcpy(session, "s2");
	return true;
}

static void test_ancestors(void **state)
{
	(void)state;
	struct registry r = {.generation = 0, .pid = (uint32_t)getpid()};
	struct process_agents agents = {registry_generation, registry_agent, &r};
	struct process_cache *cache;
	struct actor actor;
	assert_int_equal(process_cache_new(&agents, &cache), 0);
	pid_t pid = child_start(0);
	process_actor_fill(cache, (uint32_t)pid, 0, 0, &actor);
	assert_string_equal(actor.agent, "");
	assert_int_equal(r.calls, 0);
	r.generation = 1;
	for (int i = 0; i < 3; i++) {
		process_actor_fill(cache, (uint32_t)pid, 0, 0, &actor);
		assert_string_equal(actor.agent, "registered");
		assert_string_equal(actor.session, "s2");
	}
	assert_int_equal(r.calls, 2); /* itself, its parent; once */
	r.generation = 2;
	r.pid = 0;
	process_actor_fill(cache, (uint32_t)pid, 0, 0, &actor);
	assert_string_equal(actor.agent, "");
	child_end(pid);
	process_cache_free(cache);
}

static void *thread_tid(void *arg)
{
	atomic_store((_Atomic uint32_t *)arg, (uint32_t)syscall(SYS_gettid));
	pause();
	return NULL;
}

static void test_threads_and_bounds(void **state)
{
	(void)state;
	struct process_cache *cache;
	pthread_t id;
	static _Atomic uint32_t tid;
	assert_int_equal(process_cache_new(NULL, &cache), 0);
	pthread_create(&id, NULL, thread_tid, (void *)&tid);
	while (!tid)
		usleep(1000);
	assert_int_not_equal(tid, getpid());
	assert_int_equal(process_tgid_get(cache, tid), getpid());
	assert_int_equal(process_tgid_get(cache, 0), 0);

	struct stat before, after;
	stat("/proc/self/fd", &before);
	for (int i = 0; i < 100; i++) {
		struct actor actor;
		pid_t pid = child_start(0);
		assert_int_equal(process_actor_fill(cache, (uint32_t)pid, 0, 0, &actor), 0);
		child_end(pid);
	}
	stat("/proc/self/fd", &after);
	assert_true(after.st_size <= before.st_size + 6 * ENTRIES_MAX);
	process_cache_free(cache);
	stat("/proc/self/fd", &after);
	assert_true(!process_cache_counts_fds(&(struct process_cache){.counts_fds = false}));
	assert_true(after.st_size < before.st_size || before.st_size == 0);
}

/* --- children of threads --- */

struct parent {
	pthread_t id;
	_Atomic pid_t child;
	_Atomic bool end;
};

static void *parent_main(void *arg)
{
	struct parent *t = arg;

	t->child = child_start(0);
	while (!t->end)
		usleep(1000);
	return NULL;
}

static void parent_start(struct parent *t)
{
	*t = (struct parent){0};
	assert_int_equal(pthread_create(&t->id, NULL, parent_main, t), 0);
	while (!t->child)
		usleep(1000);
}

static void parent_end(struct parent *t)
{
	t->end = true;
	pthread_join(t->id, NULL);
}

static int child_sought(void *arg, uint32_t pid)
{
	return *(pid_t *)arg == (pid_t)pid ? 1 : 0;
}

static int children_have(struct process_cache *cache, struct process *p, pid_t pid)
{
	int r;

	pthread_mutex_lock(&p->lock);
	r = process_children_each(cache, p, child_sought, &pid);
	pthread_mutex_unlock(&p->lock);
	return r;
}

/* A sanitizer may have one of its own. */
static unsigned threads_now(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/self/task", &st), 0);
	return (unsigned)st.st_nlink - 2;
}

static void test_children_of_threads(void **state)
{
	struct process_cache *cache;
	struct parent a, b;
	struct process *p;
	int idle;

	(void)state;
	assert_int_equal(process_cache_new(NULL, &cache), 0);
	assert_int_equal(process_get(cache, (uint32_t)getpid(), &p), 0);
	assert_int_equal(children_have(cache, p, 1), 0);
	assert_int_equal(p->thread_count, threads_now() > 1 ? threads_now() : 0); /* one thread: no listing */
	parent_start(&a);
	parent_start(&b);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(children_have(cache, p, a.child), 1);
		assert_int_equal(children_have(cache, p, b.child), 1);
		assert_int_equal(children_have(cache, p, 1), 0);
	}
	assert_true(threads_now() >= 3);
	assert_int_equal(p->thread_count, threads_now());
	/* Kept files are used as long as they are the listed thread's, and not longer. */
	for (unsigned i = 0; i < p->thread_count; i++) {
		idle = open("/dev/null", O_RDONLY | O_CLOEXEC);
		dup3(idle, p->threads[i].fd, O_CLOEXEC);
		close(idle);
	}
	assert_int_equal(children_have(cache, p, a.child), 0);
	for (unsigned i = 0; i < p->thread_count; i++)
		p->threads[i].ino++;
	assert_int_equal(children_have(cache, p, a.child), 1);
	assert_int_equal(children_have(cache, p, b.child), 1);
	/* The child of a thread that ended is another thread's, and what was kept of it is dropped. */
	parent_end(&a);
	assert_int_equal(children_have(cache, p, a.child), 1);
	assert_int_equal(children_have(cache, p, 1), 0);
	assert_int_equal(p->thread_count, threads_now());
	child_end(a.child);
	assert_int_equal(children_have(cache, p, a.child), 0);
	parent_end(&b);
	child_end(b.child);
	assert_int_equal(atomic_load(&cache->kept), p->thread_count);
	process_put(cache, p);
	process_cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat_parse),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_environ),
		cmocka_unit_test(test_fdinfo),
		cmocka_unit_test(test_status_and_mount),
		cmocka_unit_test(test_zombie_has_no_table),
		cmocka_unit_test(test_exec_seen),
		cmocka_unit_test(test_pid_reused),
		cmocka_unit_test(test_ancestors),
		cmocka_unit_test(test_children_of_threads),
		cmocka_unit_test(test_threads_and_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
