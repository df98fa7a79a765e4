#!/bin/sh
# Brings the database's schema up to date, as the official image does at its start, and then becomes the proxy.
set -eu
if [ -n "${DATABASE_URL:-}" ] && [ "$(printf %s "${DISABLE_SCHEMA_UPDATE:-}" | tr '[:upper:]' '[:lower:]')" != true ]; then
    node /opt/engine/migrate.cjs
fi
# The migrations are done, and the proxy's own way to do them needs an executable that isn't here.
export DISABLE_SCHEMA_UPDATE=true
exec litellm "$@"
