#!/bin/sh
# Resolve every dependency anew and write locks/: `sh scripts/lock.sh PYTHON`.
#
# One resolution for all supported versions of Python (`--universal`: each line says for which it holds), in these
# files with hashes that pip alone can install:
#
#   locks/dev.txt      everything: what the package needs, what tests, linters, benchmarks and the build need
#   locks/runtime.txt  the part that `pip install 'kong-eventhooks-plugin[all]'` needs
#   locks/build.txt    the part that builds the package
#   locks/sbom.txt     what lists an image's packages, while the image is built (docker/Dockerfile)
#   locks/kubernetes.txt  what checks deploy/kubernetes in .ci/run
#   locks/site.txt     what makes the documentation's site (`make site`)
#   locks/release.txt  what makes and checks a release's files (`make dist`), beside locks/build.txt
#
# What is locked stays where it is unless a range in pyproject.toml moved; UPGRADE=1 takes the newest of everything.
set -eu
python=$1
tool=build/lock-tool
oldest=3.11
upgrade=${UPGRADE:+--upgrade}

[ -x "$tool/bin/uv" ] || { sh scripts/make_venv.sh "$python" "$tool"; "$tool/bin/pip" install --quiet uv; }

resolve() { # OUTPUT [OPTION...]
    output=$1
    shift
    # shellcheck disable=SC2086 - empty unless asked for
    UV_CUSTOM_COMPILE_COMMAND="make lock" "$tool/bin/uv" pip compile --quiet --universal --python-version "$oldest" \
        --generate-hashes --no-emit-index-url --no-emit-find-links --output-file "$output" "$@"
}

# shellcheck disable=SC2086
resolve locks/dev.txt $upgrade --all-extras pyproject.toml locks/build.in
resolve locks/runtime.txt --extra all --constraint locks/dev.txt pyproject.toml
resolve locks/build.txt --constraint locks/dev.txt locks/build.in
resolve locks/sbom.txt $upgrade --constraint locks/dev.txt locks/sbom.in
resolve locks/kubernetes.txt $upgrade --constraint locks/dev.txt locks/kubernetes.in
# shellcheck disable=SC2086
resolve locks/site.txt $upgrade --constraint locks/dev.txt locks/site.in
# shellcheck disable=SC2086
resolve locks/release.txt $upgrade --constraint locks/dev.txt locks/release.in
