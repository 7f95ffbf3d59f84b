"""The node's tasks on its disk."""

from __future__ import annotations

import stat

import pytest
from agent_tasks import a_task

from swarmd.agent.storage import Storage
from swarmd.model import ContainerSpec, TaskState


def test_tasks_are_found_again_as_they_were(tmp_path):
    tasks = [a_task(ContainerSpec(image="x", env=["A=ü"]), state=TaskState.RUNNING), a_task()]
    for task in tasks:
        Storage(tmp_path / "tasks").save(task)
    assert sorted(Storage(tmp_path / "tasks").load(), key=lambda task: task.id) == sorted(
        tasks, key=lambda task: task.id
    )


def test_the_newest_counts_and_what_is_deleted_is_gone(tmp_path):
    storage = Storage(tmp_path)
    task = a_task()
    storage.save(task)
    storage.save(after := a_task(id=task.id, state=TaskState.READY))
    assert storage.load() == [after]
    storage.delete(task.id)
    storage.delete(task.id)
    assert storage.load() == []


def test_others_cannot_read_them(tmp_path):
    folder = tmp_path / "tasks"
    task = a_task()
    Storage(folder).save(task)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / f"{task.id}.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b'{"ID": "abc"', b"\xff\x00", b'{"ID": 7}'])
def test_a_damaged_file_is_set_aside_and_the_others_are_read(tmp_path, caplog, content):
    storage = Storage(tmp_path)
    storage.save(task := a_task())
    (tmp_path / "abc.json").write_bytes(content)
    assert storage.load() == [task]
    assert (tmp_path / "abc.damaged").read_bytes() == content
    assert "damaged" in caplog.text
    assert storage.load() == [task]


def test_a_file_under_another_tasks_name_is_damaged(tmp_path):
    storage = Storage(tmp_path)
    storage.save(task := a_task())
    (tmp_path / f"{task.id}.json").rename(tmp_path / "other.json")
    assert storage.load() == []


def test_a_write_that_the_power_cut_ended_leaves_the_old_task(tmp_path):
    storage = Storage(tmp_path)
    storage.save(task := a_task())
    (tmp_path / f".{task.id}.json.x1.new").write_bytes(b'{"ID"')
    assert storage.load() == [task]
    assert not (tmp_path / f".{task.id}.json.x1.new").exists()


def test_an_id_is_no_path(tmp_path):
    with pytest.raises(ValueError, match="no task's id"):
        Storage(tmp_path / "tasks").save(a_task(id="../x"))
