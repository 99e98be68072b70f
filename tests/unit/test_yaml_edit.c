/* SPDX-License-Identifier: MIT
 *
 * Edits of YAML text: each way a person may write a file, with the exact bytes that come out. An edit is written "path=value", or
 * "path?=value" for one that is only made if the member is missing.
 */
#include <errno.h>

#include "cmocka_all.h"
#include "doc.h"
#include "yaml_edit_rows.h"

/* --- values --- */

static void test_scalars(void **state)
{
	static const struct yaml_edit_row rows[] = {
		{"a: 1\nb: 2\n", "a=3", "a: 3\nb: 2\n"},
		{"a: 1", "a=2", "a: 2"},
		{"a: 1 # why\n", "a=\"x\"", "a: \"x\" # why\n"},
		{"a: 1\t# why\n", "a=2", "a: 2\t# why\n"},
		{"a: 1\t \n", "a=2", "a: 2\t \n"},
		{"a:   1   # why\nb: 2\n", "a=null", "a:   null   # why\nb: 2\n"},
		{"a:\t1\nb: 2\n", "a=3", "a:\t3\nb: 2\n"},
		{"'a': 'it''s'  \n", "a=1", "'a': 1  \n"},
		{"\"a\" : \"x\\\"y\"# why\n", "a=1", "\"a\" : 1 # why\n"},
		{"\"\\x61\": 1\n", "a=2", "\"\\x61\": 2\n"},
		{"a: 'x\n\n  y' # z\nb: 1\n", "a=2", "a: 2 # z\nb: 1\n"},
		{"a: x\n  y\n\n  z # c\nb: 1\n", "a=2", "a: 2 # c\nb: 1\n"},
		{"a:\n  x # c\nb: 1\n", "a=2", "a:\n  2 # c\nb: 1\n"},
		{"a:\n  # c\n\n  x\n", "a=2", "a:\n  # c\n\n  2\n"},
		{"? a\n: 1\nb: 2\n", "a=2", "? a\n: 2\nb: 2\n"},
		{"a: https://x/#y\n", "a=1", "a: 1\n"},
		{"a: 1\na: 2\n", "a=3", "a: 1\na: 3\n"},
		{"a: {x: 1}\na: {y: 1}\n", "a.z=3", "a: {x: 1}\na: {y: 1, z: 3}\n"},
		{"true: 1\n12: 2\nnull: 3\n", "true=2\n12=3\nnull=4", "true: 2\n12: 3\nnull: 4\n"},
		{"\xc3\xa9\xc3\xa9: \xf0\x9f\x98\xb9 # \xc3\xa9\na: '\xc3\xa9' # \xc3\xa9\nb: 1 # \xc3\xa9\n", "b=2\na=3",
			"\xc3\xa9\xc3\xa9: \xf0\x9f\x98\xb9 # \xc3\xa9\na: 3 # \xc3\xa9\nb: 2 # \xc3\xa9\n"},
		{"a:\n    b:\n        c: 1 # x\n    d: 1\n", "a.b.c=2", "a:\n    b:\n        c: 2 # x\n    d: 1\n"},
	};

	(void)state;
	yaml_edit_check_rows(rows, ARRAY_SIZE(rows));
}

static void test_nothing(void **state)
{
	static const struct yaml_edit_row rows[] = {
		{"a:\nb: 1\n", "a=2", "a: 2\nb: 1\n"},
		{"a:", "a=2", "a: 2"},
		{"a:   # c\n", "a=2", "a: 2   # c\n"},
		{"a:\t# c\n", "a=2", "a: 2\t# c\n"},
		{"a: ~\n", "a=2", "a: 2\n"},
		{"a: &x\nb: 1\n", "a=2", "a: &x 2\nb: 1\n"},
		{"a: !!null\nb: 1\n", "a=2", "a: 2\nb: 1\n"},
		{"a: !!null # c\nb: 1\n", "a=2", "a: 2 # c\nb: 1\n"},
		{"a: !!null\n&k b: 1\n", "a=2", "a: 2\n&k b: 1\n"},
		{"a: &x !!null\n", "a=2", "a: &x 2\n"},
		{"a: !!null &x\n", "a=2", "a: &x 2\n"},
		{"? a\nb: 1\n", "a=2", "? a\n: 2\nb: 1\n"},
		{"? a # c:\n# d\nb: 1\n", "a=2", "? a # c:\n: 2\n# d\nb: 1\n"},
		{"? a", "a=2", "? a\n: 2"},
		{"x:\n  ? a\n  ? b\n", "x.a=2", "x:\n  ? a\n  : 2\n  ? b\n"},
		{"? a\n:b: 1\n", "a=2", "? a\n: 2\n:b: 1\n"},
		{"? a\n:\nb: 1\n", "a=2", "? a\n: 2\nb: 1\n"},
		{"{a, b}", "a=2\nb=3", "{a: 2, b: 3}"},
		{"{a: , b: }", "a=2\nb=3", "{a: 2 , b: 3 }"},
		{"{\"a\":,\"b\":}", "a=2\nb=3", "{\"a\": 2,\"b\": 3}"},
		{"{? a, ? b : 1}", "a=2\nb=3", "{? a: 2, ? b : 3}"},
	};

	(void)state;
	yaml_edit_check_rows(rows, ARRAY_SIZE(rows));
}

static void test_block_scalars(void **state)
{
	static const struct yaml_edit_row rows[] = {
		{"a: |\n  x\n  y\nb: 1\n", "a=2", "a: 2\nb: 1\n"},
		{"a: |  # c\n  x\n\n  y\n\n# d\nb: 1\n", "a=2", "a: 2  # c\n\n# d\nb: 1\n"},
		{"a: >-\n  x\n\n\nb: 1\n", "a=2", "a: 2\n\n\nb: 1\n"},
		{"a: |+\n  x\n\n\nb: 1\n", "a=2", "a: 2\n\n\nb: 1\n"},
		{"a: |2-\n    x\nb: 1\n", "a=2", "a: 2\nb: 1\n"},
		{"a: |-2 # c\n    x\nb: 1\n", "a=2", "a: 2 # c\nb: 1\n"},
		{"a: >\n  x\n  \t\nb: 1\n", "a=2", "a: 2\nb: 1\n"},
		{"a: |\n  x", "a=2", "a: 2"},
		{"a: |\n  x\n", "a=2", "a: 2\n"},
		{"a: |\n  x\n  ", "a=2", "a: 2\n  "},
		{"a: |\nb: 1\n", "a=2", "a: 2\nb: 1\n"},
		{"a: |", "a=2", "a: 2"},
		{"a: |+\n\n\nb: 1\n", "a=2", "a: 2\n\n\nb: 1\n"},
		{"a: |\n  # no comment\nb: 1\n", "a=2", "a: 2\nb: 1\n"},
		{"a: &x |\n  t\n", "a=2", "a: &x 2\n"},
		{"a: !!str |\n  t\n", "a=2", "a: 2\n"},
		{"a:\n  |\n  t\nb: 1\n", "a=2", "a:\n  2\nb: 1\n"},
		{"a:\n|\n  t\nb: 1\n", "a=2", "a: 2\nb: 1\n"},
		{"a: |\r\n  x\r\n  y\r\n\r\nb: 1\r\n", "a=2", "a: 2\r\n\r\nb: 1\r\n"},
		/* members behind one */
		{"a:\n  b: |\n    x\n\n# d\nc: 1\n", "a.n=2", "a:\n  b: |\n    x\n  n: 2\n\n# d\nc: 1\n"},
		{"a:\n  b: |+\n    x\n\n# d\nc: 1\n", "a.n=2", "a:\n  b: |+\n    x\n\n  n: 2\n# d\nc: 1\n"},
		{"a: |+\n\n\n", "n=2", "a: |+\n\n\nn: 2\n"},
		{"a: |\n  x\n", "n=2", "a: |\n  x\nn: 2\n"},
		{"a: |\n", "n=2", "a: |\nn: 2\n"},
		{"a: |2\n    x\n   \n", "n=2", "a: |2\n    x\n   \nn: 2\n"},
		{"a: |\n  x\n    \n\n", "n=2", "a: |\n  x\n    \nn: 2\n\n"},
		{"a: |\n  x\n  \n\n", "n=2", "a: |\n  x\nn: 2\n  \n\n"},
		{"a: |\n  x\n    ", "n=2", "n: 2\na: |\n  x\n    "},
		{"a: |-# c\n  x\n", "a=2", "a: 2 # c\n"},
		{"b: 1\na: |\n  x", "n=2", "b: 1\nn: 2\na: |\n  x"},
		{"b: 1\na:\n  c: 1\n  d: >+\n    x", "a.n=2\nn=3", "b: 1\nn: 3\na:\n  c: 1\n  n: 2\n  d: >+\n    x"},
	};

	(void)state;
	yaml_edit_check_rows(rows, ARRAY_SIZE(rows));
}

static void test_collections(void **state)
{
	static const struct yaml_edit_row rows[] = {
		{"a: [1, 2]\nb: 1\n", "a=[\"x\"]", "a: [\"x\"]\nb: 1\n"},
		{"a: [1, # one\n  2 ] # c\nb: 1\n", "a=[]", "a: [] # c\nb: 1\n"},
		{"a: {x: 1}\n", "a={}", "a: {}\n"},
		{"a:\n  - x\n  - y # y\nb: 1\n", "a=[\"z\"]", "a: [\"z\"]\nb: 1\n"},
		{"a:\n- x\n- y\nb: 1\n", "a=[\"z\"]", "a: [\"z\"]\nb: 1\n"},
		{"a:  # who\n  # first\n  - x\n\n  # last\n  - y\n\n  # end\nb: 1\n", "a=[]", "a: []  # who\n  # first\n\n  # end\nb: 1\n"},
		{"a:\n  - x\n  -\n", "a=[]", "a: []\n"},
		{"a:\n  - x", "a=[]", "a: []"},
		{"a:\n  # c\n  - x", "a=[]", "a: []\n  # c"},
		{"a:\n  - - x\n    - |\n      t\n\n\nb: 1\n", "a=[]", "a: []\n\n\nb: 1\n"},
		{"a:\n  - |+\n    t\n\n\nb: 1\n", "a=[]", "a: []\n\n\nb: 1\n"},
		{"a:\n  b: 1\n  c:\n    d: 1\ne: 1\n", "a=null", "a: null\ne: 1\n"},
		{"a: &x\n  - 1\nb: 1\n", "a=[]", "a: &x []\nb: 1\n"},
		{"a: !!seq # c\n  - 1\nb: 1\n", "a=null", "a: null # c\nb: 1\n"},
		{"a:\n  !!str\t# c\n  x\nb: 1\n", "a=null", "a:\n  # c\n  null\nb: 1\n"},
		{"a: !!map &x\n  &k b: 1\nb: 1\n", "a=null", "a: &x null\nb: 1\n"},
		{"a: !!map\n  &k b: 1\nb: 1\n", "a=null", "a: null\nb: 1\n"},
		{"a: ! [x]\nb: ! x\n", "a=[y]\nb=z", "a: [y]\nb: z\n"},
		{"a: !<tag:x,2000:y> [x]\n", "a=[y]", "a: [y]\n"},
		{"{a: !t,b: !t }", "a=1\nb=2", "{a: 1,b: 2 }"},
		{"? a\n: - 1\n  - 2\nb: 1\n", "a=[3]", "? a\n: [3]\nb: 1\n"},
		{"? a\n: b: 1\n  c: 2\nb: 1\n", "a.c=[3]", "? a\n: b: 1\n  c: [3]\nb: 1\n"},
		{"x: &x 1\na: *x\nb: *x\n", "a=1\nb=2", "x: &x 1\na: *x\nb: 2\n"},
		{"a:\n- x\nb:\n- y", "b=[]", "a:\n- x\nb: []"},
	};

	(void)state;
	yaml_edit_check_rows(rows, ARRAY_SIZE(rows));
}

static void test_equal_values_stay(void **state)
{
	static const struct yaml_edit_row rows[] = {
		{"a: 'x'\n", "a=\"x\"", NULL},
		{"a: x\n", "a=\"x\"", NULL},
		{"a: |-\n  x\n", "a=\"x\"", NULL},
		{"a: ~\nb:\nc: Null\n", "a=null\nb=null\nc=null", NULL},
		{"a: True\n", "a=true", NULL},
		{"a: 300 # s\n", "a=300", NULL},
		{"a:\n- x # one\n- y\n", "a=[\"x\", \"y\"]", NULL},
		{"a:\n  b: [1]\n  c:\n", "a={\"b\": [1], \"c\": null}", NULL},
		{"x: &x [1]\na: *x\n", "a=[1]\nx=[1]", NULL},
		{"a: !t 'x'\n", "a=\"x\"", NULL},
		{"a: x\nb: &b {c: 1}\nd: *b\n", "b.c=1", NULL},
		{"a: [1, 2]\n", "a=[1]", "a: [1]\n"},
		{"a: [1]\n", "a=[1, 2]", "a: [1, 2]\n"},
		{"a: '1'\n", "a=1", "a: 1\n"},
		{"a: 1\n", "a=1.0", "a: 1.0\n"},
		{"a: 'null'\n", "a=null", "a: null\n"},
		{"a: 9007199254740993\n", "a=9007199254740992", "a: 9007199254740992\n"},
		/* defaults */
		{"a: [x]\nb:\nc: {d: 1}\n", "a?=1\nb?=2\nc?=3\nc.d?=4", NULL},
		{"a: 1 # one\n", "a?=2\nb?=3\nb?=4\n", "a: 1 # one\nb: 3\n"},
	};

	(void)state;
	yaml_edit_check_rows(rows, ARRAY_SIZE(rows));
}

/* --- whole texts --- */

static void test_documents(void **state)
{
	static const struct yaml_edit_row rows[] = {
		{"", "a=1\nb.c=2", "a: 1\nb:\n  c: 2\n"},
		{"\n", "a=1", "\na: 1\n"},
		{"# only\n", "a=1", "# only\na: 1\n"},
		{"# only", "a=1", "# only\na: 1\n"},
		{"  ", "a=1", "  \na: 1\n"},
		{"# only\r\n", "a=1", "# only\r\na: 1\r\n"},
		{"---", "a=1", "---\na: 1"},
		{"---\n", "a=1", "---\na: 1\n"},
		{"--- # c\n# d\n...\n", "a=1", "--- # c\n# d\na: 1\n...\n"},
		{"--- &x\n", "a=1", "--- &x\na: 1\n"},
		{"--- null # c\n", "a=1", "--- # c\na: 1\n"},
		{"~\n", "a=1", "a: 1\n"},
		{"~", "a=1", "a: 1\n"},
		{"null\t", "a=1", "a: 1\n"},
		{"--- ~", "a=1", "---\na: 1"},
		{"---\nnull\n...\n", "a=1", "---\na: 1\n...\n"},
		{"---\n---\nx: 1\n", "a=1", "---\na: 1\n---\nx: 1\n"},
		{"---\na: 1\n---\na: 1\n", "a=2\nb=3", "---\na: 2\nb: 3\n---\na: 1\n"},
		{"a: 1\n...\n", "b=2", "a: 1\nb: 2\n...\n"},
		{"a: 1\n# end\n...\n# rest\n---\nb: &x 1\nc: *x\n", "b=2", "a: 1\nb: 2\n# end\n...\n# rest\n---\nb: &x 1\nc: *x\n"},
		{"%YAML 1.1\n%TAG !e! tag:e,2000:\n---\na: !e!x {b: 1}\n", "a.b=2\nc=3", "%YAML 1.1\n%TAG !e! tag:e,2000:\n---\na: !e!x {b: 2}\nc: 3\n"},
		{"--- !t\na: 1\n", "b=2", "--- !t\na: 1\nb: 2\n"},
		{"\xef\xbb\xbf", "a=1",
			"\xef\xbb\xbf"
			"a: 1\n"},
		{"\xef\xbb\xbf"
		 "a: 1 # \xc3\xa9\n",
			"a=2\nb=3",
			"\xef\xbb\xbf"
			"a: 2 # \xc3\xa9\nb: 3\n"},
		{"\xef\xbb\xbf# c\r\na: 1\r\n", "b=3", "\xef\xbb\xbf# c\r\na: 1\r\nb: 3\r\n"},
		{"a: 1 # c\r\nb:\r\n  - 1\r\n  - 2\r\nc:\r\n", "a=2\nb=[]\nc.d=3\ne=4", "a: 2 # c\r\nb: []\r\nc:\r\n  d: 3\r\ne: 4\r\n"},
		{"a: 1\rb:\r  c: 1\r", "b.d=2\ne=3", "a: 1\rb:\r  c: 1\r  d: 2\re: 3\r"},
		{"a: 1\xc2\x85"
		 "b: 2 # \xe2\x80\xa8"
		 "c: 3\n",
			"b=4\nc=5\nd=6",
			"a: 1\xc2\x85"
			"b: 4 # \xe2\x80\xa8"
			"c: 5\nd: 6\n"},
	};

	(void)state;
	yaml_edit_check_rows(rows, ARRAY_SIZE(rows));
}

static void test_long_lines(void **state)
{
	struct buf text = BUF_INIT, want = BUF_INIT, out = BUF_INIT;
	struct reason reason;

	(void)state;
	buf_append_str(&text, "a: 'x'\nlong: \"");
	for (int i = 0; i < 100000; i++)
		buf_append_str(&text, "\xc3\xa9");
	buf_append_str(&text, "\" # ");
	buf_append(&want, text.data, text.len);
	buf_append_str(&text, "c\nb: {x: 1}\n");
	buf_append_str(&want, "c\nb: {x: 1, y: 2}\n");
	assert_int_equal(yaml_edit_lines(text.data, text.len, "b.y=2", &reason, &out), 0);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.data, want.data, want.len);
	buf_clear(&out);
	assert_int_equal(yaml_edit_lines(text.data, text.len, "long=1", &reason, &out), 0);
	assert_string_equal(out.data, "a: 'x'\nlong: 1 # c\nb: {x: 1}\n");
	buf_release(&text);
	buf_release(&want);
	buf_release(&out);
}

static void test_session_file(void **state)
{
	static const struct yaml_edit_row row = {
		"# my session\n"
		"session:\n"
		"  id: s1        # short\n"
		"  status: \"active\"\n"
		"  last_updated: '2026-11-22T10:00:00Z'  # by the daemon\n"
		"\n"
		"state:\n"
		"  active_agents:   # who works\n"
		"    - coder-1\n"
		"    - coder-2\n"
		"\n"
		"  # how far\n"
		"  progress_percentage: 10\n"
		"\n"
		"recovery: {enabled: true}\n",
		"session.last_updated=\"2026-11-22T11:00:00Z\"\n"
		"state.active_agents=[\"coder-1\"]\n"
		"state.last_checkpoint=null\n"
		"recovery.recovery_points=[]\n"
		"recovery.enabled?=false\n"
		"configuration.auto_checkpoint?=true\n"
		"configuration.checkpoint_interval?=300\n"
		"context?={}\n",
		"# my session\n"
		"session:\n"
		"  id: s1        # short\n"
		"  status: \"active\"\n"
		"  last_updated: \"2026-11-22T11:00:00Z\"  # by the daemon\n"
		"\n"
		"state:\n"
		"  active_agents: [\"coder-1\"]   # who works\n"
		"\n"
		"  # how far\n"
		"  progress_percentage: 10\n"
		"  last_checkpoint: null\n"
		"\n"
		"recovery: {enabled: true, recovery_points: []}\n"
		"configuration:\n"
		"  auto_checkpoint: true\n"
		"  checkpoint_interval: 300\n"
		"context: {}\n",
	};

	(void)state;
	yaml_edit_check_rows(&row, 1);
}

/* --- refusals --- */

static void test_refusals(void **state)
{
	(void)state;
	yaml_edit_refused("a: [", "a=1", 2, "expected node content");
	yaml_edit_refused("a: 1\nb: \xff\n", "a=1", 2, "UTF-8");
	yaml_edit_refused("- a\n", "a=1", 1, "a list, not a mapping");
	yaml_edit_refused("text\n", "a=1", 1, "a text, not a mapping");
	yaml_edit_refused("x: 1\na: 5\n", "a.b=1", 2, "a number, not a mapping");
	yaml_edit_refused("x: 1\na: \"\"\n", "a.b=1", 2, "a text, not a mapping");
	yaml_edit_refused("x: 1\na: []\n", "a.b=1", 2, "a list, not a mapping");
	yaml_edit_refused("x: 1\na: true\n", "a.b?=1", 2, "a boolean, not a mapping");
	yaml_edit_refused("x: &x {b: 1}\na: *x\n", "a.b=2", 2, "an alias");
	yaml_edit_refused("x: &x\na: *x\n", "a.b=2", 2, "an alias");
	yaml_edit_refused("x: &x 1\na: *x\n", "x=2", 1, "alias elsewhere names the present value");
	yaml_edit_refused("x: [&x 1]\na: *x\n", "x=[]", 1, "alias elsewhere names the present value");
	yaml_edit_refused("x: {&x b: 1}\na: *x\n", "x=[]", 1, "alias elsewhere names the present value");
	yaml_edit_refused("x: &x {b: 1}\na: *x\n", "x.b=2", 1, "alias elsewhere names what it is in");
	yaml_edit_refused("x: &x {b: 1}\na: {<<: *x}\n", "x.n=2", 1, "alias elsewhere names what it is in");
	yaml_edit_refused("x: &x\na: *x\n", "x.n=2", 1, "alias elsewhere names what it is in");
	yaml_edit_refused("x: 1\na: 5\n", "x=2\na.b=1", 2, "a number");
	yaml_edit_refused("a: 1\n", "s.x=1\ns=2\ns.y?=3", 2, "a number");
	/* what the editor does not know: a key that is a block scalar and ends with the text */
	yaml_edit_refused("? |\n  k\n  x", "b=1\na=1", 1, "b cannot be set without");
	yaml_edit_refused("x: {y: 1}\n? |\n  k\n  x", "x.y=2\nn=1", 1, "n cannot be set without");
	/* inside and outside */
	yaml_edit_check_rows(&(struct yaml_edit_row){"x: [&x 1, *x]\na: 1\n", "x=[]", "x: []\na: 1\n"}, 1);
	yaml_edit_check_rows(&(struct yaml_edit_row){"x: &x 1\na: {b: *x}\n", "a.b=2\nx=3\na.b=4", "x: &x 3\na: {b: 4}\n"}, 1);
	yaml_edit_refused("x: &x 1\na: *x\n", "b.c=1\nb.d=1\nb.c.d=3", 4, "a number");
	yaml_edit_refused("a: 1\nx: &x 1\nb: *x\n", "a=[]\nc=1\nx=2", 2, "alias elsewhere");
	yaml_edit_refused("a:\n  b: 1\nx: 1\n", "a.c=2\nx.y=3", 3, "a number");
	yaml_edit_check_rows(&(struct yaml_edit_row){"x: &x 1\ny: &x 2\na: *x\n", "x=3", "x: &x 3\ny: &x 2\na: *x\n"}, 1);
	yaml_edit_check_rows(&(struct yaml_edit_row){"x: &x 1\na: {b: *x}\nc: *x\n", "a.d=3\na.b=2", "x: &x 1\na: {b: 2, d: 3}\nc: *x\n"}, 1);
}

static void test_malformed_calls(void **state)
{
	static const char *const bad[] = {"=1", ".=1", "a.=1", ".a=1", "a..b=1", "a b=1", "a-b=1", "a=", "a= ", "a=1, 2", "a=]", "a=x # c", "a=[1", "a=b: c",
		"a=- x", "a=? x", "a=*x", "a=1\r", "a=x\xc2\x85y", "a=x\xe2\x80\xa8y", "a=\xff", "a=|", "a=] [", "a=[1]: b", "a=[1], [2]", "a=[1] x",
		"a=[1] # c", "a=[1]]", "a=[1] [2]", "a=[*x]"};
	struct reason reason = {0};
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (yaml_edit_lines("a: 1\n", 5, bad[i], &reason, &out) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(out.len, 0);
	assert_int_equal(yaml_edit("a: 1\n", 5, NULL, 0, &reason, &out), 0);
	assert_string_equal(out.data, "a: 1\n");
	buf_release(&out);
}

/* --- strings --- */

static void test_put_string(void **state)
{
	static const struct {
		const char *text, *want, *back; /* back NULL: as text */
	} rows[] = {
		{"", "\"\"", NULL},
		{"plain text: # [x]", "\"plain text: # [x]\"", NULL},
		{"a\"b\\c", "\"a\\\"b\\\\c\"", NULL},
		{"\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"", NULL},
		{"\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0", "\"\\u0080\\u0085\\u009f\xc2\xa0\"", NULL},
		{"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\xef\xbf\xbe", "\"\\u2028\\u2029\\ufeff\\ufffe\"", NULL},
		{"\xc3\xa9\xf0\x9f\x98\xb9\xf4\x8f\xbf\xbf", "\"\xc3\xa9\xf0\x9f\x98\xb9\xf4\x8f\xbf\xbf\"", NULL},
		{"a\xff"
		 "b\xc3",
			"\"a\xef\xbf\xbd"
			"b\xef\xbf\xbd\"",
			"a\xef\xbf\xbd"
			"b\xef\xbf\xbd"},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *back = rows[i].back ? rows[i].back : rows[i].text;
		struct yaml_edit e = {.path = "a"};
		struct buf value = BUF_INIT, out = BUF_INIT;
		struct doc *doc = NULL;

		yaml_put_string(&value, rows[i].text);
		assert_string_equal(value.data, rows[i].want);
		e.value = value.data;
		assert_int_equal(yaml_edit("a: 1\n", 5, &e, 1, NULL, &out), 0);
		assert_int_equal(doc_parse_yaml(out.data, out.len, NULL, &doc), 0);
		assert_string_equal(doc_get(doc_root(doc), "a")->text, back);
		doc_free(doc);
		buf_release(&value);
		buf_release(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_block_scalars),
		cmocka_unit_test(test_collections),
		cmocka_unit_test(test_equal_values_stay),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_session_file),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_malformed_calls),
		cmocka_unit_test(test_put_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
