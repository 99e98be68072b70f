/* SPDX-License-Identifier: MIT
 *
 * The scripts of engine_script.h.
 */
#include <errno.h>
#include <sys/stat.h>

#include "engine_script.h"

#define S1 "state/sessions/s1/"

static const struct step names_steps[] = {
	{.kind = STEP_MKDIR, .a = "state/sessions/s1"},
	{.kind = STEP_SAVE, .a = S1 "state/a.txt", .b = "one\n"},
	{.kind = STEP_MKDIR, .a = S1 "state/dir"},
	{.kind = STEP_SAVE, .a = "state/conf.json", .b = "{\"a\": 1}\n"},
	{.kind = STEP_SAVE, .a = "state/conf.tmp", .b = "{\"a\": 2, \"text\": \"twice twice twice twice twice twice\"}\n"},
	{.kind = STEP_RENAME, .a = "state/conf.tmp", .b = "state/conf.json"},
	{.kind = STEP_SAVE, .a = "state/conf.json", .b = "{\"a\": \n", .expect = -EBADMSG},
	{.kind = STEP_SAVE, .a = "state/bad.tmp", .b = "]["},
	{.kind = STEP_RENAME, .a = "state/bad.tmp", .b = "state/conf.json", .expect = -EBADMSG},
	{.kind = STEP_LINK, .a = S1 "state/a.txt", .b = S1 "state/dir/b.txt"},
	{.kind = STEP_SYMLINK, .a = "state/sym", .b = "conf.json"},
	{.kind = STEP_CHMOD, .a = S1 "state/a.txt", .n = 0600},
	{.kind = STEP_XATTR, .a = S1 "state/a.txt", .b = "user.colour"},
	{.kind = STEP_MKNOD, .a = "state/fifo", .n = S_IFIFO | 0600},
	{.kind = STEP_SAVE, .a = S1 "state/c.txt", .b = "three\n"},
	{.kind = STEP_EXCHANGE, .a = S1 "state/a.txt", .b = S1 "state/c.txt"},
	{.kind = STEP_UNLINK, .a = S1 "state/dir/b.txt"},
	{.kind = STEP_RMDIR, .a = S1 "state/dir"},
	{.kind = STEP_EVENT, .a = "s1", .b = "build_finished"},
	{.kind = STEP_RENAME_OPEN, .a = "state/open.tmp", .b = "{\"a\": 3}\n", .s = "state/conf.json"},
	{.kind = STEP_UNLINK, .a = "state/fifo"},
};

static const struct step content_steps[] = {
	{.kind = STEP_SAVE, .a = "state/notes", .b = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"},
	{.kind = STEP_APPEND, .a = "state/log.txt", .b = "line 1\n"},
	{.kind = STEP_APPEND, .a = "state/log.txt", .b = "line 2\n"},
	{.kind = STEP_PATCH, .a = "state/notes", .b = "PATCHED", .n = 3},
	{.kind = STEP_SHARED, .a = "state/notes", .b = "SHARED", .n = 70},
	{.kind = STEP_PUNCH, .a = "state/notes", .n = 5},
	{.kind = STEP_TRUNCATE, .a = "state/notes", .n = 40},
	{.kind = STEP_TRUNCATE, .a = "state/notes", .n = 100},
	{.kind = STEP_APPEND, .a = "state/lines.jsonl", .b = "{\"n\":1}\n"},
	{.kind = STEP_APPEND, .a = "state/lines.jsonl", .b = "{\"n\":2}\n"},
	{.kind = STEP_APPEND, .a = "state/lines.jsonl", .b = "{\"n\":\n", .expect = -EBADMSG},
	{.kind = STEP_ROLLBACK, .a = "state/notes", .b = "half a thought"},
	{.kind = STEP_CONFLICT, .a = "state/taken", .b = "was being written"},
	{.kind = STEP_SAVE, .a = "status/config.yaml", .b = "autocommit_ms: 500\n"},
	{.kind = STEP_SAVE, .a = "state/none", .b = ""},
	{.kind = STEP_ADOPT},
};

static const struct step restart_steps[] = {
	{.kind = STEP_SAVE, .a = "state/a", .b = "before"},
	{.kind = STEP_DRAFT_OPEN, .a = "state/a"},
	{.kind = STEP_DRAFT_WRITE, .n = 100},
	{.kind = STEP_DRAFT_WRITE, .n = 300},
	{.kind = STEP_SAVE, .a = "state/b", .b = "meanwhile"},
	{.kind = STEP_DRAFT_COMMIT, .a = "state/a"},
	{.kind = STEP_REOPEN},
	{.kind = STEP_SAVE, .a = "state/b", .b = "after the first start"},
	{.kind = STEP_DRAFT_OPEN, .a = "state/b"},
	{.kind = STEP_DRAFT_WRITE, .n = 50},
	{.kind = STEP_REOPEN}, /* the draft stays open: pending from now on */
	{.kind = STEP_SAVE, .a = "state/c", .b = "after the second"},
	{.kind = STEP_UNLINK, .a = "state/a"},
	{.kind = STEP_REOPEN},
	{.kind = STEP_SAVE, .a = "state/c", .b = "after the third"},
};

static const struct step large_steps[] = {
	{.kind = STEP_SAVE_BYTES, .a = "state/big", .n = 600000},
	{.kind = STEP_APPEND_BYTES, .a = "state/big", .n = 300000},
	{.kind = STEP_PATCH, .a = "state/big", .b = "in the middle", .n = 400000},
	{.kind = STEP_TRUNCATE, .a = "state/big", .n = 500000},
	{.kind = STEP_SAVE_BYTES, .a = "state/medium.txt", .n = 70000},
	{.kind = STEP_REOPEN},
	{.kind = STEP_SAVE_BYTES, .a = "state/big", .n = 300000},
};

static const struct step segment_steps[] = {
	{.kind = STEP_SAVE_BYTES, .a = "state/x1", .n = 240000},
	{.kind = STEP_SAVE_BYTES, .a = "state/x2", .n = 240000},
	{.kind = STEP_SAVE_BYTES, .a = "state/x1", .n = 250000},
	{.kind = STEP_SAVE_BYTES, .a = "state/x2", .n = 250000},
	{.kind = STEP_SAVE_BYTES, .a = "state/x1", .n = 260000},
	{.kind = STEP_SAVE_BYTES, .a = "state/x2", .n = 260000},
	{.kind = STEP_SAVE_BYTES, .a = "state/x1", .n = 255000},
	{.kind = STEP_SAVE_BYTES, .a = "state/x2", .n = 255000},
	{.kind = STEP_SAVE_BYTES, .a = "state/x1", .n = 245000},
	{.kind = STEP_SAVE_BYTES, .a = "state/x2", .n = 245000},
	{.kind = STEP_REOPEN},
	{.kind = STEP_SAVE, .a = "state/x1", .b = "short"},
};

/* A session's life: born with a checkpoint, checkpoints by hand and by the clock, agents, restores, its end. */
static const struct step model_steps[] = {
	{.kind = STEP_MKDIR, .a = "state/sessions/s1"},
	{.kind = STEP_SAVE, .a = S1 "agents/coder.yaml", .b = "agent: {type: coder}\n"},
	{.kind = STEP_SAVE, .a = S1 "state/plan", .b = "one\n"},
	{.kind = STEP_MKDIR, .a = S1 "state/dir"},
	{.kind = STEP_SAVE_BYTES, .a = S1 "state/dir/data", .n = 5000},
	{.kind = STEP_LINK, .a = S1 "state/plan", .b = S1 "state/dir/plan"},
	{.kind = STEP_MKDIR, .a = S1 "checkpoints/good"},
	{.kind = STEP_MKDIR, .a = S1 "checkpoints/good", .expect = -EEXIST},
	{.kind = STEP_SAVE, .a = S1 "state/plan", .b = "two\n"},
	{.kind = STEP_RENAME, .a = S1 "state/dir", .b = S1 "state/moved"},
	{.kind = STEP_UNLINK, .a = S1 "state/moved/data"},
	{.kind = STEP_SYMLINK, .a = S1 "state/dir", .b = "moved"},
	{.kind = STEP_XATTR, .a = S1 "state/plan", .b = "user.colour"},
	{.kind = STEP_UNLINK, .a = S1 "agents/coder.yaml"},
	{.kind = STEP_TIME, .n = 400}, /* an automatic checkpoint */
	{.kind = STEP_RESTORE, .a = "s1", .b = "nowhere", .expect = -ENOENT},
	{.kind = STEP_RESTORE, .a = "s1", .b = "good"},
	{.kind = STEP_SAVE, .a = S1 "session.yaml", .b = "session:\n  status: paused\n"},
	{.kind = STEP_MKDIR, .a = S1 "agents/.sync/build"},
	{.kind = STEP_REOPEN},
	{.kind = STEP_RESTORE, .a = "s1", .b = "latest"},
	{.kind = STEP_RMDIR, .a = S1 "checkpoints/good"},
	{.kind = STEP_RESTORE, .a = "s1", .b = "good", .expect = -ENOENT},
	{.kind = STEP_RMDIR, .a = S1 "agents/.sync/build"},
	{.kind = STEP_RMDIR, .a = "state/sessions/s1", .expect = -ENOTEMPTY},
	{.kind = STEP_MKDIR, .a = "state/sessions/s2"},
	{.kind = STEP_RMDIR, .a = "state/sessions/s2"},
};

static const struct step sync_steps[] = {
	{.kind = STEP_MKDIR, .a = "state/sessions/s1"},
	{.kind = STEP_SAVE, .a = S1 "agents/a.yaml", .b = ""},
	{.kind = STEP_MKDIR, .a = S1 "agents/.sync/build"},
	{.kind = STEP_SAVE, .a = S1 "agents/.sync/build/timeout", .b = "60\n"},
	{.kind = STEP_SAVE, .a = S1 "agents/.sync/build/a", .b = ""},
	{.kind = STEP_SAVE, .a = S1 "agents/.sync/build/b", .b = "", .expect = -EPERM},
	{.kind = STEP_RMDIR, .a = S1 "agents/.sync/build"},
	{.kind = STEP_MKDIR, .a = S1 "agents/.sync/build"},
	{.kind = STEP_SAVE, .a = "state/.locks/build", .b = "4242\n"},
	{.kind = STEP_REOPEN},
	{.kind = STEP_UNLINK, .a = "state/.locks/build"},
	{.kind = STEP_RMDIR, .a = S1 "agents/.sync/build"},
};

#define SCRIPT(name)                                          \
	{                                                     \
#name, name##_steps, ARRAY_SIZE(name##_steps) \
	}
const struct script engine_scripts[] = {SCRIPT(names), SCRIPT(content), SCRIPT(restart), SCRIPT(large), SCRIPT(segment), SCRIPT(model), SCRIPT(sync)};
const size_t engine_script_count = ARRAY_SIZE(engine_scripts);
