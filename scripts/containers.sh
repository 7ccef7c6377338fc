#!/bin/sh
# Build the sidecar's image and run tests/containers, on a Debian machine that may have no Docker engine and reaches no
# image registry: `sh scripts/containers.sh PYTEST-ARGUMENT...`. It needs root, and installs docker.io and mmdebstrap
# where they are missing. An engine that it starts it also stops, and what that engine changed about the network it
# takes back. Where an engine cannot be had it says why and ends well: the rest of the gate says nothing about images.
set -eu
mkdir -p build
not_here() {
    echo "tests/containers did not run: $1"
    exit 0
}
[ "$(id -u)" = 0 ] || not_here "an engine needs root"
if ! { [ -x /usr/bin/docker ] && [ -x /usr/bin/mmdebstrap ]; }; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io mmdebstrap; } > build/apt.log 2>&1 ||
        not_here "docker.io and mmdebstrap cannot be installed (build/apt.log)"
fi
# Debian's client knows BuildKit; another one on the PATH may not.
DOCKER=/usr/bin/docker
export DOCKER DOCKER_BUILDKIT=1

engine=''
forward=''
stop_engine() {
    [ -n "$engine" ] || return 0
    kill "$engine"
    while kill -0 "$engine" 2> /dev/null; do sleep 0.2; done
    ip link delete docker0 2> /dev/null || true
    for table in filter nat; do printf '*%s\nCOMMIT\n' "$table"; done | iptables-restore
    iptables -P FORWARD ACCEPT
    iptables-restore < build/iptables.before
    echo "$forward" > /proc/sys/net/ipv4/ip_forward
}
if ! "$DOCKER" version > /dev/null 2>&1; then
    forward=$(cat /proc/sys/net/ipv4/ip_forward)
    iptables-save > build/iptables.before || not_here "iptables does not work here"
    dockerd > build/dockerd.log 2>&1 &
    engine=$!
    trap stop_engine EXIT
    for _ in $(seq 60); do
        "$DOCKER" version > /dev/null 2>&1 && break
        kill -0 "$engine" 2> /dev/null || { engine='' && not_here "dockerd does not start ($(tail -n 1 build/dockerd.log))"; }
        sleep 0.5
    done
fi

.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade --target build/compose -r locks/compose.txt
DOCKER_CONFIG=$PWD/build/docker-config
export DOCKER_CONFIG
mkdir -p "$DOCKER_CONFIG/cli-plugins"
ln -sf "$PWD/build/compose/bin/docker-compose" "$DOCKER_CONFIG/cli-plugins/docker-compose"

sh scripts/base_images.sh
"$DOCKER" build --quiet --file docker/Dockerfile --tag kong-event-hooks .
.venv/bin/pytest tests/containers --docker "$DOCKER" "$@"
