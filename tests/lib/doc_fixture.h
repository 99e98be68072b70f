/* SPDX-License-Identifier: MIT
 *
 * What tests of both languages ask of doc.h (cmocka).
 */
#ifndef MILESTONEFS_TEST_DOC_FIXTURE_H
#define MILESTONEFS_TEST_DOC_FIXTURE_H

#include "doc.h"

/** A literal and its length, NULs in it included. */
#define BYTES(literal) (literal), sizeof(literal) - 1

enum doc_fixture_language { DOC_FIXTURE_JSON, DOC_FIXTURE_YAML };

/** The verdict on a text: 0 or -EBADMSG. Check and parser agree on it, on the place and on the sentence. */
int doc_fixture_check(enum doc_fixture_language language, const char *text, size_t len, struct reason *reason);
/** The root of a text that is well-formed. */
const struct doc_node *doc_fixture_parse(enum doc_fixture_language language, const char *text, size_t len, struct doc **ret_doc);
void doc_fixture_expect_place(const struct doc_node *node, uint32_t line, uint32_t column);

#endif
