/* SPDX-License-Identifier: MIT
 *
 * transactions/committed/ID.yaml, rollbacks/ID.yaml and rollbacks/ID.draft: what the journal's records say, in the fields of the state model and
 * more. Records never change, so neither do these texts.
 *
 * Directories list the newest LISTED_MAX; any other name is found when looked up. A record lost to damage has no file.
 */
#include "vfile_transactions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vfile_rows.h"

#define LISTED_MAX 1000
#define EVENTS_SHOWN_MAX 1000u
/* A version whose checksum nobody has asked for yet is read for its record up to this size. */
#define BACKUP_HASHED_MAX (1u << 20)

/* ---- ids ---- */

void tx_id_format(int64_t time_ns, uint64_t seq, char out[TX_ID_BYTES])
{
	char stamp[TIME_TEXT_BYTES];

	time_format_stamp(time_ns, stamp);
	(void)snprintf(out, TX_ID_BYTES, "tx-%s-%010" PRIu64, stamp, seq);
}

void tx_draft_id_format(int64_t time_ns, uint64_t draft_id, char out[TX_ID_BYTES])
{
	char stamp[TIME_TEXT_BYTES];

	time_format_stamp(time_ns, stamp);
	(void)snprintf(out, TX_ID_BYTES, "tx-%s-d%" PRIu64, stamp, draft_id);
}

uint64_t tx_name_number(const char *name, const char *suffix, bool draft)
{
	size_t len = strlen(name), suffix_len = strlen(suffix), digits;
	char number[24];
	const char *dash;
	uint64_t n;

	if (len <= suffix_len || len >= TX_ID_BYTES + suffix_len || strcmp(name + len - suffix_len, suffix) || strncmp(name, "tx-", 3))
		return 0;
	dash = memrchr(name, '-', len - suffix_len);
	if (draft ? dash[1] != 'd' : dash[1] == 'd')
		return 0;
	dash += draft;
	dash += 1;
	dash += !draft ? strspn(dash, "0") : 0;
	digits = (size_t)(name + len - suffix_len - dash);
	if (digits >= sizeof(number))
		return 0;
	memcpy(number, dash, digits);
	number[digits] = '\0';
	return parse_u64(number, &n) ? 0 : n;
}

/* The sequence number a name stands for, if there is such a record of that kind; else 0. */
static uint64_t seq_of_name(struct fs *fs, const char *name, const char *suffix, bool rollback)
{
	uint64_t seq = tx_name_number(name, suffix, false), newest = 0;
	char id[TX_ID_BYTES];
	bool found;

	if (!seq || seq > engine_shown_seq(fs->engine))
		return 0;
	engine_lock(fs->engine);
	found = engine_list_transactions(fs->engine, rollback, seq + 1, &newest, 1) && newest == seq;
	tx_id_format(engine_seq_time(fs->engine, seq), seq, id);
	engine_unlock(fs->engine);
	return found && !strncmp(name, id, strlen(id)) && !strcmp(name + strlen(id), suffix) ? seq : 0;
}

bool committed_exists(struct fs *fs, const struct vnode *v)
{
	return seq_of_name(fs, v->params[0], ".yaml", false);
}

bool rollback_exists(struct fs *fs, const struct vnode *v)
{
	return seq_of_name(fs, v->params[0], ".yaml", true);
}

bool rollback_draft_exists(struct fs *fs, const struct vnode *v)
{
	return seq_of_name(fs, v->params[0], ".draft", true);
}

static int list(struct fs *fs, bool rollbacks, const char *suffix, vfile_each_fn each, void *arg)
{
	cleanup_free uint64_t *seqs = malloc(LISTED_MAX * sizeof(*seqs));
	cleanup_free int64_t *times = malloc(LISTED_MAX * sizeof(*times));
	size_t count;
	int r = 0;

	if (!seqs || !times)
		return -ENOMEM;
	engine_lock(fs->engine);
	count = engine_list_transactions(fs->engine, rollbacks, 0, seqs, LISTED_MAX);
	for (size_t i = 0; i < count; i++)
		times[i] = engine_seq_time(fs->engine, seqs[i]);
	engine_unlock(fs->engine);
	for (size_t i = count; i-- && !r;) {
		char name[TX_ID_BYTES + 8];

		tx_id_format(times[i], seqs[i], name);
		strcat(name, suffix);
		r = each(arg, name);
	}
	return r;
}

int committed_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg)
{
	(void)directory;
	return list(fs, false, ".yaml", each, arg);
}

int rollback_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg)
{
	(void)directory;
	return list(fs, true, ".yaml", each, arg);
}

int rollback_draft_list(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg)
{
	(void)directory;
	return list(fs, true, ".draft", each, arg);
}

int64_t transaction_time(struct fs *fs, const struct vnode *v)
{
	const char *dot = strrchr(v->params[0], '.');
	uint64_t seq = dot ? tx_name_number(v->params[0], dot, false) : 0;
	int64_t time_ns = fs->started_ns;

	engine_lock(fs->engine);
	if (seq && seq <= engine_shown_seq(fs->engine))
		time_ns = engine_seq_time(fs->engine, seq);
	engine_unlock(fs->engine);
	return time_ns;
}

/* ---- text ---- */

void tx_put_text(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "  %s: ", key);
	if (value && *value)
		buf_put_yaml_string(out, value, strlen(value));
	else
		buf_append_str(out, "null");
	buf_append_str(out, "\n");
}

void tx_put_time(struct buf *out, const char *key, int64_t time_ns)
{
	char text[TIME_TEXT_BYTES];

	time_format(time_ns, text);
	tx_put_text(out, key, text);
}

static void put_sha(struct buf *out, const char *indent, const char *key, const struct sha256 *sha)
{
	char hex[SHA256_HEX_BYTES];

	if (!sha) {
		buf_printf(out, "%s%s: null\n", indent, key);
		return;
	}
	sha256_hex(sha, hex);
	buf_printf(out, "%s%s: \"%s\"\n", indent, key, hex);
}

void tx_put_actor(struct buf *out, const struct actor *a)
{
	buf_append_str(out, "actor:\n");
	tx_put_text(out, "agent", a->agent);
	tx_put_text(out, "session", a->session);
	buf_printf(out, "  pid: %u\n  uid: %u\n  gid: %u\n", a->pid, a->uid, a->gid);
	tx_put_text(out, "comm", a->comm);
}

void tx_put_backup(struct buf *out, const char *path, bool created, const struct sha256 *sha)
{
	buf_append_str(out, "backup:\n");
	tx_put_text(out, "original_file", path);
	buf_printf(out, "  backup_created: %s\n", created ? "true" : "false");
	put_sha(out, "  ", "backup_checksum", created ? sha : NULL);
}

/* The checksum of the version a transaction replaced; -ENOENT when it is no file or too large to be read for this. */
static int base_sha(struct fs *fs, const struct record *r, struct sha256 *ret)
{
	const struct version *v = NULL;
	struct node *node;

	if (!sha256_is_zero(&r->base_sha)) {
		*ret = r->base_sha;
		return 0;
	}
	engine_lock(fs->engine);
	node = r->base_seq ? tree_resolve(engine_tree(fs->engine), r->path, r->seq - 1) : NULL;
	v = node ? tree_version_at(node, r->seq - 1) : NULL;
	v = v && S_ISREG(v->attrs->mode) ? v : NULL;
	engine_unlock(fs->engine);
	if (!v || v->size > BACKUP_HASHED_MAX)
		return -ENOENT;
	return engine_content_sha(fs->engine, node, v, ret);
}

static void put_transaction(struct buf *out, const struct record *r, enum operation operation)
{
	char id[TX_ID_BYTES];

	tx_id_format(r->time_ns, r->seq, id);
	buf_append_str(out, "transaction:\n");
	tx_put_text(out, "id", id);
	tx_put_text(out, "operation", operation_name(operation));
	tx_put_text(out, "target_file", r->path);
	tx_put_text(out, "status", r->rollback ? "rolled_back" : "committed");
	tx_put_time(out, "started_at", r->started_ns);
	tx_put_time(out, r->rollback ? "rolled_back_at" : "committed_at", r->time_ns);
	if (r->rollback)
		tx_put_text(out, "reason", r->rollback->text);
	buf_printf(out, "  sequence_number: %" PRIu64 "\n", r->seq);
}

static void put_item(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "    %s: ", key);
	buf_put_yaml_string(out, value, strlen(value));
	buf_append_str(out, "\n");
}

/* What it did, one item an event. */
static void put_events(struct buf *out, const struct record *r)
{
	buf_append_str(out, r->event_count ? "events:\n" : "events: []\n");
	for (uint32_t i = 0; i < MIN(r->event_count, EVENTS_SHOWN_MAX); i++) {
		const struct event *e = &r->events[i];
		const char *type = e->type == EVENT_CUSTOM && *e->custom_type ? e->custom_type : event_type_name(e->type);
		char id[48];

		event_id_format(r->seq, i, id);
		buf_printf(out, "  - event_id: \"%s\"\n", id);
		put_item(out, "event_type", type ? type : "unknown");
		if (*e->path)
			put_item(out, "path", e->path);
		if (*e->new_path)
			put_item(out, "new_path", e->new_path);
		if (e->flags & EVENT_HAS_OLD_SHA)
			put_sha(out, "    ", "old_sha256", &e->old_sha);
		if (e->flags & EVENT_HAS_NEW_SHA)
			put_sha(out, "    ", "new_sha256", &e->new_sha);
		if (e->flags & EVENT_HAS_SIZE)
			buf_printf(out, "    size: %" PRIu64 "\n", e->size);
	}
	if (r->event_count > EVENTS_SHOWN_MAX)
		buf_printf(out, "events_not_shown: %u\n", r->event_count - EVENTS_SHOWN_MAX);
}

static void put_refusal(struct buf *out, const struct record *r)
{
	const struct record_rollback *b = r->rollback;
	const char *error = b->error ? strerrorname_np(b->error < 0 ? -b->error : b->error) : NULL;
	char id[TX_ID_BYTES + 8];

	buf_append_str(out, "refusal:\n");
	tx_put_text(out, "rule", b->rule);
	if (b->line)
		buf_printf(out, "  line: %u\n  column: %u\n", b->line, b->column);
	else
		buf_append_str(out, "  line: null\n  column: null\n");
	tx_put_text(out, "message", b->text);
	tx_put_text(out, "error", error);
	tx_id_format(r->time_ns, r->seq, id);
	strcat(id, ".draft");
	tx_put_text(out, "draft_file", id);
	buf_printf(out, "  draft_size: %" PRIu64 "\n", b->draft_size);
}

static int render(struct fs *fs, uint64_t seq, struct buf *out)
{
	struct sha256 sha;
	struct record *r;
	int error = seq ? engine_load_record(fs->engine, seq, &r) : -ENOENT;

	if (error)
		return error;
	put_transaction(out, r, r->rollback ? r->rollback->wanted : r->operation);
	tx_put_backup(out, r->path, r->base_seq != 0, base_sha(fs, r, &sha) ? NULL : &sha);
	tx_put_actor(out, &r->actor);
	if (r->rollback)
		put_refusal(out, r);
	put_events(out, r);
	record_free(r);
	return 0;
}

int committed_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	return render(fs, seq_of_name(fs, v->params[0], ".yaml", false), out);
}

int rollback_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	return render(fs, seq_of_name(fs, v->params[0], ".yaml", true), out);
}

/* ---- the bytes that were refused ---- */

int rollback_draft_size(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes)
{
	uint64_t seq = seq_of_name(fs, v->params[0], ".draft", true);
	struct record *r;
	int error = seq ? engine_load_record(fs->engine, seq, &r) : -ENOENT;

	if (error)
		return error;
	*ret_bytes = r->rollback ? r->rollback->draft_size : 0;
	record_free(r);
	return 0;
}

int rollback_draft_range(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out)
{
	uint64_t seq = seq_of_name(fs, v->params[0], ".draft", true);
	struct record *r;
	ssize_t got;
	int error = seq ? engine_load_record(fs->engine, seq, &r) : -ENOENT;

	if (error)
		return error;
	got = buf_reserve(out, len) ? -ENOMEM : engine_read_rollback(fs->engine, r, offset, out->data + out->len, len);
	record_free(r);
	if (got < 0)
		return (int)got;
	out->len += (size_t)got;
	return 0;
}
