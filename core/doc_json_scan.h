/* SPDX-License-Identifier: MIT
 *
 * Private to core/doc_json.c: a strict scanner of RFC 8259 texts. It decides
 * what is JSON; cJSON, which is more lenient, only makes values of what passed.
 */
#ifndef MILESTONEFS_DOC_JSON_SCAN_H
#define MILESTONEFS_DOC_JSON_SCAN_H

#include <stddef.h>

/** cJSON reads numbers of up to this many characters. */
#define JSON_NUMBER_CHARS_MAX 62

/**
 * Where the values and keys of a text are, in document order. `patched` is a
 * copy of the text, of the same length and with everything at the same offset, in which the
 * scanner replaces what cJSON cannot represent: "\u0000" and lone surrogates become
 * "\ufffd", overlong numbers become 0 and blanks.
 */
struct json_places {
	size_t *offsets; /**< owned by the caller: free() */
	size_t count;
	size_t cap;
	size_t count_max; /**< more is refused */
	char *patched;    /**< owned by the caller */
};

/** What was wrong, and at which offset from the start of the scanned text. */
struct json_error {
	size_t offset;
	char text[160];
};

/**
 * Is [@text, @text+@len) exactly one JSON value between optional white space?
 * Memory O(DOC_DEPTH_MAX / 8) unless @places (NULL allowed) collects.
 * Returns 0; -EBADMSG with *@error filled; -ENOMEM.
 */
int json_scan(const char *text, size_t len, struct json_places *places, struct json_error *error);

#endif
