/* SPDX-License-Identifier: MIT
 *
 * The commands. Each gets its own words ("milestonefs mount" as argv[0]) and returns the exit status, having said on stderr
 * what went wrong.
 */
#ifndef MILESTONEFS_CLI_H
#define MILESTONEFS_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "util.h"

#define CLI_USAGE_STATUS 2 /* of all commands but fsck */

int cli_mount(int argc, char **argv);
/** As mount(8) and mount.fuse3 call a helper: SOURCE TARGET -o OPTIONS. */
int cli_mount_helper(int argc, char **argv);
int cli_umount(int argc, char **argv);
int cli_fsck(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_log(int argc, char **argv);

/** Say why and return 1. @reason's text, or the error's. */
int cli_fail(const struct reason *reason, int error);
/** The sequence number that a SEQ or TIME names, in an engine at rest. 0 or -EINVAL, -ENOENT with @reason. */
int cli_parse_point(struct engine *e, const char *text, struct reason *reason, uint64_t *ret_seq);

#endif
