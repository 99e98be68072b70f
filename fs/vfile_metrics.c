/* SPDX-License-Identifier: MIT
 *
 * status/metrics: OpenMetrics text 1.0 (https://openmetrics.io), one family a row of a table: TYPE, HELP, one sample; of sessions and agents one
 * sample a status. Counters count from the mount unless their help says otherwise. Nothing here is more than a few locks and a printf away.
 */
#include <inttypes.h>

#include "vfile_model.h"
#include "vfile_rows.h"

enum metric_kind { COUNTER, GAUGE, SECONDS_COUNTER, SECONDS_GAUGE };

struct metric {
	const char *name; /* without milestonefs_ and without _total */
	enum metric_kind kind;
	uint64_t value; /* SECONDS: nanoseconds */
	const char *help;
};

static void put(struct buf *out, const struct metric *m)
{
	bool counter = m->kind == COUNTER || m->kind == SECONDS_COUNTER;

	buf_printf(out, "# TYPE milestonefs_%s %s\n", m->name, counter ? "counter" : "gauge");
	if (m->kind == SECONDS_COUNTER || m->kind == SECONDS_GAUGE)
		buf_printf(out, "# UNIT milestonefs_%s seconds\n", m->name);
	buf_printf(out, "# HELP milestonefs_%s %s\n", m->name, m->help);
	buf_printf(out, "milestonefs_%s%s ", m->name, counter ? "_total" : "");
	if (m->kind == COUNTER || m->kind == GAUGE)
		buf_printf(out, "%" PRIu64 "\n", m->value);
	else
		buf_printf(out, "%" PRIu64 ".%09" PRIu64 "\n", m->value / (uint64_t)NS_PER_S, m->value % (uint64_t)NS_PER_S);
}

static void put_all(struct buf *out, const struct metric *m, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put(out, &m[i]);
}

static void put_engine(struct buf *out, const struct engine_stats *s)
{
	const struct metric list[] = {
		{"commits", COUNTER, s->commits, "Transactions committed."},
		{"refusals", COUNTER, s->refusals, "Commits refused by a rule."},
		{"conflicts", COUNTER, s->conflicts, "Conflicts detected."},
		{"committed_bytes", COUNTER, s->bytes_committed, "Bytes of content changed by commits."},
		{"rollbacks", GAUGE, s->rollbacks, "Refused or abandoned drafts kept in the store, of all time."},
		{"drafts_open", GAUGE, s->drafts_open, "Drafts open now."},
		{"drafts_pending", GAUGE, s->drafts_pending, "Drafts with bytes that are not published."},
		{"recovery_seconds", SECONDS_GAUGE, (uint64_t)s->recovery_ns, "Time the last recovery took."},
		{"recovery_replayed", GAUGE, s->replayed, "Transactions replayed by it."},
		{"index_sequence", GAUGE, s->index_seq, "Transaction of the newest index snapshot."},
	};

	put_all(out, list, ARRAY_SIZE(list));
}

static void put_store(struct buf *out, const struct engine_stats *s)
{
	const struct metric list[] = {
		{"journal_head_sequence", GAUGE, s->journal.head_seq, "Newest transaction."},
		{"journal_durable_sequence", GAUGE, s->journal.durable_seq, "Newest transaction that survives power loss."},
		{"journal_frames", COUNTER, s->journal.frames, "Frames appended to the journal."},
		{"journal_batches", COUNTER, s->journal.batches, "Groups of frames written."},
		{"journal_syncs", COUNTER, s->journal.syncs, "Syncs of the journal."},
		{"journal_sync_seconds", SECONDS_COUNTER, (uint64_t)s->journal.sync_ns_total, "Time spent in them."},
		{"journal_sync_max_seconds", SECONDS_GAUGE, (uint64_t)s->journal.sync_ns_max, "The longest of them."},
		{"journal_written_bytes", COUNTER, s->journal.bytes_written, "Bytes written to the journal."},
		{"journal_segments", GAUGE, s->journal.segments, "Segment files."},
		{"journal_reserved_bytes", GAUGE, s->journal.reserved_bytes, "Journal room promised to transactions being made."},
		{"arena_draft_bytes", GAUGE, s->arena.draft_bytes, "Bytes in draft files."},
		{"arena_draft_files", GAUGE, s->arena.draft_files, "Draft files."},
		{"arena_drafts_live", GAUGE, s->arena.drafts_live, "Drafts with bytes in them."},
		{"content_bytes", GAUGE, s->arena.content_bytes, "Bytes in the content store."},
		{"content_files", GAUGE, s->arena.content_files, "Files of the content store."},
		{"tree_nodes", GAUGE, s->tree.nodes, "Inodes, of all time."},
		{"tree_versions", GAUGE, s->tree.versions, "Versions of them."},
		{"tree_entries", GAUGE, s->tree.dentries, "Directory entries, of all time."},
		{"tree_memory_bytes", GAUGE, s->tree.total_bytes, "Memory of the tree."},
		{"tree_live_files", GAUGE, s->tree.live_files, "Files there are now."},
		{"tree_live_directories", GAUGE, s->tree.live_dirs, "Directories there are now."},
		{"tree_live_bytes", GAUGE, s->tree.live_bytes, "Bytes of the files there are now."},
	};

	put_all(out, list, ARRAY_SIZE(list));
}

/* One gauge with a sample for each status. */
static void put_by_status(struct buf *out, const char *name, const char *help, const char *(*status)(size_t), const size_t *counts, size_t count)
{
	buf_printf(out, "# TYPE milestonefs_%s gauge\n# HELP milestonefs_%s %s\n", name, name, help);
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "milestonefs_%s{status=\"%s\"} %zu\n", name, status(i), counts[i]);
}

static void put_model(struct buf *out, struct fs *fs)
{
	size_t sessions[SESSION_STATUS_COUNT], agents[AGENT_STATUS_COUNT], checkpoints;
	uint64_t bytes, events;

	moment_count(fs, sessions, agents, &checkpoints);
	engine_lock(fs->engine);
	event_log_size(engine_event_logs(fs->engine), &(struct event_log_key){0}, &bytes, &events);
	engine_unlock(fs->engine);
	put_by_status(out, "sessions", "Sessions there are now.", session_count_name, sessions, SESSION_STATUS_COUNT);
	put_by_status(out, "agents", "Agents there are now.", agent_count_name, agents, AGENT_STATUS_COUNT);
	put(out, &(struct metric){"checkpoints", GAUGE, checkpoints, "Checkpoints there are now."});
	put(out, &(struct metric){"events", COUNTER, events, "Events logged, of all time."});
	put(out, &(struct metric){"event_log_bytes", GAUGE, bytes, "Length of the log of all events."});
}

static uint64_t counter(const atomic_uint_fast64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static void put_fs(struct buf *out, struct fs *fs, int64_t now_ns)
{
	const struct metric list[] = {
		{"requests", COUNTER, counter(&fs->requests), "Requests of the kernel."},
		{"reads", COUNTER, counter(&fs->reads), "Reads among them."},
		{"writes", COUNTER, counter(&fs->writes), "Writes among them."},
		{"read_bytes", COUNTER, counter(&fs->bytes_read), "Bytes read."},
		{"written_bytes", COUNTER, counter(&fs->bytes_written), "Bytes written."},
		{"flushes", COUNTER, counter(&fs->flushes), "Closes of descriptors."},
		{"commits_at_flush", COUNTER, counter(&fs->commits_at_flush), "Commits by the last close of a writer."},
		{"commits_at_release", COUNTER, counter(&fs->commits_at_release), "Commits when the last descriptor was gone."},
		{"uptime_seconds", SECONDS_GAUGE, (uint64_t)MAX(0, now_ns - fs->started_ns), "Time since the mount."},
	};

	put_all(out, list, ARRAY_SIZE(list));
}

int metrics_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	struct engine_stats s;
	struct engine_health health;

	engine_get_stats(fs->engine, &s);
	engine_get_health(fs->engine, &health);
	buf_release(&health.why);
	buf_append_str(out, "# TYPE milestonefs info\n# HELP milestonefs The program that serves this mount.\n"
			    "milestonefs_info{version=\"" MILESTONEFS_VERSION "\"} 1\n");
	put(out, &(struct metric){"healthy", GAUGE, health.status == ENGINE_HEALTHY, "1 when status/health.yaml says healthy."});
	put_engine(out, &s);
	put_store(out, &s);
	put_model(out, fs);
	put_fs(out, fs, now_time(fs, v));
	buf_append_str(out, "# EOF\n");
	return 0;
}
