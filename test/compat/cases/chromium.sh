# SPDX-License-Identifier: MIT
# chromium without a screen, with its sandbox: a page that computes, draws, makes workers and
# WebAssembly memory; its text, its picture and its paper.
tracks=chromium
limit=400
need_command chromium python3
[ "$(id -u)" != 0 ] || need_command setpriv
version() { chromium --version 2>/dev/null; }

work() {
	user_dir user
	cd user || return
	cat >page.html <<'HTML'
<!DOCTYPE html><html><body style="font: 20px monospace"><h1>A page</h1><canvas id=c width=300 height=200></canvas><pre id=o></pre><img src=wait width=1 height=1><script>
const say = (t) => document.getElementById('o').textContent += t + '\n';
const hash = (a) => { let h = 0; for (const x of a) h = (h * 31 + x) | 0; return h; };
(async () => {
	const kept = [];
	for (let r = 0; r < 15; r++) {
		const list = [];
		for (let i = 0; i < 60000; i++) list.push({ i, t: 'object ' + i % 90 });
		kept.push(list.filter((o) => o.i % 31 === 0));
	}
	say('objects ' + hash(new TextEncoder().encode(JSON.stringify(kept))));
	const buffers = Array.from({ length: 32 }, (_, i) => new Uint8Array(1 << 20).fill(i % 4));
	const memory = new WebAssembly.Memory({ initial: 16, maximum: 900 });
	new Uint8Array(memory.buffer).fill(3);
	memory.grow(400);
	say('wasm ' + hash(new Uint8Array(memory.buffer)));
	const code = URL.createObjectURL(new Blob(['onmessage = (e) => { let a = []; for (let i = 0; i < 200000; i++) a.push({ i }); postMessage(a.reduce((s, o) => s + o.i, e.data)); }']));
	const answers = await Promise.all([1, 2, 3, 4].map((n) => new Promise((ok) => { const w = new Worker(code); w.onmessage = (e) => ok(e.data); w.postMessage(n); })));
	say('workers ' + answers);
	const g = document.getElementById('c').getContext('2d');
	for (let i = 0; i < 300; i++) { g.fillStyle = `rgb(${i % 256},${i * 7 % 256},${i * 13 % 256})`; g.fillRect(i * 17 % 300, i * 29 % 200, 20, 20); }
	say('canvas ' + hash(g.getImageData(0, 0, 300, 200).data));
	const frame = document.createElement('iframe');
	frame.srcdoc = '<p>framed</p>';
	document.body.append(frame);
	await new Promise((ok) => frame.onload = ok);
	say('frame ' + frame.contentDocument.body.innerText);
	const digest = await new Promise((ok) => { const r = new FileReader(); r.onload = () => ok(r.result.byteLength); r.readAsArrayBuffer(new Blob(buffers)); });
	say('blob ' + digest);
	await new Promise((ok) => setTimeout(ok, 1500));
	say('buffers ' + buffers.map(hash).join());
	document.title = 'done';
})().catch((e) => say('failed: ' + e)).finally(() => fetch('done'));
</script></body></html>
HTML
	# The page is loaded when its image is there, and that is when its script is done.
	cat >serve.py <<'PY'
import http.server, sys, threading
done = threading.Event()

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/done":
            done.set()
        if self.path == "/wait":
            done.wait(60)
            done.clear()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.path == "/page.html" else "text/plain")
        self.end_headers()
        self.wfile.write(open("page.html", "rb").read() if self.path == "/page.html" else b"x")

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
PY
	port=$(port_of chromium)
	python3 serve.py "$port" &
	trap 'kill %1' EXIT
	echo "== with the sandbox"
	browse
	echo "== without"
	browse --no-sandbox
	[ -n "${COMPAT_QUICK:-}" ] || browse --no-sandbox --no-zygote
	step error as_user chromium --headless --no-such-switch --dump-dom 'data:text/plain,text' 2>messages
	crashes
}

browse() {
	local options=(--headless --disable-gpu --hide-scrollbars --no-first-run --disable-breakpad
		--disable-background-networking --disable-component-update --user-data-dir="$PWD/profile"
		--window-size=700,700 "$@")

	step text as_user chromium "${options[@]}" --dump-dom "http://127.0.0.1:$port/page.html" 2>messages
	crashes
	step picture as_user chromium "${options[@]}" --screenshot="$PWD/picture.png" "http://127.0.0.1:$port/page.html" 2>messages
	crashes
	convert-im6.q16 picture.png -format '%wx%h %#\n' info: 2>/dev/null || file picture.png
	step paper as_user chromium "${options[@]}" --no-pdf-header-footer \
		--print-to-pdf="$PWD/page.pdf" "http://127.0.0.1:$port/page.html" 2>messages
	crashes
	# It has dates in it.
	sed -E '/Date/d' page.pdf | wc -c
	rm -rf profile picture.png page.pdf
}

# What it says of fonts, buses and the like differs from run to run.
crashes() {
	grep -aE 'FATAL|Check failed|Received signal|crash' messages
	return 0
}
