#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Saves by the tools people use: right at once, never half, durable.
. "$(dirname "$0")/lib.sh"

test_echo_heredoc_tee_cp() {
	echo "a: 1" >"$D/f.yaml"
	file_is "$D/f.yaml" "a: 1"
	echo "a: 2" >"$D/f.yaml"
	file_is "$D/f.yaml" "a: 2"
	cat <<-END >"$D/here.md"
		# title
		text
	END
	file_is "$D/here.md" $'# title\ntext'
	echo "t: 1" | tee "$D/t1.yaml" "$D/t2.yaml" >/dev/null
	file_is "$D/t1.yaml" "t: 1"
	file_is "$D/t2.yaml" "t: 1"
	seq 1 20000 >big.txt
	cp big.txt "$D/big.txt"
	same big.txt "$D/big.txt"
	cp "$D/big.txt" "$D/copy.txt"
	same big.txt "$D/copy.txt"
	mv big.txt "$D/moved.txt"
	same "$D/copy.txt" "$D/moved.txt"
	cat "$D/f.yaml" "$D/t1.yaml" >"$D/joined.txt"
	file_is "$D/joined.txt" $'a: 2\nt: 1'
	dd if="$D/big.txt" of="$D/dd.txt" bs=777 status=none
	same "$D/big.txt" "$D/dd.txt"
}

test_empty_and_touch() {
	: >"$D/empty.txt"
	eq 0 "$(stat -c %s "$D/empty.txt")" size
	touch "$D/touched.yaml"
	eq 0 "$(stat -c %s "$D/touched.yaml")" size
	echo text >"$D/f.txt"
	: >"$D/f.txt"
	eq 0 "$(stat -c %s "$D/f.txt")" "size after : >"
	mnt_remount
	eq 0 "$(stat -c %s "$D/empty.txt")" "size after remount"
	[ -f "$D/touched.yaml" ]
}

test_sed_i() {
	printf 'name: old\nother: 1\n' >"$D/f.yaml"
	sed -i 's/old/new/' "$D/f.yaml"
	file_is "$D/f.yaml" $'name: new\nother: 1'
	eq f.yaml "$(ls "$D")" "names left"
}

test_yq_in_place() {
	local help
	need yq
	printf 'name: old\nlist: [1, 2]\n' >"$D/f.yaml"
	help=$(yq --help 2>&1)
	if [[ $help == *--yaml-output* ]]; then # the Python one, as packaged by Debian
		yq -y -i '.name = "new"' "$D/f.yaml"
	else
		yq -i '.name = "new"' "$D/f.yaml"
	fi
	has "$D/f.yaml" '^name: "?new"?$'
	eq f.yaml "$(ls "$D")" "names left"
}

test_jq_tmp_mv() {
	need jq
	echo '{"a": 1}' >"$D/f.json"
	for i in 1 2 3 4 5; do
		jq ".a += $i" "$D/f.json" >"$D/f.json.tmp"
		mv "$D/f.json.tmp" "$D/f.json"
	done
	eq 16 "$(jq .a "$D/f.json")" .a
	eq f.json "$(ls "$D")" "names left"
}

test_vim_ex() {
	need vim
	printf 'one\ntwo\nthree\n' >"$D/f.md"
	vim -u NONE -es -c '2s/two/2/' -c wq "$D/f.md"
	file_is "$D/f.md" $'one\n2\nthree'
	vim -u NONE -es -c 'set backupcopy=yes' -c '1s/one/1/' -c wq "$D/f.md"
	file_is "$D/f.md" $'1\n2\nthree'
	vim -u NONE -es -c 'set backup backupcopy=no' -c '3s/three/3/' -c wq "$D/f.md"
	file_is "$D/f.md" $'1\n2\n3'
	printf 'k: v\n' >"$D/f.yaml"
	vim -u NONE -es -c '1s/v/w/' -c wq "$D/f.yaml"
	file_is "$D/f.yaml" "k: w"
}

test_python_write_and_atomic() {
	py "$D" <<-'END'
		import json, os, sys, tempfile
		from mt import *
		d = sys.argv[1]
		p = d + "/f.json"
		for i in range(20):
		    with open(p, "w") as f:
		        json.dump({"i": i, "pad": "x" * 5000}, f)
		    eq(i, json.loads(others_see(p))["i"], "after with open")
		for i in range(20):
		    fd, tmp = tempfile.mkstemp(dir=d)
		    with os.fdopen(fd, "w") as f:
		        json.dump({"i": i}, f)
		        f.flush()
		        os.fsync(f.fileno())
		    os.replace(tmp, p)
		    eq(i, json.loads(others_see(p))["i"], "after replace")
		eq(["f.json"], os.listdir(d), "names left")
	END
}

test_other_writers() {
	local tool
	echo "text of a file" >f.txt
	install -m 0640 f.txt "$D/installed.txt"
	same f.txt "$D/installed.txt"
	eq 640 "$(stat -c %a "$D/installed.txt")" mode
	cp -p f.txt "$D/kept.txt"
	eq "$(stat -c %Y f.txt)" "$(stat -c %Y "$D/kept.txt")" "mtime of cp -p"
	tar -cf - f.txt | tar -xf - -C "$D"
	same f.txt "$D/f.txt"
	eq "$(stat -c %Y f.txt)" "$(stat -c %Y "$D/f.txt")" "mtime of tar -x"
	echo "b c a" | tr ' ' '\n' >"$D/s.txt"
	sort -o "$D/s.txt" "$D/s.txt"
	file_is "$D/s.txt" $'a\nb\nc'
	split -l 1 "$D/s.txt" "$D/part."
	eq 3 "$(find "$D" -name 'part.*' | wc -l)" parts
	for tool in perl rsync; do
		command -v "$tool" >/dev/null || continue
		if [ "$tool" = perl ]; then
			perl -pi -e 's/b/B/' "$D/s.txt"
			file_is "$D/s.txt" $'a\nB\nc'
		else
			rsync -a f.txt "$D/synced.txt"
			same f.txt "$D/synced.txt"
		fi
	done
}

test_old_version_until_close() {
	py "$D" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1] + "/f.txt"
		put(p, b"old version\n")
		fd = os.open(p, os.O_WRONLY | os.O_TRUNC)
		for i in range(300):
		    os.write(fd, b"x" * 1000)
		    if i % 50 == 0:
		        eq(b"old version\n", others_see(p), "during the save")
		        eq(12, others_size(p), "size during the save")
		stays(2.3, lambda: others_see(p) == b"old version\n", "published before close")
		os.close(fd)
		eq(b"x" * 300000, others_see(p), "after close")
	END
}

test_new_structured_file_shows_only_whole() {
	py "$D" <<-'END'
		import os, sys
		from mt import *
		p = sys.argv[1] + "/f.yaml"
		fd = os.open(p, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
		check(os.path.exists(p), "a created name is visible at once")
		eq(b"", others_see(p), "content before the first commit")
		os.write(fd, b"first: 1\nsec")
		stays(2.3, lambda: others_see(p) == b"", "half a YAML file was published")
		os.write(fd, b"ond: 2\n")
		os.close(fd)
		eq(b"first: 1\nsecond: 2\n", others_see(p), "after close")
	END
}

# readers_during MODE COUNT SIZE: two readers never see a torn version
readers_during() {
	local tool f=$D/f.$1 r1 r2
	tool=$(helper selfcheck)
	"$tool" write "$f" 7 1 1 trunc "$3" -
	"$tool" read "$f" "$O/stop" >r1 &
	r1=$!
	"$tool" read "$f" "$O/stop" >r2 &
	r2=$!
	"$tool" write "$f" 7 2 "$2" "$1" "$3" -
	touch stop
	wait "$r1" || fail "reader 1: torn"
	wait "$r2" || fail "reader 2: torn"
	[ "$(cat r1)" -gt 20 ] || fail "only $(cat r1) readings"
	eq $(($2 + 1)) "$("$tool" check "$f" 0)" "last version"
}

test_readers_never_see_half_truncating() {
	readers_during trunc 1200 30000
}

test_readers_never_see_half_many_writes() {
	readers_during chunks 400 60000
}

test_readers_never_see_half_rename() {
	readers_during tmp 600 30000
}

test_readers_never_see_half_fsync() {
	readers_during rw 400 30000
}

# A shell's own redirections: several FLUSHes a save, children that inherit the descriptor.
test_readers_never_see_half_shell() {
	local i reader
	cat >reader.py <<-'END'
		import os, sys
		n = 0
		last = -1
		while not os.path.exists(sys.argv[2]):
		    with open(sys.argv[1], "rb") as f:
		        lines = f.read().split()
		    if len(lines) != 3 or len(set(lines)) != 1:
		        sys.exit(f"torn at reading {n}: {lines}")
		    if int(lines[0]) < last:
		        sys.exit(f"{lines} after {last}")
		    last = int(lines[0])
		    n += 1
		print(n)
	END
	printf '0\n0\n0\n' >"$D/f.txt"
	"$PY" reader.py "$D/f.txt" "$O/stop" >count 2>torn &
	reader=$!
	for i in $(seq 1 150); do
		{
			echo "$i"
			echo "$i"
			echo "$i"
		} >"$D/f.txt"
	done
	for i in $(seq 151 300); do
		(
			echo "$i"
			/bin/echo "$i"
			echo "$i"
		) >"$D/f.txt"
	done
	for i in $(seq 301 400); do
		sh -c "echo $i; /bin/echo $i; echo $i" >"$D/f.txt"
	done
	for i in $(seq 401 450); do
		printf '%s\n' "$i" "$i" "$i" | cat >"$D/f.txt"
	done
	for i in $(seq 451 500); do
		printf '%s\n' "$i" "$i" "$i" >"$D/f.txt.new" && mv "$D/f.txt.new" "$D/f.txt"
	done
	touch stop
	wait "$reader" || fail "$(cat torn)"
	[ "$(cat count)" -gt 50 ] || fail "only $(cat count) readings"
	file_is "$D/f.txt" $'500\n500\n500'
}

# Each kind of save, then kill -9 with nothing in between.
test_durable_at_once() {
	local step
	echo old >"$D/sed.txt"
	echo old >"$D/gone.txt"
	echo old >"$D/append.txt"
	echo old >"$D/from.txt"
	echo new >src.txt
	for step in 'echo new >"$D/echo.txt"' 'cp src.txt "$D/cp.txt"' 'sed -i s/old/new/ "$D/sed.txt"' 'rm "$D/gone.txt"' \
		'echo new >>"$D/append.txt"' 'mv "$D/from.txt" "$D/to.txt"' 'mkdir "$D/dir"' 'ln -s target "$D/symlink"' \
		'ln "$D/echo.txt" "$D/hard.txt"' ': >"$D/empty.txt"' 'touch "$D/touched.txt"' \
		'printf a >"$D/py.txt"; "$PY" -c "import os,sys; fd=os.open(sys.argv[1], os.O_WRONLY); os.pwrite(fd, b\"b\", 0); os.fsync(fd); os.kill(int(sys.argv[2]), 9)" "$D/py.txt" "$(cat "$PID_FILE")"'; do
		eval "$step"
		if [ -e "$EXIT_FILE" ] || [[ $step == *os.kill* ]]; then
			mnt_wait_end
			fusermount3 -u -z "$M" || true
			mnt_start
		else
			mnt_crash
		fi
	done
	file_is "$D/echo.txt" new
	file_is "$D/cp.txt" new
	file_is "$D/sed.txt" new
	[ ! -e "$D/gone.txt" ] || fail "an unlink was lost"
	file_is "$D/append.txt" $'old\nnew'
	file_is "$D/to.txt" old
	[ ! -e "$D/from.txt" ] || fail "a rename was lost"
	[ -d "$D/dir" ] || fail "mkdir was lost"
	eq target "$(readlink "$D/symlink")" symlink
	eq 2 "$(stat -c %h "$D/hard.txt")" "link count"
	[ -f "$D/empty.txt" ] || fail ": > f was lost"
	[ -f "$D/touched.txt" ] || fail "touch was lost"
	eq b "$(cat "$D/py.txt")" "after fsync"
}

# Acknowledged means safe from a killed daemon in this mode too.
test_interval_mode_survives_killed_daemon() {
	mnt_remount -o sync=interval:200
	echo new >"$D/f.txt"
	mnt_crash
	file_is "$D/f.txt" new
}

run_tests "$@"
