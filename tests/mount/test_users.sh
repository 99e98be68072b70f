#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Ordinary users: the whole state model on a mount of one's own, other users on it where that is allowed, root beside it. (Mounting and what it refuses:
# test_cli.sh, test_mounting.sh.)
. "$(dirname "$0")/lib.sh"
export NO_MOUNT=1

OTHER_ID=65533

as() {
	setpriv --reuid="$1" --regid="$1" --clear-groups -- env HOME=/ "${@:2}"
}

# other COMMAND...: as somebody else
other() {
	${NS:+nsenter -t "$NS" -m} setpriv --reuid="$OTHER_ID" --regid="$OTHER_ID" --clear-groups -- env HOME=/ "$@"
}

daemon_gone() {
	[ ! -d "/proc/$(cat "$PID_FILE")" ] || grep -q '^State:.*zombie' "/proc/$(cat "$PID_FILE")/status"
}

daemon_kill() {
	kill -9 "$(cat "$PID_FILE")"
	wait_for daemon_gone
}

# day FILE: a script of the user's, whose commands all must succeed; in it $1 is the mount, $2 the session, $3 a directory outside
day() {
	user "$BASH" -eE -o pipefail -c 'trap '\''echo "line $LINENO: $BASH_COMMAND" >&2'\'' ERR
		is() { [ "$1" = "$2" ] || { echo "want $1, got $2 ($3)" >&2; exit 1; }; }
		soon() { local i; for i in $(seq 600); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; echo "in vain: $*" >&2; exit 1; }
		'"$(cat)" day "$M" "$S" "$O" 2>&1 || fail "the user's script failed"
}

test_state_model() {
	users_project
	user_mount
	day <<-'END'
		mkdir "$2"
		cd "$2"
		is 65534 "$(stat -c %u .)" owner
		is 65534 "$(stat -c %u session.yaml)" owner
		sleep 1000 &
		echo "agent: {type: coder, pid: $!}" >agents/coder.yaml
		touch agents/other.yaml
		echo "a: 1" >state/plan.yaml
		MILESTONES_AGENT=other "$BASH" -c 'sed -i s/1/2/ state/plan.yaml'
		is 'a: 2' "$(cat state/plan.yaml)"
		grep 'state/plan.yaml"' "$1/state/events/all.jsonl" | tail -n 1 | grep -q '"agent":"other"'
		mkdir checkpoints/good
		rm state/plan.yaml
		mkdir state/later
		echo good >recovery/restore
		is 'a: 2' "$(cat state/plan.yaml)"
		[ ! -e state/later ]
		grep -q 'validation: "passed"' recovery/report.yaml
		set -C
		echo $! >"$1/state/.locks/of-process"
		echo coder >"$1/state/.locks/of-agent"
		set +C
		exec 5>"$1/state/.locks/flocked"
		flock -n 5
		! flock -n "$1/state/.locks/flocked" true
		exec 5>&-
		rm "$1/state/.locks/flocked"
		mkdir agents/.sync/b1
		touch agents/.sync/b1/other agents/.sync/b1/coder
		is completed "$(cat agents/.sync/b1/wait)"
		mkdir agents/.sync/b2
		kill $!
		! cat agents/.sync/b2/wait
		soon grep -q 'status: "dead"' agents/coder.yaml
		soon eval '[ -z "$(ls "$1/state/.locks")" ]'
		is "" "$(find . ! -uid 65534)" "not the user's"
		mkdir "$1/state/sessions/s2"
		echo x >"$1/state/sessions/s2/state/f"
		rm -r "$1/state/sessions/s2"
		! chown 0 state/plan.yaml 2>/dev/null
		echo 'b: [' >"$3/bad"
		! cp "$3/bad" state/plan.yaml 2>/dev/null
		grep -q '^refusal' "$1"/transactions/rollbacks/*.yaml
	END
	"$TOP_DIR/scripts/verify-events.sh" <(user cat "$M/state/events/all.jsonl") >/dev/null || fail "the event log"
	user "$BIN" umount "$P" || fail "umount"
	user "$BIN" fsck "$P" >&2 || fail "fsck"
}

# Everything that was acknowledged, a lock and a draft survive the daemon; nobody is left waiting for it.
test_kill9() {
	local round w i pids
	users_project
	user_mount
	user mkdir "$S"
	for round in 1 2 3; do
		pids=()
		for w in 1 2 3; do
			user "$BASH" -c 'n=0; while sleep 0.002; do n=$((n + 1)); echo "n: $n" >"$1/state/w.yaml.tmp$2" && mv "$1/state/w.yaml.tmp$2" "$1/state/w$2.yaml" || exit
				echo "$n" >|"$3/ack$2"; : >"$1/../../.locks/L$2" && rm "$1/../../.locks/L$2"; done' sh "$S" "$w" "$O" 2>/dev/null &
			pids+=($!)
		done
		sleep "0.$((RANDOM % 5 + 4))"
		daemon_kill
		they_end "${pids[@]}"
		user_mount
		for w in 1 2 3; do
			i=$(user sed -n 's/^n: //p' "$S/state/w$w.yaml")
			[ "$i" -ge "$(cat "ack$w")" ] || fail "round $round: save $(cat "ack$w") of writer $w is lost, it has $i"
		done
		user rm -f "$S"/state/* # as many as that
	done
	user "$BIN" umount "$P" || fail "umount"
	user "$BIN" fsck "$P" >&2 || fail "fsck"
}

# Root sees through a mount that it may not enter.
test_root_beside_it() {
	local pid
	users_project
	user_mount
	user mkdir "$S"
	user sh -c 'echo kept >"$1"' sh "$S/state/f.txt"
	pid=$(cat "$PID_FILE")
	must_fail ls "$M" 2>/dev/null
	fails_with "already mounted \(daemon $pid\)" timeout 120 "$MILESTONEFS" mount "$P"
	fails_with "is mounted \(daemon $pid\)" timeout 120 "$MILESTONEFS" fsck "$P"
	"$MILESTONEFS" log "$P" >log || fail "log: status $?"
	has log 'state/f.txt'
	"$MILESTONEFS" export "$P" "$O/copy" || fail "export: status $?"
	file_is copy/state/sessions/s1/state/f.txt kept
	kill -STOP "$pid"
	fails_with "pid $pid\) does not answer: it is stopped" timeout 120 "$MILESTONEFS" mount "$P"
	fails_with "pid $pid\) does not answer: it is stopped" user timeout 120 "$BIN" mount "$P"
	fails_with "is already mounted; milestonefs umount" other timeout 120 "$BIN" mount "$P"
	kill -CONT "$pid"
	# somebody else may neither look nor take it away
	fails_with 'use the user who mounted it, or root' other "$BIN" export "$P" -
	fails_with 'mounted by another user \(uid 65534\)' other "$BIN" umount "$P"
	is_mounted || fail "another user has unmounted it"
	daemon_kill
	timeout 120 "$MILESTONEFS" umount "$P" >said 2>&1 || fail "root's umount of a user's dead mount: status $?: $(tr '\n' ' ' <said)"
	has said 'has died; cleared'
	! is_mounted || fail "still mounted"
	user_mount
	daemon_kill
	timeout 120 "$MILESTONEFS" mount "$P" >said 2>&1 || fail "root's mount over a user's dead mount: status $?: $(tr '\n' ' ' <said)"
	mnt_pid >"$PID_FILE"
	file_is "$S/state/f.txt" kept
	"$MILESTONEFS" umount "$P" || fail "umount"
	user_mount
	user grep -qx kept "$S/state/f.txt" || fail "the user's mount after root's"
	"$MILESTONEFS" umount "$P" || fail "root's umount of a user's mount"
	wait_for daemon_gone
}

test_read_only() {
	users_project
	user_mount
	user mkdir "$S"
	user sh -c 'echo kept >"$1"' sh "$S/state/f.txt"
	user "$BIN" umount "$P" || fail "umount"
	user_mount -o ro
	eq kept "$(user cat "$S/state/f.txt")" "a read-only mount"
	must_fail user sh -c 'echo x >"$1"' sh "$S/state/f.txt" 2>/dev/null
	user "$BIN" umount "$P" || fail "umount"
	eq 500 "$(stat -c %a "$M")" "mode of the store"
	daemon_gone || wait_for daemon_gone
	user_mount -o ro
	daemon_kill
	user_mount
	user grep -qx kept "$S/state/f.txt" || fail "a mount after a read-only one that was killed"
	user "$BIN" umount "$P" || fail "umount"
}

test_what_is_not_ones_own() {
	users_project
	# no right to make the directory
	chown 0:0 "$P"
	fails_with 'Permission denied' user timeout 120 "$BIN" mount "$P"
	[ ! -e "$M" ] || fail "made all the same"
	# another user's store
	chown "$USER_ID:$USER_ID" "$P"
	user_mount
	user "$BIN" umount "$P" || fail "umount"
	chmod 0777 "$P"
	fails_with "$M" other timeout 120 "$BIN" mount "$P"
	! is_mounted || fail "mounted another user's store"
	user_mount
	user "$BIN" umount "$P" || fail "umount"
}

# In a mount namespace with an /etc/fuse.conf that permits it.
test_allow_other_when_permitted() {
	local agent writer
	users_project
	[ -e /etc/fuse.conf ] || skip "no /etc/fuse.conf to put another one over"
	unshare -m true 2>/dev/null || skip "no mount namespaces"
	echo user_allow_other >conf
	unshare -m --propagation private sleep 1000 &
	NS=$!
	wait_for eval '[ "$(readlink /proc/'$NS'/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ]'
	nsenter -t "$NS" -m mount --bind "$O/conf" /etc/fuse.conf
	user_mount -o allow_other
	user mkdir "$S"
	user sh -c 'echo "a: 1" >"$1/state/f.yaml"; mkdir "$1/state/open"; chmod 777 "$1/state/open" "$1/agents" "$1/../../.locks"; touch "$1/agents/agent-1.yaml"' sh "$S"
	other cat "$S/state/f.yaml" >got || fail "another user cannot read"
	file_is got 'a: 1'
	must_fail other sh -c 'echo "a: 2" >"$1"' sh "$S/state/f.yaml" 2>/dev/null # modes hold
	must_fail other rm "$S/state/f.yaml" 2>/dev/null
	must_fail other rmdir "$S/checkpoints"/* 2>/dev/null
	must_fail other sh -c 'echo latest >"$1"' sh "$S/recovery/restore" 2>/dev/null
	# what they write is theirs, whole, checked, and told of
	other sh -c 'echo "b: 1" >"$1/b.yaml"; sed -i s/1/2/ "$1/b.yaml"; echo one >>"$1/log"; echo two >>"$1/log"' sh "$S/state/open" || fail "another user cannot write where he may"
	user cat "$S/state/open/b.yaml" >got
	file_is got 'b: 2'
	user cat "$S/state/open/log" >got
	file_is got $'one\ntwo'
	eq "$OTHER_ID" "$(user stat -c %u "$S/state/open/b.yaml")" owner
	echo 'b: [' >bad
	other cp "$O/bad" "$S/state/open/b.yaml" 2>/dev/null || true # what it has open cannot be seen, so its close may be answered before
	wait_for eval 'user cat '"$M"'/state/events/all.jsonl | jq -es "map(select(.event_type == \"commit_refused\" and .data.actor.uid == '"$OTHER_ID"')) | length == 1"'
	user cat "$S/state/open/b.yaml" >got
	file_is got 'b: 2'
	# their processes' environment cannot be read, their registered process can be seen
	mkdir -m 777 theirs
	other sh -c 'echo $$ >"$1/agent"; exec sleep 1000' sh "$O/theirs" &
	wait_for test -s theirs/agent
	agent=$(cat theirs/agent)
	other sh -c 'echo "agent: {pid: $2}" >"$1/agents/theirs.yaml"; echo "$2" >"$1/../../.locks/theirs"' sh "$S" "$agent" || fail "their agent and lock"
	[ "$(user ls "$M/state/.locks")" = theirs ] || fail "their lock: $(user ls "$M/state/.locks")"
	kill "$agent"
	wait_for user grep -q 'status: "dead"' "$S/agents/theirs.yaml"
	wait_for eval '[ -z "$(user ls '"$M"'/state/.locks)" ]'
	# a writer of theirs that is killed publishes nothing
	other "$BASH" -c 'exec 3>"$1"; echo "c: 3" >&3; echo $$ >"$2"; exec sleep 1000' sh "$S/state/open/b.yaml" "$O/theirs/writer" &
	writer=$!
	wait_for test -s theirs/writer
	kill -9 "$(cat theirs/writer)"
	wait "$writer" || true
	sleep 1
	user cat "$S/state/open/b.yaml" >got
	file_is got 'b: 2'
	user "$BIN" umount "$P" || fail "umount"
	user "$BIN" fsck "$P" >&2 || fail "fsck"
}

run_tests "$@"
