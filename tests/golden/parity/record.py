"""Losses and adapter gradients of the real sd-scripts, kept for `tests/integration/test_sdscripts_parity.py`.

    python record.py <checkout of sd-scripts> [sd15] [sdxl]

in an environment with what that checkout needs (torch 2.13.0 and the versions of its requirements.txt were used). Each
case of `tests/parity_cases.py` goes through sd-scripts' own `process_batch`: its noise, its U-Net class, its
`networks.lora`, its losses and weights. Replaced are its random numbers and timesteps (by those of the case), and the
widths of its U-Nets (by narrow ones). Nothing of sd-scripts is copied here.
"""

from __future__ import annotations

import json
import platform
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
sys.path.insert(0, str(TESTS))

import original_layout  # noqa: E402
import parity_cases as given  # noqa: E402

FULL = 3
"""So many layers' gradients are kept value by value, of the first case."""


@contextmanager
def given_numbers(timesteps: tuple[int, ...]) -> Iterator[None]:
    """Let sd-scripts' draws be the case's, told apart by their order."""
    from library import train_util

    count = {"normal": 0, "uniform": 0}

    def name(kind: str) -> str:
        count[kind] += 1
        return f"{kind} {count[kind] - 1}"

    def randn(*shape: Any, **_: Any) -> Tensor:
        sides = shape[0] if isinstance(shape[0], (tuple, list, torch.Size)) else shape
        return given.values(name("normal"), sides)

    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (torch, "randn", randn),
        (torch, "randn_like", lambda like, **_: randn(like.shape)),
        (torch, "rand", lambda *_, **__: torch.tensor([given.share(name("uniform"))])),
        (random, "random", lambda: given.share(name("uniform"))),
        (train_util, "get_timesteps", lambda *_: torch.tensor(timesteps)),
    ]
    before = [getattr(place, what) for place, what, _ in replaced]
    for place, what, instead in replaced:
        setattr(place, what, instead)
    try:
        yield
    finally:
        for (place, what, _), own in zip(replaced, before):
            setattr(place, what, own)


def sd15_unet() -> torch.nn.Module:
    """sd-scripts' U-Net of Stable Diffusion 1.5 in narrow, filled through its own conversion of original names."""
    from library import model_util, original_unet

    config = given.SD15_UNET
    widths = tuple(config["block_out_channels"])
    original_unet.BLOCK_OUT_CHANNELS = widths
    original_unet.TIMESTEP_INPUT_DIM, original_unet.TIME_EMBED_DIM = widths[0], widths[0] * 4
    original_unet.NORM_GROUPS = original_unet.TRANSFORMER_NORM_NUM_GROUPS = config["norm_num_groups"]
    theirs = {**model_util.create_unet_diffusers_config(False), "sample_size": config["sample_size"]}
    theirs |= {name: config[name] for name in ("attention_head_dim", "cross_attention_dim")}
    unet = original_unet.UNet2DConditionModel(**theirs)
    shapes = {name: value.shape for name, value in original_layout.unet(dict(unet.state_dict())).items()}
    theirs["block_out_channels"] = widths
    unet.load_state_dict(model_util.convert_ldm_unet_checkpoint(False, given.weights(shapes), theirs))
    return unet


def sdxl_unet() -> torch.nn.Module:
    """sd-scripts' U-Net of SDXL in narrow; its names are the original ones."""
    from library import sdxl_original_unet as theirs

    config = given.SDXL_UNET
    width, depths = config["block_out_channels"][0], config["transformer_layers_per_block"]
    theirs.MODEL_CHANNELS, theirs.TIME_EMBED_DIM = width, 4 * width
    theirs.ADM_IN_CHANNELS = config["projection_class_embeddings_input_dim"]
    depth_of, groups, norm = {2: depths[1], 10: depths[2]}, config["norm_num_groups"], theirs.GroupNorm32
    theirs.GroupNorm32 = lambda _, channels: norm(groups, channels)  # 32 of them would leave a channel to each

    class Transformer2DModel(theirs.Transformer2DModel):
        def __init__(self, **own: Any) -> None:
            depth = depth_of[own.pop("num_transformer_layers")]
            super().__init__(**{**own, "num_transformer_layers": depth, "cross_attention_dim": given.TEXT})
            self.norm = torch.nn.GroupNorm(groups, own["in_channels"], eps=self.norm.eps)

    theirs.Transformer2DModel = Transformer2DModel
    unet = theirs.SdxlUNet2DConditionModel()
    start = "model.diffusion_model."
    made = given.weights({start + name: value.shape for name, value in unet.state_dict().items()})
    unet.load_state_dict({name.removeprefix(start): value for name, value in made.items()})
    return unet


def encoders_of(kind: str) -> list[Any]:
    """The text encoders, of transformers' classes, as sd-scripts has them."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    found = []
    for part, config in given.ENCODERS[kind].items():
        encoder = (CLIPTextModel if part == "te1" else CLIPTextModelWithProjection)(CLIPTextConfig(**config)).eval()
        shapes = {name: value.shape for name, value in encoder.state_dict().items()}
        encoder.load_state_dict(given.text_weights(part, shapes))
        found.append(encoder.requires_grad_(False))
    return found


def network_on(unet: torch.nn.Module, encoders: list[Any]) -> Any:
    """Their LoRA on all layers of the U-Net and the encoders, with values that are not zero."""
    import networks.lora as lora

    sizes = {"conv_dim": str(given.CONV_RANK), "conv_alpha": str(given.CONV_ALPHA)}
    network = lora.create_network(1.0, given.RANK, given.ALPHA, None, encoders, unet, **sizes)
    network.apply_to(encoders, unet, True, True)
    shapes = {name: value.shape for name, value in network.state_dict().items() if not name.endswith("alpha")}
    network.load_state_dict(given.adapter(shapes), strict=False)
    network.prepare_grad_etc(encoders, unet)
    return network


def sd15_batch(case: given.Case) -> dict[str, Any]:
    """What their loader would give."""
    return {"input_ids_list": [case.ids()]} if case.words else {"text_encoder_outputs_list": [case.text()]}


def sdxl_batch(case: given.Case) -> dict[str, Any]:
    """The same for SDXL: what two encoders say, the pooled text, and sizes."""
    names = {"original": "original_sizes_hw", "corner": "crop_top_lefts", "target": "target_sizes_hw"}
    sizes = {names[name]: rows for name, rows in case.sizes().items()}
    if case.words:  # the second encoder's texts are filled with token 0
        return {"input_ids_list": [case.ids(), case.ids(pad=0)], **sizes}
    text = case.text()
    return {"text_encoder_outputs_list": [text[..., :10], text[..., 10:], case.pooled()], **sizes}


def step(
    trainer: Any, case: given.Case, unet: Any, encoders: list[Any], network: Any, batch: dict[str, Any]
) -> tuple[Tensor, dict]:
    """One step of theirs: the loss of each image, and the adapter's values with the gradients of the mean."""
    from accelerate import Accelerator

    args = trainer.arguments()
    for name, value in case.theirs.items():
        assert hasattr(args, name), name
        setattr(args, name, value)
    args.v_parameterization, args.zero_terminal_snr = case.prediction == "v", case.zero_snr
    trainer.vae_scale_factor = 1.0  # the case's latents are scaled already
    accelerator = Accelerator(cpu=True)
    batch |= {"latents": case.latents(), "loss_weights": torch.ones(case.batch)}
    if case.mask:
        batch["alpha_masks"] = case.weights_of_places()[:, 0]
    kept: list[Tensor] = []
    inner = type(trainer).post_process_loss

    def keep(*given_arguments: Any) -> Tensor:
        kept.append(inner(trainer, *given_arguments))
        return kept[0]

    trainer.post_process_loss = keep
    network.zero_grad(set_to_none=True)
    scheduler = trainer.get_noise_scheduler(args, accelerator.device)
    float32 = torch.float32
    with given_numbers(case.timesteps):
        tokenizer = SimpleNamespace(eos_token_id=603, model_max_length=77, pad_token_id=603)
        strategy = SimpleNamespace(tokenizer=tokenizer, tokenizer1=tokenizer, tokenizer2=tokenizer)
        loss = trainer.process_batch(
            batch,
            encoders,
            unet,
            network,
            None,
            noise_scheduler=scheduler,
            vae_dtype=float32,
            weight_dtype=float32,
            accelerator=accelerator,
            args=args,
            text_encoding_strategy=trainer.get_text_encoding_strategy(args),
            tokenize_strategy=strategy,
            train_text_encoder=case.words,
        )
    loss.backward()
    return kept[0].detach(), dict(network.named_parameters())


def sd15() -> tuple[Any, torch.nn.Module, Callable[[given.Case], dict[str, Any]]]:
    """Their trainer, U-Net and batches."""
    import train_network

    class Trainer(train_network.NetworkTrainer):
        def arguments(self) -> Any:
            return train_network.setup_parser().parse_args([])

    return Trainer(), sd15_unet(), sd15_batch


def sdxl() -> tuple[Any, torch.nn.Module, Callable[[given.Case], dict[str, Any]]]:
    """The same for SDXL."""
    import sdxl_train_network

    class Trainer(sdxl_train_network.SdxlNetworkTrainer):
        def arguments(self) -> Any:
            return sdxl_train_network.setup_parser().parse_args([])

    return Trainer(), sdxl_unet(), sdxl_batch


FAMILIES = {"sd15": sd15, "sdxl": sdxl}


def record(family: str, checkout: Path) -> None:
    """Write `<family>.safetensors` and `<family>.json`."""
    trainer, unet, batch_of = FAMILIES[family]()
    encoders = encoders_of(family)
    network = network_on(unet, encoders)
    unet.requires_grad_(False)
    tensors: dict[str, Tensor] = {}
    layers: list[str] = []
    for place, case in enumerate(given.cases(family)):
        losses, values = step(trainer, case, unet, encoders, network, batch_of(case))
        rows = given.projected(values)
        layers = list(rows)
        tensors[f"{case.name}.loss"] = losses.float()
        tensors[f"{case.name}.gradient"] = torch.tensor(list(rows.values()), dtype=torch.float32)
        if place == 0:
            own = [name for name in layers if name.startswith("lora_unet")]
            whole = [name for name in values if name.split(".")[0] in own[:: max(len(own) // FULL, 1)][:FULL]]
            tensors |= {f"{case.name}.whole.{name}": values[name].grad.contiguous() for name in whole}
        print(f"{case.name}: {losses.tolist()}")
    save_file(tensors, HERE / f"{family}.safetensors")
    commit = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True)
    packages = ("torch", "diffusers", "transformers", "accelerate", "numpy")
    facts = {
        "note": "losses and LoRA gradients of the real sd-scripts on the CPU, by record.py",
        "sd-scripts": commit.stdout.strip(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "layers": layers,
    }
    (HERE / f"{family}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Record the families named, or all."""
    torch.set_num_threads(1)
    checkout = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(checkout))
    for family in sys.argv[2:] or FAMILIES:
        record(family, checkout)


if __name__ == "__main__":
    main()
