#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Every kind of open, and what "close" really is: drafts, snapshots, shared files, killed writers.
. "$(dirname "$0")/lib.sh"

test_writer_sees_its_own_draft() {
	py "$D/f.txt" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"old version\n")
		fd = os.open(p, os.O_RDWR | os.O_TRUNC)
		eq(0, os.fstat(fd).st_size, "own size after O_TRUNC")
		os.write(fd, b"new")
		eq(3, os.fstat(fd).st_size, "own fstat")
		eq(b"new", os.pread(fd, 100, 0), "own read")
		fd2 = os.open(p, os.O_RDONLY)
		eq(b"new", os.read(fd2, 100), "own read by a second handle")
		os.close(fd2)
		eq(b"old version\n", others_see(p), "others")
		eq(12, others_size(p), "size for others")
		os.close(fd)
		eq(b"new", others_see(p), "after close")
		eq(3, others_size(p), "size after close")
	END
}

# What a process wrote it sees through all its descriptors, before and after it is published; git reads packs it is writing so.
test_writer_sees_it_through_other_handles() {
	py "$D" <<-'END'
		import os, sys
		from mt import *
		os.chdir(sys.argv[1])
		for name, other in (("f.txt", os.O_RDWR), ("f.json", os.O_RDWR), ("f.jsonl", os.O_WRONLY), ("f.txt", os.O_WRONLY | os.O_TRUNC), ("f.json", os.O_WRONLY | os.O_TRUNC)):
		    what = f"{name} {other:o}: "
		    put(name, b'{"a": 11111, "b": 2}\n')
		    r = os.open(name, os.O_RDONLY)
		    eq(b'{"a"', os.read(r, 4), what + "head")
		    w = os.open(name, other)
		    os.pwrite(w, b'{"a": 22222, "b": 3}\n', 0)
		    eq(b': 22222, "b": 3}\n', os.pread(r, 99, 4), what + "not published")
		    os.fsync(w)
		    eq(b': 22222, "b": 3}\n', os.pread(r, 99, 4), what + "published by fsync")
		    os.pwrite(w, b'{"a": 33333, "b": 4}\n', 0)
		    os.close(w)
		    eq(b': 33333, "b": 4}\n', os.pread(r, 99, 4), what + "published by close")
		    os.close(r)
		w = os.open("new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444)
		os.write(w, b"x" * 5000)
		r = os.open("new", os.O_RDONLY)
		eq(b"x" * 10, os.pread(r, 10, 4000), "a new file")
		eq(5000, os.lseek(r, 0, os.SEEK_HOLE), "holes of a new file")
		eq(b"", others_see("new"), "others")
	END
}

test_reader_is_a_snapshot() {
	py "$D/f.txt" <<-'END'
		import os, subprocess, sys
		from mt import *
		p = sys.argv[1]
		def other_saves(text):
		    subprocess.run(["sh", "-c", 'printf %s "$1" >"$2"', "sh", text, p], check=True)
		put(p, b"first version, long enough")
		a = os.open(p, os.O_RDONLY)
		eq(b"first", os.read(a, 5), "first read")
		other_saves("SECOND VERSION THAT IS LONGER THAN THE FIRST ONE")
		eq(b" version, long enough", os.read(a, 100), "the rest of the snapshot")
		eq(b"", os.read(a, 100), "at the snapshot's end, where the new version is no continuation")
		eq(b"SECOND", os.pread(a, 6, 0), "again at offset 0")
		b = os.open(p, os.O_RDONLY)
		other_saves("third")
		eq(b"third", os.read(b, 100), "a handle that had not read yet")
		other_saves("x")
		os.lseek(b, 0, os.SEEK_SET)
		eq(b"x", os.read(b, 100), "after a seek to 0")
		eq(1, os.fstat(b).st_size, "fstat follows the live file")
	END
}

test_reader_grows_with_appends() {
	py "$D/f.txt" <<-'END'
		import os, subprocess, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"one\n")
		fd = os.open(p, os.O_RDONLY)
		eq(b"one\n", os.read(fd, 100), "first")
		for word in (b"two\n", b"three\n"):
		    subprocess.run(["sh", "-c", 'printf %s "$1" >>"$2"', "sh", word, p], check=True)
		    eq(word, os.read(fd, 100), "what was appended")
		# a save whose content begins with what was read extends the snapshot as well
		subprocess.run(["sh", "-c", 'printf "one\\ntwo\\nthree\\nfour\\n" >"$1"', "sh", p], check=True)
		check(os.read(fd, 100) in (b"", b"four\n"), "nothing else may come")
	END
}

test_reader_of_a_replaced_file() {
	py "$D/f.txt" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"old content" * 1000)
		fd = os.open(p, os.O_RDONLY)
		eq(b"old", os.read(fd, 3), "head")
		put(p + ".new", b"new")
		os.rename(p + ".new", p)
		eq(b"old content" * 1000, b"old" + os.read(fd, 20000), "a replaced file stays readable")
		os.unlink(p)
		eq(b"old content", os.pread(fd, 11, 11), "an unlinked one too")
		os.close(fd)
	END
}

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

test_shared_live_draft() {
	py "$D/f.db" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"-" * 8192)
		fd = os.open(p, os.O_RDWR)
		c = child("fd = os.open(sys.argv[1], os.O_RDWR)\n"
		          "print('open')\n"
		          "for line in sys.stdin:\n"
		          "    print(os.pread(fd, 5, 100).decode(), os.fstat(fd).st_size)\n"
		          "    os.pwrite(fd, b'other', 200)\n"
		          "    print('written')\n", p)
		expect(c, "open")
		os.pwrite(fd, b"mine!", 100)
		os.pwrite(fd, b"tail!", 10000)
		tell(c)
		expect(c, "mine! 10005")
		expect(c, "written")
		eq(b"other", os.pread(fd, 5, 200), "what the other opener wrote")
		os.fsync(fd)
		seen = others_see(p)
		eq(b"mine!", seen[100:105], "after fsync")
		eq(10005, len(seen), "size after fsync")
		os.pwrite(fd, b"later", 300)
		until(lambda: others_see(p)[300:305] == b"later", "not committed by the interval")
		os.close(fd)
		c.kill()
		c.wait()
		seen = others_see(p)
		eq((b"mine!", b"other", b"later"), (seen[100:105], seen[200:205], seen[300:305]), "at the end")
	END
}

test_in_place_writes_are_rebased() {
	py "$D/f.bin" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"." * 30)
		a = os.open(p, os.O_WRONLY)
		b = os.open(p, os.O_WRONLY)
		os.pwrite(a, b"AAA", 0)
		os.pwrite(b, b"BBB", 10)
		os.close(b)
		os.close(a)
		eq(b"AAA" + b"." * 7 + b"BBB" + b"." * 17, get(p), "two handles, different places")
	END
	printf XYZ | dd of="$D/f.bin" bs=1 seek=20 conv=notrunc status=none
	eq "AAA.......BBB.......XYZ......." "$(cat "$D/f.bin")" "dd conv=notrunc"
}

test_ftruncate_zero_starts_a_save() {
	py "$D/f.txt" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"old version")
		fd = os.open(p, os.O_WRONLY)
		os.ftruncate(fd, 0)
		os.write(fd, b"new")
		stays(1.5, lambda: others_see(p) == b"old version", "published before close")
		os.close(fd)
		eq(b"new", others_see(p), "after close")
		os.truncate(p, 2)
		eq(b"ne", others_see(p), "truncate")
		os.truncate(p, 6)
		eq(b"ne\0\0\0\0", others_see(p), "extending truncate")
	END
	truncate -s 1 "$D/f.txt"
	eq n "$(cat "$D/f.txt")" "truncate(1)"
	mnt_crash
	eq n "$(cat "$D/f.txt")" "after kill -9"
}

test_open_without_write_commits_nothing() {
	local before
	echo text >"$D/f.txt"
	before=$(event_count)
	"$PY" -c 'import os, sys
for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND):
    os.close(os.open(sys.argv[1], flags))' "$D/f.txt"
	cat "$D/f.txt" >/dev/null
	eq "$before" "$(event_count)" "events"
}

test_rename_with_open_draft() {
	py "$D" <<-'END'
		import os, sys
		from mt import *
		d = sys.argv[1]
		fd = os.open(d + "/a.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
		os.write(fd, b"saved")
		os.rename(d + "/a.tmp", d + "/a.txt")
		eq(b"saved", others_see(d + "/a.txt"), "a rename commits the open draft")
		os.close(fd)
		eq(b"saved", others_see(d + "/a.txt"), "after close")
		check(not os.path.exists(d + "/a.tmp"), "the old name is back")
	END
}

test_link_with_open_draft() {
	py "$D" <<-'END'
		import os, sys
		from mt import *
		d = sys.argv[1]
		fd = os.open(d + "/a.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
		os.write(fd, b"saved")
		os.link(d + "/a.txt", d + "/b.txt")
		eq(b"saved", others_see(d + "/b.txt"), "a link commits the draft")
		os.write(fd, b" more")
		os.close(fd)
		eq(b"saved more", others_see(d + "/b.txt"), "by the other name after close")
	END
}

test_draft_of_an_unlinked_file() {
	py "$D/f.txt" <<-'END'
		import os, subprocess, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"old")
		fd = os.open(p, os.O_WRONLY | os.O_TRUNC)
		os.write(fd, b"typed but unlinked")
		subprocess.run(["rm", p], check=True)
		os.close(fd)
		check(not os.path.exists(p), "the file came back")
		open("typed", "wb").write(b"typed but unlinked")
	END
	wait_for draft_kept draft_of_an_unlinked_file/f.txt typed
	[ "$(events_grep '.event_type == "conflict_detected" and (.data.path // "" | test("draft_of_an_unlinked"))')" ] || fail "no conflict_detected event"
}

test_draft_of_a_replaced_file() {
	py "$D/f.txt" <<-'END'
		import os, subprocess, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"old")
		fd = os.open(p, os.O_WRONLY | os.O_TRUNC)
		os.write(fd, b"typed but replaced")
		subprocess.run(["sh", "-c", 'printf theirs >"$1.x" && mv "$1.x" "$1"', "sh", p], check=True)
		os.close(fd)
		eq(b"theirs", others_see(p), "after close")
		open("typed", "wb").write(b"typed but replaced")
	END
	wait_for draft_kept draft_of_a_replaced_file/f.txt typed
}

test_unlinked_but_open() {
	py "$D" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1] + "/f.txt"
		fd = os.open(p, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
		os.write(fd, b"scratch")
		os.unlink(p)
		os.write(fd, b" space")
		eq(b"scratch space", os.pread(fd, 100, 0), "own read")
		eq(13, os.fstat(fd).st_size, "size")
		eq(0, os.fstat(fd).st_nlink, "link count")
		os.fsync(fd)
		os.ftruncate(fd, 3)
		eq(b"scr", os.pread(fd, 100, 0), "after ftruncate")
		os.close(fd)
		eq([], os.listdir(sys.argv[1]), "names left")
	END
}

test_mmap_shared() {
	need_shared_maps
	py "$D/f.bin" <<-'END'
		import mmap, os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"." * 20000)
		fd = os.open(p, os.O_RDWR)
		m = mmap.mmap(fd, 20000, mmap.MAP_SHARED)
		eq(b"." * 20000, m[:], "through the mapping")
		m[5000:5005] = b"hello"
		eq(b"hello", os.pread(fd, 5, 5000), "read of the same file")
		m.flush()
		os.fsync(fd)
		eq(b"hello", others_see(p)[5000:5005], "after msync and fsync")
		os.pwrite(fd, b"world", 6000)
		eq(b"world", m[6000:6005], "a write seen through the mapping")
		m[7000:7003] = b"end"
		m.close()
		os.close(fd)
		until(lambda: others_see(p)[7000:7003] == b"end", "a mapped write was lost")
		fd = os.open(p, os.O_RDONLY)
		m = mmap.mmap(fd, 20000, mmap.MAP_SHARED, mmap.PROT_READ)
		eq(b"hello", m[5000:5005], "read-only shared mapping")
		m.close()
		m = mmap.mmap(fd, 20000, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
		m[0:3] = b"own"
		m.close()
		os.close(fd)
		eq(b".", others_see(p)[:1], "a private mapping leaked")
	END
	mnt_crash
	eq hello "$(tail -c +5001 "$D/f.bin" | head -c 5)" "after kill -9"
}

test_mmap_between_processes() {
	need_shared_maps
	py "$D/f.bin" <<-'END'
		import mmap, os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"\0" * 4096)
		fd = os.open(p, os.O_RDWR)
		m = mmap.mmap(fd, 4096, mmap.MAP_SHARED)
		c = child("import mmap\n"
		          "fd = os.open(sys.argv[1], os.O_RDWR)\n"
		          "m = mmap.mmap(fd, 4096, mmap.MAP_SHARED)\n"
		          "print('mapped')\n"
		          "sys.stdin.readline()\n"
		          "print(m[0:4].decode())\n"
		          "m[100:104] = b'pong'\n"
		          "print('written')\n"
		          "sys.stdin.readline()\n", p)
		expect(c, "mapped")
		m[0:4] = b"ping"
		tell(c)
		expect(c, "ping")
		expect(c, "written")
		eq(b"pong", m[100:104], "what the other process wrote")
		m.flush()
		tell(c)
		c.wait()
		m.close()
		os.close(fd)
		until(lambda: others_see(p)[:4] == b"ping" and others_see(p)[100:104] == b"pong", "mapped writes were lost")
	END
}

test_fallocate() {
	local tool r=0
	tool=$(helper syscall)
	printf '%10000s' x | tr ' ' y >"$D/f.bin"
	fallocate -l 20000 "$D/f.bin"
	eq 20000 "$(stat -c %s "$D/f.bin")" "size after fallocate"
	"$tool" keep "$D/f.bin" 0 50000
	eq 20000 "$(stat -c %s "$D/f.bin")" "size after FALLOC_FL_KEEP_SIZE"
	"$tool" punch "$D/f.bin" 100 8000
	eq 20000 "$(stat -c %s "$D/f.bin")" "size after a punched hole"
	py "$D/f.bin" <<-'END'
		import sys
		from mt import *
		data = get(sys.argv[1])
		eq(b"y" * 100, data[:100], "before the hole")
		eq(b"\0" * 8000, data[100:8100], "the hole")
		eq(b"y" * 1899 + b"x", data[8100:10000], "after the hole")
		eq(b"\0" * 10000, data[10000:], "allocated")
	END
	"$tool" zero "$D/f.bin" 9000 500 || r=$?
	[ "$r" -eq 0 ] || [ "$r" -eq 95 ] || fail "FALLOC_FL_ZERO_RANGE: errno $r"
	sha256sum "$D/f.bin" >before
	mnt_crash
	sha256sum -c --quiet before
}

test_seek_data_and_hole() {
	py "$D/f.bin" <<-'END'
		import errno, os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"a" * 65536)
		os.truncate(p, 1 << 30)
		fd = os.open(p, os.O_RDWR)
		os.pwrite(fd, b"z" * 4096, (1 << 29))
		os.fsync(fd)
		eq(0, os.lseek(fd, 0, os.SEEK_DATA), "SEEK_DATA at 0")
		hole = os.lseek(fd, 0, os.SEEK_HOLE)
		check(65536 <= hole <= 1 << 29, f"SEEK_HOLE at 0 gives {hole}")
		data = os.lseek(fd, 1 << 20, os.SEEK_DATA)
		check(1 << 20 <= data <= 1 << 29, f"SEEK_DATA at 1 MiB gives {data}")
		refused(errno.ENXIO, os.lseek, fd, 1 << 30, os.SEEK_DATA)
		end = os.lseek(fd, (1 << 29), os.SEEK_HOLE)
		check((1 << 29) + 4096 <= end <= 1 << 30, f"SEEK_HOLE gives {end}")
		check(hole < 1 << 29 and data > 1 << 28, "holes are not reported")
		os.close(fd)
	END
	cp --sparse=auto "$D/f.bin" "$O/copy"
	[ "$(du -k "$O/copy" | cut -f1)" -lt 100000 ] || fail "cp found no holes"
	[ "$(du -k "$D/f.bin" | cut -f1)" -lt 100000 ] || fail "du of a sparse file: $(du -k "$D/f.bin")"
}

test_copy_file_range() {
	py "$D" <<-'END'
		import os, sys
		from mt import *
		d = sys.argv[1]
		data = os.urandom(300000)
		put(d + "/a", data)
		a = os.open(d + "/a", os.O_RDONLY)
		b = os.open(d + "/b", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
		n = 0
		while n < 200000:
		    r = os.copy_file_range(a, b, 200000 - n, 1000 + n, n)
		    check(r > 0, "copy_file_range stopped early")
		    n += r
		os.close(b)
		eq(data[1000:201000], get(d + "/b"), "the copy")
	END
}

test_o_tmpfile() {
	local r=0
	"$(helper syscall)" tmpfile "$D" f.txt || r=$?
	if [ "$r" -eq 0 ]; then
		file_is "$D/f.txt" "from a tmpfile"
	else
		eq 95 "$r" "errno (EOPNOTSUPP)"
		eq "" "$(ls "$D")" "names left"
	fi
}

test_times_and_mode_before_close() {
	py "$D/f.txt" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		fd = os.open(p, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
		os.write(fd, b"text")
		os.utime(fd, ns=(1000000000123456789, 1100000000987654321))
		eq(1100000000987654321, os.fstat(fd).st_mtime_ns, "time set before close, seen by fstat")
		os.fchmod(fd, 0o640)
		os.close(fd)
		st = os.stat(p)
		eq((1000000000123456789, 1100000000987654321), (st.st_atime_ns, st.st_mtime_ns), "times set before close")
		eq(0o640, st.st_mode & 0o7777, "mode set before close")
		fd = os.open(p, os.O_RDWR)
		os.write(fd, b"more")
		os.fsync(fd)
		os.utime(fd, ns=(1, 2))
		eq(2, os.fstat(fd).st_mtime_ns, "time set after fsync")
		os.write(fd, b"more")
		check(os.fstat(fd).st_mtime_ns > 2, "a later write sets it again")
		os.close(fd)
	END
}

test_mtime_is_monotone() {
	py "$D/f.txt" <<-'END'
		import os, sys, time
		from mt import *
		p = sys.argv[1]
		last = 0
		begin = time.time_ns()
		for i in range(50):
		    put(p, b"%d" % i)
		    now = os.stat(p).st_mtime_ns
		    check(now > last, f"mtime {now} after {last}")
		    last = now
		check(begin - 50_000_000 <= last <= time.time_ns() + 50_000_000, "mtime is not the time of the commit")
	END
}

test_created_name_is_visible_at_once() {
	py "$D/f.lock" <<-'END'
		import errno, os, subprocess, sys
		from mt import *
		p = sys.argv[1]
		fd = os.open(p, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
		subprocess.run(["test", "-e", p], check=True)
		refused(errno.EEXIST, os.open, p, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
		os.close(fd)
		os.unlink(p)
	END
}

test_pending_lists_an_open_draft() {
	echo old >"$D/f.txt"
	exec 3>"$D/f.txt"
	echo "not yet" >&3
	wait_for grep -rqs pending_lists_an_open_draft/f.txt "$M/transactions/pending/"
	exec 3>&-
	wait_for eval '! grep -rqs pending_lists_an_open_draft/f.txt "$M/transactions/pending/"'
}

test_draft_of_a_killed_daemon_is_pending() {
	local draft
	echo old >"$D/f.txt"
	py "$D/f.txt" "$(cat "$PID_FILE")" <<-'END'
		import os, signal, sys
		from mt import *
		fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
		os.write(fd, b"typed for an hour\n")
		os.kill(int(sys.argv[2]), signal.SIGKILL)
		time.sleep(0.2)
		os._exit(0)
	END
	mnt_wait_end
	fusermount3 -u -z "$M" || true
	mnt_start
	file_is "$D/f.txt" old
	draft=$(grep -rls draft_of_a_killed_daemon_is_pending/f.txt "$M/transactions/pending/" | grep 'yaml$' | head -n 1)
	[ "$draft" ] || fail "the draft is not listed in transactions/pending"
	file_is "${draft%.yaml}.draft" "typed for an hour"
	mv "$draft" "$M/transactions/committed/"
	file_is "$D/f.txt" "typed for an hour"
}

run_tests "$@"
