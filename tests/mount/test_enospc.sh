#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The disk below the store fills up: refused cleanly, nothing acknowledged is lost, works again with room.
. "$(dirname "$0")/lib.sh"
export NO_MOUNT=1

small_disk() {
	[ "$(id -u)" -eq 0 ] || skip "only root can mount a tmpfs"
	mount -t tmpfs -o "size=$1" mfs-small "$P" || skip "a tmpfs may not be mounted here"
	mnt_start
	mkdir "$D"
}

# fill: saves of 1 MiB of noise until one is refused; good ones in the list, errno of the bad one in errno.
fill() {
	py "$D" "$1" <<-'END'
		import errno, hashlib, os, sys
		from mt import *
		d, prefix = sys.argv[1:3]
		with open("good", "a") as good:
		    for i in range(1000):
		        data = os.urandom(1 << 20)
		        p = f"{d}/{prefix}{i}"
		        try:
		            put(p, data)
		        except OSError as e:
		            eq(errno.ENOSPC, e.errno, "errno of the refused save")
		            break
		        good.write(f"{hashlib.sha256(data).hexdigest()}  {p}\n")
		    else:
		        die("a small disk never fills up")
		check(i > 5, f"only {i} MiB fit")
	END
}

test_full_disk_refuses_and_recovers() {
	small_disk 200m
	echo "before" >"$D/small.txt"
	fill a
	sha256sum -c --quiet good
	file_is "$D/small.txt" before
	ls "$D" >/dev/null
	grep -q . "$M/status/health.yaml"
	must_fail grep -q '^status: read-only' "$M/status/health.yaml"
	cp "$D/small.txt" copy || fail "cannot read while the disk is full"
	mount -o remount,size=400m "$P"
	wait_for 10 eval 'echo again >"$D/small.txt"'
	file_is "$D/small.txt" again
	head -c 3000000 /dev/urandom >noise
	cp noise "$D/noise"
	sha256sum -c --quiet good
	mnt_remount
	sha256sum -c --quiet good
	same noise "$D/noise"
	file_is "$D/small.txt" again
	mnt_stop
	"$MILESTONEFS" fsck "$P" >&2 || fail "fsck: status $?"
	umount "$P"
}

test_full_disk_and_kill9() {
	small_disk 200m
	echo "before" >"$D/small.txt"
	fill a
	mnt_kill9
	mnt_start || fail "cannot mount with a full disk"
	sha256sum -c --quiet good
	file_is "$D/small.txt" before
	mount -o remount,size=400m "$P"
	wait_for 10 eval 'echo again >"$D/small.txt"'
	mnt_crash
	file_is "$D/small.txt" again
	sha256sum -c --quiet good
	mnt_stop
	umount "$P"
}

# Small saves and appends against a full disk: each is either acknowledged and kept or refused and absent.
test_small_saves_at_the_brink() {
	small_disk 120m
	fill a
	py "$D" <<-'END'
		import errno, os, sys
		from mt import *
		d = sys.argv[1]
		state = {}
		refusals = 0
		for i in range(3000):
		    p = f"{d}/s{i % 50}"
		    text = b"%d " % i * 200
		    try:
		        put(p, text)
		        state[p] = text
		    except OSError as e:
		        eq(errno.ENOSPC, e.errno, "errno")
		        refusals += 1
		        if refusals > 30:
		            break
		for p, text in state.items():
		    eq(text, get(p), p)
		print("refused", refusals)
	END
	mount -o remount,size=300m "$P"
	wait_for 10 eval 'echo again >"$D/again.txt"'
	mnt_stop
	umount "$P"
}

run_tests "$@"
