/* SPDX-License-Identifier: MIT
 *
 * A YAML document as lines of text, one a leaf, so that two documents can be compared but for some members, independently of
 * how the editor compares them.
 */
#ifndef MILESTONEFS_TEST_YAML_FLAT_H
#define MILESTONEFS_TEST_YAML_FLAT_H

#include "buf.h"
#include "doc.h"

/**
 * Append the document's leaves and collections, aliases written out. Members that one of @skip (dotted paths) names are left out;
 * so are the mappings on the way to them, but not what else these hold. False: longer than @bytes_max.
 */
bool yaml_flat(const struct doc_node *root, const char *const *skip, size_t skip_count, size_t bytes_max, struct buf *out);

#endif
