#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# When is a file closed for the last time? The rule of fs/last_close.c with real
# processes, on a file system that does nothing else (flush_probe.c). Each case runs with one and with four
# serving threads. Prints the price of a decision at the end.
set -u

here=$(cd "$(dirname "$0")" && pwd)
probe=${MILESTONEFS_BUILD:-$here/../../build}/tests/mount/flush_probe
python=$(python3 -c 'import sys; print(sys.executable)') || exit 2
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
unset MILESTONES_AGENT MILESTONES_SESSION

if [ "$(id -u)" -ne 0 ] || [ ! -c /dev/fuse ]; then
	echo "skip last_close: needs root and /dev/fuse"
	exit 0
fi
[ -x "$probe" ] || { echo "not ok last_close: no $probe"; exit 1; }

T=$(mktemp -d "${TMPDIR:-/tmp}/mfs-close.XXXXXX") || exit 2
M=$T/mnt
LOG=$T/log
mkdir "$M"
mounted=
failed=0

finish() {
	trap - EXIT INT TERM
	[ -z "$mounted" ] || umount -l "$M"
	wait
	rm -rf "$T"
}
trap finish EXIT
trap 'finish; exit 143' INT TERM

mount_probe() { # THREADS
	: >"$LOG"
	"$probe" mount "$M" "$LOG" "$1" &
	daemon=$!
	for _ in $(seq 1200); do
		mountpoint -q "$M" && mounted=yes && return
		sleep 0.05
	done
	echo "not ok mount: no mount after 60 s"
	exit 1
}

umount_probe() {
	umount "$M" || umount -l "$M"
	mounted=
	wait "$daemon"
}

# What was published of FILE: "BY text;BY text;", or KEPT;
published() {
	sed -n "s/^PUBLISH ${1##*/} //p; s/^KEPT ${1##*/}\$/KEPT/p" "$LOG" | sed 's/ *$//' | tr '\n' ';'
}

released() { # waits for the asynchronous RELEASE
	for _ in $(seq 1200); do
		[ "$(published "$1")" != "$2" ] || return 0
		sleep 0.05
	done
}

say() { # NAME GOT WANT
	if [ "$2" = "$3" ]; then
		echo "ok $1"
	else
		echo "not ok $1: want '$3', got '$2'"
		grep -a " ${1##*/} " "$LOG" | sed 's/^/# /'
		failed=1
	fi
}

# shell_case NAME WANT SCRIPT: run SCRIPT ($f is the file) by bash and dash; WANT must be published when it returns.
shell_case() {
	local sh f
	for sh in bash dash; do
		f=$M/$1-$sh
		timeout 120 "$sh" -c "f=$f; $3" 2>/dev/null
		say "$1-$sh" "$(published "$f")" "$2"
	done
}

# late_case: the same, but WANT may come with RELEASE; BEFORE is what was published when the script returned. After that there is $T/go.
late_case() {
	local sh f before
	for sh in bash dash; do
		f=$M/$1-$sh
		rm -f "$T/go" "$T/begun"
		timeout 120 "$sh" -c "f=$f; $4" 2>/dev/null
		before=$(published "$f")
		touch "$T/go"
		released "$f" "$3"
		[ "$2" = any ] || say "$1-at-once-$sh" "$before" "$2"
		say "$1-$sh" "$(published "$f")" "$3"
	done
}

end_case() { # HOW THREADS WANT
	local f=$M/end-$1-$2
	{ timeout 120 "$probe" end "$f" "$1" "$2"; } 2>/dev/null
	released "$f" "$3"
	say "end-$1-$2" "$(published "$f")" "$3"
}

kill_case() { # SIGNAL HOW THREADS: killed from outside
	local f=$M/killed-$1-$2-$3 pid
	"$probe" end "$f" "$2" "$3" >"$T/ready" &
	pid=$!
	until [ -s "$T/ready" ]; do sleep 0.02; done
	sleep 0.05
	kill "-$1" "$pid"
	wait "$pid" 2>/dev/null
	rm -f "$T/ready"
	released "$f" "KEPT;"
	say "killed-$1-$2-$3" "$(published "$f")" "KEPT;"
}

python_case() {
	# Not into a pipe: what a failed case leaves behind would hold it open.
	if timeout 120 "$python" "$here/last_close_cases.py" "$1" "$M/$1" "$LOG" >"$T/why" 2>&1 </dev/null; then
		echo "ok $1"
	else
		echo "not ok $1: $(tail -n 1 "$T/why")"
		grep -a " $1 " "$LOG" | sed 's/^/# /'
		failed=1
	fi
}

shells() {
	shell_case echo "FLUSH x,;" 'echo x >$f'
	shell_case command "FLUSH x,;" '/bin/echo x >$f'
	shell_case subshell "FLUSH a,b,;" '( /bin/echo a; sleep 0.1; /bin/echo b ) >$f'
	shell_case subshell-builtins "FLUSH a,b,c,;" '( echo a; /bin/echo b; echo c ) >$f'
	shell_case pipe "FLUSH b,;" '( echo a | sed s/a/b/ ) >$f'
	shell_case exec3 "FLUSH a,b,;" 'exec 3>$f; /bin/echo a >&3; /bin/echo b >&3; exec 3>&-; :'
	shell_case exec3-background "FLUSH a,late,;" 'exec 3>$f; echo a >&3; { sleep 0.3; /bin/echo late >&3; } & exec 3>&-; wait'
	shell_case group-child-killed "FLUSH a,b,;" '( sh -c "echo a; kill -9 \$\$"; echo b ) >$f'
	shell_case orphan-writes "FLUSH late,;" "( ( sleep 0.3; echo late ) & echo \$! >$T/orphan ) >\$f; while kill -0 \$(cat $T/orphan); do sleep 0.05; done"
	shell_case exit-without-close "FLUSH a,;" '(exec 3>$f; echo a >&3; exit 3)'
	shell_case cp "FLUSH a,;" "echo a >$T/from; cp $T/from \$f"
	shell_case tee "FLUSH a,;" 'echo a | tee $f >/dev/null'
	late_case colon any "RELEASE;" ': >$f'
	# The script is killed while its command goes on holding the file: never published.
	late_case script-killed "" "KEPT;" "sh -c 'echo part; sh -c \"touch $T/begun; until [ -e $T/go ]; do sleep 0.05; done\"; :' >\$f &
		until [ -e $T/begun ]; do sleep 0.05; done; kill -9 \$!; wait"
}

actors() {
	local f=$M/actor
	MILESTONES_AGENT=a1 MILESTONES_SESSION=s1 /bin/echo x >"$f" # the shell opens, echo writes
	say actor-exec "$(sed -n "s/^WRITE actor [0-9]* //p" "$LOG")" "echo agent=a1 session=s1"
	f=$M/actor-bad
	MILESTONES_AGENT=../x MILESTONES_SESSION=s1 /bin/echo x >"$f"
	say actor-invalid "$(sed -n "s/^WRITE actor-bad [0-9]* //p" "$LOG")" "echo agent= session=s1"
	MILESTONES_AGENT=first "$python" "$here/last_close_cases.py" exec_keeps_file "$M/exec_keeps_file" "$LOG"
	say exec_keeps_file "$(published exec_keeps_file)" "FLUSH a,b,;"
	say exec_keeps_file-actors "$(sed -n "s/^WRITE exec_keeps_file [0-9]* [^ ]* //p" "$LOG" | tr '\n' ';')" \
		"agent=first session=;agent=second session=s2;"
}

execs() {
	local name
	for name in exec_closes_file exec_closes_all; do
		timeout -s KILL 120 "$python" "$here/last_close_cases.py" $name "$M/$name" "$LOG" 2>/dev/null
		say $name "$(published $name)" "FLUSH a,;"
	done
}

ends() {
	local how threads
	for threads in 0 4; do
		for how in exit0 exit3 return thread-exit0 thread-exit3; do
			end_case $how $threads "FLUSH half,;"
		done
		end_case leader-first $threads "FLUSH half,whole,;"
		for how in kill term segv abort; do
			end_case $how $threads "KEPT;"
		done
		for how in KILL TERM; do
			kill_case $how wait $threads
			kill_case $how writing $threads
		done
	done
}

# Readers against writers: whatever is read is whole.
readers() {
	local f=$M/busy pids=() i torn stop=$T/stop
	rm -f "$stop"
	( echo BEGIN; echo END ) >"$f"
	for i in 1 2; do
		( until [ -e "$stop" ]; do
			text=$(cat "$f")
			[ "$text" = $'BEGIN\nEND' ] || echo "torn: '$text'"
		done ) >"$T/torn-$i" &
		pids+=($!)
	done
	for i in $(seq 60); do
		( echo BEGIN; /bin/true; echo END ) >"$f"
		{ /bin/echo BEGIN; /bin/echo END; } >"$f"
		sh -c 'exec 3>"$1"; echo BEGIN >&3; /bin/echo END >&3' sh "$f"
	done
	touch "$stop"
	wait "${pids[@]}"
	torn=$(cat "$T"/torn-* | sort | uniq -c | head -n 3)
	say readers "$torn" ""
	say readers-published "$(grep -a '^PUBLISH busy ' "$LOG" | sort | uniq -c | sed 's/^ *//')" "181 PUBLISH busy FLUSH BEGIN,END,"
}

descriptors() { # after hundreds of processes
	local n
	n=$(ls "/proc/$daemon/fd" | wc -l)
	say descriptors-bounded "$((n <= 64 * 6 + 256 + 16))" 1
}

price() {
	local fds
	for fds in 4 50; do
		"$probe" bench "$M/price-$fds" 2000 "$fds" >"$T/price" 3>&- 10>&- 251>&- 255>&-
		grep -a "^FLUSH price-$fds " "$LOG" | sed 's/.* us=//' | sort -n |
			awk -v n="$fds" -v save="$(cat "$T/price")" '{ a[NR] = $1 }
				END { print "# a decision with " n " descriptors: median " a[int(NR / 2) + 1] " us, p90 " a[int(NR * 0.9)] " us; " save }'
	done
}

for threads in 1 4; do
	echo "# $threads serving threads"
	mount_probe "$threads"
	shells
	actors
	execs
	for name in popen_closed_first popen_after_header popen_silent_child popen_two_children popen_parent_closes_last \
		popen_from_thread dup dup_often reader_is_no_holder two_handles threads fork_child_first \
		fork_silent_child_first socket_to_child socket_to_parent; do
		python_case $name
	done
	ends
	readers
	descriptors
	price
	umount_probe
done
exit "$failed"
