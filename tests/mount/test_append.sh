#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Appends: nothing lost, nothing mixed, seen in time, cheap.
. "$(dirname "$0")/lib.sh"

# appenders FILE: ten processes append 40 lines each through the shell
appenders() {
	local p i pids=()
	for p in $(seq 10); do
		(
			for i in $(seq 40); do
				echo "{\"p\": $p, \"i\": $i, \"pad\": \"$p-$i-$p-$i-$p-$i\"}" >>"$1"
			done
		) &
		pids+=($!)
	done
	for p in "${pids[@]}"; do
		wait "$p"
	done
	eq 400 "$(wc -l <"$1")" lines
	# each line whole, each there once, each writer's in order
	jq -e 'select(.pad != "\(.p)-\(.i)-\(.p)-\(.i)-\(.p)-\(.i)")' "$1" >bad || true
	eq "" "$(cat bad)" "mixed lines"
	eq 400 "$(jq -c '[.p, .i]' "$1" | sort -u | wc -l)" "different lines"
	for p in $(seq 10); do
		eq "$(seq 40)" "$(jq "select(.p == $p) | .i" "$1")" "lines of writer $p"
	done
}

test_ten_shell_appenders_txt() {
	need jq
	appenders "$D/f.txt"
	mnt_crash
	eq 400 "$(wc -l <"$D/f.txt")" "lines after kill -9"
}

test_ten_shell_appenders_jsonl() {
	need jq
	appenders "$D/f.jsonl"
}

# Handles held open, writes of 10 kB: one write(2) is never divided by another's.
test_writes_are_not_interleaved() {
	local p
	cat >writer.py <<-'END'
		import os, sys
		path, me = sys.argv[1], int(sys.argv[2])
		fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
		for i in range(30):
		    body = (b"%d:%d " % (me, i)) * 1500
		    os.write(fd, body[:10000 - 1] + b"\n")
		os.close(fd)
	END
	local pids=()
	for p in 1 2 3 4 5 6; do
		"$PY" writer.py "$D/f.log" $p &
		pids+=($!)
	done
	for p in "${pids[@]}"; do
		wait "$p"
	done
	py "$D/f.log" <<-'END'
		import sys
		from mt import *
		lines = get(sys.argv[1]).split(b"\n")[:-1]
		eq(180, len(lines), "lines")
		seen = {}
		for line in lines:
		    me, i = line.split(b" ")[0].split(b":")
		    want = ((b"%d:%d " % (int(me), int(i))) * 1500)[:9999]
		    check(line == want, f"a write was divided: {line[:60]}")
		    eq(seen.get(me, -1) + 1, int(i), "order within a writer")
		    seen[me] = int(i)
	END
}

test_append_lands_at_the_end_as_it_is() {
	py "$D/f.txt" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"long long first version\n")
		fd = os.open(p, os.O_WRONLY | os.O_APPEND)
		put(p, b"new\n")
		os.write(fd, b"appended\n")
		os.close(fd)
		eq(b"new\nappended\n", get(p), "append after another's save")
		a = os.open(p, os.O_WRONLY | os.O_APPEND)
		b = os.open(p, os.O_WRONLY | os.O_APPEND)
		os.write(a, b"a\n")
		os.write(b, b"b\n")
		os.close(b)
		os.close(a)
		eq(sorted([b"new", b"appended", b"a", b"b"]), sorted(get(p).split()), "two handles")
	END
}

test_append_to_renamed_file() {
	exec 3>>"$D/f.log"
	echo one >&3
	mv "$D/f.log" "$D/f.log.1"
	echo two >&3
	exec 3>&-
	file_is "$D/f.log.1" $'one\ntwo'
	[ ! -e "$D/f.log" ] || fail "the old name is back"
}

test_fsync_publishes_and_is_durable() {
	py "$D/f.txt" "$(cat "$PID_FILE")" <<-'END'
		import os, signal, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"one\n")
		fd = os.open(p, os.O_WRONLY | os.O_APPEND)
		os.write(fd, b"two\n")
		os.fsync(fd)
		eq(b"one\ntwo\n", others_see(p), "after fsync")
		os.write(fd, b"three\n")
		os.fdatasync(fd)
		os.kill(int(sys.argv[2]), signal.SIGKILL)
	END
	mnt_wait_end
	fusermount3 -u -z "$M" || true
	mnt_start
	file_is "$D/f.txt" $'one\ntwo\nthree'
}

test_tail_f_sees_what_is_appended() {
	local i
	echo start >"$D/f.log"
	tail -n +1 -s 0.2 -f "$D/f.log" >seen &
	exec 3>>"$D/f.log"
	for i in 1 2 3; do
		echo "line $i" >&3
		wait_for grep -q "line $i" seen
	done
	exec 3>&-
	eq $'start\nline 1\nline 2\nline 3' "$(cat seen)" "what tail saw"
}

test_new_log_by_redirection_is_seen() {
	exec 3>"$D/out.txt"
	echo "line 1" >&3
	wait_for grep -q "line 1" "$D/out.txt"
	echo "line 2" >&3
	wait_for grep -q "line 2" "$D/out.txt"
	exec 3>&-
}

test_stream_globs_are_seen_though_not_empty() {
	echo old >"$D/f.out"
	exec 3>"$D/f.out"
	echo "line 1" >&3
	wait_for grep -q "line 1" "$D/f.out"
	exec 3>&-
	file_is "$D/f.out" "line 1"
}

test_autocommitted_is_not_withdrawn() {
	py "$D/f.log" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		c = child("""
		fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
		os.write(fd, b'kept\\n')
		print('written')
		time.sleep(1000)
		""".replace("\n\t\t", "\n"), p)
		expect(c, "written")
		until(lambda: others_see(p) == b"kept\n", "not seen")
		c.kill()
		c.wait()
		time.sleep(0.3)
		eq(b"kept\n", get(p), "after its writer was killed")
	END
}

test_jsonl_by_whole_valid_lines() {
	py "$D/f.jsonl" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		fd = os.open(p, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
		os.write(fd, b'{"a": 1}\n{"a": ')
		until(lambda: others_see(p) == b'{"a": 1}\n', "the whole line was not seen")
		stays(1.5, lambda: others_see(p) == b'{"a": 1}\n', "half a line was published")
		os.write(fd, b'2}\n')
		until(lambda: others_see(p) == b'{"a": 1}\n{"a": 2}\n', "the second line was not seen")
		os.close(fd)
		eq(b'{"a": 1}\n{"a": 2}\n', get(p), "at the end")
	END
}

test_jsonl_bad_line_is_refused() {
	py "$D/f.jsonl" <<-'END'
		import errno, os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b'{"a": 1}\n')
		fd = os.open(p, os.O_WRONLY | os.O_APPEND)
		os.write(fd, b'{"a": \n')
		refused(errno.EBADMSG, os.close, fd)
		eq(b'{"a": 1}\n', get(p), "after a refused append")
		fd = os.open(p, os.O_WRONLY | os.O_APPEND)
		os.write(fd, b'{"a": 3}\n')
		os.close(fd)
		eq(b'{"a": 1}\n{"a": 3}\n', get(p), "after a good append")
	END
	printf '{"a": \n' >bad
	draft_kept f.jsonl bad || fail "the refused line is not under rollbacks"
}

test_own_fstat_and_position() {
	py "$D/f.txt" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"12345")
		fd = os.open(p, os.O_RDWR | os.O_APPEND)
		os.write(fd, b"678")
		eq(8, os.fstat(fd).st_size, "own fstat")
		eq(b"12345678", os.pread(fd, 100, 0), "own read")
		os.close(fd)
		eq(b"12345678", get(p), "at the end")
	END
}

# batch_bytes FILE: bytes the daemon wrote per 200-byte append, median of batches (a batch may
# fall together with the preparation of a new segment)
append_cost() {
	py "$1" "$(cat "$PID_FILE")" <<-'END'
		import os, statistics, sys
		path, pid = sys.argv[1:3]
		def written():
		    io = dict(line.split(": ") for line in open(f"/proc/{pid}/io").read().splitlines())
		    return int(io["write_bytes"]), int(io["wchar"])
		costs = []
		for batch in range(7):
		    before = written()
		    for i in range(20):
		        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
		        os.write(fd, b"%0199d\n" % i)
		        os.close(fd)
		    after = written()
		    chars = after[1] - before[1] # not write_bytes: that counts whole folios of the page cache, not what is written
		    costs.append(chars // 20)
		print(int(statistics.median(costs)))
	END
}

test_append_to_a_gibibyte_writes_kilobytes() {
	local cost
	truncate -s 1G "$D/sparse.bin"
	cost=$(append_cost "$D/sparse.bin")
	echo "bytes written per append: $cost"
	[ "$cost" -le 16384 ] || fail "$cost bytes written per 200-byte append to 1 GiB"
	eq $((1024 * 1024 * 1024 + 7 * 20 * 200)) "$(stat -c %s "$D/sparse.bin")" size
	eq "$(printf '%0199d' 19)" "$(tail -n 1 "$D/sparse.bin")" "last line"
}

test_append_to_real_data_writes_kilobytes() {
	local cost
	head -c 64M /dev/urandom >"$D/real.bin"
	cost=$(append_cost "$D/real.bin")
	echo "bytes written per append: $cost"
	[ "$cost" -le 16384 ] || fail "$cost bytes written per 200-byte append to 64 MiB"
	eq $((64 * 1024 * 1024 + 7 * 20 * 200)) "$(stat -c %s "$D/real.bin")" size
}

run_tests "$@"
