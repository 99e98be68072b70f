/* SPDX-License-Identifier: MIT
 *
 * L6. What a starter writes into a barrier's directory (barrier.h): `participants`, ids, and `timeout`, seconds. Pure functions; the rules (rule_list.h)
 * refuse what these cannot read, so that nobody is forgotten because of a slip of the pen.
 */
#ifndef MILESTONEFS_BARRIER_TEXT_H
#define MILESTONEFS_BARRIER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** More participants than these are refused. */
#define BARRIER_MEMBERS_MAX 4096
#define BARRIER_TIMEOUT_MAX_S 31536000

/**
 * The next word of a `participants` file at or after *@at, which is moved behind it; false: there is none. Words are separated by blanks, newlines,
 * commas, brackets and quotes; a `-` alone is none; `#` begins a comment; so plain, comma-separated and YAML lists are read alike. A word need not be an id.
 */
bool barrier_next_word(const char *text, size_t len, size_t *at, const char **ret, size_t *ret_len);
/** The seconds of a `timeout` file; 0: it holds no whole number of 1 … BARRIER_TIMEOUT_MAX_S. */
uint64_t barrier_parse_timeout(const char *text, size_t len);

#endif
