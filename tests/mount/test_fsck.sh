#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# fsck: what it finds and says of damaged stores, what --repair mends and what it leaves, its exit statuses as fsck(8), and the mount afterwards.
. "$(dirname "$0")/lib.sh"
export NO_MOUNT=1

# some_history: a store with a few files, unmounted; a save with noise that is found on disk as it is
some_history() {
	local i
	mnt_start
	mkdir -p "$D"
	echo one >"$D/f.txt"
	printf 'FLIP-THIS-%s' "$(head -c 300 /dev/urandom | base64 -w0)" >"$D/marked.txt"
	for i in $(seq 30); do
		echo "$i" >"$D/after$i.txt"
	done
	mnt_stop
}

store_sums() {
	(cd "$M" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

test_fsck_of_a_clean_store() {
	local r=0
	some_history
	store_sums >before
	"$MILESTONEFS" fsck "$P" >said 2>&1 || r=$?
	eq 0 "$r" "status ($(tr '\n' ' ' <said))"
	r=0
	"$MILESTONEFS" fsck "$M" >said 2>&1 || r=$?
	eq 0 "$r" "status when the store is named ($(tr '\n' ' ' <said))"
	store_sums >after
	same before after
	mnt_start
	must_fail "$MILESTONEFS" fsck --repair "$P"
	file_is "$D/f.txt" one
	mnt_kill9
	"$MILESTONEFS" fsck "$P" >&2 || [ $? -lt 4 ] || fail "status of a store whose daemon was killed"
}

# flip FILE OFFSET: invert one byte
flip() {
	py "$1" "$2" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		at = int(sys.argv[2])
		old = os.pread(fd, 1, at)
		os.pwrite(fd, bytes([old[0] ^ 0xff]), at)
		os.fsync(fd)
	END
}

test_fsck_names_corruption_in_the_middle() {
	local hit r=0
	some_history
	chmod -R u+w "$M"
	hit=$(cd "$M" && grep -raobF -m1 FLIP-THIS- journal | head -n 1)
	[ "$hit" ] || fail "the saved bytes are not in the journal as they are"
	flip "$M/${hit%%:*}" "$(($(cut -d: -f2 <<<"$hit") + 20))"
	chmod 0500 "$M"
	store_sums >before
	"$MILESTONEFS" fsck "$P" >said 2>&1 || r=$?
	[ $((r & 4)) -ne 0 ] || fail "status $r, want the bit 4 (errors left): $(tr '\n' ' ' <said)"
	[ -s said ] || fail "fsck says nothing"
	store_sums >after
	same before after
	mnt_start
	must_fail grep -q '^status: healthy' "$M/status/health.yaml"
	file_is "$D/f.txt" one
	for i in $(seq 30); do
		file_is "$D/after$i.txt" "$i"
	done
	must_fail grep -q FLIP-THIS- "$D/marked.txt" 2>/dev/null
	timeout 120 find "$M" >/dev/null
	mnt_kill9
}

test_fsck_and_mount_after_a_torn_tail() {
	local r=0
	some_history
	chmod -R u+w "$M"
	py "$M/journal" <<-'END'
		import os, sys
		from mt import *
		best = None
		for top, _, names in os.walk(sys.argv[1]):
		    for n in names:
		        data = get(os.path.join(top, n)).rstrip(b"\0")
		        at = data.rfind(b"after30.txt")
		        if at >= 0:
		            best = (os.path.join(top, n), at, len(data))
		check(best, "the last save is not found in the journal")
		fd = os.open(best[0], os.O_RDWR)
		os.pwrite(fd, b"\0" * (best[2] - best[1] - 3), best[1] + 3)
		os.close(fd)
	END
	rm -rf "$M"/index/*
	chmod 0500 "$M"
	mnt_start
	file_is "$D/f.txt" one
	file_is "$D/after29.txt" 29
	grep -q FLIP-THIS- "$D/marked.txt"
	echo new >"$D/new.txt"
	mnt_remount
	file_is "$D/new.txt" new
	mnt_stop
	"$MILESTONEFS" fsck "$P" >&2 || r=$?
	eq 0 "$r" "fsck after the tail was cut"
}

# damaged COMMANDS...: some_history, then the commands in the store, writable meanwhile
damaged() {
	some_history
	chmod -R u+w "$M"
	(cd "$M" && "$@")
	chmod 0500 "$M"
}

# fsck_says STATUS TEXT [OPTION...]: as said by fsck on stdout or stderr
fsck_says() {
	local r=0
	"$MILESTONEFS" fsck "${@:3}" "$P" >said 2>&1 || r=$?
	eq "$1" "$r" "status of fsck ${*:3} ($(tr '\n' ' ' <said))"
	grep -Eq -- "$2" said || fail "fsck ${*:3} should say '$2', said '$(tr '\n' ' ' <said)'"
}

# served [STATUS]: what some_history wrote is there; health's first line says STATUS
served() {
	mnt_start
	wait_for grep -qx "status: ${1:-healthy}" "$M/status/health.yaml"
	file_is "$D/f.txt" one
	for i in $(seq 29); do
		file_is "$D/after$i.txt" "$i"
	done
	echo new >"$D/new.txt"
	mnt_remount
	file_is "$D/new.txt" new
	mnt_stop
}

# offset_of TEXT FILE: of its last occurrence
offset_of() {
	grep -aobF -- "$1" "$2" | tail -n 1 | cut -d: -f1
}

flip_end() { # the last byte of the last frame
	py journal/00000001.seg <<-'END'
		import os, sys
		at = len(open(sys.argv[1], "rb").read().rstrip(b"\0")) - 1
		fd = os.open(sys.argv[1], os.O_RDWR)
		os.pwrite(fd, bytes([os.pread(fd, 1, at)[0] ^ 0xff]), at)
	END
}

flip_middle() { # of a frame in the middle
	flip journal/00000001.seg "$(offset_of marked.txt journal/00000001.seg)"
}

test_statuses_of_misuse() {
	local r=0
	"$MILESTONEFS" fsck --no-such-option "$P" 2>said || r=$?
	eq 16 "$r" "status of a wrong option"
	r=0
	"$MILESTONEFS" fsck 2>said || r=$?
	eq 16 "$r" "status without a place"
	fsck_says 8 'once milestonefs mount has run'
	some_history
	fsck_says 0 clean
	fsck_says 0 clean --repair
	eq '' "$("$MILESTONEFS" fsck -q "$P" 2>&1)" "what -q says of a clean store"
}

test_repair_drops_a_bad_index() {
	damaged sh -c 'for f in index/*.idx; do dd if=/dev/zero of=$f bs=1 seek=100 count=50 conv=notrunc status=none; done'
	fsck_says 4 'index/.* not valid'
	fsck_says 1 'repaired: index' --repair
	fsck_says 0 clean
	served
}

test_repair_makes_headers_anew() {
	damaged flip journal/00000001.seg 10
	fsck_says 4 'header is damaged'
	fsck_says 1 'repaired: headers' --repair
	fsck_says 0 clean
	served
}

test_repair_makes_format_anew() {
	local how
	for how in 'rm FORMAT' 'truncate -s 100 FORMAT' 'cp README FORMAT' 'dd if=/dev/zero of=FORMAT bs=1 seek=42 count=1 conv=notrunc status=none'; do
		if [ "$how" = 'rm FORMAT' ]; then
			# shellcheck disable=SC2086
			damaged $how
			cp -p "$M/README" readme
		else
			chmod u+w "$M"
			# shellcheck disable=SC2086
			(cd "$M" && $how)
			chmod 0500 "$M"
		fi
		fails_with "$M: .*fsck --repair" timeout 120 "$MILESTONEFS" mount "$P"
		fsck_says 4 'FORMAT is missing or damaged'
		fsck_says 1 'repaired: FORMAT' --repair
		fsck_says 0 clean
	done
	served
}

test_format_that_nobody_knows() {
	damaged sh -c 'rm FORMAT; for f in journal/*.seg; do dd if=/dev/zero of=$f bs=4096 count=1 conv=notrunc status=none; done'
	fsck_says 8 'restore it from a backup' --repair
	must_fail timeout 120 "$MILESTONEFS" mount "$P" 2>/dev/null
	! is_mounted || fail "mounted"
}

test_repair_cuts_an_unfinished_write() {
	damaged sh -c 'rm index/*'
	(cd "$M" && flip_end)
	fsck_says 0 'unfinished write'
	fsck_says 1 'repaired: the unfinished write' --repair
	fsck_says 0 clean
	must_fail grep -q unfinished said
	served
}

# The same bytes, but the index snapshot knows that they were acknowledged: nothing is cut off, and no number given twice.
test_lost_end_is_no_unfinished_write() {
	local head
	some_history
	head=$("$MILESTONEFS" fsck "$P" | sed -nE 's/.*clean, ([0-9]+) transactions.*/\1/p')
	(cd "$M" && flip_end)
	fsck_says 4 "transaction $head cannot be read"
	fsck_says 4 "transaction $head cannot be read" --repair
	served degraded
	"$MILESTONEFS" log -j "$P" | jq -es "map(.data.tx_seq) | index($head) == null and max > $head" >/dev/null ||
		fail "transactions after $head: $("$MILESTONEFS" log -n 3 "$P")"
	fsck_says 4 "transaction $head cannot be read"
}

# The record is damaged, the bytes of the file in its frame are not, and the snapshot of before knows where they lie: repairing must not forget it.
test_repair_keeps_what_the_index_knows() {
	damaged flip_middle
	fsck_says 4 'cannot be read'
	must_fail grep -q idx said
	fsck_says 4 'cannot be read' --repair
	mnt_start
	grep -q FLIP-THIS- "$D/marked.txt" || fail "what is readable is gone"
	wait_for grep -qx 'status: degraded' "$M/status/health.yaml"
	mnt_stop
	# without it the name is lost with the record; health goes on saying so, also from the next snapshot on
	chmod -R u+w "$M"
	rm "$M"/index/*
	chmod 0500 "$M"
	served degraded
	mnt_start
	[ ! -e "$D/marked.txt" ] || fail "where does the name come from?"
	wait_for grep -qx 'status: degraded' "$M/status/health.yaml"
	mnt_stop
	fsck_says 4 'cannot be read'
}

# log shows what can be read, says what cannot, and fails.
test_log_of_a_damaged_store() {
	local r
	damaged flip_middle
	r=0
	"$MILESTONEFS" log "$P" >unmounted 2>why || r=$?
	eq 1 "$r" "status of log"
	has why 'bytes at offset .* cannot be read'
	has unmounted 'f.txt'
	has unmounted 'after30.txt'
	must_fail grep -q marked.txt unmounted
	mnt_start
	r=0
	"$MILESTONEFS" log "$P" >mounted 2>why || r=$?
	eq 1 "$r" "status of log, mounted"
	has why 'bytes at offset .* cannot be read'
	head -n "$(wc -l <unmounted)" mounted | diff unmounted - >&2 || fail "they differ, mounted and not"
	r=0
	cat "$M/state/events/all.jsonl" >all 2>/dev/null || r=$?
	[ "$r" -ne 0 ] || fail "a damaged log was read whole"
	jq -es 'any(.[].data.path // ""; endswith("/f.txt"))' all >/dev/null || fail "what comes before the damage is not given"
	mnt_stop
}

test_lost_segment() {
	damaged rm journal/00000001.seg
	fsck_says 4 'cannot be read'
	fsck_says 4 'cannot be read' --repair
	mnt_start
	grep -qx 'status: degraded' "$M/status/health.yaml"
	grep -q 'cannot be read' "$M/status/health.yaml"
	mkdir -p "$S"
	echo new >"$S/state/new.txt"
	mnt_remount
	file_is "$S/state/new.txt" new
	mnt_stop
}

test_damaged_content_file() {
	mnt_start
	mkdir "$D"
	head -c 1000000 /dev/urandom >original
	cp original "$D/big.bin"
	echo whole >"$D/whole.txt"
	mnt_stop
	flip "$M/content/00000001.blk" 500000
	fsck_says 4 'big.bin.*cannot be read'
	fsck_says 4 'big.bin.*cannot be read' --repair
	mnt_start
	must_fail cat "$D/big.bin" >/dev/null 2>&1
	(cd "$M" && must_fail sha256sum -c cache/checksums/SHA256SUMS >"$O/sums" 2>/dev/null)
	has sums 'big.bin: FAILED'
	has sums 'whole.txt: OK'
	fails_with 'big.bin: [0-9]+ of its 1000000 bytes are damaged' "$MILESTONEFS" export "$P" exported
	same "$D/whole.txt" "exported/${D#"$M/"}/whole.txt"
	cmp -n 300000 original "exported/${D#"$M/"}/big.bin" || fail "what can be read of the damaged file"
	eq 1000000 "$(stat -c %s "exported/${D#"$M/"}/big.bin")" "size of the damaged file"
	must_fail "$MILESTONEFS" export "$P" - >exported.tar 2>/dev/null
	tar -tf exported.tar | grep -q whole.txt || fail "the archive ends at the damaged file"
	wait_for grep -qx 'status: degraded' "$M/status/health.yaml"
	mnt_stop
}

test_index_may_be_deleted() {
	some_history
	chmod -R u+w "$M"
	rm -rf "$M"/index/*
	chmod 0500 "$M"
	mnt_start
	file_is "$D/after30.txt" 30
	mnt_stop
}

run_tests "$@"
