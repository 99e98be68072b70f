/* SPDX-License-Identifier: MIT
 *
 * fsck, first half: the journal by itself, without the engine. Each valid frame is decoded; its events are sealed again and
 * compared (number, both checksums); each block it refers to is checked: those in the frame decompress, those in the content
 * store match their checksum. Where nothing is readable the journal's own recovery says what is missing.
 *
 * After damage the chains begin anew with what is stored, so one hole is one finding and not one for each later event.
 */
#include "fsck.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "event_log.h"

struct journal_check {
	struct fsck *f;
	struct arena *arena;
	struct event_logs *chains;
	struct buf scratch, stored, raw;
	uint64_t last_seq;
	uint64_t last_block; /* position of the content block checked last */
	int64_t last_time_ns;
};

void fsck_found(struct fsck *f, const char *fmt, ...)
{
	va_list ap;

	f->errors++;
	fprintf(f->out, "%s: ", f->name);
	va_start(ap, fmt);
	vfprintf(f->out, fmt, ap);
	va_end(ap);
	fputc('\n', f->out);
}

static void check_event(struct journal_check *c, const struct record *r, uint32_t ordinal, bool after_hole)
{
	const struct event_context ctx = {.tx_seq = r->seq, .time_ns = r->time_ns, .actor = &r->actor};
	const struct event *e = &r->events[ordinal];
	struct event_chain *session = event_logs_session_chain(c->chains, e->session);
	struct event_chain *global = event_logs_global_chain(c->chains);
	struct event again = *e;

	c->f->events++;
	if (!session || !global)
		return;
	if (!after_hole && !event_seal(&again, &ctx, ordinal, session, global, &c->scratch) &&
		(again.sequence_number != e->sequence_number || memcmp(&again.checksum, &e->checksum, sizeof(e->checksum)) != 0 ||
			memcmp(&again.global_checksum, &e->global_checksum, sizeof(e->global_checksum)) != 0))
		fsck_found(c->f, "transaction %" PRIu64 ", event %u (%s): its place in the hash chain does not fit", r->seq, ordinal, e->path);
	event_follow(e, session, global);
}

/* The stored bytes of a block outside this frame's payload, or NULL. */
static const uint8_t *load_content(struct journal_check *c, const struct extent *x)
{
	buf_clear(&c->stored);
	if (buf_reserve(&c->stored, x->stored_len) || arena_read(c->arena, x->position, c->stored.data, x->stored_len))
		return NULL;
	return (const uint8_t *)c->stored.data;
}

static void check_extent(
	struct journal_check *c, const struct record *r, const struct change *ch, const struct extent *x, uint64_t position, const uint8_t *payload, size_t len)
{
	const uint8_t *stored;

	if (!x->position)
		return; /* a hole */
	if (position_kind(x->position) == POSITION_CONTENT) {
		if (x->position == c->last_block)
			return;
		c->last_block = x->position;
		stored = arena_content_verify(c->arena, x->position, x->stored_len) ? NULL : load_content(c, x);
	} else if (position_kind(x->position) == POSITION_JOURNAL && x->position >= position && x->position + x->stored_len <= position + len) {
		stored = payload + (x->position - position);
	} else if (position_kind(x->position) == POSITION_JOURNAL && x->position < position) {
		return; /* checked with its own frame */
	} else {
		stored = NULL;
	}
	buf_clear(&c->raw);
	if (!stored || buf_reserve(&c->raw, x->raw_len) || record_block_read(stored, x->stored_len, x->raw_len, c->raw.data))
		fsck_found(c->f,
			"%s: transaction %" PRIu64 ", inode %" PRIu64 ": %" PRIu64 " bytes at offset %" PRIu64
			" of the file cannot be read (block at %s %08x offset %" PRIu64 ")",
			r->path[0] ? r->path : "?", r->seq, ch->ino, x->len, x->file_offset,
			position_kind(x->position) == POSITION_CONTENT ? "content" : "journal", position_file(x->position), position_offset(x->position));
}

static int check_frame(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len)
{
	struct journal_check *c = arg;
	bool after_hole = seq != c->last_seq + 1;
	struct record *r;
	int err = record_decode(payload, len, position, seq, &r);

	c->last_seq = seq;
	if (err == -ENOMEM || err == -EPROTONOSUPPORT)
		return err;
	if (err) {
		fsck_found(c->f, "transaction %" PRIu64 ": its record is malformed (journal/%08x.seg offset %" PRIu64 ")", seq, position_file(position),
			position_offset(position));
		return 0;
	}
	c->f->transactions++;
	if (r->time_ns < c->last_time_ns)
		fsck_found(c->f, "transaction %" PRIu64 ": its time is before that of the one before", seq);
	c->last_time_ns = r->time_ns;
	for (uint32_t i = 0; i < r->event_count; i++)
		check_event(c, r, i, after_hole || c->f->damaged_journal);
	for (uint32_t i = 0; i < r->change_count; i++)
		for (uint32_t k = 0; r->changes[i].type == CHANGE_CONTENT && k < r->changes[i].extent_count; k++)
			check_extent(c, r, &r->changes[i], &r->changes[i].extents[k], position, payload, len);
	if (after_hole)
		c->f->damaged_journal = true;
	record_free(r);
	return 0;
}

static void report_recovery(struct fsck *f, const struct journal_recovery *r)
{
	for (size_t i = 0; i < r->damage_count; i++) {
		const struct journal_damage *d = &r->damage[i];
		char text[256];

		journal_damage_describe(d, text, sizeof(text));
		if (!d->seq_first) {
			f->bad_headers++;
			fprintf(f->out, "%s: %s\n", f->name, text);
			continue;
		}
		f->damaged_journal = true;
		fsck_found(f, "%s", text);
		if (d->at_end)
			fprintf(f->out, "%s: note: if the journal was put back from an older copy on purpose, remove index/ as well\n", f->name);
	}
	f->torn_bytes = r->torn_bytes;
	if (r->torn_bytes)
		fprintf(f->out,
			"%s: note: journal/%08x.seg offset %" PRIu64 ": %" PRIu64
			" bytes of an unfinished write, never acknowledged; the next mount cuts them off\n",
			f->name, position_file(r->torn_position), position_offset(r->torn_position), r->torn_bytes);
}

static int skip_draft(void *arg, const struct arena_record *r, uint64_t position)
{
	(void)arg;
	(void)r;
	(void)position;
	return 0;
}

int fsck_format(struct fsck *f, struct env *env, struct reason *reason)
{
	int r = store_check_format(env, reason);

	if (r != -ENOENT && r != -EBADMSG)
		return r;
	r = journal_find_store_id(env, f->store_id);
	if (r == -EUCLEAN)
		return reason_set(reason, r, "fsck",
			"FORMAT is missing or damaged, and the segments in journal/ are of several stores; sort them out, or restore "
			"FORMAT from a backup");
	if (r)
		return reason_set(
			reason, r, "fsck", "FORMAT is missing or damaged, and no segment in journal/ tells what it should say; restore it from a backup");
	fprintf(f->out, "%s: FORMAT is missing or damaged; it can be made anew, the journal tells what it should say\n", f->name);
	f->bad_format = true;
	return 0;
}

int fsck_journal(struct fsck *f, struct env *env, struct reason *reason)
{
	const struct journal_options opt = {.read_only = true, .durable_seq = f->snapshot_seq};
	struct journal_check c = {.f = f, .chains = event_logs_new()};
	struct journal_recovery recovery = {0};
	struct journal *journal = NULL;
	struct store *store = NULL;
	int r = c.chains ? store_open(env, STORE_READ_ONLY, reason, &store) : -ENOMEM;

	if (!r)
		r = arena_open(store, true, skip_draft, NULL, &c.arena);
	if (!r)
		r = journal_open(store, &opt, check_frame, &c, &recovery, &journal);
	if (!r) {
		report_recovery(f, &recovery);
		(void)journal_close(journal); /* read only */
	} else if (!reason->text[0]) {
		reason_set(reason, r, "fsck", "the journal cannot be read: %s", strerror(-r));
	}
	journal_recovery_release(&recovery);
	arena_close(c.arena);
	store_close(store);
	event_logs_free(c.chains);
	buf_release(&c.scratch);
	buf_release(&c.stored);
	buf_release(&c.raw);
	return r;
}
