/* SPDX-License-Identifier: MIT
 *
 * Random YAML as people and tools write it: block and flow, all kinds of scalars, comments, blank lines, quoting, anchors and
 * aliases, tags, odd indentation, markers, CRLF.
 */
#ifndef MILESTONEFS_TEST_YAML_GEN_H
#define MILESTONEFS_TEST_YAML_GEN_H

#include <stdbool.h>

#include "buf.h"
#include "rng.h"

/** The names of all plain members, so that paths made of these often hit. */
#define YAML_GEN_NAMES 8
extern const char *const yaml_gen_names[YAML_GEN_NAMES];

struct yaml_gen_options {
	bool aliases;   /**< anchors, aliases, merge keys */
	bool crlf, bom; /**< all line ends; a mark first */
};

/** Append a text. Each comment in it is "#N." with a number of its own. Nearly always well-formed, not always. */
void yaml_gen(struct rng *rng, struct yaml_gen_options options, struct buf *out);

#endif
