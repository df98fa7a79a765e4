#!/bin/sh
# Implements the official image's entry point as far as one database with one owner needs it: POSTGRES_USER,
# POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, POSTGRES_DB, PGDATA.
#
# PG_VERSION shows that a database exists, and is moved into place last. An interrupted initialisation leaves the marker
# and no PG_VERSION, and starts again from nothing.
set -eu
umask 077

marker=.initialising
fresh_name=.new

fail() {
    echo "docker-entrypoint.sh: $*" >&2
    exit 1
}

write_password() {
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        cat "$POSTGRES_PASSWORD_FILE"
    else
        printf '%s\n' "$POSTGRES_PASSWORD"
    fi
}

clear_the_way() {
    if [ -e "$PGDATA/$marker" ]; then
        echo "an initialisation was interrupted here: starting again"
        find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name "$marker" ! -name lost+found -exec rm -rf {} +
    elif [ -n "$(find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit)" ]; then
        fail "$PGDATA holds files and no PostgreSQL database: empty it, or let PGDATA name another folder"
    fi
}

initialise() {
    [ -n "${POSTGRES_PASSWORD:-}${POSTGRES_PASSWORD_FILE:-}" ] ||
        fail "an empty PGDATA needs POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"
    mkdir -p "$PGDATA"
    clear_the_way
    : >"$PGDATA/$marker"
    fresh="$PGDATA/$fresh_name"
    mkdir "$fresh"
    write_password >"$PGDATA/.password"
    initdb --pgdata "$fresh" --username "$user" --pwfile "$PGDATA/.password" \
        --auth-local trust --auth-host scram-sha-256 --encoding UTF8
    rm "$PGDATA/.password"
    echo "listen_addresses = '*'" >>"$fresh/postgresql.conf"
    echo 'host all all all scram-sha-256' >>"$fresh/pg_hba.conf"
    if [ "$database" != postgres ]; then
        quoted="$(printf %s "$database" | sed 's/"/""/g')"
        echo "CREATE DATABASE \"$quoted\"" | postgres --single -j -D "$fresh" postgres >/dev/null
    fi
    find "$fresh" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
    sync
    mv "$fresh/PG_VERSION" "$PGDATA/PG_VERSION"
}

case "${1:-}" in
    -*) set -- postgres "$@" ;;
esac
if [ "${1:-}" = postgres ]; then
    user="${POSTGRES_USER:-postgres}"
    database="${POSTGRES_DB:-$user}"
    [ -s "$PGDATA/PG_VERSION" ] || initialise
    rm -rf "${PGDATA:?}/$marker" "${PGDATA:?}/$fresh_name"
fi
exec "$@"
