/* SPDX-License-Identifier: MIT
 *
 * checksum: published test vectors, running against one-shot, several threads.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "checksum.h"
#include "rng.h"
#include "util.h"

static void check_sha256(const char *text, const char *expected)
{
	struct sha256 digest;
	char hex[SHA256_HEX_BYTES];

	sha256_of(text, strlen(text), &digest);
	sha256_hex(&digest, hex);
	assert_string_equal(hex, expected);
}

/* FIPS 180-4 examples */
static void test_sha256_vectors(void **state)
{
	(void)state;
	check_sha256("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check_sha256("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_sha256_running(void **state)
{
	struct rng rng;
	uint8_t data[1000];
	struct sha256 running, whole;
	struct sha256_state *s = sha256_new();

	(void)state;
	rng_init(&rng, rng_seed_of_run(2));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rng_next(&rng);
	for (size_t at = 0; at < sizeof(data);) {
		size_t step = rng_below(&rng, 100);
		size_t n = MIN(step, sizeof(data) - at);

		sha256_update(s, data + at, n);
		at += n;
		sha256_peek(s, &running);
		sha256_of(data, at, &whole);
		rng_assert(&rng, !memcmp(&running, &whole, sizeof(whole)));
		sha256_of2(data, at / 3, data + at / 3, at - at / 3, &running);
		rng_assert(&rng, !memcmp(&running, &whole, sizeof(whole)));
	}
	sha256_free(s);
	sha256_free(NULL);
}

static void test_sha256_text(void **state)
{
	static const char hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	char spoilt[sizeof(hex)], back[SHA256_HEX_BYTES];
	struct sha256 digest = {{0}};

	(void)state;
	assert_true(sha256_is_zero(&digest));
	assert_int_equal(sha256_parse(hex, 64, &digest), 0);
	assert_false(sha256_is_zero(&digest));
	sha256_hex(&digest, back);
	assert_string_equal(back, hex);
	assert_int_equal(sha256_parse(hex, 63, &digest), -EINVAL);
	assert_int_equal(sha256_parse("", 0, &digest), -EINVAL);
	memcpy(spoilt, hex, sizeof(hex));
	spoilt[63] = 'g';
	memset(&digest, 0, sizeof(digest));
	assert_int_equal(sha256_parse(spoilt, 64, &digest), -EINVAL);
	assert_true(sha256_is_zero(&digest));
	spoilt[63] = 'D';
	assert_int_equal(sha256_parse(spoilt, 64, &digest), 0);
	assert_int_equal(digest.bytes[31], 0xad);
}

/* Known values of XXH3_64bits (xxhsum -H3 of the same bytes): the format must never change under a store. */
static void test_xxh3_vectors(void **state)
{
	(void)state;
	assert_true(checksum_xxh3("", 0, 0) == 0x2d06800538d394c2u);
	assert_true(checksum_xxh3("abc", 3, 0) == 0x78af5f94892f3950u);
	assert_true(checksum_xxh3("abc", 3, 1) != checksum_xxh3("abc", 3, 0));
	assert_true(checksum_xxh3("abd", 3, 0) != checksum_xxh3("abc", 3, 0));
}

static void *hash_many(void *arg)
{
	uint64_t first = *(uint64_t *)arg;
	uintptr_t wrong = 0;

	for (uint64_t i = 0; i < 2000; i++) {
		uint64_t number = first + i;
		struct sha256 one, two;
		struct sha256_state *s = sha256_new();

		sha256_update(s, &number, sizeof(number));
		sha256_of(&number, sizeof(number), &one);
		sha256_peek(s, &two);
		wrong += memcmp(&one, &two, sizeof(one)) != 0;
		sha256_free(s);
	}
	return (void *)wrong;
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	uint64_t first[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		first[i] = i << 32;
		assert_int_equal(pthread_create(&threads[i], NULL, hash_many, &first[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		void *wrong;

		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256_vectors),
		cmocka_unit_test(test_sha256_running),
		cmocka_unit_test(test_sha256_text),
		cmocka_unit_test(test_xxh3_vectors),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
