#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Editing session.yaml and agents' files with plain tools: what is filled in, what the daemon keeps for itself, what is refused and how
# that is told, which status may follow which, and that a person's way of writing stays.
. "$(dirname "$0")/lib.sh"

# said KEY: in the record of the newest refused save
said() {
	local record
	record=$(find "$M/transactions/rollbacks" -name '*.yaml' | sort | tail -n 1)
	sed -nE "s/^  $1: //p" "$record" | sed -E 's/^"(.*)"$/\1/; s/\\"/"/g'
}

# refused FILE TEXT LINE MESSAGE: saving TEXT fails, the file stays, and the reason names the line and says MESSAGE
refused() {
	cp "$1" before
	printf '%b' "$2" >bad
	fails_with 'bad message' cp bad "$1"
	grep -v last_ before >want
	grep -v last_ "$1" >got
	same want got
	eq "$3" "$(said line)" "line of: $4"
	eq "$4" "$(said message)" message
}

# --- what is filled in ------------------------------------------------------------

SESSION_FIELDS="session id type status created_at last_updated context state current_operation progress_percentage active_agents last_checkpoint
configuration auto_checkpoint checkpoint_interval max_session_duration backup_retention recovery enabled last_backup recovery_points"
AGENT_FIELDS="agent id type session_id status registered_at last_updated state metrics operations_completed errors_encountered
total_execution_time last_heartbeat coordination dependencies subscribers event_subscriptions"

# fields FILE NAMES...: exactly these keys, in this order
fields() {
	local file=$1
	shift
	eq "$*" "$(sed -nE 's/^ *([a-z_]+):.*/\1/p' "$file" | tr '\n' ' ' | sed 's/ $//')" "fields of $file"
}

test_a_new_session_has_every_field() {
	session new
	# shellcheck disable=SC2086
	fields "$F" $SESSION_FIELDS
	eq "new general active {} null 0 [] true 300 14400 7 true" \
		"$(for k in id type status context current_operation progress_percentage active_agents auto_checkpoint checkpoint_interval \
			max_session_duration backup_retention enabled; do key "$F" $k; done | tr '\n' ' ' | sed 's/ $//')" defaults
}

test_a_template_is_merged() {
	local created
	session template
	created=$(key "$F" created_at)
	printf '# from a template\nsession:\n  type: "build"   # of ours\n  id: TODO\n  created_at: yesterday\n\ncontext: {ticket: 12}\n' >template.yaml
	cp template.yaml "$F"
	has "$F" '^# from a template$'
	has "$F" '^  type: "build"   # of ours$'
	has "$F" '^context: \{ticket: 12\}$'
	has "$F" '^  id: "?template"?$'
	eq "$created" "$(key "$F" created_at)" created_at
	# shellcheck disable=SC2086
	eq "$(tr ' ' '\n' <<<$SESSION_FIELDS | sort)" "$(sed -nE 's/^ *([a-z_]+):.*/\1/p' "$F" | sort)" fields
	: >"$F"
	# shellcheck disable=SC2086
	fields "$F" $SESSION_FIELDS
	eq general "$(key "$F" type)" "type of an emptied file"
}

# A whole file as sessions begin with, from a template: with an id of its own, a status it has left behind, and times that are none.
test_a_whole_file_as_template() {
	session whole-template
	cat >template.yaml <<-'END'
		session:
		  id: "s1"
		  type: "general"
		  status: "initializing"  # initializing | active | paused | completed | failed | expired
		  created_at: "…"
		  last_updated: "…"       # kept current by the daemon
		context: {}
		state:
		  current_operation: null
		  progress_percentage: 0  # 0..100
		  active_agents: []
		  last_checkpoint: null
		configuration:
		  auto_checkpoint: true
		  checkpoint_interval: 300     # seconds; only when something changed
		  max_session_duration: 14400
		  backup_retention: 7
		recovery:
		  enabled: true
		  last_backup: null
		  recovery_points: []
	END
	cp template.yaml "$F"
	has "$F" '^  id: "whole-template"$'
	has "$F" '^  status: "active"  # initializing \| active'
	has "$F" '^  created_at: "20[0-9T:.-]*Z"$'
	has "$F" '^  recovery_points: \["checkpoint-[0-9]*"\]$'
	eq "" "$(jq -r 'select(.event_type == "session_status_changed" and .data.from != "initializing").data.to' "$X/events/session.jsonl")" "changes"
}

test_an_agent_of_any_subset() {
	session subset
	touch "$X/agents/empty.yaml"
	# shellcheck disable=SC2086
	fields "$X/agents/empty.yaml" $AGENT_FIELDS
	eq "empty general subset initializing 0 0 0 [] [] []" \
		"$(for k in id type session_id status operations_completed errors_encountered total_execution_time dependencies subscribers \
			event_subscriptions; do key "$X/agents/empty.yaml" $k; done | tr '\n' ' ' | sed 's/ $//')" defaults
	printf 'agent: {type: reviewer, status: active}\ncoordination:\n  event_subscriptions:\n  - file_written # ours\n' >"$X/agents/part.yaml"
	has "$X/agents/part.yaml" '^agent: \{type: reviewer, status: active, .*id: "part"'
	has "$X/agents/part.yaml" '^  - file_written # ours$'
	has "$X/agents/part.yaml" '^  dependencies: \[\]$'
	has "$F" '^  active_agents: \["empty", "part"\]$'
}

# --- what stays -------------------------------------------------------------------

test_ones_way_of_writing_stays() {
	session style
	cat >mine.yaml <<-'END'
		# everything about it

		recovery: {enabled: false}   # in one line
		session:   # odd indentation
		      status:   'paused'   # single quotes

		      type: >-
		          long
		          words

		# in between
		configuration:
		  "checkpoint_interval": 60
		own:
		- a   # a
		-   b
	END
	cp mine.yaml "$F"
	# every line is there, in order; one had a member added
	grep -v '^recovery' mine.yaml >want
	grep -nxFf want "$F" | cut -d: -f2- >got
	same want got
	has "$F" '^recovery: \{enabled: false, .*\}   # in one line$'
	touch "$X/agents/a.yaml" # the daemon's own edit
	grep -nxFf want "$F" | cut -d: -f2- >got
	same want got
	has "$F" '^ +active_agents: \["a"\]$'
	printf 'session:\r\n  type: dos # c\r\n' >"$F"
	eq 0 "$(grep -vc $'\r$' "$F")" "lines that do not end as the others"
}

test_what_the_daemon_owns() {
	session owned
	sed -i 's/^  id: .*/  id: "other"/; s/^  active_agents: .*/  active_agents: [nobody]/; s/^  created_at: .*/  created_at: {}/; s/^  last_backup: .*/  last_backup: 5/' "$F"
	has "$F" '^  id: "owned"$'
	has "$F" '^  active_agents: \[\]$'
	has "$F" '^  created_at: "20'
	has "$F" '^  last_backup: null$'
}

# --- what is checked --------------------------------------------------------------

test_good_edits_of_a_session() {
	session good
	sed -i 's/^  type: .*/  type: research/; s/^  status: .*/  status: paused/; s/^context: .*/context: {goal: "ship", steps: [1, 2]}/
		s/^  progress_percentage: .*/  progress_percentage: 42.5/; s/^  current_operation: .*/  current_operation: "reading"/
		s/^  checkpoint_interval: .*/  checkpoint_interval: 900/; s/^  backup_retention: .*/  backup_retention: 0/' "$F"
	printf 'mine: [a, b]\n' >>"$F"
	for line in '  type: research' '  status: paused' 'context: {goal: "ship", steps: [1, 2]}' '  progress_percentage: 42.5' '  current_operation: "reading"' \
		'  checkpoint_interval: 900' '  backup_retention: 0' 'mine: [a, b]'; do
		grep -qxF -- "$line" "$F" || fail "$line is gone"
	done
}

test_bad_edits_of_a_session() {
	session bad
	refused "$F" 'configuration:\n  checkpoint_interval: soon\n' 2 \
		'configuration.checkpoint_interval: "soon" is not a whole number of seconds of at least 1'
	refused "$F" 'session:\n\n  status: "on"\n' 3 'session.status: "on" is not one of initializing, active, paused, completed, failed, expired'
	refused "$F" 'session: {type: [a]}\n' 1 'session.type: a list is not text of at most 128 bytes'
	refused "$F" '# a\n# b\ncontext: none\n' 3 'context: "none" is not a mapping'
	refused "$F" 'state:\n  progress_percentage: 101\n' 2 'state.progress_percentage: 101 is not a number from 0 to 100'
	refused "$F" 'configuration:\n  max_session_duration: "3600"\n' 2 \
		'configuration.max_session_duration: "3600" is not a whole number of seconds of at least 1 (the quotes make it text)'
	refused "$F" 'configuration:\n  auto_checkpoint: yes\n' 2 \
		'configuration.auto_checkpoint: "yes" is not true or false (tools differ in what on, off, yes and no are)'
	refused "$F" 'configuration:\n  chekpoint_interval: 5\n' 2 \
		'configuration.chekpoint_interval: there is no such field; did you mean configuration.checkpoint_interval?'
	refused "$F" '- session\n' 1 "a list is not a mapping with sections such as \`session: {status: active}\`"
	fails_with 'bad message' sed -i 's/^  status: .*/  status: asleep/' "$F"
	eq 'session.status: "asleep" is not one of initializing, active, paused, completed, failed, expired' "$(said message)" "message to sed -i"
	eq active "$(key "$F" status)" "status after sed -i"
}

test_bad_edits_of_an_agent() {
	local a
	session badagent
	a=$X/agents/coder-1.yaml
	echo 'agent: {status: active}' >"$a"
	refused "$a" 'agent:\n  pid: 0\n' 2 'agent.pid: 0 is not a whole number from 1 to 4194304, or null'
	refused "$a" 'coordination:\n  dependencies: [a, "b c"]\n' 2 \
		"coordination.dependencies: item 2, \"b c\", is not an id of letters, digits, '.', '_' and '-'"
	printf 'agent:\n  status: dead\n' >"$a" || fail "a save that brings back an older status was refused"
	has "$a" 'status: "active"'
	for status in idle completed initializing active; do
		sed -i "s/status: .*/status: $status/" "$a"
		has "$a" "status: $status"
	done
}

# --- statuses ---------------------------------------------------------------------

ALL="initializing active paused completed failed expired"
declare -A NEXT=([initializing]="active failed" [active]="paused completed failed expired" [paused]="active completed failed expired"
	[completed]=active [failed]=active [expired]=active)

# start FROM TO: a session for that pair, still active; those that shall be initializing lose their file, since nothing leads there
start() {
	session "t-$1-$2"
	case $1 in
	active) ;;
	initializing) rm "$F" ;;
	*) sed -i "s/^  status: .*/  status: $1/" "$F" ;;
	esac
}

# pair FROM TO: what becomes of a session when its status is edited
pair() {
	local from=$1 to=$2
	F=$M/state/sessions/t-$from-$to/session.yaml
	[ -e "$F" ] || echo 'session: {status: initializing}' >"$F"
	if [ "$from" = "$to" ] || [[ " ${NEXT[$from]} " == *" $to "* ]]; then
		sed -i "s/status: \"\?[a-z]*\"\?/status: $to/" "$F"
		has "$F" "status: $to\b"
		[ "$from" = "$to" ] || eq "$from $to" "$(jq -r 'select(.event_type == "session_status_changed") | .data.from + " " + .data.to' \
			"${F%/*}/events/session.jsonl" | tail -n 1)" "the event"
	elif [ "$from $to" = "active initializing" ]; then # as templates say: it is active by now
		sed -i "s/status: \"\?[a-z]*\"\?/status: $to/" "$F"
		has "$F" 'status: "?active\b'
	else
		fails_with 'bad message' sed -i "s/status: \"\?[a-z]*\"\?/status: $to/" "$F"
		has "$F" "status: \"?$from\b"
		[[ $(said message) == "session.status: \"$from\" cannot become \"$to\"; allowed now: "* ]] || fail "$from to $to: $(said message)"
	fi
}

# The table of transitions, each pair; and each change is logged.
test_transitions() {
	local from to
	for from in $ALL; do
		for to in $ALL; do
			start "$from" "$to"
		done
	done
	sleep 2.1 # a name that comes back sooner is a replacement
	for from in $ALL; do
		for to in $ALL; do
			pair "$from" "$to"
		done
	done
}

# --- tools' temporary files ---------------------------------------------------------

# What stands beside an agent's file on its way there is no agent's.
test_temporary_files() {
	local a name
	session temporary
	a=$X/agents
	echo 'agent: {type: x}' >"$a/coder-1.yaml"
	for name in .coder-1.yaml.swp coder-1.yaml~ sedAb12Cd 4913 coder-1.yaml.tmp .coder-1.yaml; do
		echo 'agent: no mapping' >"$a/$name" || fail "$name is refused"
		file_is "$a/$name" 'agent: no mapping'
	done
	has "$F" '^  active_agents: \["coder-1"\]$'
	fails_with 'bad message' mv "$a/.coder-1.yaml" "$a/coder-1.yaml" # its content is checked where it arrives
	eq 'agent: a single value is not a mapping with members such as id' "$(said message)" message
	has "$a/coder-1.yaml" 'type: x'
}

run_tests "$@"
