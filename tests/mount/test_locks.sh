#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Lock files in state/.locks by plain tools: O_EXCL create takes one, unlink or the owner's death releases it.

. "$(dirname "$0")/lib.sh"

# token PATH: its fencing token, by the xattr
token() {
	"$PY" -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.milestonefs.fencing_token").decode())' "$1"
}

# holder NAME: a shell that takes the lock and waits; its pid in $HOLDER
holder() {
	"$BASH" -c "set -C; echo \$\$ > '$L/$1'; exec sleep 1000" &
	HOLDER=$!
	wait_for grep -q "^$HOLDER\$" "$L/$1"
}

is_released() {
	wait_for test ! -e "$1"
}

released() {
	jq -c 'select(.event_type == "lock_released") | .data | select(.name == "'"$1"'") | {owner, reason}' "$M/state/events/all.jsonl"
}

L=
setup() {
	L=$M/state/.locks
}

test_taken_by_create_and_released_by_unlink() {
	setup
	(
		set -C
		echo $$ >"$L/a"
	)
	fails_with 'exist' "$BASH" -c "set -C; echo \$\$ > '$L/a'"
	py "$L/a" <<-'END'
		from mt import *
		refused(17, os.open, sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
	END
	rm "$L/a"
	"$BASH" -c "set -C; echo \$\$ > '$L/a'"
}

test_released_when_its_process_ends() {
	setup
	holder killed
	stays 0.5 test -e "$L/killed"
	kill -9 "$HOLDER"
	is_released "$L/killed"
	eq "{\"owner\":\"process $HOLDER\",\"reason\":\"process_ended\"}" "$(released killed)"
	holder exits
	kill -TERM "$HOLDER"
	is_released "$L/exits"
	# one that is over when its lock is committed, or a moment later
	"$BASH" -c "set -C; echo \$\$ > '$L/short'"
	is_released "$L/short"
	# written by a child, for its parent: the parent counts
	"$BASH" -c "(set -C; echo \$\$ > '$L/parent'); exec sleep 1000" &
	HOLDER=$!
	wait_for test -s "$L/parent"
	stays 1 test -e "$L/parent"
	kill -9 "$HOLDER"
	is_released "$L/parent"
}

test_touched_ones_stay() {
	setup
	touch "$L/touched"
	"$BASH" -c "set -C; : > '$L/empty'"
	"$BASH" -c "set -C; echo 'some text' > '$L/text'"
	"$BASH" -c "echo 'some text' > '$L/plain'"
	py "$L/closed" <<-'END'
		from mt import *
		os.close(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL))
	END
	stays 1.5 test -e "$L/touched" -a -e "$L/empty" -a -e "$L/text" -a -e "$L/plain" -a -e "$L/closed"
	eq "" "$(released touched)$(released empty)$(released text)$(released plain)$(released closed)"
	mnt_remount
	stays 0.5 test -e "$L/touched" -a -e "$L/empty" -a -e "$L/text" -a -e "$L/plain" -a -e "$L/closed"
	rm "$L/touched" "$L/empty" "$L/text" "$L/plain" "$L/closed"
}

test_number_of_no_process_stays() {
	local pid
	setup
	sleep 0.01 &
	pid=$!
	wait $pid
	echo $pid >"$L/number"
	echo 99999999 >"$L/large"
	stays 1 test -e "$L/number" -a -e "$L/large"
	rm "$L/number" "$L/large"
}

# The child says when it has the lock, and ends in the way it is told.
open_and() {
	py "$L/$1" "$2" <<-'END'
		from mt import *
		import signal
		path, how = sys.argv[1:]
		flags = {"rdonly": os.O_RDONLY}.get(how.split("-")[0], os.O_WRONLY) | os.O_CREAT | os.O_EXCL
		pid = os.fork()
		if pid == 0:
		    fd = os.open(path, flags)
		    if how.startswith("sync"):
		        os.write(fd, b"text\n")
		        os.fsync(fd)
		    if how.startswith("two"):
		        fd = os.dup(fd)
		    if how.endswith("kill"):
		        os.kill(os.getpid(), signal.SIGKILL)
		    os._exit(0)
		os.waitpid(pid, 0)
	END
}

test_released_with_a_creator_that_holds_it_open() {
	local how
	setup
	for how in plain-exit plain-kill sync-exit sync-kill two-exit rdonly-exit rdonly-kill; do
		open_and "$how" "$how"
		is_released "$L/$how"
	done
	# while it lives, it holds
	"$PY" - "$L/held" <<-'END' &
		from mt import *
		fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
		time.sleep(1000)
	END
	HOLDER=$!
	wait_for test -e "$L/held"
	stays 1.5 test -e "$L/held"
	fails_with exist "$BASH" -c "set -C; : > '$L/held'"
	kill -9 $HOLDER
	is_released "$L/held"
	# a shell that keeps it open
	"$BASH" -c "set -C; exec 9>'$L/exec'; exec sleep 1000" &
	HOLDER=$!
	wait_for test -e "$L/exec"
	stays 0.5 test -e "$L/exec"
	kill $HOLDER
	is_released "$L/exec"
}

# In a container processes have numbers of their own: $$ there is another process here.
test_taken_in_a_pid_namespace() {
	local inner outer
	setup
	unshare --pid --fork true 2>/dev/null || skip "no pid namespaces here"
	unshare --pid --fork --kill-child --mount-proc "$BASH" -c "set -C
		sleep 1000 & echo \$! >'$O/child'; echo \$! >'$L/child'
		(echo \$\$ >'$L/shell')
		touch '$L/none'; echo 30000 >|'$L/none'; wait; sleep 1000; :" &
	outer=$!
	wait_for test -s "$L/none"
	eq 1 "$(cat "$L/shell")" "its number in there"
	inner=$(cat "/proc/$outer/task/$outer/children")
	inner=${inner% }
	wait_for grep -q "owner: \"process $inner\"" "$M/status/locks.yaml"
	file_is "$L/child" "$(cat "$O/child")"
	has "$M/status/locks.yaml" 'name: "child"'
	stays 0.5 test -e "$L/child" -a -e "$L/shell"
	kill -9 "$(cat "/proc/$inner/task/$inner/children")"
	wait_for test ! -e "$L/child"
	[ -e "$L/shell" ] || fail "the shell lives"
	kill -9 "$inner"
	wait_for test ! -e "$L/shell"
	[ -e "$L/none" ] || fail "a number of nobody's is no owner"
}

test_released_with_its_agent() {
	local pid
	setup
	sleep 1000 &
	pid=$!
	echo "agent: {pid: $pid}" >"$S/agents/coder-1.yaml"
	touch "$S/agents/coder-2.yaml"
	MILESTONES_AGENT=coder-1 "$BASH" -c "set -C; : > '$L/written-by'"
	echo coder-1 >"$L/naming"
	MILESTONES_AGENT=coder-2 "$BASH" -c "set -C; : > '$L/other'"
	stays 0.5 test -e "$L/written-by" -a -e "$L/naming"
	has "$M/status/locks.yaml" 'owner: "agent coder-1"'
	kill -9 $pid
	is_released "$L/written-by"
	is_released "$L/naming"
	stays 0.5 test -e "$L/other"
	eq '{"owner":"agent coder-1","reason":"agent_dead"}' "$(released naming)"
	rm "$L/other"
}

test_unhealthy_agent_keeps_its_lock() {
	setup
	mkdir "$M/state/sessions/quiet"
	printf 'configuration:\n  heartbeat_interval: 1\n' >"$M/state/sessions/quiet/session.yaml"
	touch "$M/state/sessions/quiet/agents/silent.yaml"
	echo silent >"$L/quiet"
	wait_for grep -q '"unhealthy"' "$M/state/sessions/quiet/agents/silent.yaml"
	stays 1 test -e "$L/quiet"
	rm "$L/quiet"
}

test_found_at_the_next_mount() {
	setup
	holder dies
	local dies=$HOLDER
	holder lives
	mnt_stop
	kill -9 "$dies"
	wait "$dies" 2>/dev/null || true
	mnt_start
	is_released "$L/dies"
	stays 1 test -e "$L/lives"
	mnt_crash
	stays 1 test -e "$L/lives"
	kill -9 "$HOLDER"
	is_released "$L/lives"
}

# Whoever waits for flock has the file open: a new file of that name would be another lock.
test_files_used_with_flock_stay() {
	setup
	need flock
	"$BASH" -c "exec 9>>'$L/f'; flock 9; echo \$\$ > '$L/f'; exec sleep 1000" &
	HOLDER=$!
	wait_for grep -q "^$HOLDER\$" "$L/f"
	kill -9 $HOLDER
	stays 1.5 test -e "$L/f"
	has "$M/status/locks.yaml" 'flock'
	flock "$L/g" true
	stays 1 test -e "$L/g"
	rm "$L/f" "$L/g"
}

test_fencing_token() {
	local first second
	setup
	touch "$L/t"
	first=$(token "$L/t")
	eq "$(jq -r 'select(.data.path == "state/.locks/t") | .data.tx_seq' "$M/state/events/all.jsonl" | head -n 1)" "$first" "token"
	eq "$first" "$(sed -n '/name: "t"/,/token/s/^ *token: //p' "$M/status/locks.yaml")" "token in status/locks.yaml"
	py "$L/t" "$S/session.yaml" <<-'END'
		from mt import *
		name = "user.milestonefs.fencing_token"
		check(name in os.listxattr(sys.argv[1]), "not listed")
		check(name not in os.listxattr(sys.argv[2]), "listed where there is none")
		refused(61, os.getxattr, sys.argv[2], name)
		refused(1, os.setxattr, sys.argv[1], name, b"1")
		refused(1, os.removexattr, sys.argv[1], name)
		refused(1, os.setxattr, sys.argv[2], name, b"1")
		os.setxattr(sys.argv[1], "user.other", b"1")
		eq({name, "user.other"}, set(os.listxattr(sys.argv[1])))
	END
	echo text >"$L/t"
	eq "$first" "$(token "$L/t")" "token after a save"
	mnt_remount
	eq "$first" "$(token "$L/t")" "token after a remount"
	rm "$L/t"
	touch "$L/t"
	second=$(token "$L/t")
	[ "$second" -gt "$first" ] || fail "a later holder has token $second, the earlier one had $first"
	rm "$L/t"
}

test_status() {
	setup
	eq "held: 0" "$(head -n 1 "$M/status/locks.yaml")"
	file_is "$M/status/locks.yaml" $'held: 0\nlocks: []'
	holder status
	has "$M/status/locks.yaml" '^held: 1$'
	has "$M/status/locks.yaml" "owner: \"process $HOLDER\""
	has "$M/status/locks.yaml" "released_when: \"process $HOLDER ends\""
	has "$M/status/locks.yaml" "pid: $HOLDER"
	has "$M/status/locks.yaml" 'comm: "bash"'
	has "$M/status/locks.yaml" "uid: $(id -u)"
	has "$M/status/locks.yaml" 'taken_at: "20'
	kill -9 "$HOLDER"
	is_released "$L/status"
	eq "held: 0" "$(head -n 1 "$M/status/locks.yaml")"
}

# contender N: acquire with a timeout as in the seed, work, release; some die inside. What happens in the lock goes to $O.
contender() {
	"$BASH" -c '
		lock=$1 out=$2 py=$3
		for i in 1 2 3 4 5 6; do
			end=$((SECONDS + 250))
			until (set -C; echo $$ >"$lock") 2>/dev/null; do
				[ $SECONDS -lt $end ] || { echo timeout >>"$out/wrong"; exit 1; }
				sleep 0.0$((RANDOM % 3 + 1))
			done
			echo $$ >"$out/in"
			"$py" -c "import os, sys; print(os.getxattr(sys.argv[1], \"user.milestonefs.fencing_token\").decode())" "$lock" >>"$out/tokens"
			[ "$(cat "$lock")" = $$ ] || echo "the lock says $(cat "$lock") to $$" >>"$out/wrong"
			[ "$(cat "$out/in")" = $$ ] || echo "$(cat "$out/in") came in beside $$" >>"$out/wrong"
			echo $$ >>"$out/held"
			[ $i -lt 6 ] || [ $((RANDOM % 2)) -eq 0 ] || kill -9 $$
			rm "$lock"
		done' contender "$L/contended" "$O" "$PY" &
}

# While its file is open and nothing written, a lock is held all the same; who wants its token has it before anybody else can have one.
test_just_being_made() {
	local token
	setup
	"$PY" - "$L/making" "$O/token" <<-'END' &
		from mt import *
		fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
		while not os.path.exists(sys.argv[2]):
		    time.sleep(0.05)
		token = os.getxattr(fd, "user.milestonefs.fencing_token").decode()
		open(sys.argv[2], "w").write(token + "\n")
		time.sleep(1000)
	END
	HOLDER=$!
	wait_for grep -q 'name: "making"' "$M/status/locks.yaml"
	has "$M/status/locks.yaml" 'token: null'
	has "$M/status/locks.yaml" "pid: $HOLDER$"
	touch "$O/token"
	wait_for test -s "$O/token"
	token=$(cat "$O/token")
	[ "$token" -gt 0 ] || fail "token $token"
	has "$M/status/locks.yaml" "token: $token$"
	eq "$token" "$(token "$L/making")"
	kill -9 $HOLDER
	wait_for test ! -e "$L/making"
}

test_ten_contenders_and_never_two_holders() {
	local i pids=()
	setup
	: >"$O/wrong"
	for i in {1..10}; do
		contender
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || true
	done
	eq "" "$(cat "$O/wrong")" "what went wrong"
	eq 60 "$(wc -l <"$O/held")" "how often it was held"
	sort -n -u -c "$O/tokens" || fail "tokens do not grow: $(tr '\n' ' ' <"$O/tokens")"
	is_released "$L/contended" # the last one may have died with it
}

test_a_dead_owner_is_not_waited_for() {
	setup
	holder owner
	(
		set +e
		until (set -C; echo $BASHPID >"$L/owner") 2>/dev/null; do
			sleep 0.1
		done
		echo yes >"$O/acquired"
		sleep 1000
	) &
	stays 0.5 test ! -e "$O/acquired"
	kill -9 "$HOLDER"
	wait_for test -s "$O/acquired"
}

run_tests "$@"
