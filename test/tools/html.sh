# SPDX-License-Identifier: MIT
# sksm-report --html: one file, its numbers are those of the JSON, no error in a browser.
SKSM_TEST_LIMIT=400
leaves_ksmd=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 SKSM_ENGINE=none
report=("$sksm_report" --domain "$SKSM_DOMAIN")
evil='</script><script>throw 1</script><b>&"'
for name in one two three; do
	start $name env LD_PRELOAD="$shim" "$victims/hold" --bytes 20M --seconds 200
done
start evil env LD_PRELOAD="$shim" "$victims/near" pointer "$evil"
# Ends, and had nothing of the kind that it tracks.
env LD_PRELOAD="$shim" SKSM_TRACK=memfd "$victims/hold" --bytes 20M --seconds 1
calm() {
	[ "$(json '[.processes[] | select(.state == "running" and .digested >= 16000000 and
		(.history | length) > 2)] | length')" = 4 ]
}
wait_until 20 calm || fail "not calm: $("${report[@]}")"

"${report[@]}" --html page.html
check "exit status" test $? = 0
check "everything is in the file" test "$(grep -Ec '(src|href)="?(https?:|/)|url\(|@import|fetch\(' page.html)" = 0
check "names cannot end the data" test "$(grep -c '</script>' page.html)" = 2
"${report[@]}" --html - >standard.html
check "- is standard output" test "$(grep -c '</html>' standard.html)" = 1
"${report[@]}" --html /nowhere/page.html 2>nowhere.err
check "a directory that is not there: status 1" test $? = 1
check "and which file it was" grep -q '/nowhere/page.html: No such file' nowhere.err

check "no rest of a page is left behind" test "$(find . -name '*.html.??????' | wc -l)" = 0

command -v chromium >/dev/null || { echo "no chromium: the page was not opened"; finish; }
# dom FILE SIZE: the page as the browser has it after our script, and its console.
dom() {
	timeout -k 5 100 chromium --headless=new --no-sandbox --disable-gpu --window-size="$2" \
		--user-data-dir="$T/profile" --enable-logging=stderr --dump-dom "file://$T/$1" \
		>dom.html 2>dom.err
}
for size in 1280,900 768,1024 390,844; do
	dom page.html $size || fail "chromium: exit status $?: $(tail -n 3 dom.err)"
	check "$size: no error in the console" test "$(grep -c CONSOLE dom.err)" = 0
done
cat >compare.py <<'PYTHON'
import html.parser, json, sys
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.totals, self.rows, self.pid, self.data, self.inside, self.frames = {}, {}, None, "", False, 0
        self.points = {}
    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if "data-total" in a:
            self.totals[a["data-total"]] = int(a["data-bytes"])
        if tag == "tr":
            self.pid = a.get("data-pid")
        if "data-key" in a and self.pid:
            self.rows.setdefault(self.pid, {})[a["data-key"]] = a["data-value"]
        if "data-history" in a:
            self.points[a["data-history"]] = a["points"].split()
        self.inside = a.get("id") == "data"
        self.frames += a.get("class") == "frame"
    def handle_data(self, text):
        if self.inside:
            self.data += text
page = Page()
page.feed(open("dom.html").read())
report = json.loads(page.data)["report"]
assert report["schema"] == "sksm-report/1" and len(report["processes"]) == 5
assert page.totals, "no totals"
for key, value in page.totals.items():
    assert report["total"][key] == value, (key, value)
assert len(page.rows) == 4
ended = [one for one in report["processes"] if one["state"] == "exited"]
assert len(ended) == 1 and str(ended[0]["pid"]) not in page.rows
running = [one for one in report["processes"] if one not in ended]
for one in running:
    row = page.rows[str(one["pid"])]
    for key, value in row.items():
        assert str("" if one[key] is None else one[key]) == value, (one["pid"], key, one[key], value)
    assert len(row) == 13
    points = [tuple(map(float, point.split(","))) for point in page.points[str(one["pid"])]]
    history = one["history"]
    assert len(points) == len(history) > 2, (len(points), len(history))
    # Later is further to the right; more is higher, and nothing has a twin at first.
    assert points == sorted(points, key=lambda point: point[0])
    assert [a[1] < b[1] for a, b in zip(points, points[1:])] == \
        [a["duplicate"] > b["duplicate"] for a, b in zip(history, history[1:])]
assert len(page.points) == 4
assert any(one["history"][-1]["duplicate"] > 0 for one in running)
assert page.frames > 4, "no flame graph"
print("equal")
PYTHON
check "the numbers of the page are those of the JSON" test "$("$python" compare.py)" = equal
"${report[@]}" --json >now.json
check "and those are the report's" jq -e --slurpfile now now.json \
	'.report.total.tracked == $now[0].total.tracked' <(sed -n 's/.*id="data">\(.*\)<\/script>.*/\1/p' page.html)
check "what ended with nothing is counted" grep -q 'and 1 that ended and had nothing' dom.html
check "the diagnosis is there, in words" grep -q 'mostly pointer, at byte' dom.html
finish
