"""The judge: acknowledged writes must be found, unknown ones may be, and nothing is claimed without a final read."""

from provisioner.chaos.history import History, Operation, load
from provisioner.chaos.verdict import accepted_between, first_accepted, judge, longest_gap

ONE = "manager1"


def op(seconds, kind, value, process=ONE, error=""):
    return Operation(seconds, process, kind, value, error)


def written(*ends):
    """Write 1, 2, 3, … begun every second, each ended half a second later."""
    operations = []
    for value, kind in enumerate(ends, start=1):
        operations.append(op(value, "invoke", value))
        if kind != "invoke":
            operations.append(op(value + 0.5, kind, value))
    return operations


def test_all_acknowledged_writes_found_is_valid():
    verdict = judge(written("ok", "fail", "unknown", "ok"), {ONE: {ONE: {1, 4}}})
    assert verdict.valid is True
    assert (verdict.acknowledged, verdict.failed, verdict.unknown, verdict.took_effect) == (2, 1, 1, 0)
    assert verdict.words().startswith("every acknowledged write is there on manager1")


def test_an_unknown_write_may_be_found():
    verdict = judge(written("ok", "unknown", "invoke"), {ONE: {ONE: {1, 2, 3}}})
    assert verdict.valid is True
    assert (verdict.unknown, verdict.took_effect) == (2, 2)


def test_a_write_that_one_manager_lacks_is_lost():
    verdict = judge(written("ok", "ok"), {ONE: {ONE: {1, 2}}, "manager2": {ONE: {2}}})
    assert verdict.valid is False
    assert verdict.lost == ("manager2 lacks w.1 of manager1, which were acknowledged",)


def test_a_service_that_is_gone_lost_all():
    verdict = judge(written(*["ok"] * 8), {ONE: {}})
    assert verdict.lost == ("manager1 lacks w.1, w.2, w.3, w.4, w.5 and 3 more of manager1, which were acknowledged",)


def test_a_write_that_was_never_sent_must_not_be_there():
    verdict = judge(written("ok", "fail"), {ONE: {ONE: {1, 2, 9}}})
    assert verdict.valid is False
    assert verdict.phantoms == ("manager1 has w.2, w.9 of manager1, which were never sent",)


def test_without_a_final_read_or_a_write_the_verdict_is_unknown():
    assert judge(written("ok"), {}).valid is None
    assert "no manager could be read" in judge(written("ok"), {}).words()
    assert judge(written("fail"), {ONE: {ONE: set()}}).valid is None
    assert "no write was acknowledged" in judge(written("fail"), {ONE: {ONE: set()}}).words()


def test_the_first_write_counts_from_its_beginning():
    operations = written("ok", "unknown", "ok")
    assert first_accepted(operations, since=0) == 1.5
    assert first_accepted(operations, since=1.2) == 3.5  # the first was under way already
    assert first_accepted(operations, since=4) is None


def test_accepted_between_wants_both_ends_inside():
    operations = written("ok", "ok", "ok")
    assert accepted_between(operations, 1.2, 3.2) == 1
    assert accepted_between(operations, 0, 9) == 3


def test_the_longest_gap_has_its_ends_in_it():
    operations = written("ok", "unknown", "ok")
    assert longest_gap(operations, 1.5, 4) == 2.0
    assert longest_gap(operations, 1.5, 9) == 5.5
    assert longest_gap([], 0, 7) == 7


def test_a_history_comes_back_from_its_file_line_by_line(tmp_path):
    ticks = iter([0.1, 0.25, 0.3])
    path = tmp_path / "history.jsonl"
    with History(path, lambda: next(ticks)) as history:
        history.record("manager1", "invoke", 1)
        history.record("manager1", "unknown", 1, "no answer in time")
        assert len(path.read_text().splitlines()) == 2  # what is recorded is on the disk at once
        history.record("manager2", "invoke", 1)
    assert list(load(path)) == history.operations()
    assert history.operations()[1] == op(0.25, "unknown", 1, error="no answer in time")
