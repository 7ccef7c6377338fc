#!/bin/sh
# Run the test suite with the newest release of every dependency: `sh scripts/test_newest.sh PYTHON VENV`.
# Afterwards, whatever came of it, list what is newer than the locks: where the suite failed, the reason is among them.
set -eu
python=$1
venv=$2

sh scripts/make_venv.sh "$python" "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager --editable '.[test,bench]'
failed=0
"$venv/bin/pytest" -n auto || failed=$?

echo
echo "newer than the locks:"
"$venv/bin/pip" list --format freeze --disable-pip-version-check | tr 'A-Z_' 'a-z-' | sort > "$venv/newest.txt"
sed -n 's/^\([a-zA-Z0-9_.-]*==[^ ;]*\).*/\1/p' locks/dev.txt | tr 'A-Z_' 'a-z-' | sort > "$venv/locked.txt"
cut -d= -f1 "$venv/locked.txt" | while read -r name; do
    newest=$(sed -n "s/^$name==//p" "$venv/newest.txt")
    grep -q "^$name==$newest\$" "$venv/locked.txt" || [ -z "$newest" ] ||
        echo "  $name: $(sed -n "s/^$name==//p" "$venv/locked.txt" | tr '\n' ' ')-> $newest"
done | sort -u
[ "$failed" = 0 ] && echo "the suite passes with the newest releases" || echo "the suite FAILS with the newest releases" >&2
exit "$failed"
