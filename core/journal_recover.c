/* SPDX-License-Identifier: MIT
 *
 * Recovery: replay the valid frames and decide about each missing number whether
 * it was durable (corruption: report it, go on) or not (torn tail: the journal ends
 * there). The rule is in journal_format.h. Changing the disk is left to
 * journal_repair.c.
 *
 * One pass when nothing is missing. At the first missing number the rest is
 * scanned once ahead for D, the greatest synced_before; D is enough for all later
 * holes, because it only grows along the journal.
 */
#include "journal_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A place from which on frames might not be durable: the first frame of a write. */
struct write_start {
	uint64_t seq;
	size_t at;
	uint64_t offset;
};

struct recovery {
	struct journal *j;
	struct scanner sc;
	struct journal_recovery out;
	size_t damage_cap;
	uint64_t seq_last;      /* newest number kept or reported lost */
	uint64_t synced_before; /* D of the frames kept so far */
	uint64_t known_durable; /* the caller's: all up to here */
	bool looked_ahead;
	uint64_t ahead_synced_before; /* D of all frames, once looked ahead */
	size_t end_at;                /* the kept frames end here */
	uint64_t end_offset;
	bool any;                   /* a frame was kept */
	struct write_start *starts; /* [start_first, start_count): those that may lie at or behind D */
	size_t start_first, start_count, start_cap;
};

void journal_recovery_release(struct journal_recovery *r)
{
	if (!r)
		return;
	free(r->damage);
	*r = (struct journal_recovery){0};
}

void journal_damage_describe(const struct journal_damage *d, char *out, size_t size)
{
	unsigned long long first = d->seq_first, last = d->seq_last, offset = position_offset(d->position);
	uint32_t file = position_file(d->position);
	char which[64];

	if (first == last)
		snprintf(which, sizeof(which), "transaction %llu", first);
	else
		snprintf(which, sizeof(which), "transactions %llu to %llu", first, last);
	if (!first)
		snprintf(out, size, "journal/%08x.seg: the header is damaged; it can be made anew, nothing is lost", file);
	else if (d->at_end)
		snprintf(out, size, "journal/%08x.seg offset %llu: the journal ends here, but an index snapshot holds transaction %llu: %s cannot be read",
			file, offset, last, which);
	else if (d->bytes)
		snprintf(out, size, "journal/%08x.seg offset %llu: %s cannot be read (%llu bytes)", file, offset, which, (unsigned long long)d->bytes);
	else
		snprintf(out, size, "journal/%08x.seg offset %llu: %s should come before this and cannot be found", file, offset, which);
}

static int fill_disk(struct scanner *sc, uint32_t number, uint64_t offset, uint8_t *buf, size_t len)
{
	ssize_t n;

	if (sc->fd < 0 || sc->fd_number != number) {
		char path[ENV_FILES_PATH_BYTES];

		if (sc->fd >= 0)
			env_close(sc->j->env, sc->fd);
		env_files_path(sc->j->files, number, path);
		sc->fd = env_open(sc->j->env, path, ENV_READ);
		sc->fd_number = number;
		if (sc->fd < 0)
			return sc->fd;
	}
	n = env_pread(sc->j->env, sc->fd, buf, len, offset);
	if (n < 0)
		return (int)n;
	memset(buf + n, 0, len - (size_t)n); /* shorter than it was when listed */
	return 0;
}

static int add_damage(struct recovery *r, const struct journal_damage *d)
{
	if (array_reserve(&r->out.damage, &r->damage_cap, r->out.damage_count + 1, sizeof(*d)) < 0)
		return -ENOMEM;
	r->out.damage[r->out.damage_count++] = *d;
	return 0;
}

/* Segment headers are not needed for reading, but a newer version must stop us, and a broken one is told. */
static int check_headers(struct recovery *r)
{
	for (size_t i = 0; i < r->sc.count; i++) {
		uint8_t block[FORMAT_BLOCK_BYTES];
		struct file_header h = {
			.magic = FILE_MAGIC_SEGMENT,
			.kind = POSITION_JOURNAL,
			.number = r->sc.segments[i].number,
		};
		int e = fill_disk(&r->sc, h.number, 0, block, sizeof(block));

		if (!e)
			e = codec_file_header_decode(r->j->store, block, &h);
		if (e == -EBADMSG || e == -EIO) {
			struct journal_damage d = {
				.position = position_make(POSITION_JOURNAL, h.number, 0),
				.bytes = FORMAT_BLOCK_BYTES,
			};
			e = add_damage(r, &d);
		}
		if (e < 0)
			return e;
	}
	return 0;
}

/* Scan to the end for D; what is found counts as junk until it is accepted. Comes back to the frame just found. */
static int look_ahead(struct recovery *r)
{
	struct scanner *sc = &r->sc;
	const size_t at = sc->frame_at;
	const uint64_t offset = sc->frame_offset;
	const uint64_t before = r->seq_last;
	int e = 1;

	r->ahead_synced_before = r->synced_before;
	for (; e > 0; e = scanner_next(sc)) {
		struct scan_segment *s = &sc->segments[sc->frame_at];

		r->ahead_synced_before = MAX(r->ahead_synced_before, sc->frame.synced_before);
		s->junk_end = MAX(s->junk_end, sc->frame_offset + FRAME_BYTES(sc->frame.payload_len));
	}
	if (e < 0)
		return e;
	r->looked_ahead = true;
	scanner_seek(sc, at, offset, before);
	e = scanner_next(sc);
	if (e == 0 || (e > 0 && (sc->frame_at != at || sc->frame_offset != offset)))
		return -EIO; /* the file changes while we read it */
	return e < 0 ? e : 0;
}

static uint64_t bytes_between(const struct recovery *r, size_t at, uint64_t offset)
{
	uint64_t sum = 0;

	if (at == r->end_at)
		return offset - r->end_offset;
	sum = r->sc.segments[r->end_at].size - MIN(r->end_offset, r->sc.segments[r->end_at].size);
	for (size_t i = r->end_at + 1; i < at; i++)
		sum += r->sc.segments[i].size - MIN(FORMAT_BLOCK_BYTES, r->sc.segments[i].size);
	return sum + offset - FORMAT_BLOCK_BYTES;
}

/* Numbers between seq_last and the frame found are missing. 1: go on with the frame, 0: the journal ends, -errno. */
static int judge_hole(struct recovery *r)
{
	const struct scanner *sc = &r->sc;
	uint64_t durable_before;
	int e = 0;

	if (!r->looked_ahead)
		e = look_ahead(r);
	if (e < 0)
		return e;
	durable_before = MAX(r->ahead_synced_before, r->known_durable + 1);
	if (r->seq_last + 1 < durable_before) {
		const struct journal_damage d = {
			.position = position_make(POSITION_JOURNAL, sc->segments[r->end_at].number, r->end_offset),
			.bytes = bytes_between(r, sc->frame_at, sc->frame_offset),
			.seq_first = r->seq_last + 1,
			.seq_last = MIN(sc->frame.seq, durable_before) - 1,
		};
		e = add_damage(r, &d);
		if (e < 0)
			return e;
		r->seq_last = d.seq_last;
		r->end_at = sc->frame_at; /* a torn rest begins with the frame; the damaged bytes are kept */
		r->end_offset = sc->frame_offset;
		r->any = true;
	}
	return r->seq_last + 1 == sc->frame.seq;
}

/*
 * No further frame, but more were durable: they are lost. What is left of them stays where it is, and the journal goes on behind it with
 * numbers that were never given.
 */
static int end_lost(struct recovery *r)
{
	const struct scanner *sc = &r->sc;
	uint64_t offset = r->end_offset;
	size_t at = r->end_at;
	struct journal_damage d = {
		.position = position_make(POSITION_JOURNAL, sc->count ? sc->segments[at].number : 1, offset),
		.seq_first = r->seq_last + 1,
		.seq_last = r->known_durable,
		.at_end = true,
	};

	for (size_t i = r->end_at; i < sc->count; i++) {
		const struct scan_segment *s = &sc->segments[i];

		if (s->junk_end <= (i == r->end_at ? r->end_offset : FORMAT_BLOCK_BYTES))
			continue;
		at = i;
		offset = MIN(ALIGN_UP(s->junk_end, FORMAT_BLOCK_BYTES), s->size);
	}
	if (sc->count)
		d.bytes = bytes_between(r, at, offset);
	r->seq_last = d.seq_last;
	r->end_at = at;
	r->end_offset = offset;
	r->any = sc->count != 0;
	return add_damage(r, &d);
}

/* Remember where writes began, as long as D has not passed them. */
static int note_start(struct recovery *r)
{
	const struct scanner *sc = &r->sc;

	r->synced_before = MAX(r->synced_before, sc->frame.synced_before);
	if (r->start_first == r->start_count || sc->frame_offset % FORMAT_BLOCK_BYTES == 0) {
		if (r->start_first > 64 && r->start_first > r->start_count / 2) {
			r->start_count -= r->start_first;
			memmove(r->starts, r->starts + r->start_first, r->start_count * sizeof(*r->starts));
			r->start_first = 0;
		}
		if (array_reserve(&r->starts, &r->start_cap, r->start_count + 1, sizeof(*r->starts)) < 0)
			return -ENOMEM;
		r->starts[r->start_count++] = (struct write_start){sc->frame.seq, sc->frame_at, sc->frame_offset};
	}
	while (r->start_first + 1 < r->start_count && r->starts[r->start_first + 1].seq <= r->synced_before)
		r->start_first++;
	return 0;
}

static int accept_frame(struct recovery *r, journal_replay_fn fn, void *arg)
{
	struct scanner *sc = &r->sc;
	int e = scanner_frame_known(sc);

	if (e > 0)
		e = fn ? fn(arg, sc->frame.seq, scanner_position(sc), sc->payload, sc->frame.payload_len) : 0;
	if (e)
		return e;
	r->out.frames++;
	r->out.seq_last = r->seq_last = sc->frame.seq;
	r->end_at = sc->frame_at;
	r->end_offset = sc->frame_offset + FRAME_BYTES(sc->frame.payload_len);
	r->any = true;
	return note_start(r);
}

/* Find the frame an index snapshot remembered; it counts as seen. */
static int begin_at(struct recovery *r, uint64_t position, uint64_t seq)
{
	struct scanner *sc = &r->sc;
	int e;

	if (position_kind(position) != POSITION_JOURNAL || position_offset(position) < FORMAT_BLOCK_BYTES)
		return -ESTALE;
	for (size_t i = 0; i < sc->count; i++) {
		uint64_t offset = position_offset(position) - FRAME_HEADER_BYTES;

		if (sc->segments[i].number != position_file(position) || offset >= sc->segments[i].size)
			continue;
		scanner_seek(sc, i, offset, seq - 1);
		e = scanner_next(sc);
		if (e < 0)
			return e;
		if (!e || sc->frame.seq != seq || sc->frame_at != i || sc->frame_offset != offset)
			return -ESTALE;
		e = accept_frame(r, NULL, NULL);
		r->out.frames = 0;
		return e;
	}
	return -ESTALE;
}

static int replay(struct recovery *r, journal_replay_fn fn, void *arg)
{
	int e;

	while ((e = scanner_next(&r->sc)) > 0) {
		if (r->sc.frame.seq != r->seq_last + 1) {
			e = judge_hole(r);
			if (e <= 0)
				return e;
		}
		e = accept_frame(r, fn, arg);
		if (e)
			return e;
	}
	return !e && r->seq_last < r->known_durable ? end_lost(r) : e;
}

/* What is torn: everything not zero behind the kept frames. */
static void measure_torn(struct recovery *r)
{
	const struct scanner *sc = &r->sc;

	for (size_t i = r->any ? r->end_at : 0; i < sc->count; i++) {
		const struct scan_segment *s = &sc->segments[i];
		uint64_t from = r->any && i == r->end_at ? r->end_offset : FORMAT_BLOCK_BYTES;

		if (s->junk_end <= from)
			continue;
		if (!r->out.torn_bytes)
			r->out.torn_position = position_make(POSITION_JOURNAL, s->number, from);
		r->out.torn_bytes += s->junk_end - from;
	}
}

static void install(struct recovery *r)
{
	struct journal *j = r->j;

	j->seq_next = r->seq_last + 1;
	atomic_store(&j->seq_written, r->seq_last);
	atomic_store(&j->seq_durable, r->seq_last);
	j->seq_content = r->seq_last;
	j->append_offset = r->any ? r->end_offset : FORMAT_BLOCK_BYTES;
	j->current = r->any ? r->end_at : 0;
}

int journal_recover(struct journal *j, const struct journal_options *opt, journal_replay_fn fn, void *arg, struct journal_recovery *ret)
{
	struct recovery r = {.j = j, .known_durable = opt->durable_seq};
	struct repair p = {.cut_at = -1, .unproven_at = -1};
	int e = scanner_init(&r.sc, j, j->segment_count);

	r.sc.fill = fill_disk;
	r.end_offset = FORMAT_BLOCK_BYTES;
	if (!e)
		e = check_headers(&r);
	if (!e && opt->start_seq)
		e = begin_at(&r, opt->start_position, opt->start_seq);
	if (!e)
		e = replay(&r, fn, arg);
	if (!e) {
		measure_torn(&r);
		install(&r);
		if (r.any) {
			p.cut_at = (ssize_t)r.end_at;
			p.cut_offset = r.end_offset;
		}
		if (r.start_first < r.start_count) {
			p.unproven_at = (ssize_t)r.starts[r.start_first].at;
			p.unproven_offset = r.starts[r.start_first].offset;
		}
		if (!j->read_only)
			e = journal_repair(j, &r.sc, &p);
	}
	scanner_release(&r.sc);
	free(r.starts);
	if (e) {
		journal_recovery_release(&r.out);
		return e;
	}
	*ret = r.out;
	return 0;
}
