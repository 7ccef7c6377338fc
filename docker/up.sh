#!/bin/sh
# Build the images and start what docker/compose.yml describes; `make compose-up` calls it. PROFILE: dbless or postgres.
set -eu
cd "$(dirname "$0")"
docker=${DOCKER:-docker}
export COMPOSE_PROFILES="${PROFILE:-dbless}"
REVISION=$(git rev-parse HEAD 2> /dev/null || echo unknown)
VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' ../kong_eventhooks_plugin/__init__.py)
export REVISION VERSION

# Made once, kept out of git. The files are readable for the containers' user, their directory for nobody else.
(umask 077 && mkdir -p secrets)
secret() { # NAME PREFIX
    [ -s "secrets/$1" ] || printf '%s%s' "$2" "$(head -c 32 /dev/urandom | base64 | tr -d '\n')" > "secrets/$1"
    chmod 644 "secrets/$1"
}
secret api_token ''
secret hook_secret whsec_
secret postgres_password ''
POSTGRES_PASSWORD=$(cat secrets/postgres_password)
export POSTGRES_PASSWORD

# The sidecar's image first: Kong's takes the plugin documents from it.
"$docker" compose build event-hooks
case $COMPOSE_PROFILES in
    postgres) kong=kong-with-database ;;
    *) kong=kong ;;
esac
"$docker" compose build "$kong"
"$docker" compose up --detach --wait
[ "$COMPOSE_PROFILES" != postgres ] || "$docker" compose run --rm deck

cat << TEXT

Kong answers at http://127.0.0.1:${PROXY_PORT:-8000}. The fourth request of a minute exceeds the limit:

  for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:${PROXY_PORT:-8000}/demo; done
  (cd docker && $docker compose logs receiver)      # the webhook, its signature verified
  curl http://127.0.0.1:${API_PORT:-8010}/readyz
  make compose-down                         # ends it and keeps the volumes
TEXT
