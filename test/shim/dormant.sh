# SPDX-License-Identifier: MIT
# Where nothing can be tracked, one thread finds that out, and no other after it.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command strace
export SKSM_THRESHOLD=64K SKSM_TRACKER=wp
maps=("$victims/deny" EPERM userfaultfd env LD_PRELOAD="$shim" "$victims/maps" 3000)
strace -o try.trace true 2>/dev/null || skip "strace cannot trace here"
start maps strace -f -e trace=clone -o "$T/trace" "${maps[@]}"
wait "$pid"
check "it ends well" test $? = 0
check "having mapped" said maps "mapped 3000 times"
threads=$(grep -cE '(clone\(|resumed>).*CLONE_THREAD' trace)
check "one thread was started, not $threads" test "$threads" = 1
recorded "dormant, with the reason" \
	'.comm == "maps" and .dormant != null and (.dormant | test("userfaultfd"; "i"))'
SKSM_LOG=info "${maps[@]}" >log.out 2>log.err
# With an ability taken off (test/masks) that may be the reason.
why=${SKSM_TEST_FAULT:+[^ ]}
check "SKSM_LOG=info says why" grep -q "sksm: maps: nothing is tracked: .*${why:-userfaultfd}" log.err
"${maps[@]}" >quiet.out 2>quiet.err
check "and nothing is said without it" test ! -s quiet.err
finish
