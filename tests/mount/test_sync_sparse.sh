#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Writes that are synchronous by the way the file was opened, and files that are mostly holes.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

# What each synchronous write said is there after the daemon was killed, though nobody closed the file.
test_synchronous_writes_are_published() {
	printf 'x\n' >"$D/appended.txt"
	printf 'xxxxxxxxxx' >"$D/in_place.bin"
	py "$D" "$(cat "$PID_FILE")" <<-'END'
		import os, signal, sys
		from mt import *
		d = sys.argv[1]
		def opened(name, flags):
		    return os.open(d + "/" + name, os.O_CREAT | flags, 0o644)
		for sync in (os.O_SYNC, os.O_DSYNC):
		    new = opened(f"new{sync}.log", os.O_WRONLY | os.O_TRUNC | sync)
		    os.write(new, b"one\n")
		    eq(b"one\n", others_see(d + f"/new{sync}.log"), "a new file")
		    os.write(new, b"two\n")
		    eq(b"one\ntwo\n", others_see(d + f"/new{sync}.log"), "a new file, again")
		app = opened("appended.txt", os.O_WRONLY | os.O_APPEND | os.O_SYNC)
		os.write(app, b"y\n")
		eq(b"x\ny\n", others_see(d + "/appended.txt"), "appended")
		rw = opened("in_place.bin", os.O_RDWR | os.O_DSYNC)
		os.pwrite(rw, b"AB", 2)
		eq(b"xxABxxxxxx", others_see(d + "/in_place.bin"), "in place")
		lines = opened("lines.jsonl", os.O_WRONLY | os.O_APPEND | os.O_DSYNC)
		os.write(lines, b'{"a": 1}\n{"a"')
		eq(b'{"a": 1}\n', others_see(d + "/lines.jsonl"), "whole lines")
		once = opened("once.bin", os.O_RDWR)
		os.pwritev(once, [b"now"], 0, os.RWF_DSYNC)
		eq(b"now", others_see(d + "/once.bin"), "a single synchronous write")
		os.kill(int(sys.argv[2]), signal.SIGKILL)
	END
	mnt_wait_end
	fusermount3 -u -z "$M" || true
	mnt_start
	file_is "$D/new$(python3 -c 'import os; print(os.O_SYNC)').log" $'one\ntwo'
	file_is "$D/appended.txt" $'x\ny'
	eq xxABxxxxxx "$(cat "$D/in_place.bin")" "in place, after kill -9"
}

# They return when the bytes are on the disk, whatever the sync mode: as many syncs as writes.
test_synchronous_writes_are_durable() {
	local before after
	mnt_remount -o sync=interval:60000
	before=$(sed -n 's/^ *syncs: //p' "$M/status/journal.yaml")
	dd if=/dev/zero of="$D/f.bin" bs=100 count=10 oflag=dsync status=none
	after=$(sed -n 's/^ *syncs: //p' "$M/status/journal.yaml")
	[ $((after - before)) -ge 10 ] || fail "10 synchronous writes, $((after - before)) syncs"
	mnt_remount
}

# A save shows only whole, and a malformed part of one is no error.
test_synchronous_saves_are_whole() {
	printf 'a: 1\n' >"$D/f.yaml"
	printf 'old text\n' >"$D/f.txt"
	py "$D" <<-'END'
		import os, sys
		from mt import *
		d = sys.argv[1]
		for name, old in (("f.yaml", b"a: 1\n"), ("f.txt", b"old text\n")):
		    fd = os.open(d + "/" + name, os.O_WRONLY | os.O_TRUNC | os.O_SYNC)
		    os.write(fd, b"list: [1,")
		    eq(old, others_see(d + "/" + name), "half a save")
		    os.write(fd, b" 2]\n")
		    os.close(fd)
		    eq(b"list: [1, 2]\n", others_see(d + "/" + name), "the save")
	END
}

# A commit costs what was written, whatever the size of the hole.
test_huge_holes_cost_nothing() {
	local start=${EPOCHREALTIME/./}
	truncate -s 15T "$D/cut"
	echo end >>"$D/cut"
	dd if=/dev/zero of="$D/seek" bs=1 count=1 seek=10T status=none
	py "$D/rw" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
		os.pwrite(fd, b"far", 8 << 40)
		os.close(fd)
	END
	[ $((${EPOCHREALTIME/./} - start)) -lt $((60000000 * FACTOR)) ] || fail "took $((${EPOCHREALTIME/./} - start)) us"
	mnt_remount
	eq $(((15 << 40) + 4)) "$(stat -c %s "$D/cut")" "size"
	eq end "$(tail -c 4 "$D/cut")" "end of the hole"
	[ "$(stat -c %b "$D/rw")" -lt 100 ] || fail "blocks: $(stat -c %b "$D/rw")"
	rm "$D/cut" "$D/seek" "$D/rw" # SHA256SUMS would have to read them
}

test_files_have_a_largest_size() {
	py "$D/f.bin" <<-'END'
		import errno, os, sys
		from mt import *
		fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
		refused(errno.EFBIG, os.pwrite, fd, b"x", (1 << 63) - 10)
		refused(errno.EFBIG, os.pwrite, fd, b"xy", (16 << 40) - 1)
		refused(errno.EFBIG, os.ftruncate, fd, (16 << 40) + 1)
		refused(errno.EFBIG, os.posix_fallocate, fd, 16 << 40, 1)
		os.write(fd, b"text")
		os.close(fd)
		eq(b"text", get(sys.argv[1]), "what was not refused")
	END
	fails_with 'File too large' truncate -s 17T "$D/f.bin"
}

run_tests "$@"
