# SPDX-License-Identifier: MIT
# memcached: values of many sizes through its protocol, slabs moved, evictions. Not with -u: a
# process that gave up root is none that the shim can track (docs/compat.md).
quick=1
tracks=memcached
need_command memcached python3
version() { memcached --version; }

work() {
	local port

	port=$(port_of memcached)
	as_user memcached -U 0 -l 127.0.0.1 -p "$port" -m 256 -t 4 -o slab_reassign,slab_automove=2 &
	server=$!
	cat >talk.py <<'PY'
import hashlib, socket, sys, threading, time
port, count = int(sys.argv[1]), int(sys.argv[2])

def connect():
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port)).makefile("rwb")
        except OSError:
            time.sleep(0.1)
    sys.exit("memcached does not answer")

def value(i):
    return hashlib.md5(str(i).encode()).hexdigest().encode() * (i % 97 + 1) if i % 2 else bytes([i % 251]) * (i % 5000)

def client(part, results):
    c = connect()
    for i in range(part, count, 4):
        v = value(i)
        c.write(b"set k%d %d 0 %d\r\n%s\r\n" % (i, i % 7, len(v), v))
    c.flush()
    stored = sum(c.readline() == b"STORED\r\n" for _ in range(part, count, 4))
    wrong = 0
    for i in range(part, count, 4):
        c.write(b"get k%d\r\n" % i)
        c.flush()
        head = c.readline()
        if head == b"END\r\n":
            wrong += 1
            continue
        v = c.read(int(head.split()[3]))
        c.readline(), c.readline()
        wrong += v != value(i) or int(head.split()[2]) != i % 7
    results[part] = stored, wrong

results = {}
threads = [threading.Thread(target=client, args=(p, results)) for p in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(sorted(results.items()))
time.sleep(1.5)
c = connect()
bad = 0
for i in range(0, count, 3):
    c.write(b"get k%d\r\n" % i)
    c.flush()
    head = c.readline()
    v = c.read(int(head.split()[3])) if head != b"END\r\n" else b"gone"
    head != b"END\r\n" and (c.readline(), c.readline())
    bad += v != value(i)
print("later", bad)
for line in (b"incr k1 5", b"delete k2", b"get k2", b"set n 0 0 1\r\n5", b"incr n 7", b"flush_all", b"get k4", b"nonsense"):
    c.write(line + b"\r\n")
    c.flush()
    print(line, c.readline())
c.write(b"stats\r\n")
c.flush()
for line in iter(c.readline, b"END\r\n"):
    if line.split()[1] in (b"curr_items", b"evictions", b"threads", b"limit_maxbytes"):
        print(line)
PY
	step talk python3 talk.py "$port" "$(amount 60000 15000)"
	step evict python3 - "$port" <<'PY'
import socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1]))).makefile("rwb")
for i in range(700):
    c.write(b"set big%d 0 0 500000 noreply\r\n%s\r\n" % (i, bytes([65 + i % 26]) * 500000))
c.write(b"get big699\r\n")
c.flush()
print(c.readline(), c.read(500000) == bytes([65 + 699 % 26]) * 500000)
PY
	kill $server
	wait $server
}
