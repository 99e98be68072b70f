#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The event log: its fields, its chain, who is named as the actor.
. "$(dirname "$0")/lib.sh"
VERIFY=$TOP_DIR/scripts/verify-events.sh

# event_of PATH: the last event about the path (below the mount), one line
event_of() {
	tac "$M/state/events/all.jsonl" | jq -c --arg p "$1" 'select(.data.path == $p or .data.new_path == $p)' 2>/dev/null | head -n 1 || true
}

path_of() {
	echo "${1#"$M/"}"
}

test_fields_are_the_seeds() {
	local file
	need jq
	echo one >"$D/f.txt"
	for file in "$M/state/events/all.jsonl" "$S/events/session.jsonl" "$M/state/events/$(date -u +%F).jsonl"; do
		[ -s "$file" ] || fail "$file is empty"
		py "$file" <<-'END'
			import json, re, sys
			from mt import *
			names = {"event_id", "timestamp", "session_id", "event_type", "agent_id", "data", "sequence_number", "checksum"}
			ids = set()
			text = get(sys.argv[1])
			check(text.endswith(b"\n"), "no newline at the end")
			for n, line in enumerate(text.split(b"\n")[:-1], 1):
			    e = json.loads(line)
			    eq(names, set(e), f"line {n}: fields")
			    check(isinstance(e["data"], dict), f"line {n}: data")
			    check(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", e["timestamp"]), f"line {n}: timestamp {e['timestamp']}")
			    check(isinstance(e["sequence_number"], int) and e["sequence_number"] >= 1, f"line {n}: sequence_number")
			    check(re.fullmatch(r"[0-9a-f]{64}", e["checksum"]), f"line {n}: checksum {e['checksum']}")
			    check(isinstance(e["data"].get("tx_seq"), int), f"line {n}: data.tx_seq")
			    check(re.fullmatch(r"[0-9a-f]{64}", e["data"].get("global_checksum", "")), f"line {n}: data.global_checksum")
			    check(e["event_id"] not in ids, f"line {n}: event_id again")
			    ids.add(e["event_id"])
		END
	done
	eq s1 "$(jq -r .session_id "$S/events/session.jsonl" | sort -u)" "session_id in session.jsonl"
	jq -r .session_id "$M/state/events/all.jsonl" | sort -u | grep -qx s1 || fail "all.jsonl has no events of s1"
	eq "$(seq "$(wc -l <"$S/events/session.jsonl")")" "$(jq .sequence_number "$S/events/session.jsonl")" "sequence numbers of a session"
}

test_data_of_a_save() {
	local e me=$BASHPID
	need jq
	echo one >"$D/f.txt"
	echo two two >"$D/f.txt"
	e=$(event_of "$(path_of "$D/f.txt")")
	[ "$e" ] || fail "no event with data.path $(path_of "$D/f.txt"): $(tail -n 1 "$M/state/events/all.jsonl")"
	eq write "$(jq -r .data.operation <<<"$e")" "operation of the second save"
	eq 8 "$(jq .data.size <<<"$e")" size
	eq "$me" "$(jq .data.actor.pid <<<"$e")" "actor's pid"
	eq "$(id -u)" "$(jq .data.actor.uid <<<"$e")" "actor's uid"
	eq "$(cat "/proc/$$/comm")" "$(jq -r .data.actor.comm <<<"$e")" "actor's comm"
	jq -c '[.data | to_entries[] | select(.key | test("sha256")) | .value]' <<<"$e" >sums
	has sums "$(echo two two | sha256sum | cut -c1-64)"
	has sums "$(echo one | sha256sum | cut -c1-64)"
}

test_data_of_other_operations() {
	local op
	need jq
	mkdir "$D/dir"
	echo x >"$D/a"
	echo y >>"$D/a"
	mv "$D/a" "$D/b"
	ln "$D/b" "$D/hard"
	ln -s b "$D/sym"
	chmod 600 "$D/b"
	sync "$D/b"
	rm "$D/b"
	rmdir "$D/dir"
	events_grep '.data | tostring | test("data_of_other_operations/")' >mine
	for op in mkdir append rename link symlink remove; do
		jq -r '.data.operation' mine | grep -q "$op" || fail "no event with an operation like $op: $(jq -r .data.operation mine | sort -u | tr '\n' ' ')"
	done
	jq -r 'select(.data.operation | test("rename")) | .data | tostring' mine >renames
	has renames 'other_operations/a"'
	has renames 'other_operations/b"'
}

test_actor_by_environment() {
	local e
	need jq
	MILESTONES_AGENT=coder-7 MILESTONES_SESSION=s1 "$BASH" -c 'echo x >"$1"' sh "$D/f.txt"
	e=$(event_of "$(path_of "$D/f.txt")")
	eq coder-7 "$(jq -r .agent_id <<<"$e")" agent_id
	eq coder-7 "$(jq -r .data.actor.agent <<<"$e")" data.actor.agent
	MILESTONES_AGENT=coder-8 sed -i s/x/y/ "$D/f.txt"
	e=$(event_of "$(path_of "$D/f.txt")")
	eq coder-8 "$(jq -r .agent_id <<<"$e")" "agent_id of a tool's rename"
	eq sed "$(jq -r .data.actor.comm <<<"$e")" comm
	"$BASH" -c 'echo z >"$1"' sh "$D/f.txt"
	e=$(event_of "$(path_of "$D/f.txt")")
	eq system "$(jq -r .agent_id <<<"$e")" "agent_id without an agent"
}

test_actor_by_registered_ancestor() {
	local e
	need jq
	printf 'agent:\n  id: "anc-1"\n  type: "coder"\n  pid: %s\n' "$BASHPID" >"$S/agents/anc-1.yaml"
	"$BASH" -c '"$BASH" -c "cp /etc/hostname \"\$1\"; true" sh "$1"; true' sh "$D/f.txt"
	e=$(event_of "$(path_of "$D/f.txt")")
	eq anc-1 "$(jq -r .agent_id <<<"$e")" "agent_id by the registered ancestor's pid"
	MILESTONES_AGENT=other "$BASH" -c 'echo x >"$1"' sh "$D/f.txt"
	e=$(event_of "$(path_of "$D/f.txt")")
	eq other "$(jq -r .agent_id <<<"$e")" "the environment comes first"
}

test_size_is_true_and_any_offset_readable() {
	local i file at
	for i in 1 2 3 4 5 6 7 8; do
		echo "$i" >"$D/f$i.txt"
	done
	for file in "$M/state/events/all.jsonl" "$S/events/session.jsonl" "$M/state/events/$(date -u +%F).jsonl"; do
		cat "$file" >whole
		eq "$(stat -c %s "$file")" "$(wc -c <whole)" "size of $file"
		for at in 1 100 777 $(($(wc -c <whole) - 10)); do
			dd if="$file" bs=1 skip="$at" count=90 status=none >piece
			tail -c "+$((at + 1))" whole >rest
			head -c 90 rest | cmp - piece || fail "$file at $at"
		done
		eq "$(tail -n 2 whole)" "$(tail -n 2 "$file")" "tail of $file"
	done
}

test_log_grows_under_tail_f() {
	local i
	tail -n 0 -f "$S/events/session.jsonl" >seen &
	# shellcheck disable=SC2016
	wait_for eval 'echo probe >"$D/probe.txt"; test -s seen' # it has begun
	for i in 1 2 3; do
		echo "$i" >"$D/tail$i.txt"
		wait_for grep -q "tail$i.txt" seen
	done
	eq "$(wc -l <seen)" "$(sort -u seen | wc -l)" "lines seen once"
	eq "$(tail -n "$(wc -l <seen)" "$S/events/session.jsonl" | head -c 2000)" "$(head -c 2000 seen)" "what tail saw"
}

test_log_survives() {
	echo x >"$D/f.txt"
	cat "$S/events/session.jsonl" >before
	cat "$M/state/events/all.jsonl" >all
	mnt_crash
	head -n "$(wc -l <before)" "$S/events/session.jsonl" | cmp - before || fail "session.jsonl changed by kill -9"
	head -n "$(wc -l <all)" "$M/state/events/all.jsonl" | cmp - all || fail "all.jsonl changed by kill -9"
	mnt_remount
	head -n "$(wc -l <all)" "$M/state/events/all.jsonl" | cmp - all || fail "all.jsonl changed by a remount"
}

# names_line FILE LINE...: verify-events refuses the file and names one of the lines
names_line() {
	local file=$1 said line
	shift
	if said=$("$VERIFY" "$file" 2>&1); then
		fail "verify-events accepts $file"
	fi
	for line; do
		if grep -Eiq "(line[ :=]*|:)$line([^0-9]|\$)" <<<"$said"; then
			return 0
		fi
	done
	fail "verify-events does not name line $* of $file: ${said:0:200}"
}

test_verify_accepts_and_names_mutations() {
	local file i n k
	need jq
	[ -x "$VERIFY" ] || fail "no scripts/verify-events.sh"
	mkdir "$M/state/sessions/verify-2"
	for i in 1 2 3 4 5 6; do
		echo "$i" >"$D/f$i.txt"
		echo "$i" >"$M/state/sessions/verify-2/state/f$i.txt"
	done
	for file in "$S/events/session.jsonl" "$M/state/sessions/verify-2/events/session.jsonl" "$M/state/events/all.jsonl"; do
		cat "$file" >log.jsonl
		"$VERIFY" log.jsonl >/dev/null || fail "verify-events refuses $file: $("$VERIFY" log.jsonl 2>&1 | head -n 3)"
		"$VERIFY" "$file" >/dev/null || fail "verify-events refuses $file in place"
		n=$(wc -l <log.jsonl)
		[ "$n" -ge 6 ] || fail "only $n lines in $file"
		k=$((n / 2))
		sed "${k}s/\"agent_id\": *\"[^\"]*\"/\"agent_id\":\"mallory\"/" log.jsonl >edit.jsonl
		! cmp -s log.jsonl edit.jsonl || fail "the edit changed nothing: $(sed -n "${k}p" log.jsonl)"
		names_line edit.jsonl "$k"
		sed "${k}s/\"tx_seq\": *[0-9]*/\"tx_seq\":999999/" log.jsonl >edit2.jsonl
		! cmp -s log.jsonl edit2.jsonl || fail "the second edit changed nothing"
		names_line edit2.jsonl "$k"
		sed "${k}d" log.jsonl >cut.jsonl
		names_line cut.jsonl "$k"
		sed "${k}{h;d};$((k + 1)){G}" log.jsonl >swap.jsonl
		eq "$n" "$(wc -l <swap.jsonl)" "lines after the swap"
		names_line swap.jsonl "$k" $((k + 1))
	done
}

test_readers_of_a_growing_log() {
	local i reader
	cat >reader.py <<-'END'
		import json, os, sys
		n = 0
		while not os.path.exists(sys.argv[2]):
		    with open(sys.argv[1], "rb") as f:
		        data = f.read()
		    if not data.endswith(b"\n"):
		        sys.exit("half a line: %r" % data[-80:])
		    lines = data.splitlines()
		    if len(lines) < n:
		        sys.exit("the log shrank")
		    n = len(lines)
		    json.loads(lines[-1])
		print(n)
	END
	"$PY" reader.py "$M/state/events/all.jsonl" "$O/stop" >count 2>torn &
	reader=$!
	for i in $(seq 300); do
		echo "$i" >"$D/f.txt"
	done
	touch stop
	wait "$reader" || fail "$(cat torn)"
	[ "$(events_grep '.data.path // "" | test("readers_of_a_growing_log/f.txt")' | wc -l)" -ge 300 ] || fail "fewer than 300 events for 300 saves"
}

run_tests "$@"
