"""The glossary's words of models, kinds of adapters and masks."""

from __future__ import annotations

from .entries import Term

MORE: tuple[Term, ...] = (
    Term(
        "Mask",
        "Which part of a picture is learnt: white or opaque counts in full, the rest as the weight outside says. It is "
        "scaled and cropped exactly like its image.",
        ("dataset.masks", "dataset.mask_outside", "dataset.mask_normalise"),
        "masked loss alpha",
    ),
    Term(
        "SDXL",
        "A larger model than SD 1.x, with two text encoders, that is also told each picture's size and crop. Pony, "
        "Illustrious and NoobAI are of this family; a LoRA works best on the branch that it was trained on.",
        ("model.family", "dataset.resolution", "network.text_encoder"),
        "xl pony illustrious noobai",
    ),
    Term(
        "Epsilon and v-prediction",
        "What a model was trained to predict: the noise (epsilon), or the velocity (v), a mixture of noise and "
        "picture. It is read from the model where that says so. The wrong one trains towards the wrong target.",
        ("model.prediction",),
        "vpred v_pred v-prediction eps parameterization",
    ),
    Term(
        "Zero terminal SNR",
        "The last step of the noising is pure noise, nothing of the picture shines through. Models that were trained "
        "so can draw very dark and very bright pictures. It belongs to v-prediction.",
        ("model.zero_snr", "model.prediction"),
        "ztsnr zero_terminal_snr noobai",
    ),
    Term(
        "Min-SNR",
        "Holds back the nearly clean timesteps, which would otherwise outweigh the noisy ones. It often learns a "
        "little faster; losses with and without it cannot be compared.",
        ("noise.min_snr_gamma",),
        "gamma snr weighting",
    ),
    Term(
        "DoRA",
        "A LoRA that learns the direction and the size of each layer's weights apart: closer to full training at low "
        "ranks, for more time a step and more memory.",
        ("network.dora",),
        "weight decomposed dora_wd",
    ),
    Term(
        "Block weights",
        "Ranks, alphas and learning rates for each block of the U-Net, from its input to its output, in sd-scripts' "
        "order. A block of rank 0 or rate 0 is not trained and not in the file.",
        ("network.block_ranks", "network.block_alphas", "network.down_rates", "network.up_rates"),
        "lbw block_dims down_lr_weight up_lr_weight layers",
    ),
    Term(
        "Moving average (EMA)",
        "A running average of the LoRA's values over the last steps, which evens out late noise. Samples and files are "
        "made with it while it is on.",
        ("network.ema",),
        "ema averaging",
    ),
)
