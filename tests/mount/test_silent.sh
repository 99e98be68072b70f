#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A daemon that does not answer: no command waits for it, each says what is wrong and what to do, and what needs no daemon is done.
. "$(dirname "$0")/lib.sh"
export NO_MOUNT=1

# says TEXT COMMAND...: it fails with TEXT, and soon
says() {
	fails_with "$1" timeout $((120 * FACTOR)) "${@:2}"
}

daemon_state_is() {
	grep -q "^State:.$1" "/proc/$(cat "$PID_FILE")/status"
}

stop_daemon() {
	kill -STOP "$(cat "$PID_FILE")"
	wait_for daemon_state_is T
}

test_stopped_daemon() {
	local pid said job jobs=()
	mnt_start
	mkdir "$D"
	echo kept >"$D/f.txt"
	pid=$(cat "$PID_FILE")
	stop_daemon
	said="pid $pid\) does not answer: it is stopped; kill -CONT $pid"
	says "is mounted, .*$said" "$MILESTONEFS" mount "$P" & jobs+=($!)
	says "$said" "$MILESTONEFS" mount "$M/" & jobs+=($!)
	says "$said" "$MILESTONEFS" umount "$P" & jobs+=($!)
	says "$said" "$MILESTONEFS" fsck "$P" & jobs+=($!)
	says "$said" "$MILESTONEFS" fsck --repair "$M" & jobs+=($!)
	says "$said" "$MILESTONEFS" log -f "$P" & jobs+=($!)
	for job in "${jobs[@]}"; do
		wait "$job"
	done
	# the store needs nobody
	timeout $((120 * FACTOR)) "$MILESTONEFS" export "$P" "$O/copy" || fail "export: status $?"
	file_is "copy/${D#"$M"/}/f.txt" kept
	timeout $((120 * FACTOR)) "$MILESTONEFS" log "$P" >log || fail "log: status $?"
	has log 'stopped_daemon/f.txt'
	timeout $((120 * FACTOR)) "$MILESTONEFS" fsck --force "$M" >&2 || fail "fsck --force: status $?"
	kill -CONT "$pid"
	file_is "$D/f.txt" kept
	echo more >"$D/f.txt"
	file_is "$D/f.txt" more
	mnt_stop
}

test_stopped_daemon_can_be_killed() {
	mnt_start
	mkdir "$D"
	echo kept >"$D/f.txt"
	stop_daemon
	cat "$D/f.txt" >/dev/null 2>&1 &
	local reader=$!
	says 'does not answer' "$MILESTONEFS" umount "$P"
	kill -9 "$(cat "$PID_FILE")"
	mnt_wait_end
	wait "$reader" && fail "a reader was answered by nobody"
	mnt_start
	file_is "$D/f.txt" kept
	mnt_stop
}

test_lazy_umount_of_a_stopped_daemon() {
	mnt_start
	stop_daemon
	timeout $((120 * FACTOR)) "$MILESTONEFS" umount --lazy "$P" || fail "umount --lazy: status $?"
	! is_mounted || fail "still mounted"
	says "in use by process $(cat "$PID_FILE")" "$MILESTONEFS" mount "$P"
	kill -CONT "$(cat "$PID_FILE")"
	mnt_wait_end
	mnt_start
	mnt_stop
}

# Who reads requests and answers none holds even those up that are killed: it must be none of ours, nor anybody who waits for our output.
test_daemon_that_swallows_requests() {
	[ "$(id -u)" -eq 0 ] || skip "only root can mount without a helper"
	mkdir -p "$M"
	"$PY" - "$P" "$M" <<-'END' &
		import ctypes, os, struct, sys
		project, mount = sys.argv[1:3]
		fd = os.open("/dev/fuse", os.O_RDWR)
		libc = ctypes.CDLL(None, use_errno=True)
		options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
		if libc.mount(b"milestonefs:" + project.encode(), mount.encode(), b"fuse.milestonefs", 6, options.encode()):
		    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
		while True:
		    request = os.read(fd, 1 << 20)
		    length, opcode, unique = struct.unpack_from("<IIQ", request)
		    if opcode == 26: # INIT
		        reply = struct.pack("<IIII", 7, 31, 0, 0) + struct.pack("<HHIIHHI", 12, 9, 1 << 17, 1, 1, 0, 0) + bytes(28)
		        os.write(fd, struct.pack("<IiQ", 16 + len(reply), 0, unique) + reply)
	END
	local server=$!
	echo "$server" >"$PID_FILE"
	wait_for is_mounted
	says "pid $server\) does not answer; kill -9 $server" "$MILESTONEFS" umount "$P"
	# a pipe from the command ends with it
	{ timeout $((120 * FACTOR)) "$MILESTONEFS" mount "$P" 2>&1 || true; } | timeout $((120 * FACTOR)) cat >said || fail "a pipe is kept open"
	has said "pid $server\\) does not answer; kill -9 $server"
	kill -9 "$server"
	wait "$server" 2>/dev/null || true
	timeout $((120 * FACTOR)) "$MILESTONEFS" umount "$P" || fail "umount once it is dead: status $?"
	! is_mounted || fail "still mounted"
}

run_tests "$@"
