"""Who a node is, and how others know: the cluster's CA, join tokens, certificates, and TLS that demands them."""

from swarmd.identity.credentials import Credentials, NoCredentials
from swarmd.identity.peer import Peer, peer_of
from swarmd.identity.root import CLUSTER_CA, MANAGER_NAME, PEERS_CA, RootCA, new_key, new_request
from swarmd.identity.tokens import Token
from swarmd.identity.vault import CannotOpen, Vault

__all__ = [
    "CLUSTER_CA",
    "MANAGER_NAME",
    "PEERS_CA",
    "CannotOpen",
    "Credentials",
    "NoCredentials",
    "Peer",
    "RootCA",
    "Token",
    "Vault",
    "new_key",
    "new_request",
    "peer_of",
]
