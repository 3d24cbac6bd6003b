# SPDX-License-Identifier: MIT
# bash: a script that grows an array, forks, traps, waits for jobs and co-processes.
quick=1
tracks=bash
need_command bash seq
version() { bash --version | head -n 1; }

work() {
	local i sum=0 word

	mapfile -t lines < <(seq 1 "$(amount 400000 100000)")
	for i in "${lines[@]:0:20000}"; do
		sum=$((sum + i))
	done
	echo "sum $sum of ${#lines[@]}"
	declare -A counts
	for i in "${lines[@]: -20000}"; do
		word=${i: -2}
		counts[$word]=$((${counts[$word]:-0} + 1))
	done
	echo "${#counts[@]} words, ${counts[77]} of 77"
	printf -v lines[0] '%200000s' x
	echo "length ${#lines[0]}"
	for ((i = 0; i < $(amount 300 60); i++)); do
		(exit $((i % 7))) || sum=$((sum + $?))
		word=$(echo "${lines[i + 1]}")
		[ "$word" = $((i + 2)) ] || echo "lost at $i: $word"
	done
	echo "after children $sum"
	trap 'echo "trapped USR1"' USR1
	kill -USR1 $BASHPID
	for i in 3 1 2; do
		(sleep 0.$i; exit $i) &
	done
	wait -n; echo "first $?"
	wait -n; echo "then $?"
	wait -n; echo "last $?"
	coproc cat
	echo "through a co-process" >&"${COPROC[1]}"
	read -r word <&"${COPROC[0]}"
	echo "$word"
	eval "exec ${COPROC[1]}>&-"
	wait
	{ (kill -SEGV $BASHPID); echo "a killed child: $?"; } 2>/dev/null
	(ulimit -n 16; for i in {3..40}; do eval "exec $i</dev/null" 2>/dev/null || break; done; echo "files up to $i")
	(ulimit -v 400000; printf '%30000000s' x | wc -c)
	cat <<<"$(printf '%s\n' "${lines[@]}" | cksum)"
	false | true | (exit 3)
	echo "pipe ${PIPESTATUS[*]}"
	exec 3<&1
	return 9
}
