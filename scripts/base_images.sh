#!/bin/sh
# Make stand-ins for debian:bookworm-slim, python:3.11-slim-bookworm and postgres:16 from Debian's packages, for a machine
# that reaches no image registry; an image that is there already stays. As root: `sh scripts/base_images.sh`.
#
# Needs a running Docker engine and mmdebstrap. The machine's own certificate authorities and pip.conf go into the
# second image, where it has them: behind a proxy of its own, packages come no other way.
set -eu
docker=${DOCKER:-docker}
debian=debian:bookworm-slim
python=python:3.11-slim-bookworm
postgres=postgres:16

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

# As the real one begins: with an empty volume it makes a database cluster and runs /docker-entrypoint-initdb.d/*.sql.
if ! has "$postgres"; then
    echo "making $postgres"
    postgres_context=$(mktemp -d)
    trap 'rm -rf "${context:-}" "$postgres_context"' EXIT
    cat > "$postgres_context/start" << 'START'
#!/bin/sh
set -eu
data=/var/lib/postgresql/data user=${POSTGRES_USER:-postgres} database=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}
if [ ! -s "$data/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" > /tmp/password
    initdb --pgdata "$data" --username "$user" --pwfile /tmp/password --auth-host scram-sha-256 --auth-local trust > /dev/null
    rm /tmp/password
    echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
    pg_ctl --pgdata "$data" --options "-c listen_addresses=''" --wait start > /dev/null
    [ "$database" = postgres ] || createdb --username "$user" --maintenance-db postgres "$database"
    for file in /docker-entrypoint-initdb.d/*.sql; do
        [ ! -f "$file" ] || psql --no-psqlrc -v ON_ERROR_STOP=1 --username "$user" --dbname "$database" --file "$file"
    done
    pg_ctl --pgdata "$data" --wait stop > /dev/null
fi
exec postgres -D "$data" -c 'listen_addresses=*'
START
    "$docker" build --quiet --tag "$postgres" --file - "$postgres_context" > /dev/null << DOCKERFILE
FROM $debian
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql > /dev/null \\
 && ln -s /usr/lib/postgresql/*/bin /usr/lib/postgresql/bin \\
 && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data
COPY --chmod=0755 start /usr/local/bin/start
ENV PATH=/usr/lib/postgresql/bin:/usr/local/bin:/usr/bin:/bin
USER postgres
# A fast shutdown: what is connected does not keep it.
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/bin/start"]
DOCKERFILE
fi
