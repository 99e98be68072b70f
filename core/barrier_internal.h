/* SPDX-License-Identifier: MIT
 *
 * What the files of barriers share; nobody else includes it.
 *
 *   barrier.c         the barriers in memory: acknowledgements, what may be made in their directories, what others ask
 *   barrier_load.c    what files say: of barriers found at the start, `participants`, `timeout`
 *   barrier_make.c    mkdir and rmdir
 *   barrier_upkeep.c  their ends, and the record kept current
 *   barrier_record.c  texts: the record, `participants`, `timeout`
 */
#ifndef MILESTONEFS_BARRIER_INTERNAL_H
#define MILESTONEFS_BARRIER_INTERNAL_H

#include "barrier.h"
#include "barrier_text.h"
#include "due.h"
#include "engine_internal.h"

/** Times a transaction is prepared again because the world has moved on. */
#define BARRIER_TRIES 16
/** A record in progress is written at most so often. */
#define BARRIER_RECORD_INTERVAL_NS NS_PER_S

/** Ids, each once, in order, at most BARRIER_MEMBERS_MAX. Zero-initialised; owned. */
struct id_list {
	char **ids;
	size_t count, capacity;
};
void id_list_release(struct id_list *l);
/** Add a copy, unless the list is full. 0 or -ENOMEM. */
int id_list_push(struct id_list *l, const char *id, size_t len);
/** The same, unless it is there already or is no id. */
int id_list_add(struct id_list *l, const char *id, size_t len);
int id_list_copy(const struct id_list *from, struct id_list *ret);
/** @list becomes @now, which is taken over. True: it says something else than before. */
bool id_list_become(struct id_list *list, struct id_list *now);
bool id_list_equal(const struct id_list *a, const struct id_list *b);
bool id_list_has(const struct id_list *l, const char *id);

enum barrier_status { BARRIER_IN_PROGRESS, BARRIER_COMPLETED, BARRIER_FAILED };
enum barrier_reason { BARRIER_NO_REASON, BARRIER_TIMEOUT, BARRIER_PARTICIPANT_DEAD, BARRIER_PARTICIPANT_COMPLETED, BARRIER_REMOVED };
const char *barrier_status_name(enum barrier_status s);
const char *barrier_reason_name(enum barrier_reason r);

/** What a record says. Strings and lists are owned. */
struct barrier_record {
	char trigger_agent[ACTOR_ID_BYTES];
	int64_t started_ns, ended_ns; /**< 0: not ended */
	uint64_t timeout_s;
	enum barrier_status status;
	enum barrier_reason reason;
	struct id_list participants, acknowledged, missing, unregistered;
};
void barrier_record_release(struct barrier_record *r);
void barrier_record_render(const struct barrier_record *r, const char *id, const char *session, struct buf *out);
/** What can be understood of a record's text; the rest is zeros. 0; -EBADMSG: nothing can; -ENOMEM. */
int barrier_record_parse(const char *text, size_t len, struct barrier_record *ret);
/** The ids of a `participants` file. 0 or -ENOMEM. */
int barrier_parse_participants(const char *text, size_t len, struct id_list *ret);
/** JSON and YAML flow text: ["a","b"], with ", " between them when @blanks. */
void id_list_put(const struct id_list *l, bool blanks, struct buf *out);

struct barrier {
	struct barrier *next; /**< of its bucket */
	uint64_t dir_ino;
	char session[ACTOR_ID_BYTES], id[ACTOR_ID_BYTES];
	struct barrier_record record; /**< as it would be written now; acknowledged, missing and unregistered by barrier_look() */
	struct id_list first;         /**< participants without a `participants` file */
	uint64_t first_timeout_s;     /**< likewise */
	struct id_list dead;          /**< agents that died or left the session since the start */
	int64_t started_mono_ns;
	const struct version *participants_file, *timeout_file; /**< that were read; NULL none */
	bool stale;                                             /**< the record says less than is known */
	struct due due;                                         /**< monotonic: look again then; barrier_due() sets it */
	bool files_changed;                                     /**< `participants` or `timeout` may have another version */
	struct barrier *next_changed;                           /**< on barriers.changed */
	int64_t record_due_ns;                                  /**< earliest time to write the record again */
	uint64_t changes;                                       /**< counts what a prepared transaction depends on */
	bool unsafe;                                            /**< it has ended, but that is not acknowledged yet: nobody hears of it */
	struct barrier *next_unsafe;                            /**< on barriers.unsafe */
};

#define BARRIER_BUCKETS 4096
/** Due at once. */
#define BARRIER_NOW INT64_MIN

/** Under the engine's lock. */
struct barriers {
	struct barrier *buckets[BARRIER_BUCKETS]; /**< by dir_ino */
	bool rescan;                              /**< a directory came or went in some .sync, and not by mkdir or rmdir */
	struct due_queue due;                     /**< those in progress */
	struct barrier *changed;                  /**< those with files_changed */
	struct barrier *unsafe;
	void (*observer)(void *arg);
	void *observer_arg;
};

/** Lock held. */
struct barrier *barrier_find(struct engine *e, uint64_t dir_ino);
/** A barrier that has just begun; -ENOMEM. @first is copied. Not yet in the table. */
int barrier_new(struct engine *e, const char *session, const char *id, const struct id_list *first, uint64_t timeout_s, struct barrier **ret);
void barrier_free(struct barrier *b);
void barrier_insert(struct engine *e, struct barrier *b);
/** Look at it again then; one that has ended is looked at no more. Lock held. */
void barrier_due(struct engine *e, struct barrier *b, int64_t due_ns);
/** Look whether its files have another version. Lock held. */
void barrier_files_changed(struct engine *e, struct barrier *b);
/** Is the directory one of a barrier of that session? Lock held. */
bool barrier_is_there(struct engine *e, const char *session, uint64_t dir_ino);
/** Out of the table, freed. */
void barrier_drop(struct engine *e, struct barrier *b);
/** Acknowledgements as the directory has them now, and who is missing or not registered. Lock held. 0 or -ENOMEM. */
int barrier_look(struct engine *e, struct barrier *b);
/** Barriers whose directories came or went otherwise than by mkdir and rmdir (a restore). 0 or -ENOMEM: again at the next upkeep. No lock held. */
int barriers_rescan(struct engine *e);
/** The live agents of a session. 0 or -ENOMEM. Lock held. */
int barrier_live_agents(const struct session *s, struct id_list *ret);
/** A regular file in a barrier's directory that has reached the journal; NULL: none. Lock held. */
struct node *barrier_file(struct engine *e, uint64_t dir_ino, const char *name);
/** The record's file and its directory; NULL: none. Lock held. */
struct node *barrier_record_node(struct engine *e, const char *session, const char *id, struct node **ret_dir);
/** Add the new text of a record that is there. @x: its block. Lock held. */
void barrier_add_content(struct txn *t, const struct node *record, const struct extent *x, uint64_t size);
/** The event of an end. Lock held. */
void barrier_add_event(struct txn *t, const char *path, const char *id, const struct barrier_record *r);
/** What an event of this record adds to a frame at most. */
size_t barrier_event_bytes(const struct barrier_record *r);

#endif
