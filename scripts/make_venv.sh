#!/bin/sh
# Make the virtual environment VENV with PYTHON: `sh scripts/make_venv.sh PYTHON VENV`.
# One that another version of Python made is replaced. Nothing is installed on the system: where Python lacks the
# module that makes environments (Debian and Ubuntu ship it apart), the command that installs it is printed.
set -eu
python=$1
venv=$2

tag() { "$1" -c 'import sys; print(sys.implementation.cache_tag)' 2>/dev/null || echo none; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or newer is needed; \"$python\" is $("$python" --version 2>&1 || true)." \
        "Name another: make PYTHON=python3.11 ..." >&2
    exit 1
fi
if [ -x "$venv/bin/pip" ] && [ "$(tag "$venv/bin/python")" = "$(tag "$python")" ]; then
    exit 0
fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "Python's venv module is missing. Install it and try again: sudo apt-get install python$version-venv" >&2
    exit 1
fi
if [ -e "$venv" ]; then
    # Only what looks like an environment is taken away: VENV may be any path.
    [ -e "$venv/pyvenv.cfg" ] || { echo "$venv is not a virtual environment; remove it or name another VENV" >&2; exit 1; }
    echo "making $venv anew, with $("$python" --version)"
    rm -rf "$venv"
fi
"$python" -m venv "$venv"
