/* SPDX-License-Identifier: MIT
 *
 * See barrier_fixture.h.
 */
#include "barrier_fixture.h"

#include <stdio.h>
#include <string.h>

#include "barrier.h"
#include "upkeep.h"

struct engine *barrier_fixture_open(struct env *env)
{
	struct engine *e = fixture_open_session(env);

	fixture_put(e, AGENTS "a.yaml", "");
	fixture_put(e, AGENTS "b.yaml", "");
	(void)upkeep_run(e);
	return e;
}

const char *barrier_fixture_result_of(struct engine *e, uint64_t dir_ino)
{
	static char out[256];
	cleanup_buf struct buf text = BUF_INIT;
	int r;

	engine_lock(e);
	r = barrier_result(e, dir_ino, &text);
	engine_unlock(e);
	snprintf(out, sizeof(out), "%s", r == 1 ? text.data : r ? strerror(-r) : "");
	return out;
}

const char *barrier_fixture_result(struct engine *e, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), SYNC "%s", name);
	return barrier_fixture_result_of(e, fixture_ino(e, path));
}
