# SPDX-License-Identifier: MIT
# node: garbage collection, typed arrays, workers, WebAssembly memory, streams, children, a server.
quick=1
tracks=node
limit=240
need_command node
version() { echo "node $(node --version)"; }

work() {
	cat >work.js <<'JS'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto'), zlib = require('zlib'), http = require('http');
const { spawnSync, fork, exec } = require('child_process');
const scale = Number(process.argv[2] || 1);
const hash = (b) => crypto.createHash('sha256').update(b).digest('hex').slice(0, 16);

if (!isMainThread) {
	const shared = new Int32Array(workerData);
	for (let i = 0; i < 100000; i++)
		Atomics.add(shared, i % 1024, 1);
	const own = [];
	for (let i = 0; i < 50000; i++)
		own.push({ i, s: 's' + i });
	parentPort.postMessage(own.reduce((a, o) => a + o.s.length, 0));
} else if (process.argv[2] === 'child') {
	process.on('message', (m) => { process.send(m * 2); process.disconnect(); });
} else {
	(async () => {
		let keep = [];
		for (let round = 0; round < 20 * scale; round++) {
			let list = [];
			for (let i = 0; i < 40000; i++)
				list.push({ round, i, text: `object ${i % 100}` });
			keep.push(list.filter((o) => o.i % 37 === 0));
			if (keep.length > 8) keep.shift();
		}
		console.log('objects', hash(JSON.stringify(keep)));
		const buffers = [];
		for (let i = 0; i < 48; i++)
			buffers.push(Buffer.alloc(1 << 20, i % 5));
		const shared = new SharedArrayBuffer(4096);
		const sums = await Promise.all([1, 2, 3, 4].map(() => new Promise((ok) =>
			new Worker(__filename, { workerData: shared }).on('message', ok))));
		console.log('workers', sums.join(), new Int32Array(shared).reduce((a, b) => a + b));
		const memory = new WebAssembly.Memory({ initial: 16, maximum: 1024 });
		let bytes = new Uint8Array(memory.buffer);
		bytes.fill(7);
		memory.grow(512);
		bytes = new Uint8Array(memory.buffer);
		console.log('wasm', bytes.length, bytes[1 << 19], hash(bytes));
		const packed = zlib.gzipSync(Buffer.concat(buffers));
		console.log('zlib', hash(zlib.gunzipSync(packed)));
		const derived = await Promise.all(Array.from({ length: 8 }, (_, i) => new Promise((ok, no) =>
			crypto.scrypt('word', 'salt' + i, 32, { N: 1 << 13 }, (e, k) => e ? no(e) : ok(hash(k))))));
		console.log('scrypt', derived.join());
		const child = fork(__filename, ['child']);
		console.log('child', await new Promise((ok) => { child.on('message', ok); child.send(21); }));
		console.log('spawn', spawnSync('sh', ['-c', 'echo out; exit 4']).status);
		console.log('exec', await new Promise((ok) => exec('kill -9 $$', (e) => ok(e.signal))));
		const server = http.createServer((q, r) => r.end(buffers[Number(q.url.slice(1)) % 48]));
		await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
		let got = [];
		for (let i = 0; i < 40 * scale; i++)
			got.push(await new Promise((ok) => http.get(
				{ port: server.address().port, path: '/' + i, agent: false }, (r) => {
					const h = crypto.createHash('md5');
					r.on('data', (d) => h.update(d)).on('end', () => ok(h.digest('hex')));
				})));
		server.close();
		console.log('http', hash(got.join()));
		setTimeout(() => {
			console.log('buffers', hash(Buffer.concat(buffers)));
			process.exitCode = 5;
			Promise.reject(new RangeError('on purpose'));
		}, 1000);
		process.on('unhandledRejection', (e) => console.log('rejected', e.name));
	})();
}
JS
	exits 5 work node work.js "$(amount 4 1)"
	exits 1 throw node -e 'throw new TypeError("on purpose")'
	step heap bash -c 'node --max-old-space-size=40 -e "let a = []; for (;;) a.push(new Array(1000).fill(1))" 2>&1 | grep -o "JavaScript heap out of memory" | head -n 1'
	step gc node --expose-gc -e 'for (let i = 0; i < 30; i++) { let a = []; for (let j = 0; j < 50000; j++) a.push({j}); a = null; gc(); } console.log("collected")'
	step stdin bash -c 'seq 300000 | node -e "let n = 0; process.stdin.on(\"data\", d => { for (const b of d) n += b; }).on(\"end\", () => console.log(n))"'
}

normalise() { sed -E 's/^Node.js v.*//; s/^(    at .*:)[0-9]+:[0-9]+/\1/'; }
