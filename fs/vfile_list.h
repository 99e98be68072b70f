/* SPDX-License-Identifier: MIT
 *
 * TABLE of virtual files: VFILE("pattern", KIND, mode, .field = …) rows (see vfile.h). Functions are declared in vfile_rows.h.
 */
VFILE("README.md", VFILE_TEXT, 0444, .render = readme_render, .constant = true)
VFILE(".gitignore", VFILE_TEXT, 0444, .render = gitignore_render, .constant = true)

VFILE("state/events/all.jsonl", VFILE_RANGE, 0444, .size = events_all_size, .range = events_all_range, .time = events_time, .uncached = true)
VFILE("state/events/*", VFILE_RANGE, 0444, .size = events_day_size, .range = events_day_range, .exists = events_day_exists, .list = events_day_list,
	.time = events_day_time, .uncached = true)
VFILE("state/sessions/*/events/session.jsonl", VFILE_RANGE, 0644, .size = events_session_size, .range = events_session_range, .write = events_session_write,
	.time = events_time, .uncached = true)

VFILE("state/active/*", VFILE_LINK, 0777, .render = session_link_render, .exists = session_active_exists, .list = session_active_list, .time = session_time,
	.uncached = true)
VFILE("state/completed/*", VFILE_LINK, 0777, .render = session_link_render, .exists = session_completed_exists, .list = session_completed_list,
	.time = session_time, .uncached = true)
VFILE("state/sessions/*/health.yaml", VFILE_TEXT, 0644, .render = session_health_render, .time = events_time, .uncached = true)
VFILE("state/sessions/*/checkpoints/*/state", VFILE_VIEW, 0755, .view = checkpoint_state_view, .exists = checkpoint_part_exists, .uncached = true)
VFILE("state/sessions/*/checkpoints/*/agents", VFILE_VIEW, 0755, .view = checkpoint_agents_view, .exists = checkpoint_part_exists, .uncached = true)
VFILE("state/sessions/*/agents/.sync/*/wait", VFILE_WAIT, 0444, .begin = sync_wait_begin, .ready = sync_wait_ready, .exists = sync_wait_exists,
	.unlisted = true, .uncached = true)
VFILE("state/sessions/*/recovery/restore", VFILE_TEXT, 0644, .render = restore_render, .write = restore_write, .exists = session_exists, .time = session_time,
	.settles = true, .uncached = true)
VFILE("state/sessions/*/recovery/report.yaml", VFILE_TEXT, 0644, .render = report_render, .exists = session_exists, .time = events_time, .uncached = true)
VFILE("state/sessions/*/recovery/resume.sh", VFILE_TEXT, 0755, .render = resume_render, .exists = session_exists, .time = session_time, .uncached = true)
VFILE("agents/registry/*", VFILE_LINK, 0777, .render = agent_link_render, .exists = agent_exists, .list = agent_list, .time = agent_time, .uncached = true)
VFILE("agents/status/*", VFILE_TEXT, 0444, .render = agent_status_render, .exists = agent_exists, .list = agent_list, .time = agent_time, .uncached = true)

VFILE("transactions/committed/*", VFILE_TEXT, 0444, .render = committed_render, .exists = committed_exists, .list = committed_list, .time = transaction_time,
	.uncached = true, .constant = true)
VFILE("transactions/rollbacks/*", VFILE_TEXT, 0444, .render = rollback_render, .exists = rollback_exists, .list = rollback_list, .time = transaction_time,
	.uncached = true, .constant = true)
VFILE("transactions/rollbacks/*", VFILE_RANGE, 0444, .size = rollback_draft_size, .range = rollback_draft_range, .exists = rollback_draft_exists,
	.list = rollback_draft_list, .time = transaction_time, .uncached = true)
VFILE("transactions/pending/*", VFILE_TEXT, 0444, .render = pending_render, .exists = pending_exists, .list = pending_list, .time = pending_time,
	.uncached = true)
VFILE("transactions/pending/*", VFILE_RANGE, 0444, .size = pending_draft_size, .range = pending_draft_range, .exists = pending_draft_exists,
	.list = pending_draft_list, .time = pending_time, .uncached = true)

VFILE("cache/checksums/SHA256SUMS", VFILE_TEXT, 0444, .render = sha256sums_render, .size = sha256sums_size, .time = head_time, .uncached = true)

VFILE("replay/*", VFILE_VIEW, 0755, .view = replay_view, .exists = replay_exists, .uncached = true)

VFILE("status/health.yaml", VFILE_TEXT, 0444, .render = health_render, .time = second_time, .uncached = true)
VFILE("status/sessions.yaml", VFILE_TEXT, 0444, .render = sessions_render, .time = second_time, .uncached = true)
VFILE("status/agents.yaml", VFILE_TEXT, 0444, .render = agents_render, .time = second_time, .uncached = true)
VFILE("status/locks.yaml", VFILE_TEXT, 0444, .render = locks_render, .time = second_time, .uncached = true)
VFILE("status/journal.yaml", VFILE_TEXT, 0444, .render = journal_render, .time = second_time, .uncached = true)
VFILE("status/metrics", VFILE_TEXT, 0444, .render = metrics_render, .time = second_time, .uncached = true)
VFILE("status/version", VFILE_TEXT, 0444, .render = version_render, .constant = true)
