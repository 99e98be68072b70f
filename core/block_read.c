/* SPDX-License-Identifier: MIT
 *
 * Reading blocks, the stored units extents point to, and not believing them unseen: a block is checked against its checksum the first time
 * it is read, and remembered in a lossy table of positions as checked. A block that fails is -EIO for its readers and a sentence in health.
 *
 * Compressed blocks are kept decompressed for a while (block_cache.c). No lock needed but the table's atomics.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine_internal.h"

static int position_read(struct engine *e, uint64_t position, void *buf, size_t len)
{
	if (position_kind(position) == POSITION_JOURNAL)
		return journal_read(e->journal, position, buf, len);
	return arena_read(e->arena, position, buf, len);
}

static uint64_t *checked_slot(struct engine *e, uint64_t position)
{
	return &e->checked_blocks[position * UINT64_C(0x9E3779B97F4A7C15) >> (64 - CHECKED_BLOCKS_BITS)];
}

static int block_damaged(struct engine *e, const struct extent *x)
{
	const char *where = position_kind(x->position) == POSITION_JOURNAL ? "journal segment" : "content file";
	char text[160];

	snprintf(text, sizeof(text), "%u bytes of content in %s %08x at offset %llu are damaged: reading them gives an I/O error", x->stored_len, where,
		position_file(x->position), (unsigned long long)position_offset(x->position));
	engine_lock(e);
	if (!e->problems.data || !strstr(e->problems.data, text)) {
		engine_problem(e, "%s", text);
		if (e->damaged_block_count < ENGINE_DAMAGED_BLOCKS_MAX)
			e->damaged_blocks[e->damaged_block_count++] = x->position;
	}
	engine_unlock(e);
	return -EIO;
}

/* The stored bytes of a block of the journal, checked; caller frees *@ret_memory, the bytes are at *@ret_stored. */
static int block_load(struct engine *e, const struct extent *x, char **ret_memory, const char **ret_stored)
{
	char *memory = malloc(RECORD_BLOCK_CHECK_BYTES + (size_t)x->stored_len);
	int r;

	if (!memory)
		return -ENOMEM;
	r = position_read(e, x->position - RECORD_BLOCK_CHECK_BYTES, memory, RECORD_BLOCK_CHECK_BYTES + (size_t)x->stored_len);
	if (!r && get_le64(memory) != record_block_check(memory + RECORD_BLOCK_CHECK_BYTES, x->stored_len))
		r = block_damaged(e, x);
	if (r) {
		free(memory);
		return r;
	}
	__atomic_store_n(checked_slot(e, x->position), x->position, __ATOMIC_RELAXED);
	*ret_memory = memory;
	*ret_stored = memory + RECORD_BLOCK_CHECK_BYTES;
	return 0;
}

static int block_read_lz4(struct engine *e, const struct extent *x, size_t skip, void *buf, size_t len)
{
	cleanup_free char *memory = NULL;
	cleanup_free char *raw = NULL;
	const char *stored;
	int r;

	if (block_cache_get(e->blocks, x->position, skip, buf, len))
		return 0;
	raw = malloc(x->raw_len);
	r = raw ? block_load(e, x, &memory, &stored) : -ENOMEM;
	if (!r)
		r = record_block_read(stored, x->stored_len, x->raw_len, raw);
	if (!r && (skip > x->raw_len || len > x->raw_len - skip))
		r = -EIO;
	if (r)
		return r;
	memcpy(buf, raw + skip, len);
	block_cache_put(e->blocks, x->position, raw, x->raw_len);
	return 0;
}

static int block_read_unchecked(struct engine *e, const struct extent *x, size_t skip, void *buf, size_t len)
{
	cleanup_free char *memory = NULL;
	const char *stored;
	int r;

	if (skip > x->stored_len || len > x->stored_len - skip)
		return -EIO;
	if (position_kind(x->position) == POSITION_CONTENT) {
		r = arena_content_verify(e->arena, x->position, x->stored_len);
		if (r)
			return r == -ENOMEM ? r : block_damaged(e, x);
		__atomic_store_n(checked_slot(e, x->position), x->position, __ATOMIC_RELAXED);
		return position_read(e, x->position + skip, buf, len);
	}
	r = block_load(e, x, &memory, &stored);
	if (!r)
		memcpy(buf, stored + skip, len);
	return r;
}

int extent_read(struct engine *e, const struct extent *x, uint64_t skip, void *buf, size_t len)
{
	if (x->position == 0 || x->position == EXTENT_ZERO) {
		memset(buf, 0, len);
		return 0;
	}
	if (x->stored_len < x->raw_len)
		return block_read_lz4(e, x, x->skip + skip, buf, len);
	if (position_kind(x->position) == POSITION_DRAFT || __atomic_load_n(checked_slot(e, x->position), __ATOMIC_RELAXED) == x->position)
		return position_read(e, x->position + x->skip + skip, buf, len);
	return block_read_unchecked(e, x, x->skip + skip, buf, len);
}
