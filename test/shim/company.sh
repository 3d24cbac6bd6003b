# SPDX-License-Identifier: MIT
# Other libraries in the same process, and handlers that call what we hook.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
plugins=$build/test/plugins
at_work() {
	recorded "$1 was at work" \
		"(.command | test(\"company $2\")) and .tracked >= 16777216 and .passes > 1"
}
# beside ORDER LIBRARY COMMAND...: with another library in LD_PRELOAD, before ours or behind it.
beside() {
	case $1 in
	before) list='$0${LD_PRELOAD:+:$LD_PRELOAD}' ;;
	behind) list='${LD_PRELOAD:+$LD_PRELOAD:}$0' ;;
	esac
	shift
	beside=(bash -c 'exec env LD_PRELOAD="'"$list"'" "$@"' "$plugins/$1" "${@:2}")
}
for order in before behind; do
	export SKSM_DIR=$T/early-$order
	beside $order early.so "$victims/company" none
	compare "early-$order" "${beside[@]}"
	at_work "early-$order" none
	check "early-$order: before and after main" test \
		"$(grep -c '^early: .*: 0 failures$' "early-$order.out")" = 3
	export SKSM_DIR=$T/alloc-$order
	beside $order alloc.so "$victims/company" malloc
	compare "alloc-$order" "${beside[@]}"
	at_work "alloc-$order" malloc
done
export SKSM_DIR=$T/sksm
for mode in dlopen deepbind; do
	compare $mode "$victims/company" $mode "$plugins/guest.so"
	at_work $mode $mode
done
recorded "dlopen: its zeroed data was tracked" \
	'(.command | test("company dlopen")) and .passes > 1'
compare waiting "$victims/company" waiting "$plugins/waiting.so"
at_work waiting waiting
SKSM_MODE=off compare waiting-off "$victims/company" waiting "$plugins/waiting.so"
for run in waiting waiting-off; do
	check "$run: nobody waits for the loader" said $run "the thread of a constructor: 1"
done
compare shim "$victims/company" shim "$shim"
at_work shim shim
for mode in exit fault; do
	compare $mode "$victims/company" $mode
	at_work $mode $mode
done
finish
