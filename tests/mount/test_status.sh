#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# status/ and cache/checksums: what the mount says of itself, and its settings.
. "$(dirname "$0")/lib.sh"

test_health() {
	local head_before head_after
	eq "status: healthy" "$(head -n 1 "$M/status/health.yaml")" "first line"
	eq "$(cat "$PID_FILE")" "$(mnt_pid)" pid
	tr '\0' ' ' <"/proc/$(mnt_pid)/cmdline" | grep -q mount || fail "pid is not the daemon's"
	has "$M/status/health.yaml" '^ *uptime[a-z_]*: *[0-9.]+'
	has "$M/status/health.yaml" '^ *head[a-z_]*: *[0-9]+'
	head_before=$(sed -nE 's/^ *head[a-z_]*: *([0-9]+).*/\1/p' "$M/status/health.yaml" | head -n 1)
	echo x >"$D/f.txt"
	head_after=$(sed -nE 's/^ *head[a-z_]*: *([0-9]+).*/\1/p' "$M/status/health.yaml" | head -n 1)
	[ "$head_after" -gt "$head_before" ] || fail "head $head_before, then $head_after after a save"
	[ "$head_after" -ge "$(tail -n 1 "$M/state/events/all.jsonl" | jq .data.tx_seq)" ] || fail "the last event is beyond the head"
}

test_yaml_files_are_yaml() {
	local name
	for name in health journal; do
		# the mount's own rules judge it: malformed content over a good file is refused
		echo 'good: 1' >"$D/$name.yaml"
		cp "$M/status/$name.yaml" "$D/$name.yaml" || fail "status/$name.yaml is not well-formed"
		[ "$(wc -l <"$M/status/$name.yaml")" -ge 3 ] || fail "status/$name.yaml says too little"
	done
	echo 'good: 1' >"$D/config.yaml"
	cp "$M/status/config.yaml" "$D/config.yaml" || fail "status/config.yaml is not well-formed"
}

# A whole mount can be packed: nothing in it changes all the time. (A second may end just then, but not thrice.)
test_tar_has_nothing_to_say() {
	local i
	echo x >"$D/f.txt"
	for i in 1 2 3; do
		if tar -C "$M" -cf ball.tar . 2>said; then return; fi
	done
	fail "tar: $(tr '\n' ' ' <said)"
}

test_version() {
	has "$M/status/version" '[0-9]+\.[0-9]+'
	grep -qF "$("$MILESTONEFS" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)" "$M/status/version" || fail "status/version is not --version's"
}

test_metrics_are_openmetrics() {
	echo x >"$D/f.txt"
	cat "$M/status/metrics" >m1
	echo y >"$D/f.txt"
	cat "$M/status/metrics" >m2
	cat >check.py <<-'END'
		import re, sys
		from mt import *
		SUFFIX = {"counter": ("_total", "_created"), "gauge": ("",), "info": ("_info",), "unknown": ("",), "stateset": ("",),
		          "histogram": ("_bucket", "_count", "_sum", "_created"), "summary": ("", "_count", "_sum", "_created")}
		NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
		LABELS = r'\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:,(?!\})|(?=\})))*\}'
		SAMPLE = re.compile(rf"({NAME})({LABELS})? (-?[0-9.eE+-]+|[+-]Inf|NaN)( -?[0-9.]+)?$")
		def parse(path):
		    text = open(path, encoding="utf-8").read()
		    check(text.endswith("# EOF\n"), "does not end with '# EOF'")
		    lines = text.split("\n")[:-2]
		    types, family, values, done = {}, None, {}, set()
		    for n, line in enumerate(lines, 1):
		        where = f"line {n}: {line!r}"
		        if line.startswith("#"):
		            m = re.match(rf"# (TYPE|HELP|UNIT) ({NAME}) ?(.*)$", line)
		            check(m, where)
		            word, name, rest = m.groups()
		            if name != family:
		                check(name not in done, where + ": family again")
		                if family:
		                    done.add(family)
		                family = name
		            if word == "TYPE":
		                check(name not in types and rest in SUFFIX, where)
		                check(rest != "counter" or not name.endswith("_total"), where + ": a counter's family has no _total")
		                types[name] = rest
		            if word == "UNIT" and rest:
		                check(name.endswith("_" + rest), where + ": unit is no suffix of the name")
		            continue
		        m = SAMPLE.match(line)
		        check(m, where + ": no sample")
		        check(family, where + ": sample before any family")
		        kind = types.get(family, "unknown")
		        check(m[1] in [family + s for s in SUFFIX[kind]], where + f": not of the {kind} {family}")
		        key = m[1] + (m[2] or "")
		        check(key not in values, where + ": sample again")
		        values[key] = (kind, float(m[3]))
		    check(len(values) >= 5, f"only {len(values)} samples")
		    return values
		a, b = parse("m1"), parse("m2")
		counters = [k for k, (kind, v) in a.items() if kind == "counter" and k.split("{")[0].endswith("_total")]
		check(counters, "no counters")
		for k in counters:
		    check(k in b and b[k][1] >= a[k][1] >= 0, f"counter {k} went from {a[k][1]} to {b.get(k)}")
		check(any(b[k][1] > a[k][1] for k in counters), "no counter grew by a save")
	END
	"$PY" check.py
}

# config_set KEY VALUE: edit one setting as a user would
config_set() {
	sed -E "s/^( *)$1:.*/\\1$1: $2/" "$M/status/config.yaml" >new.yaml
	grep -Eq "^ *$1: $2" new.yaml || echo "$1: $2" >>new.yaml
	cp new.yaml "$M/status/config.yaml"
}

test_config_is_applied_at_once() {
	config_set autocommit_ms 3600000
	exec 3>>"$D/f.log"
	echo waiting >&3
	# shellcheck disable=SC2016
	stays 2 eval '[ ! "$(cat "$D/f.log")" ]'
	config_set autocommit_ms 150
	has "$M/status/config.yaml" '^ *autocommit_ms: *150'
	wait_for grep -qx waiting "$D/f.log"
	echo quick >&3
	wait_for grep -qx quick "$D/f.log"
	exec 3>&-
	mnt_crash
	has "$M/status/config.yaml" '^ *autocommit_ms: *150'
	config_set autocommit_ms 1000
}

test_config_keeps_comments() {
	cp "$M/status/config.yaml" new.yaml
	echo '# my own remark' >>new.yaml
	cp new.yaml "$M/status/config.yaml"
	has "$M/status/config.yaml" '^# my own remark'
}

test_bad_config_is_refused() {
	local line
	cat "$M/status/config.yaml" >before
	for line in 'autocommit_ms: soon' 'autocommit_ms: -5' 'sync: perhaps' 'on_conflict: fight' 'no_such_setting: 1'; do
		grep -vE "^ *${line%%:*}:" before >new.yaml || true
		echo "$line" >>new.yaml
		must_fail cp new.yaml "$M/status/config.yaml"
		same before "$M/status/config.yaml"
	done
	echo 'sync: [' >new.yaml
	must_fail cp new.yaml "$M/status/config.yaml"
	same before "$M/status/config.yaml"
}

test_sync_mode_by_config() {
	config_set sync interval:100
	echo x >"$D/f.txt"
	mnt_crash
	file_is "$D/f.txt" x
	has "$M/status/config.yaml" '^ *sync: *"?interval:100'
	has "$M/status/journal.yaml" '^ *sync: interval:100$'
	mnt_remount -o sync=commit
	has "$M/status/journal.yaml" '^ *sync: commit$'
	mnt_remount -o sync=interval:20
	has "$M/status/journal.yaml" '^ *sync: interval:20$'
	mnt_remount
	config_set sync commit
}

test_sha256sums() {
	local n
	echo one >"$D/f.txt"
	echo '{"a": 1}' >"$D/g.json"
	: >"$D/empty"
	head -c 500000 /dev/urandom >"$D/r.bin"
	echo odd >"$D/name with space"
	echo appended >>"$D/f.txt"
	(cd "$M" && sha256sum -c --quiet cache/checksums/SHA256SUMS) || fail "sha256sum -c does not accept it"
	for n in f.txt g.json empty r.bin 'name with space'; do
		grep -qF "sha256sums/$n" "$M/cache/checksums/SHA256SUMS" || fail "$n is not listed"
	done
	echo changed >"$D/f.txt"
	(cd "$M" && sha256sum -c --quiet cache/checksums/SHA256SUMS) || fail "not accepted after a change"
	rm "$D/g.json"
	(cd "$M" && sha256sum -c --quiet cache/checksums/SHA256SUMS) || fail "not accepted after a removal"
}

test_daemon_is_quiet_when_idle() {
	sleep 1
	idle 3 30
}

run_tests "$@"
