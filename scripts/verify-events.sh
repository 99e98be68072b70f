#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Verify an event log of milestonefs with nothing of milestonefs: POSIX sh, jq, awk and sha256sum.
#
# Every digest in the log hashes the digest before it as the log states it, so all inputs are known without computing any:
# jq reads the fields of each line, awk writes the inputs of a batch of lines to small files, one sha256sum hashes them all.
#
#   global_checksum = SHA-256 of the previous event's global_checksum and the line without  ,"global_checksum":"…"  and  ,"checksum":"…"
#   checksum        = SHA-256 of the same session's previous checksum and the line without  ,"checksum":"…"
#
# Both begin from 64 zeros; no newline is hashed. Both members are the last of their objects, so they are found from the line's end.
set -u
export LC_ALL=C

usage() {
	cat <<'TEXT'
Usage: verify-events.sh [OPTION...] FILE
Verify the form, the order and the checksums of an event log of milestonefs (FILE may be - for standard input).

  --session        FILE is a session's log, whole (default for session.jsonl and for logs with one session)
  --all            FILE is the log of everything, whole (default for all.jsonl and for logs with several sessions)
  --day            FILE begins in the middle (default for YYYY-MM-DD.jsonl): the first event of each session, and the first
                   of all, are taken as they are, since what they continue is not there
  --count N        fail unless there are N events
  --last CHECKSUM  fail unless the last event's checksum is CHECKSUM
  --help           this text

Prints "FILE: N events verified" and exits with 0; or one "line N: what is wrong" for each line that is, and exits with 1; or exits with 2
when it could not look.

What it finds: malformed JSON, missing fields, sequence numbers out of order, lines edited, removed, inserted or exchanged, a beginning cut off
(but not with --day), a last line cut in the middle. Whole lines cut off at the END leave a log that is valid in itself: note the number of events or the last
checksum elsewhere and give --count or --last. A session's log holds only its own chain; the global chain is verified with all.jsonl.
TEXT
}

fatal() {
	echo "verify-events: $*" >&2
	exit 2
}

mode='' count='' last='' file=''
while [ $# -gt 0 ]; do
	case $1 in
	--session | --all | --day) mode=${1#--} ;;
	--count | --last)
		[ $# -gt 1 ] || fatal "$1 needs a value"
		if [ "$1" = --count ]; then count=$2; else last=$2; fi
		shift ;;
	--count=*) count=${1#*=} ;;
	--last=*) last=${1#*=} ;;
	-h | --help) usage; exit 0 ;;
	--) shift; [ $# -eq 1 ] || fatal "one FILE after --"; file=$1 ;;
	-?*) fatal "unknown option $1 (--help lists them)" ;;
	*) [ -z "$file" ] || fatal "more than one FILE"; file=$1 ;;
	esac
	shift
done
[ -n "$file" ] || { usage >&2; exit 2; }
case $count in *[!0-9]*) fatal "--count $count: not a number" ;; esac
for tool in jq awk sha256sum; do
	command -v $tool >/dev/null || fatal "$tool is not installed"
done

# A log may grow while it is read: work on what it is now.
dir=$(mktemp -d "${TMPDIR:-/tmp}/verify-events.XXXXXX") || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
if [ "$file" = - ]; then cat >"$dir/log"; else cat <"$file" >"$dir/log"; fi || fatal "$file: cannot be read"

# One line of fields for each line of the log: state, session_id, sequence_number, tx_seq, checksum, global_checksum.
jq -Rr '
	. as $line | (try ($line | fromjson) catch null) as $o |
	if ($o | type) != "object" then ["malformed JSON"]
	else [("event_id", "timestamp", "session_id", "event_type", "sequence_number", "checksum") as $f | select($o[$f] == null) | $f] as $missing |
		if $missing != [] then ["missing " + ($missing | join(", "))]
		elif ($o.session_id | type) != "string" or ($o.sequence_number | type) != "number" or ($o.checksum | type) != "string"
			or ($o.data | type) != "object" then ["a field of the wrong type"]
		else ["ok", $o.session_id, $o.sequence_number, ($o.data.tx_seq // 0), $o.checksum, ($o.data.global_checksum // "")]
		end
	end | @tsv' <"$dir/log" >"$dir/fields" || fatal "jq failed"

if [ -z "$mode" ]; then
	case ${file##*/} in
	session.jsonl) mode=session ;;
	all.jsonl) mode=all ;;
	[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].jsonl) mode=day ;;
	*) mode=$(awk -F '\t' '$1 == "ok" && !seen[$2]++ { n++ } END { print (n > 1 ? "all" : "session") }' "$dir/fields") ;;
	esac
fi
ended=yes
[ ! -s "$dir/log" ] || [ "$(tail -c 1 "$dir/log" | od -An -tx1 | tr -d ' ')" = 0a ] || ended=no

mkdir "$dir/in" || exit 2
NAME=$file awk -F '\t' -v mode="$mode" -v dir="$dir" -v want_count="$count" -v want_last="$last" -v ended="$ended" '
function wrong(n, what) { problem[n] = problem[n] (problem[n] == "" ? "" : "; ") what; failed = 1 }

# The line without its last member ,"NAME":"<64 hex digits>" and what follows it; "" when it does not end so. The digits: digest.
function cut_member(text, name,   head, at) {
	head = ",\"" name "\":\""
	at = length(text) - length(head) - 64
	digest = substr(text, at + length(head) + 0, 64)
	if (at < 1 || substr(text, at, length(head)) != head || substr(text, length(text)) != "\"" || digest ~ /[^0-9a-f]/)
		return ""
	return substr(text, 1, at - 1)
}

# Have the digest of text computed with the batch and compared with what line n states.
function expect(n, kind, text, stated,   input) {
	input = dir "/in/" n "." kind
	printf "%s", text > input
	close(input)
	want[n "." kind] = stated
	batch++
}

function flush_batch(   command, line, key, n, part) {
	command = "cd " quoted "/in && find . -type f -print | xargs -r sha256sum && rm -rf ../in && mkdir ../in"
	while (batch && (command | getline line) > 0) {
		key = substr(line, 69) # "<64 digits>  ./KEY"
		split(key, part, ".")
		batch--
		if (substr(line, 1, 64) == want[key])
			continue
		if (part[2] == "s")
			wrong(part[1], "checksum does not match")
		else if (!((part[1] ".s") in bad))
			wrong_global[part[1]] = 1
		if (part[2] == "s")
			bad[part[1] ".s"] = 1
	}
	close(command)
	if (batch)
		broken("sha256sum failed")
	for (n = first; n <= NR; n++) {
		if ((n in wrong_global) && !((n ".s") in bad))
			wrong(n, "global_checksum does not match")
		if (n in problem)
			print "line " n ": " problem[n]
	}
	split("", want); split("", problem); split("", bad); split("", wrong_global)
	first = NR + 1
}

function broken(what) { print "verify-events: " what > "/dev/stderr"; broke = 1; exit 2 }

# After a line that could not be read, a gap of as many numbers as lines were unreadable is that line, not another fault.
function check_order(n, session, number,   gap) {
	if (!(session in sequence)) {
		if (mode == "day") {
			anchors++
			anchor_text = anchor_text (anchors > 1 ? ", " : "") session
			return 0
		}
		sequence[session] = 0
		previous[session] = zeros
		unread_at[session] = 0
	}
	gap = number - sequence[session] - 1
	if (gap > 0 && gap <= unread - unread_at[session])
		return 0
	if (gap)
		wrong(n, "sequence_number " number " of session " session " where " sequence[session] + 1 " belongs" \
			(sequence[session] ? "" : " (the beginning is missing)"))
	return 1
}

function check_line(n, line, session, number, tx_seq, stated, stated_global,   rest, tail, short, known) {
	if (number !~ /^[1-9][0-9]*$/) {
		wrong(n, "sequence_number is not a positive integer")
		return 0
	}
	rest = substr(line, length(line)) == "}" ? cut_member(substr(line, 1, length(line) - 1), "checksum") : ""
	if (rest == "" || digest != stated) {
		wrong(n, "the line does not end with its checksum")
		return 0
	}
	tail = "},\"sequence_number\":" number
	if (substr(rest, length(rest) - length(tail) + 1) != tail) {
		wrong(n, "the line does not end with its sequence_number")
		return 0
	}
	rest = substr(rest, 1, length(rest) - length(tail))
	short = cut_member(rest, "global_checksum")
	if (short == "" || digest != stated_global) {
		wrong(n, "data does not end with its global_checksum")
		return 0
	}
	if (mode == "session" && sessions && !(session in sequence))
		wrong(n, "an event of another session, " session)
	if (tx_seq + 0 < last_tx + 0)
		wrong(n, "tx_seq " tx_seq " after " last_tx)
	known = check_order(n, session, number)
	if (known)
		expect(n, "s", previous[session] rest tail "}", stated)
	if (mode != "session" && global != "")
		expect(n, "g", global short tail "}", stated_global)
	sessions++
	sequence[session] = number + 0
	previous[session] = stated
	unread_at[session] = unread
	global = stated_global
	last_tx = tx_seq
	last_stated = stated
	return 1
}

BEGIN {
	zeros = sprintf("%064d", 0)
	global = mode == "all" ? zeros : ""
	quoted = dir
	gsub(/\047/, "\047\\\047\047", quoted)
	quoted = "\047" quoted "\047"
	name = ENVIRON["NAME"]
	first = 1
}
{
	line = $0
	if ((getline fields < (dir "/fields")) <= 0)
		broken("jq and awk do not see the same lines")
	split(fields, f, "\t")
	if (f[1] != "ok")
		wrong(NR, f[1])
	if (f[1] != "ok" || !check_line(NR, line, f[2], f[3], f[4], f[5], f[6])) {
		unread++
		global = "" # what the next event continues is unknown
	}
	if (batch >= 4000)
		flush_batch()
}
END {
	if (broke)
		exit 2
	if (ended == "no")
		wrong(NR, "does not end with a newline")
	flush_batch()
	if (want_count != "" && want_count + 0 != NR) {
		print "line " NR ": the log ends after " NR " events, not " want_count
		failed = 1
	}
	if (want_last != "" && want_last != last_stated) {
		print "line " NR ": the log does not end with checksum " want_last
		failed = 1
	}
	if (failed)
		exit 1
	print name ": " NR " events verified"
	if (anchors)
		print name ": the log begins in the middle; taken as it is: the first event of " anchor_text (NR ? ", and the first of all" : "")
}' "$dir/log"
