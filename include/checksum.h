/* SPDX-License-Identifier: MIT
 *
 * L0. The two checksums: XXH3-64 for "is this what was written" (libxxhash)
 * and SHA-256 for "is this what the user wrote" (OpenSSL libcrypto).
 */
#ifndef MILESTONEFS_CHECKSUM_H
#define MILESTONEFS_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** XXH3 64 bit with seed. Source: xxHash, https://xxhash.com, format 0.8. */
uint64_t checksum_xxh3(const void *data, size_t len, uint64_t seed);

#define SHA256_BYTES 32
#define SHA256_HEX_BYTES 65 /* with NUL */

struct sha256 {
	uint8_t bytes[SHA256_BYTES];
};

/** A running SHA-256 (FIPS 180-4). One thread at a time. */
struct sha256_state;
struct sha256_state *sha256_new(void); /* NULL: out of memory */
void sha256_update(struct sha256_state *s, const void *data, size_t len);
/** The digest so far; the state can be updated further. */
void sha256_peek(const struct sha256_state *s, struct sha256 *ret);
void sha256_free(struct sha256_state *s);

/** One shot; never fails; cheap for short inputs (a per-thread context is reused). */
void sha256_of(const void *data, size_t len, struct sha256 *ret);
/** Digest of two pieces one after the other. */
void sha256_of2(const void *a, size_t a_len, const void *b, size_t b_len, struct sha256 *ret);
bool sha256_is_zero(const struct sha256 *s);
/** Lower-case hex with NUL. */
void sha256_hex(const struct sha256 *s, char out[SHA256_HEX_BYTES]);
/** Parse 64 hex digits. 0 or -EINVAL. */
int sha256_parse(const char *hex, size_t len, struct sha256 *ret);

#endif
