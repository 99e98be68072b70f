/* SPDX-License-Identifier: MIT
 *
 * A mount from beginning to end: the store, adoption, the kernel's side, serving, the clean stop.
 */
#ifndef MILESTONEFS_MOUNT_H
#define MILESTONEFS_MOUNT_H

#include "daemon.h"
#include "options.h"
#include "project.h"

/** What speaks against mounting @p here and now; clears a dead mount. 0 or -errno with @reason. To be called before going to the background. */
int mount_check(const struct project *p, struct reason *reason);
/** Mount @p and serve until it is unmounted or told to stop. Returns the exit status: 0 or 1, having said why. SIGTERM and SIGINT must be blocked. */
int mount_serve(const struct project *p, const struct mount_options *o, struct daemon *d);

#endif
