#!/usr/bin/env bash
# Builds the page into ui/dist: fetches what package-lock.json names, generates the messages from ../proto, checks types and style,
# bundles, and checks the size. Where Node is older than 20.19, it takes Node 24 from npm, for itself alone.
set -euo pipefail
cd "$(dirname "$0")"

command -v npm >/dev/null || ../packaging/install-deps nodejs npm

new_enough() { node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; }
if ! new_enough; then
    [ -x .node/node_modules/.bin/node ] || npm install --prefix .node --no-save --no-fund --no-audit node@24
    PATH="$PWD/.node/node_modules/.bin:$PATH"
    new_enough || { echo "error: Node $(node --version) is older than 20.19, and node@24 from npm does not run here" >&2; exit 3; }
fi
export PATH="$PWD/node_modules/.bin:$PATH"

# npm writes this file last; it is what is installed.
[ node_modules/.package-lock.json -nt package-lock.json ] || { npm ci; touch node_modules/.package-lock.json; }

npm run --silent generate
if [ "${1:-}" != only-generate ]; then
    npm run --silent types
    npm run --silent lint
    npm run --silent build -- --logLevel warn
    npm run --silent size
    npm run --silent compress
    touch .built
fi
