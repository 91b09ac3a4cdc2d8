# Checks that are counted, to be sourced: by tests on booted hosts (hosts.sh), and inside a virtual machine (vm).
#
#   flow=WORDS           what checks are said to be of

passed=0 failed=0

# is WHAT COMMAND…: counts it as passed if it succeeds
is() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        echo "ok      $flow: $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $flow: $what: $*"
        sed 's/^/        /' <<<"$output" | tail -20
    fi
}
# soon COMMAND…: succeeds once the command does, within PATIENCE or 10 seconds
soon() {
    local last=$((SECONDS + ${PATIENCE:-10}))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$last" ] || { "$@"; return; }
        sleep 0.1
    done
}
not() {
    ! "$@"
}
equal() {
    [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }
}
at_most() {
    echo "$1, at most $2"
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a <= b) }'
}
# count: says how many checks passed and failed, and fails if one did
count() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
