#!/usr/bin/env bash
# The story of cnnf on four small hosts, each command with its real output. Root; cleans up after itself.
#   CHECK=1   verifies every step and exits 0, or with the number of the step that failed; else stays up until Ctrl-C
set -euo pipefail
cd "$(dirname "$0")/.."

BIN=$(realpath -m "${CARGO_TARGET_DIR:-target}/debug")
export PATH="$BIN:$PATH"
export CNNF_LAB_DIR=${CNNF_LAB_DIR:-/run/cnnf-lab/demo}
WORLD=integration/worlds/demo.toml
step=0

[ "$(id -u)" -eq 0 ] || { echo "error: the demo makes network namespaces: run it as root" >&2; exit 3; }

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' off=$'\e[0m'
else bold='' dim='' green='' red='' cyan='' off=''; fi

# ---- how it is told
chapter() { step=$((step + 1)); printf '\n%s%d. %s%s\n' "$bold" "$step" "$1" "$off"; }
say() { printf '%s%s%s\n' "$dim" "$1" "$off"; }
good() { printf '%s✓ %s%s\n' "$green" "$1" "$off"; }
fail() { printf '%s✗ step %d: %s%s\n' "$red" "$step" "$1" "$off" >&2; exit "$step"; }
show() { # show COMMAND… : prints it as one would type it, and its output
    local word line=
    for word in "$@"; do case $word in *[[:space:]]*) line+="'$word' " ;; *) line+="$word " ;; esac; done
    line=${line/#cnnf-lab ctl -- /cnnfctl }
    printf '%s$ %s%s\n' "$cyan" "${line% }" "$off"
    "$@" || fail "'$*' answered with exit code $?"
}
ctl() { show cnnf-lab ctl -- "$@"; }
ask() { cnnf-lab ctl -- -o json "$@"; }
now_ms() { date +%s%3N; }
within() { # within SECONDS WHAT COMMAND… : until the command holds; leaves the milliseconds it took in $took
    local limit=$1 what=$2 start; shift 2; start=$(now_ms)
    until "$@" >/dev/null 2>&1; do
        [ $(($(now_ms) - start)) -lt $((limit * 1000)) ] || fail "not within $limit s: $what"
        sleep 0.02
    done
    took=$(($(now_ms) - start))
}

# ---- what is asked of the world
hits() { cnnf-lab exec web1 -- sh -c 'wc -l < /run/lab/services/nginx.service/access.log'; }
page() { cnnf-lab exec app1 --unit client -- curl -sS -m 2 -o /dev/null -w '%{http_code}\n' http://web1/; }
refused() { ! page; }
answered() { page; }
edge_is() { # edge_is CLIENT SERVER STATUS
    ask radar | jq -e --arg c "$1" --arg s "$2" --arg st "$3" \
        '.edges[] | select((.client.service == $c) and (.server.service == $s) and (.status == $st))'
}
edge_seen() { ask edges list --from "$1" --to "$2" | jq -e '.edges | length > 0'; }
event_of() { # event_of KIND SERVER FILTER
    ask events list --kind "$1" | jq -e --arg s "$2" "[.events[] | select(.server.service == \$s) | select($3)] | first // empty"
}
phase_is() { ask models show "$1" | jq -e --arg p "$2" '.phase == $p'; }

# ---- the browser's way into the world
VETH=cnnf-demo
join() { # one end here as 10.86.0.254, the other on the world's bridge
    local pid; pid=$(cnnf-lab status -o json | jq -e .bridge.pid)
    ip link add "$VETH" type veth peer name demo netns "/proc/$pid/ns/net"
    nsenter --net="/proc/$pid/ns/net" ip link set demo master br0 up
    ip address add 10.86.0.254/24 dev "$VETH"
    ip link set "$VETH" up
}
leave() { ip link delete "$VETH" 2>/dev/null || true; }
served() { curl -sS -m 2 --cacert "$CNNF_LAB_DIR/controller/pki/ca.crt" https://10.86.0.250:8443/ | grep -q '<div id="root"'; }

# ---- the story
trap 'leave; cnnf-lab down >/dev/null 2>&1 || true' EXIT
trap 'exit 130' INT TERM

chapter "Four hosts come up: a web server, a client of it, a database, and a machine without a defender"
cnnf-lab down >/dev/null 2>&1 || true
show cnnf-lab up "$WORLD"
ctl defenders list
[ "$(ask defenders list | jq '[.defenders[] | select(.connected)] | length')" -eq 3 ] || fail "three defenders should be connected"

chapter "Radar sees services, not addresses"
within 20 "the edge from client to nginx" edge_seen unit:client unit:nginx
ctl radar --connected
good "client → nginx was seen $took ms after we began to look"

chapter "A rule from one service to another alerts"
ctl rules add --name 'watch the client' --from client --to nginx --ports tcp/80 --effect alert
within 5 "an event of the rule" event_of rule_alert unit:nginx '.client.service == "unit:client"'
good "the event is there $took ms after the rule (the client asks once a second)"
event=$(event_of rule_alert unit:nginx '.process.exe != ""' | jq -r .id) || fail "no event names its process"
ctl events show "$event"
before=$(hits); status=$(page) || fail "an alerted page must pass"
[ "$status" = 200 ] && [ "$(hits)" -gt "$before" ] || fail "the alerted page is not in nginx's log"
good "the page still comes ($status), nginx has logged it, and the edge is orange:"
within 3 "an orange edge" edge_is unit:client unit:nginx alerted
ctl radar --connected

chapter "The same rule prevents"
say "Hosts observe until they are told to enforce; nothing is ever dropped by surprise."
ctl defenders mode app1 enforce
ctl defenders mode web1 enforce
ctl rules set 'watch the client' --effect prevent
within 2 "the page refused" refused
good "the page is refused $took ms after the command returned"
[ "$took" -le 1000 ] || fail "that took longer than a second"
before=$(hits)
if page; then fail "the page came although the rule prevents it"; fi
sleep 2.2
[ "$(hits)" -eq "$before" ] || fail "nginx has logged a request that was prevented"
good "curl fails, and nginx's log has no new line in two seconds"
within 3 "a prevent event" event_of rule_prevent unit:nginx '.client.service == "unit:client"'
within 3 "a red edge" edge_is unit:client unit:nginx prevented
ctl events list --kind rule_prevent

chapter "The rule goes, the page comes back"
ctl rules delete 'watch the client' --yes
within 2 "the page" answered
good "the page is back $took ms after the command returned"

chapter "No rule at all: the database's normal traffic was learned, and somebody with a shell is not normal"
within 60 "the database's model active" phase_is unit:redis active
ctl models list
[ "$(ask rules list | jq '.rules | length')" -eq 0 ] || fail "there should be no rule"
start=$(now_ms)
show cnnf-lab exec app1 --session -- curl -sS -m 3 dict://db1:6379/PING
within 3 "the anomaly" event_of anomaly_alert unit:redis '.client.service == "exe:/usr/bin/curl"'
good "an anomaly, $(($(now_ms) - start)) ms after curl was started, with the process behind it:"
ctl events show "$(event_of anomaly_alert unit:redis '.client.service == "exe:/usr/bin/curl"' | jq -r .id)"
event_of anomaly_alert unit:redis '.process.exe == "/usr/bin/curl" and (.process.cmdline | contains("dict://db1:6379"))' \
    >/dev/null || fail "the anomaly does not name curl and its command line"

chapter "Everything is seen"
ctl status
ctl radar

chapter "The page shows all of it"
leave
join || fail "this machine cannot join the world's network 10.86.0.0/24: is it in use here?"
within 5 "the page" served
password=$(sed -n 's/.*one-time password: //p' "$CNNF_LAB_DIR/hosts/controller/log/cnnf-controller-init.service.log")
[ -n "$password" ] || fail "init has printed no password"
good "https://10.86.0.250:8443   sign in as admin with $password (once: you choose your own then)"
say "Its certificate is of the world's own CA: a browser asks whether to trust it, or import $CNNF_LAB_DIR/controller/pki/ca.crt."

if [ -n "${CHECK:-}" ]; then
    leave
    cnnf-lab down
    trap - EXIT
    printf '\n%s%sall %d steps hold%s\n' "$bold" "$green" "$step" "$off"
else
    printf '\n%sThe world and its page stay up.%s Try: CNNF_LAB_DIR=%s cnnf-lab ctl -- radar (binaries in %s). Ctrl-C ends it.\n' \
        "$bold" "$off" "$CNNF_LAB_DIR" "$BIN"
    sleep infinity &
    wait $!
fi
