import pytest
from leader_and_agents import Leader, a_cluster, a_node


@pytest.fixture
async def leader():
    leader = Leader()
    await leader.put(a_cluster(), a_node("n1"), a_node("n2"))
    async with leader.leads():
        yield leader
