/* SPDX-License-Identifier: MIT
 *
 * The program: finds the command and hands its words on. Called without a command name but with two words, or as mount.TYPE, it is
 * the helper of mount(8).
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "log.h"

static const char *const version = "milestonefs " MILESTONEFS_VERSION;

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{"mount", cli_mount},
	{"umount", cli_umount},
	{"fsck", cli_fsck},
	{"export", cli_export},
	{"log", cli_log},
};

static const char doc[] = "A project's .milestones/ where every save is a transaction: whole, checked, attributed, logged and durable, and "
			  "everything that ever was can be read again."
			  "\v"
			  "Commands:\n"
			  "  mount PROJECT            serve PROJECT/.milestones (in the background)\n"
			  "  umount PROJECT           end that\n"
			  "  fsck PROJECT             check the store while it is not mounted\n"
			  "  export PROJECT DIR|-     write the tree, now or as it was (- for tar)\n"
			  "  log PROJECT              what happened, who did it, and when\n"
			  "\n"
			  "`milestonefs COMMAND --help' says more, milestonefs(8) everything. From fstab:\n"
			  "  /home/me/p /home/me/p/.milestones fuse.milestonefs noauto,user 0 0";

struct invocation {
	const struct command *command;
	int first; /* index of the command's word */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct invocation *inv = state->input;

	if (key == ARGP_KEY_NO_ARGS)
		argp_usage(state);
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(arg, commands[i].name))
			inv->command = &commands[i];
	if (!inv->command)
		argp_error(state, "there is no command \"%s\"", arg);
	inv->first = state->next - 1;
	state->next = state->argc; /* the rest is the command's */
	return 0;
}

static bool is_command(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(word, commands[i].name))
			return true;
	return false;
}

/* `mount -t fuse.milestonefs PROJECT TARGET -o …` arrives as: milestonefs PROJECT TARGET -o … */
static bool is_helper_call(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');

	if (!strncmp(slash ? slash + 1 : argv[0], "mount.", 6))
		return true;
	return argc >= 3 && argv[1][0] != '-' && argv[2][0] != '-' && !is_command(argv[1]);
}

static void print_version(FILE *stream, struct argp_state *state)
{
	(void)state;
	fprintf(stream, "%s\n", version);
}

/*
 * A caller may have closed standard descriptors. No file of ours may become one: what is printed would go there, and the daemon puts
 * /dev/null in their place. Opened the wrong way round, so that using them is still an error.
 */
static int descriptors_fill(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return -errno;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {.parser = parse, .args_doc = "COMMAND [ARGUMENT...]", .doc = doc};
	struct invocation inv = {0};
	char *name;
	int status;

	if (descriptors_fill())
		return 1; /* and nowhere to say why */
	argp_program_version_hook = print_version;
	argp_err_exit_status = CLI_USAGE_STATUS;
	log_setup(LOG_TO_STDERR, LOG_LEVEL_INFO);
	if (is_helper_call(argc, argv))
		return cli_mount_helper(argc, argv);
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &inv))
		return CLI_USAGE_STATUS;
	if (asprintf(&name, "milestonefs %s", inv.command->name) < 0)
		return 1;
	argv[inv.first] = name;
	status = inv.command->run(argc - inv.first, argv + inv.first);
	free(name);
	return status;
}

int cli_fail(const struct reason *reason, int error)
{
	log_error("%s", reason->text[0] ? reason->text : strerror(-error));
	return 1;
}

error_t cli_parse_project(int key, char *arg, struct argp_state *state, const char **ret)
{
	switch (key) {
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "one argument too many: %s", arg);
		*ret = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "name the project's directory");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cli_find_project(const struct argp *argp, int argc, char **argv, void *arguments, const char *const *word, struct project *ret)
{
	struct reason reason = {0};
	int r;

	if (argp_parse(argp, argc, argv, 0, NULL, arguments))
		return CLI_USAGE_STATUS;
	r = project_find(*word, &reason, ret);
	return r ? cli_fail(&reason, r) : 0;
}

int cli_parse_point(struct engine *e, const char *text, struct reason *reason, uint64_t *ret_seq)
{
	uint64_t head = engine_head_seq(e), seq;
	int64_t time_ns;

	if (parse_u64(text, &seq) == 0) {
		if (seq < 1 || seq > head)
			return reason_set(reason, -ENOENT, "point", "there is no transaction %s; they go from 1 to %llu", text, (unsigned long long)head);
		*ret_seq = seq;
		return 0;
	}
	if (time_parse(text, &time_ns))
		return reason_set(reason, -EINVAL, "point", "\"%s\" is neither a transaction's number nor a time like 2026-11-22T10:00:00Z", text);
	engine_lock(e);
	seq = engine_seq_at_time(e, time_ns);
	engine_unlock(e);
	if (!seq)
		return reason_set(reason, -ENOENT, "point", "there was nothing yet at %s", text);
	*ret_seq = seq;
	return 0;
}
