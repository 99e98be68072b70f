#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The state model at a glance: state/active, state/completed, agents/registry, agents/status, status/sessions.yaml, status/agents.yaml and
# each session's health.yaml.
. "$(dirname "$0")/lib.sh"

# set_status SESSION STATUS
set_status() {
	sed -i "s/^  status: .*/  status: \"$2\"/" "$M/state/sessions/$1/session.yaml"
}

# of_agent KEY AGENT SESSION, of_session KEY SESSION: from the lists in status/
of_agent() {
	awk -v id="  - id: \"$2\"" -v s="    session: \"$3\"" -v k="    $1:" '
		/^  - id:/ { hit = $0 == id; mine = 0; value = "" }
		hit && $0 == s { mine = 1 }
		hit && index($0, k) == 1 { value = substr($0, length(k) + 2) }
		hit && mine && value != "" { gsub(/"/, "", value); print value; exit }' "$M/status/agents.yaml"
}

of_session() {
	awk -v id="  - id: \"$2\"" -v k="    $1:" '
		/^  - id:/ { hit = $0 == id }
		hit && index($0, k) == 1 { v = substr($0, length(k) + 2); gsub(/"/, "", v); print v; exit }' "$M/status/sessions.yaml"
}

# seconds TIME: of the epoch
seconds() {
	date -u -d "$1" +%s
}

# --- links by status -------------------------------------------------------------

test_links_by_status() {
	local status
	session link-1
	eq "../sessions/link-1" "$(readlink "$M/state/active/link-1")" "where it leads"
	same "$X/session.yaml" "$M/state/active/link-1/session.yaml"
	[ ! -e "$M/state/completed/link-1" ] || fail "completed from the start"
	find "$M/state/active" -mindepth 1 -printf '%f %y\n' | grep -qx 'link-1 l' || fail "not listed as a link"
	for status in paused active completed active failed active expired; do
		set_status link-1 "$status"
		case $status in
		active | paused)
			[ -L "$M/state/active/link-1" ] || fail "$status: not in active/"
			[ ! -L "$M/state/completed/link-1" ] || fail "$status: in completed/"
			find "$M/state/active" -mindepth 1 -printf '%f\n' | grep -qx link-1 || fail "$status: not listed in active/"
			eq "" "$(find "$M/state/completed" -name link-1)" "$status: listed in completed/"
			;;
		*)
			[ -L "$M/state/completed/link-1" ] || fail "$status: not in completed/"
			[ ! -L "$M/state/active/link-1" ] || fail "$status: in active/"
			same "$X/session.yaml" "$M/state/completed/link-1/session.yaml"
			eq "" "$(find "$M/state/active" -name link-1)" "$status: listed in active/"
			;;
		esac
	done
	rm -r "$X"
	[ ! -L "$M/state/completed/link-1" ] || fail "the session is gone, the link is not"
}

test_links_after_a_remount() {
	session link-2
	session link-3
	set_status link-3 completed
	mnt_remount
	[ -L "$M/state/active/link-2" ] || fail "not active after a remount"
	[ -L "$M/state/completed/link-3" ] || fail "not completed after a remount"
	mnt_crash
	[ -L "$M/state/active/link-2" ] || fail "not active after a crash"
	[ -L "$M/state/completed/link-3" ] || fail "not completed after a crash"
}

test_nobody_writes_there() {
	local dir
	session link-4
	: >"$X/agents/a4.yaml"
	for dir in state/active state/completed agents/registry agents/status; do
		fails_with 'read-only' ln -s x "$M/$dir/new"
		fails_with 'read-only' touch "$M/$dir/new.yaml"
		fails_with 'read-only' mkdir "$M/$dir/new"
	done
	fails_with 'read-only' rm "$M/state/active/link-4"
	fails_with 'read-only' mv "$M/state/active/link-4" "$M/state/completed/link-4"
	fails_with 'read-only' rm "$M/agents/registry/a4.yaml"
	fails_with 'read-only' cp /dev/null "$M/agents/status/a4.yaml"
	[ -L "$M/state/active/link-4" ] || fail "it is gone all the same"
}

# --- agents ------------------------------------------------------------------------

test_registry() {
	session reg-1
	printf 'agent:\n  type: "coder"  # mine\n' >"$X/agents/reg-a.yaml"
	eq "../../state/sessions/reg-1/agents/reg-a.yaml" "$(readlink "$M/agents/registry/reg-a.yaml")" "where it leads"
	same "$X/agents/reg-a.yaml" "$M/agents/registry/reg-a.yaml"
	find "$M/agents/registry" -printf '%f %y\n' | grep -qx 'reg-a.yaml l' || fail "not listed as a link"
	find "$M/agents/status" -printf '%f %y\n' | grep -qx 'reg-a.yaml f' || fail "no status listed"
	# through the link it is the agent's own file
	sed -i --follow-symlinks 's/coder/tester/' "$M/agents/registry/reg-a.yaml"
	grep -q '^  type: "tester"  # mine$' "$X/agents/reg-a.yaml" || fail "not edited: $(cat "$X/agents/reg-a.yaml")"
	[ -L "$M/agents/registry/reg-a.yaml" ] || fail "the link is no link any more"
	rm "$X/agents/reg-a.yaml"
	[ ! -L "$M/agents/registry/reg-a.yaml" ] || fail "the agent is gone, its link is not"
	[ ! -e "$M/agents/status/reg-a.yaml" ] || fail "the agent is gone, its status is not"
}

test_the_same_id_in_two_sessions() {
	local dir
	session clash-1
	session clash-2
	echo 'agent: {type: one}' >"$M/state/sessions/clash-1/agents/twin.yaml"
	[ -e "$M/agents/registry/twin.yaml" ] || fail "the plain name is missing while there is one"
	[ -e "$M/agents/registry/twin@clash-1.yaml" ] || fail "the full name is not found while there is one"
	[ ! -e "$M/agents/registry/twin@clash-2.yaml" ] || fail "there is one nobody made"
	eq "twin.yaml" "$(find "$M/agents/registry" -name 'twin*' -printf '%f\n')" "listed while there is one"
	echo 'agent: {type: two}' >"$M/state/sessions/clash-2/agents/twin.yaml"
	for dir in registry status; do
		[ ! -e "$M/agents/$dir/twin.yaml" ] || fail "$dir: the plain name means one of two"
		eq "twin@clash-1.yaml twin@clash-2.yaml" "$(find "$M/agents/$dir" -name 'twin*' -printf '%f\n' | sort | xargs)" "$dir: listed"
	done
	same "$M/agents/registry/twin@clash-2.yaml" "$M/state/sessions/clash-2/agents/twin.yaml"
	eq two "$(key "$M/agents/status/twin@clash-2.yaml" type)" "type"
	eq clash-1 "$(key "$M/agents/status/twin@clash-1.yaml" session)" "session"
	eq one "$(of_agent type twin clash-1)" "type in the list"
	eq two "$(of_agent type twin clash-2)" "type in the list"
	rm "$M/state/sessions/clash-1/agents/twin.yaml"
	eq clash-2 "$(key "$M/agents/status/twin.yaml" session)" "session of the one that is left"
	eq "twin.yaml" "$(find "$M/agents/registry" -name 'twin*' -printf '%f\n')" "listed afterwards"
}

# The longest ids: AID@SID.yaml would be longer than a name can be. Walking the tree meets no error all the same.
test_the_longest_ids_in_two_sessions() {
	local agent one two
	agent=$(printf 'a%.0s' $(seq 128))
	one=$(printf 'b%.0s' $(seq 122)) two=$(printf 'c%.0s' $(seq 121))
	session "$one"
	session "$two"
	touch "$M/state/sessions/$one/agents/$agent.yaml" "$M/state/sessions/$two/agents/$agent.yaml"
	ls -lR "$M/agents" >"$O/listed"
	eq "$agent@$two.yaml" "$(find "$M/agents/status" -name 'aaa*' -printf '%f\n')" "the one that can be named"
	eq 2 "$(grep -c "id: \"$agent\"" "$M/status/agents.yaml")" "both are in the list"
	rm -r "$M/state/sessions/$one" "$M/state/sessions/$two"
}

test_names_that_are_none() {
	local name
	session none-1
	: >"$X/agents/none-a.yaml"
	for name in none-a none-a.yml none-b.yaml @none-1.yaml none-a@.yaml none-a@none-2.yaml none-a@none-1@none-1.yaml none-a@none-1 .yaml @.yaml; do
		[ ! -e "$M/agents/registry/$name" ] || fail "there is registry/$name"
		[ ! -e "$M/agents/status/$name" ] || fail "there is status/$name"
	done
	must_fail stat "$M/agents/status/$(printf 'a%.0s' {1..250}).yaml"
	[ -e "$M/agents/status/none-a@none-1.yaml" ] || fail "the full name is not found"
}

test_agent_status() {
	local f=$M/agents/status/st-a.yaml name heartbeat before age
	unhealthy_in() {
		local s=$(($(seconds "$(key "$f" unhealthy_at)") - $(seconds "$(key "$f" last_heartbeat)")))
		if [ "$s" -lt "$1" ] || [ "$s" -gt "$2" ]; then
			fail "$s seconds from the heartbeat to unhealthy"
		fi
	}
	session st-1 'configuration: {heartbeat_interval: 20}'
	echo 'agent: {type: "a: \"b\" # [x", status: active}' >"$X/agents/st-a.yaml"
	eq "status: active" "$(head -n 1 "$f")" "first line"
	eq st-1 "$(key "$f" session)" "session"
	eq 'type: "a: \"b\" # [x"' "$(grep '^type:' "$f")" "type"
	eq 20 "$(key "$f" heartbeat_interval_seconds)" "interval"
	unhealthy_in 60 80
	[ "$(key "$f" last_heartbeat_age_seconds)" -lt 60 ] || fail "age $(key "$f" last_heartbeat_age_seconds)"
	eq null "$(key "$f" pid)" pid
	eq false "$(key "$f" pid_watched)" "pid_watched"
	eq "[]" "$(key "$f" locks)" "locks"
	eq "state/sessions/st-1/agents/st-a.yaml" "$(key "$f" path)" "path"
	[ -e "$M/$(key "$f" path)" ] || fail "no such path"
	heartbeat=$(key "$f" last_heartbeat)
	sleep 1.1
	touch "$X/agents/st-a.yaml"
	[ "$(seconds "$(key "$f" last_heartbeat)")" -gt "$(seconds "$heartbeat")" ] || fail "a touch is not seen"
	before=$(($(date +%s) - $(seconds "$(key "$f" last_heartbeat)")))
	age=$(key "$f" last_heartbeat_age_seconds)
	[ "$age" -ge $((before - 1)) ] && [ "$age" -le $(($(date +%s) - $(seconds "$(key "$f" last_heartbeat)"))) ] || fail "age after a touch: $age"
	unhealthy_in 60 80
	for name in initializing active idle completed; do
		sed -i "s/status: [a-z]*/status: $name/" "$X/agents/st-a.yaml"
		eq "status: $name" "$(head -n 1 "$f")" "first line"
		eq "$name" "$(of_agent status st-a st-1)" "in the list"
	done
	eq null "$(key "$f" unhealthy_at)" "a completed agent becomes unhealthy at"
}

test_agent_counts() {
	local f=$M/agents/status/cnt-a.yaml
	session cnt-1
	: >"$X/agents/cnt-a.yaml"
	eq 0 "$(key "$f" operations_completed)" "operations of a new agent"
	for _ in 1 2 3; do
		MILESTONES_AGENT=cnt-a MILESTONES_SESSION=cnt-1 cp /dev/null "$X/state/f"
	done
	eq 3 "$(key "$f" operations_completed)" "operations, at once"
	echo 'a: 1' >"$X/state/good.yaml"
	echo 'a: [' >bad.yaml
	MILESTONES_AGENT=cnt-a MILESTONES_SESSION=cnt-1 fails_with 'bad message' cp bad.yaml "$X/state/good.yaml"
	eq 1 "$(key "$f" errors_encountered)" "errors, at once"
	eq 3 "$(key "$f" operations_completed)" "operations after a refused one"
	mnt_remount
	eq 3 "$(key "$f" operations_completed)" "operations after a remount"
	eq 1 "$(key "$f" errors_encountered)" "errors after a remount"
}

test_agent_process() {
	local f=$M/agents/status/proc-a.yaml pid
	session proc-1
	sleep 1000 &
	pid=$!
	echo "agent: {pid: $pid, status: active}" >"$X/agents/proc-a.yaml"
	eq "$pid" "$(key "$f" pid)" pid
	wait_for is "$f" pid_watched true
	kill -9 "$pid"
	wait "$pid" || true
	wait_for begins "$f" "status: dead"
	eq false "$(key "$f" pid_watched)" "watched after its end"
	eq null "$(key "$f" unhealthy_at)" "a dead agent becomes unhealthy at"
	begins "$X/health.yaml" "status: degraded" || fail "health: $(head -n 3 "$X/health.yaml")"
	has "$X/health.yaml" '^  - "agent proc-a is dead'
}

test_agent_locks() {
	local f=$M/agents/status/lock-a.yaml
	session lock-1
	: >"$X/agents/lock-a.yaml"
	MILESTONES_AGENT=lock-a MILESTONES_SESSION=lock-1 touch "$M/state/.locks/lock \"one\""
	eq 'locks: ["lock \"one\""]' "$(grep '^locks:' "$f")" "locks"
	rm "$M/state/.locks/lock \"one\""
	eq 'locks: []' "$(grep '^locks:' "$f")" "locks after release"
}

test_agents_yaml() {
	local f=$M/status/agents.yaml total=0 n name
	session all-1
	for name in a b c; do
		echo 'agent: {status: active}' >"$X/agents/all-$name.yaml"
	done
	echo 'agent: {status: idle}' >"$X/agents/all-c.yaml"
	eq "counts:" "$(head -n 1 "$f")" "first line"
	for name in initializing active idle unhealthy dead completed; do
		n=$(sed -n "s/^  $name: //p" "$f")
		eq "$(grep -cx "    status: $name" "$f")" "$n" "$name"
		total=$((total + n))
	done
	eq "$total" "$(sed -n 's/^  total: //p' "$f")" total
	eq "$total" "$(grep -c '^  - id: ' "$f")" "agents listed"
	eq idle "$(of_agent status all-c all-1)" "status of all-c"
	# the same lines as in its own file, but for the ages of now
	grep -v age_ "$M/agents/status/all-a.yaml" >one
	grep -A100 '^  - id: "all-a"$' "$f" | sed -n '2,/path:/s/^    //p' | grep -v age_ >other
	same one other
}

# --- sessions ------------------------------------------------------------------------

test_sessions_yaml() {
	local f=$M/status/sessions.yaml total=0 n name
	session ses-1 $'session:\n  type: "t: \\"x\\" # é"
configuration: {checkpoint_interval: 500, max_session_duration: 1000}'
	echo 'agent: {status: active}' >"$X/agents/ses-a.yaml"
	echo 'agent: {status: completed}' >"$X/agents/ses-b.yaml"
	eq "counts:" "$(head -n 1 "$f")" "first line"
	for name in initializing active paused completed failed expired; do
		n=$(sed -n "s/^  $name: //p" "$f")
		eq "$(grep -cx "    status: $name" "$f")" "$n" "$name"
		total=$((total + n))
	done
	eq "$total" "$(sed -n 's/^  total: //p' "$f")" total
	eq "$total" "$(find "$M/state/sessions" -mindepth 1 -maxdepth 1 | wc -l)" "sessions"
	eq active "$(of_session status ses-1)" status
	eq '    type: "t: \"x\" # é"' "$(grep 't: .*x.*é' "$f")" "type"
	eq "{live: 1, unhealthy: 0}" "$(of_session agents ses-1)" agents
	eq "state/sessions/ses-1" "$(of_session path ses-1)" path
	eq "$(key "$X/session.yaml" created_at)" "$(of_session created_at ses-1)" "created_at"
	eq 1000 $(($(seconds "$(of_session expires_at ses-1)") - $(seconds "$(of_session created_at ses-1)"))) "seconds to expiry"
	[ "$(of_session last_change_age_seconds ses-1)" -lt 60 ] || fail "age of the last change"
	sleep 1.1
	[ "$(of_session last_change_age_seconds ses-1)" -ge 1 ] || fail "the age does not grow"
	eq "$(key "$X/session.yaml" last_checkpoint)" "$(of_session newest_checkpoint ses-1)" "newest checkpoint"
	mkdir "$X/checkpoints/mine"
	eq mine "$(of_session newest_checkpoint ses-1)" "newest checkpoint"
	eq null "$(of_session next_checkpoint_at ses-1)" "next checkpoint while nothing changed"
	echo x >"$X/state/f"
	n=$(($(seconds "$(of_session next_checkpoint_at ses-1)") - $(date +%s)))
	if [ "$n" -lt 450 ] || [ "$n" -gt 501 ]; then
		fail "next checkpoint in $n s"
	fi
	set_status ses-1 completed
	eq completed "$(of_session status ses-1)" status
	eq null "$(of_session expires_at ses-1)" "expiry of a completed session"
}

test_health_of_a_session() {
	session hea-1 'configuration: {heartbeat_interval: 30}'
	eq "status: healthy" "$(head -n 1 "$X/health.yaml")" "first line of a new session"
	has "$X/health.yaml" '^why: \[\]$'
	echo 'agent: {status: active}' >"$X/agents/hea-a.yaml"
	eq 1 "$(sed -n 's/^  active: //p' "$X/health.yaml")" "active agents"
	sed -i 's/heartbeat_interval: 30/heartbeat_interval: 1/' "$X/session.yaml"
	wait_for begins "$X/health.yaml" "status: degraded"
	has "$X/health.yaml" '^  - "agent hea-a is unhealthy: no sign of life since 20'
	begins "$M/agents/status/hea-a.yaml" "status: unhealthy" || fail "its status: $(head -n 1 "$M/agents/status/hea-a.yaml")"
	eq "{live: 1, unhealthy: 1}" "$(of_session agents hea-1)" agents
	sed -i 's/heartbeat_interval: 1/heartbeat_interval: 30/' "$X/session.yaml"
	touch "$X/agents/hea-a.yaml"
	wait_for begins "$X/health.yaml" "status: healthy"
	begins "$M/agents/status/hea-a.yaml" "status: active" || fail "not active again: $(head -n 1 "$M/agents/status/hea-a.yaml")"
}

test_health_tells_refused_saves() {
	session hea-2
	session hea-3
	X=$M/state/sessions/hea-2
	echo 'a: 1' >"$X/state/f.yaml"
	echo 'a: [' >bad.yaml
	must_fail cp bad.yaml "$X/state/f.yaml"
	begins "$X/health.yaml" "status: degraded" || fail "first line: $(head -n 1 "$X/health.yaml")"
	has "$X/health.yaml" '^  - "1 saves? (was|were) refused.*rollbacks'
	eq 1 "$(key "$X/health.yaml" refused_saves)" "refused_saves"
	eq "status: healthy" "$(head -n 1 "$M/state/sessions/hea-3/health.yaml")" "health of another session"
}

test_health_of_an_expired_session() {
	session hea-4 'configuration: {max_session_duration: 1}'
	wait_for begins "$X/health.yaml" "status: degraded"
	has "$X/health.yaml" '^  - "the session has expired'
	eq expired "$(key "$X/health.yaml" session_status)" "session_status"
	[ -L "$M/state/completed/hea-4" ] || fail "not in completed/"
	eq expired "$(of_session status hea-4)" "status in the list"
	has "$X/session.yaml" '^  status: "?expired'
}

test_health_name_is_reserved() {
	session hea-5
	fails_with 'read-only' cp /dev/null "$X/health.yaml"
	echo mine >"$X/mine.yaml"
	fails_with 'read-only|exists' mv "$X/mine.yaml" "$X/health.yaml"
	must_fail mkdir "$X/health.yaml"
	file_is "$X/mine.yaml" mine # the rest of the directory is the user's
	eq "status: healthy" "$(head -n 1 "$X/health.yaml")" "after all that"
	eq "$(stat -c %u:%g "$X")" "$(stat -c %u:%g "$X/health.yaml")" "owner"
	eq 644 "$(stat -c %a "$X/health.yaml")" "mode"
}

# A plain file of that name, found in a directory that becomes a mount, is kept elsewhere.
test_health_name_of_what_is_adopted() {
	local shared=$P
	mnt_stop
	project_at "$T/adopt"
	X=$M/state/sessions/old
	mkdir -p "$X/state" "$X/agents"
	echo mine >"$X/health.yaml"
	echo 'session: {type: old}' >"$X/session.yaml"
	printf '# mine\nagent: {type: older}   # by hand\n' >"$X/agents/ad-a.yaml"
	mnt_start
	has "$X/health.yaml" '^session: "old"$'
	eq 1 "$(find "$X" -name health.yaml | wc -l)" "health.yaml listed"
	file_is "$(find "$M" -path '*adopted*health.yaml')" mine
	[ -L "$M/state/active/old" ] || fail "not in active/"
	eq older "$(key "$M/agents/status/ad-a.yaml" type)" "type of an adopted agent"
	eq old "$(of_session type old)" "type of an adopted session"
	wait_for grep -q '^  event_subscriptions: \[\]$' "$X/agents/ad-a.yaml"
	has "$X/agents/ad-a.yaml" '^# mine$'
	has "$X/agents/ad-a.yaml" '^agent: {type: older, id: "ad-a", .*}   # by hand$'
	wait_for grep -q '^  auto_checkpoint: true$' "$X/session.yaml"
	[ -e "$X/events/session.jsonl" ] || fail "no events in an adopted session"
	mkdir "$X/checkpoints/taken-over"
	[ -e "$X/recovery/restore" ] || fail "no recovery/ in an adopted session"
	rm -r "$X"
	[ ! -e "$X" ] || fail "rm -r left it"
	mnt_stop
	project_at "$shared"
	mnt_start
}

test_tools_get_through() {
	session walk-1
	: >"$X/agents/walk-a.yaml"
	timeout 120 find "$M/state/active" "$M/agents" -ls >/dev/null
	timeout 120 grep -rq walk-1 "$M/status" || fail "grep -r finds nothing in status/"
	timeout 120 grep -Rq walk-1 "$M/agents" || fail "grep -R finds nothing in agents/"
	cp -r "$X" copy
	[ -s copy/health.yaml ] || fail "cp -r leaves health.yaml out"
	tar -C "$M/state/sessions" -cf walk.tar walk-1
	rm -r "$X" 2>said || fail "rm -r: $(cat said)"
	eq "" "$(cat said)" "what rm said"
	[ ! -e "$X" ] || fail "it is still there"
	cp -r copy/state/. "$D"
}

# --- form --------------------------------------------------------------------------------

test_all_of_it_is_yaml() {
	local f n=0
	session form-1 'session: {type: "\x01: {[\u2028 \\ \" # &a *b !c |"}'
	echo 'agent: {type: "\x01: {[\u2028 \\ \" # &a *b !c |", status: active}' >"$X/agents/form-a.yaml"
	MILESTONES_AGENT=form-a MILESTONES_SESSION=form-1 touch "$M/state/.locks/"$'a\nb: "\xff" \t'
	for f in "$M/status/sessions.yaml" "$M/status/agents.yaml" "$M/agents/status/form-a.yaml" "$X/health.yaml" "$M/status/health.yaml"; do
		# the mount's own rules judge it: malformed content over a good file is refused
		n=$((n + 1))
		echo 'good: 1' >"$D/$n.yaml"
		cp "$f" "$D/$n.yaml" || fail "$f is not well-formed"
		stat -c %s "$f" >/dev/null
	done
	if "$PY" -c 'import yaml' 2>/dev/null; then
		py "$M" <<-'END'
			import sys, yaml
			m = sys.argv[1]
			load = lambda p: yaml.safe_load(open(m + "/" + p, encoding="utf-8"))
			hostile = "\x01: {[\u2028 \\ \" # &a *b !c |"
			agent, = [a for a in load("status/agents.yaml")["agents"] if a["id"] == "form-a"]
			assert agent["type"] == hostile, agent
			assert load("agents/status/form-a.yaml")["type"] == hostile
			assert agent["locks"] == ["a\nb: \"\ufffd\" \t"], agent
			s, = [s for s in load("status/sessions.yaml")["sessions"] if s["id"] == "form-1"]
			assert s["type"] == hostile and s["agents"] == {"live": 1, "unhealthy": 0}, s
			h = load("state/sessions/form-1/health.yaml")
			assert h["status"] == "healthy" and h["why"] == [] and h["agents"]["active"] == 1, h
		END
	fi
	rm "$M/state/.locks/"a*
}

test_metrics() {
	local f=$M/status/metrics before
	metric() {
		grep -F "milestonefs_$1 " "$f" | awk '{ print $2 }'
	}
	session met-1
	before=$(metric 'sessions{status="active"}')
	session met-2
	eq $((before + 1)) "$(metric 'sessions{status="active"}')" "active sessions"
	before=$(metric 'sessions{status="completed"}')
	set_status met-2 completed
	eq $((before + 1)) "$(metric 'sessions{status="completed"}')" "completed sessions"
	before=$(metric 'agents{status="completed"}') # the others fall silent, sooner or later
	echo 'agent: {status: completed}' >"$M/state/sessions/met-1/agents/met-a.yaml"
	eq $((before + 1)) "$(metric 'agents{status="completed"}')" "completed agents"
	# shellcheck disable=SC2016
	wait_for eval '[ "$(metric events_total)" -eq "$(wc -l <"$M/state/events/all.jsonl")" ]'
	before=$(metric committed_bytes_total)
	head -c 300000 /dev/zero | tr '\0' x >"$M/state/sessions/met-1/state/big"
	echo 1234567 >>"$M/state/sessions/met-1/state/big"
	eq $((before + 300008)) "$(metric committed_bytes_total)" "bytes of content"
	has "$M/status/health.yaml" '^sessions_active: [0-9]+$'
	has "$M/status/health.yaml" '^agents_unhealthy: [0-9]+$'
}

run_tests "$@"
