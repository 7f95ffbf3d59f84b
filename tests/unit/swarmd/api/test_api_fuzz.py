"""Every swarm endpoint of Docker's API, asked what its specification allows and what it does not.

Whatever comes: an answer within the deadline, in Docker's shape, and no line in the log that says something went wrong
which was not foreseen. What is accepted can be shown, planned and told to an engine. ``SWARMD_EXAMPLES=3000 pytest
tests/unit/swarmd/api/test_api_fuzz.py`` tries more, others each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from docker_api_bodies import ACCEPTED, OPERATIONS, schema_of, with_one_wrong
from from_docker_api import Request, requests
from fuzzed_api import IDENTITIES, SERVICE, FuzzedApi
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings
from hypothesis import strategies as st
from scripted_membership import WORKER1

from swarmd.membership import LocalNode, LocalState

JSON = {"Content-Type": "application/json"}
SHOWN = (
    *("/services", "/services?status=true", "/tasks", "/nodes", "/configs", "/swarm", "/secrets"),
    *(f"/services/{SERVICE}?insertDefaults=true", "/info"),
)

WITH_BODY = [one for one in OPERATIONS if schema_of(one) and one[1] != "/services/{id}/update"]
"""An update's body is read as a new service's."""

EXAMPLES = int(os.environ.get("SWARMD_EXAMPLES", "20"))
"""Of each kind, of each operation."""
same_each_time = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES == 20,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzedApi]:
    with FuzzedApi(tmp_path_factory.mktemp("f")) as api:
        yield api


def is_well(api: FuzzedApi, request: Request) -> int:
    """The answer's status; asserts what holds of any."""
    if currently_in_test_context():
        note(repr(request))
    status, answer = api.ask(request)
    assert api.trouble.lines == []
    if status >= 400:
        refusal = json.loads(answer)
        assert list(refusal) == ["message"]
        assert isinstance(refusal["message"], str)
        assert refusal["message"]
        assert "internal error" not in refusal["message"]
    return status


def test_what_was_not_foreseen_is_noticed(api, monkeypatch):
    """Else nothing below says anything."""

    async def reachability() -> None:
        raise ZeroDivisionError

    api.begin_anew()
    with monkeypatch.context() as patched:
        patched.setattr(api.membership, "reachability", reachability)
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            is_well(api, Request("GET", "/nodes"))
    api.begin_anew()
    is_well(api, Request("GET", "/nodes"))


def can_be_shown_and_done(api: FuzzedApi) -> None:
    api.come_back_from_etcd()
    for path in SHOWN:
        status = is_well(api, Request("GET", path))
        assert status < 400 or api.membership.now.state is LocalState.INACTIVE or status in {404, 503}, (path, status)
    api.plan()
    assert is_well(api, Request("GET", "/tasks")) in {200, 503}


def any_request(operation: tuple[str, str], api: FuzzedApi, *, faults: int) -> st.SearchStrategy[Request]:
    kind = operation[1].split("/")[1]
    return requests(operation, IDENTITIES.get(kind, ["conf"]), api.version_of(operation[1]), faults=faults)


every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)


@every_operation
@same_each_time
@given(data=st.data())
def test_what_the_specification_allows(api, operation, data):
    api.begin_anew()
    if is_well(api, data.draw(any_request(operation, api, faults=0))) < 400 and operation[0] != "GET":
        can_be_shown_and_done(api)


@every_operation
@same_each_time
@given(data=st.data())
def test_what_it_does_not_allow(api, operation, data):
    api.begin_anew()
    if is_well(api, data.draw(any_request(operation, api, faults=2))) < 400 and operation[0] != "GET":
        can_be_shown_and_done(api)


@pytest.mark.parametrize("operation", WITH_BODY, ids=" ".join)
def test_every_type_at_every_place_of_a_body(api, operation):
    method, path = operation
    target = path.replace("{id}", IDENTITIES.get(path.split("/")[1], ["conf"])[0])
    for body in with_one_wrong(path, schema_of(operation)):
        api.begin_anew()
        encoded = json.dumps(body).encode()
        request = Request(method, f"{target}?version={api.version_of(path)}", encoded, JSON)
        if is_well(api, request) < 400:
            can_be_shown_and_done(api)


@pytest.mark.parametrize("state", ["inactive", "worker", "starting", "leaderless", "without quorum"])
@every_operation
def test_whatever_this_node_is(api, operation, state):
    api.begin_anew()
    membership = api.membership
    match state:
        case "inactive":
            membership.now = LocalNode()
        case "worker":
            membership.now = LocalNode(LocalState.ACTIVE, WORKER1, is_manager=False)
        case "starting":
            membership.starts = membership.leaderless = True
        case "leaderless":
            membership.leaderless = True
        case _:
            membership.the_store.lost = True
    body = ACCEPTED.get(operation[1]) if operation[0] == "POST" else None
    path = operation[1].replace("{id}", "web") + "?version=1&stdout=1"
    given = JSON | {"X-Registry-Auth": "eyJhIjoiYiJ9"}
    is_well(api, Request(operation[0], path, json.dumps(body).encode() if body else None, given))
