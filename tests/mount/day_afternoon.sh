# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
#
# The afternoon of test_day.sh: checkpoints, a restore, a power cut, a death, and the log of it all.

checkpoints() {
	local cp=$SHOP/checkpoints/before-refactor f before line seq
	mkdir "$cp"
	f=$cp/checkpoint.yaml
	field "$f" checkpoint id before-refactor
	field "$f" checkpoint session_id shop
	field "$f" checkpoint reason before-refactor
	field_time "$f" checkpoint created_at
	line=$(newest shop checkpoint_created)
	says "$line" '"checkpoint_id":"before-refactor","reason":"before-refactor"'
	seq=$(sed 's/.*"tx_seq":\([0-9]*\).*/\1/' <<<"$line")
	field "$f" state_snapshot session_file "$(sha "$M/replay/$seq/state/sessions/shop/session.yaml")"
	field "$f" state_snapshot agent_count 2
	field "$f" state_snapshot event_count "$(sed 's/.*"sequence_number":\([0-9]*\).*/\1/' <<<"$line")"
	field "$f" state_snapshot operation_count "$(grep -B100000 -F "$line" "$SHOP/events/session.jsonl" | sed 's/.*"tx_seq":\([0-9]*\).*/\1/' | sort -u | wc -l)"
	field "$f" context working_directory "$P"
	field "$f" context git_branch unknown
	field "$f" context git_commit unknown
	field "$f" recovery_data active_transactions
	field "$f" recovery_data pending_operations
	field "$f" recovery_data agent_states
	grep -A1 'id: "coder-1"' "$f" | grep -q 'status: "active"' || fail "agent_states: $(grep -A9 agent_states: "$f")"
	grep -A2 'id: "coder-1"' "$f" | grep -q "checksum: \"$(sha "$cp/agents/coder-1.yaml")\"" || fail "agent_states: $(grep -A9 agent_states: "$f")"
	same "$cp/state/plan.yaml" "$SHOP/state/plan.yaml"
	[ -e "$cp/agents/tester-1.yaml" ] || fail "no agents/ in it"
	fails_with 'read-only' touch "$cp/state/plan.yaml"
	field "$SHOP/session.yaml" state last_checkpoint before-refactor
	says "$(grep recovery_points: "$SHOP/session.yaml")" '["before-refactor"'
	# automatic ones, when something changed
	before=$(events shop checkpoint_created | wc -l)
	echo 'changed: 1' >"$SHOP/state/auto.yaml"
	wait_for newer_than shop checkpoint_created "$before"
	says "$(newest shop checkpoint_created)" '"reason":"periodic"'
	[[ $(newest shop checkpoint_created) =~ \"checkpoint_id\":\"checkpoint-[0-9] ]] || fail "its name: $(newest shop checkpoint_created)"
	# and none when nothing did
	before=$(events shop checkpoint_created | wc -l)
	sleep 3
	event_count_is shop checkpoint_created "$before"
	sed -i 's/^  checkpoint_interval: .*/  checkpoint_interval: 300/' "$SHOP/session.yaml" # from here on those that are asked for
	mkdir "$SHOP/checkpoints/for-a-moment"
	rmdir "$SHOP/checkpoints/for-a-moment"
	[ ! -e "$SHOP/checkpoints/for-a-moment" ] || fail "rmdir left it"
	says "$(newest shop checkpoint_removed)" 'for-a-moment'
}

lunch() {
	local events
	cp "$SHOP/state/plan.yaml" before-lunch.yaml
	events=$(wc -l <"$SHOP/events/session.jsonl")
	mnt_remount
	same "$SHOP/state/plan.yaml" before-lunch.yaml
	[ "$(wc -l <"$SHOP/events/session.jsonl")" -ge "$events" ] || fail "events were lost"
	eq "docs shop " "$(sorted "$M/state/active")" "state/active"
	eq "coder-1.yaml tester-1.yaml writer-1.yaml " "$(sorted "$M/agents/registry")" "agents/registry"
	field "$SHOP/session.yaml" state progress_percentage 40
	field "$SHOP/agents/.sync/build-done.yaml" "" status completed
	[ -d "$SHOP/checkpoints/before-refactor/state" ] || fail "the checkpoint is gone"
}

restore() {
	local before pre
	echo 'task: ruined' >"$SHOP/state/plan.yaml"
	rm -r "$SHOP/state/src"
	echo 'new: 1' >"$SHOP/state/made-since.yaml"
	before=$(events shop session_recovered | wc -l)
	fails_with 'no such file' cp /dev/stdin "$SHOP/recovery/restore" <<<nobody
	file_is "$SHOP/state/plan.yaml" 'task: ruined'
	event_count_is shop session_recovered "$before"
	cat "$SHOP/recovery/restore" >list
	grep -q before-refactor list || fail "recovery/restore does not list it: $(cat list)"
	echo before-refactor >"$SHOP/recovery/restore"
	file_is "$SHOP/state/plan.yaml" $'task: login page\nsteps: [form, check]'
	[ -d "$SHOP/state/src" ] || fail "src/ did not come back"
	[ ! -e "$SHOP/state/made-since.yaml" ] || fail "what was made since is still there"
	event_count_is shop session_recovered $((before + 1))
	says "$(newest shop session_recovered)" '"checkpoint_id":"before-refactor"'
	# the state before it is kept, so it can be undone
	pre=$(newest_with shop checkpoint_created '"reason":"pre_recovery"' | sed 's/.*"checkpoint_id":"\([^"]*\)".*/\1/')
	file_is "$SHOP/checkpoints/$pre/state/plan.yaml" 'task: ruined'
	# so it is; and back again
	echo "$pre" >"$SHOP/recovery/restore"
	file_is "$SHOP/state/plan.yaml" 'task: ruined'
	file_is "$SHOP/state/made-since.yaml" 'new: 1'
	echo before-refactor >"$SHOP/recovery/restore"
	file_is "$SHOP/state/plan.yaml" $'task: login page\nsteps: [form, check]'
	mkdir "$SHOP/checkpoints/afternoon"
	echo 'task: ruined again' >"$SHOP/state/plan.yaml"
	echo latest >"$SHOP/recovery/restore"
	file_is "$SHOP/state/plan.yaml" $'task: login page\nsteps: [form, check]'
	says "$(newest shop session_recovered)" '"checkpoint_id":"afternoon"'
	grep -q before-refactor "$SHOP/recovery/report.yaml" || fail "report.yaml does not tell of it: $(cat "$SHOP/recovery/report.yaml")"
	(
		set +eE
		# shellcheck disable=SC1091
		. "$SHOP/recovery/resume.sh" >resumed 2>&1 </dev/null
		echo "$MILESTONES_SESSION $PWD" >"$O/where"
	)
	file_is "$O/where" "shop $P"
}

power_cut() {
	local i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		echo "n: $i" >"$SHOP/state/n.yaml"
	done
	mnt_crash
	file_is "$SHOP/state/n.yaml" "n: 10"
	eq "docs shop " "$(sorted "$M/state/active")" "state/active"
	field "$SHOP/agents/coder-1.yaml" agent id coder-1
	[ -d "$SHOP/checkpoints/before-refactor/state" ] || fail "the checkpoint is gone"
	"$TOP_DIR/scripts/verify-events.sh" "$M/state/events/all.jsonl" >said 2>&1 || fail "the log does not verify: $(head -n 3 said)"
}

monitoring() {
	local monitor=$SHOP/agents/.health/monitor.jsonl line
	wait_for grep -q '"healthy_agents":2,"unhealthy_agents":\[\]' "$monitor"
	line=$(tail -n 1 "$monitor")
	[[ $line =~ ^\{\"timestamp\":\"[^\"]+Z\",\"session_id\":\"shop\",\"healthy_agents\":[0-9]+,\"unhealthy_agents\":\[.*\] ]] || fail "monitor.jsonl: $line"
	heartbeats_end # everybody falls silent
	set_value "$SHOP/session.yaml" heartbeat_interval 1
	wait_for grep -q '"unhealthy_agents":\["coder-1","tester-1"\]' "$monitor"
	begins "$M/agents/status/coder-1.yaml" "status: unhealthy" || fail "coder-1: $(head -n 1 "$M/agents/status/coder-1.yaml")"
	says "$(newest shop agent_status_changed)" '"to":"unhealthy"'
	grep -q 'is unhealthy' "$SHOP/health.yaml" || fail "health.yaml does not tell"
	set_value "$SHOP/session.yaml" heartbeat_interval 5
	touch "$SHOP/agents/coder-1.yaml"
	wait_for begins "$M/agents/status/coder-1.yaml" "status: active"
	heartbeats_begin "$SHOP/agents/coder-1.yaml" "$SHOP/agents/tester-1.yaml" "$DOCS/agents/writer-1.yaml"
	wait_for begins "$M/agents/status/tester-1.yaml" "status: active"
}

# An agent whose process dies is dead at once, and lets go of what it held.
a_death() {
	local pid
	sleep 1000 &
	pid=$!
	sed -i "s/^  status: .*/&\n  pid: $pid/" "$SHOP/agents/tester-1.yaml"
	as tester-1 shop touch "$M/state/.locks/testing"
	wait_for grep -q '^locks: \["testing"\]' "$M/agents/status/tester-1.yaml"
	heartbeats_end # a sign of life would bring it back
	heartbeats_begin "$SHOP/agents/coder-1.yaml" "$DOCS/agents/writer-1.yaml"
	kill -9 "$pid"
	wait "$pid" 2>/dev/null || true
	wait_for begins "$M/agents/status/tester-1.yaml" "status: dead"
	wait_for grep -q '^  status: "\{0,1\}dead' "$SHOP/agents/tester-1.yaml"
	says "$(newest shop agent_status_changed)" '"agent_id":"tester-1"'
	says "$(newest shop agent_status_changed)" '"to":"dead"'
	wait_for test ! -e "$M/state/.locks/testing"
	wait_for grep -q 'active_agents: \["coder-1"\]' "$SHOP/session.yaml"
	rm "$SHOP/agents/tester-1.yaml"
	wait_for newer_than shop agent_deregistered 0
	says "$(newest shop agent_deregistered)" '"agent_id":"tester-1"'
}

evening() {
	local lines
	set_value "$SHOP/session.yaml" status '"paused"'
	says "$(newest shop session_status_changed)" '"from":"active","to":"paused"'
	fails_with 'bad message' sed -i 's/^  status: .*/  status: "initializing"/' "$SHOP/session.yaml"
	field "$SHOP/session.yaml" session status paused
	set_value "$SHOP/session.yaml" status '"completed"'
	says "$(newest shop session_status_changed)" '"from":"paused","to":"completed"'
	eq "docs " "$(sorted "$M/state/active")" "state/active"
	eq "shop " "$(sorted "$M/state/completed")" "state/completed"
	set_value "$SHOP/session.yaml" heartbeat_interval 1
	sleep 1
	lines=$(wc -l <"$SHOP/agents/.health/monitor.jsonl")
	sleep 2.5
	eq "$lines" "$(wc -l <"$SHOP/agents/.health/monitor.jsonl")" "lines of monitor.jsonl after the end"
	# the other one fails, is taken up again, and then nobody closes it: it expires
	set_value "$DOCS/session.yaml" status '"failed"'
	eq "docs shop " "$(sorted "$M/state/completed")" "state/completed"
	set_value "$DOCS/session.yaml" status '"active"'
	says "$(newest docs session_status_changed)" '"from":"failed","to":"active"'
	sed -i 's/status: "\{0,1\}active"\{0,1\}/status: completed/' "$DOCS/agents/writer-1.yaml" # in a flow mapping, as its author wrote it
	begins "$M/agents/status/writer-1.yaml" "status: completed" || fail "writer-1: $(head -n 1 "$M/agents/status/writer-1.yaml")"
	wait_for grep -q '^  active_agents: \[\]' "$DOCS/session.yaml"
	set_value "$SHOP/agents/coder-1.yaml" status idle
	begins "$M/agents/status/coder-1.yaml" "status: idle" || fail "coder-1: $(head -n 1 "$M/agents/status/coder-1.yaml")"
	set_value "$DOCS/session.yaml" max_session_duration 1
	wait_for grep -q '^  status: "\{0,1\}expired' "$DOCS/session.yaml"
	says "$(newest docs session_status_changed)" '"to":"expired"'
	says "$(newest docs checkpoint_created)" '"reason":"expiry"'
	eq "docs shop " "$(sorted "$M/state/completed")" "state/completed"
	grep -q 'has expired' "$DOCS/health.yaml" || fail "health.yaml does not tell"
	grep -A2 '^counts:' "$M/status/sessions.yaml" | grep -q 'total: 2' || fail "status/sessions.yaml: $(head -n 8 "$M/status/sessions.yaml")"
}

# Each line of the log has the eight members, in order, and the chain holds without milestonefs.
the_log() {
	local log line='^\{"event_id":"[^"]+","timestamp":"[^"]+Z","session_id":"[^"]+","event_type":"[^"]+","agent_id":"[^"]+","data":\{.*\},"sequence_number":[0-9]+,"checksum":"[0-9a-f]{64}"\}$'
	for log in "$SHOP/events/session.jsonl" "$DOCS/events/session.jsonl" "$M/state/events/all.jsonl" "$M/state/events/$(date -u +%F).jsonl"; do
		eq 0 "$(grep -Evc "$line" "$log")" "lines of $log without all members"
		"$TOP_DIR/scripts/verify-events.sh" "$log" >said 2>&1 || fail "$(head -n 3 said)"
	done
	says "$(grep '"event_type":"checkpoint_created"' "$SHOP/events/session.jsonl" | tail -n 1)" '"session_id":"shop"'
	grep -q '"agent_id":"system"' "$SHOP/events/session.jsonl" || fail "nothing was done by the system"
	(cd "$M" && sha256sum -c --quiet cache/checksums/SHA256SUMS) || fail "SHA256SUMS does not hold"
}

night() {
	mnt_stop
	"$MILESTONEFS" fsck "$P" >said 2>&1 || fail "fsck: $(cat said)"
	mnt_start
	eq "docs shop " "$(sorted "$M/state/completed")" "state/completed"
}
