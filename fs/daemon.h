/* SPDX-License-Identifier: MIT
 *
 * Going to the background: the parent waits until the child serves or has failed.
 */
#ifndef MILESTONEFS_DAEMON_H
#define MILESTONEFS_DAEMON_H

#include <stdbool.h>

#include "project.h"

struct daemon {
	int report_fd; /**< to the waiting parent; -1 in the foreground */
	bool foreground;
};

/**
 * Fork unless @foreground. Returns in the child (or in the foreground) with 0; the parent never returns: it exits with 0 once @p serves,
 * else with 1 after saying why. Before any thread is started. -errno with @reason when the fork fails.
 */
int daemon_start(bool foreground, const struct project *p, struct reason *reason, struct daemon *ret);
/** Give up the terminal; messages go to syslog from here on. Before threads log. Nothing in the foreground. */
void daemon_detach(struct daemon *d);
/** Tell the parent that requests are served. */
void daemon_ready(struct daemon *d);
/** Tell the parent why not; also logged. */
void daemon_failed(struct daemon *d, const char *text);

#endif
