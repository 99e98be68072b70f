#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# recovery/resume.sh, sourced by bash, dash and zsh: brings a shell back to where the session stood, whatever paths, branches and texts hold, and
# leaves nothing else behind.
. "$(dirname "$0")/lib.sh"

shells() {
	local sh
	for sh in bash dash zsh; do
		if command -v "$sh" >/dev/null; then
			echo "$sh"
		fi
	done
}

# sourced SHELL OPTIONS SCRIPT: sources it in a fresh shell; OUT, WHERE, LEFT
# WHERE: the directory, as bytes; LEFT: what is set now and was not before, the session apart
sourced() {
	mkdir -p "$O/elsewhere"
	cat >"$O/driver" <<-'END'
		cd "$2"
		case $3 in bash) declare -F ;; zsh) print -l ${(k)functions} ;; esac >"$4/functions.before"
		set >"$4/before"
		. "$1" >"$4/out" 2>&1
		set >"$4/after"
		case $3 in bash) declare -F ;; zsh) print -l ${(k)functions} ;; esac >"$4/functions.after"
		pwd -P >"$4/where"
		sh -c 'printf "%s\n" "$MILESTONES_SESSION"' >"$4/session"
		echo went on >"$4/end"
	END
	rm -f "$O/end" "$O/where"
	"$1" "$2" "$O/driver" "$3" "$O/elsewhere" "$1" "$O" >"$O/driver.said" 2>&1 || fail "$1 $2: status $?: $(head -n 5 "$O/driver.said")"
	file_is "$O/end" "went on"
	eq "" "$(cat "$O/driver.said")" "$1 $2 said beside it"
	grep -vaE '^(_|PWD|OLDPWD|LINENO|RANDOM|SRANDOM|SECONDS|EPOCHSECONDS|EPOCHREALTIME|BASH_[A-Z]*|PIPESTATUS|FUNCNAME|PPID|TTYIDLE|status|\?|!|0|MILESTONES_SESSION|ZSH_.*|funcstack|history.*|pipestatus|dirstack)=' "$O/before" | grep -a = | cut -d = -f 1 | sort -u >"$O/names.before"
	grep -vaE '^(_|PWD|OLDPWD|LINENO|RANDOM|SRANDOM|SECONDS|EPOCHSECONDS|EPOCHREALTIME|BASH_[A-Z]*|PIPESTATUS|FUNCNAME|PPID|TTYIDLE|status|\?|!|0|MILESTONES_SESSION|ZSH_.*|funcstack|history.*|pipestatus|dirstack)=' "$O/after" | grep -a = | cut -d = -f 1 | sort -u >"$O/names.after"
	same "$O/names.before" "$O/names.after"
	same "$O/functions.before" "$O/functions.after"
}

test_summary() {
	local sh opt
	session res-1
	sed -i 's/^  current_operation: .*/  current_operation: "refactor the parser"/; s/^  progress_percentage: .*/  progress_percentage: 40/' "$X/session.yaml"
	echo "agent: {status: active}" >"$X/agents/coder-1.yaml"
	mkdir "$C/before-refactor"
	echo x >"$X/state/new-thing"
	mv "$X/state/new-thing" "$X/state/old-thing"
	echo x >"$X/state/last-thing"
	[ -x "$R/resume.sh" ] || fail "not executable"
	for sh in $(shells); do
		"$sh" -n "$R/resume.sh" || fail "$sh does not like it"
		for opt in -- -eu; do
			sourced "$sh" "$opt" "$R/resume.sh"
			file_is where "$P"
			file_is session res-1
			has out '^session res-1: active$'
			has out '^operation in progress: refactor the parser$'
			has out '^progress: 40 %$'
			has out '^last checkpoint: before-refactor \(20.*, before-refactor\)$'
			has out '^agents: coder-1 \(active\)$'
			has out '^  20[^ ]* file_created state/sessions/res-1/state/last-thing by '
			has out '^  20[^ ]* renamed state/sessions/res-1/state/new-thing -> state/sessions/res-1/state/old-thing by '
			eq 5 "$(grep -c '^  20' out)" "events shown"
		done
	done
	[ "$(shells | wc -l)" -ge 2 ] || fail "only these shells: $(shells)"
}

git_project() {
	need git
	rm -rf "$P/.git"
	git -C "$P" init -q -b main
	git -C "$P" config user.name n
	git -C "$P" config user.email e
	echo one >"$P/file"
	git -C "$P" add file
	git -C "$P" commit -q -m one
}

on_branch() {
	eq "$1" "$(git -C "$P" symbolic-ref --short HEAD)" "branch"
}

test_branch() {
	local sh
	git_project
	session branch-1
	git -C "$P" switch -q -c work
	mkdir "$C/c1"
	for sh in $(shells); do
		git -C "$P" switch -q work
		sourced "$sh" -eu "$R/resume.sh"
		has out '^branch: work, as recorded$'
		git -C "$P" switch -q main
		sourced "$sh" -eu "$R/resume.sh"
		has out '^branch: switched to work, as recorded$'
		on_branch work
		git -C "$P" switch -q main
		# changed, then only a file git does not know
		echo two >"$P/file"
		sourced "$sh" -eu "$R/resume.sh"
		has out '^branch: not switched to work, .* not clean'
		on_branch main
		file_is "$P/file" two
		git -C "$P" checkout -q -- file
		echo mine >"$P/untracked"
		sourced "$sh" -- "$R/resume.sh"
		has out '^branch: not switched to work, .* not clean'
		on_branch main
		rm "$P/untracked"
		# git's own variables mean another repository
		GIT_DIR=$O/no GIT_WORK_TREE=$O sourced "$sh" -eu "$R/resume.sh"
		on_branch work
		git -C "$P" switch -q main
	done
	git -C "$P" branch -q -D work
	sourced bash -eu "$R/resume.sh"
	has out '^branch: not switched: work, which was recorded, does not exist any more$'
	on_branch main
	rm -rf "$P/.git"
	sourced bash -eu "$R/resume.sh"
	has out '^branch: work was recorded, but there is no repository here any more$'
	mkdir "$C/c2"
	sourced bash -eu "$R/resume.sh"
	must_fail grep -q '^branch' out
}

# A name of a branch can hold nearly anything.
test_hostile_branches() {
	local sh branch i=0
	git_project
	session hostile-1
	# shellcheck disable=SC2016
	for branch in "it's" '$(touch${IFS}pwned)' '`touch${IFS}pwned`' 'a;touch$IFS;pwned' 'a|touch' 'a&&pwned&' '"quoted"' "'" "''" '$HOME' 'a>pwned' '!!' '#a' 'ünïcödé' 'a%s%n' "'\$(touch\${IFS}pwned)'" '{a,b}' '--detach' 'a(b)'; do
		i=$((i + 1))
		git -C "$P" update-ref "refs/heads/$branch" main || continue
		git -C "$P" symbolic-ref HEAD "refs/heads/$branch"
		mkdir "$C/h$i"
		eq "$branch" "$(sed -nE 's/^  git_branch: "(.*)"$/\1/p' "$C/h$i/checkpoint.yaml" | sed 's/\\"/"/g; s/\\\\/\\/g')" "what was recorded"
		for sh in $(shells); do
			git -C "$P" symbolic-ref HEAD refs/heads/main
			sourced "$sh" -eu "$R/resume.sh"
			case $branch in
			-*) on_branch main ;;
			*) eq "refs/heads/$branch" "$(git -C "$P" symbolic-ref HEAD)" "$sh: branch ($(cat out))" ;;
			esac
		done
		git -C "$P" symbolic-ref HEAD refs/heads/main
	done
	[ "$i" -gt 15 ]
	eq "" "$(find "$P" "$O" -maxdepth 2 -name 'pwned*')" "what was run"
	rm -rf "$P/.git" "$P/file"
}

# And the project can be anywhere.
test_hostile_paths() {
	local shared=$P name sh n=0
	mnt_stop
	# shellcheck disable=SC2016
	for name in "it's" 'a b  c' '$(touch pwned)' '`touch pwned`' '-rf' $'two\nlines' $'tab\tand\\back' "'; touch pwned; '" '"' $'\x81\x82\x88\xa2\xff' $'\xe3' '*' '!x' '~' $'esc\e[31mape' $'c1\xc2\x9bx'; do
		project_at "$T/paths/$name"
		"$MILESTONEFS" mount "$P" >said 2>&1 || fail "mount at $(printf %q "$name"): $(head -n 3 said)"
		mkdir "$S" "$S/checkpoints/c1"
		for sh in $(shells); do
			for opt in -- -eu; do
				sourced "$sh" "$opt" "$S/recovery/resume.sh"
				eq "$P" "$(cat where)" "$sh: where"
				file_is session s1
				# no control characters but newlines
				LC_ALL=C tr -d '\n' <out | LC_ALL=C grep -qa '[[:cntrl:]]' && fail "$sh: control characters: $(cat -v out | head -n 3)"
				LC_ALL=C grep -qaP '\xc2\x9b' out && fail "$sh: a C1 control character"
			done
		done
		n=$((n + 1))
		"$MILESTONEFS" umount "$P" || fail "umount"
	done
	eq 16 "$n" "projects"
	eq "" "$(find "$T/paths" "$O" -name 'pwned*')" "what was run"
	project_at "$shared"
	mnt_start
}

# What a session or an agent says of itself does not reach the terminal as it is.
test_hostile_texts() {
	local sh
	session texts-1
	cat >"$X/session.yaml" <<-'END'
		state:
		  current_operation: "it's $(touch pwned) \e]0;title\a \u009b31m 'x'\n-- `id` \u202e"
	END
	echo x >"$X/state/"$'ev\e[2Jil\n$(touch pwned)\''"'"
	for sh in $(shells); do
		sourced "$sh" -eu "$R/resume.sh"
		# shellcheck disable=SC2016
		has out '^operation in progress: it.s \$\(touch pwned\) '
		has out "^  20.* file_created state/sessions/texts-1/state/ev.*il"
		LC_ALL=C tr -d '\n' <out | LC_ALL=C grep -qa '[[:cntrl:]]' && fail "$sh: control characters"
		LC_ALL=C grep -qaP '\xc2\x9b|\xe2\x80\xae' out && fail "$sh: control characters beyond ASCII"
		file_is session texts-1
	done
	eq "" "$(find "$P" "$O" -maxdepth 2 -name 'pwned*')" "what was run"
}

# Many have an alias for cd.
test_alias_of_cd() {
	local sh
	session alias-1
	for sh in $(shells); do
		# shellcheck disable=SC2016
		printf '%s\n' '[ -z "${BASH_VERSION-}" ] || shopt -s expand_aliases' 'alias cd="echo no"' '. "$1"' '\cd .' 'pwd -P >where' >alias.sh
		(cd "$O" && "$sh" alias.sh "$R/resume.sh" >alias.out)
		file_is "$P/where" "$P"
		rm "$P/where"
	done
}

# The working directory is gone, or nobody may enter it: said, and nothing else breaks.
test_without_a_directory() {
	local sh
	session nodir-1
	sed "s,^if .cd .*,if cd '/nonexistent/dir' >/dev/null 2>\&1; then," "$R/resume.sh" >resume.sh
	for sh in $(shells); do
		sourced "$sh" -eu "$O/resume.sh"
		file_is where "$O/elsewhere"
		has out '^resume.sh: cannot go to '
		file_is session nodir-1
	done
}

run_tests "$@"
