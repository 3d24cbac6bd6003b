# SPDX-License-Identifier: MIT
# sksm-run: environment, exit status, signals, report.
. "$SKSM_TEST_SOURCE/test/lib.sh"

run=("$sksm_run" --no-pacer)
check "exit status 0" "${run[@]}" -- true
for status in 1 7 126 255; do
	"${run[@]}" -- sh -c "exit $status"
	check "exit status $status" test $? = $status
done
"${run[@]}" -- "$T/nowhere" 2>nowhere.err
check "a missing command is 127" test $? = 127
"${run[@]}" -- "$T" 2>directory.err
check "a directory is 126" test $? = 126
"$sksm_run" --no-such-option -- true 2>option.err
check "a wrong option is refused" test $? -ge 1 -a -s option.err
"$sksm_run" 2>none.err
check "no command is refused" test $? -ge 1 -a -s none.err
{ "${run[@]}" -- sh -c 'kill -TERM $$'; } 2>/dev/null
check "killed by SIGTERM is 143" test $? = 143

check "the shim is preloaded" test "$("${run[@]}" -- sh -c 'echo "$LD_PRELOAD"')" = "$shim"
LD_PRELOAD=libm.so.6 "${run[@]}" -- sh -c 'echo "$LD_PRELOAD"' >kept
check "an LD_PRELOAD that is there is kept" grep -q 'libm.so.6' kept
check "and so is ours" grep -qF "$shim" kept
check "-e sets a variable" test "$("${run[@]}" -e SKSM_AGE_MS=77 -e X=a=b -- sh -c 'echo $SKSM_AGE_MS $X')" = "77 a=b"
check "--domain" test "$("${run[@]}" --domain other -- sh -c 'echo $SKSM_DOMAIN')" = other
check "--estimate" test "$("${run[@]}" --estimate -- sh -c 'echo $SKSM_MODE')" = estimate
check "standard input is the command's" test "$(echo hello | "${run[@]}" -- cat)" = hello
check "arguments stay whole" test "$("${run[@]}" -- printf '%s|' 'a b' '' '*')" = 'a b||*|'
compare plain_output env "${run[@]}" -- seq 1 1000

# Signals reach the command, and its answer is the result.
start trap "${run[@]}" -- bash -c 'trap "echo got; exit 9" USR1 HUP; echo ready; while :; do sleep 0.05; done'
wait_until 5 said trap ready
kill -USR1 "$pid"
wait "$pid"
check "a signal is passed on, and the status back" test $? = 9
check "the command got it" said trap got
start int "${run[@]}" -- sleep 30
sleep 0.3
kill -TERM "$pid"
wait "$pid" 2>/dev/null
check "SIGTERM ends command and sksm-run" test $? = 143


# Somebody stops the command alone, and continues it alone.
start stopped "${run[@]}" -- bash -c 'echo $$; sleep 1; exit 7'
wait_until 5 test -s stopped.out
command=$(cat stopped.out)
kill -STOP "$command"
sleep 0.3
kill -CONT "$command"
wait "$pid"
check "a command that was stopped and continued by others" test $? = 7
start abort "${run[@]}" -- bash -c 'trap "exit 8" ABRT; echo ready; while :; do sleep 0.05; done'
wait_until 5 said abort ready
kill -ABRT "$pid"
wait "$pid"
check "SIGABRT is passed on" test $? = 8

SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 "${run[@]}" --report -- "$victims/hold" --bytes 20M --seconds 1 \
	--content repeat </dev/null >report.out 2>report.err
check "--report: exit status" test $? = 0
cat report.out report.err >both
check "--report: the command is in it" grep -q hold both
check "--report: the command's own output is first" test "$(head -n 1 report.out)" = ready
recorded "the command" '.comm == "hold" and .duplicate > 10000000'
check "ksm settings as before" ksm_as_before
finish
