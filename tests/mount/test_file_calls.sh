#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Calls on open files beyond read and write: mmap, fallocate, lseek for data and holes, copy_file_range, O_TMPFILE.
. "$(dirname "$0")/lib.sh"

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

run_tests "$@"
