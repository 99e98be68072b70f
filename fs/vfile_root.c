/* SPDX-License-Identifier: MIT
 *
 * What a person finds first: README.md and .gitignore at the root of the mount. Their text is this file's; it says what is true for
 * every mount and points to the places that say the rest.
 */
#include "vfile_rows.h"

static const char readme[] =
	"# Milestones\n"
	"\n"
	"This directory is mounted by milestonefs. It looks like plain files and is used like plain files;\n"
	"what is different: **every save is a transaction**. It is whole, checked, attributed, logged and durable\n"
	"when the tool that saved returns, and what was there before is kept.\n"
	"\n"
	"## What a write means\n"
	"\n"
	"- `echo x > f`, `cp`, an editor: others read the old version until the file is closed, then the new one. Never half of it.\n"
	"- `sed -i`, vim, atomic saves: the rename is the transaction.\n"
	"- `echo x >> f`: lands at the end of the file as it then is; appenders do not lose or mix their lines.\n"
	"- A `.yaml .yml .json .jsonl` file that was well-formed stays so: a malformed save fails (\"Bad message\"), the old version\n"
	"  stays, what you wrote is kept under `transactions/rollbacks/` with line, column and reason.\n"
	"- A writer that is killed publishes nothing; its text is kept there too. `fsync` publishes and waits for the disk.\n"
	"- mkdir, rm, mv, ln, chmod: one transaction each.\n"
	"\n"
	"A shell does not report a failed close of its own `>`: look at `transactions/rollbacks/` or `status/health.yaml`.\n"
	"\n"
	"## Where things are\n"
	"\n"
	"    state/sessions/ID/          mkdir makes a session: session.yaml, state/ (yours), agents/, events/, checkpoints/, recovery/\n"
	"    state/active/ completed/    links to the sessions, by status; agents/registry/ to the agents' files\n"
	"    state/events/all.jsonl      every event; YYYY-MM-DD.jsonl for one day; events/session.jsonl for one session\n"
	"    state/.locks/NAME           locks: (set -C; echo $$ > NAME) takes one; it ends with rm, or with its process\n"
	"    transactions/               committed/ (the newest 1000), pending/ (being written), rollbacks/ (refused, with the text)\n"
	"    replay/42/  replay/2026-11-22T10:00:00Z/    the whole tree after that transaction, or at that time, read-only\n"
	"    status/                     sessions.yaml, agents.yaml, locks.yaml, health.yaml, journal.yaml, metrics; config.yaml is yours to edit\n"
	"    cache/checksums/SHA256SUMS  `sha256sum -c` accepts it from here\n"
	"\n"
	"## Sessions and agents\n"
	"\n"
	"In a session's directory:\n"
	"\n"
	"- `session.yaml` and `agents/NAME.yaml` may be saved in part, or empty: what is missing gets its default, what milestonefs knows is kept\n"
	"  current, your comments stay. What cannot be is refused and says which field. Status by hand: `sed -i` it.\n"
	"- `touch agents/NAME.yaml` registers an agent, later ones are its heartbeats; so is whatever it writes. Silent for three\n"
	"  intervals it is unhealthy; when the process in `agent: {pid: N}` ends it is dead. How each is: `agents/status/NAME.yaml`.\n"
	"- `mkdir checkpoints/NAME` keeps state/ and agents/ as they are; some are taken by themselves. `cat recovery/restore` lists them,\n"
	"  `echo NAME > recovery/restore` goes back (and can itself be undone: it takes one first). `. recovery/resume.sh` goes on where the session stood.\n"
	"- `mkdir agents/.sync/NAME` starts a barrier, `touch agents/.sync/NAME/AGENT` says \"I am there\", `cat agents/.sync/NAME/wait` waits for all.\n"
	"- `health.yaml` says whether all is well, and why not.\n"
	"\n"
	"## Who wrote\n"
	"\n"
	"`export MILESTONES_AGENT=name` before starting a tool names its writes (a shell's own `>` has the environment\n"
	"the shell was started with). `agent: {pid: N}` in `agents/NAME.yaml` names those of process N and its children.\n"
	"\n"
	"Unmount with `milestonefs umount PROJECT`. The files are then inside the store below this mount, not lost:\n"
	"`milestonefs export PROJECT DIR` writes them out as plain files.\n";

int readme_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	(void)fs, (void)v;
	buf_append(out, readme, sizeof(readme) - 1);
	return 0;
}

int gitignore_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	(void)fs, (void)v;
	buf_append_str(out, "*\n");
	return 0;
}
