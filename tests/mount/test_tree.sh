#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The tree itself: what is there, what may not be changed, what mkdir makes.
. "$(dirname "$0")/lib.sh"

FIXED="state state/active state/completed state/sessions state/backups state/events state/.locks
agents agents/registry agents/status agents/coordination
transactions transactions/pending transactions/committed transactions/rollbacks
cache cache/state_cache cache/checksums cache/indexes replay status"
VIRTUAL="README.md .gitignore status/health.yaml status/sessions.yaml status/agents.yaml status/locks.yaml status/journal.yaml status/metrics status/version
state/events/all.jsonl cache/checksums/SHA256SUMS"

test_skeleton() {
	local name
	for name in $FIXED; do
		[ -d "$M/$name" ] || fail "no directory $name"
	done
	for name in $VIRTUAL status/config.yaml; do
		[ -f "$M/$name" ] || fail "no file $name"
		cat "$M/$name" >/dev/null || fail "$name cannot be read"
	done
	[ -s "$M/README.md" ] || fail "README.md is empty"
	file_is "$M/.gitignore" '*'
	for name in README.md .gitignore state agents transactions cache status; do
		find "$M" -maxdepth 1 -printf '%f\n' | grep -qx -- "$name" || fail "$name is not listed"
	done
}

test_mount_options() {
	local line opt
	line=$(grep -F " $M fuse" /proc/self/mounts)
	case $line in *" fuse.milestonefs "*) ;; *) fail "type of the mount: $line" ;; esac
	for opt in nosuid nodev; do
		[[ ",$(cut -d' ' -f4 <<<"$line")," == *",$opt,"* ]] || fail "no $opt: $line"
	done
	[[ $line == *default_permissions* ]] || fail "no default_permissions: $line"
	[[ $line != *allow_other* ]] || fail "allow_other was not asked for: $line"
}

test_fixed_directories_stay() {
	py "$M" $FIXED <<-'END'
		import errno, os, sys
		from mt import *
		m = sys.argv[1]
		for d in sys.argv[2:]:
		    p = f"{m}/{d}"
		    refused((errno.EPERM, errno.EBUSY), os.rmdir, p)
		    # the kernel's own EINVAL where it would move into itself
		    itself = (errno.EINVAL,) if d in ("state", "state/sessions") else ()
		    refused((errno.EPERM, errno.EBUSY) + itself, os.rename, p, m + "/state/sessions/s1/state/away")
		    check(os.path.isdir(p), f"{d} is gone")
		put(m + "/state/sessions/s1/state/f", b"x")
		refused((errno.EPERM, errno.EBUSY, errno.EISDIR, errno.EEXIST, errno.EROFS, errno.EACCES), os.rename,
		        m + "/state/sessions/s1/state/f", m + "/status")
	END
}

test_session_skeleton_stays() {
	py "$S" <<-'END'
		import errno, os, subprocess, sys
		from mt import *
		s = sys.argv[1]
		for d in ("state", "agents", "events", "checkpoints", "recovery"):
		    refused((errno.EPERM, errno.EBUSY), os.rename, f"{s}/{d}", f"{s}/other")
		for d in ("agents", "events", "checkpoints", "recovery"): # whether it succeeds is test_session_remove.sh's affair
		    try:
		        os.rmdir(f"{s}/{d}")
		    except OSError as e:
		        check(e.errno in (errno.EPERM, errno.EBUSY, errno.ENOTEMPTY), f"{d}: {e}")
		    eq(0, subprocess.run(["test", "-d", f"{s}/{d}"]).returncode, f"{d}, to another process")
	END
}

test_virtual_files_refuse_writes() {
	py "$M" $VIRTUAL <<-'END'
		import errno, os, sys
		from mt import *
		m = sys.argv[1]
		no = (errno.EROFS, errno.EACCES)
		def write(p, flags):
		    fd = os.open(p, flags)
		    os.write(fd, b"x")
		    os.close(fd)
		for f in sys.argv[2:]:
		    p = f"{m}/{f}"
		    before = get(p) if not f.startswith(("status/", "state/events")) else None
		    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
		        refused(no, write, p, flags)
		    if f != "state/events/all.jsonl":
		        refused(no, write, p, os.O_WRONLY | os.O_APPEND)
		    refused(no + (errno.EPERM, errno.EINVAL), os.truncate, p, 0)
		    refused(no + (errno.EPERM, errno.EBUSY), os.unlink, p)
		    refused(no + (errno.EPERM, errno.EBUSY), os.rename, p, m + "/state/sessions/s1/state/x")
		    refused(no + (errno.EPERM,), os.chmod, p, 0o777)
		    check(os.stat(p).st_mode & 0o222 == 0 or f == "state/events/all.jsonl", f"{f}: mode shows it writable")
		    if before is not None:
		        eq(before, get(p), f)
	END
}

test_virtual_directories_refuse_names() {
	py "$M" <<-'END'
		import errno, os, sys
		from mt import *
		m = sys.argv[1]
		no = (errno.EROFS, errno.EACCES, errno.EPERM)
		for d in ("status", "agents/registry", "agents/status", "transactions/committed", "transactions/rollbacks",
		          "cache/checksums", "state/events", "replay", "state/active", "state/completed"):
		    refused(no, put, f"{m}/{d}/newfile", b"x")
		    check(not os.path.lexists(f"{m}/{d}/newfile"), f"{d}/newfile exists")
	END
}

test_virtual_files_have_true_sizes() {
	local name
	for name in $VIRTUAL status/config.yaml; do
		py "$M/$name" <<-'END'
			import os, sys
			from mt import *
			fd = os.open(sys.argv[1], os.O_RDONLY)
			data = b""
			while True:
			    piece = os.read(fd, 700)
			    if not piece:
			        break
			    data += piece
			if not sys.argv[1].endswith((".yaml", "metrics")): # those change with the clock
			    eq(os.fstat(fd).st_size, len(data), sys.argv[1] + ": st_size and bytes read")
			check(data, sys.argv[1] + " is empty")
			eq(data[3:50], os.pread(fd, 47, 3), sys.argv[1] + ": the same text for the life of a handle")
		END
	done
}

test_mkdir_makes_a_session() {
	local sub x=$M/state/sessions/tree-1
	mkdir "$x"
	for sub in state agents events checkpoints recovery; do
		[ -d "$x/$sub" ] || fail "no $sub/"
	done
	has "$x/session.yaml" '^session:'
	has "$x/session.yaml" '^  id: *"?tree-1"?'
	has "$x/session.yaml" '^  type: *"?general"?'
	has "$x/session.yaml" '^  status: *"?active"?'
	has "$x/session.yaml" '^  created_at: *"?20[0-9-]+T[0-9:.]+Z"?'
	has "$x/session.yaml" '^  last_updated: *"?20[0-9-]+T[0-9:.]+Z"?'
	has "$x/session.yaml" '^context: *\{\}'
	has "$x/session.yaml" '^  current_operation: *null'
	has "$x/session.yaml" '^  progress_percentage: *0'
	has "$x/session.yaml" '^  active_agents: *\[\]'
	has "$x/session.yaml" '^  checkpoint_interval: *300'
	has "$x/session.yaml" '^  max_session_duration: *14400'
	has "$x/session.yaml" '^  backup_retention: *7'
	has "$x/session.yaml" '^  recovery_points:'
	[ -f "$x/events/session.jsonl" ] || fail "no events/session.jsonl"
	[ -s "$x/events/session.jsonl" ] || fail "a session without its first event"
	echo x >"$x/state/f.txt"
	mnt_crash
	file_is "$x/state/f.txt" x
	has "$x/session.yaml" '^  id: *"?tree-1"?'
	fails_with 'file exists' mkdir "$x"
}

test_session_ids_are_checked() {
	py "$M/state/sessions" <<-'END'
		import errno, os, sys
		from mt import *
		d = sys.argv[1]
		before = sorted(os.listdir(d))
		for bad in (".hidden", "-dash", "_under", "with space", "umlaut-é", "new\nline", "a" * 129, "a:b", "a*", "a\\b", "~x"):
		    refused((errno.EINVAL, errno.EPERM, errno.ENAMETOOLONG), os.mkdir, f"{d}/{bad}")
		refused((errno.EINVAL, errno.EPERM, errno.EACCES, errno.EROFS), put, f"{d}/file", b"x")
		eq(before, sorted(os.listdir(d)), "sessions")
		for good in ("a", "A1", "0", "a.b_c-d", "z" * 128):
		    os.mkdir(f"{d}/{good}")
		    check(os.path.isfile(f"{d}/{good}/session.yaml"), f"{good}: no session.yaml")
	END
}

test_locks_directory() {
	local lock=$M/state/.locks/build
	( set -C; echo $$ >"$lock" )
	must_fail "$BASH" -c 'set -C; echo $$ >"$1"' sh "$lock" 2>/dev/null
	rm "$lock"
	( set -C; echo $$ >"$lock" )
	rm "$lock"
}

test_walks_end() {
	echo needle-in-the-tree >"$D/f.txt"
	timeout 120 find "$M" >found || fail "find: status $?"
	[ "$(wc -l <found)" -lt 20000 ] || fail "find lists $(wc -l <found) entries"
	eq "" "$(sort found | uniq -d | head -n 3)" "entries listed twice"
	timeout 120 grep -rl needle-in-the-tree "$M" >hits || fail "grep -r: status $?"
	grep -q "walks_end/f.txt" hits || fail "grep -r does not find it"
	timeout 120 du -s "$M" >/dev/null
	timeout 120 ls -lR "$M" >/dev/null
	timeout 120 tar -cf - -C "$P" .milestones | wc -c >size || [ $? -le 1 ] || fail "tar: status $?" # 1: a file changed meanwhile
	[ "$(cat size)" -gt 10000 ]
	timeout 120 cp -r "$M/state/sessions/s1/state" "$O/copy"
	if command -v git >/dev/null; then
		git init -q "$P"
		timeout 120 git -C "$P" add -A
		eq "" "$(git -C "$P" ls-files .milestones)" "what git would track"
	fi
}

test_rm_r_of_a_session_tree_part() {
	mkdir -p "$D/a/b"
	echo x >"$D/a/b/f"
	rm -r "$D/a"
	[ ! -e "$D/a" ]
}

test_unmounted_store_is_not_writable_by_mistake() {
	mnt_stop
	eq 500 "$(stat -c %a "$M")" "mode of the store"
	[ -f "$M/.gitignore" ] || fail "the store has no .gitignore"
	find "$M" -maxdepth 1 -iname '*README*' | grep -q . || fail "the store has no README"
	[ -e "$M/FORMAT" ] || fail "the store has no FORMAT"
	mnt_start
}

run_tests "$@"
