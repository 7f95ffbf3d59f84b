"""``--with-registry-auth``: credentials are kept with the service, as they came, and nobody is shown them."""

from __future__ import annotations

import base64
import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from swarmd.api.context import EVENTS
from swarmd.errors import NoLeader

HEADER = "X-Registry-Auth"
UNREADABLE = ["@@@", "c2VjcmV0", "Im5vdGhpbmci", "W10=", "bnVsbA==", "ä", "{}"]


def auth(password: str, **fields: str) -> str:
    """As the CLI sends it."""
    config = {"username": "user", "password": password, "serveraddress": "registry.example.org", **fields}
    return base64.urlsafe_b64encode(json.dumps(config).encode()).decode()


def spec(name: str = "web", image: str = "registry.example.org/app") -> dict:
    return {"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": image}}}


class Service:
    """One of the store, with what it has of credentials opened."""

    def __init__(self, swarm, identity: str) -> None:
        self._swarm, self.id = swarm, identity

    @classmethod
    async def create(cls, swarm, header: str | None = None, **given: str) -> Service:
        status, answer = await swarm.call("POST", "/services/create", spec(**given), headers=_headers(header))
        assert status == 201, answer
        service = cls(swarm, answer["ID"])
        service.warnings = answer["Warnings"]
        return service

    async def update(self, header: str | None = None, image: str = "registry.example.org/app", **query: str) -> None:
        version = str((await self._swarm.get(f"/services/{self.id}"))["Version"]["Index"])
        path, query = f"/services/{self.id}/update", {"version": version, **query}
        status, answer = await self._swarm.call("POST", path, spec(image=image), params=query, headers=_headers(header))
        assert status == 200, answer
        self.warnings = answer["Warnings"]

    @property
    def stored(self):
        return self._swarm.membership.the_store.snapshot().services[self.id].value

    @property
    def kept(self) -> tuple[str, str]:
        """Its spec's and its previous spec's."""
        return self._opened(self.stored.registry_auth), self._opened(self.stored.previous_registry_auth)

    def _opened(self, sealed: str) -> str:
        return self._swarm.membership.vault.open(sealed).decode() if sealed else ""


def _headers(header: str | None) -> dict[str, str]:
    return {} if header is None else {HEADER: header}


async def test_they_are_kept_as_they_came_and_sealed(swarm):
    header = auth("hunter2")
    service = await Service.create(swarm, header)
    assert service.kept == (header, "")
    assert header not in service.stored.registry_auth
    assert service.warnings is None


async def test_a_token_is_kept_as_well(swarm):
    header = base64.urlsafe_b64encode(b'{"identitytoken": "t"}').decode()
    assert (await Service.create(swarm, header)).kept == (header, "")


async def test_without_them_there_are_none(swarm):
    for name, header in (("a", None), ("b", ""), ("c", "e30="), ("d", "e30")):
        service = await Service.create(swarm, header, name=name)
        assert (service.kept, service.warnings) == (("", ""), None)


async def test_an_update_without_them_keeps_them(swarm):
    service = await Service.create(swarm, auth("first"))
    await service.update()
    assert service.kept == (auth("first"), auth("first"))
    await service.update(registryAuthFrom="spec")
    assert service.kept == (auth("first"), auth("first"))


async def test_an_update_with_others_replaces_them_and_remembers(swarm):
    service = await Service.create(swarm, auth("first"))
    await service.update(auth("second"))
    assert service.kept == (auth("second"), auth("first"))
    await service.update(auth("third"), registryAuthFrom="previous-spec")
    assert service.kept == (auth("third"), auth("second"))


async def test_an_update_may_take_those_of_the_previous_spec(swarm):
    service = await Service.create(swarm, auth("first"))
    await service.update(auth("second"))
    await service.update(registryAuthFrom="previous-spec")
    assert service.kept == (auth("first"), auth("second"))


async def test_a_client_that_is_not_logged_in_any_more_takes_them_away(swarm):
    """``--with-registry-auth`` sends an empty object then."""
    service = await Service.create(swarm, auth("first"))
    await service.update("e30=")
    assert service.kept == ("", auth("first"))


async def test_they_alone_put_no_task_out_of_date(swarm):
    service = await Service.create(swarm, auth("first"))
    before = service.stored.spec_version
    await service.update(auth("second"))
    assert service.stored.spec_version == before


async def test_where_they_are_to_come_from_is_said_in_dockers_words(swarm):
    service = await Service.create(swarm, auth("first"))
    for source, words in (
        ("previous-spec", "service does not have a previous spec"),
        ("elsewhere", "unsupported registryAuthFrom value"),
    ):
        path = f"/services/{service.id}/update?version=1&registryAuthFrom={source}"
        assert await swarm.refused("POST", path, spec()) == (500, words)
    assert service.kept == (auth("first"), "")


@pytest.mark.parametrize("header", UNREADABLE)
async def test_what_cannot_be_read_is_told_and_counts_as_none(swarm, header):
    """Docker writes the same words into its daemon's log, keeps what it cannot read, and pulls without."""
    with capture_logs() as told:
        service = await Service.create(swarm, header)
    assert service.kept == ("", "")
    (warning,) = service.warnings
    assert warning.startswith("invalid authconfig: ")
    assert [line["event"] for line in told] == ["invalid authconfig"]
    assert header not in warning + str(told)


@pytest.mark.parametrize("header", [auth("p").rstrip("="), auth("p").replace("-", "+"), "  " + auth("p") + " "])
async def test_what_the_engine_may_be_able_to_read_goes_to_it(swarm, header):
    assert (await Service.create(swarm, header)).kept == (header.strip(), "")


async def test_long_tokens_are_taken(swarm):
    header = auth("x" * 40_000)
    assert (await Service.create(swarm, header)).kept == (header, "")


async def test_a_manager_that_cannot_seal_keeps_no_service(swarm, monkeypatch):
    def seal(_: bytes) -> str:
        raise NoLeader

    monkeypatch.setattr(swarm.membership, "seal", seal)
    status, message = await swarm.refused("POST", "/services/create", spec(), headers={HEADER: auth("hunter2")})
    assert (status, "does not have a leader" in message) == (500, True)
    assert await swarm.get("/services") == []


words = st.integers(0, 1 << 64).map("hunter-{}-hunter".format)
headers = st.one_of(
    st.builds(auth, words), st.builds(lambda secret: f"{auth(secret)}@", words), st.none(), st.just("e30=")
)
sources = st.sampled_from(["", "spec", "previous-spec", "elsewhere"])
steps = st.lists(st.tuples(headers, sources, st.sampled_from(["a/app", "b/app", "B A D"])), min_size=1, max_size=5)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=steps)
async def test_whatever_is_done_with_them_nobody_is_shown_them(swarm, caplog, steps):
    """Neither in clear nor sealed: in no answer, no event and no line of the log."""
    store = swarm.membership.the_store
    shown: list[object] = []
    caplog.clear()
    with caplog.at_level(logging.DEBUG), capture_logs() as told:
        for header, source, image in steps:
            if found := await swarm.get("/services"):
                query = {"version": str(found[0]["Version"]["Index"]), "registryAuthFrom": source}
                path = f"/services/{found[0]['ID']}/update"
            else:
                path, query = "/services/create", {}
            body = spec(image=image)
            shown.append(await swarm.call("POST", path, body, params=query, headers=_headers(header)))
        services = [entry.value for entry in store.snapshot().services.values()]
        for path in ("/services", "/services?status=true", "/tasks", "/nodes", "/swarm", "/configs", "/info"):
            shown.append(await swarm.call("GET", path))
        for service in services:
            shown.append(await swarm.call("GET", f"/services/{service.id}?insertDefaults=true"))
        shown.append(list(swarm.application[EVENTS].kept))
        for service in services:
            shown.append(await swarm.call("DELETE", f"/services/{service.id}"))
    hidden = [header.rstrip("@") for header, _, _ in steps if header and header != "e30="]
    hidden += [json.loads(base64.urlsafe_b64decode(header))["password"] for header in hidden]
    hidden += [service.registry_auth for service in services if service.registry_auth]
    hidden += [service.previous_registry_auth for service in services if service.previous_registry_auth]
    everything = json.dumps(shown, default=str) + str(told) + caplog.text
    assert not [secret for secret in hidden if secret in everything]
