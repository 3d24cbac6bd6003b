# SPDX-License-Identifier: MIT
# A shell pipeline of 200 short commands.
. "$SKSM_TEST_SOURCE/test/lib.sh"
cat >pipeline.sh <<'SHELL'
command='seq 1 2000'
for ((i = 0; i < 66; i++)); do
	command+=" | sed s/^/$((i % 10))/ | cut -c2- | tr 0-9 1234567890"
done
eval "$command" | cksum
for ((i = 0; i < 50; i++)); do
	echo $i | grep -q 7 && echo "seven in $i"
done
false | true | false
echo "${PIPESTATUS[@]}"
exit 3
SHELL
compare pipeline bash pipeline.sh
check "the pipeline ran" test "$(wc -l <pipeline.out)" = 7
compare tar bash -c 'tar cf - -C "$1" . | xz -0 | xz -d | cksum' - "$source_dir/test"
# The default settings, with a program that has memory in the same pipeline.
compare sort bash -c 'seq 1 600000 | sort -R --random-source=/dev/zero -S 64M | sort -n -S 64M | tail -n 1'
"$sksm_report" --json --domain "$SKSM_DOMAIN" >report.json || fail "sksm-report"
check "what had memory is in the report" jq -e '[.processes[] | select(.comm == "sort")] | length > 0' report.json
check "its end is known for every process" jq -e '[.processes[] | select(.state == "running")] | length == 0' report.json
finish
