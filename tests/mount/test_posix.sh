#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Files as users know them. MOUNT_LISTING_ENTRIES: how many entries the large listing has (20000).
. "$(dirname "$0")/lib.sh"

test_rename() {
	py "$D" <<-'END'
		import errno, os, sys
		from mt import *
		os.chdir(sys.argv[1])
		put("a", b"a")
		put("b", b"b")
		os.rename("a", "b")
		eq((["b"], b"a"), (os.listdir("."), get("b")), "file over file")
		os.mkdir("d1")
		os.mkdir("d2")
		put("d1/x", b"x")
		refused(errno.ENOTEMPTY, os.rename, "d2", "d1")
		refused(errno.EISDIR, os.rename, "b", "d2")
		refused(errno.ENOTDIR, os.rename, "d2", "b")
		refused(errno.EINVAL, os.rename, "d1", "d1/sub")
		refused(errno.ENOENT, os.rename, "none", "c")
		os.rename("d1", "d2")
		eq(b"x", get("d2/x"), "directory over an empty one")
		os.rename("d2/x", "y")
		eq([], os.listdir("d2"), "across directories")
		os.link("y", "z")
		os.rename("y", "z")
		eq((True, True), (os.path.exists("y"), os.path.exists("z")), "two names of one file: nothing happens")
		os.mkdir("d3")
		os.rename("d2", "d3/d2")
		eq(os.stat("d3").st_ino, os.stat("d3/d2/..").st_ino, "parent of a moved directory")
	END
}

test_renameat2() {
	local tool r=0
	tool=$(helper syscall)
	echo a >"$D/a"
	echo b >"$D/b"
	"$tool" rename2 noreplace "$D/a" "$D/b" || r=$?
	eq 17 "$r" "errno of NOREPLACE (EEXIST)"
	"$tool" rename2 noreplace "$D/a" "$D/c"
	file_is "$D/c" a
	"$tool" rename2 exchange "$D/b" "$D/c"
	file_is "$D/b" a
	file_is "$D/c" b
	mkdir "$D/dir"
	echo in >"$D/dir/in"
	"$tool" rename2 exchange "$D/dir" "$D/c"
	file_is "$D/c/in" in
	file_is "$D/dir" b
	r=0
	"$tool" rename2 exchange "$D/b" "$D/none" || r=$?
	eq 2 "$r" "errno of EXCHANGE with nothing (ENOENT)"
	mnt_crash
	file_is "$D/c/in" in
	file_is "$D/dir" b
	file_is "$D/b" a
}

test_hard_links() {
	echo one >"$D/a"
	ln "$D/a" "$D/b"
	eq 2 "$(stat -c %h "$D/a")" links
	eq "$(stat -c %i "$D/a")" "$(stat -c %i "$D/b")" inode
	echo two >"$D/b"
	file_is "$D/a" two
	rm "$D/a"
	eq 1 "$(stat -c %h "$D/b")" "links after rm"
	mkdir "$D/dir"
	ln "$D/b" "$D/dir/c"
	mnt_remount
	eq 2 "$(stat -c %h "$D/b")" "links after remount"
	echo three >>"$D/dir/c"
	file_is "$D/b" $'two\nthree'
	"$PY" -c 'import errno, os, sys
from mt import *
refused(errno.EPERM, os.link, sys.argv[1], sys.argv[1] + "2")
refused(errno.EEXIST, os.link, sys.argv[2], sys.argv[2])' "$D/dir" "$D/b"
}

test_links_to_session_files_are_refused() {
	fails_with 'not permitted' ln "$S/session.yaml" "$D/link"
	[ ! -e "$D/link" ]
}

test_symlinks() {
	ln -s target "$D/l"
	eq target "$(readlink "$D/l")" target
	eq 6 "$(stat -c %s "$D/l")" size
	echo text >"$D/target"
	file_is "$D/l" text
	ln -s "$(printf '%01000d' 0)" "$D/long"
	eq 1000 "$(readlink "$D/long" | tr -d '\n' | wc -c)" "long target"
	ln -s loop "$D/loop"
	fails_with 'too many levels' cat "$D/loop"
	ln -sfn other "$D/l"
	eq other "$(readlink "$D/l")" "replaced"
	touch -h -d '2001-02-03 04:05:06.123456789Z' "$D/l"
	mnt_remount
	eq other "$(readlink "$D/l")" "after remount"
	eq 981173106.123456789 "$(stat -c %.9Y "$D/l")" "its own time"
}

test_fifo_and_socket() {
	mkfifo -m 0640 "$D/fifo"
	echo through >"$D/fifo" &
	eq through "$(timeout 120 cat "$D/fifo")" "what came through"
	"$(helper syscall)" mknod "$D/fifo2"
	py "$D" <<-'END'
		import os, socket, sys
		from mt import *
		os.chdir(sys.argv[1])
		s = socket.socket(socket.AF_UNIX)
		s.bind("sock")
		s.listen(1)
		c = socket.socket(socket.AF_UNIX)
		c.connect("sock")
		c.send(b"hello")
		eq(b"hello", s.accept()[0].recv(10), "through the socket")
	END
	mnt_remount
	eq "fifo 640" "$(stat -c '%F %a' "$D/fifo")" "after remount"
	eq "socket" "$(stat -c '%F' "$D/sock")" "after remount"
	rm "$D/fifo" "$D/sock" "$D/fifo2"
	eq "" "$(ls "$D")" "names left"
}

test_o_excl_and_open_errors() {
	local i
	for i in $(seq 10); do
		"$PY" -c 'import os, sys
try:
    os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.write(1, b"won\n")
except FileExistsError:
    os.write(1, b"lost\n")' "$D/one" >>results &
	done
	wait
	eq 1 "$(grep -c won results)" winners
	eq 9 "$(grep -c lost results)" losers
	py "$D" <<-'END'
		import errno, os, sys
		from mt import *
		os.chdir(sys.argv[1])
		os.mkdir("d")
		put("f", b"x")
		os.symlink("f", "l")
		refused(errno.EEXIST, os.open, "l", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
		refused(errno.ELOOP, os.open, "l", os.O_NOFOLLOW)
		refused(errno.ENOTDIR, os.open, "f", os.O_DIRECTORY)
		refused(errno.ENOTDIR, os.open, "f/x", os.O_RDONLY)
		refused(errno.EISDIR, os.open, "d", os.O_WRONLY)
		refused(errno.EISDIR, os.unlink, "d")
		refused(errno.ENOTDIR, os.rmdir, "f")
		put("d/x", b"")
		refused(errno.ENOTEMPTY, os.rmdir, "d")
		refused(errno.EEXIST, os.mkdir, "d")
		refused(errno.ENOENT, os.open, "none", os.O_RDONLY)
		fd = os.open("f", os.O_RDONLY)
		refused(errno.EBADF, os.write, fd, b"x")
		refused(errno.EINVAL, os.truncate, "f", -1)
	END
}

test_statfs() {
	local blocks free names
	read -r blocks free names < <(stat -f -c '%b %a %l' "$D")
	[ "$blocks" -gt 1000 ] && [ "$free" -gt 0 ] && [ "$free" -le "$blocks" ] || fail "blocks $blocks, free $free"
	eq 255 "$names" "longest name"
	eq "$(df --output=size -B1G "$P" | tail -n 1)" "$(df --output=size -B1G "$D" | tail -n 1)" "size, as the disk below it"
}

test_names() {
	py "$D" <<-'END'
		import errno, os, sys
		from mt import *
		os.chdir(sys.argv[1])
		names = ["n" * 255, "é" * 127, "with space", "new\nline", "quote'\"", "-dash", "back\\slash", ".hidden", "..three", "*?[", "#x#", "~"]
		for n in names:
		    put(n, n.encode())
		eq(sorted(names), sorted(os.listdir(".")), "names")
		for n in names:
		    eq(n.encode(), get(n), "content")
		refused(errno.ENAMETOOLONG, put, "n" * 256, b"")
		refused(errno.ENAMETOOLONG, os.mkdir, "n" * 256)
		refused(errno.ENAMETOOLONG, os.stat, "n" * 256)
		refused(errno.ENAMETOOLONG, os.rename, "~", "n" * 256)
		raw = b"bytes\xff\xfe"
		os.close(os.open(raw, os.O_CREAT | os.O_WRONLY))
		check(raw in os.listdir(b"."), "a name that is no UTF-8")
		top = os.getcwd()
		for i in range(150):
		    os.mkdir("level-%03d-%s" % (i, "x" * 30))
		    os.chdir("level-%03d-%s" % (i, "x" * 30))
		put("deep", b"deep")
		eq(b"deep", get("deep"), "6 KB below")
		os.chdir(top)
	END
	mnt_remount
	eq 150 "$(cd "$D" && find . -type d -name 'level-*' | wc -l)" levels
	eq deep "$(cd "$D" && find . -name deep -execdir cat '{}' +)" "content 6 KB below"
	rm -r "$D"/level-*
	eq "" "$(find "$D" -name "level-*")" "levels left"
}

test_large_offsets() {
	py "$D/f" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		fd = os.open(p, os.O_RDWR | os.O_CREAT, 0o644)
		os.pwrite(fd, b"far", 5 << 30)
		os.pwrite(fd, b"near", 0)
		os.close(fd)
		fd = os.open(p, os.O_RDONLY)
		eq((5 << 30) + 3, os.fstat(fd).st_size, "size")
		eq(b"far", os.pread(fd, 10, 5 << 30), "at 5 GiB")
		eq(b"near\0\0", os.pread(fd, 6, 0), "at 0")
		eq(b"\0" * 100, os.pread(fd, 100, 3 << 30), "between")
	END
}

test_random_io_like_a_plain_file() {
	py "$D/f" <<-'END'
		import os, random, sys
		from mt import *
		p, seed = sys.argv[1], random.SystemRandom().randrange(1 << 32)
		print("seed", seed)
		rnd = random.Random(seed)
		model = bytearray()
		fd = os.open(p, os.O_RDWR | os.O_CREAT, 0o644)
		for step in range(1500):
		    what = rnd.randrange(10)
		    at = rnd.randrange(200000)
		    if what < 4:
		        data = rnd.randbytes(rnd.randrange(1, 20000))
		        os.pwrite(fd, data, at)
		        model.extend(b"\0" * max(0, at - len(model)))
		        model[at:at + len(data)] = data
		    elif what < 7:
		        n = rnd.randrange(1, 30000)
		        check(os.pread(fd, n, at) == bytes(model[at:at + n]), f"seed {seed}, step {step}: read of {n} at {at}")
		    elif what == 7:
		        os.ftruncate(fd, at)
		        del model[at:]
		        model.extend(b"\0" * (at - len(model)))
		    elif what == 8:
		        os.fsync(fd)
		        if rnd.randrange(4) == 0:
		            check(others_see(p) == bytes(model), f"seed {seed}, step {step}: others after fsync")
		    else:
		        os.close(fd)
		        fd = os.open(p, os.O_RDWR)
		    eq(len(model), os.fstat(fd).st_size, f"seed {seed}, step {step}: size")
		os.close(fd)
		check(get(p) == bytes(model), f"seed {seed}: at the end")
		open("model", "wb").write(model)
	END
	mnt_crash
	same model "$D/f"
}

test_large_listing_under_change() {
	mnt_remount -o sync=interval:500
	py "$D" "${MOUNT_LISTING_ENTRIES:-20000}" <<-'END'
		import ctypes, os, sys
		from mt import *
		d, count = sys.argv[1], int(sys.argv[2])
		for i in range(count):
		    os.close(os.open(f"{d}/stable-{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
		c = child("d = sys.argv[1]\n"
		          "print('going')\n"
		          "i = 0\n"
		          "while True:\n"
		          "    p = f'{d}/changing-{i % 300}'\n"
		          "    try:\n"
		          "        os.close(os.open(p, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))\n"
		          "    except FileExistsError:\n"
		          "        os.unlink(p)\n"
		          "    i += 7\n", d)
		expect(c, "going")
		want = {f"stable-{i}" for i in range(count)}
		for round in range(4):
		    seen = [e.name for e in os.scandir(d)]
		    stable = [n for n in seen if n.startswith("stable-")]
		    eq(len(stable), len(set(stable)), f"round {round}: names listed twice")
		    eq(set(), want - set(stable), f"round {round}: names missing")
		c.kill()
		c.wait()
		for i in range(0, count, 2):
		    os.unlink(f"{d}/stable-{i}")
		eq({f"stable-{i}" for i in range(1, count, 2)}, {n for n in os.listdir(d) if n.startswith("stable-")}, "after unlinking half")
	END
	mnt_remount
	eq $((${MOUNT_LISTING_ENTRIES:-20000} / 2)) "$(find "$D" -name 'stable-*' | wc -l)" "entries after remount"
	rm -rf "$D"
	[ ! -e "$D" ]
}

test_rm_while_listing() {
	mkdir -p "$D"/a/b/c "$D"/d
	seq 1 3000 | (cd "$D/a/b" && xargs touch)
	rm -r "$D/a"
	eq d "$(ls "$D")" "names left"
}

# All kinds at once, the same after a clean remount and after kill -9.
test_everything_is_the_same_after_remount() {
	local i
	mkdir -p "$D/sub/deep" "$D/empty"
	for i in $(seq 40); do
		echo "text $i" >"$D/sub/f$i.txt"
	done
	echo '{"a": 1}' >"$D/sub/deep/f.json"
	head -c 3000000 /dev/urandom >"$D/random.bin"
	truncate -s 10M "$D/sparse.bin"
	echo tail >>"$D/sparse.bin"
	ln "$D/random.bin" "$D/sub/hard"
	ln -s ../nowhere "$D/sub/sym"
	mkfifo "$D/fifo"
	chmod 0640 "$D/sub/f1.txt"
	chmod 1770 "$D/sub"
	setfattr -n user.k -v v "$D/sub/f2.txt"
	touch -d '2002-03-04 05:06:07.111222333Z' "$D/sub/f3.txt" "$D/empty"
	rm "$D/sub/f4.txt"
	mv "$D/sub/f5.txt" "$D/moved.txt"
	echo more >>"$D/sub/f6.txt"
	sync "$D/sub/f6.txt"
	manifest "$D" >before
	[ "$(wc -l <before)" -gt 80 ] || fail "a poor manifest: $(wc -l <before) lines"
	mnt_remount
	manifest "$D" >after
	diff before after >&2 || fail "after a clean remount: $(diff before after | head -n 4 | tr '\n' ' ')"
	mnt_crash
	manifest "$D" >after
	diff before after >&2 || fail "after kill -9: $(diff before after | head -n 4 | tr '\n' ' ')"
}

run_tests "$@"
