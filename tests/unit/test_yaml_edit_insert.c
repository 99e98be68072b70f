/* SPDX-License-Identifier: MIT
 *
 * Members that a YAML edit adds: where they go, how they are indented, and what becomes of the lines around them.
 */
#include "cmocka_all.h"
#include "yaml_edit_rows.h"

/* --- members --- */

static void test_block_members(void **state)
{
	static const struct yaml_edit_row rows[] = {
		{"a: 1\n", "b=2", "a: 1\nb: 2\n"},
		{"a: 1", "b=2", "a: 1\nb: 2"},
		{"a: 1 # one\n\n# end\n", "b=2", "a: 1 # one\nb: 2\n\n# end\n"},
		{"  a: 1\n  c: 1\n", "b=2", "  a: 1\n  c: 1\n  b: 2\n"},
		{"a:\n  b: 1 # one\n  # end of a\n\nc: 1\n", "a.n=2", "a:\n  b: 1 # one\n  n: 2\n  # end of a\n\nc: 1\n"},
		{"a:\n  b:\n    - 1\n    - x: 1\n      y: 2\nc: 1\n", "a.n=2\nn=3", "a:\n  b:\n    - 1\n    - x: 1\n      y: 2\n  n: 2\nc: 1\nn: 3\n"},
		{"a:\n  b:\n  - 1\n", "a.n=2\nn=3", "a:\n  b:\n  - 1\n  n: 2\nn: 3\n"},
		{"a:\n  b:\n  - 1", "a.n=2\nn=3", "a:\n  b:\n  - 1\n  n: 2\nn: 3"},
		{"a:\n  b: 1\n", "n=3\na.n=2", "a:\n  b: 1\n  n: 2\nn: 3\n"},
		{"a:\n  b:", "n=4\na.n=2\na.b=3", "a:\n  b: 3\n  n: 2\nn: 4"},
		{"a:\n  b: [1,\n    2] # c\n", "a.n=2", "a:\n  b: [1,\n    2] # c\n  n: 2\n"},
		{"a:\n  b:\n", "a.n=2\na.b=3\nn=4", "a:\n  b: 3\n  n: 2\nn: 4\n"},
		{"a:\n  b:", "a.n=2\na.b=3\nn=4", "a:\n  b: 3\n  n: 2\nn: 4"},
		{"a:\n  - 1", "n=2\na=[]", "a: []\nn: 2"},
		{"a:\n  - 1\n", "n=2\na=[]", "a: []\nn: 2\n"},
		{"'a': 1\n\"b\": 2\n", "n=3", "'a': 1\n\"b\": 2\n\"n\": 3\n"},
		{"? a\n", "n=3", "? a\nn: 3\n"},
		{"? [x, y]\n: z\n", "n=3", "? [x, y]\n: z\nn: 3\n"},
		{"<<: {a: 1}\n", "a=2", "<<: {a: 1}\na: 2\n"},
		{"b: &b {a: 1}\nc:\n  <<: *b\n  d: 1\n", "c.a=2", "b: &b {a: 1}\nc:\n  <<: *b\n  d: 1\n  a: 2\n"},
		{"a: &x\n  b: 1\nc: 1\n", "a.n=2", "a: &x\n  b: 1\n  n: 2\nc: 1\n"},
		{"a: !t # c\n  &k b: 1\nc: 1\n", "a.n=2", "a: !t # c\n  &k b: 1\n  n: 2\nc: 1\n"},
		{"? a\n: b: 1\nc: 1\n", "a.n=2", "? a\n: b: 1\n  n: 2\nc: 1\n"},
		{"a: 'x\n  y'\n", "n=2", "a: 'x\n  y'\nn: 2\n"},
		{"a: x\n  y\n", "n=2", "a: x\n  y\nn: 2\n"},
	};

	(void)state;
	yaml_edit_check_rows(rows, ARRAY_SIZE(rows));
}

static void test_new_mappings(void **state)
{
	static const struct yaml_edit_row rows[] = {
		{"a: 1\n", "s.x=1\ns.y=2", "a: 1\ns:\n  x: 1\n  y: 2\n"},
		{"a: 1", "s.x=1\ns.y=2", "a: 1\ns:\n  x: 1\n  y: 2"},
		{"a:\n    b: 1\n", "s.x.y=1\ns.z=2\na.c.d=3", "a:\n    b: 1\n    c:\n        d: 3\ns:\n    x:\n        y: 1\n    z: 2\n"},
		{"s:\na: 1\n", "s.x=1\ns.y=2", "s:\n  x: 1\n  y: 2\na: 1\n"},
		{"s:", "s.x=1\nn=2", "s:\n  x: 1\nn: 2"},
		{"s:   # c\n  # d\n\na: 1\n", "s.x=1", "s:   # c\n  x: 1\n  # d\n\na: 1\n"},
		{"s: null  # c\na: 1\n", "s.x=1", "s: # c\n  x: 1\na: 1\n"},
		{"s: ~\t\na: 1\n", "s.x=1", "s:\n  x: 1\na: 1\n"},
		{"? s\n: null\t# c\na: 1\n", "s.x=1", "? s\n: # c\n  x: 1\na: 1\n"},
		{"s: ~\n", "s.x.y=1", "s:\n  x:\n    y: 1\n"},
		{"s: ~", "s.x.y=1\nn=2", "s:\n  x:\n    y: 1\nn: 2"},
		{"s:\n  null\na: 1\n", "s.x=1", "s:\n  x: 1\na: 1\n"},
		{"s:\n  null", "s.x=1", "s:\n  x: 1\n"},
		{"s:\n  null # c\na: 1\n", "s.x=1", "s:\n  x: 1\n  # c\na: 1\n"},
		{"s:\n  null\t# c\na: 1\n", "s.x=1", "s:\n  x: 1\n  # c\na: 1\n"},
		{"s: &x\na: 1\n", "s.x=1", "s: &x\n  x: 1\na: 1\n"},
		{"s: &x !!null ~ # c\na: 1\n", "s.x=1", "s: &x # c\n  x: 1\na: 1\n"},
		{"? s\na: 1\n", "s.x=1", "? s\n:\n  x: 1\na: 1\n"},
		{"? s\n: null\na: 1\n", "s.x=1", "? s\n:\n  x: 1\na: 1\n"},
		{"p:\n   s:\n   t: 1\n", "p.s.x=1", "p:\n   s:\n      x: 1\n   t: 1\n"},
		{"{s: null, t: , u}", "s.x=1\nt.x=2\nu.x=3\nv.x=4\nv.y.z=5", "{s: {x: 1}, t: {x: 2} , u: {x: 3}, v: {x: 4, y: {z: 5}}}"},
		{"a: 1\n", "s={}\ns.x=1\ns.y=2", "a: 1\ns: {x: 1, y: 2}\n"},
		{"a: {b: 1}\n", "a.b=2\na={}\na.c=3", "a: {c: 3}\n"},
		{"a: 1\n", "s.x=1\ns=2\ns=3", "a: 1\ns: 3\n"},
		{"a: 1\n", "s.x=1\ns?=2\ns.x?=3\ns.y?=4\n", "a: 1\ns:\n  x: 1\n  y: 4\n"},
	};

	(void)state;
	yaml_edit_check_rows(rows, ARRAY_SIZE(rows));
}

static void test_flow_members(void **state)
{
	static const struct yaml_edit_row rows[] = {
		{"a: {}\n", "a.b=1\na.c=2", "a: {b: 1, c: 2}\n"},
		{"a: { }\n", "a.b=1", "a: {b: 1}\n"},
		{"a: {\n  } # c\n", "a.b=1", "a: {b: 1\n  } # c\n"},
		{"a: {# c\n  }\n", "a.b=1", "a: {b: 1 # c\n  }\n"},
		{"a: {x: 1}\n", "a.b=1", "a: {x: 1, b: 1}\n"},
		{"a: { x: 1 } # c\n", "a.b=1\na.c=[]", "a: { x: 1, b: 1, c: [] } # c\n"},
		{"a: {x: 1,}\n", "a.b=1", "a: {x: 1, b: 1,}\n"},
		{"a: {x}\n", "a.b=1", "a: {x, b: 1}\n"},
		{"a: {x: }\n", "a.b=1\na.x=2", "a: {x: 2 , b: 1 }\n"},
		{"a: {x: }\n", "a.b=1", "a: {x: , b: 1 }\n"},
		{"a: {x: # c\n  }\n", "a.b=1", "a: {x: , b: 1 # c\n  }\n"},
		{"a: {\"x\":}\n", "a.b=1", "a: {\"x\": , \"b\": 1}\n"},
		{"a: {x: 1 # c\n  }\n", "a.b=1", "a: {x: 1, b: 1 # c\n  }\n"},
		{"a: {x: 'y'# c\n  }\n", "a.b=1", "a: {x: 'y', b: 1 # c\n  }\n"},
		{"a: {x: {y: {}}}\n", "a.x.y.z=1\na.x.z=2\na.z=3\nz=4", "a: {x: {y: {z: 1}, z: 2}, z: 3}\nz: 4\n"},
		{"x: &x 1\na: {b: *x}\n", "a.c=1", "x: &x 1\na: {b: *x, c: 1}\n"},
		{"{\"a\":1}", "b=2", "{\"a\":1, \"b\": 2}"},
		{"{\n  \"a\": 1,\n  \"s\": {}\n}\n", "b=2\ns.x=3\nc.d=4", "{\n  \"a\": 1,\n  \"s\": {\"x\": 3},\n  \"b\": 2,\n  \"c\": {\"d\": 4}\n}\n"},
		{"{\n\t\"a\": 1 # c\n}\n", "b=2", "{\n\t\"a\": 1, # c\n\t\"b\": 2\n}\n"},
		{"{\n  a: 1, # c\n}\n", "b=2\nc=3", "{\n  a: 1, # c\n  b: 2,\n  c: 3,\n}\n"},
		{"{a: 1,\n b: 2}\n", "c=3", "{a: 1,\n b: 2,\n c: 3}\n"},
		{"{ 'a': 1\n, 'b': 2\n}\n", "c=3", "{ 'a': 1\n, 'b': 2, 'c': 3\n}\n"},
		{"{\n  a: [1,\n    2],\n  b: {x: 1,\n    y: 2} # c\n}\n", "c=3\nb.z=1",
			"{\n  a: [1,\n    2],\n  b: {x: 1,\n    y: 2,\n    z: 1}, # c\n  c: 3\n}\n"},
		{"{}", "a=1", "{a: 1}"},
		{"--- {}\n", "a.b=1", "--- {a: {b: 1}}\n"},
		{"{\r\n  \"a\": 1\r\n}\r\n", "b=2", "{\r\n  \"a\": 1,\r\n  \"b\": 2\r\n}\r\n"},
	};

	(void)state;
	yaml_edit_check_rows(rows, ARRAY_SIZE(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block_members),
		cmocka_unit_test(test_new_mappings),
		cmocka_unit_test(test_flow_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
