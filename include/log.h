/* SPDX-License-Identifier: MIT
 *
 * L0. Where the program's messages go. Library code (core/) does not log; it
 * returns errors and reasons. Only fs/ and the commands call this.
 */
#ifndef MILESTONEFS_LOG_H
#define MILESTONEFS_LOG_H

enum log_target { LOG_TO_STDERR, LOG_TO_SYSLOG };
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/** Choose the target and the chattiest level shown. Call before threads start. Default: stderr, info. */
void log_setup(enum log_target target, enum log_level max_level);
/** One line, no newline needed. Thread-safe. */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
