# Booted Debian hosts for tests of packages, to be sourced: a world of cnnf-lab, commands on its hosts, and checks that are counted.
#
#   flow=WORDS           what checks are said to be of
#   DEBS                 where packages are, else target/packages-test, see packaging/build

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
lab=$PWD/target/debug/cnnf-lab
packages=$(realpath -m "${DEBS:-target/packages-test}")
beds=${CNNF_BEDS:-/var/cache/cnnf-lab}
world=$(mktemp -d -u "${TMPDIR:-/tmp}/cnnf-packages.XXXXXX")
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
source packaging/test/checks.sh

end() {
    "$lab" --dir "$world" down >/dev/null 2>&1 || true
    rm -f "$world.toml"
}
trap end EXIT
trap 'exit 1' INT TERM HUP

# boot SUITE HOST…: a world of these hosts without anything of cnnf; each finds the folder hosts/NAME of the world in /run/lab
boot() {
    local suite=$1
    shift
    {
        printf '[controller]\nenabled = false\n'
        printf '[[host]]\nname = "%s"\n' "$@"
    } >"$world.toml"
    "$lab" --dir "$world" up --bed "systemd/$suite" "$world.toml" | head -1
}
# on HOST WORDS…: runs them in a login session there
on() {
    local host=$1
    shift
    "$lab" --dir "$world" exec "$host" -- "$@"
}
# sh_on HOST SCRIPT
sh_on() {
    on "$1" sh -c "$2"
}
# write_on HOST FILE: what is read goes there
write_on() {
    on "$1" sh -c 'cat >"$1"' sh "$2"
}
ctl() {
    on ctl env CNNF_ADMIN=/var/lib/cnnf-controller/admin.toml cnnfctl "$@"
}
pid_of() {
    on "$1" systemctl show --value --property MainPID "${2:-cnnf-defender}"
}
# init_of HOST: its first process, as this machine counts
init_of() {
    "$lab" --dir "$world" status -o json | jq --arg host "$1" '.hosts[] | select(.name == $host) | .pid'
}
# reboot HOST: until it is down. Nobody asks it anything meanwhile: a login that comes while systemd ends everything is what it then waits for, for
# up to 90 seconds.
reboot() {
    local init
    init=$(init_of "$1")
    sh_on "$1" 'systemctl reboot' || true
    soon test ! -e "/proc/$init"
}
connected() {
    sh_on "$1" "cnnf-defender status" | grep '(connected)' >/dev/null
}
enforces() {
    ctl -o json defenders list | jq -e --arg host "$1" '.defenders[] | select(.host == $host) | .connected and .mode == "enforce"'
}
sees() {
    ctl -o json edges list | jq -e --arg c "$1" --arg s "$2" --argjson p "$3" \
        '.edges[] | select(.client.service == $c and .server.service == $s and .port == $p)'
}
service_on() {
    ctl -o json services list | jq -e --arg key "$1" --arg host "$2" '.services[] | select(.key == $key) | .instances[] | select(.host == $host)'
}
event_of() {
    ctl -o json events list --kind "$1" | jq -e --arg c "$2" '.events[] | select(.client.service == $c)'
}
# install_controller: from its package on `ctl`
install_controller() {
    cp "$packages"/*-1_amd64.deb "$world/hosts/ctl/"
    sh_on ctl 'apt-get install -y /run/lab/cnnf-controller_*.deb /run/lab/cnnfctl_*.deb' >/dev/null 2>&1
    sh_on ctl "cnnf-controller init --data-dir /var/lib/cnnf-controller --name ctl --name 10.86.0.1 && systemctl start cnnf-controller" >/dev/null && return
    sh_on ctl 'journalctl -q --no-pager -u cnnf-controller | tail -n 5'
    return 1
}
