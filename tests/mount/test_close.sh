#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What "close" really is: writers that are killed or exit, and descriptors that are inherited, duplicated and sent.
. "$(dirname "$0")/lib.sh"

# killed SIGNAL NAME: a writer over an old version dies by the signal in the middle of its save
killed() {
	py "$D/$2" "$1" <<-'END'
		import os, signal, sys
		from mt import *
		p, sig = sys.argv[1], getattr(signal, sys.argv[2])
		put(p, b"a: old\n")
		c = child("fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)\n"
		          "os.write(fd, b'a: half of a ' + b'save ' * 2000)\n"
		          "print('written')\n"
		          "time.sleep(1000)\n", p)
		expect(c, "written")
		c.send_signal(sig)
		c.wait()
		stays(0.5, lambda: others_see(p) == b"a: old\n", "a killed writer's draft was published")
		open("half", "wb").write(b"a: half of a " + b"save " * 2000)
	END
	wait_for draft_kept "$2" half
	file_is "$D/$2" "a: old"
}

test_killed_writer_sigkill() {
	killed SIGKILL f.yaml
	killed SIGKILL f.txt
}

test_killed_writer_sigterm_sigsegv() {
	killed SIGTERM t.txt
	killed SIGSEGV s.txt
}

test_killed_writer_of_a_new_file() {
	py "$D/f.yaml" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		c = child("fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)\n"
		          "os.write(fd, b'a: half')\n"
		          "print('written')\n"
		          "time.sleep(1000)\n", p)
		expect(c, "written")
		c.kill()
		c.wait()
		stays(0.5, lambda: not os.path.exists(p) or others_see(p) == b"", "half a file was published")
	END
	mnt_crash
	[ ! -s "$D/f.yaml" ] || fail "half a file after kill -9"
}

test_exit_without_close_is_a_close() {
	"$PY" -c 'import os, sys; fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC); os.write(fd, b"done\n"); os._exit(3)' "$D/f.txt" || true
	file_is "$D/f.txt" "done"
}

test_group_redirections() {
	echo old >"$D/f.txt"
	mkfifo go
	(
		read -r _ <go
		echo a
		read -r _ <go
		/bin/echo b
	) >"$D/f.txt" &
	local writer=$!
	stays 0.3 grep -qx old "$D/f.txt"
	echo a >go
	stays 1.3 grep -qx old "$D/f.txt"
	echo b >go
	wait $writer
	file_is "$D/f.txt" $'a\nb'
	{
		/bin/echo c
		(echo d)
		sh -c 'echo e'
	} >"$D/f.txt"
	file_is "$D/f.txt" $'c\nd\ne'
	: >"$D/f.txt"
	eq 0 "$(stat -c %s "$D/f.txt")" "size after : >"
	/bin/true >"$D/f.txt"
	echo x >"$D/f.txt"
	/bin/true >"$D/f.txt"
	eq 0 "$(stat -c %s "$D/f.txt")" "size after true >"
	/bin/echo y >"$D/f.txt"
	file_is "$D/f.txt" y
}

test_exec_descriptor() {
	echo old >"$D/f.txt"
	exec 3>"$D/f.txt"
	echo a >&3
	/bin/echo b >&3
	(echo c >&3)
	eq old "$(cat "$D/f.txt")" "while the shell holds it open"
	stays 1.5 grep -qx old "$D/f.txt"
	exec 3>&-
	file_is "$D/f.txt" $'a\nb\nc'
}

test_background_child_keeps_it_open() {
	echo old >"$D/f.txt"
	sh -c '{ sleep 0.7; echo late; } & echo early' >"$D/f.txt"
	wait_for grep -qx late "$D/f.txt"
	file_is "$D/f.txt" $'early\nlate'
}

test_popen_stdout() {
	py "$D/f.txt" <<-'END'
		import subprocess, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"old\n")
		f = open(p, "w")
		c = subprocess.Popen(["sh", "-c", "sleep 0.7; echo one; sleep 0.5; echo two"], stdout=f)
		f.close()
		while c.poll() is None:
		    seen = others_see(p)
		    if seen == b"one\ntwo\n":
		        break # an exiting process closes its files before it can be waited for
		    if c.poll() is None:
		        eq(b"old\n", seen, "before the child ended")
		eq(0, c.wait(), "the child's status")
		until(lambda: others_see(p) == b"one\ntwo\n", "the child's output was not published")
	END
}

test_dup_and_threads() {
	py "$D/f.txt" <<-'END'
		import os, sys, threading
		from mt import *
		p = sys.argv[1]
		put(p, b"old")
		a = os.open(p, os.O_WRONLY | os.O_TRUNC)
		b = os.dup(a)
		os.write(a, b"one ")
		os.close(a)
		eq(b"old", others_see(p), "while a duplicate is open")
		os.write(b, b"two")
		os.close(b)
		eq(b"one two", others_see(p), "after the last close")
		fd = os.open(p, os.O_WRONLY | os.O_TRUNC)
		threads = [threading.Thread(target=lambda i=i: os.pwrite(fd, b"%03d" % i, 3 * i)) for i in range(20)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		eq(b"one two", others_see(p), "before a thread's close")
		t = threading.Thread(target=os.close, args=(fd,))
		t.start()
		t.join()
		eq(b"".join(b"%03d" % i for i in range(20)), others_see(p), "after a thread's close")
	END
}

test_fork_and_inherit() {
	py "$D/f.txt" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"old")
		fd = os.open(p, os.O_WRONLY | os.O_TRUNC)
		os.write(fd, b"parent ")
		pid = os.fork()
		if pid == 0:
		    os.write(fd, b"child ")
		    os._exit(0)
		os.waitpid(pid, 0)
		eq(b"old", others_see(p), "after the child's exit")
		os.write(fd, b"parent")
		os.close(fd)
		eq(b"parent child parent", others_see(p), "after the parent's close")
	END
}

test_handle_over_a_socket() {
	py "$D/f.txt" <<-'END'
		import array, os, socket, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"old")
		here, there = socket.socketpair()
		pid = os.fork()
		if pid == 0:
		    here.close()
		    _, fds, _, _ = socket.recv_fds(there, 10, 1)
		    os.write(fds[0], b"receiver")
		    time.sleep(0.5)
		    os._exit(0)
		there.close()
		fd = os.open(p, os.O_WRONLY | os.O_TRUNC)
		os.write(fd, b"opener ")
		socket.send_fds(here, [b"x"], [fd])
		os.close(fd)
		os.waitpid(pid, 0)
		until(lambda: others_see(p) == b"opener receiver", "not published after the receiver's exit")
	END
}

run_tests "$@"
