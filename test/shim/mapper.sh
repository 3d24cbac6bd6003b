# SPDX-License-Identifier: MIT
# Random mapping operations, every byte against a shadow copy.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
for seed in 1 2 3; do
	compare "mapper$seed" "$victims/mapper" $seed 3000 200
done
recorded "mapper was tracked" '.comm == "mapper" and .tracked > 0 and .passes > 1'
for seed in 4 5 6 7; do
	compare "mapper$seed" "$victims/mapper" $seed 4000
done
SKSM_TRACKER=digest compare mapper_digest "$victims/mapper" 8 2000 200
finish
