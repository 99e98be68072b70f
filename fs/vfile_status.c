/* SPDX-License-Identifier: MIT
 *
 * status/health.yaml, journal.yaml and version: how the mount is, in words for people and lines for scripts. The first line of health.yaml
 * is what a script needs; everything below says why. (status/metrics is vfile_metrics.c; config.yaml is a real file.)
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "position.h"
#include "vfile_model.h"
#include "vfile_rows.h"

int64_t now_time(struct fs *fs, const struct vnode *v)
{
	(void)v;
	return env_time_ns(engine_env(fs->engine));
}

/* Not finer: tar looks at times twice, and says that a file changed as it was read. */
int64_t second_time(struct fs *fs, const struct vnode *v)
{
	int64_t now_ns = now_time(fs, v);

	return now_ns - now_ns % NS_PER_S;
}

static void put_text(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "%s: ", key);
	if (value)
		buf_put_yaml_string(out, value, strlen(value));
	else
		buf_append_str(out, "null");
	buf_append_str(out, "\n");
}

static void put_time(struct buf *out, const char *key, int64_t time_ns)
{
	char text[TIME_TEXT_BYTES];

	time_format(time_ns, text);
	put_text(out, key, text);
}

static const char *status_name(enum engine_status status)
{
	switch (status) {
	case ENGINE_HEALTHY:
		return "healthy";
	case ENGINE_DEGRADED:
		return "degraded";
	case ENGINE_READ_ONLY:
		return "read-only";
	}
	return "degraded";
}

/* One sentence a line becomes one item. */
static void put_why(struct buf *out, const struct buf *why)
{
	const char *at = why->data ? why->data : "";

	buf_append_str(out, *at ? "why:\n" : "why: []\n");
	while (*at) {
		size_t len = strcspn(at, "\n");

		if (len) {
			buf_append_str(out, "  - ");
			buf_put_yaml_string(out, at, len);
			buf_append_str(out, "\n");
		}
		at += len + (at[len] == '\n');
	}
}

int health_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	struct engine_health health;
	struct engine_stats s;
	size_t sessions[SESSION_STATUS_COUNT], agents[AGENT_STATUS_COUNT], checkpoints;
	int64_t now_ns = now_time(fs, v);

	moment_count(fs, sessions, agents, &checkpoints);
	engine_get_health(fs->engine, &health);
	engine_get_stats(fs->engine, &s);
	if (fs->read_only && health.status != ENGINE_READ_ONLY) {
		health.status = ENGINE_READ_ONLY;
		buf_append_str(&health.why, "mounted read-only (-o ro)\n");
	}
	buf_printf(out, "status: %s\n", status_name(health.status));
	put_why(out, &health.why);
	buf_release(&health.why);
	buf_printf(out, "pid: %d\n", (int)getpid());
	buf_printf(out, "uptime_seconds: %lld\n", (long long)MAX(0, now_ns - fs->started_ns) / NS_PER_S);
	buf_printf(out, "head_sequence: %" PRIu64 "\n", s.journal.head_seq);
	buf_printf(out, "durable_sequence: %" PRIu64 "\n", s.journal.durable_seq);
	buf_printf(out, "rollbacks: %" PRIu64 "\n", s.rollbacks);
	buf_printf(out, "drafts_pending: %" PRIu64 "\n", s.drafts_pending);
	buf_printf(out, "sessions_active: %zu\nagents_active: %zu\n", sessions[SESSION_ACTIVE], agents[AGENT_ACTIVE]);
	buf_printf(out, "agents_unhealthy: %zu\nagents_dead: %zu\n", agents[AGENT_UNHEALTHY], agents[AGENT_DEAD]);
	put_time(out, "mounted_at", fs->started_ns);
	put_text(out, "project", fs->project);
	put_text(out, "version", MILESTONEFS_VERSION);
	return 0;
}

static void put_recovery(struct buf *out, const struct engine_stats *s)
{
	const struct journal_recovery *r = &s->recovery;

	buf_append_str(out, "recovery:\n");
	buf_printf(out, "  from_index_sequence: %" PRIu64 "\n", s->replayed <= r->seq_last ? r->seq_last - s->replayed : 0);
	buf_printf(out, "  transactions_replayed: %" PRIu64 "\n", s->replayed);
	buf_printf(out, "  duration_ms: %lld\n", (long long)s->recovery_ns / NS_PER_MS);
	buf_printf(out, "  torn_bytes: %" PRIu64 "\n", r->torn_bytes);
	buf_append_str(out, r->damage_count ? "  damage:\n" : "  damage: []\n");
	for (size_t i = 0; i < r->damage_count; i++)
		buf_printf(out,
			"    - first_sequence: %" PRIu64 "\n      last_sequence: %" PRIu64 "\n      segment: %u\n      offset: %" PRIu64
			"\n      bytes: %" PRIu64 "\n",
			r->damage[i].seq_first, r->damage[i].seq_last, position_file(r->damage[i].position), position_offset(r->damage[i].position),
			r->damage[i].bytes);
}

int journal_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	const struct journal_stats *j;
	struct engine_stats s;

	(void)v;
	engine_get_stats(fs->engine, &s);
	j = &s.journal;
	buf_append_str(out, "journal:\n");
	buf_printf(out, "  head_sequence: %" PRIu64 "\n  durable_sequence: %" PRIu64 "\n", j->head_seq, j->durable_seq);
	if (j->sync_interval_ms)
		buf_printf(out, "  sync: interval:%u\n", j->sync_interval_ms);
	else
		buf_append_str(out, "  sync: commit\n");
	buf_printf(out, "  segments: %" PRIu64 "\n  segment_bytes: %" PRIu64 "\n", j->segments, j->segment_bytes);
	buf_append_str(out, "since_mount:\n");
	buf_printf(out, "  transactions: %" PRIu64 "\n  batches: %" PRIu64 "\n  syncs: %" PRIu64 "\n  bytes_written: %" PRIu64 "\n", j->frames, j->batches,
		j->syncs, j->bytes_written);
	buf_printf(out, "  sync_mean_us: %" PRId64 "\n  sync_max_us: %" PRId64 "\n", j->syncs ? j->sync_ns_total / (int64_t)j->syncs / 1000 : 0,
		j->sync_ns_max / 1000);
	buf_append_str(out, "content:\n");
	buf_printf(out, "  files: %" PRIu64 "\n  bytes: %" PRIu64 "\n", s.arena.content_files, s.arena.content_bytes);
	buf_append_str(out, "index:\n");
	buf_printf(out, "  snapshot_sequence: %" PRIu64 "\n", s.index_seq);
	put_recovery(out, &s);
	return 0;
}

int version_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	(void)fs, (void)v;
	buf_append_str(out, "milestonefs " MILESTONEFS_VERSION "\n");
	return 0;
}
