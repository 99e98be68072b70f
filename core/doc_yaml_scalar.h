/* SPDX-License-Identifier: MIT
 *
 * Private to core/doc_yaml.c: what a plain scalar means by the core schema of
 * YAML 1.2 (chapter 10.3.2). So yes, no, on and off are strings.
 */
#ifndef MILESTONEFS_DOC_YAML_SCALAR_H
#define MILESTONEFS_DOC_YAML_SCALAR_H

#include "doc.h"

/**
 * Set type, boolean and number of @node from its text (NUL-terminated) and
 * its explicit tag (NULL: none). A tag outside the core schema means a string.
 */
void yaml_scalar_resolve(struct doc_node *node, const char *tag);

#endif
