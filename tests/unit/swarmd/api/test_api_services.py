"""Services: what is taken, what is refused and in which words, and what is shown."""

from __future__ import annotations

import msgspec
import pytest
from scripted_membership import LONG_AGO, MANAGER2

from swarmd.api.validation import LARGEST_SPEC
from swarmd.model import ServiceUpdate, TaskState, UpdateState
from swarmd.store import Kind, Put


def spec(name: str = "web", **task: object) -> dict[str, object]:
    container = {"Image": "nginx:alpine"} | task.pop("container", {})
    return {"Name": name, "TaskTemplate": {"ContainerSpec": container} | task}


async def create(api, sent) -> str:
    status, answer = await api.call("POST", "/v1.45/services/create", sent)
    assert status == 201, answer
    return answer["ID"]


async def version(api, identity: str) -> int:
    return (await api.get(f"/services/{identity}"))["Version"]["Index"]


async def test_a_service_is_shown_as_docker_shows_it(swarm):
    identity = await create(swarm, spec() | {"Labels": {"b": "2", "a": "1"}})
    shown = await swarm.get(f"/v1.45/services/{identity}")
    assert len(identity) == 25
    created, updated = shown.pop("CreatedAt"), shown.pop("UpdatedAt")
    assert created == updated
    assert created.endswith("Z")
    assert shown == {
        "ID": identity,
        "Version": {"Index": await version(swarm, identity)},
        "Spec": {
            "Name": "web",
            "Labels": {"a": "1", "b": "2"},
            "TaskTemplate": {
                "ContainerSpec": {"Image": "nginx:alpine", "DNSConfig": {}, "Isolation": "default"},
                "ForceUpdate": 0,
                "Runtime": "container",
            },
            "Mode": {"Replicated": {"Replicas": 1}},
        },
        "Endpoint": {"Spec": {}},
    }


async def test_defaults_are_shown_on_request(swarm):
    identity = await create(swarm, spec())
    shown = await swarm.get(f"/services/{identity}", insertDefaults="true")
    assert shown["Spec"]["TaskTemplate"] == {
        "ContainerSpec": {
            "Image": "nginx:alpine",
            "StopGracePeriod": 10_000_000_000,
            "DNSConfig": {},
            "Isolation": "default",
        },
        "Resources": {"Limits": {}, "Reservations": {}},
        "RestartPolicy": {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0},
        "Placement": {},
        "ForceUpdate": 0,
        "Runtime": "container",
    }
    assert shown["Spec"]["UpdateConfig"] == {
        "Parallelism": 1,
        "FailureAction": "pause",
        "Monitor": 5_000_000_000,
        "MaxFailureRatio": 0,
        "Order": "stop-first",
    }
    assert shown["Spec"]["EndpointSpec"] == {"Mode": "vip"}


async def test_the_store_keeps_what_was_sent(swarm):
    sent = spec(
        container={
            "Command": ["sh"],
            "Args": ["-c", "true"],
            "Env": ["A={{.Task.Slot}}"],
            "StopGracePeriod": 0,
            "Init": False,
        },
        RestartPolicy={"Condition": "on-failure", "MaxAttempts": 3, "Window": 7},
        Resources={"Limits": {"NanoCPUs": 1_500_000_000, "Pids": 9}},
        Placement={"Constraints": ["node.role==worker"], "MaxReplicas": 2},
    ) | {"Mode": {"replicated": {"replicas": 0}}, "UpdateConfig": {"MaxFailureRatio": 0.25}}
    shown = (await swarm.get(f"/services/{await create(swarm, sent)}"))["Spec"]
    task = shown["TaskTemplate"]
    assert task["ContainerSpec"]["Command"] == ["sh"]
    assert (task["ContainerSpec"]["StopGracePeriod"], task["ContainerSpec"]["Init"]) == (0, False)
    assert task["RestartPolicy"] == {"Condition": "on-failure", "MaxAttempts": 3, "Window": 7}
    assert task["Resources"] == {"Limits": {"NanoCPUs": 1_500_000_000, "Pids": 9}}
    assert task["Placement"] == {"Constraints": ["node.role==worker"], "MaxReplicas": 2}
    assert shown["Mode"] == {"Replicated": {"Replicas": 0}}
    assert shown["UpdateConfig"]["Parallelism"] == 0
    assert shown["UpdateConfig"]["MaxFailureRatio"] == 0.25


async def test_what_a_container_is_given_is_taken_and_shown(swarm):
    container = {
        "Mounts": [
            {"Type": "bind", "Source": "/srv", "Target": "/a", "BindOptions": {"Propagation": "rslave"}},
            {"Type": "volume", "Source": "{{.Task.Slot}}", "Target": "/b", "VolumeOptions": {"NoCopy": True}},
            {"Type": "tmpfs", "Target": "/c", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 448}},
        ],
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000, "Retries": 3},
        "Hosts": ["10.0.0.1 db"],
        "DNSConfig": {"Nameservers": ["10.0.0.53"], "Search": ["example.org"], "Options": ["ndots:2"]},
        "Sysctls": {"net.core.somaxconn": "99"},
        "CapabilityAdd": ["CAP_NET_ADMIN"],
        "CapabilityDrop": ["ALL"],
        "Ulimits": [{"Name": "nofile", "Hard": 2, "Soft": 1}],
    }
    driver = {"Name": "local", "Options": {"max-size": "1m"}}
    identity = await create(swarm, spec(container=container, LogDriver=driver))
    task = (await swarm.get(f"/services/{identity}"))["Spec"]["TaskTemplate"]
    assert {name: task["ContainerSpec"][name] for name in container} == container
    assert task["LogDriver"] == driver


async def test_a_service_without_a_name_gets_one(swarm):
    identity = await create(swarm, spec(""))
    assert "_" in (await swarm.get(f"/services/{identity}"))["Spec"]["Name"]


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (spec("a b"), 400, "rpc error: code = InvalidArgument desc = name must be valid as a DNS name component"),
        (spec("a" * 64), 400, "rpc error: code = InvalidArgument desc = name must be 63 characters or fewer"),
        (spec(container={"Image": ""}), 400, "ContainerSpec: image reference must be provided"),
        (spec(container={"Image": "UPPER"}), 400, 'ContainerSpec: "UPPER" is not a valid repository/tag'),
        (spec(container={"Image": "a:b:c"}), 400, 'ContainerSpec: "a:b:c" is not a valid repository/tag'),
        (spec(Resources={"Limits": {"NanoCPUs": 100_000}}), 400, "invalid cpu value 0.0001: Must be at least 0.001"),
        (spec(Resources={"Reservations": {"MemoryBytes": 1}}), 400, "invalid memory value 1: Must be at least 4MiB"),
        (
            spec() | {"Mode": {"Replicated": {"Replicas": 100_001}}},
            400,
            "rpc error: code = InvalidArgument desc = a service may have 100,000 replicas at most",
        ),
        (
            spec() | {"Mode": {"Replicated": {"Replicas": 1 << 63}}},
            400,
            "rpc error: code = InvalidArgument desc = Number of replicas must be non-negative",
        ),
        (spec(RestartPolicy={"Delay": -1}), 400, "TaskSpec: restart-delay cannot be negative"),
        (spec(RestartPolicy={"Condition": "often"}), 400, 'invalid RestartCondition: "often"'),
        (spec(Placement={"Constraints": ["a=b"]}), 500, "constraint expected one operator from ==, !="),
        (spec(Placement={"Constraints": ["?==b"]}), 500, "rpc error: code = Unknown desc = key '?' is invalid"),
        (spec(Placement={"Constraints": ["node.id=="]}), 500, "value '' is invalid"),
        (spec() | {"UpdateConfig": {"FailureAction": "cry"}}, 400, "unrecognized update failure action cry"),
        (spec() | {"EndpointSpec": {"Mode": "x"}}, 400, 'invalid resolution mode: "x"'),
        (
            spec(container={"Hostname": "{{.Nope}}"}),
            400,
            "rpc error: code = InvalidArgument desc = expanding hostname failed: template: ",
        ),
        (
            spec(container={"Env": ["A={{.Task.Slot"]}),
            400,
            'rpc error: code = InvalidArgument desc = expanding env failed: expanding env "A={{.Task.Slot": template: ',
        ),
        (
            spec(container={"Mounts": [{"Type": "volume", "Source": "{{.Nope}}", "Target": "/x"}]}),
            400,
            'desc = expanding mounts failed: expanding mount source "{{.Nope}}": template: ',
        ),
        (
            spec(container={"Mounts": [{"Type": "tmpfs", "Target": "/x"}, {"Type": "volume", "Target": "/x"}]}),
            400,
            "rpc error: code = InvalidArgument desc = ContainerSpec: duplicate mount point: /x",
        ),
        (
            spec(container={"Mounts": [{"Target": "/{{.Service.Name}}"}, {"Target": "/web"}]}),
            400,
            "ContainerSpec: duplicate mount point: /web",
        ),
        (spec(container={"Mounts": [{"Type": "floppy"}]}), 400, 'invalid MountType: "floppy"'),
        (
            spec(container={"Mounts": [{"BindOptions": {"Propagation": "up"}}]}),
            400,
            'invalid MountPropagation: "up"',
        ),
        (spec(container={"Mounts": [{"Type": "npipe"}]}), 501, "ContainerSpec.Mounts.Type npipe is not implemented"),
        (
            spec(container={"Healthcheck": {"Interval": 999_999}}),
            400,
            "rpc error: code = InvalidArgument desc = ContainerSpec: Interval in HealthConfig cannot be less than 1ms",
        ),
        (
            spec(container={"Healthcheck": {"Timeout": -1}}),
            400,
            "ContainerSpec: Timeout in HealthConfig cannot be less than 1ms",
        ),
        (
            spec(container={"Healthcheck": {"StartPeriod": 1}}),
            400,
            "ContainerSpec: StartPeriod in HealthConfig cannot be less than 1ms",
        ),
        (
            spec(container={"Healthcheck": {"Retries": -1}}),
            400,
            "ContainerSpec: Retries in HealthConfig cannot be negative",
        ),
        ({"Name": "web"}, 400, "mismatched Runtime and *Spec fields"),
        (spec(Runtime="x"), 400, "unsupported runtime"),
        (
            spec() | {"Mode": {"Replicated": {"Replicas": -1}}},
            400,
            "cannot unmarshal number -1 into Go struct field ReplicatedService.Mode.Replicated.Replicas of type uint64",
        ),
        (
            spec(container={"Image": 5}),
            400,
            "invalid JSON: json: cannot unmarshal number into Go struct field "
            "ContainerSpec.TaskTemplate.ContainerSpec.Image of type string",
        ),
        (
            spec(container={"Secrets": [{"SecretID": "s"}]}),
            501,
            "TaskTemplate.ContainerSpec.Secrets is not implemented",
        ),
        (spec(container={"isolation": "hyperv"}), 501, "TaskTemplate.ContainerSpec.Isolation"),
        (spec(Networks=[{"Target": "n"}]), 501, "TaskTemplate.Networks"),
        (
            spec() | {"EndpointSpec": {"ports": [{"TargetPort": 80}]}},
            501,
            "EndpointSpec.Ports.PublishMode ingress",
        ),
        (
            spec() | {"EndpointSpec": {"Mode": "dnsrr", "Ports": [{"TargetPort": 80}]}},
            400,
            "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
        ),
        (spec() | {"UpdateConfig": {"FailureAction": "rollback"}}, 501, "UpdateConfig.FailureAction rollback is not"),
        (spec() | {"Mode": {"Global": {}, "Replicated": {}}}, 400, "must specify only one service mode"),
        (spec() | {"mode": {"replicatedjob": {}}}, 501, "Mode.ReplicatedJob"),
    ],
)
async def test_refusals(swarm, sent, status, words):
    got, message = await swarm.refused("POST", "/services/create", sent)
    assert words in message
    assert got == status
    assert await swarm.get("/services") == []


async def test_a_fields_empty_value_is_never_refused(swarm):
    empty = {
        "Mounts": None,
        "Secrets": [],
        "Configs": [],
        "Healthcheck": {"Test": None, "Interval": 0},
        "DNSConfig": {"Nameservers": []},
        "Hosts": [],
        "CapabilityAdd": None,
        "CapabilityDrop": [],
        "Ulimits": [],
        "Isolation": "default",
        "Sysctls": {},
        "Privileges": {"CredentialSpec": None},
        "Labels": None,
        "Command": None,
        "SomethingOfTheFuture": {"a": 1},
    }
    task = {"Networks": [], "LogDriver": None, "Resources": {"Reservations": {"GenericResources": []}}}
    task |= {"Placement": {"Preferences": []}, "PluginSpec": None, "NetworkAttachmentSpec": {}}
    sent = spec(container=empty, **task) | {
        "Networks": None,
        "Mode": {"Global": None, "Replicated": {"Replicas": 2}},
        "EndpointSpec": {"Ports": [], "Mode": "vip"},
    }
    assert (await swarm.get(f"/services/{await create(swarm, sent)}"))["Spec"]["Mode"]["Replicated"]["Replicas"] == 2


async def test_a_spec_may_have_a_mebibyte(swarm):
    """Each task has a copy of it, which must fit into one message to its node."""
    small = await create(swarm, spec("small", container={"Env": [""]}))
    taken = len(msgspec.json.encode(swarm.membership.the_store.snapshot().services[small].value.spec)) - len("small")

    def of_size(size: int) -> dict[str, object]:
        return spec("web", container={"Env": ["x" * (size - taken - len("web"))]})

    assert await swarm.refused("POST", "/services/create", of_size(LARGEST_SPEC + 1)) == (
        400,
        "rpc error: code = InvalidArgument desc = the service's spec has 1048577 bytes, "
        "and may have 1048576 (1 MiB) at most",
    )
    await create(swarm, of_size(LARGEST_SPEC))
    latest = await version(swarm, "web")
    status, message = await swarm.refused("POST", f"/services/web/update?version={latest}", of_size(LARGEST_SPEC + 1))
    assert (status, "and may have 1048576 (1 MiB) at most" in message) == (400, True)


async def test_how_an_update_gets_on_is_shown_until_the_next_one(swarm):
    identity = await create(swarm, spec())
    shown = await swarm.get(f"/services/{identity}")
    assert "UpdateStatus" not in shown
    update = ServiceUpdate(
        identity, shown["Version"]["Index"], UpdateState.UPDATING, LONG_AGO, None, "update in progress"
    )
    await swarm.membership.the_store.commit([Put(Kind.UPDATE, identity, update)])
    assert (await swarm.get(f"/services/{identity}"))["UpdateStatus"] == {
        "State": "updating",
        "StartedAt": "2026-05-01T12:30:00.1234Z",
        "Message": "update in progress",
    }
    done = msgspec.structs.replace(update, state=UpdateState.COMPLETED, completed_at=LONG_AGO, message="")
    await swarm.membership.the_store.commit([Put(Kind.UPDATE, identity, done)])
    (shown,) = await swarm.get("/services")
    assert shown["UpdateStatus"] == {
        "State": "completed",
        "StartedAt": "2026-05-01T12:30:00.1234Z",
        "CompletedAt": "2026-05-01T12:30:00.1234Z",
    }
    status, _ = await swarm.call("POST", f"/services/web/update?version={await version(swarm, identity)}", spec())
    assert status == 200
    assert "UpdateStatus" not in await swarm.get(f"/services/{identity}")


async def test_how_an_update_gets_on_spoils_no_users_update(swarm):
    identity = await create(swarm, spec())
    read = await version(swarm, identity)
    update = ServiceUpdate(identity, read, UpdateState.UPDATING, LONG_AGO)
    await swarm.membership.the_store.commit([Put(Kind.UPDATE, identity, update)])
    assert (await swarm.call("POST", f"/services/web/update?version={read}", spec()))[0] == 200


async def test_of_a_removed_service_no_update_is_left(swarm):
    identity = await create(swarm, spec())
    update = ServiceUpdate(identity, await version(swarm, identity), UpdateState.UPDATING, LONG_AGO)
    await swarm.membership.the_store.commit([Put(Kind.UPDATE, identity, update)])
    await swarm.call("DELETE", "/services/web")
    assert swarm.membership.the_store.snapshot().updates == {}


async def test_a_name_is_given_once(swarm):
    await create(swarm, spec())
    words = "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web already exists"
    assert await swarm.refused("POST", "/services/create", spec()) == (409, words)


async def test_look_up_is_by_id_then_name_then_beginning_of_an_id(swarm):
    first, second = await create(swarm, spec("one")), await create(swarm, spec("two"))
    assert (await swarm.get(f"/services/{first}"))["ID"] == first
    assert (await swarm.get("/services/two"))["ID"] == second
    assert (await swarm.get(f"/services/{first[:12]}"))["ID"] == first
    assert await swarm.refused("GET", "/services/none") == (404, "service none not found")
    letters = {identity[0] for identity in (first, second)}
    while len(letters) == 2:
        identity = await create(swarm, spec(f"s{len(letters)}{(await create(swarm, spec('')))[:8]}"))
        if identity[0] in letters:
            status, message = await swarm.refused("GET", f"/services/{identity[0]}")
            assert (status, "is ambiguous (" in message) == (400, True)
            break


async def test_an_update_names_the_version_that_it_changes(swarm):
    identity = await create(swarm, spec())
    old = await version(swarm, identity)
    scaled = spec() | {"Mode": {"Replicated": {"Replicas": 3}}}
    assert await swarm.call("POST", f"/services/web/update?version={old}", scaled) == (200, {"Warnings": None})
    shown = await swarm.get("/services/web")
    assert shown["Version"]["Index"] > old
    assert shown["PreviousSpec"]["Mode"] == {"Replicated": {"Replicas": 1}}
    words = "rpc error: code = Unknown desc = update out of sequence"
    assert await swarm.refused("POST", f"/services/web/update?version={old}", scaled) == (500, words)
    status, message = await swarm.refused("POST", "/services/web/update?version=x", scaled)
    assert (status, message[:27]) == (400, "invalid service version 'x'")
    renamed = spec("other")
    words = "rpc error: code = Unimplemented desc = renaming services is not supported"
    latest = shown["Version"]["Index"]
    assert await swarm.refused("POST", f"/services/web/update?version={latest}", renamed) == (501, words)


@pytest.mark.parametrize(
    ("change", "out_of_date"),
    [
        ({"Labels": {"a": "b"}}, False),
        ({"Mode": {"Replicated": {"Replicas": 5}}}, False),
        (spec(Placement={"Constraints": ["node.role==worker"]}), False),
        (spec(container={"Image": "nginx:2"}), True),
        (spec(container={"Labels": {"a": "b"}}), True),
        (spec(ForceUpdate=1), True),
    ],
)
async def test_only_what_tasks_are_made_of_makes_them_out_of_date(swarm, change, out_of_date):
    identity = await create(swarm, spec())
    await swarm.call("POST", f"/services/web/update?version={await version(swarm, identity)}", spec() | change)
    stored = swarm.membership.the_store.snapshot().services[identity].value
    assert (stored.spec_version > 1) is out_of_date


async def test_lists_are_filtered(swarm):
    await create(swarm, spec("web-a") | {"Labels": {"tier": "front"}})
    await create(swarm, spec("web-b"))
    await create(swarm, spec("db"))

    async def names(filters) -> set[str]:
        return {shown["Spec"]["Name"] for shown in await swarm.get("/services", filters)}

    assert await names({"name": ["web"]}) == {"web-a", "web-b"}
    assert await names({"name": {"web-a": True, "db": True}}) == {"web-a", "db"}
    assert await names({"label": ["tier"]}) == {"web-a"}
    assert await names({"label": ["tier=back"]}) == set()
    await create(swarm, spec("agent") | {"Mode": {"Global": {}}})
    assert await names({"mode": ["global"]}) == {"agent"}
    assert await names({"mode": ["replicated"]}) == {"web-a", "web-b", "db"}
    assert await names({"mode": ["global", "replicated"]}) == {"web-a", "web-b", "db", "agent"}
    status = await swarm.refused("GET", "/services", params={"filters": '{"colour": ["red"]}'})
    assert status == (400, "invalid filter 'colour'")
    assert await swarm.refused("GET", "/services", params={"filters": "{"}) == (400, "invalid filter")


async def test_the_status_counts_running_tasks(swarm, add_task):
    identity = await create(swarm, spec() | {"Mode": {"Replicated": {"Replicas": 3}}})
    await add_task(identity, 1, TaskState.RUNNING)
    await add_task(identity, 2, TaskState.PREPARING)
    (shown,) = await swarm.get("/services", status="true")
    assert shown["ServiceStatus"] == {"RunningTasks": 1, "DesiredTasks": 3, "CompletedTasks": 0}
    (shown,) = await swarm.get("/services")
    assert "ServiceStatus" not in shown


async def test_a_global_service_is_to_have_what_is_wanted_to_run_of_it(swarm, add_task):
    identity = await create(swarm, spec() | {"Mode": {"Global": {}}})
    assert (await swarm.get("/services", status="true"))[0]["ServiceStatus"]["DesiredTasks"] == 0
    await add_task(identity, 0, TaskState.RUNNING)
    await add_task(identity, 0, TaskState.PREPARING, node=MANAGER2)
    await add_task(identity, 0, TaskState.RUNNING, desired=TaskState.SHUTDOWN, node="gone")
    (shown,) = await swarm.get("/services", status="true")
    assert shown["ServiceStatus"] == {"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0}


async def test_a_global_service_is_shown_without_replicas(swarm):
    identity = await create(swarm, spec() | {"Mode": {"Global": {}}})
    assert (await swarm.get(f"/services/{identity}"))["Spec"]["Mode"] == {"Global": {}}


@pytest.mark.parametrize("modes", [({"Global": {}}, {"Replicated": {"Replicas": 1}}), ({}, {"Global": {}})])
async def test_a_service_keeps_its_mode(swarm, modes):
    first, second = modes
    await create(swarm, spec() | {"Mode": first})
    words = "rpc error: code = Unimplemented desc = service mode change is not allowed"
    latest = await version(swarm, "web")
    assert await swarm.refused("POST", f"/services/web/update?version={latest}", spec() | {"Mode": second}) == (
        501,
        words,
    )


async def test_what_cannot_be_rolled_back_is_not_taken_by_an_update_either(swarm):
    await create(swarm, spec())
    wanted = spec() | {"UpdateConfig": {"FailureAction": "rollback"}}
    status, message = await swarm.refused("POST", f"/services/web/update?version={await version(swarm, 'web')}", wanted)
    assert (status, message[:39]) == (501, "UpdateConfig.FailureAction rollback is ")


async def test_a_removed_service_is_gone(swarm):
    await create(swarm, spec())
    assert await swarm.call("DELETE", "/services/web") == (200, "")
    assert await swarm.refused("DELETE", "/services/web") == (404, "service web not found")


async def test_what_is_not_there_yet_says_so(swarm):
    identity = await create(swarm, spec())
    old = await version(swarm, identity)
    status, message = await swarm.refused("POST", f"/services/web/update?version={old}&rollback=previous", spec())
    assert (status, "docker service rollback" in message) == (501, True)


async def test_a_task_is_shown_as_docker_shows_it(swarm, add_task):
    identity = await create(swarm, spec())
    task = await add_task(identity, 1, TaskState.RUNNING)
    shown = await swarm.get(f"/tasks/{task.id}")
    shown.pop("Version")
    assert shown == {
        "ID": task.id,
        "CreatedAt": "2026-05-01T12:30:00.1234Z",
        "UpdatedAt": "2026-05-01T12:30:00.1234Z",
        "Labels": {},
        "Spec": {
            "ContainerSpec": {"Image": "nginx:alpine", "DNSConfig": {}, "Isolation": "default"},
            "ForceUpdate": 0,
        },
        "ServiceID": identity,
        "Slot": 1,
        "NodeID": "3worker1".ljust(25, "0"),
        "Status": {
            "Timestamp": "2026-05-01T12:30:00.1234Z",
            "State": "running",
            "Message": "started",
            "ContainerStatus": {"ContainerID": "f" * 64, "PID": 42, "ExitCode": 0},
            "PortStatus": {},
        },
        "DesiredState": "running",
        "Volumes": None,
    }
    assert (await swarm.get(f"/tasks/web.1.{task.id}"))["ID"] == task.id


async def test_a_task_whose_node_meets_other_constraints_too_is_up_to_date(swarm, add_task):
    identity = await create(swarm, spec())
    fits, does_not = (
        await add_task(identity, 1, TaskState.RUNNING),
        await add_task(identity, 2, TaskState.RUNNING, node=MANAGER2),
    )
    waits = await add_task(identity, 3, TaskState.PENDING, node="")
    latest = {"service": ["web"], "_up-to-date": ["true"]}
    assert {shown["ID"] for shown in await swarm.get("/tasks", latest)} == {fits.id, does_not.id, waits.id}
    changed = spec(Placement={"Constraints": ["node.labels.zone==a"]})
    await swarm.call("POST", f"/services/web/update?version={await version(swarm, identity)}", changed)
    assert {shown["ID"] for shown in await swarm.get("/tasks", latest)} == {fits.id}


async def test_tasks_are_filtered(swarm, add_task):
    web, db = await create(swarm, spec() | {"Labels": {"tier": "front"}}), await create(swarm, spec("db"))
    first = await add_task(web, 1, TaskState.RUNNING)
    second = await add_task(web, 2, TaskState.FAILED, desired=TaskState.SHUTDOWN, spec_version=0)
    third = await add_task(db, 1, TaskState.PENDING, node="")

    async def ids(filters) -> set[str]:
        return {shown["ID"] for shown in await swarm.get("/tasks", filters)}

    assert await ids({}) == {first.id, second.id, third.id}
    assert await ids({"service": ["web"]}) == {first.id, second.id}
    assert await ids({"service": {web: True}, "_up-to-date": {"true": True}}) == {first.id}
    assert await ids({"desired-state": ["shutdown"]}) == {second.id}
    assert await ids({"node": ["worker1"]}) == {first.id, second.id}
    assert await ids({"name": ["db.1"]}) == {third.id}
    assert await ids({"label": ["tier=front"]}) == {first.id, second.id}
    assert await ids({"id": [first.id[:10]]}) == {first.id}
    query = {"filters": '{"service": ["nope"]}'}
    assert await swarm.refused("GET", "/tasks", params=query) == (404, "service nope not found")
    query = {"filters": '{"desired-state": ["nope"]}'}
    assert await swarm.refused("GET", "/tasks", params=query) == (400, "Invalid desired-state filter: 'nope'")
