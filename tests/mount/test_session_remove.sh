#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Removing a session: rm -r takes all of it, rmdir of it is the transaction, and nothing else of it can be lost on the way.
. "$(dirname "$0")/lib.sh"

SKELETON="state agents events checkpoints recovery"

# whole DIR: all a session has is there and works, as a process sees it that has removed nothing
whole() {
	local name
	for name in $SKELETON; do
		[ -d "$1/$name" ] || fail "no $name"
		find "$1" -maxdepth 1 -printf '%f\n' | grep -qx "$name" || fail "$name is not listed"
	done
	cat "$1/events/session.jsonl" >/dev/null
	find "$1/events" -maxdepth 1 -printf '%f\n' | grep -qx session.jsonl || fail "session.jsonl is not listed"
	echo works >"$1/state/.works"
	file_is "$1/state/.works" works
	rm "$1/state/.works"
}

fill() {
	mkdir -p "$1/state/a/b"
	echo "a: 1" >"$1/state/plan.yaml"
	echo text >"$1/state/a/b/deep.txt"
	ln -s plan.yaml "$1/state/link"
	echo "agent: {id: coder}" >"$1/agents/coder.yaml"
	echo own >"$1/own.txt"
}

removed_events() {
	events_grep ".event_type == \"session_removed\" and .session_id == \"$1\"" | wc -l
}

test_rm_r() {
	session rm-1
	fill "$X"
	cat "$X/events/session.jsonl" >/dev/null
	rm -r "$X" 2>said || fail "rm -r: $(cat said)"
	eq "" "$(cat said)" "what rm said"
	[ ! -e "$X" ] || fail "it is still there"
	eq "" "$(find "$M/state/sessions" -maxdepth 1 -name rm-1)" "what is listed"
	eq 1 "$(removed_events rm-1)" "session_removed"
	mnt_remount
	[ ! -e "$X" ] || fail "it is back after a remount"
	mnt_crash
	[ ! -e "$X" ] || fail "it is back after a crash"
}

test_rm_rf_of_several() {
	local i
	for i in 1 2 3 4 5; do
		session "many-$i"
		fill "$X"
	done
	rm -rf "$M"/state/sessions/many-*
	eq "" "$(find "$M/state/sessions" -name 'many-*')" "what is left"
}

# everything: all that a session can hold
everything() {
	fill "$1"
	printf 'configuration:\n  heartbeat_interval: 1\n' >"$1/session.yaml"
	echo "agent: {status: active}" >"$1/agents/other.yaml"
	mkdir "$1/checkpoints/named" "$1/checkpoints/checkpoint-like"
	mkdir "$1/agents/.sync/open" "$1/agents/.sync/over"
	touch "$1/agents/.sync/open/coder" "$1/agents/.sync/over/coder" "$1/agents/.sync/over/other"
	cat "$1/agents/.sync/over/wait" >/dev/null
	echo named >"$1/recovery/restore"
	echo "{\"event_type\": \"own\"}" >>"$1/events/session.jsonl"
	wait_for test -s "$1/agents/.health/monitor.jsonl"
}

test_rm_r_of_everything() {
	local seq
	session all-1
	everything "$X"
	find "$X" >list
	seq=$(jq -s '.[-1].data.tx_seq' "$X/events/session.jsonl")
	rm -r "$X" 2>said || fail "rm -r: $(head -n 5 said)"
	eq "" "$(cat said)" "what rm said"
	[ ! -e "$X" ] || fail "it is still there"
	eq 1 "$(removed_events all-1)" "session_removed"
	mnt_crash
	[ ! -e "$X" ] || fail "it is back after a crash"
	# its history stays
	file_is "$M/replay/$seq/state/sessions/all-1/state/a/b/deep.txt" text
	[ -s "$M/replay/$seq/state/sessions/all-1/checkpoints/named/checkpoint.yaml" ] || fail "no checkpoint in history"
	session all-2
	everything "$X"
	find "$X" -delete
	[ ! -e "$X" ] || fail "find -delete left it"
	session all-3
	everything "$X"
	py "$X" <<-'END'
		import shutil, sys
		shutil.rmtree(sys.argv[1])
	END
	[ ! -e "$X" ] || fail "shutil.rmtree left it"
}

# What a user has asked for by name makes rmdir fail, what the daemon made by itself does not.
test_rmdir_with_checkpoints() {
	session points-1
	echo x >"$X/state/f"
	mkdir "$X/checkpoints/named"
	rm "$X/state/f"
	fails_with 'not empty' rmdir "$X"
	file_is "$X/checkpoints/named/state/f" x
	whole "$X"
	rmdir "$X/checkpoints/named"
	mkdir "$X/checkpoints/checkpoint-mine"
	fails_with 'not empty' rmdir "$X"
	rmdir "$X/checkpoints/checkpoint-mine"
	rmdir "$X"
	session points-2
	mkdir "$X/agents/.sync/open"
	fails_with 'not empty' rmdir "$X"
	[ -d "$X/agents/.sync/open" ] || fail "the barrier is gone"
	rm -r "$X"
}

# Copies in checkpoints cost rm -r nothing, however many there are.
test_rm_r_takes_no_request_a_copy() {
	local before after i
	session many-copies
	for i in $(seq 300); do echo "$i" >"$X/state/f$i"; done
	for i in $(seq 20); do mkdir "$X/checkpoints/c$i"; done
	before=$(awk '$1 == "milestonefs_requests_total" { print $2 }' "$M/status/metrics")
	rm -r "$X"
	after=$(awk '$1 == "milestonefs_requests_total" { print $2 }' "$M/status/metrics")
	[ ! -e "$X" ]
	[ "$before" ] || fail "no count of requests"
	[ $((after - before)) -lt 2500 ] || fail "rm -r took $((after - before)) requests"
}

test_other_tools_remove_it_too() {
	session find-1
	fill "$X"
	find "$X" -delete
	[ ! -e "$X" ] || fail "find -delete left it"
	session find-2
	fill "$X"
	find "$X" -depth -mindepth 1 -type d -exec rmdir {} + -o -depth -mindepth 1 -exec rm {} + || true
	find "$X" -mindepth 1 ! -type d -exec rm {} \;
	rm -r "$X"
	[ ! -e "$X" ] || fail "find -exec left it"
	session py-1
	fill "$X"
	py "$X" <<-'END'
		import os, shutil, sys
		shutil.rmtree(sys.argv[1])
		os.mkdir(sys.argv[1])
		assert os.path.isfile(sys.argv[1] + "/session.yaml")
		assert sorted(os.listdir(sys.argv[1] + "/events")) == ["session.jsonl"]
		shutil.rmtree(sys.argv[1])
	END
	[ ! -e "$X" ] || fail "shutil.rmtree left it"
}

test_rmdir_alone() {
	local before
	session rmdir-1
	before=$(event_count)
	rmdir "$X"
	[ ! -e "$X" ] || fail "it is still there"
	eq $((before + 1)) "$(event_count)" "events"
	eq 1 "$(removed_events rmdir-1)" "session_removed"
}

test_rmdir_with_content() {
	local file
	session rmdir-2
	for file in state/f agents/a.yaml own; do
		echo "a: 1" >"$X/$file"
		cp "$X/$file" kept
		fails_with 'not empty' rmdir "$X"
		same "$X/$file" kept
		[ -s "$X/session.yaml" ] || fail "session.yaml is gone"
		whole "$X"
		rm "$X/$file"
	done
	echo x >"$X/state/f"
	fails_with 'not empty' rmdir "$X/state"
	file_is "$X/state/f" x
	rm "$X/state/f"
	rmdir "$X"
}

test_made_again() {
	local before
	session again-1
	echo "old: 1" >"$X/state/f.yaml"
	before=$(wc -l <"$X/events/session.jsonl")
	rm -r "$X"
	session again-1
	[ -s "$X/session.yaml" ] || fail "no session.yaml"
	eq "" "$(ls "$X/state")" "content of a new session"
	whole "$X"
	echo "new: 1" >"$X/state/f.yaml"
	# its log is history and goes on
	jq -r .event_type "$X/events/session.jsonl" >types
	[ "$(wc -l <types)" -gt $((before + 3)) ] || fail "only $(wc -l <types) events"
	eq 2 "$(grep -cx session_initialized types)" "session_initialized"
	eq 1 "$(grep -cx session_removed types)" "session_removed"
	eq "" "$(jq -s 'to_entries[] | select(.value.sequence_number != .key + 1) | .key' "$X/events/session.jsonl")" "numbers out of order"
	"$TOP_DIR/scripts/verify-events.sh" "$X/events/session.jsonl" >said 2>&1 || fail "$(head -n 3 said)"
	"$TOP_DIR/scripts/verify-events.sh" "$M/state/events/all.jsonl" >said 2>&1 || fail "$(head -n 3 said)"
	mnt_crash
	file_is "$X/state/f.yaml" "new: 1"
	whole "$X"
}

test_history_stays() {
	local seq
	session past-1
	echo "kept: 1" >"$X/state/f.yaml"
	seq=$(jq -s '.[-1].data.tx_seq' "$X/events/session.jsonl")
	rm -r "$X"
	file_is "$M/replay/$seq/state/sessions/past-1/state/f.yaml" "kept: 1"
}

# A part removed alone is hidden from who removed it, and there for everybody else; nothing is changed.
test_part_removed_alone() {
	local before
	session part-1
	before=$(event_count)
	py "$X" <<-'END'
		import errno, os, subprocess, sys
		from mt import *
		x = sys.argv[1]
		def others_have(path):
		    return subprocess.run(["test", "-e", path]).returncode == 0 and subprocess.run(
		        ["ls", "-l", path], stdout=subprocess.DEVNULL).returncode == 0
		for d in ("state", "agents", "events", "checkpoints", "recovery"):
		    p = f"{x}/{d}"
		    if d == "events":
		        os.unlink(p + "/session.jsonl")
		        check(not os.path.exists(p + "/session.jsonl"), "session.jsonl shows to who removed it")
		        eq([], os.listdir(p), "events/ to who removed what was in it")
		        check(others_have(p + "/session.jsonl"), "session.jsonl is gone for others")
		        check(not os.path.exists(p + "/session.jsonl"), "session.jsonl shows again once others have seen it")
		    for name in os.listdir(p):  # the first checkpoint, agents/.sync …
		        (os.rmdir if os.path.isdir(f"{p}/{name}") else os.unlink)(f"{p}/{name}")
		    os.rmdir(p)
		    check(not os.path.exists(p), f"{d} shows to who removed it")
		    check(d not in os.listdir(x), f"{d} is listed to who removed it")
		    check(d not in [e.name for e in os.scandir(x) if e.stat()], f"{d} is listed with its attributes")
		    check(others_have(p), f"{d} is gone for others")
		    check(not os.path.exists(p), f"{d} shows again once others have seen it")
		    refused(errno.ENOENT, os.rmdir, p)
		    out = subprocess.run(["ls", x], stdout=subprocess.PIPE, text=True).stdout.split()
		    check(d in out, f"{d} is not listed for others")
		# made anew by the same process, as after shutil.rmtree
		os.mkdir(f"{x}/state")
		put(f"{x}/state/f", b"x")
		eq(b"x", others_see(f"{x}/state/f"))
		refused(errno.EEXIST, os.mkdir, f"{x}/state")
		os.unlink(f"{x}/state/f")
	END
	whole "$X"
	eq 1 "$(($(event_count) - before > 0))" "f was saved"
	eq "" "$(events_grep '.event_type == "directory_removed" and .session_id == "part-1"')" "directories removed"
	rm -r "$X"
}

# Somebody works in a directory that another process removes alone: nobody else loses it.
test_part_removed_under_a_holder() {
	session held-1
	py "$X" <<-'END'
		import os, subprocess, sys
		from mt import *
		x = sys.argv[1]
		holder = child("os.chdir(sys.argv[1]); print('in'); sys.stdin.readline()", x + "/state")
		expect(holder, "in")
		for i in range(3):
		    subprocess.run(["rmdir", x + "/state"], check=True)
		    put(f"{x}/state/f{i}", b"still works")
		    eq(b"still works", others_see(f"{x}/state/f{i}"))
		    os.mkdir(f"{x}/state/d{i}")
		    os.rename(f"{x}/state/f{i}", f"{x}/state/d{i}/f")
		    subprocess.run(["rm", "-r", f"{x}/state/d{i}"], check=True)
		tell(holder)
		holder.wait()
	END
	whole "$X"
	rm -r "$X"
}

# It ends by itself while the process lives on.
test_hiding_ends() {
	session ends-1
	py "$X" <<-'END'
		import os, sys
		from mt import *
		x = sys.argv[1]
		os.unlink(x + "/events/session.jsonl")
		os.rmdir(x + "/state")
		stays(1.5, lambda: not os.path.exists(x + "/state"), "it shows again too early")
		until(lambda: os.path.isdir(x + "/state") and "state" in os.listdir(x), "state stays hidden")
		check(os.path.exists(x + "/events/session.jsonl"), "session.jsonl stays hidden")
		put(x + "/state/f", b"x")
	END
	whole "$X"
}

# What a killed rm has removed is removed; the rest is intact.
test_interrupted() {
	session cut-1
	fill "$X"
	py "$X" <<-'END' || eq 137 $? "status of the killed one"
		import os, sys
		x = sys.argv[1]
		os.unlink(x + "/state/plan.yaml")
		os.unlink(x + "/session.yaml")
		for d in ("events", "checkpoints", "recovery"):
		    for name in os.listdir(f"{x}/{d}"):
		        (os.rmdir if os.path.isdir(f"{x}/{d}/{name}") else os.unlink)(f"{x}/{d}/{name}")
		    os.rmdir(f"{x}/{d}")
		os.kill(os.getpid(), 9)
	END
	whole "$X"
	[ ! -e "$X/state/plan.yaml" ] || fail "plan.yaml is back"
	[ ! -e "$X/session.yaml" ] || fail "session.yaml is back"
	file_is "$X/state/a/b/deep.txt" text
	file_is "$X/own.txt" own
	mnt_crash
	whole "$X"
	file_is "$X/state/a/b/deep.txt" text
	rm -r "$X"
	[ ! -e "$X" ] || fail "rm -r could not finish"
}

# Others at work in it meanwhile: either they make rm fail and lose nothing, or all is gone.
test_against_writers() {
	local i
	for i in $(seq 1 8); do
		session "race-$i"
		(for n in $(seq 1 40); do echo "$n" 2>/dev/null >"$X/state/f$n" || break; done) 2>/dev/null &
		rm -r "$X" 2>/dev/null || true
		wait $!
		if [ -e "$X" ]; then
			whole "$X"
			rm -r "$X" || fail "cannot be removed afterwards"
		fi
		[ ! -e "$X" ]
		eq 1 "$(removed_events "race-$i")" "session_removed"
	done
}

test_renames_of_parts_are_refused() {
	session ren-1
	py "$X" <<-'END'
		import errno, os, sys
		from mt import *
		x = sys.argv[1]
		for d in ("state", "agents", "events", "checkpoints", "recovery"):
		    refused((errno.EPERM, errno.EBUSY), os.rename, f"{x}/{d}", f"{x}/other")
		refused((errno.EPERM, errno.EROFS), os.rename, f"{x}/events/session.jsonl", f"{x}/state/log")
	END
	whole "$X"
}

# Outside of sessions nothing virtual can be removed.
test_virtual_entries_elsewhere_stay() {
	fails_with 'read-only|not permitted' rm -f "$M/status/version"
	fails_with 'read-only|not permitted' rm -f "$M/state/events/all.jsonl"
	[ -s "$M/status/version" ] || fail "status/version is gone"
	must_fail rmdir "$M/status" 2>/dev/null
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
		mkdir state/sessions/s1
		mkdir state/sessions/s1/state/d
		echo "a: 1" >state/sessions/s1/state/d/f.yaml
		echo "{\"event_type\": \"own\"}" >>state/sessions/s1/events/session.jsonl
		rm -r state/sessions/s1
		[ ! -e state/sessions/s1 ]
		mkdir state/sessions/s2
		cd state/sessions/s2
		printf "configuration:\n  heartbeat_interval: 1\n" >session.yaml
		echo text >state/f
		echo "agent: {status: active}" >agents/coder.yaml
		mkdir checkpoints/named agents/.sync/open agents/.sync/over
		touch agents/.sync/over/coder
		cat agents/.sync/over/wait
		echo latest >recovery/restore
		until [ -s agents/.health/monitor.jsonl ]; do sleep 0.2; done
		cd ../../..
		rm -r state/sessions/s2
		[ ! -e state/sessions/s2 ]
		mkdir state/sessions/s1
		echo "a: 2" >state/sessions/s1/state/f.yaml
		if rmdir state/sessions/s1 2>/dev/null; then echo "rmdir with content"; exit 1; fi
		rm -rf state/sessions/s1
		[ ! -e state/sessions/s1 ]' sh "$P" >&2
	user "$BIN" umount "$P" || fail "umount: status $?"
	! is_mounted || fail "still mounted"
	mnt_start
	rm -r "$S"
	[ ! -e "$S" ] || fail "root could not"
	mnt_stop
	project_at "$shared"
	mnt_start
}

# The daemon knows nothing of who asks: what is removed cannot be hidden from him, and rm -r works all the same.
test_callers_of_another_namespace() {
	local shared=$P
	need unshare
	unshare --pid --fork true 2>/dev/null || skip "no pid namespaces here"
	project_at "$T/namespace"
	unshare --pid --fork --kill-child "$MILESTONEFS" mount -f "$P" >said 2>&1 &
	wait_for test -s "$M/status/health.yaml"
	X=$S
	mkdir "$X"
	fill "$X"
	mkdir "$X/checkpoints/c1" "$X/checkpoints/c2"
	eq null "$(tail -n 1 "$X/events/session.jsonl" | jq -r .data.actor.agent)" "who it was"
	fails_with 'not empty' rmdir "$X/state"
	rm -r "$X/checkpoints/c1"
	[ ! -e "$X/checkpoints/c1" ]
	file_is "$X/state/a/b/deep.txt" text
	rm -r "$X"
	[ ! -e "$X" ]
	"$MILESTONEFS" umount "$P"
	wait
	project_at "$shared"
}

run_tests "$@"
