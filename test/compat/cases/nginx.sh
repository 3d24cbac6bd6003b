# SPDX-License-Identifier: MIT
# nginx: workers, a large file, compression, a proxy with a cache in shared memory, a reload.
quick=1
tracks=nginx
need_command nginx curl ab
version() { nginx -v 2>&1; }

work() {
	local port i

	port=$(port_of nginx)
	chmod 755 .
	mkdir root cache
	chmod 777 cache
	seq 400000 >root/numbers.txt
	dd if=/dev/zero of=root/zero bs=1M count=20 status=none
	cat >nginx.conf <<CONF
worker_processes 3;
daemon off;
master_process on;
pid $PWD/pid;
error_log $PWD/error.log notice;
events { worker_connections 256; }
http {
	access_log $PWD/access.log;
	proxy_cache_path $PWD/cache keys_zone=c:8m;
	client_body_temp_path $PWD/cache/body; proxy_temp_path $PWD/cache/proxy;
	fastcgi_temp_path $PWD/cache/f; uwsgi_temp_path $PWD/cache/u; scgi_temp_path $PWD/cache/s;
	gzip on; gzip_types *; gzip_comp_level 6;
	limit_req_zone \$uri zone=few:1m rate=100000r/s;
	server {
		listen 127.0.0.1:$port reuseport;
		root $PWD/root;
		aio threads;
		location /again/ { proxy_pass http://127.0.0.1:$port/; proxy_cache c; proxy_cache_valid 1m; limit_req zone=few burst=9999 nodelay; }
		location /none { return 418 "none\n"; }
	}
}
CONF
	nginx -e "$PWD/error.log" -p "$PWD" -c "$PWD/nginx.conf" &
	server=$!
	wait_until 10 curl -sf "http://127.0.0.1:$port/zero" -o /dev/null
	for url in numbers.txt zero again/numbers.txt again/zero again/numbers.txt none missing; do
		step $url bash -c 'curl -s -w "%{http_code} %{size_download}\n" -o got "$1" && cksum got' - "http://127.0.0.1:$port/$url"
	done
	step compressed bash -c 'curl -s --compressed "$1" | cksum' - "http://127.0.0.1:$port/numbers.txt"
	step range bash -c 'curl -s -r 1000000-1500000 "$1" | cksum' - "http://127.0.0.1:$port/numbers.txt"
	for url in zero again/numbers.txt; do
		step "load $url" bash -c 'ab -q -n "$2" -c 12 "$1" | grep -E "^(Complete|Failed|Non-2xx|Document Length|HTML trans)"' - \
			"http://127.0.0.1:$port/$url" "$(amount 600 60)"
	done
	kill -HUP $server
	sleep 1
	step 'after a reload' bash -c 'ab -q -k -n 2000 -c 20 "$1" | grep -E "^(Complete|Failed)"' - "http://127.0.0.1:$port/none"
	step requests bash -c 'wc -l <access.log'
	kill -QUIT $server
	wait $server
	echo "server $?"
	grep -cE 'emerg|alert|crit|signal (11|6|9)' error.log
	return 0
}
