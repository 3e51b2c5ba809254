"""The loss and the noise."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Needs, Section, Setting

_HUBER = Needs("noise.loss", ("huber", "smooth_l1"), "only for huber and smooth_l1")
_OFFSET = Needs("noise.noise_offset", unless=(0,), why="noise offset is 0")
_LOGIT = Needs("noise.timesteps", ("logit normal",), "timesteps are not drawn from a logit normal")


class Noise(Section):
    loss: Annotated[str, Setting("Loss", kohya="loss_type", tier="expert", choices="losses")] = "l2"
    """How the distance between prediction and target is counted. l2 (squared error) is what the models were trained
    with; l1, huber and smooth_l1 give less weight to large errors, so that odd images or captions spoil less."""

    huber_c: Annotated[
        float,
        Field(gt=0, le=10),
        Setting(
            "Huber threshold",
            kohya="huber_c",
            tier="expert",
            needs=_HUBER,
        ),
    ] = 0.1
    """Where huber and smooth_l1 change from squared to absolute error. Smaller is closer to l1."""

    huber_schedule: Annotated[
        Literal["constant", "exponential", "snr"],
        Setting("Huber schedule", kohya="huber_schedule", tier="expert", needs=_HUBER),
    ] = "constant"
    """How the threshold depends on the noise: the same everywhere, falling from 1 to the value above as the noise grows
    (exponential), or following the signal-to-noise ratio (snr, what sd-scripts does unless told otherwise)."""

    huber_scale: Annotated[
        float, Field(gt=0, le=100), Setting("Huber scale", kohya="huber_scale", tier="expert", needs=_HUBER)
    ] = 1.0
    """Multiplies the threshold of the constant and exponential schedules."""

    min_snr_gamma: Annotated[
        float, Field(ge=0, le=100), Setting("Min-SNR gamma", kohya="min_snr_gamma", tier="advanced")
    ] = 0.0
    """Limits the weight of nearly clean timesteps to gamma / SNR, which evens out the pull of the timesteps and often
    learns a little faster (arXiv 2303.09556). 5 is usual; 0 is off. Losses with and without it cannot be compared."""

    noise_offset: Annotated[
        float, Field(ge=0, le=1), Setting("Noise offset", kohya="noise_offset", tier="advanced")
    ] = 0.0
    """Adds a constant of its own to the noise of each channel, so that the LoRA can learn very dark and very bright
    pictures. 0.03-0.1 if you need those; 0 is off. It shifts the brightness of everything."""

    noise_offset_random: Annotated[
        bool, Setting("Noise offset at random", kohya="noise_offset_random_strength", tier="expert", needs=_OFFSET)
    ] = False
    """Draws the offset's strength for each look between 0 and the value above, instead of always the whole."""

    adaptive_noise_scale: Annotated[
        float,
        Field(ge=-1, le=1),
        Setting("Adaptive noise scale", kohya="adaptive_noise_scale", tier="expert", needs=_OFFSET),
    ] = 0.0
    """Adds this times the mean brightness of each latent channel to the noise offset, so that pictures far from grey
    get more of it. 0 is off."""

    multires_iterations: Annotated[
        int, Field(ge=0, le=16), Setting("Multi-resolution noise", kohya="multires_noise_iterations", tier="expert")
    ] = 0
    """Number of coarser layers of noise that are added to the noise, which is then brought back to its usual strength:
    another way to learn dark and bright pictures. 6-10 where it is used; 0 is off. Not together with noise offset."""

    multires_discount: Annotated[
        float,
        Field(gt=0, le=1),
        Setting(
            "Multi-resolution discount",
            kohya="multires_noise_discount",
            tier="expert",
            needs=Needs("noise.multires_iterations", unless=(0,), why="multi-resolution noise is off"),
        ),
    ] = 0.3
    """Strength of each coarser layer compared with the one before. 0.1-0.3 is usual."""

    perturbation: Annotated[
        float, Field(ge=0, le=1), Setting("Input perturbation", kohya="ip_noise_gamma", tier="expert")
    ] = 0.0
    """Adds a second draw of noise of this strength to what the model sees, not to what it should answer (arXiv
    2301.11706). 0.1 is what the paper uses; 0 is off."""

    perturbation_random: Annotated[
        bool,
        Setting(
            "Input perturbation at random",
            kohya="ip_noise_gamma_random_strength",
            tier="expert",
            needs=Needs("noise.perturbation", unless=(0,), why="input perturbation is 0"),
        ),
    ] = False
    """Draws the perturbation's strength for each look between 0 and the value above."""

    debiased: Annotated[bool, Setting("Debiased estimation", kohya="debiased_estimation_loss", tier="expert")] = False
    """Divides the loss by the square root of the signal-to-noise ratio (by the ratio + 1 for v prediction), which gives
    noisy timesteps more weight (arXiv 2310.08442). Not together with min-SNR."""

    scale_v_like_noise: Annotated[
        bool, Setting("Scale v loss like noise", kohya="scale_v_pred_loss_like_noise_pred", tier="expert")
    ] = False
    """Multiplies the loss of v prediction by SNR / (SNR + 1), which weighs the timesteps as noise prediction would.
    Only for models that predict v."""

    v_like: Annotated[float, Field(ge=0, le=10), Setting("V-like loss", kohya="v_pred_like_loss", tier="expert")] = 0.0
    """Adds this times the loss weighed as v prediction would to the loss of noise prediction. Only for models that
    predict the noise; 0 is off."""

    timestep_min: Annotated[
        int, Field(ge=0, le=999), Setting("Lowest timestep", kohya="min_timestep", tier="expert")
    ] = 0
    """Timesteps below this are not trained. Low ones are fine detail, high ones composition."""

    timestep_max: Annotated[
        int, Field(ge=1, le=1000), Setting("Highest timestep", kohya="max_timestep", tier="expert")
    ] = 1000
    """Timesteps from this on are not trained: 1000 trains all of 0-999."""

    timesteps: Annotated[
        Literal["uniform", "logit normal", "mode", "cosmap"],
        Setting("Distribution of timesteps", kohya="weighting_scheme", tier="expert"),
    ] = "uniform"
    """Which timesteps are drawn more often: all alike, as SD and SDXL were trained, or one of the three shapes of arXiv
    2403.03206 that prefer the middle. The curve beside it shows what the settings give."""

    timestep_mean: Annotated[
        float, Field(ge=-5, le=5), Setting("Mean of the logit", kohya="logit_mean", tier="expert", needs=_LOGIT)
    ] = 0.0
    """Above 0 the noisier timesteps come more often, below 0 the cleaner ones."""

    timestep_spread: Annotated[
        float, Field(gt=0, le=10), Setting("Spread of the logit", kohya="logit_std", tier="expert", needs=_LOGIT)
    ] = 1.0
    """Small values keep to the middle, large ones go to both ends."""

    timestep_mode: Annotated[
        float,
        Field(ge=-1, le=1.75),
        Setting(
            "Mode scale",
            kohya="mode_scale",
            tier="expert",
            needs=Needs("noise.timesteps", ("mode",), "timesteps are not drawn by mode"),
        ),
    ] = 1.29
    """How strongly the middle is preferred; negative values prefer both ends."""
