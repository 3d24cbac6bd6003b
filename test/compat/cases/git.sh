# SPDX-License-Identifier: MIT
# git: a history made from nothing, packed with threads, cloned, merged, bisected, checked.
quick=1
tracks=git
limit=300
need_command git
version() { git --version; }

work() {
	local i n

	n=$(amount 60 15)
	export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='1700000000 +0000' \
		GIT_COMMITTER_DATE='1700000000 +0000'
	git config --global user.name tester
	git config --global user.email tester@example.org
	git config --global init.defaultBranch main
	git config --global pack.threads 4
	git config --global protocol.file.allow always
	mkdir project && cd project || return
	step init git init -q
	cp -r "$COMPAT_SOURCE"/{shim,tracker,test,docs} .
	git add -A
	step commit git commit -qm 'all files'
	for ((i = 0; i < n; i++)); do
		seq $i $((i + 20000)) >numbers
		git add numbers
		sed -i "s/^# SPDX.*/&\n# $i/" test/compat/run
		GIT_COMMITTER_DATE="$((1700000000 + i)) +0000" git commit -qam "change $i"
	done
	step head git rev-parse HEAD HEAD~5
	step repack git repack -adfq --window=50 --depth=50
	step count bash -c 'git count-objects -v | grep -E "^(count|in-pack|packs):"'
	step fsck git fsck --full --strict
	step gc git gc -q --aggressive --prune=now
	step clone git clone -q --no-local . ../clone
	step fetched git -C ../clone rev-parse HEAD
	step blame bash -c 'git blame -s README.md shim/init.c 2>&1 | cksum; git blame -s shim/init.c | cksum'
	step log bash -c 'git log --stat --numstat -M -C --find-copies-harder -n 12 | cksum'
	step grep bash -c 'git grep -n sksm_ HEAD~3 | cksum; git grep -c int main | tail -n 2'
	step branch git checkout -q -b side HEAD~4
	echo side >side
	git add side
	step side git commit -qm side
	step merge git merge -q --no-edit main
	step rebase git rebase -q main
	seq 5 >numbers
	git commit -qam conflict
	git checkout -q main
	seq 6 >numbers
	git commit -qam 'the other side'
	exits 1 conflict git merge side
	step status git status --short
	step abort git merge --abort
	step bisect bash -c 'git bisect start HEAD HEAD~10 && git bisect run sh -c "[ \$(head -n 1 numbers) -lt 9 ]" | grep -a "first bad commit"'
	step reset git bisect reset
	step archive bash -c 'git archive HEAD | sha256sum'
	step worktree git worktree add -q ../tree HEAD~2
	step bundle bash -c 'git bundle create -q ../all.bundle --all && git bundle verify -q ../all.bundle && git clone -q -b main ../all.bundle ../again && git -C ../again rev-parse HEAD'
	step diff bash -c 'git diff --word-diff HEAD~8 | cksum'
	exits 1 error git checkout no-such-branch
}
