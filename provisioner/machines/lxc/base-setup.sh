#!/bin/sh
# Usage: base-setup.sh before|after ROOT CACHE [PACKAGE...]
# Run by mmdebstrap before a base image is installed into ROOT, and after it. CACHE keeps Debian packages for the next.
set -eu
when=$1 root=$2 cache=$3
shift 3
archives=$root/var/cache/apt/archives

keep_packages() {
    for package in "$archives"/*.deb; do
        [ -e "$cache/${package##*/}" ] && continue
        cp "$package" "$cache/.${package##*/}.$$" # another build must not find a part of it
        mv "$cache/.${package##*/}.$$" "$cache/${package##*/}"
    done
}

if [ "$when" = before ]; then
    mkdir -p "$archives"
    # Links where that is possible: most of what is kept is of no use here, and is only unlinked.
    cp --link --no-clobber "$cache"/*.deb "$archives"/ 2>/dev/null || cp --no-clobber "$cache"/*.deb "$archives"/ || true
    exit 0
fi

# Docker comes by Ansible's role. Its packages lie ready in apt's own cache, so that hosts need no network for it.
keep_packages
chroot "$root" apt-get clean
chroot "$root" apt-get install --yes --print-uris --no-install-recommends "$@" | sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" |
    while read -r package; do
        if [ -e "$cache/$package" ]; then
            cp "$cache/$package" "$archives/"
        fi
    done
chroot "$root" apt-get install --yes --download-only --no-install-recommends "$@"
keep_packages

# Each host gets keys, a name and a machine id of its own.
rm -f "$root"/etc/ssh/ssh_host_*
: > "$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/hostname"
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\nUseDNS no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n' \
    > "$root/etc/ssh/sshd_config.d/50-lab.conf"

# What was read on a host before it lost power is there when it comes back.
mkdir -p "$root/var/log/journal" "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\nForwardToConsole=no\n' > "$root/etc/systemd/journald.conf.d/50-lab.conf"

# Devices, disks and their clean-up are the machine's affair; the timers would wake thirty hosts at once.
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    getty@.service console-getty.service systemd-logind.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    systemd-networkd.service systemd-networkd-wait-online.service systemd-resolved.service systemd-timesyncd.service \
    systemd-firstboot.service systemd-hwdb-update.service modprobe@.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" systemctl set-default --quiet multi-user.target
chroot "$root" systemctl enable --quiet ssh.service
