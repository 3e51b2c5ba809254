"""How to go about a LoRA: the recipe for training networks (A. Karpathy, 2019), each step with its place here, and
notes on fancy options: a plain baseline first."""

from __future__ import annotations

from .entries import Advice, Topic

RECIPE: tuple[Topic, ...] = (
    Topic(
        "1. Look at your images first",
        (
            Advice("Check them for doubles, blurred and broken ones, and read the captions.", (), "Dataset"),
            Advice("See in the plan which are held out, and in which buckets they are.", (), "Train"),
        ),
        "Most LoRAs that fail do so because of their pictures, not because of a setting.",
    ),
    Topic(
        "2. Start simple",
        (
            Advice(
                "Load a shipped preset, or the defaults, and change only model, images and trigger word.", (), "Presets"
            ),
            Advice(
                "AdamW, a small rank, text encoder frozen, no augmentation.",
                ("optimizer.name", "network.rank", "network.text_encoder"),
            ),
            Advice("Fix the seed, so that only what you change changes the result.", ("training.seed",)),
        ),
        "A plain run that works is what every later idea is compared with.",
    ),
    Topic(
        "3. Overfit one sample",
        (
            Advice(
                "Preflight does it for you: if one image cannot be learnt by heart, something is broken.", (), "Train"
            ),
        ),
        "A network that cannot learn one picture will not learn thirty.",
    ),
    Topic(
        "4. Log both losses",
        (
            Advice(
                "Hold some images out, and read training and validation loss in one chart.",
                ("validation.split", "validation.every"),
            ),
            Advice(
                "Draw samples with fixed seeds, one of them without the trigger word.",
                ("sampling.prompts", "sampling.seed"),
            ),
        ),
        "The training loss alone falls also where a LoRA only learns by heart.",
    ),
    Topic(
        "5. Overfit, then hold back",
        (
            Advice("First train long enough that it learns at all.", ("training.length", "optimizer.learning_rate")),
            Advice(
                "Then add images, choose an earlier file, lower the rank or shorten the run.",
                ("saving.every", "network.rank", "dataset.folders"),
            ),
        ),
        "More and more varied pictures are the best cure for overfitting; every other one is weaker.",
    ),
    Topic(
        "6. Change one thing at a time",
        (
            Advice("Clone a run, change one setting, and compare curves and samples.", (), "Compare"),
            Advice("Try another seed before you believe a small difference.", ("training.seed",)),
        ),
        "Two changes at once teach nothing about either.",
    ),
    Topic(
        "What the recipe means for diffusion",
        (
            Advice(
                "The loss depends on the noise level that was drawn: read it smoothed, and by timestep.",
                ("validation.timesteps",),
            ),
            Advice(
                "A lower loss is no better picture. Likeness, freedom of pose and taste are judged by eye.",
                ("sampling.prompts",),
            ),
            Advice(
                "The lowest validation loss often comes before the likeness that you want: keep several files.",
                ("validation.stop", "saving.every"),
            ),
            Advice(
                "Compare samples with the same seeds, sampler and guidance only.",
                ("sampling.seed", "sampling.sampler", "sampling.guidance"),
            ),
        ),
        "The recipe was written for networks that classify. A generative model has no right answer to count, so "
        "its loss says less.",
    ),
)

BASELINE: tuple[Topic, ...] = (
    Topic(
        "Prodigy and other optimizers without a rate",
        (Advice("Have a run with AdamW first: then you know what they have to beat.", ("optimizer.name",)),),
    ),
    Topic(
        "Min-SNR gamma",
        (
            Advice(
                "It often learns a little faster, but losses with and without it cannot be compared.",
                ("noise.min_snr_gamma",),
            ),
        ),
    ),
    Topic(
        "Noise offset",
        (
            Advice(
                "Only if you need very dark or very bright pictures: it shifts the brightness of everything.",
                ("noise.noise_offset",),
            ),
        ),
    ),
    Topic(
        "Convolution rank",
        (Advice("Where texture or small shapes are the point; it makes the file larger.", ("network.conv_rank",)),),
    ),
    Topic(
        "Training the text encoder",
        (Advice("Many LoRAs do without. It spoils how other words are understood sooner.", ("network.text_encoder",)),),
    ),
    Topic("High rank", (Advice("It mostly buys file size and overfitting on few images.", ("network.rank",)),)),
    Topic(
        "Flip, crop, rotation, jitter",
        (
            Advice(
                "Each teaches what it does: mirrored letters, cut heads, tilted horizons, wrong colours.",
                ("dataset.flip", "dataset.crop", "dataset.rotate", "dataset.jitter"),
            ),
        ),
    ),
    Topic(
        "Ranks and rates of single blocks and layers",
        (
            Advice(
                "What a block holds differs from model to model: first have a run with all of them alike.",
                ("network.block_ranks", "network.layers"),
            ),
        ),
    ),
    Topic(
        "DoRA and the LyCORIS types",
        (Advice("More time a step; a plain LoRA is what they have to beat.", ("network.dora", "network.type")),),
    ),
    Topic(
        "Timesteps that are drawn unevenly",
        (
            Advice(
                "The models were trained with all alike. Look at the curve, and compare samples rather than losses.",
                ("noise.timesteps", "noise.timestep_min"),
            ),
        ),
    ),
    Topic(
        "Restarts",
        (
            Advice(
                "The rate jumps back to its peak, and what was settled moves again. Plain cosine first.",
                ("schedule.restarts",),
            ),
        ),
    ),
    Topic(
        "Huber and l1 losses",
        (Advice("They give odd images less weight. Removing those images is better.", ("noise.loss",)),),
    ),
    Topic(
        "Network dropout, tag dropout, caption dropout",
        (
            Advice(
                "Brakes for a LoRA that overfits: first see whether it does.",
                ("network.dropout", "captions.tag_dropout", "captions.dropout"),
            ),
        ),
    ),
)
