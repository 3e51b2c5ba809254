"""Inspect, verify and upload: what they say of good and of broken files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from adapter_files import lora, run_tool, save
from safetensors.torch import save_file
from torch import Tensor

from trainer.contract.problems import Problems
from trainer.plan.adapters.facts import facts, readers, stripped
from trainer.plan.adapters.look import all_families, look, standard
from trainer.report.tool_results import lines
from trainer.saving.adapter import save_adapter


def whole(family: object, rank: int = 1) -> dict[str, Tensor]:
    """A LoRA of every layer of a family's standard size, all ones."""
    found = {}
    for key, (outputs, inputs, *kernel) in standard(family).values():  # type: ignore[arg-type]
        found[f"{key}.lora_down.weight"] = torch.ones(rank, inputs, *kernel)
        found[f"{key}.lora_up.weight"] = torch.ones(outputs, rank, *[1] * len(kernel))
        found[f"{key}.alpha"] = torch.tensor(float(rank))
    return found


@pytest.fixture(scope="module", params=all_families(), ids=lambda family: family.name)
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, object]]:
    path = tmp_path_factory.mktemp("good") / "whole.safetensors"
    save_adapter(path, whole(request.param), {"ss_output_name": "x"}, torch.float16)
    yield path, request.param


def test_a_whole_file_is_recognised_by_its_layers_and_has_no_fault(good: tuple[Path, object], tmp_path: Path) -> None:
    path, family = good
    found = look(path)
    assert found.family is family and found.unknown == () and found.layout == "Kohya"
    result = run_tool(tmp_path, "verify", adapter=str(path))
    assert result.faults == () and result.headline == "nothing is wrong with it"
    told = dict(facts(found))
    assert told["Base model"] == family.name and told["Rank"] == "1"  # type: ignore[attr-defined]


def test_norms_by_block_are_those_of_the_layers(tmp_path: Path) -> None:
    adapter = lora(4, 2.0)
    file = save(tmp_path / "a.safetensors", adapter, ss_base_model_version="sd_v1")
    result = run_tool(tmp_path, "inspect", adapter=str(file))
    squares: dict[str, float] = {}
    for name, value in adapter.items():
        if name.endswith("lora_up.weight"):
            down = adapter[name.replace("lora_up", "lora_down")]
            block = "text encoder" if name.startswith("lora_te") else name
            squares[block] = squares.get(block, 0.0) + float((value.flatten(1) @ down.flatten(1) / 2).square().sum())
    shown = {bar.name: bar.value for bar in result.bars}
    assert shown["text encoder"] == pytest.approx(squares["text encoder"] ** 0.5, rel=1e-5)
    assert sum(value**2 for value in shown.values()) == pytest.approx(sum(squares.values()), rel=1e-5)
    assert sum(bar.layers for bar in result.bars) == 8
    text = "\n".join(lines(result))
    assert "Norm of the update in each block" in text and "ss_base_model_version = sd_v1" in text


def test_what_is_broken_is_found(tmp_path: Path) -> None:
    family = all_families()[0]
    tensors = whole(family)
    keys = [key for key, _ in standard(family).values()]
    tensors[f"{keys[0]}.lora_up.weight"][3] = float("nan")
    tensors[f"{keys[1]}.lora_down.weight"][0, 0] = float("inf")
    tensors[f"{keys[2]}.lora_up.weight"].zero_()
    del tensors[f"{keys[3]}.lora_up.weight"]
    tensors[f"{keys[4]}.lora_down.weight"] = torch.ones(1, 5)
    tensors["lora_unet_nowhere_0.lora_down.weight"] = tensors["lora_unet_nowhere_0.lora_up.weight"] = torch.ones(1, 1)
    tensors["something.else"] = torch.ones(1)
    save_file({n: v.clone() for n, v in tensors.items()}, tmp_path / "a.safetensors", {"sshs_model_hash": "0" * 64})
    result = run_tool(tmp_path, "verify", adapter=str(tmp_path / "a.safetensors"))
    told = "\n".join(result.faults)
    for said in ("1 tensors with values that are no numbers", "1 tensors with infinite", "3 tensors of no kind",
                 "1 layers that are not in", "1 layers of the wrong size", "not those that its hash"):  # fmt: skip
        assert said in told, told
    assert f"1 layers change nothing: {keys[2]} for one" in result.notes
    with pytest.raises(Problems, match=r"no \.safetensors file"):
        run_tool(tmp_path, "verify", adapter=str(save(tmp_path / "b.txt", {"x": torch.ones(1)})))


def test_a_base_model_of_another_size_is_found(tmp_path: Path, demo_model_dir: Path) -> None:
    save_adapter(tmp_path / "a.safetensors", whole(all_families()[0]), {}, torch.float32)
    result = run_tool(tmp_path, "verify", adapter=str(tmp_path / "a.safetensors"), model=str(demo_model_dir))
    assert any("layers of the wrong size" in fault for fault in result.faults)


def test_what_readers_do_otherwise_is_told(tmp_path: Path) -> None:
    key = "lora_unet_mid_block_attentions_0_proj_in"
    plain = {f"{key}.lora_down.weight": torch.ones(1, 4), f"{key}.lora_up.weight": torch.ones(8, 1)}
    for shape, told in (((8, 1), True), ((1, 4), False)):
        file = save(tmp_path / "a.safetensors", {**plain, f"{key}.dora_scale": torch.ones(shape)})
        assert any("A1111 otherwise" in note for note in readers(look(file))) is told
        assert dict(facts(look(file)))["DoRA's sizes"] == ("of outputs" if told else "of inputs")
    assert readers(look(save(tmp_path / "b.safetensors", plain))) == []


def test_stripping_takes_names_and_tags_and_keeps_what_readers_need() -> None:
    told = {"ss_tag_frequency": "{}", "ss_dataset_dirs": "{}", "ss_network_dim": "4", "ss_steps": "100", "mine": "x"}
    assert set(stripped(told, "names and tags", [], [])) == {"ss_network_dim", "ss_steps", "mine"}
    assert set(stripped(told, "all but what readers need", [], [])) == {"ss_network_dim"}
    assert stripped(told, "everything", [], ["a = b=c"]) == {"a": "b=c"}
    assert set(stripped(told, "nothing", ["ss_*"], [])) == {"mine"}
    with pytest.raises(ValueError, match="nonsense"):
        stripped(told, "nothing", [], ["nonsense"])


def test_an_upload_sends_nothing_unless_it_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the network nor the token's value appear: the hub is another process's business."""
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    file = save(tmp_path / "a.safetensors", lora(), ss_tag_frequency='{"a": {"zorb": 1}}')
    result = run_tool(tmp_path, "upload", adapter=str(file), repo="me/zorb")
    told = json.dumps(result.model_dump())
    assert result.headline.startswith("nothing was sent") and "me/zorb/a.safetensors" in told
    assert "the captions' tags" in told and "secretsecret" not in told
    for file_ in (tmp_path / "runs").rglob("*"):
        assert not file_.is_file() or b"secretsecret" not in file_.read_bytes()
    with pytest.raises(Problems, match="is no repository of the hub"):
        run_tool(tmp_path, "upload", adapter=str(file), repo="nonsense")
