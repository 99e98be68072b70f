/* SPDX-License-Identifier: MIT
 *
 * The commands. Each gets its own words ("milestonefs mount" as argv[0]) and returns the exit status, having said on stderr
 * what went wrong.
 */
#ifndef MILESTONEFS_CLI_H
#define MILESTONEFS_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "project.h"
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
/** For a command whose only word is PROJECT: argp's keys of words, all others are unknown. */
error_t cli_parse_project(int key, char *arg, struct argp_state *state, const char **ret);
/** Parse a command's words into @arguments, then find the project that *@word, among these, names. 0, or the exit status, all being said. */
int cli_find_project(const struct argp *argp, int argc, char **argv, void *arguments, const char *const *word, struct project *ret);
/** The sequence number that a SEQ or TIME names, in an engine at rest. 0 or -EINVAL, -ENOENT with @reason. */
int cli_parse_point(struct engine *e, const char *text, struct reason *reason, uint64_t *ret_seq);

#endif
