/* SPDX-License-Identifier: MIT
 *
 * Whose segments are these? Every segment's header holds the store's id, behind a checksum that the id goes into; so a store that has
 * lost its FORMAT can get it back (store_rebuild()). Only reads; what becomes of the answer is the caller's business.
 *
 * A header counts only when it is whole; when whole ones do not agree, segments of two stores were mixed, and nothing is guessed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "checksum.h"
#include "env_files.h"
#include "journal.h"
#include "journal_codec.h"

struct search {
	struct env *env;
	struct store found;
	bool any;
};

static int look_into(void *arg, const char *name, bool is_dir)
{
	uint8_t block[FORMAT_BLOCK_BYTES];
	struct file_header h = {.magic = FILE_MAGIC_SEGMENT, .kind = POSITION_JOURNAL};
	struct store candidate = {0};
	struct search *s = arg;
	char path[32];
	int fd, r;

	if (is_dir || strlen(name) != 12 || strcmp(name + 8, ".seg") != 0 || sscanf(name, "%8x", &h.number) != 1)
		return 0;
	snprintf(path, sizeof(path), "journal/%.12s", name);
	fd = env_open(s->env, path, ENV_READ);
	if (fd < 0)
		return fd;
	r = env_pread(s->env, fd, block, sizeof(block), 0) == (ssize_t)sizeof(block) ? 0 : -EBADMSG;
	env_close(s->env, fd);
	if (r)
		return 0; /* another one may be whole */
	memcpy(candidate.id, block + FILE_OFFSET_ID, sizeof(candidate.id));
	candidate.seed = checksum_xxh3(candidate.id, sizeof(candidate.id), 0);
	r = codec_file_header_decode(&candidate, block, &h);
	if (r)
		return r == -EBADMSG ? 0 : r;
	if (s->any && memcmp(s->found.id, candidate.id, sizeof(candidate.id)) != 0)
		return -EUCLEAN;
	s->found = candidate;
	s->any = true;
	return 0;
}

int journal_find_store_id(struct env *env, uint8_t ret_id[16])
{
	struct search s = {.env = env};
	int r = env_list(env, "journal", look_into, &s);

	if (r)
		return r;
	if (!s.any)
		return -ENOENT;
	memcpy(ret_id, s.found.id, sizeof(s.found.id));
	return 0;
}
