/* SPDX-License-Identifier: MIT
 *
 * Lock files.
 */
#include "lock_file.h"

#include "engine_internal.h"

int lock_files_start(struct engine *e) { (void)e; return 0; }
void lock_files_free(struct lock_files *l) { (void)l; }
void lock_files_changed(struct engine *e, uint64_t ino) { (void)e; (void)ino; }
void lock_files_agent_died(struct engine *e, const char *session, const char *agent) { (void)e; (void)session; (void)agent; }
void lock_files_process_ended(struct engine *e, uint32_t pid) { (void)e; (void)pid; }
void lock_files_each_pid(struct engine *e, void (*fn)(void *arg, uint32_t pid), void *arg) { (void)e; (void)fn; (void)arg; }
int64_t lock_files_upkeep(struct engine *e, int64_t now_ns) { (void)e; (void)now_ns; return INT64_MAX; }
