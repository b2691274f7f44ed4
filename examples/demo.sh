#!/usr/bin/env bash
# The main job on real data: run, edit, run again, kill, resume. Works in a copy, and stops at the first broken promise.
# Usage: bash examples/demo.sh BIN_DIR      (the folder that holds `mmetl` and `python`)
set -euo pipefail

bin=$(cd "${1:?usage: bash examples/demo.sh BIN_DIR}" && pwd)
mmetl=$bin/mmetl python=$bin/python
here=$(cd "$(dirname "$0")" && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/examples"
cp -R "$here/data" "$here/pipelines" "$here/transforms.py" "$copy/examples/"
cp "$here/../mmetl.yml" "$here/../dodo.py" "$copy/"
cd "$copy"

main=examples/pipelines/tabular_only.yaml
rows=examples/data/peps/standards-track.csv
all=peps,authors,decades,prolific,released,releases,decades_csv,prolific_csv,releases_csv,report
cone=peps,decades,prolific,released,releases,decades_csv,releases_csv,report

title() { printf '\n== %s\n' "$*"; }
say() { printf '   $ mmetl %s\n' "$*"; "$mmetl" "$@" 2>&1 | sed 's/^/   /'; }
fail() { printf 'NOT AS PROMISED: %s\n' "$*"; exit 1; }

# expect [ran=a,b] [restored=c]: what the latest run did. Every task that is not named was fresh.
expect() { "$mmetl" status --json | "$python" check.py "$@"; }
cat > check.py <<'PY'
import json, sys

run = json.load(sys.stdin)
wanted = {}
for word in sys.argv[1:]:
    outcome, _, names = word.partition("=")
    wanted.update(dict.fromkeys(names.split(","), outcome))
found = {t["task"]: t["outcome"] for t in run["tasks"]}
broken = [f"{t} was {o}, not {wanted.get(t, 'fresh')}" for t, o in found.items() if o != wanted.get(t, "fresh")]
if broken or run["status"] != "succeeded" or not wanted.keys() <= found.keys():
    sys.exit(f"NOT AS PROMISED: the run {run['status']}; {'; '.join(broken)}")
PY

title "1. The first run computes everything"
say run $main
expect ran=$all
printf '\n'
sed 's/^/   /' examples/out/decades.csv

title "2. Nothing changed, so nothing is done"
say run $main
expect

title "3. One row of one file is edited: PEP 802 is accepted. What depends on it runs"
cp $rows before.csv
sed 's/^\(802,.*\),Draft,/\1,Final,/' before.csv > $rows
cmp -s before.csv $rows && fail "the edit changed nothing"
say why decades
say run $main
expect ran=$cone
echo "   (prolific_csv stays fresh: the list of authors came out the same)"

title "4. The row is changed back: earlier outputs are put back, nothing is computed"
cp before.csv $rows
say run $main
expect restored=$cone

title "5. A comment is added to the code: nothing is done"
sed 's/^def add_release/# Only the first release counts.\n&/' examples/transforms.py > edited.py
cmp -s edited.py examples/transforms.py && fail "the edit changed nothing"
cp edited.py examples/transforms.py
say run $main
expect

title "6. One output is deleted, another one tampered with: both are put back"
rm examples/out/decades.csv
echo "Nobody,1000,1000,1900,1900" >> examples/out/prolific.csv
say why prolific_csv
say run $main
expect restored=decades_csv,prolific_csv
grep -q Nobody examples/out/prolific.csv && fail "the tampered output is still there"

title "7. A run is killed with -9 in the middle, and resumed: finished tasks are not done again"
{
  printf 'version: 1\nname: slow\ntasks:\n'
  for n in 2 3 4 5 6 7; do
    printf '  step_%d:\n    transform: shell.run\n    params:\n' $n
    printf '      command: sleep 0.4; grep -c "^%d" %s > examples/out/step_%d.txt\n' $n $rows $n
    printf '      inputs: [%s]\n      outputs: [examples/out/step_%d.txt]\n' $rows $n
  done
} > examples/pipelines/slow.yaml
"$mmetl" run slow > /dev/null 2>&1 &
killed=$!
for _ in $(seq 200); do [ -s examples/out/step_4.txt ] && break; sleep 0.05; done
sleep 0.2
kill -9 $killed
wait $killed 2> /dev/null || true
"$mmetl" status --json > killed.json
say status
say run slow
"$mmetl" status --json > resumed.json
"$python" - <<'PY'
import json, sys

killed, resumed = (json.load(open(f)) for f in ("killed.json", "resumed.json"))
before, after = ({t["task"] for t in run["tasks"] if t["outcome"] == "ran"} for run in (killed, resumed))
every = {t["task"] for t in killed["tasks"]}
if killed["status"] != "crashed" or resumed["status"] != "succeeded" or not before or before & after or before | after != every:
    sys.exit(f"NOT AS PROMISED: {killed['status']} after {sorted(before)}, then {resumed['status']}: {sorted(after)}")
print(f"   ({len(before)} tasks had finished when the run was killed, the other {len(after)} ran now)")
PY
for n in 2 3 4 5 6 7; do
  [ "$(cat examples/out/step_$n.txt)" = "$(grep -c "^$n" $rows)" ] || fail "step_$n.txt is wrong"
done
rm examples/pipelines/slow.yaml

docs=examples/pipelines/docs_search.yaml
text=examples/data/pep_texts/pep-0616.rst

# computed task=n ...: how many items of a task the latest run computed.
computed() {
  "$mmetl" status --json | "$python" -c '
import json, sys
items = {t["task"]: t.get("items", {}).get("computed", 0) for t in json.load(sys.stdin)["tasks"]}
wanted = {k: int(v) for k, v in (word.split("=") for word in sys.argv[1:])}
found = {k: items[k] for k in wanted}
sys.exit(0 if found == wanted else f"NOT AS PROMISED: computed {found}, not {wanted}")' "$@"
}

title "8. Texts: files, headers, passages, vectors. Then a question"
say run $docs
computed texts=24 headers=24 chunks=24
say search vectors "remove a prefix from a string" -k 1
"$mmetl" search vectors "remove a prefix from a string" -k 1 | grep -q pep-0616 || fail "another proposal was found"

title "9. A paragraph is put into one of the texts: its passage is embedded, and nothing else"
awk '{ print } /^Abstract$/ { getline; print; print "\nSo a prefix can be taken off without counting its letters." }' $text > edited.rst
cp edited.rst $text
say run $docs
computed texts=1 headers=1 chunks=1 vectors=1
say search index "counting letters" -k 1 --mode hybrid
"$mmetl" search index "counting letters" -k 1 --mode hybrid | grep -q counting || fail "the new passage was not found"

base=examples/pipelines/knowledge_base.yaml

title "10. Tables, texts, vectors and a graph in one pipeline. SQL and Cypher answer"
say run $base
say query "select number, title, cited_by from ranking order by pagerank desc limit 1"
say cypher knowledge_graph "MATCH (a:Author)-[:WROTE]->(p:Pep {_key: '484'}) RETURN a._key AS author ORDER BY author"
"$mmetl" cypher knowledge_graph "MATCH (a:Author)-[:WROTE]->(p:Pep {_key: '484'}) RETURN a._key" | grep -q "Guido van Rossum" \
  || fail "another author was found"

title "11. Where a passage came from, and what came of it"
say why passages --key 22085129a9bee978
"$mmetl" why passages --key 22085129a9bee978 | grep -q "path=examples/data/pep_texts/pep-0604.rst$" || fail "it came from another file"
"$mmetl" why passages --key 22085129a9bee978 | grep -q "passage_index: 1 row" || fail "it is not in the index"

title "12. A text speaks of another proposal now: one passage is embedded, and the graph has one more edge"
printf '\n\nReadability counts: PEP 8 says how.\n' >> examples/data/pep_texts/pep-0020.rst
say run $base
computed documents=1 facts=1 passages=1 mentions=1 embedded=1
say diff knowledge
"$mmetl" diff knowledge | grep -q ' 1 added, 0 changed, 0 removed' || fail "the graph changed otherwise"

title "13. Plain doit knows the same tasks and takes the same decisions"
echo "   \$ doit run"
"$mmetl" run $docs > /dev/null 2>&1
"$python" -m doit run | sed 's/^/   /'
"$python" -m doit run | grep -qv '^-- ' && fail "doit found something to do"

title "14. What a task made"
say show releases --limit 3

printf '\nAll of it was as promised.\n'
