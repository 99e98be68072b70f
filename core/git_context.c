/* SPDX-License-Identifier: MIT
 *
 * Which branch and commit the project is at, by libgit2: for checkpoints, nothing else depends on it. Only HEAD and what it names are read;
 * no hook runs and nothing is written. The user's and the system's git settings are not looked at, and a repository of another owner is
 * read like any other: the daemon often runs as root, and reading HEAD starts nothing.
 *
 *   on a branch            its name, its commit
 *   on an unborn branch    its name, "unknown"
 *   detached               "unknown", the commit
 *   no repository, or one this libgit2 cannot read: "unknown" twice
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <git2.h>

#include "checkpoint.h"

#define UNKNOWN "unknown"
#define BRANCHES "refs/heads/"

/* For the life of the process: libgit2's own state is not worth making anew for each checkpoint. */
static void git_start(void)
{
	static const git_config_level_t levels[] = {GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_GLOBAL, GIT_CONFIG_LEVEL_XDG};

	(void)git_libgit2_init(); /* where it fails, opening does */
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		(void)git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, (int)levels[i], "");
	(void)git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
}

static void read_head(git_repository *repo, char **branch, char **commit)
{
	git_reference *head;
	char hex[GIT_OID_HEXSZ + 1];
	git_oid oid;

	if (git_reference_lookup(&head, repo, "HEAD"))
		return;
	if (git_reference_type(head) == GIT_REFERENCE_SYMBOLIC) {
		const char *name = git_reference_symbolic_target(head);

		*branch = strdup(strncmp(name, BRANCHES, sizeof(BRANCHES) - 1) ? name : name + sizeof(BRANCHES) - 1);
	}
	if (!git_reference_name_to_id(&oid, repo, "HEAD"))
		*commit = strdup(git_oid_tostr(hex, sizeof(hex), &oid));
	git_reference_free(head);
}

int git_context_read(const char *project, char **ret_branch, char **ret_commit)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char *branch = NULL, *commit = NULL;
	git_repository *repo = NULL;

	pthread_once(&once, git_start);
	if (project && !git_repository_open_ext(&repo, project, 0, NULL))
		read_head(repo, &branch, &commit);
	git_repository_free(repo);
	if (!branch)
		branch = strdup(UNKNOWN);
	if (!commit)
		commit = strdup(UNKNOWN);
	if (!branch || !commit) {
		free(branch);
		free(commit);
		return -ENOMEM;
	}
	*ret_branch = branch;
	*ret_commit = commit;
	return 0;
}
