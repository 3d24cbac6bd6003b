# SPDX-License-Identifier: MIT
# Pages shared by fork are no savings.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm

cat >fork.py <<'PYTHON'
import os, sys, time
data = [os.urandom(4096) * 1 for _ in range(16384)]
for _ in range(3):
    if os.fork() == 0:
        break
with open(sys.argv[1], "a") as file:
    print(os.getpid(), file=file)
time.sleep(60)
PYTHON
export SKSM_INTERVAL_MS=200 SKSM_AGE_MS=400
start_holders 1 "$sksm_run" -- $python fork.py PIDFILE
sleep 6
holders=($(cat holder1.pid))
check "a parent and three children" test ${#holders[@]} = 4
recorded "they are tracked" '.comm == "python3" and .tracked > 50000000 and .passes > 3'
saved=$(json .total.saved)
echo "saved: $saved; $(count_frames)"
check "64 MiB shared by fork are not counted as saved" test "$saved" -lt $((16 << 20))
kill "${holders[@]}"
wait_until 10 all_gone || fail "they do not end"
pids=()
machine_is_as_before
finish
