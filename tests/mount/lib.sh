# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
#
# The library of the mount tests. A test script sources it, defines functions
# test_NAME and ends with `run_tests "$@"` (arguments: names of tests to run).
#
# Each test runs in a subshell and process group of its own under `set -eE`:
# any failing command fails the test and is named. It finds
#   $P  a project directory, mounted         $M  its mount point
#   $S  the session s1                       $D  an empty rw directory of its own in $S/state
#   $O  an empty directory outside           $LOG what the daemon said
# A mount is shared by the tests of a script and replaced by a fresh project
# after a failure. Whatever happens, everything is unmounted at the end and only
# daemons started here are killed, by pid.
#
# Output: "ok NAME", "not ok NAME: why", "skip NAME: why"; details after "# ".
#
# No test asserts how fast something is: a machine may be ten times slower than another, or stand still for a second. PATIENCE_S is how long
# anything is waited for, TEST_LIMIT_S when a test is taken to hang; MOUNT_TIME_FACTOR stretches both (sanitizers).

LIB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP_DIR=$(cd "$LIB_DIR/../.." && pwd)
MILESTONEFS_BUILD=${MILESTONEFS_BUILD:-${BUILD:-$TOP_DIR/build}}
MILESTONEFS=${MILESTONEFS:-$MILESTONEFS_BUILD/milestonefs}
SCRIPT=$(basename "$0" .sh)
FACTOR=${MOUNT_TIME_FACTOR:-1}
PATIENCE_S=60
TEST_LIMIT_S=${TEST_LIMIT_S:-300}
PY=$(python3 -c 'import sys; print(sys.executable)') || exit 2
export PATIENCE_S PYTHONPATH=$LIB_DIR PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8 TZ=UTC
unset MILESTONES_AGENT MILESTONES_SESSION

T=$(mktemp -d "${TMPDIR:-/tmp}/mfs-mount.XXXXXX") || exit 2
chmod 0755 "$T"
LOG=$T/log
export WHY=$T/why
EXIT_FILE=$T/exit
PID_FILE=$T/pid
PROJECT_NO=0

# --- small words ---------------------------------------------------------------

fail() {
	echo "$*" >|"$WHY"
	exit 1
}

skip() {
	echo "$*" >|"$WHY"
	exit 77
}

need() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
}

kernel_at_least() {
	printf '%s\n%s\n' "$1" "$(uname -r)" | sort -VC
}

# Direct I/O and shared mappings of one file at once: FUSE_DIRECT_IO_ALLOW_MMAP.
need_shared_maps() {
	kernel_at_least 6.6 || skip "shared mappings need Linux 6.6"
}

# eq WANT GOT WHAT
eq() {
	[ "$1" = "$2" ] || fail "${3:-value}: want '${1:0:300}', got '${2:0:300}'"
}

# file_is PATH CONTENT (a trailing newline is added, as echo does)
file_is() {
	local got
	got=$(cat "$1" && echo .) || fail "cannot read $1"
	[ "$got" = "$2"$'\n.' ] || fail "$1: want '${2:0:300}', got '${got:0:300}'"
}

same() {
	cmp "$1" "$2" >&2 || fail "$1 differs from $2"
}

must_fail() {
	if "$@"; then
		fail "should have failed: $*"
	fi
}

# fails_with TEXT COMMAND...: it fails and says TEXT (extended regular expression) on stderr
fails_with() {
	local text=$1 said
	shift
	if said=$("$@" 2>&1 >/dev/null); then
		fail "should have failed: $*"
	fi
	grep -Eiq -- "$text" <<<"$said" || fail "$*: should say '$text', said '${said:0:300}'"
}

has() {
	grep -Eq -- "$2" "$1" || fail "$1: nothing matches '$2': $(head -c 400 "$1" | tr '\n' '|')"
}

# grep as ever, but a pipe is read to its end: who still writes when grep -q has seen enough would die of it, and pipefail call that a failure.
grep() {
	local status=0
	command grep "$@" || status=$?
	if [ -p /dev/stdin ]; then
		cat >/dev/null
	fi
	return "$status"
}

# wait_for COMMAND...: until it succeeds, checked every 50 ms
wait_for() {
	[[ $1 != [0-9]* ]] || fail "wait_for takes no seconds: what is waited for is waited for for $PATIENCE_S"
	local end=$((${EPOCHREALTIME/./} + PATIENCE_S * FACTOR * 1000000))
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME/./}" -lt "$end" ] || fail "waited in vain for: $*"
		sleep 0.05
	done
}

# stays SECONDS COMMAND...: it holds all that time (decimals allowed). For what must never happen, not for what may happen later.
stays() {
	local end
	end=$((${EPOCHREALTIME/./} + $(awk -v s="$1" 'BEGIN { print int(s * 1000000) }')))
	shift
	while [ "${EPOCHREALTIME/./}" -lt "$end" ]; do
		"$@" || fail "did not stay: $*"
		sleep 0.1
	done
}

# waits_in PID FILE: the process waits for the answer to its read of FILE (for wait_for)
waits_in() {
	[ "$(readlink "/proc/$1/fd/"* 2>/dev/null | grep -cxF "$2")" -gt 0 ] && grep -q '^State:.S' "/proc/$1/status"
}

py() {
	"$PY" - "$@"
}

# helper NAME: the path of a C helper, built here when make has not
helper() {
	local path=$MILESTONEFS_BUILD/tests/mount/$1
	if [ ! -x "$path" ] || [ "$LIB_DIR/$1.c" -nt "$path" ]; then
		path=$T/bin/$1
		mkdir -p "$T/bin"
		[ -x "$path" ] || ${CC:-cc} -std=gnu11 -O2 -D_GNU_SOURCE -pthread -o "$path" "$LIB_DIR/$1.c" || exit 2
	fi
	echo "$path"
}

# shellcheck source=tests/mount/words.sh
. "$LIB_DIR/words.sh"

# --- mounting ------------------------------------------------------------------

is_mounted() {
	grep -qF " ${M// /\\040} " /proc/self/mounts
}

# project_new: a fresh project directory, not mounted
project_new() {
	PROJECT_NO=$((PROJECT_NO + 1))
	project_at "$T/p$PROJECT_NO"
}

project_at() {
	P=$1
	M=$P/.milestones
	S=$M/state/sessions/s1
	mkdir -p "$P"
}

# mnt_start [-o OPTIONS]: serve $P in the foreground, log kept; returns when it serves
mnt_start() {
	rm -f "$EXIT_FILE.pid" "$EXIT_FILE" "$PID_FILE"
	# shellcheck disable=SC2016
	setsid "$BASH" -c '"${@:2}" & c=$!; echo $c >"$1.pid"; wait $c; s=$?
		if [ "$(cat "$1.pid")" = $c ]; then echo $s >"$1.new"; mv "$1.new" "$1"; fi' mnt "$EXIT_FILE" \
		"$MILESTONEFS" mount -f "$@" "$P" >>"$LOG" 2>&1 </dev/null 8>&- &
	local end=$((${EPOCHREALTIME/./} + PATIENCE_S * FACTOR * 1000000)) pid
	until is_mounted && pid=$(mnt_pid 2>/dev/null) && [ "$pid" ]; do
		if [ -e "$EXIT_FILE" ]; then
			fail "mount ended with status $(cat "$EXIT_FILE"): $(tail -n 3 "$LOG" | tr '\n' ' ')"
		fi
		[ "${EPOCHREALTIME/./}" -lt "$end" ] || fail "mount does not serve status/health.yaml with a pid: $(tail -n 3 "$LOG" | tr '\n' ' ')"
		sleep 0.02
	done
	echo "$pid" >"$PID_FILE"
	[ -d "$S" ] || mkdir "$S" || fail "mkdir state/sessions/s1"
}

# mnt_pid: the daemon's pid as status/health.yaml says
mnt_pid() {
	sed -nE 's/^ *pid: *"?([0-9]+)"? *(#.*)?$/\1/p' "$M/status/health.yaml" | head -n 1
}

mnt_wait_end() {
	wait_for test -e "$EXIT_FILE"
}

mnt_stop() {
	"$MILESTONEFS" umount "$P" || fail "umount failed"
	mnt_wait_end
	eq 0 "$(cat "$EXIT_FILE")" "exit status of the daemon ($(tail -n 3 "$LOG" | tr '\n' ' '))"
	! is_mounted || fail "still mounted after umount"
}

mnt_remount() {
	mnt_stop
	mnt_start "$@"
}

# mnt_kill9: the daemon dies at once; the dead mount is cleared
mnt_kill9() {
	kill -9 "$(cat "$PID_FILE")"
	mnt_wait_end
	if is_mounted; then
		fusermount3 -u -z "$M" 2>/dev/null || umount -l "$M"
	fi
}

mnt_crash() {
	mnt_kill9
	mnt_start "$@"
}

is_alive() {
	[ ! -e "$EXIT_FILE" ] && timeout 120 cat "$M/status/health.yaml" >/dev/null 2>&1
}

# Unmounts whatever is mounted below $1 and ends the daemon started here, by pid.
mnt_clear() {
	local dir pid
	for pid in "$(cat "$PID_FILE" 2>/dev/null)" "$(cat "$EXIT_FILE.pid" 2>/dev/null)"; do
		if [ "$pid" ] && { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -e "$T/" -e milestonefs; then
			kill -9 "$pid" 2>/dev/null
		fi
	done
	# innermost first
	awk -v top="$1/" 'index($2, top) == 1 { print $2 }' /proc/self/mounts | sed 's/\\040/ /g' | sort -r | while read -r dir; do
		fusermount3 -u -z "$dir" 2>/dev/null || umount -l "$dir" 2>/dev/null
	done
	return 0
}

# fuse_mode_stays: nobody else changes the mode of /dev/fuse until the test ends
fuse_mode_stays() {
	exec 8>"${TMPDIR:-/tmp}/mfs-dev-fuse.lock"
	flock -w $((200 * FACTOR)) 8 || skip "another run holds /dev/fuse's mode"
}

# fuse_for_all: any user may open /dev/fuse until the test ends (udev sets it so everywhere else)
fuse_for_all() {
	local mode
	[ "$(id -u)" -eq 0 ] || skip "only root can act as another user"
	fuse_mode_stays
	mode=$(stat -c %a /dev/fuse)
	if [ "$mode" != 666 ]; then
		echo "$mode" >"$T/fuse-mode"
		chmod 0666 /dev/fuse || skip "/dev/fuse is mode $mode and may not be changed"
	fi
}

# Not while another run's test relies on the mode that this one has set.
fuse_restore() {
	if [ -s "$T/fuse-mode" ]; then
		(
			exec 8>"${TMPDIR:-/tmp}/mfs-dev-fuse.lock"
			flock -w $((200 * FACTOR)) 8 || true
			chmod "$(cat "$T/fuse-mode")" /dev/fuse
		)
		rm "$T/fuse-mode"
	fi
}

# idle SECONDS N: the daemon wakes up at most N times meanwhile, and does not work all the time
idle() {
	local pid before after
	pid=$(cat "$PID_FILE")
	# of all its threads: how often one fell asleep, and hundredths of a second of work
	wakeups() {
		sed -n 's/^voluntary_ctxt_switches:[[:space:]]*//p' "/proc/$pid/task/"*/status | awk '{ n += $1 } END { print n }'
		awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat"
	}
	before=$(wakeups)
	sleep "$1"
	after=$(wakeups)
	[ $((${after%$'\n'*} - ${before%$'\n'*})) -le "$2" ] || fail "$((${after%$'\n'*} - ${before%$'\n'*})) times awake in $1 idle seconds"
	[ $((${after#*$'\n'} - ${before#*$'\n'})) -le $((50 * $1)) ] || fail "$((${after#*$'\n'} - ${before#*$'\n'})) hundredths of a second of work in $1 idle seconds"
}

# manifest DIR: everything find and sha256sum can say of a tree, for comparing before and after
manifest() {
	(
		cd "$1" || exit 1
		find . -type d -printf '%y %m %U %G %n %i %T@ %p\n' | sort
		find . ! -type d -printf '%y %m %U %G %n %i %T@ %s %p -> %l\n' | sort
		find . -type f -print0 | sort -z | xargs -0r sha256sum
		if command -v getfattr >/dev/null; then
			find . -print0 | sort -z | xargs -0r getfattr -h -d -m '^user\.' -e hex 2>/dev/null
		fi
	)
}

# --- running -------------------------------------------------------------------

cleanup() {
	trap - EXIT INT TERM HUP
	if [ "${CURRENT:-}" ]; then
		kill -KILL -- "-$CURRENT" 2>/dev/null
	fi
	if [ "${WATCHDOG:-}" ]; then
		kill -KILL -- "-$WATCHDOG" 2>/dev/null
	fi
	mnt_clear "$T"
	fuse_restore
	if ! grep -qF " $T/" /proc/self/mounts; then
		chmod -R u+rwX "$T" 2>/dev/null
		rm -f "$EXIT_FILE.pid" # so that nobody writes there any more
		rm -rf --one-file-system "$T" 2>/dev/null || { sleep 0.2; rm -rf --one-file-system "$T"; }
	fi
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT TERM HUP

# NO_MOUNT=1 in a script: its tests mount for themselves.
prepare() {
	if [ ! "${NO_MOUNT:-}" ]; then
		if [ ! "${P:-}" ] || ! is_mounted || ! is_alive; then
			mnt_clear "$T"
			project_new
			(mnt_start) || return 1
		fi
		D=$S/state/$1
		mkdir "$D" || return 1
	else
		mnt_clear "$T"
		project_new
		D=$S/state/$1
	fi
	O=$T/out/$1
	mkdir -p "$O"
}

# failed_command, in a trap: of a function that returned its status, the line that called it
failed_command() {
	case $BASH_COMMAND in
	return*) sed -n "${BASH_LINENO[0]}{s/^[[:space:]]*//;p}" "$0" ;;
	*) echo "$BASH_COMMAND" ;;
	esac
}

body() {
	set +m
	set -eE -o pipefail
	# shellcheck disable=SC2154
	trap '[ -s "$WHY" ] || echo "line $LINENO: $(failed_command)" >|"$WHY"' ERR
	cd "$O"
	"$1"
}

watchdog() {
	sleep $((TEST_LIMIT_S * FACTOR))
	echo "still running after $((TEST_LIMIT_S * FACTOR)) s" >"$WHY.late"
	kill -KILL -- "-$1"
	sleep 1
	mnt_clear "$T"
}

run_test() {
	local name=$1 status why

	rm -f "$WHY" "$WHY.late"
	: >"$WHY"
	if ! prepare "$name"; then
		echo "not ok $SCRIPT.$name: no mount: $(tr '\n' ' ' <"$WHY")"
		FAILED=$((FAILED + 1))
		return
	fi
	set -m
	(body "test_$name") >"$T/said" 2>&1 </dev/null &
	CURRENT=$!
	(watchdog "$CURRENT") >/dev/null 2>&1 </dev/null &
	WATCHDOG=$!
	set +m
	wait "$CURRENT" 2>/dev/null
	status=$?
	kill -KILL -- "-$WATCHDOG" 2>/dev/null
	wait "$WATCHDOG" 2>/dev/null
	kill -KILL -- "-$CURRENT" 2>/dev/null # what the test left running
	CURRENT='' WATCHDOG=''
	fuse_restore
	why=$(tr '\n' ' ' <"$WHY")
	if [ -e "$WHY.late" ]; then
		why="$(cat "$WHY.late") $why"
		status=124
	fi
	if [ -e "$LOG" ] && grep -aqE 'Sanitizer|runtime error:' "$LOG"; then
		status=99
		why="a sanitizer reported: $(grep -aEm1 'Sanitizer|runtime error:' "$LOG") $why"
		cp "$LOG" "${TMPDIR:-/tmp}/milestonefs-sanitizer-$name.log"
		: >"$LOG"
	fi
	if [ "$status" -eq 77 ]; then
		echo "skip $SCRIPT.$name: $why"
		SKIPPED=$((SKIPPED + 1))
	elif [ "$status" -eq 0 ] && { [ "${NO_MOUNT:-}" ] || is_alive; }; then
		echo "ok $SCRIPT.$name"
		PASSED=$((PASSED + 1))
	else
		[ "$status" -ne 0 ] || why="the daemon died"
		echo "not ok $SCRIPT.$name: ${why:-status $status}"
		FAILED=$((FAILED + 1))
		tail -n 15 "$T/said" | sed 's/^/#   /'
		if [ -e "$EXIT_FILE" ] && [ ! "${NO_MOUNT:-}" ]; then
			echo "# the daemon ended with status $(cat "$EXIT_FILE"); it said:"
			tail -n 25 "$LOG" | sed 's/^/#   /'
		fi
		mnt_clear "$T"
		P=
	fi
}

run_tests() {
	local name all
	PASSED=0 FAILED=0 SKIPPED=0
	if [ ! -x "$MILESTONEFS" ]; then
		echo "not ok $SCRIPT: no program at $MILESTONEFS"
		exit 1
	fi
	if [ ! -c /dev/fuse ]; then
		echo "skip $SCRIPT: no /dev/fuse"
		exit 0
	fi
	all=$(sed -nE 's/^(test_[a-z0-9_]+)\(\).*/\1/p' "$0")
	for name in $all; do
		name=${name#test_}
		if [ $# -eq 0 ] || [[ " $* " == *" $name "* ]]; then
			run_test "$name"
		fi
	done
	echo "# $SCRIPT: $PASSED passed, $FAILED failed, $SKIPPED skipped"
	[ "$FAILED" -eq 0 ]
}
