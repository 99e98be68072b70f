/* SPDX-License-Identifier: MIT
 *
 * See lock_fixture.h.
 */
#include "lock_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "upkeep.h"

static uint32_t living[2];

static bool alive(uint32_t pid)
{
	return pid && (living[0] == pid || living[1] == pid);
}

void lock_fixture_living(uint32_t pid, uint32_t other_pid)
{
	living[0] = pid;
	living[1] = other_pid;
}

int lock_fixture_setup(void **state)
{
	lock_fixture_living(0, 0);
	return fixture_env_setup(state);
}

struct engine *lock_fixture_open(struct env *env)
{
	struct engine *e = fixture_open_session(env);

	lock_files_set_probe(e, alive);
	return e;
}

void lock_fixture_put_as(struct engine *e, const char *name, const char *text, uint32_t pid, const char *agent, const char *session)
{
	struct request q;
	struct tree_attr attr;
	struct draft *d;

	fixture_request(&q);
	q.actor.pid = pid;
	strcpy(q.actor.agent, agent);
	strcpy(q.actor.session, session);
	assert_int_equal(engine_create(e, &q, fixture_ino(e, "state/.locks"), name, 0644, &attr), 0);
	assert_int_equal(draft_open(e, attr.ino, DRAFT_WHOLE, &q.actor, &d), 0);
	if (*text)
		assert_int_equal(draft_write(d, &q.actor, 0, text, strlen(text)), 0);
	assert_int_equal(draft_commit(d, &q, 0), 0);
	draft_close(d);
}

bool lock_fixture_held(struct engine *e, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), LOCKS "%s", name);
	return fixture_ino(e, path) != 0;
}

bool lock_fixture_watched(struct engine *e, uint32_t pid)
{
	struct watched_pid *pids;
	uint64_t generation;
	size_t count;
	bool found = false;

	(void)upkeep_run(e);
	assert_int_equal(upkeep_watched_pids(e, &pids, &count, &generation), 0);
	for (size_t i = 0; i < count; i++)
		found = found || pids[i].pid == pid;
	free(pids);
	return found;
}

void lock_fixture_process_ends(struct engine *e, uint32_t pid)
{
	upkeep_process_ended(e, pid);
	(void)upkeep_run(e);
}

struct lock_info lock_fixture_info(struct engine *e, const char *name)
{
	struct lock_info *all, found = {0};
	size_t count;

	assert_int_equal(lock_files_list(e, &all, &count), 0);
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(all[i].name, name))
			found = all[i];
		lock_info_release(&all[i]);
	}
	free(all);
	found.name = NULL;
	if (!found.token)
		fail_msg("no lock %s", name);
	return found;
}
