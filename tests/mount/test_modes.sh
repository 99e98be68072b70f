#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Modes, owners, times, attributes, and what they permit to whom.
. "$(dirname "$0")/lib.sh"

other_user() {
	setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
}

need_other_user() {
	[ "$(id -u)" -eq 0 ] || skip "only root can try it as another user"
	need setpriv
	mnt_remount -o allow_other
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

run_tests "$@"
