from datetime import timedelta

import pytest

from swarmd.identity import Credentials, RootCA, new_key, new_request
from swarmd.model import NodeRole


class Issuer:
    """A cluster's CA, and nodes' credentials by it."""

    def __init__(self, folder, cluster_id="cluster1"):
        self.ca = RootCA.create()
        self.folder = folder
        self.cluster_id = cluster_id

    def pair(self, node_id="node1", role=NodeRole.WORKER, **given):
        """A key and its certificate, as arguments of Credentials.install and renew."""
        key_pem = new_key()
        given = {"cluster_id": self.cluster_id, "valid_for": timedelta(days=90)} | given
        chain_pem = self.ca.sign(new_request(key_pem), node_id=node_id, role=role, **given)
        return {"key_pem": key_pem, "chain_pem": chain_pem}

    def install(self, node_id="node1", role=NodeRole.WORKER, **given):
        pair = self.pair(node_id, role, **given)
        return Credentials.install(self.folder / node_id, ca_pem=self.ca.certificate_pem, **pair)


@pytest.fixture
def issuer(tmp_path):
    return Issuer(tmp_path / "state")


@pytest.fixture
def foreign(tmp_path):
    return Issuer(tmp_path / "foreign", "cluster2")
