/* SPDX-License-Identifier: MIT
 *
 * status/locks.yaml: who holds what in state/.locks, since when, and what releases it.
 */
#include <string.h>

#include "lock_file.h"
#include "vfile_model.h"
#include "vfile_rows.h"

/* In words: who it is, and when it goes. */
static void put_owner(struct buf *out, const struct lock_info *l)
{
	cleanup_buf struct buf owner = BUF_INIT, until = BUF_INIT;
	const char *comm = l->comm[0] ? l->comm : "unknown";

	switch (l->owner) {
	case LOCK_OWNER_PROCESS:
		buf_printf(&owner, "process %u", l->pid);
		buf_printf(&until, "process %u ends", l->pid);
		break;
	case LOCK_OWNER_AGENT:
		buf_printf(&owner, "agent %s", l->agent);
		buf_printf(&until, "agent %s is dead", l->agent);
		break;
	case LOCK_OWNER_CREATOR:
		buf_printf(&owner, "%s (process %u), which made it", comm, l->pid);
		buf_printf(&until, "it is removed, or process %u dies with it open", l->pid);
		break;
	}
	if (l->shared) {
		buf_clear(&until);
		buf_append_str(&until, "it is removed: it is used with flock or fcntl");
	}
	yaml_line_text(out, 4, "owner", owner.data);
	yaml_line_text(out, 4, "released_when", until.data);
}

static void put_lock(struct buf *out, const struct lock_info *l, int64_t now_ns)
{
	buf_append_str(out, "  - name: ");
	buf_put_yaml_string(out, l->name, strlen(l->name));
	buf_append_str(out, "\n");
	put_owner(out, l);
	if (l->token)
		yaml_line_number(out, 4, "token", l->token);
	else
		yaml_line_text(out, 4, "token", NULL);
	yaml_line_time(out, 4, "taken_at", l->taken_ns);
	yaml_line_age(out, 4, "age_seconds", now_ns, l->taken_ns);
	if (l->pid)
		yaml_line_number(out, 4, "pid", l->pid);
	else
		yaml_line_text(out, 4, "pid", NULL);
	yaml_line_text(out, 4, "agent", l->agent[0] ? l->agent : NULL);
	yaml_line_text(out, 4, "session", l->session[0] ? l->session : NULL);
	yaml_line_text(out, 4, "comm", l->comm[0] ? l->comm : NULL);
	yaml_line_number(out, 4, "uid", l->uid);
}

int locks_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	int64_t now_ns = now_time(fs, v);
	struct lock_info *locks;
	size_t count;
	int r = lock_files_list(fs->engine, &locks, &count);

	if (r)
		return r;
	yaml_line_number(out, 0, "held", count);
	buf_append_str(out, count ? "locks:\n" : "locks: []\n");
	for (size_t i = 0; i < count; i++) {
		put_lock(out, &locks[i], now_ns);
		lock_info_release(&locks[i]);
	}
	free(locks);
	return 0;
}
