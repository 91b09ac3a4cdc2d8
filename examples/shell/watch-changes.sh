#!/bin/sh
# What is new between services, for a nightly mail: cnnfctl asks, jq reads its JSON. Exits with 1 if there is something new.
#   watch-changes.sh [SINCE]     such as 24h (the default), with CNNF_ADMIN or a context of cnnfctl
set -eu

since=${1:-24h}
new=$(cnnfctl edges diff --since "$since" -o json | jq -r '
    def name: if .service != "" then .service elif .object != "" then .object else .address end;
    .new[] | "\(.client | name) -> \(.server | name) \(.protocol)/\(.port)  \(.status), \(.connections) connections"')
open=$(cnnfctl events list --since "$since" -o json | jq '[.events[] | select(.acknowledged | not)] | length')

echo "$open open events since $since"
[ -n "$new" ] || { echo "nothing new"; exit 0; }
printf 'new since %s:\n%s\n' "$since" "$new"
exit 1
