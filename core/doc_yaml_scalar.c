/* SPDX-License-Identifier: MIT
 *
 * The core schema, as tables and small matchers instead of regular expressions.
 * Most scalars are words, so the first character decides for nearly all. Numbers
 * become the nearest double; their text keeps every digit. Relies on the C
 * locale's decimal point, as the rest of the program does.
 */
#include "doc_yaml_scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CORE_TAG "tag:yaml.org,2002:"

static bool one_of(const char *text, const char *const words[4])
{
	for (size_t i = 0; i < 4 && words[i]; i++)
		if (!strcmp(text, words[i]))
			return true;
	return false;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?, which covers decimal integers */
static bool is_decimal(const char *p)
{
	size_t whole, fraction = 0;

	p += *p == '-' || *p == '+';
	whole = strspn(p, "0123456789");
	p += whole;
	if (*p == '.') {
		fraction = strspn(++p, "0123456789");
		p += fraction;
	}
	if (!whole && !fraction)
		return false;
	if (*p == 'e' || *p == 'E') {
		size_t exponent;

		p++;
		p += *p == '-' || *p == '+';
		exponent = strspn(p, "0123456789");
		if (!exponent)
			return false;
		p += exponent;
	}
	return !*p;
}

/* 0x… and 0o…: the nearest double, digit by digit, so of any length. */
static bool parse_radix(const char *p, double *ret)
{
	const char *digits = p[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567";
	double radix = p[1] == 'x' ? 16 : 8, value = 0;
	size_t len;

	if (p[0] != '0' || (p[1] != 'x' && p[1] != 'o'))
		return false;
	p += 2;
	len = strspn(p, digits);
	if (!len || p[len])
		return false;
	for (; *p; p++)
		value = value * radix + (*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
	*ret = value;
	return true;
}

static bool parse_number(const char *text, double *ret)
{
	static const char *const infinities[4] = {".inf", ".Inf", ".INF"}, *const nans[4] = {".nan", ".NaN", ".NAN"};
	const char *unsigned_text = text + (*text == '-' || *text == '+');

	if (one_of(unsigned_text, infinities))
		*ret = *text == '-' ? -INFINITY : INFINITY;
	else if (one_of(text, nans))
		*ret = (double)NAN;
	else if (is_decimal(text))
		*ret = strtod(text, NULL);
	else
		return parse_radix(text, ret);
	return true;
}

static void resolve_plain(struct doc_node *node)
{
	static const char *const nulls[4] = {"~", "null", "Null", "NULL"}, *const trues[4] = {"true", "True", "TRUE"},
				 *const falses[4] = {"false", "False", "FALSE"};
	const char *text = node->text;

	if (!*text || (strchr("~nN", *text) && one_of(text, nulls))) {
		node->type = DOC_NULL;
	} else if (strchr("tTfF", *text)) {
		node->boolean = one_of(text, trues);
		if (node->boolean || one_of(text, falses))
			node->type = DOC_BOOL;
	} else if (strchr("+-.0123456789", *text) && parse_number(text, &node->number)) {
		node->type = DOC_NUMBER;
	}
}

void yaml_scalar_resolve(struct doc_node *node, const char *tag)
{
	size_t prefix = sizeof(CORE_TAG) - 1;

	node->type = DOC_STRING;
	if (node->quoted || strlen(node->text) != node->text_len) /* "\0" only comes quoted; to be sure */
		return;
	if (!tag || (!strncmp(tag, CORE_TAG, prefix) &&
			    (!strcmp(tag + prefix, "null") || !strcmp(tag + prefix, "bool") || !strcmp(tag + prefix, "int") || !strcmp(tag + prefix, "float"))))
		resolve_plain(node);
}
