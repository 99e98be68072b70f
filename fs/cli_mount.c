/* SPDX-License-Identifier: MIT
 *
 * milestonefs mount, and the form mount(8) uses. Checks what can be known beforehand while there is a terminal to say
 * it on, then goes to the background and serves.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "daemon.h"
#include "log.h"
#include "mount.h"

struct arguments {
	struct mount_options options;
	const char *words[2]; /* PROJECT, or SOURCE and TARGET */
	bool helper;
	bool fake; /* mount -f: do everything but the mount */
};

static const struct argp_option options[] = {
	{"foreground", 'f', NULL, 0, "Stay in the foreground, with messages on stderr", 0},
	{"options", 'o', "OPTION[,OPTION...]", 0, "Mount options, see below", 0},
	{0},
};

static const struct argp_option helper_options[] = {
	{NULL, 'f', NULL, 0, "Do everything but mount", 0},
	{NULL, 'o', "OPTION[,OPTION...]", 0, "Mount options", 0},
	{NULL, 't', "TYPE", 0, "Ignored", 0},
	{NULL, 'N', "NAMESPACE", 0, "Ignored", 0},
	{NULL, 'n', NULL, 0, "Ignored", 0},
	{NULL, 's', NULL, 0, "Ignored", 0},
	{NULL, 'v', NULL, 0, "Ignored", 0},
	{0},
};

static const char doc[] = "Serve PROJECT/.milestones. Returns once it can be used."
			  "\v"
			  "Options of -o:\n"
			  "  ro                  change nothing\n"
			  "  allow_other         other users may look in (file modes hold)\n"
			  "  sync=commit         close, rename return when the change survives power loss\n"
			  "  sync=interval:MS    when it survives this program; power loss may cost MS\n"
			  "                      (either overrides status/config.yaml)\n"
			  "  threads=N           worker threads (default: twice the cores, at least 4)\n"
			  "  noexec, noatime     as in mount(8)\n"
			  "  debug               every request on stderr, in the foreground\n"
			  "nosuid, nodev and default_permissions always hold."
			  " Other words of fstab are ignored.";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	struct reason reason = {0};

	switch (key) {
	case 'f':
		if (a->helper)
			a->fake = true;
		else
			a->options.foreground = true;
		return 0;
	case 'o':
		if (mount_options_parse(&a->options, arg, &reason))
			argp_error(state, "%s", reason.text);
		return 0;
	case 't':
	case 'N':
	case 'n':
	case 's':
	case 'v':
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= (a->helper ? 2 : 1))
			argp_error(state, "one argument too many: %s", arg);
		a->words[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < (a->helper ? 2 : 1))
			argp_error(state, "name the project's directory");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* TERM and INT are read from a descriptor (session_loop.c); a closed terminal or a lost reader must not end the mount. */
static void signals_prepare(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
}

static int mount_project(const struct arguments *a, const struct project *p)
{
	struct reason reason = {0};
	struct daemon d;
	int r = mount_check(p, &reason);

	if (r)
		return cli_fail(&reason, r);
	if (a->fake)
		return 0;
	signals_prepare();
	r = daemon_start(a->options.foreground, p, &reason, &d);
	if (r)
		return cli_fail(&reason, r);
	if (a->options.debug)
		log_setup(LOG_TO_STDERR, LOG_LEVEL_DEBUG);
	return mount_serve(p, &a->options, &d);
}

/* fstab's first field is the project too, or a word that means nothing. */
static int check_source(const char *source, const struct project *p, struct reason *reason)
{
	cleanup_free char *real = source[0] == '/' ? realpath(source, NULL) : NULL;

	if (!real || !strcmp(real, p->path) || !strcmp(real, p->mount_path))
		return 0;
	return reason_set(reason, -EINVAL, "mount", "%s and %s must name the same project: the store of a mount lies under it", source, p->path);
}

int cli_mount(int argc, char **argv)
{
	static const struct argp argp = {.options = options, .parser = parse, .args_doc = "PROJECT", .doc = doc};
	struct arguments a = {0};
	struct project p;
	int r;

	mount_options_init(&a.options);
	r = cli_find_project(&argp, argc, argv, &a, &a.words[0], &p);
	if (r)
		return r;
	r = mount_project(&a, &p);
	project_release(&p);
	return r;
}

int cli_mount_helper(int argc, char **argv)
{
	static const struct argp argp = {.options = helper_options, .parser = parse, .args_doc = "SOURCE TARGET", .doc = "Called by mount(8)."};
	struct arguments a = {.helper = true};
	struct reason reason = {0};
	struct project p;
	int r;

	mount_options_init(&a.options);
	r = cli_find_project(&argp, argc, argv, &a, &a.words[1], &p);
	if (r)
		return r;
	r = check_source(a.words[0], &p, &reason);
	r = r ? cli_fail(&reason, r) : mount_project(&a, &p);
	project_release(&p);
	return r;
}
