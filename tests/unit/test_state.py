"""The lab's folder: its record survives crashes, damage is named, one verb at a time holds the lock."""

import json
import os
from pathlib import Path

import pytest

from provisioner import lab, state
from provisioner.errors import LabBusy, LabNotFound, ProvisionError, UsageError
from provisioner.state import LabFolder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabFolder:
    monkeypatch.setenv(state.HOME_VARIABLE, str(tmp_path))
    return state.folder("lab")


def test_a_record_is_read_back_as_it_was_written(folder: LabFolder) -> None:
    record = state.create(folder, lab.describe(managers=5, workers=2, offline=True))
    assert state.load(folder) == record


def test_the_record_is_for_its_owner_alone(folder: LabFolder) -> None:
    state.create(folder, lab.describe())
    assert folder.record.stat().st_mode & 0o777 == 0o600


def test_a_lab_keeps_its_id_when_its_record_is_written_again(folder: LabFolder) -> None:
    first = state.create(folder, lab.describe())
    folder.record.unlink()
    assert state.create(folder, lab.describe()).id == first.id


def test_a_missing_lab_names_those_there_are(folder: LabFolder) -> None:
    state.create(state.folder("other"), lab.describe(name="other"))
    with pytest.raises(LabNotFound) as raised:
        state.load(folder)
    assert raised.value.hint == "labs here: other"


@pytest.mark.parametrize("text", ["", "{", "[]", '"lab"', "\x00\x01"])
def test_a_damaged_record_is_named_with_the_way_out(folder: LabFolder, text: str) -> None:
    state.create(folder, lab.describe())
    folder.record.write_text(text)
    with pytest.raises(ProvisionError, match="damaged") as raised:
        state.load(folder)
    assert raised.value.hint.endswith("provision down --name lab")


def test_a_record_with_a_missing_field_names_it(folder: LabFolder) -> None:
    state.create(folder, lab.describe())
    record = json.loads(folder.record.read_text())
    del record["spec"]["subnet"]
    folder.record.write_text(json.dumps(record))
    with pytest.raises(ProvisionError, match=r"spec\.subnet: Field required"):
        state.load(folder)


def test_a_record_of_another_version_is_refused_by_its_format(folder: LabFolder) -> None:
    state.create(folder, lab.describe())
    record = json.loads(folder.record.read_text())
    folder.record.write_text(json.dumps({**record, "format": 0}))
    with pytest.raises(ProvisionError, match="another version of provision"):
        state.load(folder)


def test_a_failed_write_leaves_the_old_text_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "record"
    state.write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        state.write_atomically(path, "\udc80")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_second_verb_is_refused_and_names_the_first(folder: LabFolder) -> None:
    busy = f"in use by `provision up` .process {os.getpid()}"
    with state.locked(folder, "up"), pytest.raises(LabBusy, match=busy), state.locked(folder, "down"):
        pass


def test_the_lock_is_free_again_and_leaves_no_file(folder: LabFolder) -> None:
    with state.locked(folder, "up"):
        pass
    with state.locked(folder, "down"):
        pass
    assert not folder.lock.exists()


def test_two_labs_are_locked_apart(folder: LabFolder) -> None:
    with state.locked(folder, "up"), state.locked(state.folder("other"), "up"):
        pass


def test_a_path_is_no_lab_name(folder: LabFolder) -> None:
    with pytest.raises(UsageError):
        state.folder("../lab")
