/* SPDX-License-Identifier: MIT
 *
 * Going to the background. Parent and child share a pipe: 'R' means requests are served (the parent then looks at the
 * mount itself), anything else is the sentence to print, end of file without a word that the child is gone.
 *
 * No other descriptor of the caller's is kept. Until daemon_detach() the child still has the terminal, and says what goes wrong there.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define REPORT_FD 3 /* the first after the standard ones, which are open (main.c) */

static _Noreturn void parent_wait(int fd, pid_t child, const struct project *p)
{
	char text[600] = "";
	size_t len = 0;
	int status;

	for (;;) {
		ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || (len += (size_t)n) == sizeof(text) - 1 || text[0] == 'R')
			break;
	}
	text[len] = '\0';
	if (text[0] == 'R') {
		if (project_mount_state(p) == MOUNT_ALIVE)
			_exit(0);
		log_error("%s was mounted, but does not answer; see the system log for why", p->mount_path);
		_exit(1);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (text[0])
		log_error("%s", text);
	else if (WIFSIGNALED(status))
		log_error("the daemon was killed by signal %d while starting", WTERMSIG(status));
	_exit(1);
}

int daemon_start(bool foreground, const struct project *p, struct reason *reason, struct daemon *ret)
{
	int fds[2];
	pid_t pid;

	*ret = (struct daemon){.report_fd = -1, .foreground = foreground};
	if (foreground)
		return 0;
	(void)fflush(NULL);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return reason_set(reason, -errno, "mount", "cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return reason_set(reason, -errno, "mount", "cannot start a process: %s", strerror(errno));
	if (pid > 0) {
		(void)close(fds[1]);
		parent_wait(fds[0], pid, p);
	}
	(void)setsid(); /* a child is no group leader */
	if (dup3(fds[1], REPORT_FD, O_CLOEXEC) < 0)
		return reason_set(reason, -errno, "mount", "cannot keep a pipe: %s", strerror(errno));
	(void)close_range(REPORT_FD + 1, ~0u, 0); /* whoever waits for a pipe of the caller's to end must not wait for the mount's end */
	if (chdir("/") < 0)
		return reason_set(reason, -errno, "mount", "cannot go to /: %s", strerror(errno));
	ret->report_fd = REPORT_FD;
	return 0;
}

void daemon_detach(struct daemon *d)
{
	int null;

	if (d->foreground)
		return;
	(void)fflush(NULL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	if (null > STDERR_FILENO)
		(void)close(null);
	log_setup(LOG_TO_SYSLOG, LOG_LEVEL_INFO);
}

static void report(struct daemon *d, const char *text)
{
	if (d->report_fd < 0)
		return;
	if (write(d->report_fd, text, strlen(text)) < 0)
		log_warning("the command that started this daemon is gone");
	(void)close(d->report_fd);
	d->report_fd = -1;
}

void daemon_ready(struct daemon *d)
{
	report(d, "R");
}

void daemon_failed(struct daemon *d, const char *text)
{
	if (d->report_fd < 0)
		log_error("%s", text);
	report(d, text);
}
