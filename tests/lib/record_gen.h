/* SPDX-License-Identifier: MIT
 *
 * Random transaction records, and whether two are the same, field by field (cmocka).
 */
#ifndef MILESTONEFS_TEST_RECORD_GEN_H
#define MILESTONEFS_TEST_RECORD_GEN_H

#include "record.h"
#include "rng.h"

/** Memory for one generated record; thrown away as a whole. */
struct record_gen_pool {
	char bytes[1 << 20];
	size_t used;
};

struct sha256 record_gen_sha(struct rng *g);
/** A record that may be encoded; it lives in @p until the next one. */
void record_gen_record(struct rng *g, struct record_gen_pool *p, struct record_blocks *blocks, enum operation operation, struct record *r);
void record_gen_expect_same(const struct record *a, const struct record *b);
/** A whole payload, as the journal would hold it; *@ret_meta: where its block area begins. */
void record_gen_encode(const struct record *r, const struct record_blocks *blocks, struct buf *out, size_t *ret_meta);

#endif
