/* SPDX-License-Identifier: MIT
 *
 * Small things of layer 0: array growth, reasons, RFC 3339 times, ids, UTF-8.
 *
 * Nothing here does I/O or keeps state; all of it may be called from any
 * thread. Parsers read untrusted text: they are strict, bounded by the length
 * given (or the NUL), and change nothing on failure.
 */
#include "util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void util_close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* a scope that ends early has nobody left to tell */
	*fd = -1;
}

void util_mutex_init_brief(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
#ifdef __GLIBC__
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
	pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
}

int reason_set(struct reason *r, int error, const char *rule, const char *fmt, ...)
{
	va_list ap;

	if (!r)
		return error;
	memset(r, 0, sizeof(*r));
	snprintf(r->rule, sizeof(r->rule), "%s", rule ? rule : "");
	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	for (char *p = r->text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	return error;
}

void reason_prefix(struct reason *r, const char *where)
{
	char text[sizeof(r->text)];
	size_t len = strlen(where);

	if (!strncmp(r->text, where, len))
		return;
	memcpy(text, r->text, sizeof(text));
	snprintf(r->text, sizeof(r->text), "%.200s: %.197s", where, text);
}

int array_reserve(void *items, size_t *capacity, size_t want, size_t item_bytes)
{
	size_t n = *capacity ? *capacity : 8;
	size_t bytes;
	void *old, *new;

	if (want <= *capacity)
		return 0;
	while (n < want) {
		if (n > SIZE_MAX / 2)
			return -ENOMEM;
		n *= 2;
	}
	if (__builtin_mul_overflow(n, item_bytes, &bytes))
		return -ENOMEM;
	memcpy(&old, items, sizeof(old));
	new = realloc(old, bytes);
	if (!new)
		return -ENOMEM;
	memcpy(items, &new, sizeof(new));
	*capacity = n;
	return 0;
}

/* Split into whole seconds and 0..999999999 ns, also before 1970. */
static time_t time_split(int64_t time_ns, long *ret_ns)
{
	int64_t s = time_ns / NS_PER_S;
	int64_t ns = time_ns % NS_PER_S;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	*ret_ns = (long)ns;
	return (time_t)s;
}

void time_format(int64_t time_ns, char out[TIME_TEXT_BYTES])
{
	struct tm tm;
	long ns;
	time_t s = time_split(time_ns, &ns);

	gmtime_r(&s, &tm); /* cannot fail: int64_t nanoseconds are the years 1677 to 2262 */
	snprintf(out, TIME_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", (unsigned)(tm.tm_year + 1900) % 10000u, (unsigned)(tm.tm_mon + 1) % 100u,
		(unsigned)tm.tm_mday % 100u, (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u,
		(unsigned)(ns / 1000) % 1000000u);
}

void time_format_stamp(int64_t time_ns, char out[TIME_TEXT_BYTES])
{
	char *to = out;

	time_format(time_ns, out);
	for (const char *from = out; *from; from++)
		if (*from != '-' && *from != ':')
			*to++ = *from;
	*to = '\0';
}

void time_format_day(int64_t time_ns, char out[TIME_TEXT_BYTES])
{
	time_format(time_ns, out);
	out[10] = '\0';
}

/* Exactly @digits decimal digits at *@text; advances it. -1 when they are not there. */
static int take_digits(const char **text, int digits)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		char c = (*text)[i];

		if (c < '0' || c > '9')
			return -1;
		value = value * 10 + (c - '0');
	}
	*text += digits;
	return value;
}

static bool take_char(const char **text, const char *any_of)
{
	if (!**text || !strchr(any_of, **text))
		return false;
	(*text)++;
	return true;
}

static int days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static int take_date(const char **p, struct tm *tm)
{
	int year, month, day;

	year = take_digits(p, 4);
	if (year < 0 || !take_char(p, "-"))
		return -EINVAL;
	month = take_digits(p, 2);
	if (month < 1 || month > 12 || !take_char(p, "-"))
		return -EINVAL;
	day = take_digits(p, 2);
	if (day < 1 || day > days_of_month(year, month))
		return -EINVAL;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return 0;
}

/* "HH:MM:SS" and an optional fraction, of which nine digits count. */
static int take_time(const char **p, struct tm *tm, long *ret_ns)
{
	long ns = 0;
	long scale = 100000000;

	tm->tm_hour = take_digits(p, 2);
	if (tm->tm_hour < 0 || tm->tm_hour > 23 || !take_char(p, ":"))
		return -EINVAL;
	tm->tm_min = take_digits(p, 2);
	if (tm->tm_min < 0 || tm->tm_min > 59 || !take_char(p, ":"))
		return -EINVAL;
	tm->tm_sec = take_digits(p, 2);
	if (tm->tm_sec < 0 || tm->tm_sec > 60) /* 60: a leap second is the next second */
		return -EINVAL;
	if (take_char(p, ".")) {
		int digit = take_digits(p, 1);

		if (digit < 0)
			return -EINVAL;
		for (; digit >= 0; digit = take_digits(p, 1), scale /= 10)
			ns += digit * scale;
	}
	*ret_ns = ns;
	return 0;
}

static int take_zone(const char **p, int *ret_offset_s)
{
	int sign, hours, minutes;

	if (take_char(p, "Zz")) {
		*ret_offset_s = 0;
		return 0;
	}
	sign = **p == '-' ? -1 : 1;
	if (!take_char(p, "+-"))
		return -EINVAL;
	hours = take_digits(p, 2);
	if (hours < 0 || hours > 23 || !take_char(p, ":"))
		return -EINVAL;
	minutes = take_digits(p, 2);
	if (minutes < 0 || minutes > 59)
		return -EINVAL;
	*ret_offset_s = sign * (hours * 3600 + minutes * 60);
	return 0;
}

int time_parse(const char *text, int64_t *ret_time_ns)
{
	struct tm tm = {0};
	const char *p = text;
	int64_t time_ns;
	int offset_s = 0;
	long ns = 0;

	if (take_date(&p, &tm))
		return -EINVAL;
	if (*p) {
		if (!take_char(&p, "Tt ") || take_time(&p, &tm, &ns) || take_zone(&p, &offset_s) || *p)
			return -EINVAL;
	}
	if (__builtin_mul_overflow((int64_t)timegm(&tm) - offset_s, NS_PER_S, &time_ns) || __builtin_add_overflow(time_ns, (int64_t)ns, &time_ns))
		return -EINVAL;
	*ret_time_ns = time_ns;
	return 0;
}

int parse_u64(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	bool overflow = false;

	if (!*text || (text[0] == '0' && text[1]))
		return -EINVAL;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			overflow = true; /* go on: what is no number is -EINVAL however long */
	}
	if (overflow)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool id_valid(const char *id, size_t len)
{
	if (len < 1 || len > 128 || !is_alnum(id[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_alnum(id[i]) && id[i] != '.' && id[i] != '_' && id[i] != '-')
			return false;
	return true;
}

/* The Unicode Standard, table 3-7: well-formed UTF-8 byte sequences. */
int utf8_decode(const char *text, size_t len, uint32_t *ret_codepoint)
{
	const uint8_t *s = (const uint8_t *)text;
	uint8_t low = 0x80, high = 0xbf;
	uint32_t c = s[0];
	int more;

	if (c < 0x80) {
		*ret_codepoint = c;
		return 1;
	}
	if (c < 0xc2 || c > 0xf4)
		return -1;
	more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	c &= 0x3fu >> more;
	for (int i = 1; i <= more; i++) {
		if ((size_t)i >= len || s[i] < low || s[i] > high)
			return -i;
		c = c << 6 | (s[i] & 0x3fu);
		low = 0x80, high = 0xbf;
	}
	*ret_codepoint = c;
	return more + 1;
}

bool utf8_valid(const char *text, size_t len, size_t *ret_offset)
{
	size_t i = 0;

	while (i < len) {
		uint32_t c;
		uint64_t eight;
		int n;

		/* Eight ASCII bytes at a time: nearly all text is that. */
		while (len - i >= 8 && (memcpy(&eight, text + i, 8), !(eight & 0x8080808080808080u)))
			i += 8;
		if (i == len)
			break;
		n = utf8_decode(text + i, len - i, &c);
		if (n < 0) {
			if (ret_offset)
				*ret_offset = i;
			return false;
		}
		i += (size_t)n;
	}
	return true;
}
