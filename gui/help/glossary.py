"""The glossary. Numbers stand here only as the settings' own help texts give them (a test compares)."""

from __future__ import annotations

from .entries import Term
from .glossary_more import MORE

TERMS: tuple[Term, ...] = (
    Term(
        "LoRA",
        "A small file that changes what a base model draws: a low-rank update that is added to some of its layers. "
        "The base model itself stays as it is.",
        ("network.type",),
        "adapter locon low-rank",
    ),
    Term(
        "Base model (checkpoint)",
        "The model that the LoRA is trained on. A LoRA works on that model and its close relatives, never across "
        "families.",
        ("model.path",),
        "family",
    ),
    Term(
        "Adapter file",
        "What training gives you: the LoRA as a .safetensors file. Those saved in between let you choose the one "
        "that looks best; the last one is not always that.",
        ("saving.every",),
        "checkpoint epoch file",
    ),
    Term(
        "Full state",
        "Everything that is needed to go on exactly where a run ended: adapter, the optimizer's memory, progress. "
        "It is no LoRA and no generator reads it.",
        ("saving.state_every",),
        "checkpoint resume",
    ),
    Term(
        "Scheduler",
        "Multiplies the learning rate over the run: constant, straight down, or slow, fast, slow. At the same peak "
        "linear and cosine do half of the learning of constant. The end of a decay always looks converged; that is "
        "not evidence.",
        ("schedule.name", "schedule.minimum"),
        "learning rate schedule cosine linear constant",
    ),
    Term(
        "Optimizer",
        "How gradients become updates. AdamW is the safe default; changing it changes which learning rates are usual.",
        ("optimizer.name",),
    ),
    Term(
        "Adam",
        "Divides each weight's step by the recent size of its gradient. The learning rate that you set stays as it "
        "is: Adam scales the steps, it does not choose the rate. Its rates are far smaller than those of SGD, "
        "because each step is already scaled.",
        ("optimizer.name", "optimizer.learning_rate"),
    ),
    Term(
        "AdamW",
        "Adam with a weight decay that acts apart from the gradient. The default, and what most advice on rates is "
        "about.",
        ("optimizer.name", "optimizer.weight_decay"),
    ),
    Term(
        "AdamW8bit",
        "AdamW whose two running averages are kept in 8 bits. For a LoRA these are small, so it saves little "
        "memory; the loss of quality is small too, and on fast cards it can be slower.",
        ("optimizer.name",),
        "bitsandbytes 8bit",
    ),
    Term(
        "SGD",
        "Takes the gradient as it is, with no scaling for each weight. A LoRA then needs a far larger rate, and "
        "there is no agreed one: for learning and comparison, not for a first LoRA.",
        ("optimizer.name",),
        "stochastic gradient descent",
    ),
    Term(
        "Adagrad",
        "Its steps only ever shrink, since it sums all past gradients: it starts high and later stands still. "
        "Rarely used for a LoRA.",
        ("optimizer.name",),
    ),
    Term(
        "Lion",
        "Takes only the direction of an averaged gradient, so each weight moves by the same amount. It wants a "
        "rate 3-10 times less than AdamW's.",
        ("optimizer.name", "optimizer.learning_rate"),
    ),
    Term(
        "Prodigy",
        "Estimates the rate by itself; its learning rate is a multiplier and stays at 1. Leave the warmup at 0.",
        ("optimizer.name", "optimizer.learning_rate", "schedule.warmup"),
        "d-adaptation dadapt",
    ),
    Term(
        "Learning rate",
        "How far each step moves the LoRA. Too low shows as samples that stay like the base model; too high as "
        "burnt colours, garbled detail or a loss that jumps. The training loss of a diffusion model is mostly "
        "noise: judge by validation and samples.",
        ("optimizer.learning_rate", "optimizer.text_encoder_learning_rate"),
        "lr rate",
    ),
    Term(
        "LR warmup",
        "The share of the steps, in percent, in which the rate climbs from zero while the optimizer's averages are "
        "still guesses. 0-10 is usual. It is part of the length, not added to it.",
        ("schedule.warmup",),
        "warmup percent",
    ),
    Term(
        "Weight decay",
        "Pulls the LoRA towards having no effect, by very little in a usual run. It will not rescue an overfitted "
        "LoRA; fewer steps will.",
        ("optimizer.weight_decay",),
        "regularisation regularization",
    ),
    Term(
        "Overfitting",
        "The LoRA repeats its training pictures: the same poses, backgrounds and flaws, whatever the prompt says. "
        "The loss of held-out images rises while the training loss still falls. Earlier files, fewer steps or more "
        "varied images cure it.",
        ("training.length", "validation.stop", "network.rank", "dataset.folders"),
        "overtrained over-trained memorising",
    ),
    Term(
        "Underfitting",
        "The LoRA has not learnt enough: samples stay like the base model. More steps, or a higher learning rate "
        "if nothing changes at all.",
        ("training.length", "optimizer.learning_rate"),
        "undertrained",
    ),
    Term(
        "Early stopping",
        "Tells, or ends the run, when the loss of the held-out images has not fallen for several checks in a row. "
        "It only chooses where to stop. With few images the curve is coarse, and its minimum often comes before "
        "the likeness that you want: let it report first.",
        ("validation.stop", "validation.patience"),
        "patience",
    ),
    Term(
        "Validation loss",
        "The loss of the held-out images, measured with the same noise each time, so that two checks can be "
        "compared. The lowest one is called the lowest, not the best: the samples decide.",
        ("validation.every", "validation.timesteps"),
        "val loss eval",
    ),
    Term(
        "Held out",
        "Images that are never trained on, only measured. Near-duplicates stay on one side, or the measure would "
        "be of what was learnt by heart.",
        ("validation.split", "validation.folder"),
        "holdout validation split",
    ),
    Term(
        "Step",
        "One update of the LoRA. Everything that counts in this program counts steps, also over a resume.",
        ("training.length",),
        "iteration",
    ),
    Term(
        "Epoch",
        "Every image once, times its repeats. Steps per epoch are the batches of all buckets, divided by "
        "accumulation and GPUs: the plan shows the number. Steps and epochs are two measures of one length, not "
        "two settings.",
        ("training.length", "dataset.folders"),
    ),
    Term(
        "Look",
        "One showing of one image. Looks per image, beside the plan, say how often each was seen in the whole run: "
        "40-100 suit a subject.",
        ("training.length",),
        "looks per image",
    ),
    Term(
        "Repeats",
        "How often each image of a folder is shown in one epoch. It balances folders against each other; with one "
        "folder it only makes the epoch longer.",
        ("dataset.folders",),
        "num_repeats",
    ),
    Term(
        "Network rank",
        "The width of the update. File size, the detail it can hold and the danger of overfitting grow with it. "
        "4-16 for a character or object, 16-32 for a style. It does not make the LoRA stronger.",
        ("network.rank", "network.conv_rank"),
        "dim dimension network_dim",
    ),
    Term(
        "Network alpha",
        "The update is multiplied by alpha / rank. It is no regularisation, adds no penalty and changes no "
        "parameter count; under Adam halving it acts much like halving the learning rate.",
        ("network.alpha",),
        "network_alpha scale",
    ),
    Term(
        "Gradient accumulation",
        "Averages the gradients of several passes before one update: a larger batch at the memory of a small one, "
        "for as many times the time. It is no more accurate than a real batch of that size.",
        ("training.accumulate",),
    ),
    Term(
        "Batch size",
        "Images per pass. Larger is steadier and faster per image and needs memory in proportion. A batch comes "
        "from one bucket.",
        ("training.batch_size",),
    ),
    Term(
        "Shuffle caption",
        "Mixes the order of comma-separated tags at each look, after those that are kept in front, so that order "
        "carries no meaning. For tags; it would cut sentences at their commas. Captions then cannot be encoded "
        "just once.",
        ("captions.shuffle", "captions.keep_tokens"),
    ),
    Term(
        "Training without captions",
        "The model always gets a text: here the same one for all images, or an empty one. All that the pictures share, "
        "background included, is tied to it. Fine for a style or one subject, but parts cannot be prompted away.",
        ("captions.mode",),
        "captionless no captions",
    ),
    Term(
        "Trigger word",
        "A word that is put first in every caption. In a prompt it calls up what was trained. Choose one that the "
        "model does not know yet.",
        ("captions.trigger",),
        "activation token instance token",
    ),
    Term(
        "Caption",
        "The text that goes with an image. Describe what should stay changeable; what all images share and no "
        "caption names is tied to the trigger word.",
        ("captions.mode", "captions.dropout"),
    ),
    Term(
        "Token",
        "A piece of text as the text encoder reads it: a word, or a part of one. What lies beyond the limit is cut "
        "off.",
        ("captions.max_tokens",),
    ),
    Term(
        "float",
        "32-bit numbers. The trained LoRA is always kept so; computing the whole model so takes twice the memory "
        "of fp16 or bf16. For the CPU, for proofs, and for cards that give NaN.",
        ("precision.compute", "precision.base"),
        "fp32 float32 full precision",
    ),
    Term(
        "fp16",
        "16-bit numbers of small range: half the memory of float. What overflows is caught, skipped and counted. "
        "For cards without bf16.",
        ("precision.compute", "precision.save"),
        "half mixed precision",
    ),
    Term(
        "bf16",
        "16-bit numbers with the range of float and fewer digits, as fast as fp16 and without its overflows. For "
        "RTX 30xx and newer.",
        ("precision.compute",),
        "bfloat16 mixed precision",
    ),
    Term(
        "Bucket",
        "A training size for images of about one shape. Each image is scaled to the nearest and cropped a little, "
        "so that pictures of all shapes can be trained on.",
        ("dataset.buckets", "dataset.bucket_step", "dataset.resolution"),
        "aspect ratio",
    ),
    Term(
        "Latent",
        "An image as the VAE encodes it: smaller than its pixels, and what the model really learns on. Encoded "
        "once and kept, where nothing about the picture changes at each look.",
        ("memory.cache_latents",),
        "cache",
    ),
    Term(
        "VAE",
        "Turns images into latents and back. It is never trained.",
        ("model.vae", "memory.vae_batch_size"),
        "autoencoder",
    ),
    Term(
        "Text encoder",
        "Turns captions into what the U-Net reads. Frozen unless you train it: that can tie a trigger word faster, "
        "but spoils how other words are understood sooner.",
        ("network.text_encoder", "captions.clip_skip"),
        "clip te",
    ),
    Term(
        "U-Net",
        "The part of the model that draws, by taking noise away step by step. It is what a LoRA changes first.",
        ("network.unet",),
        "unet dit transformer",
    ),
    Term(
        "Timestep",
        "How much noise lies over a latent while it is trained on, from nearly none to nothing but noise. Each "
        "look draws one, which is why the training loss jumps.",
        ("noise.min_snr_gamma", "validation.timesteps"),
        "noise level snr",
    ),
    Term(
        "Loss",
        "The distance between what the model predicts and the target. Its height depends on the noise level drawn, "
        "so single values say little: look at the smoothed curve and at validation.",
        ("noise.loss",),
    ),
    Term(
        "Gradient checkpointing",
        "Computes activations again instead of keeping them: much less memory for a third to a half more time per "
        "step. The result is the same.",
        ("memory.gradient_checkpointing",),
        "vram memory",
    ),
    Term(
        "Gradient clipping",
        "Scales an unusually large gradient down, so that one odd batch cannot throw the LoRA off.",
        ("optimizer.max_grad_norm",),
        "max_grad_norm",
    ),
    Term(
        "Seed",
        "The start of every random draw. Another seed shows how much of a result is luck.",
        ("training.seed", "sampling.seed"),
    ),
    Term(
        "Guidance (CFG)",
        "How strongly a picture follows its prompt against the negative prompt. It matters for samples only, not for "
        "training.",
        ("sampling.guidance",),
        "cfg scale",
    ),
    Term(
        "Regularisation images",
        "Pictures of the same class without your subject (other people, other dogs), shown in between to keep the "
        "class as it was. A folder is marked as such in its row. The trigger word is left out of their captions; they "
        "are shown as often as their repeats say, and are never held out.",
        ("dataset.folders", "dataset.regularisation_weight"),
        "reg images prior preservation class images",
    ),
    Term(
        "Style bleeding",
        "What was learnt shows in pictures whose prompt does not ask for it. Keep a sample prompt without the "
        "trigger word: if it changes, the LoRA bleeds.",
        ("sampling.prompts", "captions.trigger", "training.length"),
        "leak bleed",
    ),
    Term(
        "Preflight",
        "A ladder of short checks on your own settings and images before a run: does it fit, does it learn one "
        "sample by heart, how long will it take. Its button stands beside Start.",
        (),
        "overfit one sample sanity check",
    ),
    *MORE,
)
