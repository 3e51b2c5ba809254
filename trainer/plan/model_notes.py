"""What people should know of how their settings and their base model fit together."""

from __future__ import annotations

from trainer.contract import catalog, families
from trainer.contract.families import Recognised
from trainer.contract.settings import Preset


def model_notes(preset: Preset, recognised: Recognised | None) -> list[str]:
    """Notes on a resolved preset with this base model; none where it is not known."""
    if recognised is None or not recognised.trained:
        return []
    family, found = families.of(recognised), []
    if preset.captions.clip_skip != 1 and not family.takes_clip_skip:
        found.append(f"CLIP skip has no effect on {family.name}: its text always leaves the last layer but one.")
    if preset.model.prediction == "auto" and family.both_predictions and recognised.header and not recognised.certain:
        found.append(
            f"The model does not say what it predicts; {recognised.prediction} is assumed. If the loss stays near 1, "
            "set model.prediction to the other."
        )
    row = catalog.find("samplers", str(preset.sampling.sampler))
    zero_snr = recognised.zero_snr if preset.model.zero_snr == "auto" else preset.model.zero_snr == "on"
    if zero_snr and isinstance(row, catalog.Sampler) and not row.zero_snr:
        found.append(
            f"The sampler {row.name} cannot begin at pure noise, as this model's zero terminal SNR needs: its sample "
            "pictures will be grey. ddim, euler and dpm++ 2m can."
        )
    return found
