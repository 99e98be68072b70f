/* SPDX-License-Identifier: MIT
 *
 * See record_gen.h.
 */
#include "record_gen.h"

#include <string.h>

#include "cmocka_all.h"
#include "position.h"
#include "util.h"

static void *pool_take(struct record_gen_pool *p, size_t len)
{
	void *at = p->bytes + p->used;

	p->used += ALIGN_UP(len, 8);
	assert_true(p->used <= sizeof(p->bytes));
	memset(at, 0, len);
	return at;
}

static const char *random_text(struct rng *g, struct record_gen_pool *p, size_t max)
{
	size_t len = rng_below(g, max + 1);
	char *text = pool_take(p, len + 1);

	for (size_t i = 0; i < len; i++)
		text[i] = (char)(1 + rng_below(g, 255));
	return text;
}

struct sha256 record_gen_sha(struct rng *g)
{
	struct sha256 s;

	for (size_t i = 0; i < sizeof(s.bytes); i++)
		s.bytes[i] = (uint8_t)rng_next(g);
	return s;
}

static struct extent *random_extents(struct rng *g, struct record_gen_pool *p, struct record_blocks *blocks, uint32_t *ret_count)
{
	uint32_t count = (uint32_t)rng_below(g, 5);
	struct extent *e = pool_take(p, (count + 1) * sizeof(*e));
	char data[3000];

	for (uint32_t i = 0; i < count; i++) {
		e[i].file_offset = rng_below(g, 1u << 30);
		switch (rng_below(g, 3)) {
		case 0: /* a hole, perhaps endless */
			e[i].len = rng_coin(g) ? EXTENT_TO_END - e[i].file_offset : rng_below(g, 1u << 30);
			break;
		case 1: /* elsewhere */
			e[i].position = position_make((enum position_kind)rng_below(g, 3), 1 + (uint32_t)rng_below(g, 100), 77);
			e[i].raw_len = 5000;
			e[i].stored_len = rng_coin(g) ? 5000 : 1;
			e[i].skip = (uint32_t)rng_below(g, 5000);
			e[i].len = 5000 - e[i].skip;
			break;
		default:
			memset(data, rng_coin(g) ? 'x' : (int)rng_below(g, 256), sizeof(data));
			e[i].len = 1 + rng_below(g, sizeof(data));
			assert_int_equal(record_blocks_add(blocks, data, e[i].len, &e[i]), 0);
		}
	}
	*ret_count = count;
	return e;
}

static void random_name(struct rng *g, struct record_gen_pool *p, struct change *c, char first)
{
	size_t len = 1 + rng_below(g, 255);
	char *name = pool_take(p, len); /* not NUL-terminated, as the contract has it */

	memset(name, first, len);
	c->name = name;
	c->name_len = (uint32_t)len;
}

static void random_change(struct rng *g, struct record_gen_pool *p, struct record_blocks *blocks, enum change_type type, struct change *c)
{
	*c = (struct change){.type = type, .ino = rng_next(g)};
	if (type == CHANGE_CREATE || type == CHANGE_LINK || type == CHANGE_UNLINK) {
		c->parent = rng_next(g);
		random_name(g, p, c, 'n');
	}
	if (type == CHANGE_CREATE || type == CHANGE_ATTR) {
		c->mode = (uint32_t)rng_next(g);
		c->uid = (uint32_t)rng_next(g);
		c->gid = (uint32_t)rng_next(g);
		c->attr_mask = (uint32_t)rng_below(g, 64);
		c->atime_ns = (int64_t)rng_next(g);
		c->mtime_ns = (int64_t)rng_next(g);
	}
	if (type == CHANGE_CREATE)
		c->rdev = rng_next(g);
	if (type == CHANGE_XATTR)
		random_name(g, p, c, '/');
	if ((type == CHANGE_XATTR || type == CHANGE_CREATE) && rng_coin(g)) {
		c->value_len = (uint32_t)rng_below(g, 70000);
		c->value = pool_take(p, c->value_len + 1);
	}
	if (type == CHANGE_CONTENT) {
		c->content_flags = (uint32_t)rng_below(g, 4);
		c->size = rng_next(g);
		c->extents = random_extents(g, p, blocks, &c->extent_count);
	}
}

static void random_event(struct rng *g, struct record_gen_pool *p, const struct record *r, struct event *e)
{
	*e = (struct event){.type = (enum event_type)(1 + rng_below(g, 65535)), .flags = (uint32_t)rng_below(g, 8)};
	e->operation = rng_coin(g) ? operation_name(r->operation) : random_text(g, p, 20);
	e->path = rng_coin(g) ? r->path : random_text(g, p, 300);
	e->session = rng_coin(g) ? "s1" : random_text(g, p, 2);
	e->new_path = rng_coin(g) ? "" : random_text(g, p, 300);
	e->more = rng_below(g, 8) ? "" : random_text(g, p, 70000);
	e->custom_type = rng_coin(g) ? "" : random_text(g, p, 30);
	if (e->flags & EVENT_HAS_OLD_SHA)
		e->old_sha = rng_coin(g) ? r->base_sha : record_gen_sha(g);
	if (e->flags & EVENT_HAS_NEW_SHA)
		e->new_sha = record_gen_sha(g);
	if (e->flags & EVENT_HAS_SIZE)
		e->size = rng_next(g);
	e->sequence_number = rng_next(g);
	e->line_bytes = (uint32_t)rng_next(g);
	e->checksum = record_gen_sha(g);
	e->global_checksum = record_gen_sha(g);
}

static void random_actor(struct rng *g, struct actor *a)
{
	memset(a->agent, 'a', rng_below(g, ACTOR_ID_BYTES));
	memset(a->session, 's', rng_below(g, ACTOR_ID_BYTES));
	memset(a->comm, 'c', rng_below(g, ACTOR_COMM_BYTES));
	a->pid = (uint32_t)rng_next(g);
	a->uid = (uint32_t)rng_next(g);
	a->gid = (uint32_t)rng_next(g);
	a->leader_pid = (uint32_t)rng_next(g);
	a->leader_start = rng_next(g);
}

static void random_rollback(struct rng *g, struct record_gen_pool *p, struct record_blocks *blocks, struct record *r)
{
	struct record_rollback *b = pool_take(p, sizeof(*b));

	b->wanted = OPERATION_WRITE;
	b->draft = random_extents(g, p, blocks, &b->draft_extents);
	b->draft_size = rng_next(g);
	b->error = -(int32_t)rng_below(g, 200);
	b->line = (uint32_t)rng_next(g);
	b->column = (uint32_t)rng_next(g);
	b->rule = random_text(g, p, 20);
	b->text = random_text(g, p, 400);
	r->rollback = b;
}

void record_gen_record(struct rng *g, struct record_gen_pool *p, struct record_blocks *blocks, enum operation operation, struct record *r)
{
	static const char *const paths[] = {"", "state/sessions/s1/state/a", "state/sessions/s1", "state/sessions/", "x"};

	p->used = 0;
	*r = (struct record){.operation = operation, .seq = 5};
	r->time_ns = (int64_t)rng_next(g);
	r->started_ns = (int64_t)rng_next(g);
	random_actor(g, &r->actor);
	r->path = rng_below(g, 20) ? paths[rng_below(g, ARRAY_SIZE(paths))] : random_text(g, p, 70000);
	r->draft_id = rng_next(g);
	r->base_seq = rng_next(g);
	if (rng_coin(g))
		r->base_sha = record_gen_sha(g);
	r->change_count = (uint32_t)rng_below(g, 4);
	r->changes = pool_take(p, (r->change_count + 1) * sizeof(*r->changes));
	for (uint32_t i = 0; i < r->change_count; i++)
		random_change(g, p, blocks, (enum change_type)(1 + rng_below(g, 6)), &r->changes[i]);
	r->event_count = (uint32_t)rng_below(g, 4);
	r->events = pool_take(p, (r->event_count + 1) * sizeof(*r->events));
	for (uint32_t i = 0; i < r->event_count; i++)
		random_event(g, p, r, &r->events[i]);
	if (rng_coin(g)) {
		uint64_t *over = pool_take(p, RECORD_DRAFTS_OVER_MAX * sizeof(*over));

		r->drafts_over = over;
		r->drafts_over_count = (uint32_t)rng_below(g, RECORD_DRAFTS_OVER_MAX + 1);
		for (uint32_t i = 0; i < r->drafts_over_count; i++)
			over[i] = rng_next(g);
	}
	if (operation == OPERATION_ROLLBACK)
		random_rollback(g, p, blocks, r);
}

static void same_extents(const struct extent *a, const struct extent *b, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(a[i].file_offset, b[i].file_offset);
		assert_int_equal(a[i].len, b[i].len);
		assert_int_equal(a[i].position, b[i].position);
		assert_int_equal(a[i].raw_len, b[i].raw_len);
		assert_int_equal(a[i].stored_len, b[i].stored_len);
		assert_int_equal(a[i].skip, b[i].skip);
	}
}

static void same_change(const struct change *a, const struct change *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->ino, b->ino);
	assert_int_equal(a->parent, b->parent);
	assert_int_equal(a->name_len, b->name_len);
	if (a->name_len)
		assert_memory_equal(a->name, b->name, a->name_len);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_int_equal(a->rdev, b->rdev);
	assert_int_equal(a->attr_mask, b->attr_mask);
	assert_int_equal(a->atime_ns, b->atime_ns);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_int_equal(!a->value, !b->value);
	assert_int_equal(a->value_len, b->value_len);
	if (a->value_len)
		assert_memory_equal(a->value, b->value, a->value_len);
	assert_int_equal(a->content_flags, b->content_flags);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->extent_count, b->extent_count);
	same_extents(a->extents, b->extents, a->extent_count);
}

static void same_event(const struct event *a, const struct event *b)
{
	assert_int_equal(a->type, b->type);
	assert_string_equal(a->session, b->session);
	assert_string_equal(a->operation, b->operation);
	assert_string_equal(a->path, b->path);
	assert_string_equal(a->new_path, b->new_path);
	assert_string_equal(a->more, b->more);
	assert_string_equal(a->custom_type, b->custom_type);
	assert_int_equal(a->flags, b->flags);
	assert_memory_equal(&a->old_sha, &b->old_sha, sizeof(a->old_sha));
	assert_memory_equal(&a->new_sha, &b->new_sha, sizeof(a->new_sha));
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->sequence_number, b->sequence_number);
	assert_memory_equal(&a->checksum, &b->checksum, sizeof(a->checksum));
	assert_memory_equal(&a->global_checksum, &b->global_checksum, sizeof(a->global_checksum));
	assert_int_equal(a->line_bytes, b->line_bytes);
}

void record_gen_expect_same(const struct record *a, const struct record *b)
{
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->time_ns, b->time_ns);
	assert_int_equal(a->started_ns, b->started_ns);
	assert_int_equal(a->operation, b->operation);
	assert_string_equal(a->actor.agent, b->actor.agent);
	assert_string_equal(a->actor.session, b->actor.session);
	assert_string_equal(a->actor.comm, b->actor.comm);
	assert_int_equal(a->actor.pid, b->actor.pid);
	assert_int_equal(a->actor.uid, b->actor.uid);
	assert_int_equal(a->actor.gid, b->actor.gid);
	assert_int_equal(a->actor.leader_pid, b->actor.leader_pid);
	assert_int_equal(a->actor.leader_start, b->actor.leader_start);
	assert_string_equal(a->path, b->path);
	assert_int_equal(a->draft_id, b->draft_id);
	assert_int_equal(a->base_seq, b->base_seq);
	assert_memory_equal(&a->base_sha, &b->base_sha, sizeof(a->base_sha));
	assert_int_equal(a->change_count, b->change_count);
	for (uint32_t i = 0; i < a->change_count; i++)
		same_change(&a->changes[i], &b->changes[i]);
	assert_int_equal(a->event_count, b->event_count);
	for (uint32_t i = 0; i < a->event_count; i++)
		same_event(&a->events[i], &b->events[i]);
	assert_int_equal(a->drafts_over_count, b->drafts_over_count);
	for (uint32_t i = 0; i < a->drafts_over_count; i++)
		assert_int_equal(a->drafts_over[i], b->drafts_over[i]);
	assert_int_equal(!a->rollback, !b->rollback);
	if (!a->rollback)
		return;
	assert_int_equal(a->rollback->wanted, b->rollback->wanted);
	assert_int_equal(a->rollback->error, b->rollback->error);
	assert_int_equal(a->rollback->line, b->rollback->line);
	assert_int_equal(a->rollback->column, b->rollback->column);
	assert_int_equal(a->rollback->draft_size, b->rollback->draft_size);
	assert_int_equal(a->rollback->draft_extents, b->rollback->draft_extents);
	same_extents(a->rollback->draft, b->rollback->draft, a->rollback->draft_extents);
	assert_string_equal(a->rollback->rule, b->rollback->rule);
	assert_string_equal(a->rollback->text, b->rollback->text);
}

void record_gen_encode(const struct record *r, const struct record_blocks *blocks, struct buf *out, size_t *ret_meta)
{
	size_t bound = record_encoded_bytes_max(r, blocks);

	assert_int_equal(record_encode(r, blocks, out), 0);
	*ret_meta = out->len;
	buf_append(out, blocks->bytes.data, blocks->bytes.len);
	assert_true(out->len <= bound);
}
