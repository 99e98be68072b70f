#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Barriers by plain tools: mkdir starts one, touch acknowledges, cat wait blocks, the record says how it went.

. "$(dirname "$0")/lib.sh"

# barrier_session NAME [AGENT...]: a session of its own with these agents; $Y is its agents/.sync
barrier_session() {
	local agent
	S=$M/state/sessions/$1
	Y=$S/agents/.sync
	mkdir "$S"
	for agent in "${@:2}"; do
		touch "$S/agents/$agent.yaml"
	done
}

threads() {
	sed -n 's/^Threads:[[:space:]]*//p' "/proc/$(cat "$PID_FILE")/status"
}

test_record() {
	barrier_session record coder-1 coder-2
	mkdir "$Y/build-done"
	[ -d "$Y/build-done" ] || fail "no directory"
	has "$Y/build-done.yaml" 'id: "build-done"'
	has "$Y/build-done.yaml" 'session_id: "record"'
	has "$Y/build-done.yaml" 'trigger_agent: "system"'
	has "$Y/build-done.yaml" 'started_at: "20[0-9-]+T[0-9:.]+Z"'
	has "$Y/build-done.yaml" '^participants: \["coder-1", "coder-2"\]$'
	has "$Y/build-done.yaml" '^status: "in_progress"$'
	has "$Y/build-done.yaml" '^missing: \["coder-1", "coder-2"\]$'
	has "$Y/build-done.yaml" '^timeout_seconds: 300$'
	touch "$Y/build-done/coder-1"
	wait_for grep -q '^acknowledged: \["coder-1"\]$' "$Y/build-done.yaml"
	touch "$Y/build-done/coder-2"
	wait_for grep -q '^status: "completed"$' "$Y/build-done.yaml"
	has "$Y/build-done.yaml" '^acknowledged: \["coder-1", "coder-2"\]$'
	has "$Y/build-done.yaml" '^missing: \[\]$'
	has "$Y/build-done.yaml" '^ended_at: "20'
	has "$Y/build-done.yaml" '^reason: null$'
	eq 1 "$(jq -c 'select(.event_type == "agents_synchronized") | .data | select(.sync_id == "build-done" and .agent_count == 2)' \
		"$S/events/session.jsonl" | wc -l)" "agents_synchronized"
	eq '["coder-1","coder-2"]' "$(jq -c 'select(.event_type == "sync_started") | .data.participants' "$S/events/session.jsonl")"
	MILESTONES_AGENT=coder-2 "$BASH" -c "mkdir '$Y/by-agent'"
	has "$Y/by-agent.yaml" 'trigger_agent: "coder-2"'
}

test_record_is_not_written_by_others() {
	barrier_session readonly a
	mkdir "$Y/b"
	fails_with 'read-only' sh -c "echo x > '$Y/b.yaml'"
	fails_with 'read-only' sh -c "echo x >> '$Y/b.yaml'"
	fails_with 'read-only' truncate -s 0 "$Y/b.yaml"
	fails_with 'not permitted' mv "$Y/b.yaml" "$Y/c.yaml"
	echo x >"$S/state/x"
	fails_with 'not permitted' mv "$S/state/x" "$Y/b.yaml"
	fails_with 'not permitted' ln "$Y/b.yaml" "$S/state/b"
	fails_with 'not permitted' touch "$Y/file"
	fails_with 'invalid' mkdir "$Y/name.yaml"
	has "$Y/b.yaml" 'in_progress'
}

test_wait_blocks_until_completed() {
	local reader
	barrier_session waits coder-1 coder-2
	mkdir "$Y/b"
	touch "$Y/b/coder-1"
	cat "$Y/b/wait" >"$O/said" &
	reader=$!
	wait_for waits_in $reader "$Y/b/wait"
	stays 0.5 kill -0 $reader
	[ ! -s "$O/said" ] || fail "said something too early"
	touch "$Y/b/coder-2"
	wait_for grep -q . "$O/said"
	wait $reader
	eq completed "$(cat "$O/said")"
}

test_wait_of_an_ended_one_answers_at_once() {
	barrier_session ended a
	mkdir "$Y/b"
	touch "$Y/b/a"
	eq completed "$(cat "$Y/b/wait")"
	eq completed "$(timeout $((120 * FACTOR)) cat "$Y/b/wait")" # its own time would be over after 300 s
	eq "completed " "$(dash -c "read -r a < '$Y/b/wait'; echo \"\$a\"" 2>/dev/null || sh -c "read -r a < '$Y/b/wait'; echo \"\$a\"") "
	cp "$Y/b/wait" "$O/copy"
	file_is "$O/copy" completed
	cp "$Y/b/wait" "$S/state/copy"
	file_is "$S/state/copy" completed
	py "$Y/b/wait" <<-'END'
		from mt import *
		fd = os.open(sys.argv[1], os.O_RDONLY)
		eq(b"comp", os.read(fd, 4))
		eq(b"leted\n", os.read(fd, 4096))
		eq(b"", os.read(fd, 4096), "second read")
		eq(b"", os.read(fd, 4096), "third read")
		eq(b"completed\n", os.pread(fd, 4096, 0))
	END
}

test_failed_by_timeout() {
	barrier_session timeout coder-1 coder-2
	mkdir "$Y/b"
	touch "$Y/b/coder-1"
	echo 1 >"$Y/b/timeout"
	eq "failed: missing coder-2" "$(timeout $((120 * FACTOR)) cat "$Y/b/wait")"
	has "$Y/b.yaml" '^status: "failed"$'
	has "$Y/b.yaml" '^missing: \["coder-2"\]$'
	has "$Y/b.yaml" '^timeout_seconds: 1$'
	has "$Y/b.yaml" '^reason: "timeout"$'
	eq '{"sync_id":"b","missing":["coder-2"],"reason":"timeout"}' \
		"$(jq -c 'select(.event_type == "sync_failed") | .data | {sync_id, missing, reason}' "$S/events/session.jsonl")"
	fails_with 'not permitted' touch "$Y/b/coder-2"
	has "$LOG" 'barrier b has ended \(failed\)'
}

test_timeout_of_the_session() {
	barrier_session sessiontimeout a b
	printf 'configuration:\n  sync_timeout: 1\n' >"$S/session.yaml"
	mkdir "$Y/b"
	eq "failed: missing a b" "$(timeout $((120 * FACTOR)) cat "$Y/b/wait")"
}

test_participants_file() {
	barrier_session participants coder-1 coder-2 coder-3
	mkdir "$Y/b"
	printf 'coder-2\nvisitor\n' >"$Y/b/participants"
	fails_with 'not permitted' touch "$Y/b/coder-1"
	has "$LOG" 'coder-1 is no participant of the barrier b, which waits for coder-2 visitor'
	touch "$Y/b/visitor"
	wait_for grep -q '^acknowledged: \["visitor"\]$' "$Y/b.yaml"
	has "$Y/b.yaml" '^participants: \["coder-2", "visitor"\]$'
	has "$Y/b.yaml" '^unregistered: \["visitor"\]$'
	touch "$Y/b/coder-2"
	eq completed "$(cat "$Y/b/wait")"
	fails_with 'not permitted' mkdir "$Y/b/dir"
}

test_nobody_to_wait_for() {
	barrier_session nobody
	mkdir "$Y/b" "$Y/c"
	echo x >"$Y/c/participants"
	eq completed "$(timeout $((120 * FACTOR)) cat "$Y/b/wait")"
	has "$Y/c.yaml" in_progress
}

test_dead_participant_fails_it_at_once() {
	local pid
	barrier_session dead coder-1 coder-2
	sleep 1000 &
	pid=$!
	echo "agent: {pid: $pid}" >"$S/agents/coder-2.yaml"
	mkdir "$Y/b"
	touch "$Y/b/coder-1"
	cat "$Y/b/wait" >"$O/said" &
	stays 0.3 grep -q in_progress "$Y/b.yaml"
	kill -9 $pid
	wait_for grep -q . "$O/said" # long before its time is over
	file_is "$O/said" "failed: missing coder-2"
	has "$Y/b.yaml" '^reason: "participant_dead"$'
}

# Nobody is forgotten because of how the list is written, and what cannot be meant is refused.
test_participants_and_timeout_are_checked() {
	barrier_session checked a b
	mkdir "$Y/bom" "$Y/bad"
	printf '\357\273\277a\n' >"$O/bom"
	cp "$O/bom" "$Y/bom/participants"
	wait_for grep -q '^participants: \["a"\]$' "$Y/bom.yaml"
	echo 'a ../b' >"$O/bad"
	fails_with 'bad message' cp "$O/bad" "$Y/bad/participants"
	grep -h message "$M"/transactions/rollbacks/*.yaml | grep -qF '../b is no agent' || fail "not said"
	echo 5s >"$O/bad"
	fails_with 'bad message' cp "$O/bad" "$Y/bad/timeout"
	has "$Y/bad.yaml" '^participants: \["a", "b"\]$'
	has "$Y/bad.yaml" '^timeout_seconds: 300$'
	echo b >"$Y/bad/participants"
	echo 1 >"$Y/bad/timeout"
	eq "failed: missing b" "$(timeout $((120 * FACTOR)) cat "$Y/bad/wait")"
}

test_completed_participant_fails_it_at_once() {
	barrier_session completes coder-1 coder-2
	mkdir "$Y/b"
	touch "$Y/b/coder-1"
	cat "$Y/b/wait" >"$O/said" &
	sed -i 's/^  status: .*/  status: completed/' "$S/agents/coder-1.yaml"
	stays 0.3 grep -q in_progress "$Y/b.yaml"
	sed -i 's/^  status: .*/  status: completed/' "$S/agents/coder-2.yaml"
	wait_for grep -q . "$O/said"
	file_is "$O/said" "failed: missing coder-2"
	has "$Y/b.yaml" '^reason: "participant_completed"$'
}

test_unhealthy_participant_does_not() {
	barrier_session unhealthy quiet
	printf 'configuration:\n  heartbeat_interval: 1\n' >"$S/session.yaml"
	touch "$S/agents/quiet.yaml"
	mkdir "$Y/b"
	wait_for grep -q unhealthy "$M/agents/status/quiet.yaml"
	stays 1 grep -q in_progress "$Y/b.yaml"
	touch "$Y/b/quiet"
	eq completed "$(cat "$Y/b/wait")"
}

test_survives_remount() {
	barrier_session remount a b
	mkdir "$Y/acks" "$Y/time" "$Y/done"
	echo 6 >"$Y/time/timeout"
	touch "$Y/acks/a" "$Y/done/a" "$Y/done/b"
	eq completed "$(cat "$Y/done/wait")"
	mnt_remount
	eq completed "$(cat "$Y/done/wait")"
	has "$Y/acks.yaml" in_progress
	mnt_crash
	has "$Y/acks.yaml" in_progress
	touch "$Y/acks/b"
	eq completed "$(timeout $((120 * FACTOR)) cat "$Y/acks/wait")"
	eq "failed: missing a b" "$(timeout $((120 * FACTOR)) cat "$Y/time/wait")"
}

# interrupted SIGNAL: a reader with the default action dies of it
interrupted() {
	py "$Y/b/wait" "$1" <<-'END'
		from mt import *
		import signal
		p = subprocess.Popen(["cat", sys.argv[1]], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
		time.sleep(0.3)
		check(p.poll() is None, "it does not wait")
		p.send_signal(int(sys.argv[2]))
		eq(-int(sys.argv[2]), p.wait(120), "how it ended")
	END
}

test_signals_end_the_waiting() {
	barrier_session signals a
	mkdir "$Y/b"
	interrupted 2
	interrupted 15
	interrupted 9
	eq 124 "$(timeout 0.3 cat "$Y/b/wait" || echo $?)"
	py "$Y/b/wait" <<-'END'
		from mt import *
		import signal
		# A handler that raises: read(2) returns EINTR and the program goes on.
		class Alarm(Exception):
		    pass
		def ring(*_):
		    raise Alarm
		signal.signal(signal.SIGALRM, ring)
		fd = os.open(sys.argv[1], os.O_RDONLY)
		try:
		    signal.setitimer(signal.ITIMER_REAL, 0.2)
		    os.read(fd, 100)
		    die("not interrupted")
		except Alarm:
		    pass
	END
	touch "$Y/b/a"
	eq completed "$(cat "$Y/b/wait")"
}

test_poll_and_nonblocking() {
	barrier_session poll a
	mkdir "$Y/b"
	py "$Y/b" <<-'END'
		from mt import *
		import select, threading
		path = sys.argv[1]
		fd = os.open(path + "/wait", os.O_RDONLY | os.O_NONBLOCK)
		refused(11, os.read, fd, 100)
		p = select.poll()
		p.register(fd, select.POLLIN)
		eq([], p.poll(0), "poll before the end")
		eq([], p.poll(200), "poll before the end")
		eq([], select.select([fd], [], [], 0)[0], "select before the end")
		acknowledging = threading.Event()
		threading.Timer(0.3, lambda: (acknowledging.set(), put(path + "/a", b""))).start()
		eq([(fd, select.POLLIN)], p.poll(int(PATIENCE_S * 1000)), "poll")
		check(acknowledging.is_set(), "poll did not wait")
		eq([fd], select.select([fd], [], [], 0)[0], "select")
		eq(b"completed\n", os.read(fd, 100))
		# Every other file is ready at once.
		fd = os.open(path + ".yaml", os.O_RDONLY)
		p = select.poll()
		p.register(fd, select.POLLIN)
		eq([(fd, select.POLLIN)], p.poll(0), "poll of an ordinary file")
	END
}

test_thousand_waiters_cost_no_threads() {
	local before reader
	barrier_session many a
	mkdir "$Y/b"
	before=$(threads)
	py "$Y/b/wait" >"$O/said" <<-'END' &
		from mt import *
		import resource, threading
		resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
		threading.stack_size(128 << 10)
		answers, started = [], threading.Semaphore(0)
		def wait():
		    fd = os.open(sys.argv[1], os.O_RDONLY)
		    started.release()
		    answers.append(os.read(fd, 100))
		    os.close(fd)
		threads = [threading.Thread(target=wait) for _ in range(1000)]
		for t in threads:
		    t.start()
		for t in threads:
		    started.acquire()
		time.sleep(1)
		eq([], answers, "answers before the end")
		print("waiting", flush=True)
		for t in threads:
		    t.join()
		eq({b"completed\n"}, set(answers))
		eq(1000, len(answers))
		print("answered", flush=True)
	END
	reader=$!
	wait_for grep -q waiting "$O/said"
	eq "$before" "$(threads)" "threads of the daemon"
	for i in {1..50}; do # nobody is held up meanwhile
		echo "$i" >"$D/f"
	done
	file_is "$D/f" 50
	touch "$Y/b/a"
	wait_for grep -q answered "$O/said"
	wait $reader
	eq "$before" "$(threads)" "threads of the daemon afterwards"
}

test_removed_while_waited_for() {
	barrier_session removed a b
	mkdir "$Y/b"
	touch "$Y/b/a"
	echo 100 >"$Y/b/timeout"
	cat "$Y/b/wait" >"$O/said" &
	wait_for waits_in $! "$Y/b/wait"
	rm -r "$Y/b"
	wait_for grep -q . "$O/said"
	file_is "$O/said" "failed: removed"
	[ ! -e "$Y/b" ] || fail "still there"
	has "$Y/b.yaml" '^status: "failed"$'
	has "$Y/b.yaml" '^reason: "removed"$'
	mkdir "$Y/b" # the same name again
	has "$Y/b.yaml" '^status: "in_progress"$'
	mkdir "$Y/c"
	cat "$Y/c/wait" >"$O/said2" &
	wait_for waits_in $! "$Y/c/wait"
	rmdir "$Y/c"
	wait_for grep -q . "$O/said2"
	file_is "$O/said2" "failed: removed"
}

test_taken_back() {
	barrier_session back a b
	mkdir "$Y/b"
	touch "$Y/b/a"
	rm "$Y/b/a"
	touch "$Y/b/b"
	stays 0.5 grep -q in_progress "$Y/b.yaml"
	touch "$Y/b/a"
	eq completed "$(cat "$Y/b/wait")"
}

test_walking_the_tree_does_not_wait() {
	barrier_session walk a
	mkdir "$Y/b"
	eq "" "$(ls -A "$Y/b")"
	timeout 120 grep -r nothing "$S" >/dev/null || [ $? -eq 1 ] || fail "grep -r"
	timeout 120 find "$S" -type f -exec cat {} + >/dev/null || fail "find"
	timeout 120 tar -cf /dev/null -C "$S/agents" . || fail "tar"
	eq 0 "$(stat -c %s "$Y/b/wait")" "size of wait"
	fails_with 'read-only|denied' sh -c "echo x > '$Y/b/wait'"
}

test_session_with_barriers_is_removed() {
	barrier_session going a
	mkdir "$Y/b" "$Y/c"
	touch "$Y/b/a"
	eq completed "$(cat "$Y/b/wait")"
	echo x >"$Y/c/participants"
	rm -r "$S"
	[ ! -e "$S" ] || fail "still there"
}

test_removed_by_an_ordinary_user() {
	local dir
	fuse_for_all
	command -v setpriv >/dev/null || skip "no setpriv"
	dir=$(mktemp -d "$T/user.XXXXXX")
	chown 65534:65534 "$dir"
	setpriv --reuid 65534 --regid 65534 --clear-groups env HOME="$dir" "$MILESTONEFS" mount "$dir" >&2 || fail "mount as another user"
	setpriv --reuid 65534 --regid 65534 --clear-groups "$BASH" -ec "
		cd '$dir/.milestones'
		mkdir state/sessions/s
		touch state/sessions/s/agents/a.yaml
		mkdir state/sessions/s/agents/.sync/b
		touch state/sessions/s/agents/.sync/b/a
		[ \"\$(timeout 120 cat state/sessions/s/agents/.sync/b/wait)\" = completed ]
		mkdir state/sessions/s/agents/.sync/c
		rm -r state/sessions/s/agents/.sync/c
		rm -r state/sessions/s
		[ ! -e state/sessions/s ]
	" || fail "as an ordinary user"
	setpriv --reuid 65534 --regid 65534 --clear-groups env HOME="$dir" "$MILESTONEFS" umount "$dir" >&2 || fail "umount"
}

test_read_only_mount_does_not_wait() {
	barrier_session ro a
	mkdir "$Y/b" "$Y/done"
	touch "$Y/done/a"
	eq completed "$(cat "$Y/done/wait")"
	mnt_remount -o ro
	fails_with 'read-only' timeout 120 cat "$Y/b/wait"
	eq completed "$(cat "$Y/done/wait")"
	mnt_remount
}

test_end_of_the_mount_answers() {
	local reader
	barrier_session ending a
	mkdir "$Y/b"
	cat "$Y/b/wait" 2>"$O/said" &
	reader=$!
	wait_for waits_in $reader "$Y/b/wait"
	kill -TERM "$(cat "$PID_FILE")"
	wait $reader && fail "it should fail"
	has "$O/said" 'not connected' # by us: the kernel would speak of an abort
	mnt_wait_end
	eq 0 "$(cat "$EXIT_FILE")" "exit status of the daemon"
	mnt_start
	has "$Y/b.yaml" in_progress
}

run_tests "$@"
