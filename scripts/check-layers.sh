#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Fail when a file includes something of a higher layer than its own.
#
# A header in include/ says its layer at the start of its opening comment
# ("L3."). A file in core/ has the layer of its module: the longest name of a
# header that is its own name or the part before a "_" (journal_append.c
# belongs to journal.h); a module without header is layer 8. Nothing in core/
# and include/ may include FUSE or a header of fs/.
set -euo pipefail
cd "$(dirname "$0")/.."

shopt -s nullglob
headers=(include/*.h)
files=(include/*.h core/*.h core/*.c)
[ ${#headers[@]} -gt 0 ] || { echo "check-layers: no headers in include/" >&2; exit 1; }
fs_headers=$(cd fs 2>/dev/null && echo *.h || true)

awk -v fs_headers="$fs_headers" '
function base(path) { sub(/.*\//, "", path); return path }
function module_layer(name,   m, best, layer) {
	layer = 8
	sub(/\.[ch]$/, "", name)
	for (m in layer_of)
		if ((name == m || index(name, m "_") == 1) && length(m) > length(best)) {
			best = m
			layer = layer_of[m]
		}
	return layer
}
function fail(text) {
	print FILENAME ":" FNR ": " text
	bad = 1
}
BEGIN {
	n = split(fs_headers, list, " ")
	for (i = 1; i <= n; i++)
		in_fs[list[i]] = 1
	# First the marks: every header is read up to its own.
	for (i = 1; i < ARGC; i++) {
		if (ARGV[i] !~ /^include\//)
			continue
		name = base(ARGV[i])
		sub(/\.h$/, "", name)
		for (lines = 0; lines < 12 && (getline line < ARGV[i]) > 0; lines++)
			if (match(line, /^ \* L[0-9]\./)) {
				layer_of[name] = substr(line, 5, 1) + 0
				break
			}
		close(ARGV[i])
		if (!(name in layer_of)) {
			print ARGV[i] ":1: no layer mark (\" * L<n>.\") in the opening comment"
			bad = 1
			layer_of[name] = 8
		}
		is_header[name ".h"] = 1
	}
}
FNR == 1 { own = module_layer(base(FILENAME)) }
/^[ \t]*#[ \t]*include/ {
	target = $0
	sub(/^[ \t]*#[ \t]*include[ \t]*[<"]/, "", target)
	sub(/[>"].*/, "", target)
	if (target ~ /fuse/)
		fail("includes FUSE (" target ")")
	else if (target ~ /(^|\/)fs\// || (/"/ && (base(target) in in_fs) && !(base(target) in is_header)))
		fail("includes " target " of fs/")
	else if (/"/ && module_layer(base(target)) > own)
		fail("layer " own " includes " target " of layer " module_layer(base(target)))
}
END { exit bad }
' "${files[@]}"
