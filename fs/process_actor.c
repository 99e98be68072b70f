/* SPDX-License-Identifier: MIT
 *
 * Who a calling thread acts for: its program, its agent and session, its terminal's leader.
 *
 * The environment is read once per program, not once per call: "environ" opened
 * before an exec belongs to the old address space, which is empty afterwards. So one byte
 * read from the kept descriptor proves that what was parsed still holds. This
 * fails where the address space is shared with another process (vfork before
 * exec), so there (kcmp) nothing is kept.
 *
 * An agent that registered itself with a pid is found among the ancestors, once for each set of registered agents.
 *
 * Leaves to others: which threads are known (process.c). Failure: what can't be read is left unknown.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#define ENVIRON_BYTES_MAX ((size_t)256 << 10)
#define ANCESTORS_MAX 64

static bool program_unchanged(const struct process *p)
{
	char byte;
	return p->looked && p->environ_fd >= 0 && pread(p->environ_fd, &byte, 1, 0) == 1;
}

/*
 * Can the kept "environ" outlive an exec, because another process uses the same memory? A parent that we may not look at (an init,
 * another user's supervisor) does not: memory lets itself be looked at or not, whoever uses it.
 */
static bool memory_shared(const struct process *p, uint32_t ppid)
{
	long order = ppid ? syscall(SYS_kcmp, (pid_t)p->tid, (pid_t)ppid, KCMP_VM, 0, 0) : 0;

	return order == 0 || (order < 0 && errno != EPERM);
}

static void environ_parse(struct process *p, int fd)
{
	cleanup_free char *block = malloc(ENVIRON_BYTES_MAX);
	size_t len = 0;
	while (block && len < ENVIRON_BYTES_MAX) { /* a page a read */
		ssize_t n = pread(fd, block + len, ENVIRON_BYTES_MAX - len, (off_t)len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (block) {
		(void)proc_environ_id(block, len, "MILESTONES_AGENT", p->actor.agent);
		(void)proc_environ_id(block, len, "MILESTONES_SESSION", p->actor.session);
	}
}

static void leader_find(struct process *p, const struct proc_stat *self)
{
	struct proc_stat leader = *self;
	p->actor.leader_pid = self->session;
	p->actor.leader_start = 0;
	if (!self->session)
		return;
	if (self->session == p->tid || proc_stat_read_pid(self->session, &leader) == 0)
		p->actor.leader_start = leader.start_time;
}

/* Look again at a process that is new or may have changed its program. 0, or PROCESS_EXITING with all as it was. */
static int program_look(struct process *p)
{
	struct proc_stat st;
	int error = proc_stat_read(p->dir, &st);
	if (error == 0 && (st.flags & PROC_PF_EXITING))
		return PROCESS_EXITING;
	if (error == -ESRCH || error == -ENOENT)
		return PROCESS_EXITING;
	if (p->environ_fd >= 0)
		close(p->environ_fd);
	p->environ_fd = -1;
	p->actor.agent[0] = p->actor.session[0] = '\0';
	p->agents_generation = 0;
	if (error) {
		p->looked = false;
		return 0;
	}
	leader_find(p, &st);
	int fd = openat(p->dir, "environ", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		environ_parse(p, fd);
	p->looked = true;
	if (fd >= 0 && memory_shared(p, st.ppid))
		close(fd);
	else
		p->environ_fd = fd;
	return 0;
}

static void ancestors_look(const struct process_agents *agents, struct process *p)
{
	struct proc_stat st;
	uint32_t pid = p->tgid;
	p->ancestor_agent[0] = p->ancestor_session[0] = '\0';
	for (int i = 0; i < ANCESTORS_MAX && pid; i++) {
		if (proc_stat_read_pid(pid, &st) < 0)
			return;
		if (agents->agent_of_pid(agents->arg, pid, st.start_time, p->ancestor_agent, p->ancestor_session))
			return;
		pid = st.ppid;
	}
}

int process_actor_fill(struct process_cache *cache, uint32_t tid, uid_t uid, gid_t gid, struct actor *ret_actor)
{
	const struct process_agents *agents = process_cache_agents(cache);
	struct actor unknown = {.pid = tid, .comm = "unknown"};
	struct process *p;
	int result = 0;

	int error = process_get(cache, tid, &p);
	if (error) {
		*ret_actor = unknown;
		result = error == -ESRCH && tid ? PROCESS_EXITING : 0;
	} else {
		pthread_mutex_lock(&p->lock);
		if (!program_unchanged(p))
			result = program_look(p);
		*ret_actor = p->actor;
		uint64_t generation = agents->generation ? agents->generation(agents->arg) : 0;
		if (generation && !ret_actor->agent[0]) {
			if (p->agents_generation != generation)
				ancestors_look(agents, p);
			p->agents_generation = generation;
			memcpy(ret_actor->agent, p->ancestor_agent, sizeof(ret_actor->agent));
			if (!ret_actor->session[0])
				memcpy(ret_actor->session, p->ancestor_session, sizeof(ret_actor->session));
		}
		pthread_mutex_unlock(&p->lock);
		process_put(cache, p);
	}
	ret_actor->uid = uid;
	ret_actor->gid = gid;
	return result;
}
