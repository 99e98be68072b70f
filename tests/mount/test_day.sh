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

. "$LIB_DIR/day_morning.sh"
. "$LIB_DIR/day_afternoon.sh"

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
