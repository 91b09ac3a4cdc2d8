#!/bin/sh
# install.sh : installs or upgrades the defender of cnnf from the controller that serves this file, and enrols this host. Run as root.
#
#   sh install.sh --from https://CONTROLLER:8443 [--controller CONTROLLER:7443 --token TOKEN [--label KEY=VALUE]...] [--format deb|rpm]
#
# Without a token it only installs; a host that is enrolled stays what it is. This host does not know the controller's CA yet, so it is not the
# connection that is trusted: each package must have the sum that stands below, and this file the sum in the command line that you copied.
# The token goes only to a controller whose CA it names.
set -eu

# sums and names of the packages
packages='
@PACKAGES@
'
# once the defender is enrolled
place=/var/lib/cnnf/identity/place.toml

fail() { # CODE WORDS
    code=$1
    shift
    echo "error: $*" >&2
    exit "$code"
}

from='' controller='' token=${CNNF_TOKEN:-} labels='' format=''
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail 2 "$1 needs a value"
    case $1 in
    --from) from=$2 ;;
    --controller) controller=$2 ;;
    --token) token=$2 ;;
    --label) labels=${labels:+$labels,}$2 ;;
    # for a host that has both kinds
    --format) format=$2 ;;
    *) fail 2 "there is no option $1: see the first lines of this file" ;;
    esac
    shift 2
done
[ -n "$from" ] || fail 2 'say where packages are: --from https://CONTROLLER:8443'
[ -z "$token" ] || [ -n "$controller" ] || fail 2 'a token needs --controller HOST:PORT'
[ "$(id -u)" = 0 ] || fail 3 'run this as root'

case $(uname -m) in
x86_64) deb=_amd64.deb rpm=.x86_64.rpm ;;
aarch64) deb=_arm64.deb rpm=.aarch64.rpm ;;
*) fail 3 "there is no package for $(uname -m)" ;;
esac
[ -n "$format" ] || if command -v apt-get >/dev/null; then format=deb; else format=rpm; fi
case $format in
deb) kind=$deb ;;
rpm) kind=$rpm ;;
*) fail 2 "--format is deb or rpm, not $format" ;;
esac
found=$(printf '%s\n' "$packages" | grep -F -- "$kind" | tail -n 1 || true)
[ -n "$found" ] || fail 3 "the controller has no package *$kind"
sum=${found%% *}
name=${found##* }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM HUP
# apt reads packages as a user of its own
chmod 755 "$folder"
url=${from%/}/packages/$name
if command -v curl >/dev/null; then
    curl -fsSk --retry 3 -o "$folder/$name" "$url" || fail 3 "cannot fetch $url"
elif command -v wget >/dev/null; then
    wget -q --no-check-certificate -O "$folder/$name" "$url" || fail 3 "cannot fetch $url"
else
    fail 3 'neither curl nor wget is installed'
fi
echo "$sum  $folder/$name" | sha256sum -c - >/dev/null || fail 1 "$url is not what it should be; nothing was installed"

if [ "$format" = deb ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$folder/$name"
elif command -v dnf >/dev/null; then
    dnf install -y "$folder/$name"
else
    rpm -U "$folder/$name"
fi

if [ -e "$place" ]; then
    echo "this host is enrolled: $(sed -n 's/^controller = //p' "$place")"
elif [ -n "$token" ]; then
    CNNF_TOKEN=$token cnnf-defender enroll --controller "$controller" ${labels:+--label "$labels"}
fi
