#!/bin/sh
# What the official image's entry point promises, as far as one database with one owner needs it:
# POSTGRES_USER, POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, POSTGRES_DB, PGDATA.
set -eu
umask 077

initialise() {
    fresh="$PGDATA.new"
    rm -rf "$fresh"  # what an interrupted start left is no database
    password="$(mktemp)"
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then cat "$POSTGRES_PASSWORD_FILE"; else printf '%s' "$POSTGRES_PASSWORD"; fi >"$password"
    initdb --pgdata "$fresh" --username "$user" --pwfile "$password" --auth-local trust --auth-host scram-sha-256 --encoding UTF8
    rm -f "$password"
    echo 'host all all all scram-sha-256' >>"$fresh/pg_hba.conf"
    if [ "$database" != postgres ]; then
        echo "CREATE DATABASE \"$database\";" | postgres --single -D "$fresh" -j postgres >/dev/null
    fi
    mkdir -p "$(dirname "$PGDATA")"
    rmdir "$PGDATA" 2>/dev/null || true
    mv "$fresh" "$PGDATA"
}

if [ "$1" = postgres ]; then
    user="${POSTGRES_USER:-postgres}"
    database="${POSTGRES_DB:-$user}"
    [ -s "$PGDATA/PG_VERSION" ] || initialise
    set -- "$@" -c "listen_addresses=*" -c "unix_socket_directories=/var/run/postgresql"
fi
exec "$@"
