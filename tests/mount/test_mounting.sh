#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Mounting and unmounting: in the background and the foreground, what is refused, stale mounts, mount(8), other ways to name the project.
. "$(dirname "$0")/lib.sh"
export NO_MOUNT=1

test_background_mount_serves_on_return() {
	local i
	for i in 1 2 3; do
		timeout 120 "$MILESTONEFS" mount "$P"
		head -n 1 "$M/status/health.yaml" | grep -qx 'status: healthy'
		mnt_pid >"$PID_FILE"
		[ -d "$S" ] || mkdir "$S"
		echo "$i" >"$S/state/f.txt"
		bg_umount
		[ ! -e "$M/status" ] || fail "still there after umount"
	done
	# it keeps none of the caller's descriptors: a pipe from it ends
	timeout 120 "$MILESTONEFS" mount "$P" 2>&1 | timeout 120 cat >/dev/null || fail "the daemon keeps the caller's stdout"
	mnt_pid >"$PID_FILE"
	file_is "$S/state/f.txt" 3
	bg_umount
}

# A caller's descriptors: none is kept, and a closed standard one is not taken for a file of the daemon's.
test_descriptors_of_the_caller() {
	mkfifo fifo
	timeout 120 cat fifo >/dev/null &
	local reader=$!
	exec 7>fifo
	timeout 120 "$MILESTONEFS" mount "$P"
	exec 7>&-
	mnt_pid >"$PID_FILE"
	wait "$reader" || fail "the daemon keeps a pipe of the caller's"
	bg_umount
	timeout 120 "$MILESTONEFS" mount "$P" <&- >&- 2>&- || fail "mount with closed descriptors: status $?"
	mnt_pid >"$PID_FILE"
	[ -d "$S" ] || mkdir "$S"
	echo x >"$S/state/closed.txt"
	file_is "$S/state/closed.txt" x
	bg_umount
}

test_foreground_and_signals() {
	mnt_start
	mkdir "$D"
	echo x >"$D/f.txt"
	kill -TERM "$(cat "$PID_FILE")"
	mnt_wait_end
	eq 0 "$(cat "$EXIT_FILE")" "status after SIGTERM"
	! is_mounted || fail "still mounted after SIGTERM"
	mnt_start
	file_is "$D/f.txt" x
	kill -INT "$(cat "$PID_FILE")"
	mnt_wait_end
	! is_mounted || fail "still mounted after SIGINT"
	mnt_start
	fusermount3 -u "$M"
	mnt_wait_end
	eq 0 "$(cat "$EXIT_FILE")" "status after fusermount3 -u"
}

test_suggested_commands_can_be_run() {
	local hostile="$O/it's \$(touch hostile) a; project" said
	mkdir "$hostile"
	"$MILESTONEFS" mount "$hostile"
	said=$("$MILESTONEFS" mount "$hostile" 2>&1 >/dev/null) && fail "mounted twice"
	said=${said##*; milestonefs }
	eval "\"\$MILESTONEFS\" ${said% ends it*}" # umount, as it says
	[ ! -e "$hostile/.milestones/status" ] || fail "still mounted"
	[ ! -e hostile ] || fail "a suggested command ran what the path says"
}

test_already_mounted() {
	bg_mount
	fails_with 'already mounted' timeout 120 "$MILESTONEFS" mount "$P"
	grep -q healthy "$M/status/health.yaml"
	eq 1 "$(grep -cF " $M " /proc/self/mounts)" mounts
	bg_umount
}

# Writing or not: when umount is back, there is no daemon that would keep a disk busy.
test_umount_waits_for_the_daemons_end() {
	local option pid
	for option in rw ro rw ro ro; do
		"$MILESTONEFS" mount -o "$option" "$P"
		pid=$(mnt_pid)
		"$MILESTONEFS" umount "$P"
		case $(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) in
		'' | Z | X) ;;
		*) fail "daemon $pid of a mount -o $option goes on after umount" ;;
		esac
	done
}

test_missing_project() {
	fails_with "$T/none" "$MILESTONEFS" mount "$T/none"
	[ ! -e "$T/none" ] || fail "mount made the missing project"
	echo x >file
	must_fail "$MILESTONEFS" mount "$O/file"
	fails_with 'none' "$MILESTONEFS" umount "$T/none"
	fails_with 'not mounted' "$MILESTONEFS" umount "$P"
	must_fail "$MILESTONEFS" fsck "$T/none"
	must_fail "$MILESTONEFS" log "$T/none"
	must_fail "$MILESTONEFS" export "$T/none" "$O/x"
	fails_with 'once milestonefs mount has run' "$MILESTONEFS" fsck "$P"
}

test_read_only_surroundings() {
	[ "$(id -u)" -eq 0 ] || skip "only root can mount a directory read-only"
	mnt_start
	mnt_stop
	mount --bind "$P" "$P" && mount -o remount,ro,bind "$P" || skip "cannot make a read-only mount here"
	fails_with 'read-only file system.*-o ro' "$MILESTONEFS" mount "$P"
	"$MILESTONEFS" mount -o ro "$P"
	[ -d "$S/state" ] || fail "nothing to see"
	"$MILESTONEFS" umount "$P"
	umount "$P" # at once: its daemon has ended
	fails_with 'without ro' "$MILESTONEFS" mount -o ro "$O"
}

# The daemon of another mount namespace has the store.
test_store_locked_by_pid() {
	local daemon
	[ "$(id -u)" -eq 0 ] || skip "only root can make a mount namespace here"
	unshare -m true 2>/dev/null || skip "no mount namespaces"
	unshare -m --propagation private "$MILESTONEFS" mount -f "$P" 2>said >/dev/null &
	daemon=$!
	echo "$daemon" >"$PID_FILE"
	wait_for nsenter -t "$daemon" -m test -e "$M/status/health.yaml"
	! is_mounted || fail "the mount leaked from its namespace"
	fails_with "(^|[^0-9])$daemon([^0-9]|\$)" timeout 120 "$MILESTONEFS" mount "$P"
	! is_mounted || fail "mounted although the store is in use"
	fails_with "(^|[^0-9])$daemon([^0-9]|\$)" timeout 120 "$MILESTONEFS" fsck --repair "$P"
	kill -TERM "$daemon"
	wait "$daemon" || fail "status $? after SIGTERM"
	bg_mount
	bg_umount
}

test_stale_dead_mount() {
	bg_mount
	echo x >"$D/f.txt"
	kill -9 "$(cat "$PID_FILE")"
	wait_for gone "$(cat "$PID_FILE")"
	is_mounted || fail "no dead mount to try it with"
	bg_mount
	file_is "$D/f.txt" x
	kill -9 "$(cat "$PID_FILE")"
	wait_for gone "$(cat "$PID_FILE")"
	"$MILESTONEFS" umount "$P" || fail "umount of a dead mount: status $?"
	! is_mounted
	bg_mount
	file_is "$D/f.txt" x
	bg_umount
}

test_umount_of_a_busy_mount() {
	bg_mount
	sleep 1000 3<"$M/README.md" &
	local holder=$!
	wait_for grep -qx sleep "/proc/$holder/comm"
	exec 3<"$M/README.md"
	fails_with "held by.*[^0-9]$holder sleep \(open file\)" timeout 120 "$MILESTONEFS" umount "$P"
	# nor is the command itself named, though it stands in the mount
	env -C "$M" timeout 120 "$MILESTONEFS" umount "$P" 2>said || true
	grep -q "$holder sleep" said || fail "nobody is named: $(cat said)"
	if grep -q "milestonefs (working directory)" said; then fail "it names itself: $(cat said)"; fi
	timeout 120 "$MILESTONEFS" umount "$P" 2>said || true
	if grep -Eq "(^|[^0-9])$(cat "$PID_FILE") " said; then fail "the daemon is named as who holds it: $(cat said)"; fi
	kill "$holder"
	grep -q healthy "$M/status/health.yaml" || fail "a refused umount took the mount down"
	exec 3<&-
	bg_umount
}

test_other_ways_to_name_the_project() {
	project_at "$T/with space and é"
	D=$S/state/x
	bg_mount
	echo x >"$D/f.txt"
	bg_umount
	ln -s "$P" "$T/link"
	(cd "$P" && timeout 120 "$MILESTONEFS" mount .)
	file_is "$D/f.txt" x
	mnt_pid >"$PID_FILE"
	(cd "$P" && "$MILESTONEFS" umount .)
	timeout 120 "$MILESTONEFS" mount "$T/link/"
	file_is "$D/f.txt" x
	"$MILESTONEFS" umount "$T/link/"
	[ ! -e "$M/status" ]
}

test_mount_t_fuse() {
	[ "$(id -u)" -eq 0 ] || skip "mount(8) needs root"
	[ -x /sbin/mount.fuse ] || [ -x /sbin/mount.fuse3 ] || skip "no /sbin/mount.fuse"
	mkdir -p "$M"
	# mount.fuse3 starts it by /bin/sh with a PATH of its own
	if [ ! -e /usr/local/bin/milestonefs ] && [ ! -L /usr/local/bin/milestonefs ]; then
		ln -s "$MILESTONEFS" /usr/local/bin/milestonefs 2>/dev/null || skip "/usr/local/bin may not be written"
		trap 'rm -f /usr/local/bin/milestonefs' EXIT
	fi
	timeout 120 mount -t fuse.milestonefs "$P" "$M" >said 2>&1 || fail "mount -t: status $?: $(tr '\n' ' ' <said)"
	mnt_pid >"$PID_FILE"
	grep -q healthy "$M/status/health.yaml"
	mkdir "$S"
	echo x >"$S/state/f.txt"
	grep -F " $M fuse.milestonefs " /proc/self/mounts | grep -q nodev || fail "$(grep -F " $M " /proc/self/mounts)"
	umount "$M"
	wait_for gone "$(cat "$PID_FILE")"
	# with options, as from fstab
	timeout 120 mount -t fuse.milestonefs -o rw,noatime,allow_other,sync=interval:100 "$P" "$M" >said 2>&1 ||
		fail "mount -t -o: status $?: $(tr '\n' ' ' <said)"
	mnt_pid >"$PID_FILE"
	file_is "$S/state/f.txt" x
	grep -F " $M fuse.milestonefs " /proc/self/mounts | grep -q allow_other || fail "allow_other is not passed on"
	umount "$M"
}

test_umount_below_a_bind_mount() {
	[ "$(id -u)" -eq 0 ] || skip "only root can make bind mounts"
	mnt_start
	mkdir "$O/a view"
	mount --bind "$S/state" "$O/a view" || skip "no bind mounts here"
	trap 'umount -l "$O/a view"' EXIT
	echo hello >"$O/a view/f"
	fails_with "also mounted at $O/a view" timeout 120 "$MILESTONEFS" umount "$P"
	file_is "$O/a view/f" hello
	umount "$O/a view"
	trap - EXIT
	mnt_wait_end
	mnt_start
	file_is "$S/state/f" hello
}

run_tests "$@"
