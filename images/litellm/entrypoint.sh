#!/bin/sh
# Migrates the database's schema, as the official image does at its start, and then runs the proxy. Like LiteLLM's own
# command line, it doesn't touch the schema with DISABLE_SCHEMA_UPDATE=true, and exits after the migrations with
# --skip_server_startup.
set -eu
if [ -n "${DATABASE_URL:-}" ] && [ "$(printf %s "${DISABLE_SCHEMA_UPDATE:-}" | tr '[:upper:]' '[:lower:]')" != true ]; then
    node /opt/engine/migrate.cjs
fi
for argument in "$@"; do
    [ "$argument" != --skip_server_startup ] || exit 0
done
# The migrations are done. The proxy's own migration needs an executable that this image doesn't have.
export DISABLE_SCHEMA_UPDATE=true
exec litellm "$@"
