#!/bin/sh
# Usage: setup.sh KERNEL-PACKAGE DESCRIPTION
# Run inside the new root after its packages are installed: makes it a machine that boots fast, also under emulation.
set -eu
export LC_ALL=C.UTF-8
kernel=$1 description=$2

# The kernel is unpacked, not installed: its package would pull in and run initramfs-tools, and machines that are booted
# with the box's own kernel cannot upgrade theirs anyway.
apt-get install --yes --download-only --no-install-recommends "$kernel"
package=$(apt-cache depends --important "$kernel" | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p')
version=${package#linux-image-}
dpkg-deb --extract /var/cache/apt/archives/"$package"_*.deb /kernel
rm -f /kernel/boot/System.map*
cp -a /kernel/boot/. /boot/
for place in /kernel/lib/modules /kernel/usr/lib/modules; do
    [ -d "$place" ] || continue
    mkdir -p /usr/lib/modules
    cp -a "$place/." /usr/lib/modules/
done
rm -r /kernel
dpkg-query --show --showformat '${Package}=${Version}\n' > /usr/share/provision-box.packages
apt-cache show --no-all-versions "$package" | sed -n "s/^Version: /$package=/p" >> /usr/share/provision-box.packages

# modprobe need not decompress.
python3 - "/usr/lib/modules/$version" <<'PYTHON'
import lzma, pathlib, sys
for packed in pathlib.Path(sys.argv[1]).rglob("*.ko.xz"):
    packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
    packed.unlink()
PYTHON
depmod "$version"

echo "$description" > /etc/provision-box # the provider knows its own boxes by this

useradd --create-home --shell /bin/bash --password '*' vagrant
install -d -o vagrant -g vagrant -m 0700 /home/vagrant/.ssh
install -o vagrant -g vagrant -m 0600 /vagrant.pub /home/vagrant/.ssh/authorized_keys
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/vagrant
chmod 0440 /etc/sudoers.d/vagrant

# Each machine makes its own host key when it first boots. One is enough, and ed25519 is the cheapest.
rm -f /etc/ssh/ssh_host_*
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\nUseDNS no\nPasswordAuthentication no\n' > /etc/ssh/sshd_config.d/50-box.conf
mkdir -p /etc/systemd/system/ssh.service.d
cat > /etc/systemd/system/ssh.service.d/50-host-key.conf <<'UNIT'
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c '[ -s /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key'
UNIT

# The first card is the hypervisor's: addresses by DHCP. The others are Vagrant's, or the kernel command line's.
cat > /etc/systemd/network/20-eth0.network <<'NETWORK'
[Match]
Name=eth0

[Link]
RequiredForOnline=no

[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
KeepConfiguration=yes

[DHCPv4]
ClientIdentifier=mac
NETWORK
# networkd leaves resolv.conf to systemd-resolved, which is not here.
cat > /etc/systemd/system/resolv-conf.path <<'UNIT'
[Path]
PathChanged=/run/systemd/netif/state

[Install]
WantedBy=multi-user.target
UNIT
cat > /etc/systemd/system/resolv-conf.service <<'UNIT'
[Unit]
Description=Name servers that eth0 was told of
ConditionFileNotEmpty=!/etc/resolv.conf

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sed -n "s/^DNS=//p" /run/systemd/netif/state | xargs -r -n 1 echo nameserver > /etc/resolv.conf'
UNIT
: > /etc/resolv.conf
chmod 0644 /etc/resolv.conf
echo 'LANG=C.UTF-8' > /etc/default/locale

# The machine's own name resolves at once, without a line in /etc/hosts.
sed -i 's/^hosts:.*/hosts:          files myhostname dns/' /etc/nsswitch.conf
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' > /etc/hosts
rm -f /etc/hostname /var/lib/dbus/machine-id
: > /etc/machine-id # systemd takes the hypervisor's

mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\nForwardToConsole=no\n' > /etc/systemd/journald.conf.d/50-box.conf
: > /etc/fstab

# What a fresh root has no use for at each boot; under emulation each of these takes a tenth of a second or more.
# logind stays: without it the power button does nothing, and `vagrant halt --force` is that button.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    systemd-hwdb-update.service ldconfig.service systemd-sysusers.service systemd-update-done.service \
    systemd-journal-catalog-update.service systemd-journal-flush.service systemd-firstboot.service \
    systemd-machine-id-commit.service systemd-pstore.service systemd-random-seed.service systemd-boot-random-seed.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-remount-fs.service \
    systemd-networkd-wait-online.service systemd-tpm2-setup.service systemd-tpm2-setup-early.service \
    systemd-pcrextend.socket systemd-pcrlock.socket systemd-pcrmachine.service systemd-pcrphase.service \
    systemd-network-generator.service systemd-networkd-persistent-storage.service systemd-udev-load-credentials.service \
    run-lock.mount systemd-pcrphase-sysinit.service systemd-pcrphase-initrd.service \
    modprobe@.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-kernel-config.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
    ipvsadm.service nftables.service getty@.service serial-getty@.service console-getty.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
mkdir -p /etc/systemd/system-generators
for generator in /usr/lib/systemd/system-generators/* /lib/systemd/system-generators/*; do
    case ${generator##*/} in
        systemd-fstab-generator | "*") ;; # /etc/fstab is empty, and its owner's
        *) ln -sf /dev/null "/etc/systemd/system-generators/${generator##*/}" ;;
    esac
done
systemctl set-default --quiet multi-user.target
systemctl enable --quiet systemd-networkd.service ssh.service resolv-conf.path
if [ -e /usr/lib/systemd/system/docker.service ] || [ -e /lib/systemd/system/docker.service ]; then
    systemctl enable --quiet docker.service docker.socket
    usermod --append --groups docker vagrant # whose ssh forwards the engine's socket; it may sudo anyway
fi

# What two builds, or builds by two users, would not have in common.
chown -R root:root /var/cache/apt
rm -rf /var/lib/docker /var/lib/containerd /var/lib/apt/lists/* /var/log/apt /var/log/*.log /var/cache/ldconfig/aux-cache \
    /var/cache/debconf/*-old /var/lib/dpkg/*-old /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- \
    /var/lib/systemd/random-seed /var/lib/systemd/catalog /setup.sh /vagrant.pub
