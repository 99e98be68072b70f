/* SPDX-License-Identifier: MIT
 *
 * XXH3-64 by libxxhash and SHA-256 by OpenSSL's EVP interface.
 *
 * EVP_MD_fetch() walks providers and takes locks, so the algorithm is fetched
 * once for the process; making a context allocates, so each thread keeps one
 * for one-shot digests, freed when the thread ends. Once a thread has its
 * context, digests allocate nothing and cannot fail.
 *
 * A digest that cannot be computed (no memory for the very first context, or a
 * libcrypto without SHA-256) stops the program: a wrong digest in the journal
 * would be worse than a daemon that is restarted and recovers.
 */
#include "checksum.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct sha256_state {
	EVP_MD_CTX *ctx;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256_md;         /* written once, under `once` */
static pthread_key_t scratch_key; /* frees `scratch` when its thread ends */
static _Thread_local EVP_MD_CTX *scratch;

uint64_t checksum_xxh3(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

static void scratch_free(void *ctx)
{
	EVP_MD_CTX_free(ctx);
	scratch = NULL;
}

static void setup(void)
{
	sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!sha256_md || pthread_key_create(&scratch_key, scratch_free))
		abort();
}

static EVP_MD_CTX *scratch_get(void)
{
	if (!scratch) {
		pthread_once(&once, setup);
		scratch = EVP_MD_CTX_new();
		if (!scratch || pthread_setspecific(scratch_key, scratch))
			abort();
	}
	return scratch;
}

static void digest_init(EVP_MD_CTX *ctx)
{
	if (!EVP_DigestInit_ex2(ctx, sha256_md, NULL))
		abort();
}

static void digest_update(EVP_MD_CTX *ctx, const void *data, size_t len)
{
	if (len && !EVP_DigestUpdate(ctx, data, len))
		abort();
}

static void digest_final(EVP_MD_CTX *ctx, struct sha256 *ret)
{
	if (!EVP_DigestFinal_ex(ctx, ret->bytes, NULL))
		abort();
}

struct sha256_state *sha256_new(void)
{
	struct sha256_state *s = malloc(sizeof(*s));

	if (!s)
		return NULL;
	(void)scratch_get(); /* fetches the algorithm; sha256_peek() needs the context anyway */
	s->ctx = EVP_MD_CTX_new();
	if (!s->ctx || !EVP_DigestInit_ex2(s->ctx, sha256_md, NULL)) {
		sha256_free(s);
		return NULL;
	}
	return s;
}

void sha256_update(struct sha256_state *s, const void *data, size_t len)
{
	digest_update(s->ctx, data, len);
}

void sha256_peek(const struct sha256_state *s, struct sha256 *ret)
{
	EVP_MD_CTX *ctx = scratch_get();

	if (!EVP_MD_CTX_copy_ex(ctx, s->ctx))
		abort();
	digest_final(ctx, ret);
}

void sha256_free(struct sha256_state *s)
{
	if (!s)
		return;
	EVP_MD_CTX_free(s->ctx);
	free(s);
}

void sha256_of(const void *data, size_t len, struct sha256 *ret)
{
	sha256_of2(data, len, NULL, 0, ret);
}

void sha256_of2(const void *a, size_t a_len, const void *b, size_t b_len, struct sha256 *ret)
{
	EVP_MD_CTX *ctx = scratch_get();

	digest_init(ctx);
	digest_update(ctx, a, a_len);
	digest_update(ctx, b, b_len);
	digest_final(ctx, ret);
}

bool sha256_is_zero(const struct sha256 *s)
{
	static const struct sha256 zero;

	return !memcmp(s, &zero, sizeof(zero));
}

void sha256_hex(const struct sha256 *s, char out[SHA256_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA256_BYTES; i++) {
		out[2 * i] = digits[s->bytes[i] >> 4];
		out[2 * i + 1] = digits[s->bytes[i] & 15];
	}
	out[2 * SHA256_BYTES] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int sha256_parse(const char *hex, size_t len, struct sha256 *ret)
{
	struct sha256 parsed;

	if (len != 2 * SHA256_BYTES)
		return -EINVAL;
	for (size_t i = 0; i < SHA256_BYTES; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		parsed.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*ret = parsed;
	return 0;
}
