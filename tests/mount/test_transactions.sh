#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Records under transactions/: committed, pending, rolled back.
. "$(dirname "$0")/lib.sh"

# committed_of TEXT: names of committed records that mention TEXT, newest last
committed_of() {
	grep -lF -- "$1" "$M"/transactions/committed/*.yaml | sort || true
}

test_committed_record() {
	local rec
	echo one >"$D/f.txt"
	echo two >"$D/f.txt"
	rec=$(committed_of committed_record/f.txt | tail -n 1)
	[ "$rec" ] || fail "no record of the save in committed/"
	has "$rec" '^transaction:'
	has "$rec" "^  id: *\"?$(basename "$rec" .yaml)\"?"
	has "$rec" '^  operation: *"?write"?'
	has "$rec" '^  target_file: *"?state/sessions/s1/state/committed_record/f.txt"?'
	has "$rec" '^  status: *"?committed"?'
	has "$rec" '^  started_at: *"?20[0-9-]+T[0-9:.]+Z"?'
	has "$rec" '^  committed_at: *"?20[0-9-]+T[0-9:.]+Z"?'
	has "$rec" '^backup:'
	has "$rec" '^  original_file:'
	has "$rec" '^  backup_created: *true'
	has "$rec" "^  backup_checksum: *\"?(sha256:)?$(echo one | sha256sum | cut -c1-64)"
	rec=$(committed_of committed_record/f.txt | head -n 1)
	has "$rec" '^  backup_created: *false'
	has "$rec" '^  backup_checksum: *null'
}

test_ids_are_unique_and_sort_by_time() {
	local i
	for i in 1 2 3 4 5; do
		echo "$i" >"$D/f$i.txt"
	done
	committed_of ids_are_unique_and_sort_by_time/f >ids
	for i in 1 2 3 4 5; do
		xargs grep -l "f$i.txt" <ids | tail -n 1
	done >order
	eq "$(sort order)" "$(cat order)" "order of ids"
	eq 5 "$(sort -u order | wc -l)" "different ids"
}

test_records_survive() {
	local rec
	echo one >"$D/f.txt"
	rec=$(committed_of records_survive/f.txt | tail -n 1)
	cat "$rec" >before
	mnt_crash
	same before "$rec"
}

test_a_record_is_found_by_name() {
	local rec i
	echo one >"$D/first.txt"
	rec=$(committed_of a_record_is_found_by_name/first.txt | head -n 1)
	cat "$rec" >before
	mnt_remount -o sync=interval:200
	for i in $(seq 1500); do
		echo "$i"
	done | (cd "$D" && xargs touch)
	same before "$rec"
	fails_with 'no such file' cat "$M/transactions/committed/nonsense.yaml"
}

test_pending_while_a_draft_is_open() {
	local rec
	echo old >"$D/f.txt"
	echo sync >"$D/g.txt"
	exec 3>"$D/f.txt"
	echo "not yet" >&3
	wait_for grep -qs pending_while_a_draft_is_open/f.txt "$M"/transactions/pending/*.yaml
	rec=$(grep -lF pending_while_a_draft_is_open/f.txt "$M"/transactions/pending/*.yaml | head -n 1)
	has "$rec" '^  status: *"?pending"?'
	has "$rec" '^  target_file: *"?state/sessions/s1/state/pending_while_a_draft_is_open/f.txt"?'
	has "$rec" '^  started_at: *"?20[0-9-]+T[0-9:.]+Z"?'
	exec 3>&-
	wait_for test ! -e "$rec"
	[ "$(committed_of pending_while_a_draft_is_open/f.txt)" ] || fail "no record in committed/ after close"
}

test_rolled_back_record_and_draft() {
	local rec
	echo 'a: 1' >"$D/f.yaml"
	echo 'a: {' >bad
	must_fail cp bad "$D/f.yaml"
	rec=$(rollback_of rolled_back_record_and_draft/f.yaml | head -n 1)
	[ "$rec" ] || fail "no record in rollbacks/"
	has "$rec" '^  status: *"?rolled_back"?'
	has "$rec" '^  rolled_back_at: *"?20[0-9-]+T[0-9:.]+Z"?'
	has "$rec" '^ *reason:'
	same bad "${rec%.yaml}.draft"
	eq "$(stat -c %s "${rec%.yaml}.draft")" 5 "size of the draft"
	cat "$rec" >before
	mnt_crash
	same before "$rec"
	same bad "${rec%.yaml}.draft"
	must_fail "$BASH" -c 'echo x >>"$1"' sh "$rec" 2>/dev/null
}

test_one_save_is_one_transaction() {
	local before i
	echo one >"$D/f.txt"
	before=$(tail -n 1 "$M/state/events/all.jsonl" | jq .data.tx_seq)
	for i in 1 2 3; do
		head -c 300000 /dev/urandom | dd of="$D/f$i.bin" bs=1000 status=none
	done
	eq 3 "$(events_grep ".data.tx_seq > $before and (.data.path // \"\" | test(\"one_save_is_one_transaction\"))" | jq .data.tx_seq | sort -u | wc -l)" "transactions of three saves"
}

run_tests "$@"
