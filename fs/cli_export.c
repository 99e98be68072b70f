/* SPDX-License-Identifier: MIT
 *
 * milestonefs export: the tree as plain files or tar, now or as it was. Reads the store itself, under a live mount too.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "export.h"
#include "log.h"
#include "project.h"

struct arguments {
	const char *project, *target, *at;
};

static const struct argp_option options[] = {
	{"at", 'a', "SEQ|TIME", 0, "As it was after transaction SEQ, or at TIME (2026-11-22T10:00:00Z)", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'a':
		a->at = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= 2)
			argp_error(state, "one argument too many: %s", arg);
		*(state->arg_num ? &a->target : &a->project) = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 2)
			argp_error(state, "name the project's directory, and where to write (a directory, or - for tar)");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int export_project(const struct project *p, const struct arguments *a, struct reason *reason)
{
	const struct engine_options opt = {.read_only = true};
	struct export_counts counts;
	struct store_reader s;
	uint64_t seq;
	int r;

	if (!strcmp(a->target, "-") && isatty(STDOUT_FILENO))
		return reason_set(reason, -EINVAL, "export", "an archive is not for the terminal; redirect it to a file or a pipe");
	r = store_reader_open(p, &opt, reason, &s);
	if (r)
		return r;
	seq = engine_head_seq(s.engine);
	if (a->at)
		r = cli_parse_point(s.engine, a->at, reason, &seq);
	(void)setlocale(LC_CTYPE, "C.UTF-8"); /* libarchive takes names to be of the locale; others are stored as they are */
	if (!r && !strcmp(a->target, "-"))
		r = export_to_tar(s.engine, seq, STDOUT_FILENO, reason, &counts);
	else if (!r)
		r = export_to_directory(s.engine, seq, a->target, reason, &counts);
	store_reader_close(&s);
	if (r)
		return r;
	log_info("exported %" PRIu64 " entries, %" PRIu64 " bytes, as of transaction %" PRIu64, counts.files, counts.bytes, seq);
	if (counts.xattrs_left_out)
		log_warning("left out what %s does not take: extended attributes (%" PRIu64 ")", a->target, counts.xattrs_left_out);
	if (counts.damaged)
		r = reason_set(reason, -EIO, "export", "not whole: files damaged in the store (%" PRIu64 "); milestonefs fsck says where", counts.damaged);
	return r;
}

int cli_export(int argc, char **argv)
{
	static const struct argp argp = {.options = options,
		.parser = parse,
		.args_doc = "PROJECT DIR|-",
		.doc = "Write the tree to DIR (absent or empty), or as tar to the standard output."};
	struct arguments a = {0};
	struct reason reason = {0};
	struct project p;
	int r;

	r = cli_find_project(&argp, argc, argv, &a, &a.project, &p);
	if (r)
		return r;
	r = export_project(&p, &a, &reason);
	project_release(&p);
	return r ? cli_fail(&reason, r) : 0;
}
