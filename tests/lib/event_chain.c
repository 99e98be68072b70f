/* SPDX-License-Identifier: MIT
 *
 * See event_chain.h.
 */
#include "event_chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "checksum.h"

#define SESSIONS_MAX 64
#define HEX 64

struct chain {
	char session[160];
	unsigned long long number;
	char sum[HEX + 1];
};

struct chains {
	struct chain global, sessions[SESSIONS_MAX];
	size_t count;
};

static void chain_init(struct chain *c, const char *session)
{
	snprintf(c->session, sizeof(c->session), "%s", session);
	c->number = 0;
	memset(c->sum, '0', HEX);
	c->sum[HEX] = '\0';
}

static struct chain *chain_of(struct chains *all, const char *session)
{
	for (size_t i = 0; i < all->count; i++)
		if (!strcmp(all->sessions[i].session, session))
			return &all->sessions[i];
	if (all->count == SESSIONS_MAX)
		return NULL;
	chain_init(&all->sessions[all->count], session);
	return &all->sessions[all->count++];
}

/* Take the member ,"KEY":"64 hex" that ends just before @tail characters from the end out of @line. */
static bool cut_sum(struct buf *line, const char *key, char out[HEX + 1])
{
	char mark[64];
	char *at = NULL, *next;
	size_t len, total;

	snprintf(mark, sizeof(mark), ",\"%s\":\"", key);
	for (next = line->data; (next = strstr(next, mark)); next++)
		at = next; /* the last one: user text comes before */
	if (!at)
		return false;
	len = strlen(mark);
	total = len + HEX + 1;
	if (strlen(at) < total || at[total - 1] != '"')
		return false;
	memcpy(out, at + len, HEX);
	out[HEX] = '\0';
	memmove(at, at + total, strlen(at + total) + 1);
	line->len -= total;
	return true;
}

static bool link_holds(struct chain *c, const struct buf *line, const char *sum)
{
	struct buf in = BUF_INIT;
	struct sha256 sha;
	char hex[SHA256_HEX_BYTES];
	bool same;

	buf_append(&in, c->sum, HEX);
	buf_append(&in, line->data, line->len);
	sha256_of(in.data, in.len, &sha);
	buf_release(&in);
	sha256_hex(&sha, hex);
	same = !strncmp(hex, sum, HEX);
	memcpy(c->sum, sum, HEX + 1);
	return same;
}

static bool line_holds(struct chains *all, struct buf *line)
{
	char sum[HEX + 1], global[HEX + 1], session[160] = "";
	const char *at = strstr(line->data, "\"session_id\":\"");
	unsigned long long number = 0;
	struct chain *c;
	struct buf inner = BUF_INIT;
	bool ok;

	if (!at || sscanf(at, "\"session_id\":\"%159[^\"]", session) != 1)
		return false;
	for (at = line->data; (at = strstr(at, ",\"sequence_number\":")); at++)
		number = strtoull(at + strlen(",\"sequence_number\":"), NULL, 10);
	c = chain_of(all, session);
	if (!c || number != ++c->number || !cut_sum(line, "checksum", sum))
		return false;
	buf_append(&inner, line->data, line->len);
	ok = link_holds(c, line, sum) && cut_sum(&inner, "global_checksum", global) && link_holds(&all->global, &inner, global);
	buf_release(&inner);
	return ok;
}

bool event_chain_holds(const char *text, size_t len)
{
	struct chains *all = calloc(1, sizeof(*all));
	const char *end = text + len;
	unsigned number = 1;
	bool ok = all != NULL;

	if (all)
		chain_init(&all->global, "");
	for (; ok && text < end; number++) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		struct buf line = BUF_INIT;

		if (nl)
			buf_append(&line, text, (size_t)(nl - text));
		ok = nl && line_holds(all, &line);
		if (!ok)
			fprintf(stderr, "event log: line %u does not hold: %.*s\n", number, nl ? (int)(nl - text) : 40, text);
		buf_release(&line);
		text = nl ? nl + 1 : end;
	}
	free(all);
	return ok;
}
