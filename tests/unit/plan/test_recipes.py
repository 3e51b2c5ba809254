"""What draws a picture elsewhere, as table and as text."""

from __future__ import annotations

import json
import re
from typing import Any

from trainer.contract.settings import Preset
from trainer.plan import recipes

IMPORT = re.compile(r'\s*([^:]+:\s*([^"{].*?|".*?"|\{.*?\}))\s*(,|$)')
"""How ComfyUI's `importA1111` (web/scripts/pnginfo.js) takes the last line apart."""

OWN = {"negative": "", "width": 512, "height": 768, "seed": 7, "steps": 20, "guidance": 7.5}


def preset(**sections: dict[str, Any]) -> Preset:
    return Preset.model_validate({"format": 1, **sections})


def test_a_picture_of_the_untouched_model_names_no_lora() -> None:
    made = recipes.of_picture({"base_model": "a.safetensors"}, OWN, 0, "")
    assert "strength" not in made and "<lora" not in recipes.a1111_text("x", made)
    unsaved = recipes.of_picture({}, OWN, 250, "")
    assert unsaved["adapter_step"] == 250 and "<lora" not in recipes.a1111_text("x", unsaved), "no such file exists"


def test_comfyui_finds_all_parts() -> None:
    """Also where there is no negative prompt: without its line ComfyUI imports nothing."""
    chosen = preset(
        sampling={"sampler": "dpm++ 2m"}, captions={"clip_skip": 2}, model={"path": "/home/bob/a, b.safetensors"}
    )
    shared = recipes.common(chosen, {"timestep_spacing": "leading", "prediction_type": "v_prediction"})
    text = recipes.a1111_text("zorb", recipes.of_picture(shared, OWN, 100, "zorb.safetensors"))
    at = text.rindex("\nSteps:")
    assert text[text.rindex("\nNegative prompt:") + 18 : at].strip() == "" and text.startswith("zorb <lora:zorb:1>\n")
    parts = [name.split(":") for name, *_ in IMPORT.findall(text[at:].split("\n")[1])]
    found = {part[0].lower(): part[1].strip() for part in parts}
    assert found["sampler"] == "DPM++ 2M" and found["cfg scale"] == "7.5" and found["size"] == "512x768"
    assert found["clip skip"] == "2" and found["model"] == "a b" and found["seed"] == "7"
    assert shared["scheduler_comfyui"] == "ddim_uniform" and shared["prediction"] == "v"
    assert "bob" not in text and "home" not in json.dumps(shared)


def test_rows_follow_one_order_and_pass_over_the_unknown() -> None:
    rows = recipes.rows({"seed": 1, "sampler": "ddim", "of a later version": 1})
    assert rows == [("Sampler", "ddim"), ("Seed", "1")]
