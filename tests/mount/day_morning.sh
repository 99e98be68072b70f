# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
#
# The morning of test_day.sh: sessions and agents, work, transactions, barriers and locks.

layout() {
	local dir
	for dir in state/active state/completed state/sessions state/backups state/events state/.locks agents/registry agents/status agents/coordination \
		transactions/pending transactions/committed transactions/rollbacks cache/state_cache cache/checksums cache/indexes status; do
		[ -d "$M/$dir" ] || fail "no $dir"
	done
}

a_session_is_made() {
	local f dir cp
	rm -r "$M/state/sessions/s1" # the one of the fixture
	mkdir "$M/state/sessions/shop"
	SHOP=$M/state/sessions/shop
	S=$SHOP # what a mount of the library looks for
	for dir in state agents events checkpoints recovery; do
		[ -d "$SHOP/$dir" ] || fail "no $dir"
	done
	f=$SHOP/session.yaml
	field "$f" session id shop
	field "$f" session type general
	field "$f" session status active
	field_time "$f" session created_at
	field_time "$f" session last_updated
	field "$f" "" context "{}"
	field "$f" state current_operation null
	field "$f" state progress_percentage 0
	field "$f" state active_agents "[]"
	field "$f" configuration auto_checkpoint true
	field "$f" configuration checkpoint_interval 300
	field "$f" configuration max_session_duration 14400
	field "$f" configuration backup_retention 7
	field "$f" recovery enabled true
	field "$f" recovery last_backup null
	says "$(head -n 1 "$SHOP/events/session.jsonl")" '"event_type":"session_initialized"'
	says "$(newest shop session_initialized)" '"type":"general"'
	says "$(newest shop session_status_changed)" '"from":"initializing","to":"active"'
	cp=$(value "$f" state last_checkpoint)
	[[ $cp =~ ^checkpoint-[0-9]+$ ]] || fail "the first checkpoint is called '$cp'"
	says "$(grep recovery_points: "$f")" "[\"$cp\"]"
	says "$(newest shop checkpoint_created)" "\"checkpoint_id\":\"$cp\",\"reason\":\"initialization\""
	eq "$cp " "$(sorted "$SHOP/checkpoints")" "checkpoints"
	field "$SHOP/checkpoints/$cp/checkpoint.yaml" checkpoint reason initialization
	eq "../sessions/shop" "$(readlink "$M/state/active/shop")" "state/active/shop"

	mkdir "$M/state/sessions/docs"
	DOCS=$M/state/sessions/docs
	printf 'session:\n  type: "writing"   # what we do here\ncontext: {book: "milestones"}\n' >"$DOCS/session.yaml"
	field "$DOCS/session.yaml" session id docs
	field "$DOCS/session.yaml" session type writing
	field "$DOCS/session.yaml" session status active
	field "$DOCS/session.yaml" configuration checkpoint_interval 300
	grep -q '^context: {book: "milestones"}$' "$DOCS/session.yaml" || fail "context: $(grep context "$DOCS/session.yaml")"
	grep -q '# what we do here' "$DOCS/session.yaml" || fail "the comment is gone"
	eq "docs shop " "$(sorted "$M/state/active")" "state/active"
}

intervals() {
	# by edits a person would make: members that are there, and one that is not
	sed -i 's/^  checkpoint_interval: .*/  checkpoint_interval: 2   # seconds/; s/^configuration:/&\n  heartbeat_interval: 5/' "$SHOP/session.yaml"
	sed -i 's/^configuration:/&\n  heartbeat_interval: 5\n  sync_timeout: 2/' "$DOCS/session.yaml"
	field "$SHOP/session.yaml" configuration checkpoint_interval 2
	grep -q 'checkpoint_interval: 2   # seconds' "$SHOP/session.yaml" || fail "the comment is gone"
	field "$DOCS/session.yaml" configuration sync_timeout 2
}

agents_register() {
	local f=$SHOP/agents/coder-1.yaml
	touch "$f"
	field "$f" agent id coder-1
	field "$f" agent type general
	field "$f" agent session_id shop
	field "$f" agent status initializing
	field_time "$f" agent registered_at
	field_time "$f" agent last_updated
	field "$f" "" state "{}"
	field "$f" metrics operations_completed 0
	field "$f" metrics errors_encountered 0
	field "$f" metrics total_execution_time 0
	field_time "$f" metrics last_heartbeat
	field "$f" coordination dependencies "[]"
	field "$f" coordination subscribers "[]"
	field "$f" coordination event_subscriptions "[]"
	says "$(newest shop agent_registered)" '"agent_id":"coder-1","type":"general"'
	printf 'agent:\n  type: "tester"\n  status: active\ncoordination:\n  dependencies: ["coder-1"]\n' >"$SHOP/agents/tester-1.yaml"
	field "$SHOP/agents/tester-1.yaml" agent id tester-1
	field "$SHOP/agents/tester-1.yaml" agent type tester
	says "$(newest shop agent_registered)" '"agent_id":"tester-1","type":"tester"'
	as writer-1 docs cp /dev/stdin "$DOCS/agents/writer-1.yaml" <<<'agent: {type: writer, status: active}'
	wait_for grep -q 'active_agents: \["coder-1", "tester-1"\]' "$SHOP/session.yaml"
	wait_for grep -q 'active_agents: \["writer-1"\]' "$DOCS/session.yaml"
	eq "coder-1.yaml tester-1.yaml writer-1.yaml " "$(sorted "$M/agents/registry")" "agents/registry"
	eq "coder-1.yaml tester-1.yaml writer-1.yaml " "$(sorted "$M/agents/status")" "agents/status"
	eq "../../state/sessions/docs/agents/writer-1.yaml" "$(readlink "$M/agents/registry/writer-1.yaml")" "registry/writer-1.yaml"
	begins "$M/agents/status/coder-1.yaml" "status: initializing" || fail "coder-1: $(head -n 1 "$M/agents/status/coder-1.yaml")"
	set_value "$f" status active
	says "$(newest shop agent_status_changed)" '"agent_id":"coder-1","from":"initializing","to":"active"'
	begins "$M/agents/status/coder-1.yaml" "status: active" || fail "coder-1: $(head -n 1 "$M/agents/status/coder-1.yaml")"
}

# heartbeats_begin FILE...: in the background of the day these agents are alive
heartbeats_begin() {
	while sleep 0.4; do
		touch -c "$@" 2>/dev/null || true
	done &
	HEARTBEATS=$!
}

heartbeats_end() {
	kill "$HEARTBEATS"
	wait "$HEARTBEATS" 2>/dev/null || true
	sleep 0.2 # its last touch
}

work() {
	local before updated f=$M/agents/status/coder-1.yaml
	before=$(value "$f" "" operations_completed)
	as coder-1 shop mkdir "$SHOP/state/src"
	as coder-1 shop cp /dev/stdin "$SHOP/state/plan.yaml" <<<$'task: login\nsteps: [form, check]'
	as coder-1 shop sed -i 's/login/login page/' "$SHOP/state/plan.yaml"
	as coder-1 shop tee -a "$SHOP/state/notes.md" <<<"- begun" >/dev/null
	as tester-1 shop tee -a "$SHOP/state/notes.md" <<<"- tested" >/dev/null
	file_is "$SHOP/state/notes.md" $'- begun\n- tested'
	[ "$(value "$f" "" operations_completed)" -ge $((before + 4)) ] || fail "operations: $before, then $(value "$f" "" operations_completed)"
	says "$(newest shop file_appended)" '"agent_id":"tester-1"'
	# progress, by hand
	updated=$(value "$SHOP/session.yaml" session last_updated)
	set_value "$SHOP/session.yaml" progress_percentage 40
	set_value "$SHOP/session.yaml" current_operation '"the login page"'
	field "$SHOP/session.yaml" state progress_percentage 40
	field "$SHOP/session.yaml" state current_operation "the login page"
	[[ $(value "$SHOP/session.yaml" session last_updated) > $updated ]] || fail "last_updated is still $updated"
	grep -q 'checkpoint_interval: 2   # seconds' "$SHOP/session.yaml" || fail "a comment is gone"
	fails_with 'bad message' sed -i 's/^  progress_percentage: .*/  progress_percentage: 101/' "$SHOP/session.yaml"
	field "$SHOP/session.yaml" state progress_percentage 40
	# an event of one's own
	echo '{"event_type": "review", "data": {"ok": true}}' >>"$SHOP/events/session.jsonl"
	says "$(newest shop review)" '"custom":{"ok":true}'
}

# A save that breaks what was good is refused, counted and kept.
mistake() {
	local f=$SHOP/state/plan.yaml record
	echo 'steps: [form' >bad.yaml
	as coder-1 shop fails_with 'bad message' cp bad.yaml "$f"
	file_is "$f" $'task: login page\nsteps: [form, check]'
	eq 1 "$(value "$M/agents/status/coder-1.yaml" "" errors_encountered)" "errors of coder-1"
	record=$(find "$M/transactions/rollbacks" -name '*.yaml' | sort | tail -n 1)
	field "$record" transaction id "$(basename "$record" .yaml)"
	field "$record" transaction operation write
	field "$record" transaction target_file state/sessions/shop/state/plan.yaml
	field "$record" transaction status rolled_back
	field_time "$record" transaction started_at
	field_time "$record" transaction rolled_back_at
	field "$record" transaction reason
	field "$record" backup original_file state/sessions/shop/state/plan.yaml
	field "$record" backup backup_created true
	eq "$(sha256sum <"$f" | cut -d ' ' -f 1)" "$(value "$record" backup backup_checksum)" "backup_checksum"
	same "${record%.yaml}.draft" bad.yaml
	says "$(newest shop commit_refused)" '"agent_id":"coder-1"'
	begins "$SHOP/health.yaml" "status: degraded" || fail "health: $(head -n 1 "$SHOP/health.yaml")"
}

# record OPERATION PATH: the newest committed one of that operation on that file of the shop
record() {
	grep -lE "^  target_file: \"state/sessions/shop/$2\"" "$M"/transactions/committed/*.yaml | xargs grep -l "^  operation: \"$1\"" | sort | tail -n 1
}

transactions() {
	local record operation
	echo 'good: 1' >"$SHOP/state/new.yaml"
	record=$(record write state/new.yaml)
	[ "$record" ] || fail "no record of a save"
	field "$record" transaction id "$(basename "$record" .yaml)"
	field "$record" transaction operation write
	field "$record" transaction target_file state/sessions/shop/state/new.yaml
	field "$record" transaction status committed
	field_time "$record" transaction started_at
	field_time "$record" transaction committed_at
	field "$record" backup original_file
	field "$record" backup backup_created false
	field "$record" backup backup_checksum null
	rm "$SHOP/state/new.yaml"
	for operation in "append state/notes.md" "rename state/plan.yaml" "remove state/new.yaml" "mkdir state/src"; do
		# shellcheck disable=SC2086
		[ "$(record $operation)" ] || fail "no record of $operation"
	done
	record=$(record append state/notes.md)
	field "$record" backup original_file state/sessions/shop/state/notes.md
	field "$record" backup backup_created true
	exec 5>"$SHOP/state/open.yaml"
	echo "half: [" >&5
	record=$(grep -l open.yaml "$M"/transactions/pending/*.yaml)
	field "$record" transaction status pending
	field "$record" transaction target_file state/sessions/shop/state/open.yaml
	field_time "$record" transaction started_at
	echo "]" >&5
	exec 5>&-
	file_is "$SHOP/state/open.yaml" $'half: [\n]'
}

barrier_completes() {
	local sync=$SHOP/agents/.sync before waiter
	before=$(events shop agents_synchronized | wc -l)
	as coder-1 shop mkdir "$sync/build-done"
	cat "$sync/build-done/wait" >waited &
	waiter=$!
	says "$(head -n 1 "$sync/build-done.yaml")" 'synchronization: {id: "build-done", session_id: "shop", trigger_agent: "coder-1", started_at: "20'
	grep -q '^participants: \["coder-1", "tester-1"\]$' "$sync/build-done.yaml" || fail "participants: $(grep participants: "$sync/build-done.yaml")"
	field "$sync/build-done.yaml" "" status in_progress
	says "$(newest shop sync_started)" '"sync_id":"build-done"'
	as coder-1 shop touch "$sync/build-done/coder-1"
	wait_for waits_in "$waiter" "$sync/build-done/wait"
	stays 0.5 kill -0 "$waiter"
	as tester-1 shop touch "$sync/build-done/tester-1"
	wait "$waiter"
	file_is waited completed
	field "$sync/build-done.yaml" "" status completed
	event_count_is shop agents_synchronized $((before + 1))
	says "$(newest shop agents_synchronized)" '"sync_id":"build-done"'
	says "$(newest shop agents_synchronized)" '"agent_count":2'
	timeout 120 cat "$sync/build-done/wait" >waited # it has ended: nobody waits
	file_is waited completed
	# of those only whom its starter names
	mkdir "$sync/handover"
	echo tester-1 >"$sync/handover/participants"
	grep -q '^participants: \["tester-1"\]$' "$sync/handover.yaml" || fail "participants: $(grep participants: "$sync/handover.yaml")"
	touch "$sync/handover/tester-1"
	wait_for grep -q '^status: "completed"' "$sync/handover.yaml"
	says "$(newest shop agents_synchronized)" '"agent_count":1'
}

barrier_fails() {
	local sync=$DOCS/agents/.sync
	mkdir "$sync/proof-read" # nobody in particular: the trigger is "system"
	says "$(head -n 1 "$sync/proof-read.yaml")" 'synchronization: {id: "proof-read", session_id: "docs", trigger_agent: "system"'
	timeout 120 cat "$sync/proof-read/wait" >waited
	file_is waited "failed: missing writer-1"
	field "$sync/proof-read.yaml" "" status failed
	says "$(newest docs sync_failed)" '"sync_id":"proof-read"'
	says "$(newest docs sync_failed)" 'writer-1'
	rmdir "$sync/proof-read" 2>/dev/null || rm -r "$sync/proof-read"
	[ ! -e "$sync/proof-read" ] || fail "it is still there"
}

# acquire NAME SECONDS: as a shell would, with O_EXCL
acquire() {
	local end=$((SECONDS + $2))
	until (set -C && echo "$$" >"$M/state/.locks/$1") 2>/dev/null; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

locks() {
	local lock=$M/state/.locks/deploy owner token
	acquire deploy 60 || fail "a free lock is not to be had"
	file_is "$lock" "$$"
	must_fail acquire deploy 1
	grep -q 'deploy' "$M/status/locks.yaml" || fail "status/locks.yaml does not name it: $(cat "$M/status/locks.yaml")"
	if command -v getfattr >/dev/null; then
		token=$(getfattr --absolute-names --only-values -n user.milestonefs.fencing_token "$lock")
		[ "$token" -gt 0 ] || fail "fencing token '$token'"
	fi
	rm "$lock"
	acquire deploy 60 || fail "not free after release"
	rm "$lock"
	# one whose owner has died is nobody's
	sleep 1000 &
	owner=$!
	echo "$owner" >"$lock"
	must_fail acquire deploy 1
	kill -9 "$owner"
	wait "$owner" 2>/dev/null || true
	acquire deploy 60 || fail "the lock of a dead process is not released"
	rm "$lock"
	grep -q '"event_type":"lock_released"' "$M/state/events/all.jsonl" || fail "no lock_released"
}

# sha FILE
sha() {
	sha256sum <"$1" | cut -d ' ' -f 1
}
