"""What every machine that we make has of Debian, whatever makes it: the providers' images share this."""

from __future__ import annotations

from provisioner.lab import Base

# Names the mirror that packages come from; Debian's own where it is not set.
MIRROR_VARIABLE = "PROVISION_DEBIAN_MIRROR"

# What a host is made of, and what people use on one while they learn: ssh, Ansible's Python, tools to look at networks.
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt",
    "ca-certificates", "conntrack", "curl", "iproute2", "iptables", "iputils-ping", "kmod", "less", "nano",
    "netcat-openbsd", "nftables", "procps", "tcpdump",
)  # fmt: skip

# What the docker role installs.
DOCKER_PACKAGES: dict[Base, tuple[str, ...]] = {
    "trixie": ("docker.io", "docker-cli"),
    "bookworm": ("docker.io",),
}

# Documentation is a quarter of a root's files.
EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
