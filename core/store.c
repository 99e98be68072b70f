/* SPDX-License-Identifier: MIT
 *
 * The store directory: made, recognised, locked. The bytes of FORMAT are those
 * of journal_format.h. What lies in journal/, content/ and drafts/ belongs to
 * the journal and the arena.
 *
 * Making one: lock, put foreign things that have our names aside, directories,
 * README and .gitignore, and FORMAT last by rename: the store exists from then on.
 * A crash before leaves a directory without FORMAT, and the next try does it all again.
 * A directory without FORMAT that holds segments is a damaged store, never made anew.
 */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "checksum.h"
#include "journal_format.h"

static const char readme_text[] = "This directory is the store of a milestonefs file system\n"
				  "========================================================\n"
				  "\n"
				  "It holds every version of the files you see here while milestonefs is mounted\n"
				  "(milestonefs mount PROJECT). If you see this text instead of your files, it is\n"
				  "just not mounted at the moment. Nothing is lost.\n"
				  "\n"
				  "  see the files again    milestonefs mount PROJECT\n"
				  "  copy them out          milestonefs export PROJECT DIRECTORY\n"
				  "  check the store        milestonefs fsck PROJECT\n"
				  "\n"
				  "Please change nothing in here by hand: journal/ is the only copy of your history,\n"
				  "content/ holds its large files, drafts/ what was being written. index/ may be deleted.\n"
				  "To back the store up while it is not mounted, copy this directory as it is.\n";
static const char gitignore_text[] = "*\n";

static const char *const store_dirs[] = {"journal", "content", "drafts", "index"};
static const char *const store_files[] = {"FORMAT", "LOCK", "README", ".gitignore"};

bool store_owns_name(const char *name)
{
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(store_dirs); i++)
		if (!strcmp(name, store_dirs[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(store_files); i++) {
		len = strlen(store_files[i]);
		if (!strncmp(name, store_files[i], len) && (!name[len] || !strcmp(name + len, ".tmp")))
			return true;
	}
	return !strcmp(name, "cold");
}

int store_present(struct env *env)
{
	int fd = env_open(env, "FORMAT", ENV_READ);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	env_close(env, fd);
	return 1;
}

static void format_encode(const struct store *s, int64_t created_ns, uint8_t out[FORMAT_BLOCK_BYTES])
{
	memset(out, 0, FORMAT_BLOCK_BYTES);
	memcpy(out, FORMAT_MAGIC, sizeof(FORMAT_MAGIC));
	put_le16(out + FORMAT_OFFSET_VERSION, FORMAT_VERSION);
	memcpy(out + FORMAT_OFFSET_ID, s->id, sizeof(s->id));
	put_le64(out + FORMAT_OFFSET_CREATED, (uint64_t)created_ns);
	put_le64(out + FORMAT_OFFSET_CHECKSUM, checksum_xxh3(out, FORMAT_OFFSET_CHECKSUM, 0));
}

static int format_decode(struct store *s, const uint8_t *in, size_t len, struct reason *reason)
{
	uint64_t unknown;

	if (len != FORMAT_BLOCK_BYTES || memcmp(in, FORMAT_MAGIC, sizeof(FORMAT_MAGIC)) != 0)
		return reason_set(reason, -EBADMSG, "store",
			"The store's FORMAT file is not one of milestonefs; milestonefs fsck --repair makes it anew. If it is a file of yours, move it away.");
	if (get_le64(in + FORMAT_OFFSET_CHECKSUM) != checksum_xxh3(in, FORMAT_OFFSET_CHECKSUM, 0))
		return reason_set(reason, -EBADMSG, "store", "The store's FORMAT file is damaged (checksum); milestonefs fsck --repair makes it anew.");
	s->version = get_le16(in + FORMAT_OFFSET_VERSION);
	if (s->version == 0 || s->version > FORMAT_VERSION)
		return reason_set(reason, -EPROTONOSUPPORT, "store",
			"The store has format version %u, this milestonefs knows up to %u; use a newer milestonefs.", (unsigned)s->version, FORMAT_VERSION);
	unknown = get_le64(in + FORMAT_OFFSET_INCOMPATIBLE) & ~FORMAT_INCOMPATIBLE_KNOWN;
	if (unknown)
		return reason_set(reason, -EPROTONOSUPPORT, "store", "The store uses incompatible features 0x%llx unknown here; use a newer milestonefs.",
			(unsigned long long)unknown);
	memcpy(s->id, in + FORMAT_OFFSET_ID, sizeof(s->id));
	s->seed = checksum_xxh3(s->id, sizeof(s->id), 0);
	return 0;
}

static int format_load(struct store *s, struct reason *reason)
{
	cleanup_free char *data = NULL;
	size_t len;
	int r = env_read_file(s->env, "FORMAT", 16 * FORMAT_BLOCK_BYTES, &data, &len);

	if (r == -EFBIG)
		return reason_set(reason, -EBADMSG, "store", "The store's FORMAT file is too large to be one; milestonefs fsck --repair makes it anew.");
	if (r < 0)
		return reason_set(reason, r, "store", "Reading the store's FORMAT file failed: %s.", strerror(-r));
	return format_decode(s, (const uint8_t *)data, len, reason);
}

/* Who holds the lock, from LOCK's decimal; "?" when it can't be read. */
static void lock_owner(struct env *env, int fd, char out[24])
{
	ssize_t n = env_pread(env, fd, out, 23, 0);

	out[n > 0 ? n : 0] = '\0';
	out[strspn(out, "0123456789")] = '\0';
	if (!*out)
		memcpy(out, "?", 2);
}

static int lock_take(struct store *s, long pid, struct reason *reason)
{
	char text[24];
	int fd, r;

	fd = env_open(s->env, "LOCK", ENV_WRITE | ENV_CREATE);
	if (fd < 0)
		return reason_set(reason, fd, "store", "Opening the store's LOCK file failed: %s.", strerror(-fd));
	r = env_lock(s->env, fd);
	if (r < 0) {
		lock_owner(s->env, fd, text);
		env_close(s->env, fd);
		if (r != -EAGAIN && r != -EWOULDBLOCK)
			return reason_set(reason, r, "store", "Locking the store failed: %s.", strerror(-r));
		return reason_set(reason, -EWOULDBLOCK, "store", "The store is in use by process %s; unmount it there or end that process.", text);
	}
	(void)snprintf(text, sizeof(text), "%ld\n", pid);
	r = env_pwrite(s->env, fd, text, strlen(text), 0); /* over the old number, so that no room is needed */
	if (!r)
		r = env_truncate(s->env, fd, strlen(text));
	else if (r == -ENOSPC || r == -EDQUOT)
		r = env_truncate(s->env, fd, 0); /* the number is a courtesy */
	if (r < 0) {
		env_close(s->env, fd);
		return reason_set(reason, r, "store", "Writing the store's LOCK file failed: %s.", strerror(-r));
	}
	s->lock_fd = fd;
	return 0;
}

struct listing {
	const char *name;
	bool found, is_dir, segments;
	size_t entries;
};

static int find_entry(void *arg, const char *name, bool is_dir)
{
	struct listing *l = arg;

	if (!strcmp(name, l->name)) {
		l->found = true;
		l->is_dir = is_dir;
	}
	return 0;
}

static int count_entry(void *arg, const char *name, bool is_dir)
{
	struct listing *l = arg;
	size_t len = strlen(name);

	l->entries++;
	if (!is_dir && len == 12 && strspn(name, "0123456789abcdef") == 8 && !strcmp(name + 8, ".seg"))
		l->segments = true;
	return 0;
}

/* Give a foreign thing another name, so that it can be adopted under that. */
static int set_aside(struct env *env, const char *name)
{
	char to[64];

	for (int i = 1; i <= 1000; i++) {
		struct listing l = {.name = to};
		int r;

		(void)snprintf(to, sizeof(to), i == 1 ? "%s.found" : "%s.found-%d", name, i);
		r = env_list(env, "", find_entry, &l);
		if (r < 0)
			return r;
		if (!l.found)
			return env_rename(env, name, to);
	}
	return -EEXIST;
}

static int format_missing(struct reason *reason)
{
	return reason_set(reason, -EBADMSG, "store", "There are journal segments but no FORMAT file; milestonefs fsck --repair makes it anew.");
}

static int make_dir(struct env *env, const char *name, struct reason *reason)
{
	struct listing l = {.name = name};
	int r = env_list(env, "", find_entry, &l);

	if (!r && l.found && l.is_dir) {
		r = env_list(env, name, count_entry, &l);
		if (!r && l.segments && !strcmp(name, "journal"))
			return format_missing(reason);
	}
	if (!r && l.found && (!l.is_dir || l.entries))
		r = set_aside(env, name);
	else if (!r && l.found)
		return 0; /* left by a try before */
	if (!r)
		r = env_mkdir(env, name);
	if (r < 0)
		return reason_set(reason, r, "store", "Making the store's directory %s failed: %s.", name, strerror(-r));
	return 0;
}

static int make_file(struct env *env, const char *name, const char *text, struct reason *reason)
{
	cleanup_free char *old = NULL;
	struct listing l = {.name = name};
	size_t len;
	int r = env_list(env, "", find_entry, &l);

	if (!r && l.found) {
		r = env_read_file(env, name, 16 * FORMAT_BLOCK_BYTES, &old, &len);
		if (!r && len == strlen(text) && !memcmp(old, text, len))
			return 0; /* ours, or just as good */
		r = set_aside(env, name);
	}
	if (!r)
		r = env_replace_file(env, "", name, text, strlen(text));
	if (r < 0)
		return reason_set(reason, r, "store", "Writing the store's %s failed: %s.", name, strerror(-r));
	return 0;
}

static int store_make(struct store *s, struct reason *reason)
{
	uint8_t block[FORMAT_BLOCK_BYTES];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(store_dirs); i++) {
		r = make_dir(s->env, store_dirs[i], reason);
		if (r < 0)
			return r;
	}
	r = make_file(s->env, "README", readme_text, reason);
	if (!r)
		r = make_file(s->env, ".gitignore", gitignore_text, reason);
	if (r < 0)
		return r;
	r = env_dir_sync(s->env, "");
	if (!r)
		r = env_random(s->env, s->id, sizeof(s->id));
	if (!r) {
		format_encode(s, env_time_ns(s->env), block);
		r = env_replace_file(s->env, "", "FORMAT", block, sizeof(block)); /* the store exists from here on */
	}
	if (r < 0)
		return reason_set(reason, r, "store", "Making the store failed: %s.", strerror(-r));
	s->created = true;
	return 0;
}

/* Nothing to open: is there nothing at all, or has a store lost its FORMAT? */
static int store_absent(struct env *env, struct reason *reason)
{
	struct listing l = {.name = ""};

	(void)env_list(env, "journal", count_entry, &l); /* no such directory: no segments */
	if (l.segments)
		return format_missing(reason);
	return reason_set(reason, -ENOENT, "store", "There is no milestonefs store in this directory.");
}

static int store_prepare(struct store *s, int flags, struct reason *reason)
{
	int r = store_present(s->env);

	if (r < 0)
		return reason_set(reason, r, "store", "Looking for the store's FORMAT file failed: %s.", strerror(-r));
	if (!r && (!(flags & STORE_CREATE) || flags & STORE_READ_ONLY))
		return store_absent(s->env, reason);
	if (flags & STORE_READ_ONLY)
		return 0;
	if (r)
		r = format_load(s, reason); /* before anything is changed: it may be no store of ours */
	if (!r)
		r = lock_take(s, (long)getpid(), reason);
	if (r < 0)
		return r;
	r = store_present(s->env); /* again: somebody may have made it meanwhile */
	if (r < 0)
		return r;
	if (!r)
		return store_make(s, reason);
	for (size_t i = 0; i < ARRAY_SIZE(store_dirs); i++) {
		r = env_mkdir(s->env, store_dirs[i]); /* index/ may have been deleted */
		if (r < 0 && r != -EEXIST)
			return reason_set(reason, r, "store", "Making the store's directory %s failed: %s.", store_dirs[i], strerror(-r));
	}
	return 0;
}

int store_open(struct env *env, int flags, struct reason *reason, struct store **ret)
{
	struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return reason_set(reason, -ENOMEM, "store", "Out of memory.");
	s->env = env;
	s->lock_fd = -1;
	r = store_prepare(s, flags, reason);
	if (!r)
		r = format_load(s, reason);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

int store_check_format(struct env *env, struct reason *reason)
{
	struct store s = {.env = env};
	int r = store_present(env);

	if (r < 0)
		return reason_set(reason, r, "store", "Looking for the store's FORMAT file failed: %s.", strerror(-r));
	return r ? format_load(&s, reason) : store_absent(env, reason) == -EBADMSG ? -ENOENT : 0;
}

int store_rebuild_format(struct env *env, const uint8_t id[16], struct reason *reason)
{
	struct store s = {.env = env, .lock_fd = -1};
	uint8_t block[FORMAT_BLOCK_BYTES];
	int r = lock_take(&s, (long)getpid(), reason);

	if (r)
		return r;
	if (store_check_format(env, NULL)) {
		memcpy(s.id, id, sizeof(s.id));
		format_encode(&s, env_time_ns(env), block); /* when it was made is not known any more */
		r = env_replace_file(env, "", "FORMAT", block, sizeof(block));
	}
	env_close(env, s.lock_fd);
	return r ? reason_set(reason, r, "store", "Writing the store's FORMAT failed: %s.", strerror(-r)) : 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->lock_fd >= 0)
		env_close(s->env, s->lock_fd);
	free(s);
}
