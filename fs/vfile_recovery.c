/* SPDX-License-Identifier: MIT
 *
 * Checkpoints and restores of a session, for those who show them (vfile_restore.c, vfile_report.c, vfile_resume.c). The registry knows which
 * checkpoints there are, their own files why they were taken; the journal knows the restores, by their records. What was read is kept in two
 * tables of fixed size, where a later one takes the place of an earlier.
 *
 * Whether a restore was found whole afterwards is no part of history: it is known as long as the mount lasts, of the newest.
 */
#include "vfile_recovery.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"
#include "registry.h"

#define TEXT_BYTES_MAX (4u << 20)
#define CACHED_TEXTS 4096
#define CACHED_RESTORES 1024
#define RESTORES_LOOKED_AT 1000
#define VALIDATIONS_MAX 256

/* ---- what was read once ---- */

struct cached_text {
	uint64_t dir_ino; /* 0: free */
	struct recovery_text text;
};

struct validation {
	uint64_t seq; /* of the restore; 0: none */
	char text[RECOVERY_VALIDATION_BYTES];
};

struct recovery_cache {
	pthread_mutex_t lock;
	struct cached_text texts[CACHED_TEXTS];             /* lock; by inode number */
	struct recovery_restore *restores[CACHED_RESTORES]; /* lock; by sequence number */
	struct validation validations[VALIDATIONS_MAX];     /* lock; the newest, in a ring */
	size_t validation_next;                             /* lock */
};

struct recovery_cache *recovery_cache_new(void)
{
	struct recovery_cache *c = calloc(1, sizeof(*c));

	if (c)
		pthread_mutex_init(&c->lock, NULL);
	return c;
}

void recovery_cache_free(struct recovery_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CACHED_TEXTS; i++)
		recovery_text_release(&c->texts[i].text);
	for (size_t i = 0; i < CACHED_RESTORES; i++)
		free(c->restores[i]);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* ---- checkpoints ---- */

void recovery_text_release(struct recovery_text *t)
{
	free(t->reason);
	free(t->branch);
	*t = (struct recovery_text){0};
}

static int text_copy(const struct recovery_text *from, struct recovery_text *ret)
{
	struct recovery_text t = {strdup(from->reason), strdup(from->branch)};

	if (!t.reason || !t.branch) {
		recovery_text_release(&t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

int recovery_points_take(struct fs *fs, const char *session, size_t max, struct recovery_point **ret, size_t *ret_count)
{
	struct recovery_point *points = NULL;
	const struct session *s;
	size_t count = 0;

	engine_lock(fs->engine);
	s = registry_session(fs->engine, session);
	if (s)
		points = malloc((MIN(max, s->checkpoint_count) + 1) * sizeof(*points));
	for (const struct checkpoint *c = points ? s->newest_checkpoint : NULL; c && count < MIN(max, s->checkpoint_count); c = c->older) {
		points[count] = (struct recovery_point){.dir_ino = c->dir_ino, .time_ns = c->time_ns};
		memcpy(points[count++].id, c->id, sizeof(c->id));
	}
	engine_unlock(fs->engine);
	if (!points)
		return s ? -ENOMEM : -ENOENT;
	*ret = points;
	*ret_count = count;
	return 0;
}

/* The file's text, as it is now. */
static int file_read(struct fs *fs, uint64_t dir_ino, struct buf *out)
{
	struct tree *tree = engine_tree(fs->engine);
	struct version_extents scratch = {0};
	const struct version *v = NULL;
	struct dentry *d = NULL;
	struct node *dir;
	ssize_t n = -ENOENT;

	engine_lock(fs->engine);
	dir = tree_node(tree, dir_ino);
	if (dir)
		d = tree_lookup(tree, dir, "checkpoint.yaml", strlen("checkpoint.yaml"), engine_live_seq(fs->engine));
	if (d)
		v = tree_version_at(d->node, engine_live_seq(fs->engine));
	engine_unlock(fs->engine);
	if (v && v->size <= TEXT_BYTES_MAX) {
		n = buf_reserve(out, (size_t)v->size);
		if (!n && v->size)
			n = engine_read(fs->engine, v, &scratch, 0, out->data, (size_t)v->size);
	}
	extent_map_release(&scratch.map);
	if (n >= 0)
		out->len = (size_t)n;
	return n < 0 ? (int)n : 0;
}

static char *field(const struct doc *doc, const char *path)
{
	const struct doc_node *n = doc ? doc_get_path(doc_root(doc), path) : NULL;

	return strdup(n && n->text ? n->text : "");
}

static int text_read(struct fs *fs, uint64_t dir_ino, struct recovery_text *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct recovery_text t;
	struct doc *doc = NULL;
	int r = file_read(fs, dir_ino, &text);

	if (!r)
		r = doc_parse_yaml(text.data ? text.data : "", text.len, NULL, &doc);
	if (r == -ENOMEM)
		return r;
	t = (struct recovery_text){field(doc, "checkpoint.reason"), field(doc, "context.git_branch")};
	if (!r)
		doc_free(doc);
	if (!t.reason || !t.branch) {
		recovery_text_release(&t);
		return -ENOMEM;
	}
	*ret = t;
	return r ? 1 : 0; /* 1: not as it should be, and not to be remembered */
}

int recovery_text_get(struct fs *fs, uint64_t dir_ino, struct recovery_text *ret)
{
	struct cached_text *slot = &fs->recovery->texts[dir_ino % CACHED_TEXTS];
	struct recovery_text copy;
	int r;

	pthread_mutex_lock(&fs->recovery->lock);
	r = slot->dir_ino == dir_ino ? text_copy(&slot->text, ret) : 1;
	pthread_mutex_unlock(&fs->recovery->lock);
	if (r <= 0)
		return r;
	r = text_read(fs, dir_ino, ret);
	if (r)
		return MIN(r, 0);
	if (text_copy(ret, &copy))
		return 0;
	pthread_mutex_lock(&fs->recovery->lock);
	recovery_text_release(&slot->text);
	*slot = (struct cached_text){dir_ino, copy};
	pthread_mutex_unlock(&fs->recovery->lock);
	return 0;
}

/* ---- restores that were made ---- */

static void copy_id(const struct doc_node *data, const char *key, char out[ACTOR_ID_BYTES])
{
	const struct doc_node *n = doc_get(data, key);

	if (n && n->text && n->text_len < ACTOR_ID_BYTES)
		memcpy(out, n->text, n->text_len + 1);
}

static uint64_t number(const struct doc_node *data, const char *key)
{
	const struct doc_node *n = doc_get(data, key);
	uint64_t value = 0;

	if (n && n->text)
		(void)parse_u64(n->text, &value); /* else 0 */
	return value;
}

/* What the event of a restore says of it. */
static void restore_describe(const struct record *r, const struct event *e, struct recovery_restore *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	const struct doc_node *data;
	struct doc *doc;

	*ret = (struct recovery_restore){.seq = r->seq, .time_ns = r->time_ns, .uid = r->actor.uid};
	memcpy(ret->agent, r->actor.agent, sizeof(ret->agent));
	if (strlen(e->session) < sizeof(ret->session))
		memcpy(ret->session, e->session, strlen(e->session) + 1);
	buf_printf(&text, "{%s}", e->more);
	if (text.error || doc_parse_json(text.data, text.len, NULL, &doc))
		return;
	data = doc_root(doc);
	copy_id(data, "checkpoint_id", ret->checkpoint);
	copy_id(data, "pre_recovery", ret->pre_recovery);
	ret->files_restored = number(data, "files_restored");
	ret->files_removed = number(data, "files_removed");
	doc_free(doc);
}

static int restore_read(struct fs *fs, uint64_t seq, struct recovery_restore *ret)
{
	struct record *record;
	bool found = false;
	int r = engine_load_record(fs->engine, seq, &record);

	if (r)
		return r;
	for (uint32_t i = 0; i < record->event_count && !found; i++) {
		found = record->events[i].type == EVENT_SESSION_RECOVERED;
		if (found)
			restore_describe(record, &record->events[i], ret);
	}
	record_free(record);
	return found ? 0 : -ENOENT;
}

static int restore_get(struct fs *fs, uint64_t seq, struct recovery_restore *ret)
{
	struct recovery_restore **slot = &fs->recovery->restores[seq % CACHED_RESTORES], *copy;
	bool found;
	int r;

	pthread_mutex_lock(&fs->recovery->lock);
	found = *slot && (*slot)->seq == seq;
	if (found)
		*ret = **slot;
	pthread_mutex_unlock(&fs->recovery->lock);
	if (found)
		return 0;
	r = restore_read(fs, seq, ret);
	copy = r ? NULL : malloc(sizeof(*copy));
	if (!copy)
		return r;
	*copy = *ret;
	pthread_mutex_lock(&fs->recovery->lock);
	free(*slot);
	*slot = copy;
	pthread_mutex_unlock(&fs->recovery->lock);
	return 0;
}

static void validation_get(struct fs *fs, uint64_t seq, char out[RECOVERY_VALIDATION_BYTES])
{
	*out = '\0';
	pthread_mutex_lock(&fs->recovery->lock);
	for (size_t i = 0; i < VALIDATIONS_MAX; i++)
		if (fs->recovery->validations[i].seq == seq)
			memcpy(out, fs->recovery->validations[i].text, RECOVERY_VALIDATION_BYTES);
	pthread_mutex_unlock(&fs->recovery->lock);
}

size_t recovery_restores_take(struct fs *fs, const char *session, struct recovery_restore out[RECOVERY_RESTORES_MAX])
{
	uint64_t seqs[RESTORES_LOOKED_AT];
	size_t found, count = 0;

	engine_lock(fs->engine);
	found = engine_list_restores(fs->engine, 0, seqs, ARRAY_SIZE(seqs));
	engine_unlock(fs->engine);
	for (size_t i = 0; i < found && count < RECOVERY_RESTORES_MAX; i++)
		if (!restore_get(fs, seqs[i], &out[count]) && !strcmp(out[count].session, session))
			validation_get(fs, seqs[i], out[count++].validation);
	return count;
}

void recovery_validation_note(struct fs *fs, uint64_t seq, const char *text)
{
	struct recovery_cache *c = fs->recovery;
	struct validation *v;

	pthread_mutex_lock(&c->lock);
	v = &c->validations[c->validation_next++ % VALIDATIONS_MAX];
	v->seq = seq;
	(void)snprintf(v->text, sizeof(v->text), "%.*s", RECOVERY_VALIDATION_BYTES - 1, text);
	pthread_mutex_unlock(&c->lock);
}

/* ---- plain text ---- */

/* C0, DEL, C1, and what turns the direction of writing. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void recovery_put_plain(struct buf *out, const char *text, size_t len, size_t max)
{
	size_t begin = out->len;

	while (len) {
		uint32_t c;
		int n = utf8_decode(text, len, &c);
		size_t step = (size_t)(n < 0 ? -n : n);

		if (out->len - begin + step > max) {
			buf_append_str(out, "…");
			return;
		}
		if (n < 0)
			buf_append_str(out, "\xef\xbf\xbd");
		else if (is_control(c))
			buf_put_u8(out, '?');
		else
			buf_append(out, text, step);
		text += step;
		len -= step;
	}
}
