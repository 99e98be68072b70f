#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The daemon is killed under load, again and again: everything acknowledged is there, nothing is torn.
# MOUNT_KILL_ROUNDS: how often (10).
. "$(dirname "$0")/lib.sh"

# acked FILE: the last acknowledged number, 0 when none
acked() {
	if [ -s "$1" ]; then
		tail -n 1 "$1"
	else
		echo 0
	fi
}

# One writer of each mode for the whole run; versions go on where the last round stopped.
test_acknowledged_saves_survive() {
	local tool round mode i pids last got
	tool=$(helper selfcheck)
	declare -A next=([trunc]=1 [chunks]=1 [tmp]=1 [rw]=1)
	for round in $(seq "${MOUNT_KILL_ROUNDS:-10}"); do
		pids=()
		for mode in trunc chunks tmp rw; do
			"$tool" write "$D/f.$mode" "${#mode}" "${next[$mode]}" 0 "$mode" 40000 "$O/ack.$mode" 2>/dev/null &
			pids+=($!)
		done
		wait_for eval '[ "$(cat ack.* | wc -l)" -ge '"$((round * 20))"' ]'
		sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
		mnt_kill9
		kill "${pids[@]}" 2>/dev/null || true
		for i in "${pids[@]}"; do
			wait "$i" || true
		done
		mnt_start
		for mode in trunc chunks tmp rw; do
			last=$(acked "ack.$mode")
			[ "$last" -gt 0 ] || continue
			got=$("$tool" check "$D/f.$mode" "$last") || fail "round $round, $mode: acknowledged version $last is not there or torn"
			[ "$got" -le $((last + 1)) ] || fail "round $round, $mode: version $got, but only $last was acknowledged"
			next[$mode]=$((got + 1))
		done
	done
	head -n 1 "$M/status/health.yaml" | grep -qx 'status: healthy' || fail "$(head -n 3 "$M/status/health.yaml" | tr '\n' ' ')"
	mnt_stop
	"$MILESTONEFS" fsck "$P" >&2 || fail "fsck: status $?"
	mnt_start
}

# The kernel may be telling a directory about a lock that was taken back, for which it waits for whoever works in that directory, who
# waits for the daemon, just when that is killed.
test_nobody_hangs_when_it_is_killed() {
	local round w n pids
	for round in $(seq "${MOUNT_KILL_ROUNDS:-10}"); do
		pids=()
		for w in 1 2 3; do
			(n=0; while :; do
				n=$((n + 1))
				sh -c "echo \$\$ >'$M/state/.locks/L$w-$n'" || exit
				touch "$M/state/.locks/X$w-$n" && rm "$M/state/.locks/X$w-$n" || exit
			done 2>/dev/null) &
			pids+=($!)
		done
		sleep "0.$((RANDOM % 7 + 2))"
		mnt_kill9
		they_end "${pids[@]}"
		mnt_start
		rm -f "$M"/state/.locks/*
	done
}

# The same of restores, which change names in directories where everybody works.
test_nobody_hangs_when_it_is_killed_in_a_restore() {
	local round w n pids
	kernel_at_least 6.16 || skip "kernels before 6.16 have no epoch: there it may happen (README, limits)"
	mkdir "$S/state/work"
	touch "$S/state/work/one"
	mkdir "$S/checkpoints/one"
	rm "$S/state/work/one"
	touch "$S/state/work/two"
	mkdir "$S/checkpoints/two"
	for round in $(seq "${MOUNT_KILL_ROUNDS:-10}"); do
		pids=()
		for w in 1 2 3 4 5 6; do
			(n=0; while :; do
				n=$((n + 1))
				{ : >"$S/state/work/w$w-$n"; } 2>/dev/null || [ -d "$S/state/work" ] || exit
				rm -f "$S/state/work/w$w-$n" "$S/state/work/w$w-$((n - 1))" 2>/dev/null
			done) &
			pids+=($!)
		done
		(while echo one >"$S/recovery/restore" && echo two >"$S/recovery/restore"; do :; done 2>/dev/null) &
		pids+=($!)
		sleep "0.$((RANDOM % 7 + 2))"
		mnt_kill9
		they_end "${pids[@]}"
		mnt_start
	done
}

test_acknowledged_appends_survive() {
	local tool round p pids i
	tool=$(helper selfcheck)
	for round in 1 2 3 4; do
		pids=()
		for p in 1 2 3 4; do
			"$tool" append "$D/f.log" "w$round-$p" 0 "$O/ack.$round-$p" 2>/dev/null &
			pids+=($!)
		done
		wait_for eval '[ "$(cat ack.'"$round"'-* | wc -l)" -ge 40 ]'
		mnt_kill9
		kill "${pids[@]}" 2>/dev/null || true
		for i in "${pids[@]}"; do
			wait "$i" || true
		done
		mnt_start
	done
	eq "" "$(grep -vE '^w[1-4]-[1-4] [0-9]+ [0-9a-f]{16} end$' "$D/f.log")" "torn lines"
	for round in 1 2 3 4; do
		for p in 1 2 3 4; do
			awk -v w="w$round-$p" '$1 == w { print $2 }' "$D/f.log" >got
			seq "$(acked "ack.$round-$p")" >want
			head -n "$(wc -l <want)" got | cmp - want || fail "appends of writer $p, round $round: lost or out of order"
			[ "$(wc -l <got)" -le $(($(wc -l <want) + 1)) ] || fail "more lines than were written"
		done
	done
}

# Names: a record of what was acknowledged, compared with what is there.
test_acknowledged_names_survive() {
	local round
	cat >names.py <<-'END'
		import os, sys
		d, log, round = sys.argv[1:4]
		out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
		i = 0
		try:
		    while True:
		        i += 1
		        n = f"{round}-{i}"
		        with open(f"{d}/{n}.a", "w") as f:
		            f.write(n)
		        os.write(out, f"+ {n}.a\n".encode())
		        if i % 3 == 0:
		            os.rename(f"{d}/{n}.a", f"{d}/{n}.b")
		            os.write(out, f"> {n}.a {n}.b\n".encode())
		        if i % 3 == 1:
		            os.unlink(f"{d}/{n}.a")
		            os.write(out, f"- {n}.a\n".encode())
		        if i % 5 == 0:
		            os.mkdir(f"{d}/{n}.d")
		            os.write(out, f"d {n}.d\n".encode())
		except OSError:
		    pass
	END
	for round in 1 2 3 4; do
		"$PY" names.py "$D" "$O/log" "$round" &
		local writer=$!
		wait_for eval '[ "$(cat log | wc -l)" -ge '"$((round * 60))"' ]'
		mnt_kill9
		kill "$writer" 2>/dev/null || true
		wait "$writer" || true
		mnt_start
		py "$D" "$O/log" <<-'END'
			import os, sys
			from mt import *
			d = sys.argv[1]
			there, gone, last = {}, set(), {}
			for line in open(sys.argv[2]):
			    w = line.split()
			    last[w[1].split("-")[0]] = w[1].split(".")[0]
			    if w[0] in "+d":
			        there[w[1]] = w[1][:-2]
			    elif w[0] == "-":
			        del there[w[1]]
			        gone.add(w[1])
			    else:
			        there[w[2]] = there.pop(w[1])
			        gone.add(w[1])
			names = set(os.listdir(d))
			# the one name in flight when a round's daemon died may be either way
			lost = {n for n in there if n not in names and n.split(".")[0] not in last.values()}
			eq(set(), lost, "acknowledged names lost")
			eq(set(), gone & names, "removed names are back")
			for n, content in there.items():
			    if n in names and not n.endswith(".d"):
			        eq(content, open(f"{d}/{n}").read(), n)
		END
	done
}

test_ten_writers_ten_readers() {
	local tool i pids=() modes=(trunc chunks tmp rw)
	tool=$(helper selfcheck)
	for i in $(seq 10); do
		timeout $((250 * FACTOR)) "$tool" write "$D/w$i" "$i" 1 1 trunc 20000 -
		timeout $((250 * FACTOR)) "$tool" write "$D/w$i" "$i" 2 120 "${modes[$((i % 4))]}" 20000 - &
		pids+=($!)
	done
	local readers=()
	for i in $(seq 10); do
		"$tool" read "$D/w$i" "$O/stop" >"count$i" 2>"torn$i" &
		readers+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || fail "a writer failed"
	done
	touch stop
	for i in "${readers[@]}"; do
		wait "$i" || fail "a reader saw: $(cat torn*)"
	done
	for i in $(seq 10); do
		eq 121 "$("$tool" check "$D/w$i" 121)" "last version of writer $i"
		[ "$(cat "count$i")" -gt 3 ] || fail "reader $i read only $(cat "count$i") times"
	done
}

# Several writers of one file: the last save wins as a whole, none is mixed with another.
test_writers_of_one_file() {
	local tool i pids=()
	tool=$(helper selfcheck)
	"$tool" write "$D/f" 1 1 1 trunc 30000 -
	for i in 1 2 3 4 5; do
		"$tool" write "$D/f" "$i" 1000 100 trunc 30000 - &
		pids+=($!)
	done
	for i in $(seq 200); do
		"$tool" check "$D/f" 1 >/dev/null
	done
	for i in "${pids[@]}"; do
		wait "$i" || fail "a writer failed"
	done
	"$tool" check "$D/f" 1000 >/dev/null
}

run_tests "$@"
