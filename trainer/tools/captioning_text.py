"""Sentences by an image-to-text model that transformers reads: Florence-2, BLIP-2, GIT and their kin.

Safetensors only, from the folder alone; no code that lies beside the weights is ever run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from trainer.contract.problems import Problem, Problems
from trainer.contract.tasks import Captioning
from trainer.plan.captioners import FLORENCE_TASKS, SETTING, Captioner

BEAMS = 3
USUAL_QUESTION = "Describe this image."
LOCAL: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


class Writer:
    """A model that writes about images, in memory on its device."""

    def __init__(self, captioner: Captioner, task: Captioning, device: torch.device) -> None:
        self._task, self._device, self._kind = task, device, captioner.kind
        self._dtype = _dtype(device)
        try:
            self._processor = _processor(captioner)
            self._model = _model(captioner, self._dtype).to(device).eval()
        except Problems:
            raise
        except Exception as error:  # loaders raise whatever the damage leads them to
            why = f"{captioner.name} cannot be loaded: {type(error).__name__}: {str(error)[:300]}"
            raise Problems(
                [Problem(SETTING, why, "download the whole folder again, or choose another", "model")]
            ) from error
        self._chats = bool(getattr(self._processor, "chat_template", None))
        if self._chats and hasattr(self._processor, "tokenizer"):
            self._processor.tokenizer.padding_side = "left"

    @property
    def device(self) -> str:
        """What it computes on, for people."""
        return "CPU" if self._device.type == "cpu" else "GPU"

    @torch.no_grad()
    def captions(self, images: Sequence[Image.Image]) -> list[str]:
        """One text an image; equal images give equal texts."""
        prompt, given = self._prompt(), {}
        if prompt:
            given = {"text": [prompt] * len(images), "padding": True}
        found = self._processor(images=list(images), return_tensors="pt", **given)
        inputs = {key: self._moved(value) for key, value in found.items()}
        made = self._model.generate(
            **inputs, max_new_tokens=self._task.most_tokens, do_sample=False, num_beams=1 if self._chats else BEAMS
        )
        if self._chats:
            made = made[:, inputs["input_ids"].shape[1] :]
        texts = self._processor.batch_decode(made, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]

    def _moved(self, value: Any) -> Any:
        moved = value.to(self._device)
        return moved.to(self._dtype) if moved.is_floating_point() else moved

    def _prompt(self) -> str:
        asked = self._task.prompt.strip()
        if self._kind == "task":
            return asked or FLORENCE_TASKS[1][0]
        if not self._chats:
            return asked
        content = [{"type": "image"}, {"type": "text", "text": asked or USUAL_QUESTION}]
        turn = [{"role": "user", "content": content}]
        return str(self._processor.apply_chat_template(turn, add_generation_prompt=True))


def _dtype(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


class _Pair:
    """An image processor and a tokenizer of a folder that names no processor for both."""

    def __init__(self, captioner: Captioner) -> None:
        from transformers import AutoImageProcessor, AutoTokenizer

        self._images = AutoImageProcessor.from_pretrained(captioner.folder, backend="pil", **LOCAL)
        self._words = AutoTokenizer.from_pretrained(captioner.folder, **LOCAL)

    def __call__(self, images: list[Image.Image], return_tensors: str, **_: Any) -> Any:
        """Pixels alone: such models take no prompt."""
        return {"pixel_values": self._images(images=images, return_tensors=return_tensors)["pixel_values"]}

    def batch_decode(self, made: Any, skip_special_tokens: bool) -> list[str]:
        """Tokens -> texts."""
        return list(self._words.batch_decode(made, skip_special_tokens=skip_special_tokens))


def _processor(captioner: Captioner) -> Any:
    from transformers import AutoProcessor

    if captioner.model == "vision-encoder-decoder":
        return _Pair(captioner)
    return AutoProcessor.from_pretrained(captioner.folder, backend="pil", **LOCAL)


def _model(captioner: Captioner, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(captioner.folder, use_safetensors=True, dtype=dtype, **LOCAL)
