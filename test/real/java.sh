# SPDX-License-Identifier: MIT
# java with a heap that is touched at the start.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command java
provoke
flags=(-Xms256m -Xmx256m -XX:+AlwaysPreTouch -XX:-UsePerfData)
compare version java "${flags[@]}" -version
# Four collectors with four ways to reserve and commit their heaps.
for collector in Serial Parallel G1; do
	compare $collector java "${flags[@]}" "-XX:+Use${collector}GC" -version
	recorded "java with $collector" "(.command | test(\"Use${collector}GC\")) and .tracked > 0 and .passes > 0"
done
if command -v javac >/dev/null || java --list-modules 2>/dev/null | grep -q jdk.compiler; then
	cat >Work.java <<'JAVA'
import java.util.ArrayList;

public class Work {
	public static void main(String[] arguments) throws Exception {
		ArrayList<byte[]> kept = new ArrayList<>();
		long sum = 0;
		Thread[] threads = new Thread[4];
		for (int i = 0; i < 4000; i++) {
			byte[] block = new byte[1 << 16];
			java.util.Arrays.fill(block, (byte) (i % 7));
			if (i % 20 == 0)
				kept.add(block);
		}
		for (int t = 0; t < threads.length; t++) {
			threads[t] = new Thread(() -> {
				for (int i = 0; i < 500; i++) {
					byte[] block = new byte[1 << 14];
					if (block[77] != 0)
						throw new IllegalStateException();
				}
			});
			threads[t].start();
		}
		for (Thread thread : threads)
			thread.join();
		Thread.sleep(1500);
		for (byte[] block : kept)
			for (byte b : block)
				sum += b;
		System.out.println("sum " + sum);
		System.exit(7);
	}
}
JAVA
	compare work java "${flags[@]}" Work.java
	check "java did its work" grep -q '^sum ' work.out
	recorded "the whole heap" '(.command | test("Work.java")) and .tracked > 250000000 and .passes > 3'
fi
finish
