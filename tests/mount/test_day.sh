#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A day of three agents in two sessions, by coreutils, the shell's own words, grep and sed alone. On the way each file, field, default, event and status
# of the state model is looked at: sessions, agents, heartbeats, barriers, locks, checkpoints, a restore, expiry, monitoring, transactions,
# the event log; with an unmount in the middle and a daemon that is killed.
#
# Intervals are short, but so that nobody falls silent where the machine is slow: an agent's heartbeat is due every five seconds, a checkpoint every two.
. "$(dirname "$0")/lib.sh"

# --- reading ---------------------------------------------------------------------------

# value FILE SECTION KEY: of a block mapping in a block mapping, without quotes and remarks; of the top level when SECTION is ""
value() {
	local in='' key="$3: "
	if [ "$2" ]; then
		in="/^$2:/,/^[^ #]/" key="  $3: "
	fi
	sed -nE "$in{s/^$key\"([^\"]*)\".*/\1/p;t;s/^$key//;t c;b;:c;s/ +#.*//;p}" "$1" | head -n 1
}

# field FILE SECTION KEY WANT
field() {
	if [ "$2" ]; then
		sed -n "/^$2:/,/^[^ #]/p" "$1" | grep -q "^  $3:" || fail "$1: no $2.$3"
	else
		grep -q "^$3:" "$1" || fail "$1: no $3"
	fi
	[ -z "${4+x}" ] || eq "$4" "$(value "$1" "$2" "$3")" "$1: $2.$3"
}

is_time() {
	[[ $1 =~ ^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$ ]] || fail "${2:-time}: '$1' is none"
}

field_time() {
	field "$1" "$2" "$3"
	is_time "$(value "$1" "$2" "$3")" "$1: $2.$3"
}

# events SESSION TYPE: its lines; event_count_is SESSION TYPE N; newest SESSION TYPE: the newest line
events() {
	grep "\"event_type\":\"$2\"" "$M/state/sessions/$1/events/session.jsonl" || true
}

newest() {
	events "$1" "$2" | tail -n 1
}

event_count_is() {
	eq "$3" "$(events "$1" "$2" | wc -l)" "$2 in $1"
}

# says LINE MEMBERS: the JSON line contains them
says() {
	case $1 in
	*"$2"*) ;;
	*) fail "want $2 in: ${1:-nothing}" ;;
	esac
}

# newer_than SESSION TYPE N: it has more than N of them (for wait_for)
newer_than() {
	[ "$(events "$1" "$2" | wc -l)" -gt "$3" ]
}

# newest_with SESSION TYPE TEXT: the newest line that says TEXT
newest_with() {
	events "$1" "$2" | grep -F "$3" | tail -n 1
}

begins() {
	[ "$(head -n 1 "$1")" = "$2" ]
}

sorted() {
	find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' '
}

# as AGENT SESSION COMMAND...: what that agent does
as() {
	local agent=$1 session=$2
	shift 2
	MILESTONES_AGENT=$agent MILESTONES_SESSION=$session "$@"
}

# set_value FILE KEY VALUE, as a person would
set_value() {
	sed -i "s/^  $2: .*/  $2: $3/" "$1"
}

# --- the day ------------------------------------------------------------------------------

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

test_day() {
	layout
	a_session_is_made
	intervals
	agents_register
	heartbeats_begin "$SHOP/agents/coder-1.yaml" "$SHOP/agents/tester-1.yaml" "$DOCS/agents/writer-1.yaml"
	work
	mistake
	transactions
	barrier_completes
	barrier_fails
	locks
	checkpoints
	lunch
	restore
	power_cut
	monitoring
	a_death
	evening
	heartbeats_end
	the_log
	night
}

run_tests "$@"
