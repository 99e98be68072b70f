/* SPDX-License-Identifier: MIT
 *
 * The words of the small files a starter may put into a barrier's directory.
 */
#include "barrier_text.h"

#include <string.h>

#include "util.h"

#define BOM "\xef\xbb\xbf"

static bool is_blank(char c)
{
	return c && strchr(" \t\r\n,[]\"'", c);
}

static size_t bom_len(const char *text, size_t len)
{
	return len >= strlen(BOM) && !memcmp(text, BOM, strlen(BOM)) ? strlen(BOM) : 0;
}

bool barrier_next_word(const char *text, size_t len, size_t *at, const char **ret, size_t *ret_len)
{
	size_t i = MAX(*at, bom_len(text, len));

	while (i < len) {
		size_t start;

		if (text[i] == '#') {
			const char *end = memchr(text + i, '\n', len - i);

			i = end ? (size_t)(end - text) : len;
		}
		for (start = i; i < len && !is_blank(text[i]) && text[i] != '#'; i++)
			;
		if (i > start && !(i == start + 1 && text[start] == '-')) {
			*ret = text + start;
			*ret_len = i - start;
			*at = i;
			return true;
		}
		if (i < len && text[i] != '#')
			i++;
	}
	*at = len;
	return false;
}

uint64_t barrier_parse_timeout(const char *text, size_t len)
{
	char number[24];
	uint64_t seconds;
	size_t skip = bom_len(text, len);

	text += skip;
	len -= skip;
	while (len && is_blank(text[len - 1]))
		len--;
	while (len && is_blank(*text)) {
		text++;
		len--;
	}
	if (len >= sizeof(number))
		return 0;
	memcpy(number, text, len);
	number[len] = '\0';
	return parse_u64(number, &seconds) || seconds > BARRIER_TIMEOUT_MAX_S ? 0 : seconds;
}
