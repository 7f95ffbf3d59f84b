"""TLS between nodes: version 1.3, certificates of the cluster's CA and of no other."""

from __future__ import annotations

import ssl
from pathlib import Path

from swarmd.identity.root import MANAGER_NAME


class ManagerContext(ssl.SSLContext):
    """Speaks to managers only, whatever address it is used with: the certificate must bear their role's name.

    So a worker's certificate, which the same CA has made, opens no manager's door, and no caller can forget to check.
    swarmkit does the same with ``ServerName: ManagerRole``.
    """

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,  # noqa: ARG002
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, MANAGER_NAME, session)


def server_context() -> ssl.SSLContext:
    """A certificate is asked for and verified if it comes; who must have one is each handler's matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0  # a resumed session would bring back a certificate that has ended since
    return context


def client_context() -> ssl.SSLContext:
    context = ManagerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def joining_context(ca_pem: bytes) -> ssl.SSLContext:
    """For a node that knows the CA and has no certificate yet, or one that has ended."""
    context = client_context()
    context.load_verify_locations(cadata=ca_pem.decode())
    return context


def load(context: ssl.SSLContext, pair: Path, ca_pem: bytes) -> None:
    """Give a context, also one in use, this certificate and these roots; its connections live on as they are.

    A root is added, never taken away: after a change of the CA the contexts are made anew.
    """
    context.load_cert_chain(pair)
    context.load_verify_locations(cadata=ca_pem.decode())
