#!/bin/sh
# Build the images and start what docker/compose.yml describes; `make compose-up` calls it. PROFILE: dbless,
# postgres or cluster.
set -eu
cd "$(dirname "$0")"
docker=${DOCKER:-docker}
export COMPOSE_PROFILES="${PROFILE:-dbless}"
REVISION=$(git rev-parse HEAD 2> /dev/null || echo unknown)
VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' ../kong_eventhooks_plugin/__init__.py)
export REVISION VERSION

# Made once, kept out of git. The files are readable for the containers' user, their directory for nobody else.
(umask 077 && mkdir -p secrets)
secret() { # NAME VALUE
    [ -s "secrets/$1" ] || printf '%s' "$2" > "secrets/$1"
    chmod 644 "secrets/$1"
}
random() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }
secret api_token "$(random)"
secret hook_secret "whsec_$(random)"
secret postgres_password "$(random)"
# In a URL `+` and `/` would have to be encoded.
secret store_password "$(random | tr '+/' '-_')"
secret store_url "postgresql://event_hooks:$(cat secrets/store_password)@store:5432/event_hooks"
POSTGRES_PASSWORD=$(cat secrets/postgres_password)
export POSTGRES_PASSWORD

# The sidecar's image first: Kong's takes the plugin documents from it.
"$docker" compose build event-hooks
kong=kong
port=${PROXY_PORT:-8000}
who="Kong answers at http://127.0.0.1:$port"
case $COMPOSE_PROFILES in
    postgres) kong=kong-with-database ;;
    cluster)
        kong=kong-1
        port=${PROXY_PORT_2:-8002}
        who="Kong 1 answers at http://127.0.0.1:${PROXY_PORT:-8000}, Kong 2 at http://127.0.0.1:$port"
        ;;
esac
"$docker" compose build "$kong"
"$docker" compose up --detach --wait
[ "$COMPOSE_PROFILES" != postgres ] || "$docker" compose run --rm deck

cat << TEXT

$who. The fourth request of a minute exceeds the limit:

  for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:$port/demo; done
  (cd docker && $docker compose logs receiver)      # the webhook, its signature verified
  curl http://127.0.0.1:${API_PORT:-8010}/readyz
  make compose-down                         # ends it and keeps the volumes
TEXT
