#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Agents by plain tools: registering, heartbeats, what they do and what is refused them, silence and death, health, and what all that costs
# a mount on which nothing happens.
. "$(dirname "$0")/lib.sh"

# key FILE KEY: the first value of that key, without quotes
key() {
	sed -nE "s/^.*[ {]$2: \"?([^\",}]*)\"?.*$/\1/p" "$1" | head -n 1
}

# as AGENT COMMAND...: by a process that carries the name
as() {
	local agent=$1
	shift
	MILESTONES_AGENT=$agent MILESTONES_SESSION=$(basename "$X") "$BASH" -c "$*"
}

has_event() {
	events_grep "$1" | grep -q .
}

mtime_is_after() {
	[ "$(stat -c %.9Y "$1" | tr -d .)" -gt "$(tr -d . <<<"$2")" ]
}

# head_seq: of the session's newest event
head_seq() {
	sed -nE 's/^.*"tx_seq":([0-9]+).*$/\1/p' "$X/events/session.jsonl" | tail -n 1
}

# --- registering -------------------------------------------------------------------

test_registering() {
	session reg
	touch "$A/coder-1.yaml"
	has "$A/coder-1.yaml" '^  id: "coder-1"$'
	has "$A/coder-1.yaml" '^  session_id: "reg"$'
	has "$A/coder-1.yaml" '^  status: "initializing"$'
	has "$A/coder-1.yaml" '^  operations_completed: 0$'
	has "$X/session.yaml" '^  active_agents: \["coder-1"\]$'
	has_event '.event_type == "agent_registered" and .data.agent_id == "coder-1"'
	printf 'agent:\n  type: "reviewer" # mine\n' >"$A/r.yaml"
	has "$A/r.yaml" '^  type: "reviewer" # mine$'
	has "$A/r.yaml" '^  last_heartbeat: "'
	has "$X/session.yaml" '^  active_agents: \["coder-1", "r"\]$'
}

# A tool that removes and creates again does not deregister; who stays away is gone two seconds later.
test_removed() {
	session gone
	echo 'agent: {type: "x"}' >"$A/a.yaml"
	mv "$A/a.yaml" "$O/saved"
	cat "$O/saved" >"$A/a.yaml"
	sed -i 's/"x"/"y"/' "$A/a.yaml"
	sleep 2.5
	has "$X/session.yaml" '^  active_agents: \["a"\]$'
	eq 1 "$(events_grep '.event_type == "agent_registered" and .session_id == "gone"' | wc -l)" "registrations"
	must_fail has_event '.event_type == "agent_deregistered" and .session_id == "gone"'
	rm "$A/a.yaml"
	has "$X/session.yaml" '^  active_agents: \["a"\]$'
	wait_for has_event '.event_type == "agent_deregistered" and .session_id == "gone" and .data.agent_id == "a" and .agent_id == "system"'
	has "$X/session.yaml" '^  active_agents: \[\]$'
}

# --- heartbeats ---------------------------------------------------------------------

test_touch_is_a_heartbeat() {
	local before seq i t
	session beat
	echo 'agent: {status: "active"}' >"$A/a.yaml"
	before=$(stat -c %.9Y "$A/a.yaml")
	sleep 0.1
	seq=$(head_seq)
	t=$(date +%s.%N)
	for i in $(seq 1 20); do
		touch "$A/a.yaml"
	done
	eq "$seq" "$(head_seq)" "a heartbeat is no transaction"
	mtime_is_after "$A/a.yaml" "$before" || fail "the heartbeat does not show as mtime"
	mtime_is_after "$A/a.yaml" "$t" || fail "the last heartbeat does not show as mtime"
	eq "$(stat -c %.9Y "$A/a.yaml")" "$(stat -c %.9Z "$A/a.yaml")" "ctime"
	# A process that has the file open sees it, too.
	exec 4<"$A/a.yaml"
	sleep 0.02
	touch "$A/a.yaml"
	eq "$(stat -c %.9Y "$A/a.yaml")" "$(stat -L -c %.9Y /dev/fd/4)" "fstat"
	exec 4<&-
	seq=$(head_seq)
	sleep 0.02
	t=$(date +%s.%N)
	touch -m "$A/a.yaml"
	mtime_is_after "$A/a.yaml" "$t" || fail "touch -m is no heartbeat"
	eq "$seq" "$(head_seq)" "touch -m is no transaction either"
	# What is more than "now" is a change like any other.
	touch -d '2020-01-01 00:00:00 UTC' "$A/a.yaml"
	eq 1577836800 "$(stat -c %Y "$A/a.yaml")" "a given time"
	chmod 0600 "$A/a.yaml"
	eq 600 "$(stat -c %a "$A/a.yaml")" "mode"
	has_event '.event_type == "attributes_changed" and .session_id == "beat"'
	touch "$A/a.yaml"
	mtime_is_after "$A/a.yaml" "$before" || fail "a heartbeat after a given time does not show"
	# Other files are touched as ever.
	touch "$X/state/f"
	touch -d '2020-01-01 00:00:00 UTC' "$X/state/f"
	touch "$X/state/f"
	has_event '.event_type == "attributes_changed" and (.data.path | endswith("state/f"))'
}

# Where a language knows no "now", its programs give the time: that is a change of the file, and a sign of life, too. A time that is not about now is none.
test_a_given_time_that_is_now() {
	local before
	beat() { sed -n 's/^last_heartbeat: //p' "$M/agents/status/g.yaml"; }
	session given
	echo 'agent: {status: "active"}' >"$A/g.yaml"
	before=$(beat)
	[ "$before" ] || fail "no heartbeat at all"
	py "$A/g.yaml" <<-'END'
		import os, sys, time
		for t in (time.time() - 3600, time.time() + 3600, 0, -2**62 / 1e9):
		    os.utime(sys.argv[1], (t, t))
	END
	eq "$before" "$(beat)" "beats by other times"
	py "$A/g.yaml" <<-'END'
		import os, sys, time
		t = time.time_ns() - 5_000_000
		os.utime(sys.argv[1], ns=(0, t))
		assert os.stat(sys.argv[1]).st_mtime_ns == t, "the time that was given"
		assert os.stat(sys.argv[1]).st_atime_ns == 0, "the other one"
	END
	[[ $(beat) > $before ]] || fail "no heartbeat"
}

# In the file at the next upkeep, half a minute later at most: all of them in one transaction; and what is the user's stays.
test_heartbeats_reach_the_files() {
	local beat i n seq
	session late
	for i in 1 2 3; do
		printf '# kept\nagent: {status: "active"}\n' >"$A/a$i.yaml"
	done
	mkdir "$X/state/d"
	seq=$(head_seq)
	sleep 0.05
	touch "$A"/a[123].yaml
	as a2 "echo one >'$X/state/d/one'"
	beat=$(date -u -d "@$(stat -c %.6Y "$A/a1.yaml")" +%FT%T.%6NZ)
	wait_for grep -q "last_heartbeat: \"$beat\"" "$A/a1.yaml"
	has "$A/a2.yaml" 'operations_completed: 1$'
	has "$A/a1.yaml" '^# kept$'
	eq "$beat" "$(date -u -d "@$(stat -c %.6Y "$A/a1.yaml")" +%FT%T.%6NZ)" "mtime once it is written"
	n=$(grep -lF 'operation: "upkeep"' "$M"/transactions/committed/*.yaml | wc -l)
	[ "$n" -ge 1 ] || fail "no transaction of upkeep"
	must_fail grep -qF '"operation":"upkeep","path":"state/sessions/late/agents/a1' "$M/state/events/all.jsonl"
}

# A write by a process that carries the name counts, whatever it writes; a refused one counts as an error.
test_work_counts() {
	session work 'configuration: {heartbeat_interval: 1}'
	echo 'agent: {status: "active"}' >"$A/w.yaml"
	echo '{}' >"$X/state/f.json"
	for i in 1 2 3; do
		as w "echo '{\"n\": $i}' >'$X/state/f.json'"
	done
	as w "echo '{' >'$X/state/f.json'" || true
	mnt_remount
	X=$M/state/sessions/work A=$X/agents
	has "$A/w.yaml" 'operations_completed: 3$'
	has "$A/w.yaml" 'errors_encountered: 1$'
}

# --- silence and death ---------------------------------------------------------------

test_silence_and_back() {
	local begin said became='.event_type == "agent_status_changed" and .session_id == "quiet" and .data'
	begin=$(date +%s%3N)
	session quiet 'configuration: {heartbeat_interval: 1}'
	echo 'agent: {status: "active"}' >"$A/a.yaml"
	echo 'agent: {status: "idle"}' >"$A/lazy.yaml"
	echo 'agent: {status: "completed"}' >"$A/done.yaml"
	wait_for is "$A/a.yaml" status unhealthy
	wait_for is "$A/lazy.yaml" status unhealthy
	is "$A/done.yaml" status completed || fail "completed agents are not watched"
	# three intervals after its last sign of life, and says so
	said=$(events_grep "$became.agent_id == \"a\"")
	grep -Eq '"reason":"no sign of life for ([3-9]|[1-9][0-9]+) s"' <<<"$said" || fail "no event with its reason: $said"
	[ "$(date -d "$(jq -r .timestamp <<<"$said")" +%s%3N)" -ge $((begin + 3000)) ] || fail "unhealthy too early: $said"
	has "$X/session.yaml" '^  active_agents: \["a", "lazy"\]$'
	wait_for grep -qE '"healthy_agents":0,"unhealthy_agents":\["a","lazy"\]\}$' "$A/.health/monitor.jsonl"
	touch "$A/a.yaml" "$A/lazy.yaml"
	wait_for has_event "$became == (.data + {agent_id: \"a\", from: \"unhealthy\", to: \"active\"})"
	wait_for has_event "$became == (.data + {agent_id: \"lazy\", from: \"unhealthy\", to: \"idle\"})"
	# Work is a sign of life, too, without any touch.
	back() { [ "$(events_grep "$became == (.data + {agent_id: \"a\", to: \"$1\"})" | wc -l)" -ge 2 ]; }
	wait_for back unhealthy
	as a "echo x >'$X/state/f'"
	wait_for back active
}

test_first_sign_of_life() {
	session first
	touch "$A/a.yaml"
	stays 0.5 is "$A/a.yaml" status initializing
	touch "$A/a.yaml"
	wait_for is "$A/a.yaml" status active
	has_event '.event_type == "agent_status_changed" and .session_id == "first" and .data.from == "initializing" and .data.to == "active"'
}

test_a_dead_process() {
	local pid
	session dead
	sleep 1000 &
	pid=$!
	printf 'agent:\n  pid: %s\n  status: "active"\n' $pid >"$A/p.yaml"
	echo 'agent: {pid: 4194303, status: "active"}' >"$A/never.yaml"
	wait_for is "$A/never.yaml" status dead
	stays 0.5 is "$A/p.yaml" status active
	has "$X/session.yaml" '^  active_agents: \["p"\]$'
	kill -9 $pid
	wait $pid || true
	wait_for is "$A/p.yaml" status dead
	has "$X/session.yaml" '^  active_agents: \[\]$'
	has_event ".event_type == \"agent_status_changed\" and .data.agent_id == \"p\" and .data.reason == \"process $pid ended\""
	# It lives again by its heartbeats; a new process is watched again.
	touch "$A/p.yaml"
	wait_for is "$A/p.yaml" status active
	sleep 1000 &
	pid=$!
	sed -i "s/^  pid: .*/  pid: $pid/" "$A/p.yaml"
	sleep 0.2
	kill $pid
	wait $pid || true
	wait_for is "$A/p.yaml" status dead
}

# In a container processes have numbers of their own; what its file says goes on meaning the same when milestonefs writes into it.
test_a_process_in_a_pid_namespace() {
	local inner outer
	session contained
	unshare --pid --fork true 2>/dev/null || skip "no pid namespaces here"
	printf 'configuration:\n  heartbeat_interval: 1\n' >"$X/session.yaml"
	# shellcheck disable=SC2016
	unshare --pid --fork --kill-child --mount-proc "$BASH" -c 'sleep 1000 & echo "agent: {pid: $!}" >"$1/worker.yaml"
		echo "agent: {pid: $$}" >"$1/init.yaml"; while :; do touch "$1/init.yaml" "$1/worker.yaml"; sleep 0.3; done' sh "$A" &
	outer=$!
	wait_for is "$A/init.yaml" status active
	wait_for is "$A/worker.yaml" status active
	has "$A/init.yaml" 'pid: 1[,}]'
	inner=$(cat "/proc/$outer/task/$outer/children")
	inner=${inner% }
	has "$M/agents/status/init.yaml" "^pid: $inner$"
	has "$M/agents/status/worker.yaml" '^pid_watched: true$'
	kill -9 "$(sed -n 's/^pid: //p' "$M/agents/status/worker.yaml")"
	wait_for is "$A/worker.yaml" status dead
	wait_for is "$A/init.yaml" status active
	kill -9 "$inner"
	wait_for is "$A/init.yaml" status dead
}

# An agent that is killed while it writes stays dead, although its files are closed after that.
test_killed_while_writing() {
	local pid
	session killed
	# shellcheck disable=SC2016
	MILESTONES_AGENT=w MILESTONES_SESSION=killed "$BASH" -c 'exec 3>"$1/state/draft.txt" 4>>"$1/state/stream.log"; echo half >&3; echo line >&4; echo $$ >"$2"; read -r _' \
		sh "$X" "$O/pid" < <(sleep 1000) &
	wait_for test -s "$O/pid"
	pid=$(cat "$O/pid")
	printf 'agent:\n  pid: %s\n  status: "active"\n' "$pid" >"$A/w.yaml"
	stays 0.3 is "$A/w.yaml" status active
	kill -9 "$pid"
	wait_for is "$A/w.yaml" status dead
	wait_for has_event '.event_type == "writer_killed" and .session_id == "killed"'
	stays 2 is "$A/w.yaml" status dead
}

# Who ended while nothing was mounted is found dead; whose number another process has by then, too.
test_dead_when_mounted() {
	local pid other
	session away
	sleep 1000 &
	pid=$!
	sleep 1000 &
	other=$!
	printf 'agent:\n  pid: %s\n  status: "active"\n' $pid >"$A/p.yaml"
	printf 'agent:\n  pid: %s\n  status: "active"\n' $other >"$A/o.yaml"
	mnt_stop
	kill $pid
	wait $pid || true
	mnt_start
	A=$M/state/sessions/away/agents
	wait_for is "$A/p.yaml" status dead
	stays 0.5 is "$A/o.yaml" status active
	kill $other
	wait $other || true
	wait_for is "$A/o.yaml" status dead
}

# --- health --------------------------------------------------------------------------

test_monitor() {
	local f n begin
	session watch 'configuration: {heartbeat_interval: 1}'
	f=$A/.health/monitor.jsonl
	sleep 1.5
	[ ! -e "$f" ] || fail "lines about nobody"
	echo 'agent: {status: "active"}' >"$A/a.yaml"
	begin=$SECONDS
	# shellcheck disable=SC2016
	wait_for eval 'touch "$A/a.yaml"; [ "$(wc -l <"$f")" -ge 5 ]' # alive all the time
	n=$(wc -l <"$f")
	[ "$n" -le $((SECONDS - begin + 2)) ] || fail "$n lines in $((SECONDS - begin)) seconds"
	jq -es 'any(.[]; (.timestamp | length) > 0 and .session_id == "watch" and .healthy_agents == 1 and .unhealthy_agents == [])' "$f" >/dev/null ||
		fail "no such line: $(cat "$f")"
	eq 644 "$(stat -c %a "$f")" "mode"
	eq "$(stat -c %u "$X")" "$(stat -c %u "$f")" "owner"
	fails_with 'read-only|permission|not permitted' "$BASH" -c 'echo x >>"$1"' sh "$f"
	fails_with 'read-only' touch "$A/.health/other"
	# It ends with the session.
	printf 'session: {status: "completed"}\nconfiguration: {heartbeat_interval: 1}\n' >"$X/session.yaml"
	sleep 1
	n=$(wc -l <"$f")
	sleep 2.5
	eq "$n" "$(wc -l <"$f")" "lines after the end of the session"
	# And goes with it.
	rm -r "$X" || fail "a session with a monitor cannot be removed"
	[ ! -e "$X" ] || fail "it is still there"
}

# --- sessions by the clock --------------------------------------------------------------

# periodic: how many checkpoints of that reason there are
periodic() {
	cat "$X"/checkpoints/*/checkpoint.yaml | grep -cE '^  reason: "periodic"$' || true
}

test_periodic_checkpoints() {
	local begin at
	session periodic 'configuration: {checkpoint_interval: 1}'
	wait_for eval '[ "$(periodic)" = 1 ]'
	stays 2.5 eval '[ "$(periodic)" = 1 ]' # nothing changes
	begin=$(date +%s%3N)
	echo x >"$X/state/f"
	wait_for eval '[ "$(periodic)" = 2 ]'
	at=$(sed -n 's/^  created_at: "\(.*\)"/\1/p' "$X"/checkpoints/*/checkpoint.yaml | sort | tail -n 1)
	[ "$(date -d "$at" +%s%3N)" -ge $((begin + 1000)) ] || fail "a checkpoint within the interval, at $at"
	# A changed setting holds at once.
	printf 'configuration: {checkpoint_interval: 1, auto_checkpoint: false}\n' >"$X/session.yaml"
	stays 2 eval '[ "$(periodic)" = 2 ]'
}

test_expiry() {
	session brief 'configuration: {max_session_duration: 2}'
	wait_for is "$X/session.yaml" status expired
	grep -qE '^  reason: "expiry"$' "$X"/checkpoints/*/checkpoint.yaml || fail "no last checkpoint"
	has_event '.event_type == "session_status_changed" and .session_id == "brief" and .data.from == "active" and .data.to == "expired"'
}

# --- cost ----------------------------------------------------------------------------------

# With a hundred agents: next to nothing.
test_idle_costs_nothing() {
	local i
	session idle
	for i in $(seq 1 100); do
		echo 'agent: {status: "idle"}' >"$A/a$i.yaml"
	done
	sleep 2
	idle 5 100 # lines of monitor.jsonl in sessions of other tests among them
}

run_tests "$@"
