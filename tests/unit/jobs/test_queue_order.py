"""The queue's order: what a person can do with it, what is next on which device, files that others change too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gui import device
from gui.jobs import ROOT
from gui.queue import card, devices, waiting
from gui.queue.waiting import EDITS, Entry, Queue
from trainer.contract import preset as presets
from trainer.contract.problems import Problems
from trainer.contract.settings import Preset


def queue_of(*entries: Entry, on: bool = True) -> Queue:
    return Queue(entries, on)


def named(queue: Queue) -> str:
    return "".join(entry.id for entry in queue.entries)


def four() -> Queue:
    return queue_of(*(Entry(id, id, "0") for id in "abcd"))


def test_up_and_down_change_places_among_those_that_have_not_begun() -> None:
    queue = queue_of(Entry("r", "r", state="running"), *four().entries, Entry("f", "f", state="failed"))
    assert named(EDITS["down"](queue, "a")) == "rbacdf"
    assert named(EDITS["up"](queue, "d")) == "rabdcf"
    assert EDITS["up"](queue, "a") == queue and EDITS["down"](queue, "d") == queue
    mixed = queue_of(Entry("a", "a"), Entry("f", "f", state="failed"), Entry("b", "b"))
    assert [e.id for e in EDITS["down"](mixed, "a").of("waiting")] == ["b", "a"]
    assert named(waiting.place(queue, "d", "b")) == "radbcf"
    for what in ("up", "down", "hold", "release"):
        with pytest.raises(Problems, match="it is running"):
            EDITS[what](queue, "r")
    with pytest.raises(Problems, match="not in the queue any more"):
        EDITS["up"](queue, "x")


def test_one_after_the_other_on_a_device_and_at_the_same_time_on_several() -> None:
    queue = queue_of(Entry("a", "a", "0"), Entry("b", "b", "0"), Entry("c", "c", "1"), Entry("d", "d", "cpu"))
    begun = []
    while (entry := devices.ready(queue, ())) is not None:
        begun.append(entry.id)
        queue = queue.with_entry(Entry(entry.id, entry.id, entry.gpus, "running"))
    assert begun == ["a", "c", "d"]
    assert devices.ready(waiting.over(queue, "a", "failed", "a cause"), ()).id == "b"  # type: ignore[union-attr]


def test_a_run_that_somebody_else_started_occupies_its_device() -> None:
    queue = queue_of(Entry("a", "a", "0"), Entry("b", "b", "1"))
    assert devices.ready(queue, {"0"}).id == "b"  # type: ignore[union-attr]
    assert devices.ready(queue, {"0", "1"}) is None


def test_one_of_several_devices_is_not_overtaken_for_ever() -> None:
    queue = queue_of(Entry("a", "a", "0,1"), Entry("b", "b", "1"), Entry("c", "c", "2"))
    assert devices.ready(queue, {"0"}).id == "c"  # type: ignore[union-attr]


def test_held_entries_are_passed_over_and_keep_no_device() -> None:
    queue = EDITS["hold"](four(), "a")
    assert devices.ready(queue, ()).id == "b"  # type: ignore[union-attr]
    assert devices.ready(EDITS["release"](queue, "a"), ()).id == "a"  # type: ignore[union-attr]
    assert devices.ready(EDITS["pause"](queue, ""), ()) is None


def test_a_paused_run_keeps_its_device_until_it_goes_on_or_is_removed() -> None:
    queue = waiting.over(
        queue_of(Entry("a", "a", "0", "running"), Entry("b", "b", "0"), Entry("c", "c", "1")), "a", "paused"
    )
    assert devices.ready(queue, ()).id == "c"  # type: ignore[union-attr]
    again = EDITS["retry"](EDITS["down"](queue, "b"), "a")
    assert named(again) == "acb" and devices.ready(again, ()).id == "a"  # type: ignore[union-attr]
    assert devices.ready(EDITS["remove"](queue, "a"), ()).id == "b"  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["done", "failed", "stopped"])
def test_stop_after_this_one(how: waiting.State) -> None:
    queue = EDITS["stop-after"](four(), "b")
    first = queue.with_entry(Entry("a", "a", "0", "running"))
    assert devices.ready(waiting.over(first, "a", "done"), ()).id == "b"  # type: ignore[union-attr]
    running = queue.with_entry(Entry("b", "b", "1", "running", last=True))
    assert devices.ready(running, ()) is None, "nothing else, on whatever device"
    over = waiting.over(running, "b", how)
    assert not over.on and not over.find("b").last
    assert devices.ready(EDITS["go-on"](over, ""), ()).id == "a"  # type: ignore[union-attr]
    behind = queue_of(Entry("a", "a", "0", last=True), Entry("b", "b", "1"))
    assert devices.ready(behind, {"0"}) is None, "it waits for its own device, and nothing overtakes it"
    assert waiting.over(running, "b", "paused").on, "a pause is no end"


def test_removed_entries_can_be_put_back_in_their_place(tmp_path: Path) -> None:
    queue = EDITS["remove"](EDITS["hold"](four(), "b"), "b")
    assert [entry.id for entry in queue.of("waiting", "held")] == ["a", "c", "d"]
    back = EDITS["put-back"](queue, "b")
    assert named(back) == "abcd" and back.find("b").state == "held"
    ended = EDITS["clear"](waiting.over(four(), "c", "failed", "no memory"), "")
    assert [entry.id for entry in ended.of("removed")] == ["c"]
    assert EDITS["put-back"](ended, "c").find("c").state == "failed"


def test_a_retry_waits_at_the_end() -> None:
    failed = waiting.over(four(), "a", "failed", "no memory")
    again = EDITS["retry"](failed, "a")
    assert named(again) == "bcda" and (again.find("a").state, again.find("a").cause) == ("waiting", "")
    with pytest.raises(Problems, match="it is waiting"):
        EDITS["retry"](again, "a")


def test_the_preset_stays_as_it_was_when_it_was_added(tmp_path: Path) -> None:
    preset = presets.with_values(Preset(), {"saving.name": "猫; rm -rf", "network.rank": 9})
    [entry] = waiting.add(tmp_path, [preset])
    assert waiting.read(tmp_path).entries == (entry,)
    kept = presets.load(waiting.preset_file(tmp_path, entry))
    assert (kept.network.rank, kept.saving.name, entry.name) == (9, "猫; rm -rf", "猫; rm -rf")
    assert not (tmp_path / ".queue" / "run.json").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"entries": 3}', '{"entries": [{"id": "../x", "name": "a"}]}', '{"entries": [{"id": 3}]}',
             '{"entries": [{"id": "a", "name": "a", "run": "../../etc"}]}']
)  # fmt: skip
def test_a_damaged_queue_is_told_and_kept(tmp_path: Path, text: str) -> None:
    file = tmp_path / ".queue" / "queue.json"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Problems, match="cannot be read"):
        waiting.add(tmp_path, [Preset()])
    assert file.read_text(encoding="utf-8") == text


def test_what_a_later_version_adds_to_the_file_is_no_damage(tmp_path: Path) -> None:
    [entry] = waiting.add(tmp_path, [Preset()])
    file = tmp_path / ".queue" / "queue.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"on"', '"new": 1, "on"'), encoding="utf-8")
    assert waiting.read(tmp_path).entries == (entry,)


def test_processes_that_add_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gui.queue import waiting\n"
        "from trainer.contract.settings import Preset\n"
        "for n in range(15): waiting.add(Path(sys.argv[1]), [Preset()])"
    )
    adders = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(3)]
    assert [adder.wait(60) for adder in adders] == [0, 0, 0]
    found = waiting.read(tmp_path).entries
    assert len(found) == 45 and len({entry.id for entry in found}) == 45
    assert all(waiting.preset_file(tmp_path, entry).is_file() for entry in found)


def test_devices_as_people_say_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpus", lambda: (("a GPU", 2**34),) * 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.lanes_of("auto") == {"0"} and devices.lanes_of("0, 2") == {"0", "2"}
    assert devices.lanes_of("cpu,cpu") == {"cpu"} and devices.lanes_of("nonsense") == {"0"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert devices.lanes_of("auto") == {"1"} and devices.words("auto") == "GPU 1"
    monkeypatch.setattr(device, "gpus", tuple)
    assert devices.lanes_of("auto") >= {"cpu"}, "without an NVIDIA GPU it may well be the CPU"


def test_the_card_promises_nothing_that_another_trainer_cannot_do(tmp_path: Path) -> None:
    ours, other = ([Entry("a", "a", "0", state, engine=name) for state in ("running", "stopped")] for name in ("", "x"))
    own, foreign = (card.card(tmp_path, queue_of(*entries), [], {}) for entries in (ours, other))
    assert "with everything saved" in own and "from its last full state" in own and ">Continue<" in own
    assert "x saves nothing when it is stopped" in foreign and "it begins anew" in foreign and ">Retry<" in foreign
    assert "everything saved" not in foreign and "last full state, or anew" not in foreign
