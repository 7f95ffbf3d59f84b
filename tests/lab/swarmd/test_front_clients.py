"""What users put before the socket, through swarmd's front: docker-py, BuildKit, Compose, and streams that last."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from conftest import must, new_lab, provider, run_provision

pytestmark = [
    pytest.mark.slow,
    # docker-py leaves the sockets of streams that it broke off to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

REPOSITORY = Path(__file__).parents[3]
PLUGINS = Path("usr/libexec/docker/cli-plugins")
SECONDS = 60
BUSYBOX = "busybox:latest"


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    """The URL of the front's socket on a manager of one, with busybox in its engine."""
    with new_lab("front", "--managers", "1", "--engine", "swarmd") as lab:
        must(run_provision("images", "load", "busybox", "--name", lab.name))
        (machine,) = provider(lab).machines()
        yield f"unix://{machine.docker_socket}"


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration folder of the docker CLI with Debian 13's buildx and Compose."""
    folder = tmp_path_factory.mktemp("cli")
    script = REPOSITORY / "scripts" / "debian-packages"
    subprocess.run([script, folder, "docker-buildx", "docker-compose"], check=True, timeout=300)
    (folder / "cli-plugins").symlink_to(PLUGINS)
    return folder


@pytest.fixture
def client(socket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[docker.DockerClient]:
    monkeypatch.setenv("DOCKER_HOST", socket)
    found = docker.from_env(timeout=SECONDS)
    yield found
    found.close()


@pytest.fixture
def talker(client: docker.DockerClient) -> Iterator[docker.models.containers.Container]:
    """A container that says a number each tenth of a second."""
    loop = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"
    container = client.containers.run(BUSYBOX, ["sh", "-c", loop], detach=True)
    yield container
    container.remove(force=True)


def cli(socket: str, folder: Path, *words: str, given: str | None = None, cwd: Path | None = None) -> str:
    environment = {**os.environ, "DOCKER_HOST": socket, "DOCKER_CONFIG": str(folder), "BUILDKIT_PROGRESS": "plain"}
    done = subprocess.run(
        ["docker", *words], input=given, env=environment, cwd=cwd, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_docker_py_follows_logs_line_by_line(talker) -> None:
    lines = talker.logs(stream=True, follow=True)
    assert [next(lines).strip() for _ in range(5)] == [b"1", b"2", b"3", b"4", b"5"]
    lines.close()


def test_docker_py_streams_stats(talker) -> None:
    stats = talker.stats(stream=True, decode=True)
    first, second = next(stats), next(stats)
    assert second["read"] > first["read"]
    assert second["pids_stats"]["current"] >= 1
    stats.close()


def test_docker_py_attaches_to_a_running_container(talker) -> None:
    said = talker.attach(stream=True, stdout=True)
    assert int(next(said)) >= 1


def test_docker_py_speaks_with_a_program_over_execs_socket(talker, client) -> None:
    created = client.api.exec_create(talker.id, ["cat"], stdin=True)
    stream = client.api.exec_start(created["Id"], socket=True)
    raw = stream._sock
    raw.settimeout(SECONDS)
    raw.sendall(b"to and fro\n")
    assert raw.recv(100).endswith(b"to and fro\n")  # after the eight bytes that say which stream it is
    raw.shutdown(1)  # the end of the input, of this direction only
    assert raw.recv(100) == b""
    stream.close()
    assert client.api.exec_inspect(created["Id"])["ExitCode"] == 0


def test_docker_py_puts_and_gets_an_archive(talker) -> None:
    sent = io.BytesIO()
    with tarfile.open(fileobj=sent, mode="w") as archive:
        member = tarfile.TarInfo("zeros")
        member.size = 8 << 20
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    assert talker.put_archive("/tmp", sent.getvalue())
    chunks, found = talker.get_archive("/tmp/zeros")
    assert found["size"] == 8 << 20
    assert sum(map(len, chunks)) > 8 << 20


def test_docker_py_hears_events_of_containers_and_of_the_swarm_in_one_stream(client) -> None:
    events = client.events(decode=True)
    timer = threading.Timer(SECONDS, events.close)
    timer.start()
    service = client.services.create(BUSYBOX, ["sleep", "300"], name="heard")
    container = client.containers.create(BUSYBOX, name="seen")
    wanted = {("service", "heard"), ("container", "seen")}
    for event in events:
        wanted.discard((event["Type"], event["Actor"]["Attributes"].get("name")))
        if not wanted:
            break
    timer.cancel()
    events.close()
    container.remove()
    service.remove()
    assert wanted == set()


def test_the_classic_builder_gets_its_context(client, tmp_path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {BUSYBOX}\nCOPY said /\nRUN cat /said\n")
    (tmp_path / "said").write_text("in the context\n")
    image, log = client.images.build(path=str(tmp_path), rm=True)
    assert any("in the context" in line.get("stream", "") for line in log)
    client.images.remove(image.id)


def test_buildkit_gets_its_session(socket, plugins, tmp_path) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {BUSYBOX}\nCOPY said /\nRUN --mount=type=secret,id=word test -s /run/secrets/word && cat /said\n"
    )
    (tmp_path / "said").write_text("in the context\n")
    (tmp_path / "word").write_text("known to the session only")
    words = ("buildx", "build", "--secret", f"id=word,src={tmp_path / 'word'}", "--load", "-t", "built", str(tmp_path))
    assert "in the context" in cli(socket, plugins, *words)
    assert cli(socket, plugins, "run", "--rm", "built", "cat", "/said") == "in the context\n"
    cli(socket, plugins, "rmi", "built")


def test_compose_brings_up_follows_and_takes_down(socket, plugins, tmp_path) -> None:
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  web:\n    image: {BUSYBOX}\n    command: sh -c 'echo said; exec sleep 300'\n"
        "    healthcheck: {test: ['CMD', 'true'], interval: 1s}\n"
    )
    project = ("compose", "--project-name", "front")
    cli(socket, plugins, *project, "up", "--detach", "--wait", cwd=tmp_path)
    assert "said" in cli(socket, plugins, *project, "logs", cwd=tmp_path)
    assert cli(socket, plugins, *project, "exec", "-T", "web", "cat", given="through\n", cwd=tmp_path) == "through\n"
    cli(socket, plugins, *project, "down", "--timeout", "1", cwd=tmp_path)
    assert cli(socket, plugins, "ps", "--quiet", "--filter", "label=com.docker.compose.project=front") == ""


def test_the_cli_streams_stats_and_a_large_image(socket, plugins, tmp_path) -> None:
    cli(socket, plugins, "run", "--detach", "--name", "watched", BUSYBOX, "sleep", "300")
    assert "watched" in cli(socket, plugins, "stats", "--no-stream")
    cli(socket, plugins, "rm", "--force", "watched")
    saved = tmp_path / "busybox.tar"
    cli(socket, plugins, "save", "--output", str(saved), BUSYBOX)
    assert "Loaded image" in cli(socket, plugins, "load", "--input", str(saved))
