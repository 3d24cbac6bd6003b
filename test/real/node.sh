# SPDX-License-Identifier: MIT
# node: its heap, its buffers, its worker threads and its children.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command node
provoke
cat >work.js <<'JS'
const { Worker, isMainThread, parentPort } = require('worker_threads');
const { execFileSync } = require('child_process');

if (!isMainThread) {
	const block = Buffer.alloc(16 << 20, 3);
	let sum = 0;
	for (const byte of block)
		sum += byte;
	parentPort.postMessage(sum);
} else {
	const blocks = [];
	for (let i = 0; i < 64; i++)
		blocks.push(Buffer.alloc(1 << 20, i % 3));
	const objects = [];
	for (let i = 0; i < 200000; i++)
		objects.push({ i, text: 'object ' + i });
	console.log(execFileSync('echo', ['a child']).toString().trim());
	let workers = 3;
	for (let i = 0; i < 3; i++)
		new Worker(__filename).on('message', (sum) => {
			console.log('worker', sum);
			if (--workers > 0)
				return;
			setTimeout(() => {
				let sum = 0;
				for (const block of blocks)
					for (let j = 0; j < block.length; j += 64)
						sum += block[j];
				console.log('sum', sum, objects.reduce((s, o) => s + o.text.length, 0));
				process.exitCode = 5;
			}, 1000);
		});
}
JS
compare node node work.js
check "node did its work" grep -q '^sum ' node.out
recorded "node" '.comm == "node" and .state == "exited" and .passes > 0'
# Node frees everything before it exits, and the last pass may see that: what is tracked of it has
# to be looked at while it runs.
is_tracked() {
	[ "$(json '[.processes[] | select(.comm == "node" and .state == "running" and
		   .tracked > 60000000 and .passes > 0)] | length')" != 0 ]
}
start live env LD_PRELOAD="$shim" node work.js
! able tracking || check "node is tracked while it runs" wait_until 20 is_tracked
wait "$pid"
check "its exit status" [ $? = 5 ]
check "its output" cmp live.out node.out
compare throw node -e 'throw new TypeError("on purpose")'
finish
