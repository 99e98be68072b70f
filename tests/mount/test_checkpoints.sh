#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Checkpoints: taken by mkdir or when they are due, what they hold and say, that they cost the same whatever a session holds, and that
# rmdir, rm -r and retention remove them.
. "$(dirname "$0")/lib.sh"

names() {
	find "$C" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort
}

# automatic: names of those the daemon named, oldest first
automatic() {
	names | grep '^checkpoint-' | sort -t - -k 2n -k 3n
}

reason_of() {
	key "$C/$1/checkpoint.yaml" reason
}

# --- taking one --------------------------------------------------------------------

test_mkdir_takes_one() {
	local before
	session take-1
	session_fill
	before=$(event_count)
	mkdir "$C/before-refactor"
	eq before-refactor "$(reason_of before-refactor)" "the reason is the name"
	mkdir "$C/checkpoint-mine"
	eq manual "$(reason_of checkpoint-mine)" "reason"
	eq 2 $(($(event_count) - before)) "events"
	eq "before-refactor before-refactor" "$(events_grep '.event_type == "checkpoint_created" and .session_id == "take-1" and .data.checkpoint_id == "before-refactor"' |
		jq -r '"\(.data.checkpoint_id) \(.data.reason)"')" "the event"
	has "$X/session.yaml" '^  last_checkpoint: "?checkpoint-mine"?'
	has "$X/session.yaml" '^  recovery_points: \["?checkpoint-mine"?, "?before-refactor"?'
	fails_with 'file exists' mkdir "$C/before-refactor"
	fails_with 'invalid argument' mkdir "$C/not an id"
	fails_with 'not permitted' touch "$C/file"
	fails_with 'not permitted' mv "$C/before-refactor" "$C/after-refactor"
	mnt_crash
	eq before-refactor "$(reason_of before-refactor)" "after a crash"
	file_is "$C/before-refactor/state/plan.yaml" "v: 1"
}

test_a_session_begins_with_one() {
	session first-1
	eq 1 "$(names | wc -l)" "checkpoints of a new session"
	eq initialization "$(reason_of "$(names)")" "its reason"
}

test_fields() {
	local want
	session fields-1
	session_fill
	mkdir "$C/c1"
	want="checkpoint: id session_id reason created_at state_snapshot: session_file agent_count operation_count event_count context: working_directory git_branch git_commit recovery_data: active_transactions pending_operations agent_states"
	eq "$want" "$(sed -nE 's/^(  )?([a-z_]+:)( .*)?$/\2\3/p' "$C/c1/checkpoint.yaml" | sed -E 's/^([a-z_]+): .*/\1/; /^(active_transactions|pending_operations|agent_states):$/s/:$//' | paste -sd ' ')" "fields"
	eq c1 "$(key "$C/c1/checkpoint.yaml" id)" id
	eq fields-1 "$(key "$C/c1/checkpoint.yaml" session_id)" session_id
	eq 1 "$(key "$C/c1/checkpoint.yaml" agent_count)" agent_count
	eq "$(sha256sum <"$X/session.yaml" | cut -d ' ' -f 1)" "$(key "$C/c1/checkpoint.yaml" session_file)" session_file
	eq "$(wc -l <"$X/events/session.jsonl")" "$(key "$C/c1/checkpoint.yaml" event_count)" event_count
	eq "$(jq -r .data.tx_seq "$X/events/session.jsonl" | sort -un | wc -l)" "$(key "$C/c1/checkpoint.yaml" operation_count)" operation_count
	eq "$P" "$(key "$C/c1/checkpoint.yaml" working_directory)" working_directory
	has "$C/c1/checkpoint.yaml" '^    - id: "coder-1"$'
	has "$C/c1/checkpoint.yaml" "^      checksum: \"$(sha256sum <"$X/agents/coder-1.yaml" | cut -d ' ' -f 1)\""
}

test_git() {
	need git
	session git-1
	mkdir "$C/outside"
	eq unknown "$(key "$C/outside/checkpoint.yaml" git_branch)" "branch outside git"
	eq unknown "$(key "$C/outside/checkpoint.yaml" git_commit)" "commit outside git"
	git -C "$P" init -q -b main
	git -C "$P" -c user.name=n -c user.email=e commit -q --allow-empty -m one
	mkdir "$C/inside"
	eq main "$(key "$C/inside/checkpoint.yaml" git_branch)" branch
	eq "$(git -C "$P" rev-parse HEAD)" "$(key "$C/inside/checkpoint.yaml" git_commit)" commit
	rm -rf "$P/.git"
}

# What somebody is writing at that moment is in the checkpoint as it was before, and named.
test_open_files() {
	session open-1
	echo "v: 1" >"$X/state/f.yaml"
	py "$X" <<-'END'
		import os, sys
		from mt import *
		x = sys.argv[1]
		fd = os.open(x + "/state/f.yaml", os.O_WRONLY | os.O_TRUNC)
		os.write(fd, b"v: 2\n")
		os.mkdir(x + "/checkpoints/c1")
		eq(b"v: 1\n", get(x + "/checkpoints/c1/state/f.yaml"))
		os.close(fd)
		eq(b"v: 1\n", get(x + "/checkpoints/c1/state/f.yaml"))
		eq(b"v: 2\n", get(x + "/state/f.yaml"))
		text = get(x + "/checkpoints/c1/checkpoint.yaml").decode()
		check('target_file: "state/sessions/open-1/state/f.yaml"' in text, text)
		check("active_transactions:\n    - \"tx-" in text, text)
	END
}

test_taken_when_due() {
	local n
	session due-1 'configuration: {checkpoint_interval: 1}'
	echo changed >"$X/state/f"
	# shellcheck disable=SC2016
	wait_for eval 'grep -qx changed "$C"/checkpoint-*/state/f'
	eq periodic "$(reason_of "$(automatic | tail -n 1)")" "its reason"
	file_is "$C/$(automatic | tail -n 1)/state/f" changed
	n=$(names | wc -l)
	stays 3 eval "[ \$(names | wc -l) -eq $n ]" # nothing changed
	echo again >>"$X/state/f"
	wait_for eval "[ \$(names | wc -l) -gt $n ]"
	session due-2 'configuration: {checkpoint_interval: 1, auto_checkpoint: false}'
	n=$(names | wc -l)
	echo changed >"$X/state/f"
	stays 3 eval "[ \$(names | wc -l) -eq $n ]"
}

test_retention() {
	session keep-1 'configuration: {checkpoint_interval: 1, backup_retention: 0}'
	mkdir "$C/named"
	echo one >"$X/state/f"
	# shellcheck disable=SC2016
	wait_for eval 'grep -qx one "$C"/checkpoint-*/state/f'
	echo two >"$X/state/f"
	# shellcheck disable=SC2016
	wait_for eval '[ "$(automatic | wc -l)" -eq 1 ] && grep -qx two "$C/$(automatic)/state/f"'
	stays 2 test -d "$C/named"
	eq "named" "$(names | grep -v '^checkpoint-')" "named ones"
	eq 1 "$(automatic | wc -l)" "the newest stays"
}

# --- what it shows --------------------------------------------------------------------

test_shows_what_was() {
	session show-1
	session_fill
	py "$X/state/plan.yaml" <<<'import os, sys; os.setxattr(sys.argv[1], "user.kept", b"value")'
	manifest "$X/state" | grep -v '^d' | sed -E 's/^(. [0-9]+ [0-9]+ [0-9]+ [0-9]+) [0-9]+ /\1 /' >before
	mkdir "$C/c1"
	echo "v: 2" >"$X/state/plan.yaml"
	rm "$X/state/a/b/deep.txt" "$X/state/link"
	rmdir "$X/state/a/b"
	mv "$X/state/a" "$X/state/z"
	chmod 0600 "$X/state/hard"
	echo "agent: {type: other}" >"$X/agents/coder-2.yaml"
	manifest "$C/c1/state" | grep -v '^d' | sed -E 's/^(. [0-9]+ [0-9]+ [0-9]+ [0-9]+) [0-9]+ /\1 /' >after
	same before after
	file_is "$C/c1/state/plan.yaml" "v: 1"
	file_is "$C/c1/state/a/b/deep.txt" deep
	eq plan.yaml "$(readlink "$C/c1/state/link")" "a link"
	eq "value" "$(py "$C/c1/state/plan.yaml" <<<'import os, sys; print(os.getxattr(sys.argv[1], "user.kept").decode())')" "xattr"
	eq "coder-1.yaml" "$(ls "$C/c1/agents")" "agents"
	must_fail diff -r "$C/c1/state" "$X/state" >differences
	has differences 'plan.yaml'
	has differences '^Only in .*/state: z$'
	mkdir "$C/c2"
	diff -r "$C/c2/state" "$X/state"
	# nothing runs in circles, and every file is another one
	eq 2 "$(grep -rl '^deep$' "$C/c1" | wc -l)" "found by grep -r"
	eq "" "$(find "$C" "$X/state" "$X/agents" ! -name hard ! -name deep.txt -printf '%i\n' | sort | uniq -d)" "numbers of inodes"
	mnt_remount
	file_is "$C/c1/state/a/b/deep.txt" deep
	find "$C" -type d -printf '%y' | grep -q d
}

test_dotdot_and_numbers() {
	session dots-1
	session_fill
	mkdir "$C/c1"
	py "$C/c1" <<-'END'
		import os, sys
		from mt import *
		c = sys.argv[1]
		eq(os.stat(c).st_ino, os.stat(c + "/state/..").st_ino, "state/..")
		eq(os.stat(c + "/state").st_ino, os.stat(c + "/state/a/..").st_ino, "state/a/..")
		for top in (c, c + "/state", c + "/state/a", c + "/agents"):
		    for e in os.scandir(top):
		        eq(os.lstat(e.path).st_ino, e.inode(), e.path)
		        eq(os.path.isdir(e.path), e.is_dir(), e.path)
		os.chdir(c + "/state/a/b")
		eq(c + "/state/a/b", os.getcwd())
		os.chdir("../../..")
		eq(c, os.getcwd())
	END
}

test_times() {
	local made what
	session times-1
	session_fill
	touch -d 2001-02-03 "$X/state"
	sleep 1.1
	mkdir "$C/c1"
	made=$(key "$C/c1/checkpoint.yaml" created_at)
	sleep 1.1
	echo later >"$X/state/later"
	for what in "" /checkpoint.yaml /state /agents; do
		eq "$(date -u -d "$made" +%s)" "$(stat -c %Y "$C/c1$what")" "time of c1$what"
	done
	eq "$(stat -c %y "$X/state/plan.yaml")" "$(stat -c %y "$C/c1/state/plan.yaml")" "a file's own time"
	# shellcheck disable=SC2012
	eq "$(date -u -d "$made" '+%F %T')" "$(TZ=UTC ls -ld --time-style='+%F %T' "$C/c1" | awk '{ print $6, $7 }')" "ls -l"
}

test_read_only() {
	session ro-1
	session_fill
	mkdir "$C/c1"
	py "$C/c1" <<-'END'
		import errno, os, sys
		from mt import *
		c = sys.argv[1]
		R = errno.EROFS
		for f in ("/checkpoint.yaml", "/state/plan.yaml", "/agents/coder-1.yaml"):
		    before = get(c + f)
		    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
		        refused(R, os.open, c + f, flags)
		    refused(R, os.truncate, c + f, 0)
		    refused(R, os.chmod, c + f, 0o600)
		    refused(R, os.utime, c + f, (1, 1))
		    refused(R, os.setxattr, c + f, "user.a", b"b")
		    refused((R, errno.EPERM), os.rename, c + f, c + "/x")
		    eq(before, get(c + f))
		for d in ("", "/state", "/state/a"):
		    refused(R, os.mkdir, c + d + "/new")
		    refused(R, os.open, c + d + "/new", os.O_WRONLY | os.O_CREAT)
		    refused(R, os.symlink, "x", c + d + "/new")
		refused(R, os.chmod, c + "/state", 0o700)
		refused((R, errno.EXDEV), os.link, c + "/state/plan.yaml", c + "/../../state/linked")
	END
}

test_in_replay() {
	local seq
	session replay-1
	session_fill
	mkdir "$C/c1"
	seq=$(jq -s '.[-1].data.tx_seq' "$X/events/session.jsonl")
	eq c1 "$(key "$M/replay/$seq/state/sessions/replay-1/checkpoints/c1/checkpoint.yaml" id)" "there"
	rm -r "$C/c1"
	eq c1 "$(key "$M/replay/$seq/state/sessions/replay-1/checkpoints/c1/checkpoint.yaml" id)" "still"
}

# --- what it costs -----------------------------------------------------------------------

# cost COMMAND...: "TRANSACTIONS BYTES" that it adds to the journal
cost() {
	local seq bytes
	sync -f "$X/session.yaml"
	"$PY" -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDONLY))' "$X/session.yaml"
	seq=$(key "$M/status/journal.yaml" head_sequence)
	bytes=$(key "$M/status/journal.yaml" bytes_written)
	"$@"
	"$PY" -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDONLY))' "$X/session.yaml"
	echo $(($(key "$M/status/journal.yaml" head_sequence) - seq)) $(($(key "$M/status/journal.yaml" bytes_written) - bytes))
}

# cost_of_one NAME: of taking NAME-1, -2 …: the least, since what is due for other sessions may come between
cost_of_one() {
	local i
	for i in 1 2 3 4; do
		cost mkdir "$C/$1-$i"
	done | sort -k 1n -k 2n | sed -n 1p
}

test_costs_the_same() {
	local few many i before after
	mnt_remount -o sync=interval:500
	session cost-1 'configuration: {auto_checkpoint: false}'
	for i in 1 2 3 4 5 6 7 8 9 10; do
		echo "$i" >"$X/state/f$i"
	done
	few=$(cost_of_one few-0)
	py "$X/state" <<-'END'
		import os, sys
		for d in range(30):
		    os.mkdir(f"{sys.argv[1]}/d{d}")
		    for i in range(1000):
		        fd = os.open(f"{sys.argv[1]}/d{d}/f{i}", os.O_WRONLY | os.O_CREAT, 0o644)
		        os.write(fd, b"x\n")
		        os.close(fd)
	END
	many=$(cost_of_one many)
	echo "10 files: $few; 30,000: $many (transactions, bytes)" >&2
	eq 1 "${few% *}" "transactions for 10 files"
	eq 1 "${many% *}" "transactions for 30,000"
	# counts have more digits, nothing else grows
	[ $((${many#* } - ${few#* })) -lt 512 ] || fail "10 files: ${few#* } bytes, 30,000: ${many#* }"
	eq 30040 "$(find "$C/many-1/state" -mindepth 1 | wc -l)" "what it holds"
	# nor does rm -r take a request a file
	mkdir "$C/unseen"
	before=$(awk '$1 == "milestonefs_requests_total" { print $2 }' "$M/status/metrics")
	rm -r "$C/unseen"
	after=$(awk '$1 == "milestonefs_requests_total" { print $2 }' "$M/status/metrics")
	[ "$before" ] || fail "no count of requests"
	[ $((after - before)) -lt 100 ] || fail "rm -r took $((after - before)) requests"
	rm -r "$C/many-1"
	eq 30040 "$(find "$X/state" -mindepth 1 | wc -l)" "what the session holds"
	mnt_remount
}

# --- removing one --------------------------------------------------------------------------

removed_events() {
	events_grep ".event_type == \"checkpoint_removed\" and .session_id == \"${X##*/}\"" | wc -l
}

test_rmdir_and_rm_r() {
	session gone-1
	session_fill
	mkdir "$C/c1" "$C/c2" "$C/c3" "$C/c4"
	rmdir "$C/c1"
	rm -r "$C/c2" 2>said || fail "rm -r: $(cat said)"
	eq "" "$(cat said)" "what rm said"
	find "$C/c3" -delete
	py "$C/c4" <<-'END'
		import shutil, sys
		shutil.rmtree(sys.argv[1])
	END
	eq "" "$(names | grep '^c[1-4]$')" "what is left"
	eq 4 "$(removed_events)" "checkpoint_removed"
	file_is "$X/state/plan.yaml" "v: 1"
	file_is "$X/state/a/b/deep.txt" deep
	if grep -q 'c[1-4]' "$X/session.yaml"; then
		fail "session.yaml still names them"
	fi
	fails_with 'no such file' rmdir "$C/c1"
	mkdir "$C/c1"
	file_is "$C/c1/state/a/b/deep.txt" deep
	mnt_crash
	eq "c1" "$(names | grep '^c[1-4]$')" "after a crash"
}

# To who removes it it goes step by step; for others it is all there until the checkpoint itself goes.
test_others_have_it_until_the_end() {
	session steps-1
	session_fill
	mkdir "$C/c1"
	py "$C/c1" <<-'END'
		import errno, os, subprocess, sys
		from mt import *
		c = sys.argv[1]
		FILES = ("checkpoint.yaml", "state/plan.yaml", "state/a/b/deep.txt", "agents/coder-1.yaml")
		def others_have_all():
		    for f in FILES:
		        check(others_see(f"{c}/{f}") != b"", f)
		    out = subprocess.run(["find", c, "-type", "f", "-printf", "%P\n"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
		    for f in FILES:
		        check(f in out, f"{f} is not found by others")
		refused(errno.ENOTEMPTY, os.rmdir, c + "/state")
		refused(errno.ENOTEMPTY, os.rmdir, c + "/state/a")
		refused(errno.EISDIR, os.unlink, c + "/state/a")
		refused(errno.ENOTDIR, os.rmdir, c + "/state/plan.yaml")
		refused(errno.ENOTDIR, os.rmdir, c + "/checkpoint.yaml")
		refused(errno.ENOENT, os.unlink, c + "/state/none")
		eq(["a", "hard", "link", "plan.yaml"], sorted(os.listdir(c + "/state")))
		os.unlink(c + "/state/a/b/deep.txt")
		others_have_all()
		eq([], os.listdir(c + "/state/a/b"), "to who has begun")
		os.rmdir(c + "/state/a/b")
		others_have_all()
		os.unlink(c + "/checkpoint.yaml")
		check(not os.path.exists(c + "/checkpoint.yaml"), "checkpoint.yaml shows to who removed it")
		others_have_all()
		os.rmdir(c + "/state")
		check(not os.path.exists(c + "/state"), "state shows to who removed it")
		eq(["agents"], os.listdir(c))
		others_have_all()
		os.rmdir(c + "/agents")
		eq([], os.listdir(c))
		others_have_all()
		os.rmdir(c)
		check(subprocess.run(["test", "-e", c]).returncode == 1, "others still have it")
	END
	eq 1 "$(removed_events)" "checkpoint_removed"
}

# What a killed rm has removed of it is all there.
test_interrupted() {
	session cut-1
	session_fill
	mkdir "$C/c1"
	find "$C/c1" | sort >before
	py "$C/c1" <<-'END' || eq 137 $? "status of the killed one"
		import os, sys
		c = sys.argv[1]
		os.unlink(c + "/checkpoint.yaml")
		os.unlink(c + "/state/a/b/deep.txt")
		os.rmdir(c + "/state/a/b")
		os.rmdir(c + "/state/a")
		os.rmdir(c + "/state")
		os.kill(os.getpid(), 9)
	END
	find "$C/c1" | sort >after
	same before after
	file_is "$C/c1/state/a/b/deep.txt" deep
	eq 0 "$(removed_events)" "checkpoint_removed"
}

# Somebody works in a directory of a copy that another process removes: nobody else loses it.
test_removed_under_a_holder() {
	session held-1
	session_fill
	mkdir "$C/c1"
	py "$C/c1" <<-'END'
		import os, subprocess, sys
		from mt import *
		c = sys.argv[1]
		holder = child("os.chdir(sys.argv[1]); print('in'); sys.stdin.readline(); print(os.listdir(sys.argv[1])); sys.stdin.readline()", c + "/state/a/b")
		reader = open(c + "/state/plan.yaml", "rb", buffering=0)
		expect(holder, "in")
		for i in range(3):
		    subprocess.run(["rm", "-r", c + "/state/a"], check=True)
		    eq(b"deep\n", others_see(c + "/state/a/b/deep.txt"))
		    eq(b"deep\n", get(c + "/state/a/b/deep.txt"))
		    subprocess.run(["rm", "-r", c + "/state"], check=True)
		    eq(b"deep\n", others_see(c + "/state/a/b/deep.txt"))
		    eq(["coder-1.yaml"], [n for n in os.listdir(c + "/agents") if n[0] != "."])
		tell(holder)
		expect(holder, "['deep.txt']")
		eq(b"v: 1\n", reader.read())
		subprocess.run(["rm", "-r", c], check=True)
		reader.seek(0)
		eq(b"v: 1\n", reader.read())
		tell(holder)
		holder.wait()
	END
	[ ! -e "$C/c1" ] || fail "it is still there"
}

test_ordinary_user() {
	local shared=$P
	mnt_stop
	project_at "$T/user"
	users_project
	user_mount
	# shellcheck disable=SC2016
	user "$BASH" -ec '
		cd "$1/.milestones"
		mkdir -p state/sessions/u1 state/sessions/u1/state/a/b
		cd state/sessions/u1
		echo deep >state/a/b/f
		mkdir checkpoints/c1 checkpoints/c2
		rm -r checkpoints/c1
		[ ! -e checkpoints/c1 ]
		rmdir checkpoints/c2
		rm -r checkpoints/checkpoint-*
		[ -z "$(ls checkpoints)" ]
		mkdir checkpoints/c3
		[ "$(cat checkpoints/c3/state/a/b/f)" = deep ]
		cd ..
		rm -r u1
		[ ! -e u1 ]' sh "$P" >&2
	user "$BIN" umount "$P" || fail "umount: status $?"
	! is_mounted || fail "still mounted"
	project_at "$shared"
	mnt_start
}

run_tests "$@"
