/* SPDX-License-Identifier: MIT
 *
 * Looking over old history: a mount that starts from an index snapshot has not read the frames before it, so a thread reads them once,
 * slowly, and tells health of each transaction that is no longer readable. (Blocks of the content store are checked when read, and by fsck.)
 *
 * One pass a mount, SCRUB_FRAMES at a time with a pause, so that it takes a few per cent of a disk at most. Ends early when the engine closes.
 */
#include <errno.h>
#include <time.h>

#include "engine_internal.h"

#define SCRUB_FRAMES 256
#define SCRUB_PAUSE_MS 10
#define SCRUB_DAMAGE_MAX 1000  /* as with sentences, more say no more */
#define SCRUB_FREE_FRAMES 4096 /* a short history is looked over at once */

struct scrub_run {
	uint64_t next; /* sequence number expected */
	struct engine *e;
};

/* Lock held. */
static void scrub_note(struct engine *e, uint64_t first, uint64_t last)
{
	const struct journal_damage d = {.position = e->txns[first - 1].position, .seq_first = first, .seq_last = last};

	if (e->damage_count < SCRUB_DAMAGE_MAX && !array_reserve(&e->damage, &e->damage_capacity, e->damage_count + 1, sizeof(d)))
		e->damage[e->damage_count++] = d;
}

static void report_damaged(struct engine *e, uint64_t seq)
{
	uint64_t position = e->txns[seq - 1].position;

	engine_problem(e, "transaction %llu is damaged in journal segment %08x at offset %llu: its record cannot be read", (unsigned long long)seq,
		position_file(position), (unsigned long long)position_offset(position));
	scrub_note(e, seq, seq);
}

/* Lost before the snapshot was taken, so that its maker's recovery said so, and nobody since. Lock held. Returns the end of the run. */
static uint64_t report_lost(struct engine *e, uint64_t first, uint64_t last)
{
	uint64_t end = first;

	while (end < last && engine_seq_lost(e, end + 1))
		end++;
	if (first == end)
		engine_problem(e, "transaction %llu was lost to damage found earlier", (unsigned long long)first);
	else
		engine_problem(e, "transactions %llu to %llu were lost to damage found earlier", (unsigned long long)first, (unsigned long long)end);
	scrub_note(e, first, end);
	return end;
}

static void scrub_report(struct engine *e, uint64_t first, uint64_t last)
{
	engine_lock(e);
	for (uint64_t seq = first; seq <= last; seq++)
		if (engine_seq_lost(e, seq))
			seq = report_lost(e, seq, last);
		else
			report_damaged(e, seq);
	engine_unlock(e);
}

static int scrub_frame(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len)
{
	struct scrub_run *run = arg;

	(void)position, (void)payload, (void)len; /* the scanner has checked the checksum */
	if (seq > run->next)
		scrub_report(run->e, run->next, seq - 1);
	run->next = seq + 1;
	return 0;
}

static bool scrub_pause(struct engine *e, uint64_t done)
{
	struct timespec until;
	bool stop;

	engine_lock(e);
	if (done > SCRUB_FREE_FRAMES && !e->stopping) {
		(void)clock_gettime(CLOCK_REALTIME, &until); /* for pthread_cond_timedwait(), not for anything stored */
		until.tv_nsec += SCRUB_PAUSE_MS * NS_PER_MS;
		until.tv_sec += until.tv_nsec / NS_PER_S;
		until.tv_nsec %= NS_PER_S;
		(void)pthread_cond_timedwait(&e->scrub_cond, &e->lock, &until);
	}
	stop = e->stopping;
	engine_unlock(e);
	return stop;
}

static void *scrub_thread(void *arg)
{
	struct engine *e = arg;
	uint64_t last = e->scrub_seq;

	for (uint64_t first = 1; first <= last && !scrub_pause(e, first); first += SCRUB_FRAMES) {
		uint64_t end = MIN(first + SCRUB_FRAMES - 1, last), position;
		struct scrub_run run = {.next = first, .e = e};

		engine_lock(e);
		position = e->txns[first - 1].position;
		engine_unlock(e);
		(void)journal_scan(e->journal, position, end, scrub_frame, &run); /* what it does not show is reported */
		if (run.next <= end)
			scrub_report(e, run.next, end);
	}
	return NULL;
}

int scrub_start(struct engine *e, uint64_t last_seq)
{
	int r;

	e->scrub_seq = last_seq;
	if (!last_seq)
		return 0;
	r = pthread_create(&e->scrub_thread, NULL, scrub_thread, e);
	e->scrub_started = r == 0;
	return -r;
}

void scrub_stop(struct engine *e)
{
	engine_lock(e);
	e->stopping = true;
	pthread_cond_signal(&e->scrub_cond);
	engine_unlock(e);
	if (e->scrub_started)
		pthread_join(e->scrub_thread, NULL);
	e->scrub_started = false;
}
