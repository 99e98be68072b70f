/* SPDX-License-Identifier: MIT
 *
 * Options of a mount. A table of words; a word ends with '=' when a value follows. Words of mount(8) and of mount.fuse3, which always
 * adds `dev,suid`, are accepted without effect: nosuid, nodev and default_permissions hold always.
 *
 * Failure: an unknown word or a bad value is refused, naming it; nothing is guessed.
 */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNC_INTERVAL_MS_MAX 60000
#define THREADS_MIN 4

void mount_options_init(struct mount_options *o)
{
	*o = (struct mount_options){.sync_interval_ms = -1};
}

/* Without effect. */
static const char *const ignored[] = {
	"rw",
	"defaults",
	"auto",
	"noauto",
	"user",
	"users",
	"nouser",
	"owner",
	"group",
	"nofail",
	"_netdev",
	"async",
	"atime",
	"relatime",
	"norelatime",
	"strictatime",
	"nostrictatime",
	"lazytime",
	"nolazytime",
	"diratime",
	"nodiratime",
	"exec",
	"dev",
	"nodev",
	"suid",
	"nosuid",
	"silent",
	"loud",
	"mand",
	"nomand",
	"iversion",
	"noiversion",
	"default_permissions",
	"dirsync",
};
static const char *const ignored_prefixes[] = {"x-", "X-", "user=", "comment=", "fsname=", "subtype="};

static bool is_ignored(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		if (!strcmp(word, ignored[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(ignored_prefixes); i++)
		if (!strncmp(word, ignored_prefixes[i], strlen(ignored_prefixes[i])))
			return true;
	return false;
}

static int parse_sync(struct mount_options *o, const char *value, struct reason *reason)
{
	uint64_t ms;

	if (!strcmp(value, "commit")) {
		o->sync_interval_ms = 0;
		return 0;
	}
	if (strncmp(value, "interval:", 9) != 0 || parse_u64(value + 9, &ms) || ms < 1 || ms > SYNC_INTERVAL_MS_MAX)
		return reason_set(
			reason, -EINVAL, "options", "sync=%s: write sync=commit or sync=interval:MS with MS from 1 to %d", value, SYNC_INTERVAL_MS_MAX);
	o->sync_interval_ms = (int64_t)ms;
	return 0;
}

static int parse_threads(struct mount_options *o, const char *value, struct reason *reason)
{
	uint64_t n;

	/* Two, because some requests wait for others. */
	if (parse_u64(value, &n) || n < 2 || n > SESSION_WORKERS_MAX)
		return reason_set(reason, -EINVAL, "options", "threads=%s: write a number from 2 to %d", value, SESSION_WORKERS_MAX);
	o->threads = (unsigned)n;
	return 0;
}

static int parse_word(struct mount_options *o, const char *word, struct reason *reason)
{
	if (!strcmp(word, "ro"))
		o->read_only = true;
	else if (!strcmp(word, "rw"))
		o->read_only = false;
	else if (!strcmp(word, "allow_other"))
		o->allow_other = true;
	else if (!strcmp(word, "debug"))
		o->debug = o->foreground = true;
	else if (!strcmp(word, "noexec"))
		o->noexec = true;
	else if (!strcmp(word, "exec"))
		o->noexec = false;
	else if (!strcmp(word, "noatime"))
		o->noatime = true;
	else if (!strcmp(word, "sync"))
		o->sync_interval_ms = 0;
	else if (!strncmp(word, "sync=", 5))
		return parse_sync(o, word + 5, reason);
	else if (!strncmp(word, "threads=", 8))
		return parse_threads(o, word + 8, reason);
	else if (!strcmp(word, "remount"))
		return reason_set(reason, -EINVAL, "options", "a mount cannot be changed while it lasts: unmount it, and mount it with the new options");
	else if (!is_ignored(word))
		return reason_set(reason, -EINVAL, "options", "unknown mount option \"%s\" (milestonefs mount --help lists them)", word);
	return 0;
}

int mount_options_parse(struct mount_options *o, const char *text, struct reason *reason)
{
	cleanup_free char *copy = strdup(text);
	struct mount_options parsed = *o;
	char *save = NULL;

	if (!copy)
		return -ENOMEM;
	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		int r = parse_word(&parsed, word, reason);

		if (r)
			return r;
	}
	*o = parsed;
	return 0;
}

unsigned mount_options_threads(const struct mount_options *o)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (o->threads)
		return o->threads;
	return (unsigned)MIN(MAX(2 * cores, THREADS_MIN), SESSION_WORKERS_MAX);
}
