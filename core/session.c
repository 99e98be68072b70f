/* SPDX-License-Identifier: MIT
 *
 * The text of a new session's session.yaml. Making the session is a matter of names: engine_namespace.c.
 */
#include "session.h"

void session_render(const char *id, int64_t now_ns, struct buf *out)
{
	char now[TIME_TEXT_BYTES];

	time_format(now_ns, now);
	buf_printf(out,
		   "session:\n"
		   "  id: \"%s\"\n"
		   "  type: \"%s\"\n"
		   "  status: \"active\"\n"
		   "  created_at: \"%s\"\n"
		   "  last_updated: \"%s\"\n"
		   "context: {}\n"
		   "state:\n"
		   "  current_operation: null\n"
		   "  progress_percentage: 0\n"
		   "  active_agents: []\n"
		   "  last_checkpoint: null\n"
		   "configuration:\n"
		   "  auto_checkpoint: true\n"
		   "  checkpoint_interval: 300\n"
		   "  max_session_duration: 14400\n"
		   "  backup_retention: 7\n"
		   "recovery:\n"
		   "  enabled: true\n"
		   "  last_backup: null\n"
		   "  recovery_points: []\n",
		   id, SESSION_TYPE_DEFAULT, now, now);
}
