#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Every kind of open: whose bytes each handle sees, when they are published, and what becomes of names meanwhile.
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
