# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
#
# Words of the mount tests for what a mount holds and says, and for other ways to mount than lib.sh's, which sources it: sessions, events, rollbacks;
# mounts in the background, and of ordinary users.

# --- sessions ------------------------------------------------------------------------

# session NAME [YAML]: a fresh session X, its file F (with that saved in it), its directories A, C and R
session() {
	X=$M/state/sessions/$1
	F=$X/session.yaml
	A=$X/agents
	C=$X/checkpoints
	R=$X/recovery
	mkdir "$X"
	if [ "${2:-}" ]; then
		echo "$2" >"$F"
	fi
}

# session_fill: files, links and an agent in X; session_spoil: all of it is another way
session_fill() {
	mkdir -p "$X/state/a/b"
	echo "v: 1" >"$X/state/plan.yaml"
	echo deep >"$X/state/a/b/deep.txt"
	ln -s plan.yaml "$X/state/link"
	ln "$X/state/a/b/deep.txt" "$X/state/hard"
	chmod 0640 "$X/state/hard"
	touch -d 2001-02-03T04:05:06.789 "$X/state/plan.yaml"
	echo "agent: {type: worker}" >"$X/agents/coder-1.yaml"
}

session_spoil() {
	echo "v: 2" >"$X/state/plan.yaml"
	rm -r "$X/state/a"
	echo later >>"$X/state/hard"
	ln -sf nowhere "$X/state/link"
	echo new >"$X/state/new"
	mkdir -p "$X/state/newdir/sub"
	rm "$X/agents/coder-1.yaml"
	echo "agent: {type: other}" >"$X/agents/coder-2.yaml"
}

# --- what files say --------------------------------------------------------------------

# key FILE KEY: the first value of that key, without quotes
key() {
	sed -nE "s/^[ -]*$2: \"?([^\"]*)\"?$/\1/p" "$1" | head -n 1
}

# is FILE KEY VALUE, for wait_for and stays
is() {
	[ "$(key "$1" "$2")" = "$3" ]
}

# begins FILE LINE, for wait_for and stays
begins() {
	[ "$(head -n 1 "$1")" = "$2" ]
}

# events_grep JQ_CONDITION: the events for which it holds, one a line
events_grep() {
	jq -c "select($1)" "$M/state/events/all.jsonl"
}

# event_count: of what the daemon did not do by itself, which is due whenever it is
event_count() {
	grep -vcF '"operation":"upkeep"' "$M/state/events/all.jsonl"
}

# rollback_of TEXT: names of TX.yaml in rollbacks that mention TEXT
rollback_of() {
	local f
	for f in "$M"/transactions/rollbacks/*.yaml; do
		if [ -e "$f" ] && grep -qF -- "$1" "$f"; then
			echo "$f"
		fi
	done
}

# draft_kept TEXT FILE: some rollback that mentions TEXT kept exactly the bytes of FILE
draft_kept() {
	local f
	for f in $(rollback_of "$1"); do
		if cmp -s "${f%.yaml}.draft" "$2"; then
			return 0
		fi
	done
	return 1
}

# --- mounts in the background, and of ordinary users ------------------------------------

# bg_mount: mount in the background, as people do
bg_mount() {
	timeout 120 "$MILESTONEFS" mount "$P" >said 2>&1 || fail "mount: status $?: $(tr '\n' ' ' <said)"
	mnt_pid >"$PID_FILE"
	[ -s "$PID_FILE" ] || fail "mount returned, but status/health.yaml has no pid"
	[ -d "$S" ] || mkdir "$S"
	mkdir -p "$D"
}

gone() {
	[ ! -d "/proc/$1" ] || grep -q '^State:.*zombie' "/proc/$1/status"
}

bg_umount() {
	local pid
	pid=$(cat "$PID_FILE")
	"$MILESTONEFS" umount "$P" || fail "umount: status $?"
	! is_mounted || fail "still mounted after umount"
	wait_for gone "$pid"
}

# they_end PID...: children of this shell that worked on a mount; none waits for a daemon that is dead
they_end() {
	local pid
	for pid; do
		wait_for eval "! kill -0 $pid 2>/dev/null"
		wait "$pid" || true
	done
}

USER_ID=65534

# user COMMAND...: as the one whose mount it is; in the mount namespace of process $NS, if any
user() {
	${NS:+nsenter -t "$NS" -m} setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups -- env HOME=/ "$@"
}

# users_project: a project of the user, and a program he may run
users_project() {
	need setpriv fusermount3
	fuse_for_all
	mkdir bin
	cp "$MILESTONEFS" bin/milestonefs
	BIN=$O/bin/milestonefs
	chmod -R go+rX "$T"
	chown "$USER_ID:$USER_ID" "$P" "$O"
}

# user_mount [-o OPTIONS]
user_mount() {
	user timeout 120 "$BIN" mount "$@" "$P" >said 2>&1 || fail "mount: status $?: $(tr '\n' ' ' <said)"
	user sed -nE 's/^pid: ([0-9]+)$/\1/p' "$M/status/health.yaml" >"$PID_FILE"
	[ -s "$PID_FILE" ] || fail "no pid in health.yaml"
}
