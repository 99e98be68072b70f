/* SPDX-License-Identifier: MIT
 *
 * L8. Private to core/registry*.c:
 *
 *   registry.c         getters, texts, making and freeing sessions, agents and checkpoints
 *   registry_places.c  what is where: directories and files of the state model by inode number, kept current from names
 *   registry_load.c    what the files say; the start
 *   registry_note.c    what a transaction means: changes, signs of life
 */
#ifndef MILESTONEFS_REGISTRY_PRIVATE_H
#define MILESTONEFS_REGISTRY_PRIVATE_H

#include "engine_internal.h"

#define HASH_NONFATAL_OOM 1 /* a failed insertion leaves hh.tbl NULL */
#include <uthash.h>

/** An inode that means something: a directory (kind), or a file of the model (an agent's, or session.yaml). */
struct place {
	uint64_t ino;
	enum place_kind kind;    /**< PLACE_NONE: it is a file */
	struct session *session; /**< NULL: of no session */
	struct agent *agent;
	const struct version *loaded; /**< files: the version whose text is in force */
	UT_hash_handle hh;
};

#define AGENT_BITS 65536
static inline uint32_t agent_bit(uint64_t ino)
{
	return (uint32_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 48); /* 16 bits: AGENT_BITS */
}

/** Agents of one id. */
struct agent_id {
	char id[ACTOR_ID_BYTES];
	struct agent *first;
	UT_hash_handle hh;
};

struct registry_agent {
	struct agent a;
	struct agent_id *of_id;
	uint32_t counted_pid; /**< pid as counted in registry.pid_count; 0: none */
};

struct registry_session {
	struct session s;
	struct registry *registry;
	bool stale;          /**< session.yaml may not say what the daemon knows: look at the next upkeep */
	bool incomplete;     /**< session.yaml lacks fields that upkeep gives their defaults */
	uint64_t owned_hash; /**< of the daemon's lists, as session.yaml has them */
	UT_hash_handle hh;
};

struct registry {
	struct place *places;
	struct registry_session *sessions;
	struct session *first, *last;
	struct agent_id *agent_ids;
	uint32_t (*number_meant)(uint32_t writer, uint32_t number); /**< registry_set_numbers(); NULL: as it is */
	bool scanning;                                              /**< at the start: nothing is new, and every name is looked at once */
	uint64_t pid_count, pid_changes;                            /**< atomic: read without the lock */
	/** atomic: a bit is set for each file that is or was an agent's; read without the lock. For an agent_bit() a word and a bit of it */
	uint64_t agent_bits[AGENT_BITS / 64];
};

static inline struct registry_session *session_entry(struct session *s)
{
	return (struct registry_session *)s;
}

static inline struct registry_agent *agent_entry(struct agent *a)
{
	return (struct registry_agent *)a;
}

/* ---- registry.c ---- */
/** New ones are linked in, with defaults for fields. NULL: no memory. */
struct session *session_new(struct registry *r, const char *id, uint64_t dir_ino);
/** With all that is in it. */
void session_free(struct registry *r, struct session *s);
struct agent *agent_new(struct registry *r, struct session *s, const char *id, uint64_t ino);
void agent_free(struct registry *r, struct agent *a);
/** The pid its file names counts while the file is there. */
void agent_pid_update(struct registry *r, struct agent *a);
struct checkpoint *checkpoint_new(struct session *s, const char *id, uint64_t dir_ino, uint64_t seq, int64_t time_ns);
void checkpoint_free(struct session *s, struct checkpoint *c);
/** Digest of what the daemon knows for session.yaml's lists: active_agents, last_checkpoint, recovery_points. */
uint64_t session_owned_hash(const struct session *s);
/** The same of lists as a document has them; NULL: a document without. */
uint64_t session_owned_hash_of_doc(const struct doc *doc);
/** What the daemon knows may differ from session.yaml now: upkeep looks, if it does. */
void session_check_owned(struct engine *e, struct session *s);

/* ---- registry_places.c ---- */
struct place *place_find(struct registry *r, uint64_t ino);
void place_drop(struct registry *r, uint64_t ino);
/** The place of the agent's file, unless the file has become another agent's (it was renamed). */
void place_drop_agent(struct registry *r, const struct agent *a);
/** Drop all of a session. */
void place_drop_session(struct registry *r, const struct session *s);
/** The name in that directory (@p) came, went or now stands for something else: look what there is. @ino: what it stood for, if known. */
void place_look(struct engine *e, const struct place *p, const char *name, size_t len, uint64_t ino);
/** The place a change happens in, or the model's file it is about; NULL: nowhere that matters. */
struct place *place_of_change(struct engine *e, const struct change *c);
/** Everything there is, at the start. 0 or -ENOMEM. */
int places_scan(struct engine *e);

#endif
