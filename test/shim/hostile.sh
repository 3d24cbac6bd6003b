# SPDX-License-Identifier: MIT
# What another user put where the library writes: refused, named, and as it was afterwards.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
need_root
need_command setpriv
export SKSM_INTERVAL_MS=3 SKSM_AGE_MS=0
hold=("$victims/hold" --bytes 4M --seconds 0.3)
mkdir -m 1777 public

# The report. fs.protected_symlinks and its like guard sticky directories, so this one is not.
mkdir -m 777 open
other() {
	setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"
}
chmod 755 "$T"
other bash -c 'echo theirs >open/file; chmod 666 open/file; mkfifo -m 666 open/fifo'
echo mine >mine
other ln -s "$T/mine" open/link
for name in file link fifo; do
	SKSM_REPORT=$T/open/$name compare "report-$name" "${hold[@]}"
	check "$name: it is said which file is not written" \
		grep -q "SKSM_REPORT=$T/open/$name: not a file of this user" "report-$name.err"
done
check "another user's file is as it was" test "$(cat open/file)" = theirs
check "what a planted link leads to is as it was" test "$(cat mine)" = mine
ln -s "$T/mine" ownlink
SKSM_REPORT=$T/ownlink compare report-ownlink "${hold[@]}"
check "a link of one's own is followed" grep -q '"comm":"hold"' mine
mkfifo -m 600 ownfifo
SKSM_REPORT=$T/ownfifo compare report-ownfifo "${hold[@]}"
SKSM_REPORT=$T/public compare report-directory "${hold[@]}"
# What users write there with good right.
env SKSM_REPORT=/dev/fd/3 LD_PRELOAD="$shim" "${hold[@]}" 3>&1 >/dev/null | cat >third
check "/dev/fd/3 is a pipe here, and gets the line" grep -q '"comm":"hold"' third
env SKSM_REPORT=/dev/fd/3 LD_PRELOAD="$shim" "${hold[@]}" 3>redirected >/dev/null
check "/dev/fd/3 is a file here, and gets the line" grep -q '"comm":"hold"' redirected
env SKSM_REPORT=/proc/self/fd/3 LD_PRELOAD="$shim" "${hold[@]}" 3<>ownfifo >/dev/null
for ((i = 0; i < 8; i++)); do
	env SKSM_REPORT="$T/together" LD_PRELOAD="$shim" "${hold[@]}" >/dev/null &
done
wait
check "many may make the file at once" test "$(grep -c '"comm":"hold"' together)" = 8
SKSM_REPORT=/dev/stderr LD_PRELOAD=$shim "${hold[@]}" 2>&1 >/dev/null | cat >piped
check "/dev/stderr is a pipe here, and gets the line" grep -q '"comm":"hold"' piped

# The default directory of a user without a runtime directory, planted by another.
uid=60123
default=/tmp/sksm-$uid
[ ! -e $default ] || fail "$default is there"
user() {
	setpriv --reuid $uid --regid $uid --clear-groups -- env -u SKSM_DIR "$@"
}
mkdir -p "$T/lib"
cp "$shim" "$victims/hold" "$T/lib"
shim=$T/lib/$(basename "$shim")
hold=(user "$T/lib/hold" --bytes 4M --seconds 0.3)
preloaded() {
	user env LD_PRELOAD="$shim" SKSM_LOG=info "$T/lib/hold" --bytes 4M --seconds 0.3
}
for plant in directory link writable; do
	case $plant in
	directory) other mkdir -m 777 $default; wrong="another user's" ;;
	link) other mkdir -m 777 open/target; other ln -s "$T/open/target" $default
	      wrong="a symbolic link" ;;
	writable) user mkdir -m 777 $default; chmod 777 $default; wrong="open to others" ;;
	esac
	preloaded >"$plant.out" 2>"$plant.err"
	check "$plant: the program ends well" test $? = 0
	check "$plant: nothing is put into it" test -z "$(ls $default/)"
	check "$plant: it is said what is wrong, and where" \
		grep -q "nothing is tracked: $wrong, expected a directory .*: $default\$" "$plant.err"
	rm -rf $default
done

# Inside of a directory of one's own: something else instead of its parts. What a part that is read
# or written by our thread is, is said at the end.
preloaded >good.out 2>good.err
home=$default/$SKSM_DOMAIN
check "a directory of its own is made" test -d "$home/records"
index=$(basename "$home"/index-*)
cp -a $default good
plant_in_place() {
	rm -rf "${home:?}/$2"
	rm -rf open/planted
	case $1 in
	link) [ "$2" = records ] && mkdir -m 777 open/planted || install -m 666 /dev/null open/planted
	      chown 65534 open/planted
	      user ln -s "$T/open/planted" "$home/$2" ;;
	fifo) user mkfifo -m 600 "$home/$2" ;;
	directory) user mkdir -m 700 "$home/$2" ;;
	socket) user "$python" -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' \
			"$home/$2" ;;
	device) mknod -m 600 "$home/$2" c 1 5; chown $uid "$home/$2" ;;
	foreign) install -m 666 -o 65534 /dev/null "$home/$2"; head -c 40 /dev/zero >"$home/$2" ;;
	shared) cp -a "good/$SKSM_DOMAIN/$2" "$home/$2"; chmod 666 "$home/$2" ;;
	sparse) user truncate -s 1T "$home/$2" ;;
	esac
}
for part in key members "$index" records; do
	for plant in link fifo directory socket device foreign shared sparse; do
		case $part:$plant in records:directory|records:shared) continue ;; esac
		rm -rf $default
		cp -a good $default
		plant_in_place $plant "$part"
		stat -Lc '%F %s %Y' "$home/$part" >before 2>/dev/null
		timeout -k 5 20 bash -c "$(declare -f preloaded user); uid=$uid shim=$shim T=$T
			preloaded" >plant.out 2>plant.err
		check "$part is a $plant: the program ends well" test $? = 0
		check "$part is a $plant: nothing is written behind a link" \
			test -z "$(find open/planted -mindepth 1 2>/dev/null)$(find open/planted \
				-type f -size +0 2>/dev/null)"
		case $part:$plant in
		index-*|members:sparse|records:sparse) continue ;;
		members:*) able tracking || continue ;;&
		key:*) said="the domain's key: expected a plain file" ;;
		members:*) said="the domain's members: expected a plain file" ;;
		records:link) said="a symbolic link, expected a directory .*: $home/records$" ;;
		records:*) said="not a directory, expected a directory .*: $home/records$" ;;
		esac
		check "$part is a $plant: that is said" grep -q "nothing is tracked: $said" plant.err
		[ $plant = link ] || check "$part is a $plant: it is as it was" \
			test "$(cat before)" = "$(stat -Lc '%F %s %Y' "$home/$part")"
	done
done
rm -rf $default
finish
