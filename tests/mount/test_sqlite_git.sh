#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Programs with formats of their own: SQLite in both journal modes, git.
. "$(dirname "$0")/lib.sh"

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org
export GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org

sql() {
	sqlite3 -bail -cmd '.timeout 200000' "$@"
}

# sqlite_work MODE: four processes insert at once, two read; then remount and kill -9
sqlite_work() {
	local db=$D/f.db p i pids=()
	need sqlite3
	sql "$db" "PRAGMA journal_mode=$1; CREATE TABLE t(p INTEGER, i INTEGER, pad TEXT, PRIMARY KEY (p, i));" >/dev/null
	for p in 1 2 3 4; do
		(
			for i in $(seq 20); do
				sql "$db" "INSERT INTO t VALUES ($p, $i, hex(randomblob(500)));"
			done
		) &
		pids+=($!)
	done
	(
		for i in $(seq 20); do
			eq ok "$(sql "$db" 'PRAGMA integrity_check;')" "integrity while writing"
		done
	) &
	pids+=($!)
	for p in "${pids[@]}"; do
		wait "$p" || fail "a SQLite process failed"
	done
	eq 80 "$(sql "$db" 'SELECT count(*) FROM t;')" rows
	mnt_remount
	eq "80 ok" "$(sql "$db" 'SELECT count(*) FROM t;') $(sql "$db" 'PRAGMA integrity_check;')" "after remount"
	sql "$db" "INSERT INTO t VALUES (5, 1, 'last');"
	mnt_crash
	eq "81 ok" "$(sql "$db" 'SELECT count(*) FROM t;') $(sql "$db" 'PRAGMA integrity_check;')" "after kill -9"
}

sqlite_modes() {
	echo delete
	if kernel_at_least 6.6; then
		echo wal # its index is a shared mapping
	fi
}

test_sqlite_rollback_mode() {
	sqlite_work delete
}

test_sqlite_wal_mode() {
	need_shared_maps
	sqlite_work wal
}

# One connection held open for many transactions while another process works beside it.
test_sqlite_long_connections() {
	local mode
	need sqlite3
	for mode in $(sqlite_modes); do
		py "$D/$mode.db" "$mode" <<-'END'
			import sqlite3, subprocess, sys
			from mt import *
			path, mode = sys.argv[1:3]
			code = ("import sqlite3\n"
			        "db = sqlite3.connect(sys.argv[1], timeout=200, isolation_level=None)\n"
			        "for i in range(60):\n"
			        "    db.execute('BEGIN IMMEDIATE')\n"
			        "    n = db.execute('SELECT n FROM c').fetchone()[0]\n"
			        "    db.execute('UPDATE c SET n = ?', (n + 1,))\n"
			        "    db.execute('COMMIT')\n")
			db = sqlite3.connect(path, timeout=200, isolation_level=None)
			eq(mode, db.execute(f"PRAGMA journal_mode={mode}").fetchone()[0], "journal mode")
			db.execute("CREATE TABLE c(n INTEGER)")
			db.execute("INSERT INTO c VALUES (0)")
			others = [child(code, path) for _ in range(3)]
			for i in range(60):
			    db.execute("BEGIN IMMEDIATE")
			    n = db.execute("SELECT n FROM c").fetchone()[0]
			    db.execute("UPDATE c SET n = ?", (n + 1,))
			    db.execute("COMMIT")
			for c in others:
			    eq(0, c.wait(), "status of another process")
			eq((240,), db.execute("SELECT n FROM c").fetchone(), "count")
			eq(("ok",), db.execute("PRAGMA integrity_check").fetchone(), "integrity")
		END
	done
}

test_sqlite_killed_writer() {
	local mode
	need sqlite3
	for mode in $(sqlite_modes); do
		sql "$D/$mode.db" "PRAGMA journal_mode=$mode; CREATE TABLE t(i INTEGER PRIMARY KEY, pad TEXT);" >/dev/null
		for _ in 1 2 3; do
			py "$D/$mode.db" "$O/acked" <<-'END'
				import sys
				from mt import *
				c = child("import sqlite3\n"
				          "db = sqlite3.connect(sys.argv[1], timeout=200, isolation_level=None)\n"
				          "while True:\n"
				          "    db.execute('BEGIN IMMEDIATE')\n"
				          "    i = db.execute('SELECT coalesce(max(i), 0) FROM t').fetchone()[0]\n"
				          "    for k in range(1, 11):\n"
				          "        db.execute('INSERT INTO t VALUES (?, hex(randomblob(300)))', (i + k,))\n"
				          "    db.execute('COMMIT')\n"
				          "    print(i + 10)\n", sys.argv[1])
				last = 0
				for _ in range(8):
				    last = int(c.stdout.readline())
				c.kill()
				rest = c.stdout.read().split()
				open(sys.argv[2], "w").write(rest[-1] if rest else str(last))
			END
			eq ok "$(sql "$D/$mode.db" 'PRAGMA integrity_check;')" "$mode: integrity after a killed writer"
			eq 0 "$(sql "$D/$mode.db" 'SELECT count(*) % 10 FROM t;')" "$mode: half a transaction"
			[ "$(sql "$D/$mode.db" 'SELECT count(*) FROM t;')" -ge "$(cat acked)" ] || fail "$mode: a committed row is gone"
		done
	done
}

test_sqlite_killed_daemon() {
	local mode writer
	need sqlite3
	for mode in $(sqlite_modes); do
		sql "$D/$mode.db" "PRAGMA journal_mode=$mode; PRAGMA synchronous=FULL; CREATE TABLE t(i INTEGER PRIMARY KEY, pad TEXT);" >/dev/null
		: >acked
		"$PY" -u -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=200, isolation_level=None)
db.execute("PRAGMA synchronous=FULL")
for i in range(1, 1000000):
    db.execute("BEGIN IMMEDIATE")
    for k in range(10):
        db.execute("INSERT INTO t(pad) VALUES (hex(randomblob(300)))")
    db.execute("COMMIT")
    print(i * 10)' "$D/$mode.db" >>acked 2>/dev/null &
		writer=$!
		wait_for eval '[ "$(wc -l <acked)" -gt 15 ]'
		mnt_kill9
		kill "$writer" 2>/dev/null || true
		wait "$writer" 2>/dev/null || true
		mnt_start
		eq ok "$(sql "$D/$mode.db" 'PRAGMA integrity_check;')" "$mode: integrity after kill -9 of the daemon"
		eq 0 "$(sql "$D/$mode.db" 'SELECT count(*) % 10 FROM t;')" "$mode: half a transaction"
		[ "$(sql "$D/$mode.db" 'SELECT count(*) FROM t;')" -ge "$(tail -n 1 acked)" ] || fail "$mode: a committed row is gone"
	done
}

test_git() {
	local i
	need git
	git init -q "$D/repo"
	cd "$D/repo" || exit 1
	for i in $(seq 30); do
		echo "text $i" >"f$i.txt"
		mkdir -p "d$((i % 5))"
		seq "$i" $((i + 500)) >"d$((i % 5))/g$i.txt"
	done
	git add .
	git commit -q -m one
	for i in 1 2 3 4; do
		echo "more $i" >>f1.txt
		sed -i "s/text/TEXT $i/" f2.txt
		git commit -q -a -m "change $i"
	done
	git checkout -q -b other HEAD~2
	git mv f3.txt f3.moved
	git commit -q -m moved
	git merge -q -m merged - >/dev/null || git merge -q -m merged master >/dev/null
	git gc -q
	git fsck --strict --no-dangling
	eq "" "$(git status --porcelain)" "status"
	git clone -q "$D/repo" "$D/clone"
	git -C "$D/clone" fsck --no-dangling
	seq 1 3000 >long
	git add long
	git commit -q -m long
	sed -i 's/^15..$/&x/' long
	git commit -q -a -m longer
	git clone -q --no-local "$D/repo" "$D/fetched" # index-pack reads what it is writing through descriptors of its threads
	git -C "$D/fetched" fsck --no-dangling
	git bundle create -q "$D/all.bundle" --all
	git clone -q "$D/all.bundle" "$D/unbundled"
	rm -rf "$D/clone"
	git clone -q "$D/repo" "$D/clone"
	git stash list
	git -C "$D/clone" log --oneline >"$O/log"
	eq "$(git rev-parse HEAD)" "$(git -C "$D/clone" rev-parse HEAD)" "HEAD of the clone"
	cd "$O" || exit 1
	mnt_remount
	git -C "$D/repo" fsck --strict --no-dangling
	eq "" "$(git -C "$D/repo" status --porcelain)" "status after remount"
	echo again >>"$D/repo/f1.txt"
	git -C "$D/repo" commit -q -a -m again
	mnt_crash
	git -C "$D/repo" fsck --strict --no-dangling
	eq again "$(git -C "$D/repo" log -1 --format=%s)" "last commit after kill -9"
	eq "" "$(git -C "$D/repo" status --porcelain)" "status after kill -9"
}

run_tests "$@"
