/* SPDX-License-Identifier: MIT
 *
 * Messages of the program to stderr or syslog, one write(2) a line so that
 * lines of several threads never mix. The target and level are the one piece of
 * process-wide state, set before threads start and only read afterwards.
 *
 * A message that cannot be written is lost; there is nobody to tell.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static enum log_target log_target = LOG_TO_STDERR;
static enum log_level log_level_max = LOG_LEVEL_INFO;

void log_setup(enum log_target target, enum log_level max_level)
{
	if (target == LOG_TO_SYSLOG && log_target != LOG_TO_SYSLOG)
		openlog("milestonefs", LOG_PID, LOG_DAEMON);
	else if (target != LOG_TO_SYSLOG && log_target == LOG_TO_SYSLOG)
		closelog();
	log_target = target;
	log_level_max = max_level;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	static const char *const marks[] = {"error: ", "warning: ", "", "debug: "};
	char line[2048];
	size_t start, end;
	va_list ap;

	if (level > log_level_max)
		return;
	start = (size_t)snprintf(line, sizeof(line), "milestonefs: %s", marks[level]);
	va_start(ap, fmt);
	vsnprintf(line + start, sizeof(line) - start - 1, fmt, ap); /* keeps one byte for the newline */
	va_end(ap);
	end = strlen(line);
	while (end > start && line[end - 1] == '\n')
		end--;
	line[end] = '\0';
	for (size_t i = start; i < end; i++)
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	if (log_target == LOG_TO_SYSLOG) {
		syslog(priorities[level], "%s", line + start);
		return;
	}
	line[end++] = '\n';
	if (write(STDERR_FILENO, line, end) < 0)
		return;
}
