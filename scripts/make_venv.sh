#!/bin/sh
# Make the virtual environment VENV with PYTHON: `sh scripts/make_venv.sh PYTHON VENV`.
# Debian and Ubuntu ship Python without the module that makes one; as root it is installed, else the
# command to run is printed.
set -eu
python=$1
venv=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or newer is needed; \"$python\" is $("$python" --version 2>&1). Name another: make PYTHON=python3.11 ..." >&2
    exit 1
fi
[ -x "$venv/bin/pip" ] && exit 0
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv"
    else
        echo "Python's venv module is missing. Install it and try again: sudo apt-get install python$version-venv" >&2
        exit 1
    fi
fi
"$python" -m venv "$venv"
