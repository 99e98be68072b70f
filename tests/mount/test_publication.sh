#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Nothing that was written gets lost between write(2) and close(2): what autocommit, a second handle, a killed neighbour or a stale
# name may do to it meanwhile.
. "$(dirname "$0")/lib.sh"

config_set() {
	py "$M/status/config.yaml" "$1" "$2" <<-'END'
		import re, sys
		from mt import *
		p, key, value = sys.argv[1:]
		text = get(p).decode()
		line = re.compile(rf"^#? ?{key}:.*$", re.M)
		text = line.sub(f"{key}: {value}", text, count=1) if line.search(text) else text + f"{key}: {value}\n"
		put(p, text.encode())
	END
}

# disk_stands_still: mount again; from then on no fdatasync ends while the file "still" is there
disk_stands_still() {
	cat >"$O/disk.c" <<-'END'
		#include <dlfcn.h>
		#include <stdlib.h>
		#include <unistd.h>
		int fdatasync(int fd)
		{
			int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

			while (access(getenv("STILL"), F_OK) == 0)
				usleep(10000);
			return real(fd);
		}
	END
	${CC:-cc} -D_GNU_SOURCE -shared -fPIC -o "$O/disk.so" "$O/disk.c" -ldl || skip "no compiler for a disk that stands still"
	cat >"$O/milestonefs" <<-END
		#!/bin/sh
		STILL=$O/still LD_PRELOAD=$O/disk.so ASAN_OPTIONS=verify_asan_link_order=0:\$ASAN_OPTIONS exec "$MILESTONEFS" "\$@"
	END
	chmod +x "$O/milestonefs"
	mnt_stop
	rm -f "$O/still"
	MILESTONEFS=$O/milestonefs mnt_start
	cat >still.py <<-'END'
		import os, threading
		from mt import *
		def closing(fd):
		    t = threading.Thread(target=os.close, args=(fd,))
		    t.start()
		    return t
		def waits_for_the_disk(t):
		    """The close does not return before the disk works again."""
		    t.join(0.5)
		    check(t.is_alive(), "close returned before the bytes were on the disk")
		    os.unlink("still")
		    t.join(PATIENCE_S)
		    check(not t.is_alive(), "close does not return")
	END
}

disk_works_again() {
	rm -f "$O/still"
	mnt_remount
}

# --- what autocommit leaves behind ---------------------------------------------------

test_unfinished_line_at_close() {
	(
		printf '{"a":1}\n{"b":2}'
		sleep 2
	) >>"$D/f.jsonl"
	eq $'{"a":1}\n{"b":2}' "$(cat "$D/f.jsonl")" "after close"
}

test_unfinished_line_at_fsync() {
	py "$D/f.jsonl" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		fd = os.open(p, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
		os.write(fd, b'{"a":1}\n{"b":2}')
		until(lambda: others_see(p) == b'{"a":1}\n', "the whole line was not streamed")
		os.fsync(fd)
		eq(b'{"a":1}\n{"b":2}', others_see(p), "after fsync")
		os.write(fd, b'\n{"c":3}\n{"d":')
		until(lambda: others_see(p).endswith(b'{"c":3}\n'), "the next whole line was not streamed")
		os.write(fd, b'4}')
		os.close(fd)
		eq(b'{"a":1}\n{"b":2}\n{"c":3}\n{"d":4}', others_see(p), "after close")
	END
}

test_unfinished_line_of_an_inherited_handle() {
	# Its opener is gone and the last holder never wrote: RELEASE publishes.
	sh -c 'sleep 1 >&2 & printf "{\"a\":1}\n{\"b\":2}"' >>"$D/f.jsonl" 2>>"$D/f.jsonl"
	wait_for grep -q '"b"' "$D/f.jsonl"
}

# A write at the moment at which autocommit looks.
test_write_races_autocommit() {
	config_set autocommit_ms 50
	py "$D" <<-'END'
		import os, random, sys, threading, time
		from mt import *
		d = sys.argv[1]
		lost = []
		end = time.monotonic() + 8
		def work(i):
		    p, n = f"{d}/f{i}.log", 0
		    r = random.Random(i)
		    expected = 0
		    while time.monotonic() < end and not lost:
		        fd = os.open(p, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
		        os.write(fd, b"a")
		        due = time.monotonic() + 0.050
		        time.sleep(0.049)
		        while time.monotonic() < due + r.uniform(-0.0008, 0.0015):
		            pass
		        os.write(fd, b"b")
		        os.close(fd)
		        expected += 2
		        size = os.stat(p).st_size
		        if size != expected:
		            lost.append(f"{p}: {size} bytes, {expected} were written")
		threads = [threading.Thread(target=work, args=(i,)) for i in range(24)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		check(not lost, "; ".join(lost))
	END
	config_set autocommit_ms 1000
}

# --- what close waits for --------------------------------------------------------------

test_close_waits_for_autocommit() {
	config_set autocommit_ms 100
	disk_stands_still
	PYTHONPATH=$O:$PYTHONPATH py "$D/f.log" <<-'END'
		import os, sys
		from still import *
		p = sys.argv[1]
		put(p, b"")
		for _ in range(2):
		    open("still", "w").close()
		    fd = os.open(p, os.O_WRONLY | os.O_APPEND)
		    os.write(fd, b"line\n")
		    until(lambda: others_see(p).endswith(b"line\n"), "not committed by the interval")
		    waits_for_the_disk(closing(fd))
		    os.truncate(p, 0)
	END
	disk_works_again
	config_set autocommit_ms 1000
}

test_close_waits_for_a_rename() {
	disk_stands_still
	PYTHONPATH=$O:$PYTHONPATH py "$D" "$M/state/events/all.jsonl" <<-'END'
		import os, subprocess, sys
		from still import *
		d, events = sys.argv[1:]
		open("still", "w").close()
		fd = os.open(d + "/a.tmp", os.O_WRONLY | os.O_CREAT, 0o644)
		os.write(fd, b"saved")
		mv = subprocess.Popen(["mv", d + "/a.tmp", d + "/a.txt"])
		# asked of the log, since the directory is locked meanwhile
		until(lambda: b"waits_for_a_rename/a.txt" in get(events), "not renamed")
		waits_for_the_disk(closing(fd))
		eq(0, mv.wait(), "status of mv")
	END
	disk_works_again
}

test_close_waits_for_the_other_handle() {
	disk_stands_still
	printf '%0100d' 0 >"$D/f.db"
	"$PY" -c 'import os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
open("open", "w")
while not os.path.exists("go"): time.sleep(0.01)
os.fsync(fd)' "$D/f.db" &
	local other=$!
	wait_for test -e open
	touch still
	PYTHONPATH=$O:$PYTHONPATH py "$D/f.db" <<-'END'
		import os, sys
		from still import *
		p = sys.argv[1]
		fd = os.open(p, os.O_RDWR)
		idle = os.open(p, os.O_RDWR)
		os.pwrite(fd, b"mine", 10)
		open("go", "w")
		until(lambda: others_see(p)[10:14] == b"mine", "fsync of the other handle publishes nothing")
		t = closing(idle)
		t.join(PATIENCE_S)
		check(not t.is_alive(), "the close of a handle that never wrote waits")
		waits_for_the_disk(closing(fd))
	END
	wait "$other"
	disk_works_again
}

# An execve() closes descriptors while it holds what reading links in /proc/PID/fd waits for.
test_exec_closes_the_file() {
	timeout -s KILL 120 "$PY" -c '
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.write(fd, b"before exec\n")
os.execv("/bin/true", ["true"])' "$D/f.txt" || fail "execve with an open file hangs"
	file_is "$D/f.txt" "before exec"
}

# --- shared drafts ---------------------------------------------------------------------

# An appender of the same file has a draft of its own: the bytes of a killed writer are not its.
test_killed_writer_beside_an_appender() {
	py "$D/f.bin" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"-" * 20)
		a = os.open(p, os.O_WRONLY | os.O_APPEND)
		c = child("fd = os.open(sys.argv[1], os.O_RDWR)\n"
		          "os.pwrite(fd, b'typed by the killed', 0)\n"
		          "print('written')\n"
		          "time.sleep(1000)\n", p)
		expect(c, "written")
		c.kill()
		c.wait()
		time.sleep(0.3)
		os.close(a)
		eq(b"-" * 20, others_see(p), "the file")
		open("typed", "wb").write(b"typed by the killed")
	END
	wait_for draft_kept killed_writer_beside_an_appender/f.bin typed
}

# All handles of a shared draft end at once: the last one, whichever it is, keeps the bytes aside.
test_killed_writer_with_many_handles() {
	local round before
	config_set autocommit_ms 60000
	echo "--------------------" >"$D/f.bin"
	for round in $(seq 40); do
		before=$(find "$M/transactions/rollbacks" -name '*.draft' | wc -l)
		py "$D/f.bin" "$round" <<-'END'
			import os, sys
			from mt import *
			c = child("fds = [os.open(sys.argv[1], os.O_RDWR) for _ in range(12)]\n"
			          "for fd in fds:\n"
			          "    os.pwrite(fd, b'round %03d' % int(sys.argv[2]), 0)\n"
			          "print('written')\n"
			          "time.sleep(1000)\n", *sys.argv[1:])
			expect(c, "written")
			c.kill()
			c.wait()
		END
		kept_more() { [ "$(find "$M/transactions/rollbacks" -name '*.draft' | wc -l)" -gt "$before" ]; }
		wait_for kept_more
		file_is "$D/f.bin" "--------------------"
	done
	config_set autocommit_ms 1000
}

# --- names that vanish -----------------------------------------------------------------

# The name a killed creator leaves is gone for the kernel, too: what is saved there next is a new file.
test_save_where_a_killed_creator_was() {
	py "$D" <<-'END'
		import os, subprocess, sys
		from mt import *
		d = sys.argv[1]
		for i in range(60):
		    p = f"{d}/new{i}.txt"
		    c = child("fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)\n"
		              + ("os.write(fd, b'half')\n" if i % 2 else "") +
		              "print('open')\n"
		              "time.sleep(1000)\n", p)
		    expect(c, "open")
		    check(os.path.exists(p), "a created name is visible at once")
		    c.kill()
		    if i % 3:
		        c.wait()
		    subprocess.run(["sh", "-c", 'echo good >"$1"', "sh", p], check=True)
		    eq(b"good\n", others_see(p), f"round {i}: the save after the kill")
		    check(os.path.basename(p) in os.listdir(d), f"round {i}: the file is not listed")
		    c.wait()
		    eq(b"good\n", others_see(p), f"round {i}: at the end")
	END
	mnt_remount
	eq 60 "$(cat "$D"/new*.txt | grep -cx good)" "after a remount"
}

# A killed creator's name does not show once it is over.
test_killed_creators_name_is_gone() {
	py "$D" <<-'END'
		import os, sys
		from mt import *
		d = sys.argv[1]
		for i in range(30):
		    p = f"{d}/f{i}"
		    c = child("fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644)\nprint('open')\ntime.sleep(1000)\n", p)
		    expect(c, "open")
		    os.stat(p)
		    c.kill()
		    c.wait()
		    until(lambda: not os.path.exists(p), f"round {i}: stat still finds it")
		    refused(errno.ENOENT, os.open, p, os.O_RDONLY)
	END
}

# Savers and renamers of one name: no save fails, and none that was last is lost.
test_saves_against_renames() {
	py "$D" <<-'END'
		import os, sys, threading, time
		from mt import *
		d = sys.argv[1]
		p = d + "/f.txt"
		put(p, b"begin")
		end = time.monotonic() + 3
		failed = []
		def rename(i):
		    while time.monotonic() < end:
		        put(f"{d}/tmp{i}", b"renamed")
		        os.rename(f"{d}/tmp{i}", p)
		def save():
		    while time.monotonic() < end:
		        try:
		            put(p, b"saved")
		        except OSError as e:
		            failed.append(e)
		threads = [threading.Thread(target=rename, args=(i,)) for i in range(2)] + [threading.Thread(target=save) for _ in range(4)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		check(not failed, f"{len(failed)} saves failed: {failed[:3]}")
		put(p, b"last")
		eq(b"last", others_see(p), "the last save")
	END
}

test_unlinked_file_by_its_descriptor() {
	py "$D/f.txt" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		put(p, b"old")
		fd = os.open(p, os.O_RDWR)
		os.unlink(p)
		for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND):
		    os.close(os.open(f"/proc/self/fd/{fd}", flags))
		eq(b"old", os.pread(fd, 10, 0), "what it holds")
		os.close(fd)
	END
}

# A file without a name that was never committed: one file for every descriptor, whoever reopened it by /proc.
test_unlinked_newborn_by_its_descriptor() {
	local before
	before=$(ls "$M/transactions/pending" "$M/transactions/rollbacks")
	py "$D" <<-'END'
		import os, subprocess, sys
		from mt import *
		for name in "t.txt", "t.json":
		    for first in (os.O_RDWR, os.O_WRONLY, os.O_WRONLY | os.O_APPEND):
		        p = os.path.join(sys.argv[1], name)
		        fd = os.open(p, first | os.O_CREAT | os.O_EXCL)
		        os.write(fd, b"one")
		        os.unlink(p)
		        path = f"/proc/self/fd/{fd}"
		        r = os.open(path, os.O_RDONLY)
		        eq(b"one", os.pread(r, 10, 0), "read by another descriptor")
		        w = os.open(path, os.O_RDWR)
		        eq(b"one", os.pread(w, 10, 0), "and by a writing one")
		        os.pwrite(w, b"O", 0)
		        eq(b"One", os.pread(r, 10, 0), "what it wrote")
		        eq(3, os.fstat(r).st_size, "size")
		        a = os.open(path, os.O_WRONLY | os.O_APPEND)
		        os.write(a, b"+")
		        os.pwrite(w, b"T", 1)
		        os.close(w)
		        os.close(a)
		        eq(b"OTe+", os.pread(r, 10, 0), "appended")
		        eq(b"OTe+", subprocess.run(["cat"], stdin=open(f"/proc/self/fd/{r}"), capture_output=True).stdout, "in a child")
		        with open(path, "w") as t:
		            t.write("new")
		        eq(b"new", os.pread(r, 10, 0), "truncated and written")
		        check(not os.path.exists(p), "no name")
		        os.close(fd)
		        os.close(r)
	END
	eq "$before" "$(ls "$M/transactions/pending" "$M/transactions/rollbacks")" "pending and rolled back"
}

run_tests "$@"
