/* SPDX-License-Identifier: MIT
 *
 * The places of the tree that mean something, and what they forbid. The table is layout.h's; what the files in these
 * places must hold is the rules' affair, what the virtual ones show is fs/'s.
 *
 * These questions are asked at each create, unlink and rename: a path of more than PLACE_DEPTH_MAX components (nearly all of a user's
 * files) is free and costs one walk over its first bytes; others are compared with some thirty rows, most of which differ early. No allocation, no locks.
 */
#include "layout.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define PLACE_DEPTH_MAX 6

struct place {
	const char *pattern;
	char last; /* of the pattern: tells most paths apart */
	uint32_t flags;
};

static const struct place places[] = {
#define PLACE(pattern, flags) {pattern, sizeof(pattern) > 1 ? (pattern)[sizeof(pattern) - 2] : 0, flags},
	LAYOUT_LIST(PLACE)
#undef PLACE
};

/* Components of @path, PLACE_DEPTH_MAX + 1 for any more; 0 for the root. */
static unsigned path_depth(const char *path, size_t len)
{
	const char *end = path + len, *p = path;
	unsigned depth = len ? 1 : 0;

	while (depth <= PLACE_DEPTH_MAX && (p = memchr(p, '/', (size_t)(end - p)))) {
		depth++;
		p++;
	}
	return depth;
}

static bool pattern_matches(const char *pattern, const char *path, const char *end)
{
	while (*pattern && path < end) {
		if (*pattern == '*') {
			const char *slash = memchr(path, '/', (size_t)(end - path));

			if (slash == path)
				return false;
			path = slash ? slash : end;
			pattern++;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*pattern && path == end;
}

static uint32_t flags_of(const char *path, size_t len)
{
	unsigned depth = path_depth(path, len);

	if (!depth || depth > PLACE_DEPTH_MAX)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if ((places[i].last == '*' || places[i].last == path[len - 1]) && pattern_matches(places[i].pattern, path, path + len))
			return places[i].flags;
	return 0;
}

uint32_t layout_flags_of(const char *path)
{
	return flags_of(path, strlen(path));
}

/* Splits off the last component. */
static uint32_t parent_flags_of(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	*ret_name = slash ? slash + 1 : path;
	return slash ? flags_of(path, (size_t)(slash - path)) : 0;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len >= n && !strcmp(name + len - n, suffix);
}

/* What tools make beside a file to replace it with: sed's sedXXXXXX, vim's 4913 and NAME~, hidden ones, NAME.anything. */
static bool is_temporary(const char *name)
{
	return name[0] == '.' || has_suffix(name, "~") || (!strncmp(name, "sed", 3) && strlen(name) == 9) || !strncmp(name, "config.yaml", 11) ||
	       strspn(name, "0123456789") == strlen(name);
}

static int check_agent_name(const char *path, const char *name, struct reason *reason)
{
	/* A barrier's directory has files of these names; there an acknowledgement is a file called as the agent. */
	static const char *const of_barriers[] = {"wait.yaml", "participants.yaml", "timeout.yaml"};

	for (size_t i = 0; i < ARRAY_SIZE(of_barriers); i++)
		if (!strcmp(name, of_barriers[i]))
			return reason_set(reason, -EINVAL, "layout",
				"%s: no agent can be called so: barriers have a file of that name, so it could never acknowledge", path);
	if (name[0] == '.' || !has_suffix(name, ".yaml") || id_valid(name, strlen(name) - 5))
		return 0;
	return reason_set(reason, -EINVAL, "layout",
		"%s: an agent's file is named ID.yaml, where ID begins with a letter or digit and holds only letters, digits, '.', '_' and '-'", path);
}

/* What the entry itself may be. */
static int check_kind(const char *path, uint32_t flags, uint32_t mode, struct reason *reason)
{
	if (flags & LAYOUT_FIXED && S_ISDIR(mode))
		return reason_set(reason, -EPERM, "layout", "%s is a fixed directory", path);
	if (flags & LAYOUT_FIXED && !S_ISREG(mode))
		return reason_set(reason, -EPERM, "layout", "%s can only be a regular file", path);
	if (flags & LAYOUT_NO_LINK && !S_ISREG(mode))
		return reason_set(reason, -EPERM, "layout", "%s can only be a regular file", path);
	if (flags & LAYOUT_SKELETON && !S_ISDIR(mode))
		return reason_set(reason, -EPERM, "layout", "%s can only be a directory", path);
	return 0;
}

int layout_check_create(const char *path, uint32_t mode, struct reason *reason)
{
	const char *name;
	uint32_t parent = parent_flags_of(path, &name), own = layout_flags_of(path);

	if (parent & LAYOUT_SEALED)
		return reason_set(reason, -EROFS, "layout", "%s: nothing can be made in this directory: what it shows is made by milestonefs", path);
	if (parent & LAYOUT_DIRS_ONLY && !S_ISDIR(mode))
		return reason_set(reason, -EPERM, "layout", "%s: only directories can be made here: mkdir makes a session, a checkpoint, a barrier", path);
	if (parent & LAYOUT_IDS && !id_valid(name, strlen(name)))
		return reason_set(
			reason, -EINVAL, "layout", "%s: an id begins with a letter or digit and holds at most 128 letters, digits, '.', '_' and '-'", path);
	if (parent & LAYOUT_FILES_ONLY) {
		if (!S_ISREG(mode))
			return reason_set(reason, -EPERM, "layout", "%s: only files can be made here: ID.yaml registers an agent", path);
		if (check_agent_name(path, name, reason))
			return -EINVAL;
	}
	if (parent & LAYOUT_REPLACE_ONLY && !(own & LAYOUT_FIXED) && !(S_ISREG(mode) && is_temporary(name)))
		return reason_set(reason, -EPERM, "layout", "%s: nothing can be made here but the temporary file that replaces another", path);
	return check_kind(path, own, mode, reason);
}

int layout_check_remove(const char *path, struct reason *reason)
{
	const char *name;

	if (parent_flags_of(path, &name) & LAYOUT_SEALED)
		return reason_set(reason, -EROFS, "layout", "%s is made by milestonefs and cannot be removed", path);
	if (layout_flags_of(path) & LAYOUT_FIXED)
		return reason_set(reason, -EPERM, "layout", "%s is part of the fixed tree and cannot be removed", path);
	if (layout_flags_of(path) & LAYOUT_SKELETON)
		return reason_set(reason, -EPERM, "layout", "%s is part of its session and goes with it", path);
	return 0;
}

int layout_check_rename(const char *path, struct reason *reason)
{
	const char *name;
	uint32_t flags = layout_flags_of(path);

	if (parent_flags_of(path, &name) & LAYOUT_SEALED)
		return reason_set(reason, -EROFS, "layout", "%s is made by milestonefs and cannot be renamed", path);
	if (flags & (LAYOUT_SESSION | LAYOUT_NAMED))
		return reason_set(reason, -EPERM, "layout", "%s: its id is its name and stays", path);
	if (flags & (LAYOUT_FIXED | LAYOUT_SKELETON))
		return reason_set(reason, -EPERM, "layout", "%s has its fixed place and cannot be renamed", path);
	return 0;
}

int layout_check_rename_to(const char *path, uint32_t mode, bool replaces, struct reason *reason)
{
	uint32_t flags = layout_flags_of(path);
	int r = layout_check_create(path, mode, reason);

	if (!r && flags & (LAYOUT_SESSION | LAYOUT_SKELETON | LAYOUT_NAMED))
		return reason_set(reason, -EPERM, "layout", "%s: sessions, checkpoints and barriers are made by mkdir, not by a rename", path);
	if (!r && replaces && !(flags & LAYOUT_FILE))
		r = layout_check_remove(path, reason);
	return r;
}

bool layout_is_sealed(const char *path)
{
	const char *name;

	return parent_flags_of(path, &name) & LAYOUT_SEALED;
}

bool layout_session_of(const char *path, char out[129])
{
	static const char prefix[] = "state/sessions/";
	size_t len;

	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
		return false;
	path += sizeof(prefix) - 1;
	len = strcspn(path, "/");
	if (!len || len > 128)
		return false;
	memcpy(out, path, len);
	out[len] = '\0';
	return true;
}

int layout_each_fixed_dir(int (*fn)(void *arg, const char *path), void *arg)
{
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(places); i++)
		if (places[i].flags & LAYOUT_FIXED && !(places[i].flags & LAYOUT_FILE))
			r = fn(arg, places[i].pattern);
	return r;
}

int layout_each_skeleton_dir(int (*fn)(void *arg, const char *path), void *arg)
{
	static const char session[] = "state/sessions/*/";
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(places); i++)
		if (places[i].flags & LAYOUT_SKELETON)
			r = fn(arg, places[i].pattern + sizeof(session) - 1);
	return r;
}
