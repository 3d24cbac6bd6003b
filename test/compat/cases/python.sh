# SPDX-License-Identifier: MIT
# python: its own tests of memory, processes, threads and signals; the result of each single test.
tracks=python
limit=3600
quick=1
need_command python3
python3 -c 'import test.test_mmap' 2>/dev/null || without "needs the test suite of python3"
version() { python3 --version; }

# One line for each test: its name, and failure, error or skipped.
results() {
	python3 - "$1" <<-'END'
		import sys, xml.etree.ElementTree as tree
		for case in tree.parse(sys.argv[1]).iter("testcase"):
		    print(case.get("name"), *(child.tag for child in case))
	END
}

work() {
	local module modules='test_mmap test_memoryview test_fork1 test_poll test_thread'

	[ -n "${COMPAT_QUICK:-}" ] || modules='test_mmap test_memoryview test_bytes test_array test_gc
		test_buffer test_bigmem test_io test_zlib test_lzma test_hashlib test_pickle test_shelve
		test_subprocess test_fork1 test_popen test_wait3 test_wait4 test_posix test_os test_pty
		test_pipes test_atexit test_tempfile test_shutil test_resource test_cmd_line test_select
		test_selectors test_poll test_epoll test_socket test_socketserver test_ssl test_httpservers
		test_threading test_thread test_thread_local_bytes test_threadsignals test_threadedtempfile
		test_threading_local test_queue test_sched test_faulthandler test_signal test_regrtest
		test_concurrent_futures test_multiprocessing_fork test_multiprocessing_spawn
		test_multiprocessing_forkserver test_multiprocessing_main_handling test_asyncio
		test_ctypes test_sqlite3 test_dbm test_mailbox test_tracemalloc test_weakref test_dict
		test_list test_sys test_embed test_capi test_venv test_compileall test_import'
	for module in $modules; do
		echo "== $module"
		# Not from the text: its threads and processes write into the middle of lines.
		timeout 600 python3 -m test --junit-xml "$PWD/$module.xml" -v "$module" >"$module.log" 2>&1
		echo "-> $?"
		results "$module.xml" | LC_ALL=C sort
		# For whoever looks at a difference: in the words of the test.
		grep -A 25 -aE '^(ERROR|FAIL): ' "$module.log" | head -n 60 >&2
	done
}

normalise() {
	sed -E 's/0x[0-9a-f]{6,}/ADDRESS/g; s/[0-9]+\.[0-9]+ ?s(ec(onds)?)?/TIME/g; s/test_python_[0-9a-z_]+/DIRECTORY/g'
}
