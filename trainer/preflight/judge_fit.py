"""One image and a few images judged: whether the adapter learns at all, which link is broken, whether text is heard."""

from __future__ import annotations

import math

from trainer.report.preflight import Chart, Curve, Rung

from .base import TextFigures
from .links import Links, PartLink
from .overfit import STEPS, FewFigures, OneFigures
from .verdict import NAMES, Finding, part_name, percent, worst_of

LEARNS, SLOW = 0.5, 0.8
"""Share of its first loss that one image must fall under: green, yellow. Measured on the demo: 0.25 after 8 to 12 steps
at 0.3 % to 3 % movement a step; a tenth of that still 0.27 after 30; 1.0 where nothing is trained."""

TEXT_ONLY = 0.98
"""The same where the text encoder alone is trained, which can say little about one image's noise."""

FALLS = 0.95
"""Share of its first loss that each of the few images must fall under. Measured: 0.1 to 0.4."""

LISTENS, HEARS = 0.02, 0.002
"""By how much swapped captions must raise the loss of a look: green, yellow. Measured on the demo: 0.3 before any step,
1.2 after; exactly 0 where the text is ignored."""

USELESS, WEAK = 0.001, 0.01
"""Movement of the layers over the whole run if all steps pulled alike: below it nothing can change (red), or hardly
(yellow). Measured over the demo's 200 steps: rate 1e-6 moves 0.04 %, and 30 steps of it lower the loss by 0.2 %; 1e-5
0.4 % and 2 %; 1e-4 4 % and 21 %."""

STRONG, WILD = 0.03, 0.1
"""Movement per step above which it is much (yellow), too much (red). Measured: 1.1 % at the demo's 6e-3, which learns;
4.5 % at 2e-2 and 24 % at 5e-2, which both diverge within 30 steps."""


def one_image(figures: OneFigures, run_steps: int, finds_rate: bool = False) -> Rung:
    """One image by heart, and what the user's rate moves in a run of `run_steps`."""
    steps = max(len(figures.losses) - 1, 0)
    numbers = {
        "first_loss": figures.losses[0] if figures.losses else math.nan,
        "share": figures.share,
        "steps": float(steps),
        "own_rate": figures.rate,
        **{f"adapter_layers_{part.part}": float(part.layers) for part in figures.links.parts},
        **{f"gradient_norm_{part.part}": part.gradient for part in figures.links.parts},
        **{f"your_movement_per_step_{part}": value for part, value in figures.users.items()},
    }
    details = []
    if steps:
        bound = TEXT_ONLY if _text_only(figures.links) else LEARNS
        details = [
            f"Its loss at fixed noise fell to {percent(figures.share)} of the start in {steps} steps at a rate of its "
            f"own ({figures.rate:.2g}); under {percent(bound)} within {STEPS} is asked for."
        ]
    details += [_pace_words(part, value, run_steps) for part, value in figures.users.items()]
    if finds_rate:
        details += ["Your optimizer finds its rate by itself over many steps, so that its first steps say nothing."]
    found = worst_of(
        [_learns(figures), _hangs_together(figures.links), *(_pace(*row, run_steps) for row in figures.users.items())]
    )
    curve = [(float(step), loss) for step, loss in enumerate(figures.losses)]
    charts = [Chart("One image by heart", "step", [Curve("loss", curve)])] if steps else []
    return Rung(1, NAMES[1], found.verdict, found.sentence, details, found.link, found.fixes, numbers, charts)


def _text_only(links: Links) -> bool:
    return all(part.part.startswith("te") for part in links.parts)


def _hangs_together(links: Links) -> Finding:
    """The chain from the loss to the optimizer, by what was found at each layer."""
    found = [finding for part in links.parts for finding in _part(part)]
    if not links.connected and not any(finding.link == "frozen parts" for finding in found):
        fixes = ["report it with the console log: something between adapter and loss cuts the gradient off"]
        fixes.insert(0, "turn memory.gradient_checkpointing off and try again")
        sentence = "The loss does not depend on the adapter: no gradient can reach it."
        return Finding("red", sentence, "no gradient", fixes)
    return worst_of([*found, Finding("green", "")])


def _part(link: PartLink) -> list[Finding]:
    name, setting = part_name(link.part), "text_encoder" if link.part.startswith("te") else "unet"
    if not link.layers:
        fixes = [
            f"set network.{setting} to false if the {name} is not to be trained",
            "else choose another network type",
        ]
        return [Finding("red", f"The {name} is to be trained, but has no adapter layers.", "frozen parts", fixes)]
    for count, what in ((link.frozen, "are frozen"), (link.unheld, "are not given to the optimizer")):
        if count:
            many = "All" if count == link.layers else f"{count} of"
            sentence = f"{many} {link.layers} adapter layers of the {name} {what}: they cannot be trained."
            return [Finding("red", sentence, "frozen parts", ["report it with the console log"])]
    if math.isnan(link.gradient):
        fixes = ["set precision.compute to bf16 or float"]
        return [Finding("red", f"The gradient in the {name} is no number.", "not finite", fixes)]
    if link.silent == link.layers:
        fixes = ["turn memory.gradient_checkpointing off and try again", "report it with the console log"]
        if setting == "text_encoder":
            fixes.insert(0, "set memory.cache_text to false")
        return [Finding("red", f"No gradient reaches the adapter in the {name}.", "no gradient", fixes)]
    if link.silent > 0.2 * link.layers:
        sentence = f"{link.silent} of {link.layers} adapter layers of the {name} get no gradient."
        return [Finding("yellow", sentence, "no gradient", ["a high captions.clip_skip leaves the last layers unused"])]
    return []


def _learns(figures: OneFigures) -> Finding:
    share = figures.share
    if not figures.links.trainable:
        return Finding("green", "")  # the links say why
    if not figures.rate:
        return Finding("red", "A training step moves nothing, whatever the rate.", "frozen parts")
    if not math.isfinite(share):
        fixes = ["set precision.compute to bf16 or float"]
        return Finding("red", "The loss of one image became no finite number.", "not finite", fixes)
    good, slow = (TEXT_ONLY, 1.0) if _text_only(figures.links) else (LEARNS, SLOW)
    if share < good:
        how = "by its text" if _text_only(figures.links) else "by heart"
        return Finding("green", f"The adapter learns one image {how}: its loss falls to {percent(share)} of the start.")
    sentence = f"The loss of one image only falls to {percent(share)} of its start in {STEPS} steps."
    fixes = ["raise network.rank", "train more layers (network.conv_rank)"]
    if share < slow:
        return Finding("yellow", sentence, "", fixes)
    return Finding("red", sentence, "does not learn", ["look at the base model's rung first", *fixes])


def _pace_words(part: str, moved: float, run_steps: int) -> str:
    grade = _pace(part, moved, run_steps)
    words = {"rate too low": "too little", "rate too high": "too much", "": "usual"}[grade.link]
    whole = percent(moved * run_steps)
    return (
        f"Your rate moves the layers of the {part_name(part)} by {percent(moved)} per step: {words} (at most {whole} "
        f"over the {run_steps:,} steps)."
    )


def _pace(part: str, moved: float, run_steps: int) -> Finding:
    name, whole = part_name(part), moved * run_steps
    setting = "text_encoder_learning_rate" if part.startswith("te") else "learning_rate"
    if not math.isfinite(moved) or moved > WILD:
        sentence = f"Your learning rate moves the {name} by {percent(moved)} per step: too much."
        return Finding("red", sentence, "rate too high", [_lower(setting, moved)])
    if moved > STRONG:
        sentence = f"Your learning rate moves the {name} by {percent(moved)} per step: a lot."
        return Finding("yellow", sentence, "rate too high", [_lower(setting, moved)])
    if whole >= WEAK:
        return Finding("green", "")
    fixes = [f"raise optimizer.{setting}, about {_times(WEAK * 10, whole)}", "or train longer (training.length)"]
    if whole < USELESS:
        sentence = f"Your learning rate is effectively zero: all steps together move the {name} by {percent(whole)}."
        return Finding("red", sentence, "rate too low", fixes)
    sentence = f"Your learning rate is low: all steps together move the {name} by {percent(whole)} at most."
    return Finding("yellow", sentence, "rate too low", fixes)


def _lower(setting: str, moved: float) -> str:
    by = f", about {_times(moved, 0.01)}" if math.isfinite(moved) else ""
    return f"lower optimizer.{setting}{by}"


def _times(large: float, small: float) -> str:
    factor = large / small if small > 0 else math.inf
    return f"{factor:.2g} times" if factor < 1e6 else "a million times and more"


def few_images(figures: FewFigures, text: TextFigures, mode: str) -> Rung:
    """A few images by heart, and whether their captions matter. `mode`: captions.mode."""
    shares = [after / before for before, after in zip(figures.before, figures.after)]
    before, after = (sum(values) / len(values) for values in (figures.before, figures.after))
    numbers = {
        "images": float(len(shares)),
        "steps": float(figures.steps),
        "captions": float(figures.captions),
        "loss_before": before,
        "loss_after": after,
        "largest_share": max(shares),
        "answer_change_by_swapped_captions": text.answer,
        "conditioning_change_by_swapped_captions": text.conditioning,
    }
    details = [
        f"Mean loss {before:.3g} before, {after:.3g} after {figures.steps} steps; each image's must fall under "
        f"{percent(FALLS)} of its start, the slowest came to {percent(max(shares))}."
    ]
    if figures.rise is not None:
        numbers |= {"swap_rise_before": figures.rise[0], "swap_rise_after": figures.rise[1]}
        details.append(
            f"With each other's captions the loss is {percent(figures.rise[1])} higher ({percent(figures.rise[0])} "
            f"before training); {percent(LISTENS)} is asked for."
        )
    if figures.held_out is not None:
        numbers |= {"held_out_before": figures.held_out[0], "held_out_after": figures.held_out[1]}
        details.append(
            f"Held-out images: {figures.held_out[0]:.3g} before, {figures.held_out[1]:.3g} after. Rising is expected "
            "here, where a few images are learnt by heart."
        )
    else:
        details.append("A validation loss would rise here: a few images are learnt by heart, which is what is wanted.")
    findings = [_all_fall(figures, shares), _listens(figures, text, mode)]
    found = worst_of(findings if figures.rise is not None else findings[::-1])
    places = [float(place) for place in range(1, len(shares) + 1)]
    curves = [
        Curve("before", list(zip(places, figures.before)), 2, dots=True),
        Curve("after", list(zip(places, figures.after)), 1, dots=True),
    ]
    chart = Chart("Loss of each image", "image", curves)
    return Rung(2, NAMES[2], found.verdict, found.sentence, details, found.link, found.fixes, numbers, [chart])


def _all_fall(figures: FewFigures, shares: list[float]) -> Finding:
    count = len(shares)
    if not all(math.isfinite(share) for share in shares):
        return Finding(
            "red", "A loss became no finite number.", "not finite", ["set precision.compute to bf16 or float"]
        )
    late = [name for name, share in zip(figures.names, shares) if share > FALLS]
    if not late:
        return Finding("green", f"{'All ' if count > 1 else ''}{count} image{'s' * (count > 1)} learnt, text included.")
    sentence = f"The loss of {len(late)} of {count} images does not fall: {', '.join(late[:3])}."
    if len(late) > count / 2:
        return Finding("red", sentence, "does not learn", ["look at the rung of one image first"])
    return Finding("yellow", sentence, "", ["look at these images and their captions: are they what they should be?"])


def _listens(figures: FewFigures, text: TextFigures, mode: str) -> Finding:
    """Whether the text is used. Where nothing can be swapped that is said, and a fault only with caption files."""
    if figures.rise is None:
        if mode != "files" or text.images < 2:
            why = "one image" if text.images < 2 else f'captions.mode is "{mode}"'
            return Finding("green", f"The images are learnt; whether the text is used cannot be judged ({why}).")
        sentence = f"All {text.images} captions are the same: whether the text is used cannot be judged."
        fixes = ["write what differs into the caption files", 'or set captions.mode to "trigger word" if that is meant']
        return Finding("yellow", sentence, "same captions", fixes)
    if text.conditioning == 0:
        sentence = "The text is ignored: different captions are encoded to the same values."
        fixes = ["check the model's text encoder: its file may be empty or of another model"]
        return Finding("red", sentence, "text ignored", fixes)
    rise = figures.rise[1]
    if text.answer == 0 or not rise >= HEARS:
        sentence = f"The text is ignored: swapped captions change the loss by {percent(rise)}."
        fixes = ["check that the captions fit the images", "check that the model file is whole (model.path)"]
        return Finding("red", sentence, "text ignored", fixes)
    if rise < LISTENS:
        sentence = f"The text is hardly used: swapped captions raise the loss by {percent(rise)} only."
        return Finding("yellow", sentence, "text ignored", ["write captions that say what differs between the images"])
    return Finding("green", "")
