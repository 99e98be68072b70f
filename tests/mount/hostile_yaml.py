# SPDX-License-Identifier: MIT
#
# Hostile content for session.yaml and an agent's file, one file a case, and what becomes of each:
#
#   hostile_yaml.py session|agent DIRECTORY
#
# writes DIRECTORY/NAME and prints "NAME OUTCOME LINE" lines: `refused` with the line the reason must name (0: it names none), or `accepted`.
import os
import sys

ROOT, OUT = sys.argv[1], sys.argv[2]
DEEP = 10_000


def flow(depth):
    return "[" * depth + "]" * depth


def laughs():
    lines = ["lol0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for i in range(1, 12):
        lines.append(f"lol{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]")
    return "\n".join(lines) + "\n"


good = f"{ROOT}:\n  type: \"good\"\n"

# name: (outcome, line of the reason, text)
cases = {
    # aliases, anchors, tags
    "alias_of_nothing": ("refused", 2, f"{ROOT}:\n  type: *nobody\n"),
    "alias_of_itself": ("refused", 1, "own: &a [*a]\n"),
    "alias_as_section": ("refused", 2, f"own: &a {{type: x}}\n{ROOT}: *a\n"),
    "alias_of_a_daemons_field": ("refused", 1, f"{ROOT}: {{id: &a \"x\"}}\nown: *a\n"),
    "merge_key": ("refused", 3, f"own: &a {{type: x}}\n{ROOT}:\n  <<: *a\n"),
    "billion_laughs": ("accepted", 0, laughs() + good),
    "anchors_of_a_user": ("accepted", 0, f"own: &a [1, 2]\nother: *a\n{good}"),
    "hundred_thousand_aliases": ("accepted", 0, "own: &a x\nlist:\n" + "- *a\n" * 100_000 + good),
    "tag_of_a_program": ("accepted", 0, "own: !!python/object/apply:os.system [\"true\"]\n" + good),
    "tag_on_a_field": ("accepted", 0, f"{ROOT}: !!map\n  type: !!str general\n"),
    "tag_unknown_handle": ("refused", 1, "own: !nobody!thing x\n" + good),
    "tags_without_number": ("refused", 65, "".join(f"%TAG !t{i}! tag:example.com,2026:{i}:\n" for i in range(5000)) + "---\n" + good),
    "yaml_version_9": ("refused", 1, "%YAML 9.9\n---\n" + good),
    "two_documents": ("refused", 3, good + "---\nown: x\n"),
    # bytes
    "tab_as_indentation": ("refused", 2, f"{ROOT}:\n\ttype: x\n"),
    "tabs_between": ("accepted", 0, f"{ROOT}:\t# a remark\n  type:\tx\t# another\n"),
    "crlf": ("accepted", 0, good.replace("\n", "\r\n")),
    "bom": ("accepted", 0, "\ufeff" + good),
    "utf16": ("refused", 1, ("\ufeff" + good).encode("utf-16-le")),
    "nul": ("refused", 3, good + "own: \"a\0b\"\n"),
    "not_utf8": ("refused", 3, good.encode() + b"own: \"\xff\xfe\"\n"),
    "control_character": ("refused", 3, good + "own: \x07\n"),
    "line_separators": ("accepted", 0, good + "own: \"\u2028\u2029\u0085\"\n"),
    # size
    "scalar_of_10_mb": ("refused", 0, good + "own: \"" + "x" * 10_000_000 + "\"\n"),
    "scalar_of_1_mb": ("accepted", 0, good + "own: \"" + "x" * 1_000_000 + "\"\n"),
    "key_of_100_kb": ("accepted", 0, good + "? \"" + "k" * 100_000 + "\"\n: x\n"),
    "too_long_a_key": ("refused", 3, good + "k" * 100_000 + ": x\n"),
    "many_keys": ("accepted", 0, good + "".join(f"k{i}: {i}\n" for i in range(60_000))),
    "comments_of_900_kb": ("accepted", 0, "# x\n" * 225_000 + good),
    "depth_10000_flow": ("refused", 3, good + "own: " + flow(DEEP) + "\n"),
    "depth_1300_block": ("refused", 259, good + "own:\n" + "\n".join(" " * (i + 1) + "a:" for i in range(1300)) + "\n"),
    "depth_10000_unclosed": ("refused", 3, good + "own: " + "{a: " * DEEP + "\n"),
    "depth_10000_dashes": ("refused", 4, good + "own:\n" + "- " * DEEP + "x\n"),
    # form
    "scalar_root": ("refused", 1, "just a text\n"),
    "list_root": ("refused", 1, "- a\n- b\n"),
    "unclosed_quote": ("refused", 5, good + "own: \"never\nends\n"),
    "unclosed_list": ("refused", 2, f"{ROOT}: [\n"),
    "duplicate_colon": ("refused", 1, f"{ROOT}: type: x\n"),
    "section_is_a_list": ("refused", 1, f"{ROOT}: [type, x]\n"),
    "section_is_a_text": ("refused", 1, f"{ROOT}: active\n"),
    # values
    "status_nonsense": ("refused", 2, f"{ROOT}:\n  status: \"; rm -rf /\"\n"),
    "status_list": ("refused", 2, f"{ROOT}:\n  status: [active]\n"),
    "status_upper": ("refused", 2, f"{ROOT}:\n  status: Active\n"),
    "type_too_long": ("refused", 2, f"{ROOT}:\n  type: " + "t" * 200 + "\n"),
    "field_misspelt": ("refused", 2, f"{ROOT}:\n  staus: active\n"),
}
if ROOT == "session":
    for name, value in {"minus": "-1", "zero": "0", "hex": "0x10", "octal": "0o17", "float": "1.5", "exp": "1e3", "inf": ".inf", "nan": ".nan",
                        "huge": "9" * 40, "text": "\"300\"", "word": "soon", "list": "[300]"}.items():
        cases[f"interval_{name}"] = ("refused", 2, f"configuration:\n  checkpoint_interval: {value}\n")
    cases["progress_101"] = ("refused", 2, "state:\n  progress_percentage: 101\n")
    cases["progress_nan"] = ("refused", 2, "state:\n  progress_percentage: .nan\n")
    cases["flag_perhaps"] = ("refused", 2, "configuration:\n  auto_checkpoint: perhaps\n")
    cases["context_list"] = ("refused", 1, "context: []\n")
else:
    for name, value in {"minus": "-1", "zero": "0", "huge": "99999999999999999999", "text": "me", "float": "1.5", "list": "[1]"}.items():
        cases[f"pid_{name}"] = ("refused", 2, f"agent:\n  pid: {value}\n")
    cases["subscriptions_mapping"] = ("refused", 2, "coordination:\n  event_subscriptions: {a: b}\n")
    cases["dependency_no_id"] = ("refused", 2, "coordination:\n  dependencies: [\"../x\"]\n")

for name, (outcome, line, text) in cases.items():
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    print(name, outcome, line)
