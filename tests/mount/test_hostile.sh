#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Names and content nobody should write, through the mount: each is refused clearly (errno, and for content the reason with its line under
# transactions/rollbacks), what was there before stays, and the daemon's memory and time stay bounded.
. "$(dirname "$0")/lib.sh"

LONG=$(printf 'a%.0s' {1..128})
BAD_IDS=("-x" "_x" ".x" "a b" "a@b" "a:b" "a*" "a?b" "a\\b" "ä" "💥" $'a\nb' $'a\tb' $'\x01' $'\xff' '$(id)' '`id`' "'" '"' "a;b" "~" "${LONG}a")
GOOD_IDS=("a" "9" "A.b_c-D" "a." "a-" "a.." "con" "null" "$LONG")

rss_kb() {
	awk '/^VmRSS/ { print $2 }' "/proc/$(cat "$PID_FILE")/status"
}

# newest_refusal: TX.yaml of the newest refused save
newest_refusal() {
	find "$M/transactions/rollbacks" -name '*.yaml' | sort | tail -n 1
}

# --- ids ------------------------------------------------------------------------------

# ids DIR MAKE SUFFIX: bad ids are EINVAL in DIR, good ones are made by MAKE
ids() {
	local id listed
	listed=$(find "$1" -mindepth 1 | wc -l)
	for id in "${BAD_IDS[@]}"; do
		fails_with 'invalid argument|too long' "$2" "$1/$id$3"
		[ ! -e "$1/$id$3" ] || fail "'$id$3' is there all the same"
	done
	eq "$listed" "$(find "$1" -mindepth 1 | wc -l)" "entries after bad ids"
	for id in "${GOOD_IDS[@]}"; do
		"$2" "$1/$id$3" || fail "'$id$3' should be an id"
		[ -e "$1/$id$3" ] || fail "'$id$3' is not there"
	done
}

test_ids_of_sessions() {
	local id
	ids "$M/state/sessions" mkdir ""
	for id in "${GOOD_IDS[@]}"; do
		grep -qxF "  id: \"$id\"" "$M/state/sessions/$id/session.yaml" || fail "session.yaml of $id: $(head -n 2 "$M/state/sessions/$id/session.yaml")"
		[ -L "$M/state/active/$id" ] || fail "$id is not in active/"
		rm -r "$M/state/sessions/$id"
	done
	fails_with 'invalid argument' mkdir "$M/state/sessions/global" # events of no session bear that name
	fails_with 'not permitted' touch "$M/state/sessions/file"
	fails_with 'not permitted' ln -s s1 "$M/state/sessions/link"
	mkdir "$D/made-elsewhere"
	fails_with 'not permitted' py "$D/made-elsewhere" "$M/state/sessions/moved" <<-'END'
		import os, sys
		os.rename(sys.argv[1], sys.argv[2])
	END
}

test_ids_of_agents() {
	local id
	mkdir "$M/state/sessions/ids"
	for id in "${BAD_IDS[@]}"; do
		case $id in
		.*) continue ;; # hidden: a tool's temporary file, no agent
		esac
		fails_with 'invalid argument|too long' touch "$M/state/sessions/ids/agents/$id.yaml"
	done
	for id in "${GOOD_IDS[@]}"; do
		touch "$M/state/sessions/ids/agents/$id.yaml"
		grep -qF "  id: \"$id\"" "$M/state/sessions/ids/agents/$id.yaml" || fail "agent $id is not registered"
	done
	# In a barrier these are files of its own: such an agent could not acknowledge.
	for id in wait participants timeout; do
		fails_with 'invalid argument' touch "$M/state/sessions/ids/agents/$id.yaml"
		must_fail mv "$M/state/sessions/ids/agents/${GOOD_IDS[0]}.yaml" "$M/state/sessions/ids/agents/$id.yaml"
	done
	touch "$M/state/sessions/ids/agents/.hidden.yaml" "$M/state/sessions/ids/agents/4913"
	eq "${#GOOD_IDS[@]}" "$(sed -n 's/^  total: //p' "$M/state/sessions/ids/health.yaml")" "agents"
	fails_with 'not permitted' mkdir "$M/state/sessions/ids/agents/dir.yaml"
	fails_with 'not permitted' ln -s x "$M/state/sessions/ids/agents/link.yaml"
	fails_with 'not permitted' mkfifo "$M/state/sessions/ids/agents/fifo.yaml"
	rm -r "$M/state/sessions/ids"
}

test_ids_of_checkpoints() {
	mkdir "$M/state/sessions/cps"
	ids "$M/state/sessions/cps/checkpoints" mkdir ""
	fails_with 'exists' mkdir "$M/state/sessions/cps/checkpoints/a"
	fails_with 'not permitted' touch "$M/state/sessions/cps/checkpoints/file"
	fails_with 'read-only' touch "$M/state/sessions/cps/checkpoints/a/own"
	fails_with 'read-only' mkdir "$M/state/sessions/cps/checkpoints/a/own"
	must_fail mv "$M/state/sessions/cps/checkpoints/a" "$M/state/sessions/cps/checkpoints/b"
	rm -r "$M/state/sessions/cps"
}

test_ids_of_barriers() {
	local sync=$M/state/sessions/bar/agents/.sync
	mkdir "$M/state/sessions/bar"
	touch "$M/state/sessions/bar/agents/one.yaml"
	ids "$sync" mkdir ""
	fails_with 'exists' mkdir "$sync/a"
	must_fail touch "$sync/file"
	must_fail touch "$sync/a/nobody"
	must_fail touch "$sync/a/a b"
	must_fail mkdir "$sync/a/one"
	must_fail mv "$sync/a" "$sync/b"
	touch "$sync/a/one"
	rm -r "$M/state/sessions/bar"
}

test_names_of_restores() {
	local name restore=$S/recovery/restore
	for name in nobody ../s1 . .. / "$LONG" "${LONG}a" $'a\x01b' "$(head -c 5000 /dev/zero | tr '\0' a)"; do
		must_fail py "$restore" "$name" <<-'END'
			import os, sys
			fd = os.open(sys.argv[1], os.O_WRONLY)
			os.write(fd, sys.argv[2].encode() + b"\n")
		END
	done
	eq healthy "$(sed -n '1s/status: //p' "$M/status/health.yaml")" "health"
}

# Any name will do for a lock; what it says of its owner is only believed where it makes sense.
test_names_and_content_of_locks() {
	local name content n=0 locks=$M/state/.locks
	for name in "a b" $'new\nline' $'\xff\xfe' '"' "'" '$(id)' "$(head -c 255 /dev/zero | tr '\0' l)" "- x: [" "# x"; do
		touch "$locks/$name"
	done
	head -c 10000000 /dev/zero | tr '\0' 9 >"$locks/big"
	for content in -1 0 1 99999999999999999999 "not a pid" "1 2" $'\x01' "0x10" "../../x"; do
		n=$((n + 1))
		echo "$content" >"$locks/content-$n"
	done
	cat "$M/status/locks.yaml" >locks.yaml
	echo 'good: 1' >"$D/locks.yaml"
	cp locks.yaml "$D/locks.yaml" || fail "status/locks.yaml is not well-formed"
	sleep 2 # none of them has an owner who is dead
	eq 19 "$(find "$locks" -type f -print0 | tr -dc '\0' | wc -c)" "locks that are still there"
	find "$locks" -type f -delete
}

test_participants_of_barriers() {
	local sync=$M/state/sessions/par/agents/.sync
	mkdir "$M/state/sessions/par"
	touch "$M/state/sessions/par/agents/one.yaml"
	mkdir "$sync/b1"
	head -c 5000000 /dev/urandom >"$sync/b1/participants" 2>/dev/null || true
	mkdir "$sync/b2"
	printf '../x\n\n \none\none\n%s\n' "$LONG" >"$sync/b2/participants" 2>/dev/null || true
	mkdir "$sync/b3"
	for content in soon -1 1e9 '' 99999999999999999999; do
		echo "$content" >"$sync/b3/timeout" 2>/dev/null || true
	done
	timeout 120 cat "$M/status/agents.yaml" >/dev/null
	timeout 120 rm -r "$M/state/sessions/par"
	[ ! -e "$M/state/sessions/par" ] || fail "it is still there"
}

# --- content ----------------------------------------------------------------------------

# refused FILE CASE LINE BEFORE: saving CASE over FILE fails with EBADMSG; BEFORE stays; record and draft are kept
refused() {
	local record line
	fails_with 'bad message' cp "$2" "$1"
	grep -v last_updated "$1" | cmp - "$4" >&2 || fail "$2: the old version did not stay"
	record=$(newest_refusal)
	line=$(sed -n 's/^  line: //p' "$record")
	if [ "$3" = 0 ]; then
		case $line in
		null | 0) ;;
		*) fail "$2: the reason names line $line" ;;
		esac
	else
		eq "$3" "$line" "$2: line of the reason ($(grep -m1 message: "$record" | head -c 200))"
	fi
	[ "$(sed -n 's/^  message: //p' "$record" | wc -c)" -gt 15 ] || fail "$2: no message"
	[ "$(wc -c <"$record")" -lt 5000 ] || fail "$2: the record has $(wc -c <"$record") bytes"
	grep -q '^  error: "EBADMSG"' "$record" || fail "$2: $(grep error: "$record")"
	same "${record%.yaml}.draft" "$2"
}

# accepted FILE CASE: it is saved, stays well-formed, and still says what the user's said
accepted() {
	cp "$2" "$1" || fail "$2: should be accepted: $(grep -m1 message: "$(newest_refusal)")"
	eq "" "$(grep -avxFf "$1" "$2" | head -c 200)" "lines of $2 that are gone"
	cp "$1" again.yaml # what the daemon made of it may be saved again
	cp again.yaml "$1" || fail "$2: what became of it is refused: $(grep -m1 message: "$(newest_refusal)")"
}

# content session|agent FILE GOOD
content() {
	local name outcome line start took rss
	mkdir cases
	"$PY" "$LIB_DIR/hostile_yaml.py" "$1" cases >list
	[ "$(wc -l <list)" -gt 40 ] || fail "only $(wc -l <list) cases"
	rss=$(rss_kb)
	while read -r name outcome line; do
		cp "$3" "$2"
		grep -v last_updated "$2" >before || true
		start=${EPOCHREALTIME/./}
		if [ "$outcome" = refused ]; then
			refused "$2" "cases/$name" "$line" before
		else
			accepted "$2" "cases/$name"
		fi
		took=$(((${EPOCHREALTIME/./} - start) / 1000))
		[ "$took" -lt $((60000 * FACTOR)) ] || fail "$name took $took ms"
	done <list
	cp "$3" "$2"
	rss=$(($(rss_kb) - rss))
	[ "$rss" -lt 150000 ] || fail "the daemon grew by $rss KB"
}

test_content_of_session_yaml() {
	mkdir "$M/state/sessions/hos"
	printf '# mine\nsession:\n  type: "before"\n' >good.yaml
	content session "$M/state/sessions/hos/session.yaml" good.yaml
	mnt_crash
	has "$M/state/sessions/hos/session.yaml" '^  type: "before"'
	timeout 120 rm -r "$M/state/sessions/hos"
}

test_content_of_an_agents_file() {
	mkdir "$M/state/sessions/hos"
	printf '# mine\nagent:\n  type: "before"\n  status: active\n' >good.yaml
	content agent "$M/state/sessions/hos/agents/hos-a.yaml" good.yaml
	# as the first save of a new agent: refused, and nobody is registered
	fails_with 'bad message' cp cases/section_is_a_list "$M/state/sessions/hos/agents/hos-b.yaml"
	[ ! -e "$M/agents/registry/hos-b.yaml" ] || fail "registered all the same"
	mnt_crash
	has "$M/agents/registry/hos-a.yaml" '^  type: "before"'
	timeout 120 rm -r "$M/state/sessions/hos"
}

# The other ways in: rename over it, append, in-place writing, truncation.
test_other_ways_in() {
	local f
	mkdir "$M/state/sessions/way"
	f=$M/state/sessions/way/session.yaml
	grep -v last_updated "$f" >before
	unchanged() {
		grep -v last_updated "$f" | cmp - before >&2 || fail "$1: the old version did not stay"
	}
	echo 'session: [' >"$M/state/sessions/way/bad.yaml"
	fails_with 'bad message' mv "$M/state/sessions/way/bad.yaml" "$f"
	unchanged mv
	fails_with 'bad message' sed -i 's/status: .*/status: "nonsense"/' "$f"
	unchanged sed
	fails_with 'bad message' py "$f" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
		os.write(fd, b"\tx: [\n")
		os.fsync(fd)
	END
	unchanged append
	fails_with 'bad message' py "$f" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		os.pwrite(fd, b"[[[[", 0)
		os.fsync(fd)
	END
	unchanged "writing in place"
	fails_with 'not permitted' ln "$f" "$D/link.yaml"
	fails_with 'not permitted' ln -f "$M/state/sessions/way/bad.yaml" "$f"
	rm -r "$M/state/sessions/way"
}

run_tests "$@"
