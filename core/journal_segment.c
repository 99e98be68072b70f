/* SPDX-License-Identifier: MIT
 *
 * Segment files: listing, making, having enough of them.
 *
 * A segment is made under a temporary name (space reserved, zeros written and
 * synced, header, rename, directory synced), so a file under a segment's name has
 * all its blocks on disk and written, and a commit changes no metadata. Zeros go
 * out in slices that are synced one by one, so that commits get their turn.
 *
 * A failure here poisons nothing: no frame depends on a segment that is not
 * ready. The rest is removed and the next try starts from nothing.
 */
#include "journal_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ZERO_SLICE_BYTES (1u << 20)
#define TEMPORARY_PATH JOURNAL_DIR "/segment.new"

static int list_entry(void *arg, const char *name, bool is_dir)
{
	struct journal *j = arg;
	unsigned number;

	if (is_dir || strlen(name) != 12 || strspn(name, "0123456789abcdef") != 8 || strcmp(name + 8, ".seg") != 0)
		return 0;
	if (sscanf(name, "%8x", &number) != 1 || number == 0 || number > POSITION_FILE_MAX)
		return 0;
	if (array_reserve(&j->segments, &j->segment_cap, j->segment_count + 1, sizeof(*j->segments)) < 0)
		return -ENOMEM;
	j->segments[j->segment_count++] = (struct segment){.number = number};
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

int journal_segments_list(struct journal *j)
{
	size_t kept = 0;
	int r = env_list(j->env, JOURNAL_DIR, list_entry, j);

	if (r == -ENOENT && j->read_only)
		r = 0;
	if (r < 0)
		return r;
	if (j->segment_count)
		qsort(j->segments, j->segment_count, sizeof(*j->segments), by_number);
	for (size_t i = 0; i < j->segment_count; i++) {
		struct segment s = j->segments[i];
		struct env_file file;
		uint64_t bytes = 0;

		r = env_files_get(j->files, s.number, &file);
		if (r == -ENOENT)
			continue; /* removed since it was listed, by a daemon we only look at */
		if (r < 0)
			return r;
		r = env_size(j->env, file.fd, &bytes);
		env_files_put(j->files, &file);
		if (r < 0)
			return r;
		s.size = MIN(bytes, JOURNAL_SEGMENT_BYTES_MAX) / FORMAT_BLOCK_BYTES * FORMAT_BLOCK_BYTES;
		j->segments[kept++] = s;
	}
	j->segment_count = kept;
	if (!j->read_only)
		(void)env_unlink(j->env, TEMPORARY_PATH); /* usually not there; a rest only takes space */
	return 0;
}

int journal_segment_header_write(struct journal *j, int fd, const struct segment *s, uint64_t seq_min)
{
	uint8_t block[FORMAT_BLOCK_BYTES];
	const struct file_header h = {
		.magic = FILE_MAGIC_SEGMENT,
		.kind = POSITION_JOURNAL,
		.number = s->number,
		.seq_or_generation = seq_min,
		.bytes = s->size,
	};

	codec_file_header_encode(j->store, &h, block);
	return env_pwrite(j->env, fd, block, sizeof(block), 0);
}

static bool is_stopping(struct journal *j, const bool *stop)
{
	bool yes;

	if (!stop)
		return false;
	pthread_mutex_lock(&j->lock);
	yes = *stop;
	pthread_mutex_unlock(&j->lock);
	return yes;
}

static int write_zeros(struct journal *j, int fd, const bool *stop)
{
	size_t slice = MIN(ZERO_SLICE_BYTES, j->segment_bytes);
	cleanup_free uint8_t *zeros = calloc(1, slice);
	int r;

	if (!zeros)
		return -ENOMEM;
	for (uint64_t at = 0; at < j->segment_bytes; at += slice) {
		if (is_stopping(j, stop))
			return -ECANCELED;
		r = env_pwrite(j->env, fd, zeros, MIN(slice, j->segment_bytes - at), at);
		if (!r && at + slice < j->segment_bytes)
			r = env_fdatasync(j->env, fd);
		if (r < 0)
			return r;
	}
	return 0;
}

static int segment_fill(struct journal *j, int fd, const struct segment *s, uint64_t seq_min, const bool *stop)
{
	int r = env_allocate(j->env, fd, 0, j->segment_bytes);

	if (r < 0 && r != -EOPNOTSUPP && r != -EINVAL)
		return r;
	r = write_zeros(j, fd, stop);
	if (!r)
		r = journal_segment_header_write(j, fd, s, seq_min);
	if (!r)
		r = env_fdatasync(j->env, fd);
	return r;
}

int journal_segment_make(struct journal *j, uint32_t number, const bool *stop)
{
	const struct segment s = {.number = number, .size = j->segment_bytes};
	char path[ENV_FILES_PATH_BYTES];
	uint64_t seq_min;
	int fd, r;

	pthread_mutex_lock(&j->lock);
	seq_min = j->seq_next;
	pthread_mutex_unlock(&j->lock);
	env_files_path(j->files, number, path);
	r = env_unlink(j->env, TEMPORARY_PATH);
	if (r < 0 && r != -ENOENT)
		return r;
	fd = env_open(j->env, TEMPORARY_PATH, ENV_WRITE | ENV_CREATE | ENV_EXCL);
	if (fd < 0)
		return fd;
	r = segment_fill(j, fd, &s, seq_min, stop);
	env_close(j->env, fd);
	if (!r)
		r = env_rename(j->env, TEMPORARY_PATH, path);
	if (r < 0) {
		(void)env_unlink(j->env, TEMPORARY_PATH); /* it only takes space, and the next try removes it */
		return r;
	}
	r = env_dir_sync(j->env, JOURNAL_DIR);
	if (r < 0)
		(void)env_unlink(j->env, path); /* holds no frame; the next try makes it again under the same name */
	return r;
}

static uint64_t room_behind(const struct journal *j, size_t index)
{
	uint64_t from = FORMAT_BLOCK_BYTES;

	if (index == j->current)
		from = ALIGN_UP(j->append_offset, FORMAT_BLOCK_BYTES);
	return j->segments[index].size > from ? j->segments[index].size - from : 0;
}

bool journal_has_room(const struct journal *j, uint64_t charge)
{
	const uint64_t frame_max = journal_charge(j->payload_max);
	const uint64_t want = j->charged + charge;
	uint64_t sum = 0;

	if (j->current < j->segment_count && want <= room_behind(j, j->current))
		return true;
	for (size_t i = j->current; i < j->segment_count; i++) {
		uint64_t room = room_behind(j, i);

		sum += room > frame_max ? room - frame_max : 0;
	}
	return want <= sum;
}

bool journal_wants_segment(const struct journal *j)
{
	return !atomic_load(&j->error) && j->current + 1 >= j->segment_count &&
	       (j->current >= j->segment_count || j->append_offset > j->segments[j->current].size / 2);
}

int journal_prepare(struct journal *j, uint64_t charge, bool background)
{
	struct segment s;
	bool needed;
	int r = 0;

	pthread_mutex_lock(&j->prepare_lock);
	pthread_mutex_lock(&j->lock);
	needed = background ? journal_wants_segment(j) : !journal_has_room(j, charge);
	s.number = j->segment_count ? j->segments[j->segment_count - 1].number + 1 : 1;
	s.size = j->segment_bytes;
	if (array_reserve(&j->segments, &j->segment_cap, j->segment_count + 1, sizeof(*j->segments)) < 0)
		r = -ENOMEM;
	pthread_mutex_unlock(&j->lock);
	if (!r && needed && s.number > POSITION_FILE_MAX)
		r = -ENOSPC;
	if (!r && needed) {
		r = journal_segment_make(j, s.number, background ? &j->stopping : NULL);
		if (!r) {
			pthread_mutex_lock(&j->lock);
			/* Only holders of prepare_lock add, so the room is still there. */
			j->segments[j->segment_count++] = s;
			pthread_mutex_unlock(&j->lock);
		}
	}
	pthread_mutex_unlock(&j->prepare_lock);
	return r;
}
