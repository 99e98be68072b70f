/* SPDX-License-Identifier: MIT
 *
 * L0. Small things every layer needs: cleanup attributes, little-endian
 * fields, array growth, RFC 3339 times, and `struct reason`, the sentence a
 * person reads when something was refused.
 *
 * Conventions of the whole code base:
 *  - 0 or positive on success, -errno on failure;
 *  - ret_ parameters are written only on success;
 *  - init/release work on caller's memory, new/free and open/close on own memory;
 *  - times are int64_t nanoseconds since the epoch (CLOCK_REALTIME) unless a
 *    name says otherwise; sequence numbers start at 1, 0 is none.
 */
#ifndef MILESTONEFS_UTIL_H
#define MILESTONEFS_UTIL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/** Each argument is evaluated once. (Unique names, so that they nest.) */
#define MIN(a, b) UTIL_PICK_(a, <, b, __COUNTER__)
#define MAX(a, b) UTIL_PICK_(a, >, b, __COUNTER__)
#define UTIL_PICK_(a, op, b, n) UTIL_PICK_NAMED_(a, op, b, n)
#define UTIL_PICK_NAMED_(a, op, b, n)                               \
	({                                                          \
		__typeof__(a) pick_a_##n = (a);                     \
		__typeof__(b) pick_b_##n = (b);                     \
		pick_a_##n op pick_b_##n ? pick_a_##n : pick_b_##n; \
	})
#define ALIGN_UP(n, a) (((n) + (a)-1) / (a) * (a))

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL

static inline void util_free_ptr(void *p)
{
	free(*(void **)p);
}
void util_close_fd(int *fd);

/** Free a malloc'ed pointer / close a descriptor when it leaves scope. */
#define cleanup_free __attribute__((cleanup(util_free_ptr)))
#define cleanup_fd __attribute__((cleanup(util_close_fd)))

/**
 * Why something was refused, for a person. Filled by whoever refuses; the
 * caller owns the memory. `line` and `column` count from 1; 0 is unknown.
 */
struct reason {
	char rule[32];   /**< rule id or operation, "" when none */
	uint32_t line;   /**< 1-based; 0 unknown */
	uint32_t column; /**< 1-based; 0 unknown */
	char text[400];  /**< one sentence, no newline */
};

/** Fill @r (NULL allowed) printf-like and return @error, so that `return reason_set(...)` reads well. */
int reason_set(struct reason *r, int error, const char *rule, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/** Put "@where: " before the text (cut at its end if need be), once: nothing happens where it begins so already. */
void reason_prefix(struct reason *r, const char *where);

/** Explicit little-endian fields, at any alignment. */
static inline void put_le16(void *p, uint16_t v)
{
	uint8_t *b = p;
	b[0] = (uint8_t)v, b[1] = (uint8_t)(v >> 8);
}
static inline void put_le32(void *p, uint32_t v)
{
	uint8_t *b = p;
	put_le16(b, (uint16_t)v), put_le16(b + 2, (uint16_t)(v >> 16));
}
static inline void put_le64(void *p, uint64_t v)
{
	uint8_t *b = p;
	put_le32(b, (uint32_t)v), put_le32(b + 4, (uint32_t)(v >> 32));
}
static inline uint16_t get_le16(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[0] | b[1] << 8);
}
static inline uint32_t get_le32(const void *p)
{
	const uint8_t *b = p;
	return get_le16(b) | (uint32_t)get_le16(b + 2) << 16;
}
static inline uint64_t get_le64(const void *p)
{
	const uint8_t *b = p;
	return get_le32(b) | (uint64_t)get_le32(b + 4) << 32;
}

/**
 * Grow the array *@items (element size @item_bytes) to hold at least @want
 * elements, doubling. New elements are not initialised.
 * Returns 0, or -ENOMEM with the array unchanged.
 */
int array_reserve(void *items, size_t *capacity, size_t want, size_t item_bytes);

/** "2026-11-22T10:00:00.123456Z" (27 characters and NUL). */
#define TIME_TEXT_BYTES 40
void time_format(int64_t time_ns, char out[TIME_TEXT_BYTES]);
/** "20261122T100000.123456Z", the time in transactions' ids. */
void time_format_stamp(int64_t time_ns, char out[TIME_TEXT_BYTES]);
/** "2026-11-22" (UTC day of @time_ns). */
void time_format_day(int64_t time_ns, char out[TIME_TEXT_BYTES]);

/**
 * Parse an RFC 3339 time: date, 'T' or 't' or ' ', time, optional fraction, 'Z' or
 * an offset; a bare date means its midnight in UTC. Whole string must match.
 * Returns 0 or -EINVAL.
 */
int time_parse(const char *text, int64_t *ret_time_ns);

/**
 * A mutex that is held for a moment only, by threads of different processors: who finds it taken tries again for a moment before it
 * sleeps (PTHREAD_MUTEX_ADAPTIVE_NP, where there is such a thing), because sleeping and being woken take longer than that.
 */
void util_mutex_init_brief(pthread_mutex_t *mutex);

/**
 * Parse an unsigned decimal that fills the whole of @text (no sign, no
 * blanks, no leading zeros but "0" itself). Returns 0, -EINVAL or -ERANGE.
 */
int parse_u64(const char *text, uint64_t *ret_value);

/** Is @id a legal id: [A-Za-z0-9][A-Za-z0-9._-]{0,127}? */
bool id_valid(const char *id, size_t len);

/** Are these @len bytes well-formed UTF-8 (RFC 3629)? On false, *@ret_offset is the first bad byte. */
bool utf8_valid(const char *text, size_t len, size_t *ret_offset);

/**
 * Decode the first character of @text (@len > 0). Returns its length 1..4 and
 * writes *@ret_codepoint; for ill-formed bytes returns minus the number of
 * bytes (1..3) that one U+FFFD stands for (Unicode 15, 3.9, "maximal subpart").
 */
int utf8_decode(const char *text, size_t len, uint32_t *ret_codepoint);

#endif
