"""What diffusers makes of every kind of file that we write, and of the copies in its own names.

`tests/golden/diffusers_readers.json` holds the outcome with the version that it names:
`PYTHONPATH=. python tests/integration/test_diffusers_reads_kinds.py > tests/golden/diffusers_readers.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from tests.adapter_kinds import CASES
from trainer.contract import catalog
from trainer.contract.families import recognise
from trainer.families.sd1 import StableDiffusion1
from trainer.networks import lora, lycoris
from trainer.networks.base import LayeredNetwork, Make
from trainer.parts import BatchFacts, LoadPlan, ModelFiles
from trainer.plan.layers import LayerSize
from trainer.saving.adapter import save_adapter

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "diffusers_readers.json"
MODEL = ROOT / "presets" / "demo" / "model"
CPU = torch.device("cpu")
TIMES = torch.tensor([100, 700])
CAPTIONS = ["a red circle on a blue background", "a green square"]
KINDS = ("LoRA", "LoCon", "DoRA", "LoHa", "LoKr", "DyLoRA", "GLoRA", "IA3", "OFT", "BOFT")
READS, SIZES_DROPPED, REFUSED = "reads", "reads without dora_scale", "refuses"


def noisy() -> Tensor:
    return torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(5))


def trained(kind: str) -> tuple[StableDiffusion1, LayeredNetwork]:
    """The demo model with an adapter of this kind, every value moved by noise."""
    family = StableDiffusion1()
    family.load(ModelFiles(str(MODEL), recognise(str(MODEL))), LoadPlan(CPU, torch.float32, torch.float32))
    row = catalog.network({"LoCon": "LoRA", "DoRA": "LoRA"}.get(kind, kind))
    attribute = row.target.partition(":")[2]
    make: Any = lora.make if row.name == "LoRA" else getattr(lycoris, attribute)
    arguments = CASES[kind][1] if kind in CASES and row.name != "LoRA" else {}
    arguments = {"wd_on_output": True} if kind == "DoRA" else arguments  # the only sizes that diffusers knows
    how = Make(lambda *_, **__: LayerSize(6, 3.0, 1.0), arguments=arguments, dora=kind == "DoRA")
    network: LayeredNetwork = make(family.targets(kind != "LoRA", ["unet", "te1"]), how)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in [*network.parameters("unet"), *network.parameters("te1")]:
            value.add_(0.02 * torch.randn(value.shape, generator=generator))
    network.attach()
    return family, network


@torch.no_grad()
def drawn_by(pipeline: Any, file: Path) -> Tensor:
    """The noise that diffusers' U-Net predicts with the file loaded."""
    pipeline.load_lora_weights(str(file))
    embeddings, _ = pipeline.encode_prompt(CAPTIONS, CPU, 1, False)
    answer: Tensor = pipeline.unet(noisy(), TIMES, encoder_hidden_states=embeddings).sample
    return answer


def outcome(pipeline: Any, kind: str, file: Path, diffusers_names: bool = False) -> str:
    """What diffusers does with a file of this kind; AssertionError where it draws something that we do not explain."""
    family, network = trained(kind)
    tensors = network.peft_tensors() if diffusers_names else network.tensors()
    save_adapter(file, tensors, {}, torch.float32)
    with torch.no_grad():
        facts = BatchFacts(*[torch.zeros(2, 2)] * 3)
        ours = family.predict(noisy(), TIMES, family.encode_captions(CAPTIONS), facts)
    try:
        theirs = drawn_by(pipeline, file)
    except ValueError as error:
        assert "have not been correctly renamed" in str(error)
        return REFUSED
    finally:
        pipeline.unload_lora_weights()
    if torch.allclose(ours, theirs, atol=1e-4):
        return READS
    assert kind == "DoRA" and not diffusers_names
    return SIZES_DROPPED


def load_pipeline() -> Any:
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(MODEL, local_files_only=True, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Any]:
    yield load_pipeline()


@pytest.mark.parametrize("kind", KINDS)
def test_diffusers_does_what_is_recorded(pipeline: Any, tmp_path: Path, kind: str) -> None:
    recorded = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert recorded["diffusers"] == diffusers.__version__, "make the record anew, and the help of the types with it"
    assert outcome(pipeline, kind, tmp_path / "a.safetensors") == recorded["kinds"][kind]


@pytest.mark.parametrize("kind", ["LoRA", "LoCon", "DoRA"])
def test_the_copy_in_diffusers_names_draws_the_same(pipeline: Any, tmp_path: Path, kind: str) -> None:
    assert outcome(pipeline, kind, tmp_path / "a.safetensors", diffusers_names=True) == READS


if __name__ == "__main__":
    own, place = load_pipeline(), GOLDEN.with_suffix(".tmp.safetensors")
    found = {kind: outcome(own, kind, place) for kind in KINDS}
    place.unlink()
    print(json.dumps({"diffusers": diffusers.__version__, "kinds": found}, indent=2))
