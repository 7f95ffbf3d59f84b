#!/bin/sh
# Turn a fresh Debian root ($1) into one that many hosts can share: run by mmdebstrap at the end of a base image.
set -eu
root=$1
shift

# Docker comes by Ansible's role. Its packages lie ready in apt's own cache, so that hosts need no network for it.
chroot "$root" apt-get clean
chroot "$root" apt-get install --yes --download-only --no-install-recommends "$@"

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
