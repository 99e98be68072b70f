#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# recovery/report.yaml: what it says of restores, drafts, a torn tail and damage.
. "$(dirname "$0")/lib.sh"

# yaml FILE: it is well-formed, as another program says
yaml() {
	"$PY" -c 'import sys
try:
    import yaml
except ImportError:
    sys.exit()
yaml.safe_load(open(sys.argv[1]))' "$1"
}

test_report_of_restores() {
	session rep-1
	session_fill
	yaml "$R/report.yaml"
	has "$R/report.yaml" '^restores: \[\]$'
	has "$R/report.yaml" '^  torn_bytes: 0$'
	has "$R/report.yaml" '^  damage: \[\]$'
	mkdir "$C/c1" "$C/c2"
	session_spoil
	echo c1 >"$R/restore"
	echo x >"$X/state/x"
	# shellcheck disable=SC2016
	MILESTONES_AGENT=fixer "$BASH" -c 'echo c2 >"$1"' sh "$R/restore"
	yaml "$R/report.yaml"
	eq "c2 c1" "$(sed -n 's/^    checkpoint: "\(.*\)"/\1/p' "$R/report.yaml" | paste -sd ' ')" "newest first"
	eq "passed passed" "$(sed -n 's/^    validation: "\(.*\)"/\1/p' "$R/report.yaml" | paste -sd " ")" "validation"
	eq fixer "$(key "$R/report.yaml" agent)" "who"
	eq "$(head -n 1 "$R/restore" | cut -f 1)" "$(key "$R/report.yaml" pre_recovery)" "the checkpoint before"
	[ -e "$M/transactions/committed/$(key "$R/report.yaml" transaction).yaml" ] || fail "no such transaction"
	eq "$(events_grep '.event_type == "session_recovered" and .session_id == "rep-1"' | tail -n 1 | jq -r .timestamp)" "$(key "$R/report.yaml" restored_at)" "when"
	session rep-2
	has "$R/report.yaml" '^restores: \[\]$'
	# it is history, from an index snapshot or without one
	mnt_remount
	R=$M/state/sessions/rep-1/recovery
	eq "c2 c1" "$(sed -n 's/^    checkpoint: "\(.*\)"/\1/p' "$R/report.yaml" | paste -sd ' ')" "after a remount"
	mnt_crash
	eq "c2 c1" "$(sed -n 's/^    checkpoint: "\(.*\)"/\1/p' "$R/report.yaml" | paste -sd ' ')" "after a crash"
	mnt_stop
	chmod u+w "$M" "$M/index"
	rm -f "$M"/index/*
	chmod 0500 "$M"
	mnt_start
	eq "c2 c1" "$(sed -n 's/^    checkpoint: "\(.*\)"/\1/p' "$R/report.yaml" | paste -sd ' ')" "without an index"
}

test_report_of_drafts() {
	local id
	session drafts-1
	py "$X" "$PID_FILE" <<-'END' || true
		import os, signal, sys
		fd = os.open(sys.argv[1] + "/state/it's \"half\"\n: done.txt", os.O_WRONLY | os.O_CREAT)
		os.write(fd, b"half a file\n")
		os.kill(int(open(sys.argv[2]).read()), signal.SIGKILL)
		os._exit(0)
	END
	mnt_wait_end
	fusermount3 -u -z "$M" 2>/dev/null || umount -l "$M"
	mnt_start
	yaml "$R/report.yaml"
	has "$R/report.yaml" '^  drafts:$'
	has "$R/report.yaml" 'path: "state/sessions/drafts-1/state/it.s \\"half\\"\\n: done\.txt"'
	id=$(sed -nE '/^  drafts:/,/^[^ ]/ s/^    - id: "(.*)"/\1/p' "$R/report.yaml" | head -n 1)
	file_is "$M/transactions/pending/$id.draft" "half a file"
	mv "$M/transactions/pending/$id.draft" "$M/transactions/rollbacks/"
	has "$R/report.yaml" '^  drafts: \[\]$'
}

# store_project NAME: a project of its own, with a history, stopped
store_project() {
	mnt_stop
	project_at "$T/$1"
	mnt_start
	R=$S/recovery
	echo MARKED-"$1"-000000000000000000000000 >"$S/state/marked.txt"
	for i in $(seq 10); do echo "$i" >"$S/state/after$i.txt"; done
}

test_report_of_a_torn_tail() {
	local shared=$P
	store_project torn
	mnt_kill9
	chmod -R u+w "$M"
	py "$M/journal" <<-'END'
		import os, sys
		from mt import *
		for name in sorted(os.listdir(sys.argv[1]), reverse=True):
		    path = os.path.join(sys.argv[1], name)
		    data = get(path).rstrip(b"\0")
		    at = data.rfind(b"after10.txt")
		    if at >= 0:
		        fd = os.open(path, os.O_RDWR)
		        os.pwrite(fd, b"\0" * (len(data) - at - 3), at + 3)
		        os.close(fd)
		        sys.exit()
		die("the last save is not found in the journal")
	END
	rm -rf "$M"/index/*
	chmod 0500 "$M"
	mnt_start
	yaml "$R/report.yaml"
	[ "$(key "$R/report.yaml" torn_bytes)" -gt 0 ] || fail "nothing is reported: $(cat "$R/report.yaml")"
	has "$R/report.yaml" '^  torn_segment: [0-9]+$'
	has "$R/report.yaml" '^  torn_offset: [0-9]+$'
	file_is "$S/state/after9.txt" 9
	mnt_remount
	has "$R/report.yaml" '^  torn_bytes: 0$' # of the last mount
	mnt_stop
	project_at "$shared"
	mnt_start
}

# The journal is damaged where a file was saved: with an index snapshot it is known which, without one it is known where.
test_report_of_damage() {
	local shared=$P hit seq
	store_project damage
	seq=$(events_grep '.event_type == "file_created" and .data.path == "state/sessions/s1/state/marked.txt"' | jq .data.tx_seq)
	mnt_stop
	chmod -R u+w "$M"
	hit=$(cd "$M" && grep -raobF -m1 MARKED-damage- journal | head -n 1)
	[ "$hit" ] || fail "the saved bytes are not in the journal as they are"
	py "$M/${hit%%:*}" "$(($(cut -d: -f2 <<<"$hit") + 20))" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		at = int(sys.argv[2])
		os.pwrite(fd, bytes([os.pread(fd, 1, at)[0] ^ 0xff]), at)
	END
	chmod 0500 "$M"
	mnt_start
	wait_for grep -q '^    - first_sequence: ' "$R/report.yaml"
	yaml "$R/report.yaml"
	eq "$seq" "$(key "$R/report.yaml" first_sequence)" "the transaction"
	eq "$((0x$(sed -E 's,.*journal/([0-9a-f]+)\.seg.*,\1,' <<<"$hit")))" "$(key "$R/report.yaml" segment)" "the segment"
	has "$R/report.yaml" '^        - "state/sessions/s1/state/marked.txt"$'
	has "$R/report.yaml" '^  problems:$'
	yaml "$S/health.yaml"
	has "$S/health.yaml" '^  - path: "state/sessions/s1/state/marked.txt"$'
	eq "$seq" "$(key "$S/health.yaml" first_sequence)" "the transaction, in the health of the session"
	mnt_stop
	chmod -R u+w "$M"
	rm -rf "$M"/index/*
	chmod 0500 "$M"
	mnt_start
	yaml "$R/report.yaml"
	eq "$seq" "$(key "$R/report.yaml" first_sequence)" "the transaction, without an index"
	has "$R/report.yaml" '^      paths: \[\]$'
	[ "$(key "$R/report.yaml" bytes)" -gt 0 ]
	file_is "$S/state/after10.txt" 10
	mnt_stop
	project_at "$shared"
	mnt_start
}

run_tests "$@"
