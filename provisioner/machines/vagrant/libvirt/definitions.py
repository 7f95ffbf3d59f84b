"""The lab's networks and storage pool in libvirt's words (formatnetwork.html, formatstorage.html); pure."""

from __future__ import annotations

from ipaddress import IPv4Network

from provisioner.lab import LabSpec

POOL = "default"
IMAGES = "/var/lib/libvirt/images"
LAB = "lab"
MANAGEMENT = "management"
LAB_BRIDGE = "lab0"
MANAGEMENT_BRIDGE = "mgmt0"

# vagrant-libvirt's own first.
_MANAGEMENT_CHOICES = tuple(map(IPv4Network, ("192.168.121.0/24", "192.168.122.0/24", "172.31.121.0/24")))

POOL_XML = f"""\
<pool type='dir'>
  <name>{POOL}</name>
  <target><path>{IMAGES}</path></target>
</pool>
"""


def management_subnet(spec: LabSpec) -> IPv4Network:
    """A network beside the lab's own, for the machines' first card: ssh of Vagrant, and the way out."""
    return next(subnet for subnet in _MANAGEMENT_CHOICES if not subnet.overlaps(spec.network))


def lab_network(spec: LabSpec) -> str:
    """The lab's subnet: a bridge without a way out; addresses are fixed, names are answered on the other network."""
    return f"""\
<network>
  <name>{LAB}</name>
  <bridge name='{LAB_BRIDGE}' stp='off' delay='0'/>
  <dns enable='no'/>
  <ip address='{spec.gateway}' netmask='{spec.network.netmask}'/>
</network>
"""


def management_network(spec: LabSpec, upstream: str | None) -> str:
    """DHCP, names and NAT.

    :param upstream: the name server behind the way out; None: every name but the hosts' does not exist, and that is
        said at once.
    """
    subnet = management_subnet(spec)
    gateway, first, last = subnet[1], subnet[10], subnet[-2]
    # dnsmasq pings a new address for 3 s before it leases it, one after the other: three machines took 8 to 12 s.
    options = ["no-ping", "no-resolv", f"server={upstream}" if upstream else "address=/#/"]
    lines = "\n".join(f"    <dnsmasq:option value='{option}'/>" for option in options)
    names = "\n".join(f"    <host ip='{host.address}'><hostname>{host.name}</hostname></host>" for host in spec.hosts)
    return f"""\
<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <name>{MANAGEMENT}</name>
  <forward mode='nat'/>
  <bridge name='{MANAGEMENT_BRIDGE}' stp='off' delay='0'/>
  <dns>
{names}
  </dns>
  <ip address='{gateway}' netmask='{subnet.netmask}'>
    <dhcp><range start='{first}' end='{last}'/></dhcp>
  </ip>
  <dnsmasq:options>
{lines}
  </dnsmasq:options>
</network>
"""
