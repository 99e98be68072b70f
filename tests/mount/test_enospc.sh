#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The disk below the store fills up: refused cleanly, nothing acknowledged is lost, works again with room.
. "$(dirname "$0")/lib.sh"
export NO_MOUNT=1

small_disk() {
	[ "$(id -u)" -eq 0 ] || skip "only root can mount a tmpfs"
	mount -t tmpfs -o "size=$1" mfs-small "$P" || skip "a tmpfs may not be mounted here"
	mnt_start
	mkdir "$D"
}

# fill: saves of 1 MiB of noise until one is refused; good ones in the list, errno of the bad one in errno.
fill() {
	py "$D" "$1" <<-'END'
		import errno, hashlib, os, sys
		from mt import *
		d, prefix = sys.argv[1:3]
		with open("good", "a") as good:
		    for i in range(1000):
		        data = os.urandom(1 << 20)
		        p = f"{d}/{prefix}{i}"
		        try:
		            put(p, data)
		        except OSError as e:
		            eq(errno.ENOSPC, e.errno, "errno of the refused save")
		            break
		        good.write(f"{hashlib.sha256(data).hexdigest()}  {p}\n")
		    else:
		        die("a small disk never fills up")
		check(i > 5, f"only {i} MiB fit")
	END
}

test_new_store_without_room() {
	[ "$(id -u)" -eq 0 ] || skip "only root can mount a tmpfs"
	mount -t tmpfs -o size=3m mfs-small "$P" || skip "a tmpfs may not be mounted here"
	fails_with 'No space left on device; a new one takes' timeout 120 "$MILESTONEFS" mount "$P"
	! is_mounted || fail "mounted without a store"
	mount -o remount,size=200m "$P"
	mnt_start
	echo x >"$S/state/f"
	mnt_remount
	file_is "$S/state/f" x
}

test_full_disk_refuses_and_recovers() {
	small_disk 200m
	echo "before" >"$D/small.txt"
	fill a
	sha256sum -c --quiet good
	file_is "$D/small.txt" before
	ls "$D" >/dev/null
	grep -q . "$M/status/health.yaml"
	must_fail grep -q '^status: read-only' "$M/status/health.yaml"
	cp "$D/small.txt" copy || fail "cannot read while the disk is full"
	mount -o remount,size=400m "$P"
	wait_for eval 'echo again >"$D/small.txt"'
	file_is "$D/small.txt" again
	head -c 3000000 /dev/urandom >noise
	cp noise "$D/noise"
	sha256sum -c --quiet good
	mnt_remount
	sha256sum -c --quiet good
	same noise "$D/noise"
	file_is "$D/small.txt" again
	mnt_stop
	"$MILESTONEFS" fsck "$P" >&2 || fail "fsck: status $?"
	umount "$P"
}

test_full_disk_and_kill9() {
	small_disk 200m
	echo "before" >"$D/small.txt"
	fill a
	mnt_kill9
	mnt_start || fail "cannot mount with a full disk"
	sha256sum -c --quiet good
	file_is "$D/small.txt" before
	mount -o remount,size=400m "$P"
	wait_for eval 'echo again >"$D/small.txt"'
	mnt_crash
	file_is "$D/small.txt" again
	sha256sum -c --quiet good
	mnt_stop
	umount "$P"
}

# Small saves and appends against a full disk: each is either acknowledged and kept or refused and absent.
test_small_saves_at_the_brink() {
	small_disk 120m
	fill a
	py "$D" <<-'END'
		import errno, os, sys
		from mt import *
		d = sys.argv[1]
		state = {}
		refusals = 0
		for i in range(3000):
		    p = f"{d}/s{i % 50}"
		    text = b"%d " % i * 200
		    try:
		        put(p, text)
		        state[p] = text
		    except OSError as e:
		        eq(errno.ENOSPC, e.errno, "errno")
		        refusals += 1
		        if refusals > 30:
		            break
		for p, text in state.items():
		    eq(text, get(p), p)
		print("refused", refusals)
	END
	mount -o remount,size=300m "$P"
	wait_for eval 'echo again >"$D/again.txt"'
	mnt_stop
	umount "$P"
}

# What the daemon writes by itself. In these: a session of two agents with processes and a third that only lives, locks of theirs, a barrier that
# somebody waits for, a YAML writer that has not closed yet.

daemons_work() {
	local pid
	small_disk 120m
	printf 'configuration: {heartbeat_interval: 1, checkpoint_interval: 1}\n' >"$S/session.yaml"
	sleep 1000 &
	OWNER=$!
	sleep 1000 &
	AGENT=$!
	echo "agent: {type: t, pid: $AGENT}" >"$S/agents/dies.yaml"
	echo "agent: {type: t}" >"$S/agents/lives.yaml"
	(set -C; echo "$OWNER" >"$M/state/.locks/of-process"; echo dies >"$M/state/.locks/of-agent")
	mkdir "$S/agents/.sync/b1"
	cat "$S/agents/.sync/b1/wait" >waited &
	WAITER=$!
	"$PY" -c 'import sys, time
f = open(sys.argv[1], "w")
f.write("a: 1\n")
f.flush()
time.sleep(1000)' "$S/state/unfinished.yaml" &
	WRITER=$!
	wait_for test -s "$S/agents/.health/monitor.jsonl"
	wait_for eval 'grep -q unfinished "$M"/transactions/pending/*.yaml' # names are looked for each time
}

# fill_all: no block is left on the disk, and nothing in the journal
fill_all() {
	head -c 200m /dev/zero >"$P/ballast" 2>/dev/null || true
	py "$D" <<-'END'
		import errno, os, sys
		d = sys.argv[1]
		def until_full(f):
		    for i in range(20000):
		        try:
		            f(i)
		        except OSError as e:
		            if e.errno != errno.ENOSPC:
		                raise
		            return
		    sys.exit("a small disk never fills up")
		until_full(lambda i: os.setxattr(d, "user.fill", os.urandom(60000)))
		until_full(lambda i: os.mkdir(f"{d}/fill{i}"))
	END
}

no_room_is_said() {
	sed -n 1,3p "$M/status/health.yaml" | tr '\n' ' ' | grep -q '^status: degraded why: .*no space is left on the disk that holds the store'
}

head_seq() {
	sed -n 's/^head_sequence: //p' "$M/status/health.yaml"
}

checkpoint_count() {
	find "$S/checkpoints" -mindepth 1 -maxdepth 1 | wc -l
}

monitor_says() {
	tail -n 1 "$S/agents/.health/monitor.jsonl" | jq -e "$1" >/dev/null
}

# caught_up: all that waited for room is done
caught_up() {
	grep -qx 'status: healthy' "$M/status/health.yaml" || return
	[ -z "$(ls "$M/state/.locks")" ] || return
	grep -q 'status: "\?dead' "$S/agents/dies.yaml" || return
	grep -q '^status: "failed"' "$S/agents/.sync/b1.yaml" || return
	grep -q '^reason: "participant_dead"' "$S/agents/.sync/b1.yaml" || return
	monitor_says '.unhealthy_agents | index("dies")' || return
	[ "$(checkpoint_count)" -gt "$1" ]
}

test_full_disk_and_upkeep() {
	local seq checkpoints beat
	daemons_work
	fill_all
	no_room_is_said || fail "health: $(head -n 3 "$M/status/health.yaml" | tr '\n' ' ')"
	seq=$(head_seq)
	checkpoints=$(checkpoint_count)
	kill "$OWNER" "$AGENT"
	kill -9 "$WRITER"
	beat=$(date -u +%FT%T)
	sleep 1
	touch "$S/agents/lives.yaml"
	sleep 2
	# it serves, says why nothing happens, and has done nothing by half
	no_room_is_said || fail "health, a while later: $(head -n 3 "$M/status/health.yaml" | tr '\n' ' ')"
	grep -q '^status: degraded' "$S/health.yaml" || fail "the session says it is healthy"
	has "$S/health.yaml" 'status/health.yaml says why'
	eq "$seq" "$(head_seq)" "transactions without room"
	eq "of-agent of-process" "$(find "$M/state/.locks" -type f -printf '%f\n' | sort | paste -sd ' ')" locks
	kill -0 "$WAITER" || fail "who waits was told of an end that is not recorded: $(cat waited)"
	[ "$(sed -n 's/^last_heartbeat: "\(.*\)"/\1/p' "$M/agents/status/lives.yaml")" \> "$beat" ] || fail "a heartbeat does not show"
	grep -q unfinished "$M"/transactions/pending/*.yaml || fail "a killed writer's bytes are gone"
	eq "" "$(awk '/^Threads|^State/ && /D/' "/proc/$(cat "$PID_FILE")/status")" "the daemon's state"
	# with room all of it happens, soon
	rm "$P/ballast"
	wait_for caught_up "$checkpoints"
	wait "$WAITER" || true
	has waited 'failed'
	cat "$(grep -l unfinished "$M"/transactions/pending/*.yaml "$M"/transactions/rollbacks/*.yaml 2>/dev/null | head -n 1 | sed 's/yaml$/draft/')" >kept
	file_is kept 'a: 1'
	must_fail cat "$S/state/unfinished.yaml" 2>/dev/null
	[ "$(sed -n 's/^ *last_heartbeat: "\(.*\)"/\1/p' "$S/agents/lives.yaml")" \> "$beat" ] || fail "the heartbeat is not in the file"
	"$TOP_DIR/scripts/verify-events.sh" "$M/state/events/all.jsonl" >/dev/null || fail "the event log"
	mnt_stop
	"$MILESTONEFS" fsck "$P" >&2 || fail "fsck: status $?"
	umount "$P"
}

# The same with a daemon that is killed while there is no room: what was due is found again.
test_full_disk_upkeep_and_kill9() {
	local checkpoints
	daemons_work
	fill_all
	kill "$OWNER" "$AGENT"
	kill -9 "$WRITER"
	sleep 1
	mnt_kill9
	wait "$WAITER" || true
	mnt_start || fail "cannot mount with a full disk"
	checkpoints=$(checkpoint_count)
	wait_for no_room_is_said
	eq "of-agent of-process" "$(find "$M/state/.locks" -type f -printf '%f\n' | sort | paste -sd ' ')" locks
	mnt_remount
	wait_for no_room_is_said
	grep -q unfinished "$M"/transactions/pending/*.yaml || fail "a killed writer's bytes are gone"
	rm "$P/ballast"
	wait_for caught_up "$checkpoints"
	mnt_stop
	"$MILESTONEFS" fsck "$P" >&2 || fail "fsck: status $?"
	umount "$P"
}

run_tests "$@"
