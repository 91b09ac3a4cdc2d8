# A virtual machine with Debian's own kernel, to be sourced: its kernel, the modules that can matter to a network, and a run of it.
#
# The machine is qemu's emulator (no KVM needed), its disk an archive in memory. Root is needed. Nothing is installed in or left on this host but
# packages and $work.
#
#   MINUTES=15      a machine is ended after so long

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=target/vm
minutes=${MINUTES:-15}

packaging/install-deps qemu-system-x86 busybox kmod jq >&2
mkdir -p "$work/packages"
package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
[ -n "$package" ] || { echo "error: no Debian kernel in apt's sources: linux-image-cloud-amd64" >&2; exit 3; }
kernel=$work/kernel/$package
if [ ! -d "$kernel" ]; then
    (cd "$work/packages" && apt-get download -q -o APT::Sandbox::User=root "$package" >&2)
    mkdir -p "$work/kernel"
    dpkg-deb -x "$work/packages/$package"_*.deb "$kernel.new"
    mv "$kernel.new" "$kernel"
fi
version=$(basename "$kernel"/lib/modules/*)

tree=$(mktemp -d "$PWD/$work/tree.XXXXXX")
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' INT TERM HUP

# modules: into the tree, with what they depend on
modules() {
    local part from
    mkdir -p "$tree/lib/modules/$version/kernel"
    cp "$kernel/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$tree/lib/modules/$version/"
    for part in net/netfilter net/ipv4 net/ipv6 net/bridge net/802 net/llc net/packet net/unix net/netlink net/core net/sched \
        drivers/net/veth.ko drivers/net/dummy.ko lib crypto arch; do
        from=$kernel/lib/modules/$version/kernel/$part
        [ -e "$from" ] && mkdir -p "$tree/lib/modules/$version/kernel/$(dirname "$part")" && cp -r "$from" "$tree/lib/modules/$version/kernel/$part"
    done
    depmod -b "$tree" "$version"
}

# machine NAME INIT WORDS…: boots the tree with INIT as its first program, prints what it says and fails unless it says WORDS
machine() {
    local name=$1 init=$2 ended=0
    shift 2
    # the archive is a list of files in cpio's "newc" format, as the kernel wants its first root to be
    (cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/$name.gz"
    echo "linux $version, $(du -h "$work/$name.gz" | cut -f1) of files" >&2
    # a log that can be read while the machine runs
    timeout "${minutes}m" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 -no-reboot -nic none -display none -monitor none \
        -serial "file:$work/$name.log" -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/$name.gz" \
        -append "console=ttyS0 quiet mitigations=off panic=-1 rdinit=$init" </dev/null || ended=$?
    rm -f "$work/$name.gz"
    tr -d '\r' <"$work/$name.log"
    [ "$ended" = 0 ] || echo "error: the machine was ended after $minutes minutes, or did not run (status $ended)" >&2
    grep -qF "$*" "$work/$name.log"
}
