#!/bin/sh
# Make stand-ins for the base images debian:bookworm-slim and python:3.11-slim-bookworm from Debian's packages, for a
# machine that reaches no image registry; an image that is there already stays. As root: `sh scripts/base_images.sh`.
#
# Needs a running Docker engine and mmdebstrap. The machine's own certificate authorities and pip.conf go into the
# second image, where it has them: behind a proxy of its own, packages come no other way.
set -eu
docker=${DOCKER:-docker}
debian=debian:bookworm-slim
python=python:3.11-slim-bookworm

has() { "$docker" image inspect "$1" > /dev/null 2>&1; }

if ! has "$debian"; then
    echo "making $debian: two minutes or so"
    sources=/etc/apt/sources.list.d/debian.sources
    [ -f "$sources" ] || sources='deb http://deb.debian.org/debian bookworm main'
    mmdebstrap --quiet --variant=apt --include=usr-is-merged,ca-certificates,python3,python3-venv,python3-pip \
        bookworm - "$sources" | "$docker" import -c 'CMD ["bash"]' - "$debian" > /dev/null
fi

if ! has "$python"; then
    echo "making $python"
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    mkdir "$context/certificates"
    cp /usr/local/share/ca-certificates/*.crt "$context/certificates/" 2> /dev/null || true
    if [ -f /etc/pip.conf ]; then cp /etc/pip.conf "$context/pip.conf"; else : > "$context/pip.conf"; fi
    "$docker" build --quiet --tag "$python" --file - "$context" > /dev/null << DOCKERFILE
FROM $debian
COPY certificates /usr/local/share/ca-certificates/
COPY pip.conf /etc/pip.conf
RUN update-ca-certificates > /dev/null \\
 && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED \\
 && ln -s /usr/bin/python3 /usr/local/bin/python \\
 && ln -s /usr/bin/python3 /usr/local/bin/python3 \\
 && ln -s /usr/bin/pip3 /usr/local/bin/pip
DOCKERFILE
fi
