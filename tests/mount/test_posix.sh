#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Files as users know them. MOUNT_LISTING_ENTRIES: how many entries the large listing has (20000).
. "$(dirname "$0")/lib.sh"

other_user() {
	setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
}

need_other_user() {
	[ "$(id -u)" -eq 0 ] || skip "only root can try it as another user"
	need setpriv
	mnt_remount -o allow_other
}

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

test_mode_owner_times() {
	local atime
	echo x >"$D/f"
	chmod 0751 "$D/f"
	eq 751 "$(stat -c %a "$D/f")" mode
	if [ "$(id -u)" -eq 0 ]; then
		chown 1234:5678 "$D/f"
		chown -h 12:34 "$D/f"
		eq 12:34 "$(stat -c %u:%g "$D/f")" owner
	fi
	chmod 0755 "$D"
	(umask 027 && echo x >"$D/masked" && mkdir "$D/mdir")
	eq 640 "$(stat -c %a "$D/masked")" "mode under umask 027"
	eq 750 "$(stat -c %a "$D/mdir")" "directory's mode under umask 027"
	atime=$(stat -c %.9X "$D/f")
	touch -m -d '2001-02-03 04:05:06.123456789Z' "$D/f"
	eq "$atime" "$(stat -c %.9X "$D/f")" "atime after mtime was set"
	touch -a -d '2100-02-03 04:05:06.987654321Z' "$D/f"
	eq 981173106.123456789 "$(stat -c %.9Y "$D/f")" mtime
	eq 4105310706.987654321 "$(stat -c %.9X "$D/f")" atime
	touch -d '@99999999999' "$D/masked" # beyond what 64 bits of nanoseconds hold
	eq 9223372036 "$(stat -c %Y "$D/masked")" "the latest time there is"
	touch -d '1969-12-31 23:59:58.5Z' "$D/masked"
	py "$D/f" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1]
		before = os.stat(p)
		time.sleep(0.02)
		os.chmod(p, 0o600)
		after = os.stat(p)
		check(after.st_ctime_ns > before.st_ctime_ns, "chmod does not change ctime")
		eq(before.st_mtime_ns, after.st_mtime_ns, "mtime after chmod")
		d = os.path.dirname(p)
		before = os.stat(d).st_mtime_ns
		time.sleep(0.02)
		put(d + "/new", b"")
		check(os.stat(d).st_mtime_ns > before, "create does not change the directory's mtime")
		links = os.stat(d).st_nlink
		os.mkdir(d + "/sub")
		eq(links + 1, os.stat(d).st_nlink, "links of a directory")
		os.rmdir(d + "/sub")
		eq(links, os.stat(d).st_nlink, "links after rmdir")
	END
	stat -c '%n %a %u %g %.9Y %.9X' "$D"/* >before
	echo sync >"$D/sync"
	mnt_crash
	rm "$D/sync"
	stat -c '%n %a %u %g %.9Y %.9X' "$D"/* >after
	diff before after >&2 || fail "after kill -9: $(diff before after | tr '\n' ' ')"
}

# Nobody waits for them, and nobody has to.
test_attributes_become_durable_by_themselves() {
	local seq
	echo x >"$D/f"
	chmod 0604 "$D/f"
	seq=$(sed -n 's/^head_sequence: //p' "$M/status/health.yaml")
	durable() { [ "$(sed -n 's/^durable_sequence: //p' "$M/status/health.yaml")" -ge "$seq" ]; }
	wait_for durable
	mnt_crash
	eq 604 "$(stat -c %a "$D/f")" "mode after kill -9"
}

test_xattr() {
	need setfattr getfattr
	echo x >"$D/f"
	setfattr -n user.color -v blue "$D/f"
	setfattr -n user.empty "$D/f"
	setfattr -n user.dir -v yes "$D"
	py "$D/f" <<-'END'
		import errno, os, sys
		from mt import *
		p = sys.argv[1]
		eq(b"blue", os.getxattr(p, "user.color"), "value")
		eq(b"", os.getxattr(p, "user.empty"), "empty value")
		os.setxattr(p, "user.big", b"\0\1\2" * 1000)
		eq(b"\0\1\2" * 1000, os.getxattr(p, "user.big"), "3 KB value")
		refused(errno.EEXIST, os.setxattr, p, "user.color", b"x", os.XATTR_CREATE)
		refused(errno.ENODATA, os.setxattr, p, "user.none", b"x", os.XATTR_REPLACE)
		os.setxattr(p, "user.color", b"red", os.XATTR_REPLACE)
		refused(errno.ENODATA, os.getxattr, p, "user.none")
		refused(errno.ENODATA, os.removexattr, p, "user.none")
		os.removexattr(p, "user.empty")
		eq({"user.color", "user.big"}, {n for n in os.listxattr(p) if n.startswith("user.")}, "names")
		if os.geteuid() == 0:
		    os.setxattr(p, "trusted.t", b"t")
		    eq(b"t", os.getxattr(p, "trusted.t"), "trusted.")
	END
	echo new >"$D/f"
	mnt_crash
	eq red "$(getfattr --only-values -n user.color "$D/f" 2>/dev/null)" "after a save and kill -9"
	eq yes "$(getfattr --only-values -n user.dir "$D" 2>/dev/null)" "of a directory"
}

test_acl_works_or_is_refused() {
	need setfacl getfacl
	echo x >"$D/f"
	if setfacl -m u:1234:r "$D/f" 2>said; then
		mnt_remount
		getfacl -n "$D/f" 2>/dev/null >acl
		has acl '^user:1234:r--'
	else
		has said 'not supported'
	fi
}

test_setgid_directory() {
	[ "$(id -u)" -eq 0 ] || skip "only root can give a directory another group"
	mkdir "$D/g"
	chown :5678 "$D/g"
	chmod 2775 "$D/g"
	echo x >"$D/g/f"
	mkdir "$D/g/sub"
	eq 5678 "$(stat -c %g "$D/g/f")" "group of a new file"
	eq "5678 2" "$(stat -c '%g' "$D/g/sub") $(stat -c %a "$D/g/sub" | cut -c1)" "group and setgid of a new directory"
}

test_permissions_of_another_user() {
	need_other_user
	chmod 0777 "$D"
	echo secret >"$D/secret"
	chmod 0600 "$D/secret"
	fails_with 'permission denied' other_user cat "$D/secret"
	mkdir -m 1777 "$D/sticky"
	echo mine >"$D/sticky/f"
	fails_with 'not permitted' other_user rm -f "$D/sticky/f"
	fails_with 'not permitted' other_user mv "$D/sticky/f" "$D/sticky/g"
	other_user sh -c 'echo theirs >"$1/theirs"; rm "$1/theirs"' sh "$D/sticky"
	mkdir -m 0755 "$D/closed"
	fails_with 'permission denied' other_user touch "$D/closed/f"
	other_user sh -c 'echo x >"$1/owned"' sh "$D"
	eq 65534:65534 "$(stat -c %u:%g "$D/owned")" "owner of a file another user made"
	fails_with 'not permitted' other_user chown 0 "$D/owned"
}

test_setuid_bit_goes_with_a_write() {
	need_other_user
	chmod 0777 "$D"
	echo x >"$D/f"
	chmod 4777 "$D/f"
	other_user sh -c 'echo y >>"$1"' sh "$D/f"
	eq 777 "$(stat -c %a "$D/f")" "mode after another user's append"
	chmod 4777 "$D/f"
	other_user sh -c 'echo z >"$1"' sh "$D/f"
	eq 777 "$(stat -c %a "$D/f")" "mode after another user's save"
}

# setid_modes DIR: the mode each change leaves, by root and by another user
setid_modes() {
	local mode change who
	while read -r who change; do
		for mode in 4755 2755 2745 6777 6766 755; do
			rm -f "$1/f"
			echo text >"$1/f"
			[ "$who" = root ] || chown 65534:65534 "$1/f"
			chmod $mode "$1/f"
			if [ "$who" = root ]; then
				sh -c "$change" sh "$1/f"
			else
				other_user sh -c "$change" sh "$1/f"
			fi
			echo "$who: $change: $mode: $(stat -c %a "$1/f")"
		done
	done <<-'END'
		root echo x >>"$1"
		root echo x >"$1"
		root truncate -s 2 "$1"
		root chown 1:1 "$1"
		root chgrp 1 "$1"
		root perl -e 'chown(-1, -1, @ARGV) or die' "$1"
		root chmod 6755 "$1"
		other echo x >>"$1"
		other echo x >"$1"
		other : >"$1"
		other truncate -s 2 "$1"
		other fallocate -l 9999 "$1"
		other perl -e 'open(F, "+<", $ARGV[0]); syswrite(F, "a"); chmod(06755, $ARGV[0]); syswrite(F, "b"); close(F)' "$1"
		other perl -e 'open(F, "+<", $ARGV[0]); truncate(F, 1); close(F)' "$1"
		other perl -e 'chown(-1, 65534, @ARGV) or die' "$1"
		other touch "$1"
	END
}

test_setid_bits_as_on_a_plain_file_system() {
	need_other_user
	mkdir plain
	chmod 0777 "$D" plain .
	setid_modes "$D" >ours 2>&1
	setid_modes "$PWD/plain" >theirs 2>&1
	eq "" "$(diff ours theirs)" "modes that differ (<: ours)"
}

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
