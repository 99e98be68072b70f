/* SPDX-License-Identifier: MIT
 *
 * The functions of the rows in vfile_list.h, by the file they are in. Shapes and errors are those of vfile.h.
 */
#ifndef MILESTONEFS_VFILE_ROWS_H
#define MILESTONEFS_VFILE_ROWS_H

#include "vfile.h"

/* vfile_root.c */
int readme_render(struct fs *fs, const struct vnode *v, struct buf *out);
int gitignore_render(struct fs *fs, const struct vnode *v, struct buf *out);

/* vfile_events.c */
int events_all_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes);
int events_all_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out);
int events_day_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes);
int events_day_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out);
bool events_day_exists(struct fs *fs, const struct vnode *v);
int events_day_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
int64_t events_day_time(struct fs *fs, const struct vnode *v);
int events_session_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes);
int events_session_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out);
/** One JSON object a line: {"event_type": "…", "data": {…}}. All lines or none: -EBADMSG names the first that is no event. */
int events_session_write(struct fs *fs, const struct vnode *v, struct request *q, const char *text, size_t len);
int64_t events_time(struct fs *fs, const struct vnode *v);

/* vfile_sessions.c */
bool session_active_exists(struct fs *fs, const struct vnode *v);
int session_active_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
bool session_completed_exists(struct fs *fs, const struct vnode *v);
int session_completed_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
int session_link_render(struct fs *fs, const struct vnode *v, struct buf *out);
int64_t session_time(struct fs *fs, const struct vnode *v);
bool session_exists(struct fs *fs, const struct vnode *v);
int session_health_render(struct fs *fs, const struct vnode *v, struct buf *out);
int sessions_render(struct fs *fs, const struct vnode *v, struct buf *out);

/* vfile_checkpoint.c */
bool checkpoint_state_view(struct fs *fs, const struct vnode *v, struct view *ret);
bool checkpoint_agents_view(struct fs *fs, const struct vnode *v, struct view *ret);
bool checkpoint_part_exists(struct fs *fs, const struct vnode *v);

/* vfile_restore.c, vfile_report.c, vfile_resume.c */
int restore_render(struct fs *fs, const struct vnode *v, struct buf *out);
/** Names of checkpoints, one a line: all must be there; restored one after the other, the first that cannot be ends it. */
int restore_write(struct fs *fs, const struct vnode *v, struct request *q, const char *text, size_t len);
int report_render(struct fs *fs, const struct vnode *v, struct buf *out);
int resume_render(struct fs *fs, const struct vnode *v, struct buf *out);

/* vfile_agents.c */
bool agent_exists(struct fs *fs, const struct vnode *v);
int agent_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
int64_t agent_time(struct fs *fs, const struct vnode *v);
int agent_link_render(struct fs *fs, const struct vnode *v, struct buf *out);
int agent_status_render(struct fs *fs, const struct vnode *v, struct buf *out);
int agents_render(struct fs *fs, const struct vnode *v, struct buf *out);

/* vfile_sync.c */
bool sync_wait_exists(struct fs *fs, const struct vnode *v);
int sync_wait_begin(struct fs *fs, const struct vnode *v, uint64_t *ret_subject);
int sync_wait_ready(struct fs *fs, const struct vnode *v, uint64_t subject, struct buf *out);

/* vfile_locks.c */
int locks_render(struct fs *fs, const struct vnode *v, struct buf *out);

/* vfile_transactions.c: records of the journal; vfile_pending.c: open drafts */
int committed_render(struct fs *fs, const struct vnode *v, struct buf *out);
bool committed_exists(struct fs *fs, const struct vnode *v);
int committed_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
int rollback_render(struct fs *fs, const struct vnode *v, struct buf *out);
bool rollback_exists(struct fs *fs, const struct vnode *v);
int rollback_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
int rollback_draft_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes);
int rollback_draft_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out);
bool rollback_draft_exists(struct fs *fs, const struct vnode *v);
int rollback_draft_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
int64_t transaction_time(struct fs *fs, const struct vnode *v);
int pending_render(struct fs *fs, const struct vnode *v, struct buf *out);
bool pending_exists(struct fs *fs, const struct vnode *v);
int pending_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
int pending_draft_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes);
int pending_draft_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out);
bool pending_draft_exists(struct fs *fs, const struct vnode *v);
int pending_draft_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
int64_t pending_time(struct fs *fs, const struct vnode *v);

/* vfile_cache.c */
int sha256sums_render(struct fs *fs, const struct vnode *v, struct buf *out);
int sha256sums_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes);
int64_t head_time(struct fs *fs, const struct vnode *v);

/* vfile_replay.c */
bool replay_view(struct fs *fs, const struct vnode *v, struct view *ret);
bool replay_exists(struct fs *fs, const struct vnode *v);

/* vfile_status.c, vfile_metrics.c */
int health_render(struct fs *fs, const struct vnode *v, struct buf *out);
int journal_render(struct fs *fs, const struct vnode *v, struct buf *out);
int metrics_render(struct fs *fs, const struct vnode *v, struct buf *out);
int version_render(struct fs *fs, const struct vnode *v, struct buf *out);
int64_t now_time(struct fs *fs, const struct vnode *v);
int64_t second_time(struct fs *fs, const struct vnode *v);

#endif
