# SPDX-License-Identifier: MIT
# Manual pages, completion, help and docs/options.md: valid, and of the same options and variables.
. "$SKSM_TEST_SOURCE/test/lib.sh"
pages=$source_dir/docs/man
completions=$source_dir/tools/completion
options_md=$source_dir/docs/options.md
command -v mandoc >/dev/null || skip "no mandoc"

# What man shows, as plain text.
rendered() {
	mandoc -Tascii "$1" | sed 's/.\x08//g'
}

cmake --install "$build" --prefix "$T/prefix" >install.out 2>&1 || fail "cmake --install"
for page in "$pages"/*.[0-9]; do
	name=${page##*/}
	mandoc -Tlint -W style "$page" 2>/dev/null |
		grep -v 'referenced manual not found' >lint.out
	check "$name: mandoc finds nothing" test ! -s lint.out || cat lint.out
	MANROFFOPT= man -l --warnings "$page" >man.out 2>man.err
	check "$name: man shows it" test $? = 0 -a ! -s man.err -a -s man.out || cat man.err
	check "$name: is installed" cmp -s "$page" \
		<(gzip -cd "$T/prefix/share/man/man${name##*.}/$name.gz")
done
for reference in $(sed -n 's/^\.Xr \(sksm[-a-z]*\) \([0-9]\).*/\1.\2/p' "$pages"/*.[0-9] | sort -u); do
	check "$reference, which is referred to, is there" test -e "$pages/$reference"
done

# options TOOL: of its help, one a line.
options() {
	"$1" --help | grep -E '^ +-' | sed 's/^ *//; s/  .*//' |
		grep -oE -- '(^|[ ,])--?[a-zA-Z][a-z-]*' | tr -d ' ,'
}

complete_words() {
	bash -c 'source "$1"; tool=$2; shift 2
		COMP_WORDS=("$tool" "$@"); COMP_CWORD=$#
		"_${tool//-/_}" "$BUILD_TOOLS/$tool"; printf "%s\n" "${COMPREPLY[@]}"' - \
		"$completions/$1" "$@" | sort -u
}
export BUILD_TOOLS=$build/tools

for page in sksm-run.1 sksm-report.1 sksm-pacer.8; do
	tool=${page%.*}
	check "$tool: bash knows what completes it" test \
		"$(bash -c 'source "$1"; complete -p "$2"' - "$completions/$tool" "$tool")" = \
		"complete -F _${tool//-/_} $tool"
	check "$tool: the completion is installed" cmp -s "$completions/$tool" \
		"$T/prefix/share/bash-completion/completions/$tool"
	rendered "$pages/$page" >page.txt
	complete_words "$tool" - >words
	sed -n "/^## $tool/,/^## [^$tool]/p" "$options_md" >section
	count=0
	for option in $(options "$build/tools/$tool"); do
		count=$((count + 1))
		grep -qE -- "^ +(-[a-zA-Z], )?$option( |\[|=|,|\$)" page.txt ||
			flunk "$option is not in $page"
		grep -q -- "\`$option[\`\[ ]" section || flunk "$option is not in options.md"
		case $option in
		--*|-e) grep -qx -- "$option" words || flunk "$option is not completed" ;;
		esac
	done
	check "$tool: $count options are in page, completion and options.md" test $count -ge 4
	for word in $(grep -- -- words); do
		options "$build/tools/$tool" | grep -qx -- "$word" ||
			flunk "$word is completed, but not in the help of $tool"
	done
	for word in $(grep -oE '^ +(-[a-zA-Z], )?--[a-z-]+' page.txt | grep -oE -- '--.*'); do
		options "$build/tools/$tool" | grep -qx -- "$word" ||
			flunk "$word is in $page, but not in the help of $tool"
	done
done

# Variables: those that are parsed are in the page, in options.md, and after sksm-run -e.
rendered "$pages/sksm.7" >page.txt
complete_words sksm-run -e SKSM >words
count=0
for name in $(sed -n 's/^\t{ "\([A-Z_]*\)", .*/\1/p' "$source_dir/tracker/options.c"); do
	count=$((count + 1))
	grep -q "SKSM_$name" page.txt || flunk "SKSM_$name is not in sksm.7"
	grep -q "^| .*\`SKSM_$name\`" "$options_md" || flunk "SKSM_$name is not in options.md"
	grep -qx "SKSM_$name=" words || flunk "SKSM_$name is not completed after -e"
done
check "$count variables are in sksm.7, options.md and the completion" test "$count" -ge 15

# Values.
for file in "$source_dir"/docs/*.schema.json; do
	check "${file##*/} is installed" cmp -s "$file" "$T/prefix/share/sksm/${file##*/}"
done
check "columns" test "$(complete_words sksm-report --sort SA)" = SAVED
check "a list of columns" test "$(complete_words sksm-report --columns PID,SA)" = PID,SAVED
check "--columns=" test "$(complete_words sksm-report --columns = COMMA)" = COMMAND
mkdir -p "$SKSM_DIR/one" "$SKSM_DIR/other" "$SKSM_DIR/pacer.d"
check "domains" test "$(complete_words sksm-report --domain o | tr '\n' ' ')" = "one other "
check "domains of sksm-run" test "$(complete_words sksm-run --domain oth)" = other
check "pids" test "$(complete_words sksm-report --pid $$)" = $$
check "commands" test "$(complete_words sksm-run --estimate mkfif)" = mkfifo
check "commands after an option with a value" test "$(complete_words sksm-run -e A = B mkfif)" = mkfifo
check "commands after --" test "$(complete_words sksm-run -- mkfif)" = mkfifo
mkdir dir && touch dir/file1
check "files of the command" test "$(complete_words sksm-run -- cat dir/f)" = dir/file1
check "the command's own options are left alone" test -z "$(complete_words sksm-run cat --est)"
finish
