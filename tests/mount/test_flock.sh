#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Locks of the kernel, flock and fcntl: counters that processes share, and what obtaining and releasing one means. (Lock files: test_locks.sh.)
. "$(dirname "$0")/lib.sh"

# count_under HOW FILE PROCESSES ROUNDS
count_under() {
	local i pids=()
	cat >counter.py <<-'END'
		import fcntl, os, sys
		how, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
		held = os.open(path + (".lock" if how == "lockfile" else ""), os.O_RDWR | os.O_CREAT, 0o644)
		for i in range(rounds):
		    fd = held
		    if how in ("flock_reopen", "lockf_reopen"):
		        fd = os.open(path, os.O_RDWR)
		    lock = fcntl.lockf if how.startswith("lockf") else fcntl.flock
		    lock(fd, fcntl.LOCK_EX)
		    if how == "lockfile":
		        with open(path) as f:
		            n = int(f.read().split()[1])
		        with open(path, "w") as f:
		            f.write("n: %d\n" % (n + 1))
		    else:
		        n = int(os.pread(fd, 100, 0).split()[1])
		        text = b"n: %d\n" % (n + 1)
		        os.pwrite(fd, text, 0)
		        os.ftruncate(fd, len(text))
		    lock(fd, fcntl.LOCK_UN)
		    if fd != held:
		        os.close(fd)
	END
	echo 'n: 0' >"$2"
	for i in $(seq "$3"); do
		"$PY" counter.py "$1" "$2" "$4" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	file_is "$2" "n: $(($3 * $4))"
}

test_counter_under_flock() {
	count_under flock_reopen "$D/n.yaml" 10 100
}

test_counter_under_flock_held_open() {
	count_under flock "$D/n.yaml" 10 40
	count_under flock "$D/n.txt" 10 40
}

# A process's POSIX locks end when it closes any descriptor of the file. The first lock of a file says that they are used.
test_fcntl_locks_end_with_any_close() {
	py "$D/locked.txt" <<-'END'
		import fcntl, os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"text")
		def free():
		    r, w = os.pipe()
		    pid = os.fork()
		    if pid == 0:
		        try:
		            fcntl.lockf(os.open(p, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
		            os.write(w, b"1")
		        except OSError:
		            os.write(w, b"0")
		        os._exit(0)
		    os.waitpid(pid, 0)
		    found = os.read(r, 1) == b"1"
		    os.close(r)
		    os.close(w)
		    return found
		def locked(mode=os.O_RDONLY, how=fcntl.LOCK_SH):
		    fd = os.open(p, mode)
		    fcntl.lockf(fd, how)
		    check(not free(), "held")
		    return fd
		os.close(locked())
		check(free(), "the first, closed")
		for mode, how in (os.O_RDONLY, fcntl.LOCK_SH), (os.O_RDWR, fcntl.LOCK_EX):
		    fd = locked(mode, how)
		    other = os.dup(fd)
		    os.close(other)
		    check(free(), "a dup was closed")
		    os.close(fd)
		    other = os.open(p, os.O_RDONLY)
		    fd = locked(mode, how)
		    os.close(other)
		    check(free(), "another descriptor was closed")
		    os.close(fd)
		    fd = locked(mode, how)
		    r, w = os.pipe()
		    child = os.fork()
		    if child == 0:
		        os.close(w)
		        os.read(r, 1)
		        os._exit(0)
		    os.close(fd)
		    check(free(), "closed, while a child has it")
		    os.close(w)
		    os.waitpid(child, 0)
		    os.close(r)
	END
}

test_counter_under_fcntl_lock() {
	count_under lockf "$D/n.yaml" 10 40
	count_under lockf "$D/n.txt" 10 40
}

test_counter_under_a_lock_file() {
	count_under lockfile "$D/n.yaml" 10 40
}

test_counter_by_shell_under_flock() {
	local i pids=()
	need flock
	echo 0 >"$D/n.txt"
	for i in 1 2 3 4; do
		# shellcheck disable=SC2016
		"$BASH" -c 'for i in $(seq 15); do ( flock 9; n=$(cat "$1"); echo $((n + 1)) >"$1" ) 9>>"$1.lock"; done' sh "$D/n.txt" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	file_is "$D/n.txt" 60
}

test_lock_semantics() {
	py "$D/f" <<-'END'
		import errno, fcntl, os, struct, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"0123456789")
		c = child("import fcntl\n"
		          "fd = os.open(sys.argv[1], os.O_RDWR)\n"
		          "fcntl.flock(fd, fcntl.LOCK_EX)\n"
		          "fcntl.lockf(fd, fcntl.LOCK_EX, 5, 2)\n"
		          "print('locked')\n"
		          "time.sleep(1000)\n", p)
		expect(c, "locked")
		fd = os.open(p, os.O_RDWR)
		refused(errno.EWOULDBLOCK, fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
		refused((errno.EACCES, errno.EAGAIN), fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 3)
		fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 0)
		fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 3, 7)
		got = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 3, 1, 0))
		kind, _, start, length, pid = struct.unpack("hhqqi4x", got)
		eq((fcntl.F_WRLCK, 2, 5, c.pid), (kind, start, length, pid), "F_GETLK")
		c.kill()
		c.wait()
		def free():
		    try:
		        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
		        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 2)
		        return True
		    except OSError:
		        return False
		until(free, "a dead process's locks are kept")
		a, b = os.open(p, os.O_RDONLY), os.open(p, os.O_RDONLY)
		fcntl.flock(fd, fcntl.LOCK_UN)
		fcntl.flock(a, fcntl.LOCK_SH)
		fcntl.flock(b, fcntl.LOCK_SH | fcntl.LOCK_NB)
		refused(errno.EWOULDBLOCK, fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
	END
}

test_blocked_lock_answers_to_signals() {
	need flock
	: >"$D/l"
	flock "$D/l" sleep 1000 &
	local holder=$! r=0
	wait_for eval '! flock -n "$D/l" true'
	timeout -s INT 0.5 flock "$D/l" true || r=$?
	eq 124 "$r" "status of an interrupted wait for a lock"
	kill "$holder"
}

run_tests "$@"
