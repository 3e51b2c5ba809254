"""The text encoder: CLIP's text model with 2 layers of width 64, taught the captions' meaning before the UNet sees it.

Trained on its own first, with one classifier per attribute on the end and padding positions, it separates colours,
shapes and textures within a minute; learnt through the UNet alone that takes longer than everything else together.

Shapes: tokens_BL, states_BLC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from trainer.tools.demo_model.captions import UNSTATED, caption
from trainer.tools.demo_model.draw import COLOURS, SHAPES, TEXTURES, random_scene
from trainer.tools.demo_model.pace import Pace
from trainer.tools.demo_model.tokenizer import MAX_TOKENS

WIDTH = 64
BATCH = 64
PEAK_RATE = 2e-3
CHOICES: dict[str, tuple[str, ...]] = {
    "shape": (*SHAPES, UNSTATED),
    "colour": (*COLOURS, UNSTATED),
    "texture": (*TEXTURES, UNSTATED),
    "background": (*COLOURS, UNSTATED),
}


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained text encoder for `tokenizer`."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> torch.Tensor:
    """tokens_BL, padded to 77 with the end token."""
    batch = tokenizer(list(captions), padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    return batch.input_ids


class AttributeHeads(torch.nn.Module):
    """One linear classifier per attribute, read at every position after the words."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(WIDTH, len(rows)) for name, rows in CHOICES.items()})

    def loss(self, states_BLC: torch.Tensor, first_end_B: torch.Tensor, stated: list[dict[str, str]]) -> torch.Tensor:
        """Cross-entropy at the end token and at one random padding position after it."""
        rows = torch.arange(len(stated))
        later_B = (first_end_B + 1 + (torch.rand(len(stated)) * (MAX_TOKENS - 1 - first_end_B)).long()).clamp(max=76)
        total = states_BLC.new_zeros(())
        for name, head in self.heads.items():
            wanted = torch.tensor([CHOICES[name].index(row[name]) for row in stated])
            for positions in (first_end_B, later_B):
                total = total + F.cross_entropy(head(states_BLC[rows, positions]), wanted)
        return total / (2 * len(CHOICES))

    def accuracy(self, states_BLC: torch.Tensor, first_end_B: torch.Tensor, stated: list[dict[str, str]]) -> float:
        """Share of attributes that are read correctly at the end token."""
        rows = torch.arange(len(stated))
        hits = [
            (head(states_BLC[rows, first_end_B]).argmax(-1) == torch.tensor([CHOICES[n].index(r[n]) for r in stated]))
            for n, head in self.heads.items()
        ]
        return float(torch.stack(hits).float().mean())


def train_text(
    tokenizer: CLIPTokenizer, pace: Pace, seed: int, report: Callable[[str], None]
) -> tuple[CLIPTextModel, float]:
    """Trains from scratch; returns the encoder and its accuracy on 512 fresh captions."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    encoder, heads = build_text_encoder(tokenizer), AttributeHeads()
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True)

    def states_of(count: int) -> tuple[torch.Tensor, torch.Tensor, list[dict[str, str]]]:
        texts, stated = zip(*(caption(random_scene(rng), rng) for _ in range(count)))
        tokens_BL = tokenize(tokenizer, texts)
        first_end_B = (tokens_BL == tokenizer.eos_token_id).int().argmax(-1)
        return encoder(tokens_BL).last_hidden_state, first_end_B, list(stated)

    for step in pace:
        optimizer.param_groups[0]["lr"] = pace.rate(PEAK_RATE, warmup_steps=20)
        loss = heads.loss(*states_of(BATCH))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            report(f"text step {step} {pace.elapsed_s:.0f} s loss {loss.item():.4f}")
    with torch.no_grad():
        accuracy = heads.accuracy(*states_of(512))
    report(f"text: {accuracy:.4f} of the attributes of 512 new captions read correctly")
    return encoder, accuracy
