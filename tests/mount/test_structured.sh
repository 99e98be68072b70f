#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A good file never turns bad: refused saves of YAML and JSON, what is kept of them, what is accepted.
. "$(dirname "$0")/lib.sh"

# refuse_save FILE GOOD BAD [LINE]: BAD over GOOD fails with EBADMSG at close and at fsync; GOOD stays, BAD is kept
refuse_save() {
	py "$@" <<-'END'
		import errno, os, sys
		from mt import *
		p, good, bad = sys.argv[1], os.fsencode(sys.argv[2]), os.fsencode(sys.argv[3])
		bad = bad.decode().encode().decode("unicode_escape").encode("latin-1")
		open("bad", "wb").write(bad)
		put(p, good)
		fd = os.open(p, os.O_WRONLY | os.O_TRUNC)
		os.write(fd, bad)
		refused(errno.EBADMSG, os.close, fd)
		eq(good, get(p), "after a refused close")
		fd = os.open(p, os.O_WRONLY | os.O_TRUNC)
		os.write(fd, bad)
		refused(errno.EBADMSG, os.fsync, fd)
		eq(good, others_see(p), "after a refused fsync")
		try:
		    os.close(fd)
		except OSError as e:
		    eq(errno.EBADMSG, e.errno, "errno of the close after a refused fsync")
		eq(good, get(p), "at the end")
		put(p, good)
	END
	draft_kept "${1##*/}" bad || fail "no rollbacks/TX.draft with the refused bytes of ${1##*/}"
	if [ "${4:-}" ]; then
		rollback_of "${1##*/}" | xargs -r cat >records # not into grep -q, which ends before cat does
		has records "^ *\"?line\"?: *$4\$"
	fi
}

test_bad_yaml_is_refused() {
	refuse_save "$D/f.yaml" $'a: 1\n' 'a: 1\nb: [1, 2\n'
	refuse_save "$D/g.yml" $'a: 1\n' 'a: 1\nok: x\n\tb: 2\n' 3
}

test_bad_json_is_refused() {
	refuse_save "$D/f.json" $'{"a": 1}\n' '{"a": 1,\n "b": }\n' 2
	refuse_save "$D/g.json" $'{"a": 1}\n' '{"a": 1'
	refuse_save "$D/h.json" $'{"a": 1}\n' '{"a": 1} {"b": 2}\n'
}

test_bad_jsonl_is_refused() {
	refuse_save "$D/f.jsonl" $'{"a": 1}\n' '{"a": 1}\n{"a": 2}\nnonsense\n' 3
}

test_nul_and_bad_utf8_are_refused() {
	refuse_save "$D/nul.yaml" $'a: 1\n' 'a: "x\x00y"\n'
	refuse_save "$D/nul.json" $'{"a": 1}\n' '{"a": "x\x00y"}\n'
	refuse_save "$D/utf.yaml" $'a: 1\n' 'a: "\xff\xfe"\n'
	refuse_save "$D/utf.json" $'{"a": 1}\n' '{"a": "\xc3("}\n'
}

test_depth_is_bounded() {
	py "$D/f.json" <<-'END'
		import errno, os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"[]\n")
		fd = os.open(p, os.O_WRONLY | os.O_TRUNC)
		os.write(fd, b"[" * 200000 + b"]" * 200000)
		refused(errno.EBADMSG, os.close, fd)
		eq(b"[]\n", get(p), "after")
	END
}

test_valid_forms_are_accepted() {
	printf -- '---\na: 1\n---\nb: 2\n' >"$D/multi.yaml"
	printf 'a: &x {k: "é"}\nb: *x\nc: |\n  text: [\n' >"$D/anchor.yaml"
	printf '"just a string"' >"$D/s.json"
	printf '{"a": "\\u00e9é", "n": -1.5e3, "t": [true, false, null]}' >"$D/t.json"
	printf '{"a":1}\n[2]\n' >"$D/lines.jsonl"
	mnt_remount
	eq 5 "$(find "$D" -type f -size +0 | wc -l)" files
	eq "" "$(events_grep '.event_type == "malformed_accepted" and (.data.path | test("valid_forms"))')" "events of malformed content"
}

test_bad_record_fields() {
	local rec
	printf '{"a": 1}\n' >"$D/f.json"
	printf '{"a": 1,\n "b": }\n' >bad
	must_fail cp bad "$D/f.json"
	file_is "$D/f.json" '{"a": 1}'
	draft_kept f.json bad
	rec=$(rollback_of "bad_record_fields/f.json" | head -n 1)
	[ "$rec" ] || fail "no record names the file"
	has "$rec" '^transaction:'
	has "$rec" "^  id: *\"?$(basename "$rec" .yaml)\"?"
	has "$rec" '^  operation: *"?write"?'
	has "$rec" "^  target_file: *\"?state/sessions/s1/state/bad_record_fields/f.json\"?"
	has "$rec" '^  status: *"?rolled_back"?'
	has "$rec" '^  started_at: *"?20[0-9-]+T[0-9:.]+Z"?'
	has "$rec" '^  rolled_back_at: *"?20[0-9-]+T[0-9:.]+Z"?'
	has "$rec" '^ *reason:'
	has "$rec" '^ *"?line"?: *2$'
	has "$rec" '^ *"?column"?: *[0-9]+$'
	has "$rec" '^ *"?message"?: *[^ ]'
	has "$rec" '^backup:'
	has "$rec" '^  backup_created: *true'
	has "$rec" "^  backup_checksum: *\"?(sha256:)?$(sha256sum <"$D/f.json" | cut -c1-64)"
}

test_refusal_is_visible_to_shell_users() {
	local before
	echo 'a: 1' >"$D/f.yaml"
	before=$(event_count)
	echo 'a: [' >"$D/f.yaml" 2>/dev/null || true # shells ignore what close says
	file_is "$D/f.yaml" 'a: 1'
	[ "$(rollback_of refusal_is_visible_to_shell_users/f.yaml)" ] || fail "nothing under rollbacks"
	if ! tail -n "+$((before + 1))" "$M/state/events/all.jsonl" | grep -q refusal_is_visible && ! grep -q refusal_is_visible "$M/status/health.yaml"; then
		fail "neither the events nor status/health.yaml tell of it"
	fi
}

test_rename_of_bad_over_good_is_refused() {
	echo 'a: 1' >"$D/f.yaml"
	echo 'a: [' >"$D/f.tmp"
	fails_with 'bad message' mv "$D/f.tmp" "$D/f.yaml"
	file_is "$D/f.yaml" 'a: 1'
	file_is "$D/f.tmp" 'a: ['
	py "$D" <<-'END'
		import errno, os, sys
		from mt import *
		d = sys.argv[1]
		refused(errno.EBADMSG, os.rename, d + "/f.tmp", d + "/f.yaml")
	END
	echo 'a: 2' >"$D/f.tmp"
	mv "$D/f.tmp" "$D/f.yaml"
	file_is "$D/f.yaml" 'a: 2'
}

test_tools_that_would_break_a_file() {
	printf 'a: 1\nb: 2\n' >"$D/f.yaml"
	cp "$D/f.yaml" good
	must_fail sed -i 's/1/[/' "$D/f.yaml"
	same good "$D/f.yaml"
	echo 'a: [' >bad
	must_fail cp bad "$D/f.yaml"
	same good "$D/f.yaml"
	must_fail dd if=bad of="$D/f.yaml" status=none
	same good "$D/f.yaml"
	printf '{"a": 1}\n' >"$D/f.json"
	must_fail truncate -s 4 "$D/f.json"
	echo x | must_fail tee "$D/f.json" >/dev/null
	file_is "$D/f.json" '{"a": 1}'
	# from another file system: removed and created anew
	must_fail mv bad "$D/f.json"
	file_is "$D/f.json" '{"a": 1}'
	[ -e bad ] || fail "the source of a refused mv is gone"
}

test_vim_cannot_break_a_file() {
	local way
	need vim
	printf '{"a": 1}\n' >"$D/f.json"
	for way in auto yes no; do
		vim -u NONE -es -c "set backupcopy=$way" -c '1s/1}/1/' -c 'w!' -c 'q!' "$D/f.json" || true
		file_is "$D/f.json" '{"a": 1}'
	done
}

test_malformed_is_accepted_where_nothing_good_was() {
	echo 'a: [' >"$D/new.yaml"
	file_is "$D/new.yaml" 'a: ['
	[ "$(events_grep '.event_type == "malformed_accepted" and (.data.path | endswith("nothing_good_was/new.yaml"))')" ] ||
		fail "no malformed_accepted event"
	echo 'a: [[' >"$D/new.yaml"
	file_is "$D/new.yaml" 'a: [['
	echo 'a: 1' >"$D/new.yaml"
	echo 'b: [' >bad
	must_fail cp bad "$D/new.yaml"
	file_is "$D/new.yaml" 'a: 1'
	mnt_remount
	must_fail cp bad "$D/new.yaml"
	file_is "$D/new.yaml" 'a: 1'
}

test_empty_is_valid_and_logged() {
	echo 'a: 1' >"$D/f.yaml"
	: >"$D/f.yaml"
	eq 0 "$(stat -c %s "$D/f.yaml")" size
	[ "$(events_grep '.event_type == "shrunk_to_empty" and (.data.path | endswith("empty_is_valid_and_logged/f.yaml"))')" ] ||
		fail "no shrunk_to_empty event"
	echo 'b: [' >bad
	must_fail cp bad "$D/f.yaml"
	eq 0 "$(stat -c %s "$D/f.yaml")" "size after a refused save"
}

test_excluded_paths_are_not_looked_at() {
	mkdir -p "$D/.git" "$D/node_modules/x"
	for f in "$D/.git/f.json" "$D/node_modules/x/package.json"; do
		echo '{"a": 1}' >"$f"
		echo '{"a": ' >"$f"
		file_is "$f" '{"a": '
	done
	echo 'a: [' >"$D/free.txt"
	echo 'a: [' >"$D/free.md"
	eq "" "$(events_grep '.event_type == "malformed_accepted" and (.data.path | test("excluded_paths"))')" "events of excluded files"
}

test_rw_edit_is_published_at_close() {
	py "$D/f.yaml" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		old = b"a: 1\nb: 2\n" + b"# pad\n" * 2000
		put(p, old)
		fd = os.open(p, os.O_RDWR)
		os.pwrite(fd, b"a: [", 0)
		eq(b"a: [", os.pread(fd, 4, 0), "own read")
		stays(2.3, lambda: others_see(p) == old, "an edit was published before close")
		os.pwrite(fd, b"a: 9", 0)
		os.close(fd)
		eq(b"a: 9" + old[4:], others_see(p), "after close")
		fd = os.open(p, os.O_RDWR)
		os.pwrite(fd, b"a: 8", 0)
		os.fsync(fd)
		eq(b"a: 8" + old[4:], others_see(p), "after fsync")
		os.close(fd)
	END
}

test_rw_edit_that_breaks_is_refused() {
	py "$D/f.json" <<-'END'
		import errno, os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b'{"a": 1}\n')
		fd = os.open(p, os.O_RDWR)
		os.pwrite(fd, b'[', 0)
		refused(errno.EBADMSG, os.close, fd)
		eq(b'{"a": 1}\n', get(p), "after")
		refused(errno.EBADMSG, os.truncate, p, 4)
		eq(b'{"a": 1}\n', get(p), "after truncate")
	END
}

test_session_file_is_guarded() {
	local before
	before=$(grep -v last_ "$S/session.yaml")
	echo 'session: [' >bad
	must_fail cp bad "$S/session.yaml"
	eq "$before" "$(grep -v last_ "$S/session.yaml")" session.yaml
	echo 'session: [' >"$S/session.yaml" || true
	eq "$before" "$(grep -v last_ "$S/session.yaml")" session.yaml
	must_fail mv bad "$S/session.yaml"
	eq "$before" "$(grep -v last_ "$S/session.yaml")" session.yaml
}

test_refused_bytes_survive_kill9() {
	echo 'a: 1' >"$D/f.yaml"
	echo 'b: [ typed for an hour' >bad
	must_fail cp bad "$D/f.yaml"
	mnt_crash
	draft_kept refused_bytes_survive_kill9/f.yaml bad || fail "the refused bytes are lost"
	file_is "$D/f.yaml" 'a: 1'
}

test_readers_never_see_bad_while_refused() {
	local i reader
	printf 'a: 1\n' >"$D/f.yaml"
	printf 'a: [\n' >bad
	# shellcheck disable=SC2016
	"$BASH" -c 'n=0; until [ -e stop ]; do v=$(cat "$1"); case $v in "a: 1"|"a: 2") n=$((n+1));; *) echo "$v"; exit 1;; esac; done; echo $n >count' r "$D/f.yaml" >torn &
	reader=$!
	for i in $(seq 60); do
		must_fail cp bad "$D/f.yaml" 2>/dev/null
		echo "a: $((i % 2 + 1))" >"$D/f.yaml"
	done
	touch stop
	wait "$reader" || fail "a reader saw: $(cat torn)"
	[ "$(cat count)" -gt 5 ]
}

run_tests "$@"
