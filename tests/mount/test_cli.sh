#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The command line: help, export, log, adoption, and who may mount; whose failures say what, where and what to do. (Mounting: test_mounting.sh. fsck: test_fsck.sh.)
. "$(dirname "$0")/lib.sh"
export NO_MOUNT=1

test_help_and_version() {
	"$MILESTONEFS" --help >help
	for word in mount umount fsck export log; do
		has help "$word"
	done
	"$MILESTONEFS" --version >version
	has version '[0-9]+\.[0-9]+\.[0-9]+'
	must_fail "$MILESTONEFS"
	fails_with 'frobnicate' "$MILESTONEFS" frobnicate
	must_fail "$MILESTONEFS" mount --no-such-option "$P"
	must_fail "$MILESTONEFS" mount
	! is_mounted
	"$MILESTONEFS" mount --help >help
	has help '-o'
}

test_called_from_within_the_mount() {
	mnt_start
	(cd "$M" && "$MILESTONEFS" log -n 1 . >"$O/log" && "$MILESTONEFS" export . "$O/copy" 2>/dev/null)
	has log s1
	[ -d copy/state/sessions/s1 ] || fail "exported nothing"
	(cd "$M" && fails_with 'already mounted' "$MILESTONEFS" mount .)
	(cd "$P" && "$MILESTONEFS" umount .)
	mnt_wait_end
}

test_bad_options() {
	fails_with 'nonsense' timeout 120 "$MILESTONEFS" mount -o nonsense=1 "$P"
	fails_with 'sync' timeout 120 "$MILESTONEFS" mount -o sync=perhaps "$P"
	fails_with 'unmount it, and mount it' timeout 120 "$MILESTONEFS" mount -o remount,ro "$P"
	! is_mounted || fail "mounted with bad options"
}

test_adoption_of_a_file_called_format() {
	mkdir -p "$M"
	chmod 755 "$M"
	echo "my format" >"$M/FORMAT"
	fails_with 'If it is a file of yours, move it away' timeout 120 "$MILESTONEFS" mount "$P"
	eq "my format" "$(cat "$M/FORMAT")" "the file"
	eq FORMAT "$(ls -A "$M")" "what is there after a refused mount"
	eq 755 "$(stat -c %a "$M")" "mode after a refused mount"
	mv "$M/FORMAT" "$M/FORMAT.txt"
	mnt_start
	file_is "$M/FORMAT.txt" "my format"
}

# In a container, what comes with the image cannot be renamed if it is a directory.
test_adoption_on_overlayfs() {
	[ "$(id -u)" -eq 0 ] || skip "only root can mount an overlay"
	mkdir -p "$O/ov" "$O/ov/work" "$O/ov/upper" "$O/ov/lower/.milestones/notes/deep"
	mount -t tmpfs -o size=300m mfs-overlay "$O/ov/work" || skip "a tmpfs may not be mounted here"
	trap 'umount -l "$P"; umount -l "$O/ov/work"' EXIT
	mkdir "$O/ov/work/work" "$O/ov/work/upper"
	echo old >"$O/ov/lower/.milestones/notes/deep/a"
	ln -s a "$O/ov/lower/.milestones/notes/deep/l"
	setfattr -n user.color -v blue "$O/ov/lower/.milestones/notes"
	chmod 0750 "$O/ov/lower/.milestones/notes/deep"
	touch -d '2001-02-03 04:05:06Z' "$O/ov/lower/.milestones/notes/deep"
	mount -t overlay overlay -o "redirect_dir=off,lowerdir=$O/ov/lower,upperdir=$O/ov/work/upper,workdir=$O/ov/work/work" "$P" || skip "no overlayfs here"
	mnt_start
	file_is "$M/notes/deep/a" old
	eq a "$(readlink "$M/notes/deep/l")" "a symlink"
	eq "750 981173106" "$(stat -c '%a %Y' "$M/notes/deep")" "mode and time of a directory"
	eq blue "$(getfattr -n user.color --only-values "$M/notes")" "attribute of a directory"
	mnt_stop
	eq old "$(cat "$M"/adopted/*/notes/deep/a)" "the original in the store"
	[ ! -e "$M/notes" ] || fail "it was left where it was, too"
}

# export_has DIR NAME CONTENT: the export below DIR has the file
export_has() {
	[ -f "$1/state/sessions/s1/state/$SUB/$2" ] || fail "not exported: $2 ($(cd "$1" && find . -type f | head -n 5 | tr '\n' ' '))"
	file_is "$1/state/sessions/s1/state/$SUB/$2" "$3"
}

test_export() {
	local seq when
	SUB=$(basename "$D")
	mnt_start
	mkdir "$D"
	echo one >"$D/f.txt"
	echo keep >"$D/k.txt"
	chmod 0640 "$D/k.txt"
	ln -s f.txt "$D/link"
	{ echo a; head -c 20000000 /dev/zero; echo b; } >"$D/sparse.bin"
	truncate -s 40000000 "$D/sparse.bin"
	setfattr -n user.color -v blue "$D/k.txt"
	sync "$D/k.txt"
	seq=$(tail -n 1 "$M/state/events/all.jsonl" | jq .data.tx_seq)
	sleep 1.1
	when=$(date -u +%FT%TZ)
	sleep 1.1
	echo two >"$D/f.txt"
	rm "$D/k.txt"
	echo new >"$D/n.txt"
	"$MILESTONEFS" export "$P" "$O/mounted"
	export_has mounted f.txt two
	export_has mounted n.txt new
	eq f.txt "$(readlink "mounted/state/sessions/s1/state/$SUB/link")" "symlink"
	[ ! -e "mounted/state/sessions/s1/state/$SUB/k.txt" ] || fail "a removed file was exported"
	"$MILESTONEFS" export --at "$seq" "$P" "$O/at-mounted"
	export_has at-mounted f.txt one
	"$MILESTONEFS" export "$P" - >out.tar
	mkdir tar
	tar --xattrs -xf out.tar -C tar 2>said
	[ ! -s said ] || fail "tar says: $(cat said)"
	same "$D/sparse.bin" "tar/state/sessions/s1/state/$SUB/sparse.bin"
	same "$D/sparse.bin" "mounted/state/sessions/s1/state/$SUB/sparse.bin"
	[ "$(du -k "mounted/state/sessions/s1/state/$SUB/sparse.bin" | cut -f1)" -lt 1000 ] || fail "holes were filled with zeros"
	find tar -name n.txt | grep -q . || fail "the archive has no n.txt: $(tar -tf out.tar | head -n 3)"
	mnt_stop
	"$MILESTONEFS" export "$P" "$O/unmounted"
	export_has unmounted f.txt two
	"$MILESTONEFS" export --at "$seq" "$P" "$O/at-seq"
	export_has at-seq f.txt one
	export_has at-seq k.txt keep
	eq 640 "$(stat -c %a "at-seq/state/sessions/s1/state/$SUB/k.txt")" "mode"
	eq blue "$(getfattr --only-values -n user.color "at-seq/state/sessions/s1/state/$SUB/k.txt")" "extended attribute"
	"$MILESTONEFS" export --at "$seq" "$P" - 2>/dev/null >at.tar
	tar --xattrs -xf at.tar "state/sessions/s1/state/$SUB/k.txt"
	eq blue "$(getfattr --only-values -n user.color "state/sessions/s1/state/$SUB/k.txt")" "extended attribute in the archive"
	must_fail "$MILESTONEFS" export "$P" "$O/at-seq" 2>/dev/null
	[ ! -e "at-seq/state/sessions/s1/state/$SUB/n.txt" ] || fail "a later file was exported"
	"$MILESTONEFS" export --at "$when" "$P" "$O/at-time"
	export_has at-time f.txt one
	mnt_start
	py "$D/n.txt" "$O" <<-'END'
		import os, sys
		os.setxattr(sys.argv[1], "user.large", b"x" * 60000)
		open(sys.argv[2] + "/takes", "w").close()
		try:
		    os.setxattr(sys.argv[2] + "/takes", "user.large", b"x" * 60000)
		except OSError:
		    open(sys.argv[2] + "/small", "w").close()
	END
	sync "$D/n.txt"
	"$MILESTONEFS" export "$P" "$O/xattr" 2>said
	export_has xattr n.txt new
	[ ! -e small ] || has said 'left out what .*xattr does not take: extended attributes \(1\)'
	mnt_stop
	must_fail "$MILESTONEFS" export --at 99999999 "$P" "$O/never"
	must_fail "$MILESTONEFS" export --at yesterday-ish "$P" "$O/never"
}

test_log() {
	mnt_start
	mkdir "$D"
	MILESTONES_AGENT=coder-9 "$BASH" -c 'echo one >"$1"' sh "$D/logged.txt"
	echo 'session: {status: runing}' >"$S/session.yaml"
	sed -i 's/status: "active"/status: paused/' "$S/session.yaml"
	"$MILESTONEFS" log "$P" >mounted
	has mounted 'commit_refused .*session\.yaml: session\.status: "runing" is not one of .* \(line 1\)$'
	has mounted 'session_status_changed .*: active to paused$'
	has mounted 'checkpoint_created .*/checkpoints/checkpoint-[0-9]+ \(initialization\)$'
	has mounted 'log/logged.txt'
	has mounted 'coder-9'
	mnt_stop
	"$MILESTONEFS" log "$P" >unmounted
	has unmounted 'log/logged.txt'
	same mounted unmounted
}

# follow FILE [OPTION...]: log -f into FILE in the background, with signals as a terminal gives them; its pid is in $FOLLOWER
follow() {
	"$PY" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$MILESTONEFS" log -f "${@:2}" "$P" >"$1" 2>"$1.err" &
	FOLLOWER=$!
}

# follower_status: how it ended
follower_status() {
	local r=0
	wait_for gone "$FOLLOWER"
	wait "$FOLLOWER" || r=$?
	echo "$r" >status
}

test_log_follows() {
	bg_mount
	echo one >"$D/one.txt"
	follow out
	wait_for grep -q 'one.txt' out
	echo two >"$D/two.txt"
	wait_for grep -q 'two.txt' out
	kill -INT "$FOLLOWER"
	follower_status
	eq 130 "$(cat status)" "status after Ctrl-C"
	has out store_created
	follow last -n 1
	wait_for grep -q 'two.txt' last
	eq 1 "$(wc -l <last)" "lines with -n 1"
	follow news -n 0
	# shellcheck disable=SC2016
	wait_for eval 'echo probe >"$D/probe.txt"; grep -q probe.txt news' # it has begun
	follow session -s s1 -j
	echo three >"$D/three.txt"
	wait_for grep -q 'three.txt' last
	wait_for grep -q 'three.txt' news
	has last two
	! grep -q two.txt news || fail "-n 0 shows what was before"
	wait_for grep -q '"path":"state/sessions/s1/state/.*three.txt"' session
	wait_for eval '"$MILESTONEFS" log -s s1 -j "$P" >whole; cmp -s whole session'
	wait_for "$MILESTONEFS" umount "$P" # nobody who follows keeps it busy
	! is_mounted || fail "still mounted"
	follower_status
	eq 0 "$(cat status)" "status after an unmount"
	has session.err 'unmounted'
	fails_with 'not mounted' timeout 120 "$MILESTONEFS" log -f "$P"
	bg_mount
	follow dead -n 1
	wait_for test -s dead
	kill -9 "$(cat "$PID_FILE")"
	follower_status
	eq 1 "$(cat status)" "status after the daemon's death"
	has dead.err 'has died'
}

test_adoption_of_plain_files() {
	mkdir -p "$M/state/sessions/old/state" "$M/notes"
	printf 'session:\n  id: "old"\n  type: "general"\n  status: "active"\ncontext: {}\n' >"$M/state/sessions/old/session.yaml"
	echo 'b: 2' >"$M/state/sessions/old/state/plan.yaml"
	head -c 300000 /dev/urandom >"$M/state/sessions/old/state/data.bin"
	chmod 0640 "$M/state/sessions/old/state/plan.yaml"
	touch -d '2020-01-02 03:04:05Z' "$M/state/sessions/old/state/plan.yaml"
	ln -s plan.yaml "$M/state/sessions/old/state/link"
	ln "$M/state/sessions/old/state/data.bin" "$M/notes/hard"
	ln -s nowhere "$M/notes/a link"
	ln -P "$M/notes/a link" "$M/notes/the same"
	mkdir "$M/notes/deep"
	printf x >"$M/notes/deep/hole"
	truncate -s 500M "$M/notes/deep/hole"
	printf end >>"$M/notes/deep/hole"
	cp "$M/notes/deep/hole" hole
	setfattr -n user.color -v blue "$M/notes" "$M/state/sessions/old/state/data.bin"
	setfattr -n user.empty "$M/notes"
	chmod 0500 "$M/notes/deep"
	touch -d '2001-02-03 04:05:06.123456789Z' "$M/notes/deep" "$M/notes"
	cp "$M/state/sessions/old/state/data.bin" data
	mnt_start
	grep -iq adopt "$LOG" || fail "the mount does not say so: $(tail -n 3 "$LOG" | tr '\n' ' ')"
	file_is "$M/state/sessions/old/state/plan.yaml" 'b: 2'
	same data "$M/state/sessions/old/state/data.bin"
	eq "640 1577934245" "$(stat -c '%a %Y' "$M/state/sessions/old/state/plan.yaml")" "mode and time"
	eq plan.yaml "$(readlink "$M/state/sessions/old/state/link")" symlink
	has "$M/state/sessions/old/session.yaml" 'id: *"?old'
	eq "2 2" "$(stat -c %h "$M/notes/hard" "$M/notes/a link" | xargs)" "names of files that had two"
	eq "$(stat -c %i "$M/notes/hard")" "$(stat -c %i "$M/state/sessions/old/state/data.bin")" "a hard link"
	eq "$(printf '981173106.123456789 755\n981173106.123456789 500\n')" "$(stat -c '%.9Y %a' "$M/notes" "$M/notes/deep")" "times of directories"
	eq blue "$(getfattr -n user.color --only-values "$M/notes")" "attribute of a directory"
	eq blue "$(getfattr -n user.color --only-values "$M/notes/hard")" "attribute of a file"
	eq "" "$(getfattr -n user.empty --only-values "$M/notes")" "an empty attribute"
	same hole "$M/notes/deep/hole"
	[ "$(du -k "$M/notes/deep/hole" | cut -f1)" -lt 2000 ] || fail "the hole takes room: $(du -k "$M/notes/deep/hole")"
	echo 'b: 3' >"$M/state/sessions/old/state/plan.yaml"
	mnt_remount
	file_is "$M/state/sessions/old/state/plan.yaml" 'b: 3'
	same data "$M/state/sessions/old/state/data.bin"
	eq "2 981173106" "$(stat -c '%h %Y' "$M/notes/hard" "$M/notes/deep" | sed -n '1s/ .*//p; 2s/.* //p' | xargs)" "links and times, mounted again"
	mnt_stop
	find "$M" -type f -size 300000c -print0 | xargs -0r sha256sum | grep -q "$(sha256sum <data | cut -c1-64)" || fail "the originals are not kept in the store"
}

# As the user, whose mount it is: a shared mapping written through.
user_maps() {
	py "$M/state/sessions/s1/state" <<-'END'
		import errno, mmap, os, sys
		from mt import *
		os.setgroups([])
		os.setgid(65534)
		os.setuid(65534)
		p = sys.argv[1] + "/m.bin"
		put(p, b"." * 8192)
		fd = os.open(p, os.O_RDWR)
		m = mmap.mmap(fd, 8192, mmap.MAP_SHARED)
		m[5:9] = b"mmap"
		m.flush()
		os.fsync(fd)
		eq(b"mmap", others_see(p)[5:9], "shared mapping of an ordinary user's mount")
	END
}

test_ordinary_user() {
	need setpriv fusermount3
	fuse_for_all
	mkdir bin
	cp "$MILESTONEFS" bin/milestonefs
	chmod -R go+rX "$T"
	chown 65534:65534 "$P" "$O"
	user timeout 120 "$O/bin/milestonefs" mount "$P" >said 2>&1 || fail "mount: status $?: $(tr '\n' ' ' <said)"
	is_mounted || fail "not mounted"
	# shellcheck disable=SC2016
	user "$BASH" -ec '
		cd "$1/.milestones"
		head -n 1 status/health.yaml | grep -qx "status: healthy"
		sed -nE "s/^ *pid: *([0-9]+).*/\1/p" status/health.yaml | head -n 1 >"$2/pid"
		mkdir state/sessions/s1
		echo "a: 1" >state/sessions/s1/state/f.yaml
		sed -i s/1/2/ state/sessions/s1/state/f.yaml
		echo "a: [" >"$2/bad"
		if cp "$2/bad" state/sessions/s1/state/f.yaml 2>/dev/null; then echo "a bad save was accepted"; exit 1; fi
		[ "$(stat -c %u state/sessions/s1/state/f.yaml)" = 65534 ]
		mkdir state/sessions/s1/state/sub; rm -r state/sessions/s1/state/sub' sh "$P" "$O" >&2
	cp pid "$PID_FILE"
	if kernel_at_least 6.6; then
		user_maps
	fi
	must_fail cat "$M/README.md" 2>/dev/null # root, without allow_other
	grep -F " $M fuse.milestonefs " /proc/self/mounts >line
	has line 'nosuid,nodev'
	has line 'user_id=65534'
	has line 'default_permissions'
	must_fail grep -q allow_other line
	kill -9 "$(cat "$PID_FILE")"
	wait_for gone "$(cat "$PID_FILE")"
	user timeout 120 "$O/bin/milestonefs" mount "$P" >said 2>&1 || fail "mount over a dead mount: status $?: $(tr '\n' ' ' <said)"
	user grep -qx 'a: 2' "$M/state/sessions/s1/state/f.yaml" || fail "the save is lost"
	user sed -nE 's/^ *pid: *([0-9]+).*/\1/p' "$M/status/health.yaml" | head -n 1 >"$PID_FILE"
	user "$O/bin/milestonefs" log -n 1 "$P" >/dev/null || fail "log, mounted: status $?"
	user "$O/bin/milestonefs" umount "$P" || fail "umount: status $?"
	! is_mounted || fail "still mounted"
	# and all the rest without a mount, and with it again
	user "$O/bin/milestonefs" fsck "$P" >said 2>&1 || fail "fsck: status $?: $(tr '\n' ' ' <said)"
	user "$O/bin/milestonefs" log "$P" | grep -q 'state/f.yaml' || fail "log"
	user "$O/bin/milestonefs" export "$P" "$O/out" >said 2>&1 || fail "export: status $?: $(tr '\n' ' ' <said)"
	file_is out/state/sessions/s1/state/f.yaml 'a: 2'
	eq 65534 "$(stat -c %u out/state/sessions/s1/state/f.yaml)" "owner of what was exported"
	user timeout 120 "$O/bin/milestonefs" mount "$P" >said 2>&1 || fail "second mount: status $?: $(tr '\n' ' ' <said)"
	user sed -nE 's/^ *pid: *([0-9]+).*/\1/p' "$M/status/health.yaml" | head -n 1 >"$PID_FILE"
	user sh -c 'echo "a: 3" >"$1" && grep -qx "a: 3" "$1"' sh "$M/state/sessions/s1/state/f.yaml" || fail "a save after a remount"
	user fusermount3 -u "$M"
	wait_for gone "$(cat "$PID_FILE")"
	eq 0 "$(find "$M" ! -uid 65534 | wc -l)" "files of the store that are not its user's"
}

test_allow_other_only_when_asked() {
	local conf=/etc/fuse.conf
	need setpriv fusermount3
	fuse_for_all
	mkdir bin
	cp "$MILESTONEFS" bin/milestonefs
	chmod -R go+rX "$T"
	# root's mount: nobody sees it, unless it was asked for
	bg_mount
	echo x >"$D/f.txt"
	must_fail user cat "$D/f.txt" 2>/dev/null
	bg_umount
	timeout 120 "$MILESTONEFS" mount -o allow_other "$P" || fail "mount -o allow_other: status $?"
	mnt_pid >"$PID_FILE"
	eq x "$(user cat "$D/f.txt")" "another user's read with allow_other"
	must_fail user sh -c 'echo y >"$1"' sh "$D/f.txt" 2>/dev/null # modes hold
	chmod 0777 "$D"
	chmod 0600 "$D/f.txt"
	must_fail user cat "$D/f.txt" 2>/dev/null
	user sh -c 'echo y >"$1"' sh "$D/theirs.txt" || fail "another user cannot write where he may"
	eq 65534 "$(stat -c %u "$D/theirs.txt")" "owner"
	events_grep '.data.path | tostring | endswith("theirs.txt")' | jq -e '.data.actor.uid == 65534' >/dev/null || fail "actor of another user's save"
	bg_umount
	# an ordinary user may not ask, unless the administrator said so
	if grep -q '^user_allow_other' "$conf" 2>/dev/null; then
		return
	fi
	project_new
	chown 65534:65534 "$P"
	fails_with 'user_allow_other' user timeout 120 "$O/bin/milestonefs" mount -o allow_other "$P"
	! is_mounted || fail "mounted in spite of it"
}

# Who once mounts his project by sudo can go on without.
test_root_mounts_a_users_project() {
	need setpriv fusermount3
	fuse_for_all
	mkdir bin
	cp "$MILESTONEFS" bin/milestonefs
	chmod -R go+rX "$T"
	chown 65534:65534 "$P"
	user timeout 120 "$O/bin/milestonefs" mount "$P" >said 2>&1 || fail "mount: status $?: $(tr '\n' ' ' <said)"
	user mkdir "$S"
	user "$O/bin/milestonefs" umount "$P"
	timeout 120 "$MILESTONEFS" mount "$P"
	mnt_pid >"$PID_FILE"
	head -c 1000000 /dev/urandom >"$S/state/large.bin"
	bg_umount
	eq 0 "$(find "$M" ! -uid 65534 | wc -l)" "files of the store that are not its user's: $(find "$M" ! -uid 65534 | head -n 3)"
	user timeout 120 "$O/bin/milestonefs" mount "$P" >said 2>&1 || fail "the user's mount after root's: status $?: $(tr '\n' ' ' <said)"
	user cat "$S/state/large.bin" >/dev/null || fail "the user cannot read what root wrote"
	user "$O/bin/milestonefs" umount "$P"
}

test_no_dev_fuse_permission_is_explained() {
	need setpriv
	[ "$(id -u)" -eq 0 ] || skip "only root can act as another user"
	fuse_mode_stays
	[ "$(stat -c %a /dev/fuse)" = 600 ] || skip "/dev/fuse is open to all here"
	mkdir bin
	cp "$MILESTONEFS" bin/milestonefs
	chown 65534:65534 "$P"
	fails_with '/dev/fuse' user timeout 120 "$O/bin/milestonefs" mount "$P"
	! is_mounted
}

run_tests "$@"
