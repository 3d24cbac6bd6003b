# SPDX-License-Identifier: MIT
# java: four collectors, a heap touched at the start, stacks, direct and mapped memory, children,
# a stack overflow and an empty heap, both of which end in signals and guard pages of its own.
quick=1
tracks=java
limit=400
need_command java javac
version() { java -version 2>&1 | head -n 1; }

work() {
	local collector

	cat >Work.java <<'JAVA'
import java.nio.*;
import java.nio.channels.FileChannel;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

public class Work {
	static int depth;
	static void deeper() { depth++; deeper(); }
	static long hash(byte[] b) { return Integer.toUnsignedLong(Arrays.hashCode(b)); }

	public static void main(String[] a) throws Exception {
		int scale = Integer.parseInt(a[0]);
		Map<String, byte[]> kept = new TreeMap<>();
		Random random = new Random(1);
		for (int i = 0; i < 3000 * scale; i++) {
			byte[] block = new byte[1 << 14];
			if (i % 3 == 0) random.nextBytes(block); else Arrays.fill(block, (byte) (i % 5));
			kept.put("key " + (i % 1500), block);
		}
		long sum = 0;
		for (byte[] b : kept.values()) sum += hash(b);
		System.out.println("kept " + kept.size() + " " + sum);
		ByteBuffer direct = ByteBuffer.allocateDirect(32 << 20);
		while (direct.remaining() >= 8) direct.putLong(direct.position() / 4096);
		Path file = Path.of("mapped");
		try (FileChannel c = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
			MappedByteBuffer m = c.map(FileChannel.MapMode.READ_WRITE, 0, 16 << 20);
			for (int i = 0; i < m.capacity(); i += 4096) m.putInt(i, i);
			m.force();
			MappedByteBuffer p = c.map(FileChannel.MapMode.PRIVATE, 0, 16 << 20);
			long s = 0;
			for (int i = 0; i < p.capacity(); i += 4096) { p.putInt(i + 4, 1); s += p.getInt(i); }
			System.out.println("mapped " + s);
		}
		ExecutorService pool = Executors.newFixedThreadPool(8);
		List<Future<Long>> futures = new ArrayList<>();
		for (int t = 0; t < 64; t++) {
			final int n = t;
			futures.add(pool.submit(() -> LongStream.range(0, 200000).map(x -> (x * n) ^ (x >> 3)).boxed().collect(Collectors.toList()).stream().mapToLong(Long::longValue).sum()));
		}
		long total = 0;
		for (Future<Long> f : futures) total += f.get();
		pool.shutdown();
		System.out.println("pool " + total);
		Thread t = new Thread(null, () -> { try { deeper(); } catch (StackOverflowError e) { System.out.println("overflow " + (depth > 1000)); } }, "deep", 2 << 20);
		t.start(); t.join();
		try { List<byte[]> all = new ArrayList<>(); for (;;) all.add(new byte[8 << 20]); }
		catch (OutOfMemoryError e) { System.out.println("no memory: " + e.getMessage()); }
		Process p = new ProcessBuilder("sh", "-c", "cat; exit 6").start();
		p.getOutputStream().write("to a child\n".getBytes()); p.getOutputStream().close();
		System.out.print(new String(p.getInputStream().readAllBytes()));
		System.out.println("child " + p.waitFor());
		Thread.sleep(500);
		System.gc();
		sum = 0;
		for (byte[] b : kept.values()) sum += hash(b);
		for (int i = 0; i < direct.capacity(); i += 8) sum += direct.getLong(i);
		System.out.println("again " + sum);
		Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
		Object o = null;
		try { o.hashCode(); } catch (NullPointerException e) { System.out.println("null"); }
		System.exit(7);
	}
}
JAVA
	step javac javac Work.java
	for collector in Serial Parallel G1 Shenandoah Z; do
		java "-XX:+Use${collector}GC" -version >/dev/null 2>&1 || continue
		exits 7 $collector java -Xmx400m -Xms400m -XX:+AlwaysPreTouch "-XX:+Use${collector}GC" Work "$(amount 4 1)"
		[ -z "$COMPAT_QUICK" ] || [ $collector != Serial ] || return
	done
	exits 7 growing java -Xms16m -Xmx600m Work 2
	exits 7 checked java -Xcheck:jni -XX:+UnlockDiagnosticVMOptions -XX:+VerifyBeforeGC -XX:+UseSerialGC -Xmx200m Work 1
	exits 7 pages java -XX:+UseTransparentHugePages -Xmx400m -Xms400m Work 2
	exits 1 error java NoSuchClass
}

normalise() { grep -v '^\[.*\]\[info'; }
