/* SPDX-License-Identifier: MIT
 *
 * What recovery changes on disk, all of it durable before the first append:
 *
 *  1. segments behind the cut that hold more than zeros, or are no good for
 *     other reasons, are removed; the zeroed ones stay for use;
 *  2. behind the cut, what is not zero is zeroed, so that no discarded frame comes back;
 *  3. frames not proven durable are written again, byte for byte, and synced: that they can be
 *     read does not mean that they are on disk (a sync that failed in the life before may have marked
 *     their pages clean);
 *  4. broken headers of segments with frames are rebuilt.
 *
 * Each step leaves a journal that recovers to the same frames, so a crash in
 * between only means doing it again. Any failure ends the open.
 */
#include "journal_internal.h"

#include <errno.h>
#include <string.h>

#define COPY_BYTES (1u << 20)

static bool header_is_valid(struct journal *j, int fd, uint32_t number)
{
	uint8_t block[FORMAT_BLOCK_BYTES];
	struct file_header h = {.magic = FILE_MAGIC_SEGMENT, .kind = POSITION_JOURNAL, .number = number};

	return env_pread(j->env, fd, block, sizeof(block), 0) == (ssize_t)sizeof(block) && codec_file_header_decode(j->store, block, &h) == 0;
}

static int segment_open(struct journal *j, uint32_t number)
{
	char path[ENV_FILES_PATH_BYTES];

	env_files_path(j->files, number, path);
	return env_open(j->env, path, ENV_WRITE);
}

/* Can the segment at @index, behind the cut, be appended to some day? */
static bool is_ready(struct journal *j, const struct scanner *sc, size_t index)
{
	const struct segment *s = &j->segments[index];
	bool valid;
	int fd;

	if (sc->segments[index].junk_end || s->size != j->segment_bytes || (index && s->number != j->segments[index - 1].number + 1))
		return false;
	if (sc->unreadable && sc->unreadable_at >= index)
		return false;
	fd = segment_open(j, s->number);
	if (fd < 0)
		return false;
	valid = header_is_valid(j, fd, s->number);
	env_close(j->env, fd);
	return valid;
}

/* Remove from the first unusable segment behind the cut on; last first, so that what remains has no gap. */
static int drop_segments(struct journal *j, const struct scanner *sc, size_t first)
{
	char path[ENV_FILES_PATH_BYTES];
	size_t keep = first;
	int r;

	while (keep < j->segment_count && is_ready(j, sc, keep))
		keep++;
	if (keep == j->segment_count)
		return 0;
	while (j->segment_count > keep) {
		uint32_t number = j->segments[--j->segment_count].number;

		env_files_drop(j->files, number);
		env_files_path(j->files, number, path);
		r = env_unlink(j->env, path);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return env_dir_sync(j->env, JOURNAL_DIR);
}

static int zero_range(struct journal *j, int fd, uint64_t from, uint64_t to)
{
	cleanup_free uint8_t *zeros = calloc(1, COPY_BYTES);
	int r = 0;

	if (!zeros)
		return -ENOMEM;
	for (uint64_t at = from; at < to && !r; at += COPY_BYTES)
		r = env_pwrite(j->env, fd, zeros, (size_t)MIN(COPY_BYTES, to - at), at);
	return r;
}

static int rewrite_range(struct journal *j, int fd, uint64_t from, uint64_t to)
{
	cleanup_free uint8_t *copy = malloc(COPY_BYTES);

	if (!copy)
		return -ENOMEM;
	for (uint64_t at = from; at < to; at += COPY_BYTES) {
		size_t len = (size_t)MIN(COPY_BYTES, to - at);
		ssize_t n = env_pread(j->env, fd, copy, len, at);
		int r = n < 0 ? (int)n : (size_t)n < len ? -EIO : env_pwrite(j->env, fd, copy, len, at);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Steps 2 to 4 for one segment at or before the cut. */
static int mend_segment(struct journal *j, struct scanner *sc, const struct repair *p, size_t index)
{
	const struct segment *s = &j->segments[index];
	const bool is_cut = (ssize_t)index == p->cut_at;
	const uint64_t end = is_cut ? p->cut_offset : s->size;
	const uint64_t junk_end = sc->segments[index].junk_end;
	bool changed = false;
	int r = 0, fd = segment_open(j, s->number);

	if (fd < 0)
		return fd;
	if (s->size >= FORMAT_BLOCK_BYTES && !header_is_valid(j, fd, s->number)) {
		r = journal_segment_header_write(j, fd, s, 0);
		changed = true;
	}
	if (!r && is_cut && junk_end > end) {
		r = zero_range(j, fd, end, junk_end);
		changed = true;
	}
	if (!r && p->unproven_at >= 0 && (ssize_t)index >= p->unproven_at) {
		uint64_t from = (ssize_t)index == p->unproven_at ? p->unproven_offset : FORMAT_BLOCK_BYTES;

		r = rewrite_range(j, fd, from, end);
		changed = true;
	}
	if (!r && changed)
		r = env_fdatasync(j->env, fd);
	env_close(j->env, fd);
	return r;
}

int journal_repair(struct journal *j, struct scanner *sc, const struct repair *p)
{
	int r;

	/* Unreadable blocks where the journal seems to end may be frames: better no mount than a cut. */
	if (sc->unreadable && ((ssize_t)sc->unreadable_at > p->cut_at ||
				      ((ssize_t)sc->unreadable_at == p->cut_at && sc->unreadable_offset + FORMAT_BLOCK_BYTES > p->cut_offset)))
		return -EIO;
	r = drop_segments(j, sc, (size_t)(p->cut_at + 1));
	if (!r && j->before_sync)
		r = j->before_sync(j->before_sync_arg); /* frames that become durable now may refer to content */
	for (size_t i = 0; !r && (ssize_t)i <= p->cut_at; i++)
		r = mend_segment(j, sc, p, i);
	return r;
}
