#!/usr/bin/env bash
# The worked examples of examples/, against a real controller and the demo's hosts. Root; cleans up after itself.
set -euo pipefail
cd "$(dirname "$0")/.."

BIN=$(realpath -m "${CARGO_TARGET_DIR:-target}/debug")
export PATH="$BIN:$PATH"
VENV=$(realpath -m "${CARGO_TARGET_DIR:-target}/python")
CNNF_LAB_DIR=$(mktemp -d /run/cnnf-examples.XXXXXX)
export CNNF_LAB_DIR

[ "$(id -u)" -eq 0 ] || { echo "error: the examples run on hosts in network namespaces: run this as root" >&2; exit 3; }
if ! "$VENV/bin/python" -c 'import grpc, grpc_reflection' 2>/dev/null; then
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check --requirement examples/python/requirements.txt
fi

trap 'cnnf-lab down >/dev/null 2>&1 || true; rm -rf "$CNNF_LAB_DIR"' EXIT
trap 'exit 130' INT TERM

cnnf-lab up integration/worlds/demo.toml
admin=$CNNF_LAB_DIR/controller/admin.toml
for host in web1 app1; do cnnf-lab ctl -- defenders mode "$host" enforce; done

# A desk in the world's network, with the files of this machine: hosts of the lab have a /run and a /tmp of their own.
bridge=/proc/$(cnnf-lab status -o json | jq -e .bridge.pid)/ns/net
nsenter --net="$bridge" ip address add 10.86.0.253/24 dev br0
on_desk() { nsenter --net="$bridge" env CNNF_ADMIN="$admin" PYTHONDONTWRITEBYTECODE=1 "$@"; }
echo "== python/story.py"
on_desk "$VENV/bin/python" "$PWD/examples/python/story.py" "$admin" unit:client unit:nginx tcp/80
echo "== shell/watch-changes.sh"
code=0
on_desk sh "$PWD/examples/shell/watch-changes.sh" 24h || code=$?
[ "$code" -eq 1 ] || { echo "error: the edges of this world are all new: expected exit code 1, got $code" >&2; exit 1; }
echo "all examples do what they say"
