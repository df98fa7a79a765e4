#!/bin/sh
# Brings the database's schema up to date, as the official image does at its start, and then becomes the proxy. With
# DISABLE_SCHEMA_UPDATE=true it leaves the schema alone, and with --skip_server_startup it stops after it, as LiteLLM's
# own command line does.
set -eu
if [ -n "${DATABASE_URL:-}" ] && [ "$(printf %s "${DISABLE_SCHEMA_UPDATE:-}" | tr '[:upper:]' '[:lower:]')" != true ]; then
    node /opt/engine/migrate.cjs
fi
for argument in "$@"; do
    [ "$argument" != --skip_server_startup ] || exit 0
done
# The migrations are done, and the proxy's own way to do them needs an executable that isn't here.
export DISABLE_SCHEMA_UPDATE=true
exec litellm "$@"
