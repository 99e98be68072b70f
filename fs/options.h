/* SPDX-License-Identifier: MIT
 *
 * Options of a mount, as mount(8) and fstab write them: words separated by commas.
 */
#ifndef MILESTONEFS_OPTIONS_H
#define MILESTONEFS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

/** Most worker threads of a mount. */
#define SESSION_WORKERS_MAX 512

struct mount_options {
	bool foreground;
	bool debug; /**< every request on stderr; implies foreground */
	bool read_only;
	bool allow_other;
	bool noexec, noatime;
	unsigned threads;         /**< 0: by the number of cores */
	int64_t sync_interval_ms; /**< 0: sync=commit; -1: as status/config.yaml says */
};

void mount_options_init(struct mount_options *o);
/** Read a list; may be called again, later words win. What fstab and mount(8) add for their own use is ignored. 0 or -EINVAL with @reason. */
int mount_options_parse(struct mount_options *o, const char *text, struct reason *reason);
/** Worker threads to start. */
unsigned mount_options_threads(const struct mount_options *o);

#endif
