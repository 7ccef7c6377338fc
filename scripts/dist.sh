#!/bin/sh
# Make a release's files in build/dist, and check them: `sh scripts/dist.sh PYTHON`.
#
# The wheel is made from the sdist, as an index or a distribution would. It must be the wheel that the tree makes, byte for
# byte: so the sdist lacks nothing of the package. The sdist has what git has, tests and protobuf sources too, and nothing
# that only lies about. What the index shows of both is checked by twine.
set -eu
tools=build/dist-tools
sh scripts/make_venv.sh "$1" "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --requirement locks/build.txt --requirement locks/release.txt
rm -rf build/dist build/dist-of-the-tree
"$tools/bin/pyproject-build" --no-isolation --outdir build/dist
"$tools/bin/pyproject-build" --no-isolation --wheel --outdir build/dist-of-the-tree
cmp build/dist/*.whl build/dist-of-the-tree/*.whl
git ls-files | sort > build/dist-of-the-tree/files
tar --list --gzip --file build/dist/*.tar.gz | sed 's,^[^/]*/,,' | grep -v '^PKG-INFO$' | sort |
    diff build/dist-of-the-tree/files - || { echo "the sdist (>) is not what git has (<)" >&2; exit 1; }
"$tools/bin/twine" check --strict build/dist/*
