#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# recovery/restore puts a session back, all of it or nothing. (report.yaml: test_report.sh. resume.sh: test_resume.sh.)
. "$(dirname "$0")/lib.sh"

# digest DIR: what find and cat say of it, but for numbers and the times of directories
digest() {
	(
		cd "$1" || exit 1
		find . ! -type d -printf '%y %m %U %G %n %T@ %s %p -> %l\n' -o -printf '%y %m %U %G %p\n' | grep -v '\./\.health\|\./\.sync\| \.$' | sort
		find . -type f ! -path './.health/*' -print0 | sort -z | xargs -0r sha256sum
	)
}

both() {
	digest "$1/state"
	find "$1/agents" -name '*.yaml' -not -path '*/.sync/*' -printf '%f\n' | sort
}

# transactions: of the session, but those in which the daemon does what is due by itself
transactions() {
	grep -vF '"operation":"upkeep"' "$X/events/session.jsonl" | sed -n 's/.*"tx_seq":\([0-9]*\).*/\1/p' | sort -u | wc -l
}

# --- restore -----------------------------------------------------------------------

test_restore() {
	local before
	session back-1
	session_fill
	both "$X" >want
	mkdir "$C/c1"
	session_spoil
	before=$(transactions)
	echo c1 >"$R/restore"
	eq 2 $(($(transactions) - before)) "transactions: the checkpoint before and the restore"
	both "$X" >got
	same want got
	diff -r "$C/c1/state" "$X/state"
	eq c1 "$(events_grep '.event_type == "session_recovered" and .session_id == "back-1"' | jq -r .data.checkpoint_id)" "session_recovered"
	eq pre_recovery "$(key "$C/$(head -n 1 "$R/restore" | cut -f 1)/checkpoint.yaml" reason)" "the newest checkpoint's reason"
	key "$X/session.yaml" status | grep -qx active
	mnt_crash
	both "$X" >got
	same want got
}

test_latest_and_undo() {
	local name
	session undo-1
	session_fill
	mkdir "$C/c1"
	session_spoil
	both "$X" >spoiled
	echo latest >"$R/restore"
	file_is "$X/state/plan.yaml" "v: 1"
	# undone by restoring what was taken before it
	name=$(cut -f 1 "$R/restore" | head -n 1)
	echo "$name" >"$R/restore"
	both "$X" >got
	same spoiled got
	eq 2 "$(events_grep '.event_type == "session_recovered" and .session_id == "undo-1"' | wc -l)" "session_recovered"
	echo c1 >"$R/restore"
	file_is "$X/state/a/b/deep.txt" deep
}

test_unknown_names() {
	local before name
	session none-1
	session_fill
	mkdir "$C/c1"
	session_spoil
	both "$X" >want
	before=$(transactions)
	# shellcheck disable=SC2016
	for name in nothing c2 '../c1' 'c1/state' ' ' '$(id)' "c'1" "$(printf 'x%.0s' {1..200})" 'latest c1'; do
		if [ "$name" = ' ' ]; then
			echo "$name" >"$R/restore" # a blank line asks for nothing
			continue
		fi
		fails_with 'no such file' "$BASH" -c 'echo "$1" >"$2"' sh "$name" "$R/restore"
	done
	eq "$before" "$(transactions)" "transactions ($(tail -n 3 "$M/state/events/all.jsonl"))"
	both "$X" >got
	same want got
	fails_with 'not permitted|read-only' rm "$M/status/version"
	# several by one write: all must be there, then it goes one after the other
	py "$R/restore" <<-'END'
		import errno, os, sys
		from mt import *
		fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
		refused(errno.ENOENT, os.write, fd, b"\nc1\n\nnothing\nc1\n")
		refused(errno.EINVAL, os.write, fd, b"c1\0")
		refused(errno.EFBIG, os.write, fd, b"c1\n" * 20000)
	END
	eq "$before" "$(transactions)" "transactions"
	printf '\n\tc1 \r\n\nlatest' >"$R/restore"
	eq $((before + 4)) "$(transactions)" "transactions"
	both "$X" >got
	same want got
	echo c1 >"$R/restore"
	file_is "$X/state/plan.yaml" "v: 1"
	rmdir "$C/c1"
	# shellcheck disable=SC2016
	fails_with 'no such file' "$BASH" -c 'echo c1 >"$1"' sh "$R/restore"
}

test_list() {
	session list-1
	mkdir "$C/one" "$C/two" "$C/checkpoint-x"
	eq "checkpoint-x two one" "$(cut -f 1 "$R/restore" | head -n 3 | paste -sd ' ')" "newest first"
	eq "manual two one initialization" "$(cut -f 3 "$R/restore" | paste -sd ' ')" "reasons"
	eq "$(key "$C/two/checkpoint.yaml" created_at | cut -c 1-19)" "$(awk '$1 == "two" { print substr($2, 1, 19) }' "$R/restore")" "time"
	eq "$(wc -c <"$R/restore")" "$(stat -c %s "$R/restore")" "size"
	rmdir "$C/two"
	eq "checkpoint-x one" "$(cut -f 1 "$R/restore" | head -n 2 | paste -sd ' ')" "after rmdir"
	mnt_remount
	eq "checkpoint-x one" "$(cut -f 1 "$R/restore" | head -n 2 | paste -sd ' ')" "after a remount"
}

test_sessions_apart() {
	local other
	session apart-1
	session_fill
	both "$X" >want
	other=$X
	session apart-2
	session_fill
	mkdir "$C/c1"
	session_spoil
	echo c1 >"$R/restore"
	both "$other" >got
	same want got
	# shellcheck disable=SC2016
	fails_with 'no such file' "$BASH" -c 'echo c1 >"$1"' sh "$other/recovery/restore"
}

# --- what is open, and what the kernel knows -----------------------------------------------

test_open_handles() {
	session open-1
	session_fill
	echo kept >"$X/state/kept.txt"
	mkdir "$C/c1"
	py "$X" <<-'END'
		import os, sys
		from mt import *
		x = sys.argv[1]
		s = x + "/state"
		def restore():
		    put(x + "/recovery/restore", b"c1\n")
		put(s + "/plan.yaml", b"v: 2\n")
		put(s + "/new", b"new\n")
		reader = os.open(s + "/plan.yaml", os.O_RDONLY)
		gone = os.open(s + "/new", os.O_RDONLY)
		eq(b"v: 2", os.pread(reader, 4, 0))
		logger = os.open(s + "/kept.txt", os.O_WRONLY | os.O_APPEND)
		os.write(logger, b"one\n")
		os.fsync(logger)
		saver = os.open(s + "/hard", os.O_WRONLY | os.O_TRUNC)
		os.write(saver, b"half")
		writer = child("fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND); os.write(fd, b'appended\\n'); print('in'); sys.stdin.readline()", s + "/new")
		expect(writer, "in")
		d = os.open(s + "/a", os.O_RDONLY)
		restore()
		eq(b"v: 1\n", os.pread(reader, 10, 0), "a reader that begins again")
		eq(b"new\n", os.pread(gone, 10, 0), "a removed file's reader")
		eq(0, os.fstat(gone).st_nlink, "links of a removed file")
		eq(b"kept\n", get(s + "/kept.txt"))
		os.write(logger, b"two\n")
		os.close(logger)
		eq(b"kept\ntwo\n", get(s + "/kept.txt"), "an appender goes on at the end")
		eq(b"deep\n", others_see(s + "/hard"), "before the save is closed")
		os.write(saver, b" and whole\n")
		os.close(saver)
		eq(b"half and whole\n", get(s + "/hard"), "after")
		eq(["b"], os.listdir(d))
		tell(writer)
		writer.wait()
		check(not os.path.exists(s + "/new"), "a removed file is back by its writer")
	END
	events_grep '.event_type == "conflict_detected" and .session_id == "open-1"' | grep -q state/new
	grep -qx appended "$M"/transactions/rollbacks/*.draft
}

# Whoever looks right after the write has returned finds what is there now.
test_kernel_caches() {
	session cache-1
	session_fill
	mkdir "$C/c1"
	py "$X" <<-'END'
		import os, subprocess, sys
		from mt import *
		x = sys.argv[1]
		s = x + "/state"
		for i in range(12):
		    # everything is in the kernel's caches: names that are, names that are not, attributes, a directory somebody is in
		    if i % 3 == 0:
		        holder = child("os.chdir(sys.argv[1]); print('in'); sys.stdin.readline()", s + "/a/b")
		        expect(holder, "in")
		    subprocess.run(["rm", "-r", s + "/a"], check=True)
		    put(s + "/plan.yaml", b"v: 2 # longer\n")
		    put(s + "/new", b"new\n")
		    os.makedirs(s + "/dir/sub")
		    put(s + "/dir/sub/f", b"x")
		    os.unlink(s + "/link")
		    os.symlink("elsewhere", s + "/link")
		    if i % 2:
		        os.rename(s + "/hard", s + "/moved")
		    for p in ("a", "a/b/deep.txt", "hard", "moved", "new", "dir/sub/f", "link", "plan.yaml"):
		        try:
		            os.lstat(f"{s}/{p}")
		        except FileNotFoundError:
		            pass
		    os.listdir(s)
		    with open(x + "/recovery/restore", "w") as f:
		        f.write("c1\n")
		    eq(2, os.stat(s + "/hard").st_nlink, "links")
		    eq(5, os.stat(s + "/plan.yaml").st_size, "size")
		    eq(b"v: 1\n", get(s + "/plan.yaml"))
		    for gone in ("new", "dir", "moved", "dir/sub/f"):
		        check(not os.path.lexists(f"{s}/{gone}"), f"{gone} is still there")
		    eq("plan.yaml", os.readlink(s + "/link"))
		    eq(["a", "hard", "link", "plan.yaml"], sorted(os.listdir(s)))
		    os.chdir(s + "/a/b")
		    eq(s + "/a/b", os.getcwd())
		    eq(b"deep\n", get("deep.txt"))
		    eq(b"deep\n", others_see(s + "/a/b/deep.txt"))
		    put("made", b"here\n")
		    eq(b"here\n", others_see(s + "/a/b/made"))
		    os.chdir("/")
		    if i % 3 == 0:
		        tell(holder)
		        holder.wait()
	END
}

# A process that maps a file sees what was restored.
test_mapped() {
	need_shared_maps
	session map-1
	py "$X" <<-'END'
		import mmap, os, sys
		from mt import *
		x = sys.argv[1]
		put(x + "/state/f.bin", b"1" * 8192)
		os.mkdir(x + "/checkpoints/c1")
		put(x + "/state/f.bin", b"2" * 8192)
		fd = os.open(x + "/state/f.bin", os.O_RDONLY)
		m = mmap.mmap(fd, 8192, mmap.MAP_SHARED, mmap.PROT_READ)
		eq(b"2", m[0:1])
		put(x + "/recovery/restore", b"c1")
		until(lambda: m[0:1] == b"1" and m[8191:] == b"1", "the mapping shows the old bytes")
	END
}

# --- all or nothing -----------------------------------------------------------------------------

# Readers find the old set or the new one, whenever they look.
test_readers_see_one_of_two() {
	session atom-1
	for i in $(seq 40); do echo old >"$X/state/f$i"; done
	mkdir "$C/old"
	for i in $(seq 40); do echo new >"$X/state/f$i"; done
	mkdir "$C/new"
	py "$M" "$X" <<-'END'
		import json, os, sys, threading
		from mt import *
		m, x = sys.argv[1:]
		def transactions(): # but those in which the daemon does what is due by itself
		    events = [json.loads(line)["data"] for line in get(x + "/events/session.jsonl").splitlines()]
		    return {e["tx_seq"] for e in events if e["operation"] != "upkeep"}
		before = transactions()
		for i in range(10):
		    put(x + "/recovery/restore", b"old\n" if i % 2 else b"new\n")
		made = transactions() - before
		eq(20, len(made), "transactions")
		for seq in range(max(before), max(made) + 1):
		    s = f"{m}/replay/{seq}/state/sessions/atom-1/state"
		    eq(1, len({get(f"{s}/f{i}") for i in range(1, 41)}), f"kinds of files after transaction {seq}")
	END
}

# The daemon is killed at some moment of a restore: it has happened, or nothing has.
test_killed_at_any_moment() {
	local round pid
	session kill-1
	session_fill
	for i in $(seq 300); do echo "old $i" >"$X/state/f$i"; done
	both "$X" >old
	mkdir "$C/c1"
	session_spoil
	for i in $(seq 300); do echo "new $i" >"$X/state/f$i"; done
	both "$X" >new
	mkdir "$C/c2"
	for round in 1 2 3 4 5 6; do
		if [ $((round % 2)) -eq 1 ]; then
			(echo c1 >"$R/restore") 2>/dev/null &
		else
			(echo c2 >"$R/restore") 2>/dev/null &
		fi
		pid=$!
		sleep "0.0$((RANDOM % 4))$((RANDOM % 10))"
		mnt_crash
		wait $pid || true
		both "$X" >got
		cmp -s old got || cmp -s new got || fail "round $round: neither what was nor what was to be"
	done
	# killed right after the write has returned: it has happened
	echo c2 >"$R/restore"
	echo c1 >"$R/restore"
	mnt_crash
	both "$X" >got
	same old got
}

test_many_files() {
	session many-1
	py "$X" <<-'END'
		import os, sys
		from mt import *
		s = sys.argv[1] + "/state"
		for d in range(20):
		    os.mkdir(f"{s}/d{d}")
		    for i in range(100):
		        put(f"{s}/d{d}/f{i}", b"%d\n" % i)
	END
	mkdir "$C/c1"
	rm -r "$X/state"/*
	echo c1 >"$R/restore"
	diff -r "$C/c1/state" "$X/state"
	eq 2000 "$(find "$X/state" -type f | wc -l)" "files"
	eq "files_restored: 2000" "$(grep -m 1 -o 'files_restored: .*' "$R/report.yaml")" "the report"
}

run_tests "$@"
