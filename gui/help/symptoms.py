"""What to change, by what is seen. The first advice of each is the one to try first; change one thing at a time."""

from __future__ import annotations

from .entries import Advice, Topic

SYMPTOMS: tuple[Topic, ...] = (
    Topic(
        "It is over-trained: the same poses, backgrounds and flaws in every picture",
        (
            Advice("Take an earlier file of the same run: the samples by step show where it turned.", (), "Runs"),
            Advice("Train for fewer steps, not with fewer repeats.", ("training.length",)),
            Advice("Add other pictures: other places, light, clothes. Variety beats number.", ("dataset.folders",)),
            Advice("Let the check of the images look for near-duplicates.", (), "Dataset"),
            Advice("Describe in the captions what should stay changeable.", ("captions.mode",)),
            Advice("Lower the rank, then the learning rate.", ("network.rank", "optimizer.learning_rate")),
        ),
    ),
    Topic(
        "Nothing was learnt: the samples stay like the base model",
        (
            Advice("Run the Preflight: it must be able to learn one sample by heart.", (), "Train"),
            Advice(
                "Put the trigger word into the prompt, and use the base model that was trained on.",
                ("captions.trigger", "model.path"),
            ),
            Advice("Compare the learning rate with what is usual for the optimizer.", ("optimizer.learning_rate",)),
            Advice("Look at the looks per image in the plan, and train for longer.", ("training.length",)),
            Advice("An alpha far below the rank makes every step small.", ("network.alpha",)),
            Advice("A loss that stays near 1 means a wrong prediction type.", ("model.prediction",)),
        ),
    ),
    Topic(
        "The style bleeds into pictures that do not ask for it",
        (
            Advice("Set a trigger word that the model does not know yet.", ("captions.trigger",)),
            Advice("Caption the pictures, so that what is not your subject has words of its own.", ("captions.mode",)),
            Advice(
                "Train for fewer steps, and leave the text encoder frozen.", ("training.length", "network.text_encoder")
            ),
            Advice("Turn caption dropout off: it teaches the style without its trigger word.", ("captions.dropout",)),
            Advice("Add a folder of ordinary pictures of the class, marked as regularisation.", ("dataset.folders",)),
        ),
    ),
    Topic(
        "Burnt colours, hard contrast, broken anatomy",
        (
            Advice("Lower the learning rate, or take an earlier file.", ("optimizer.learning_rate",)),
            Advice(
                "Lower the strength of the LoRA in the generator: if that cures it, it was trained too strongly.",
                (),
                "Try",
            ),
            Advice("An alpha above the rank multiplies every step.", ("network.alpha",)),
            Advice("Turn the noise offset and colour jitter off.", ("noise.noise_offset", "dataset.jitter")),
            Advice("Draw the samples with the guidance that your model wants.", ("sampling.guidance",)),
        ),
    ),
    Topic(
        "Out of memory",
        (
            Advice("Turn gradient checkpointing on: the result is the same.", ("memory.gradient_checkpointing",)),
            Advice("Keep latents and captions cached.", ("memory.cache_latents", "memory.cache_text")),
            Advice("Compute in bf16 or fp16 instead of float.", ("precision.compute",)),
            Advice(
                "Halve the batch size and double the accumulation: nearly the same result, somewhat slower.",
                ("training.batch_size", "training.accumulate"),
            ),
            Advice("Lower the resolution: work and memory grow with the area.", ("dataset.resolution",)),
            Advice("Close other programs that use the card; samples need the VAE on it.", ("sampling.every",)),
            Advice("The Preflight finds this before the run does.", (), "Train"),
        ),
    ),
    Topic(
        "The loss is NaN",
        (
            Advice("Use bf16 where the card has it, else float: fp16 can overflow.", ("precision.compute",)),
            Advice(
                "Lower the learning rate, and leave gradient clipping on.",
                ("optimizer.learning_rate", "optimizer.max_grad_norm"),
            ),
            Advice("Warm up for a few percent of the steps.", ("schedule.warmup",)),
            Advice("Look for broken pictures.", (), "Dataset"),
        ),
    ),
    Topic(
        "It is slow",
        (
            Advice("Read where the time goes on the run's page: it names the setting to change.", (), "Runs"),
            Advice(
                "Keep latents and captions cached; random crops, rotation and jitter prevent it.",
                ("memory.cache_latents", "memory.cache_text", "dataset.crop"),
            ),
            Advice("Turn gradient checkpointing off if the memory suffices.", ("memory.gradient_checkpointing",)),
            Advice("Compute in bf16 or fp16.", ("precision.compute",)),
            Advice("Draw fewer samples, and check less often.", ("sampling.every", "validation.budget")),
            Advice("Use a larger batch, and fewer shapes of buckets.", ("training.batch_size", "dataset.bucket_step")),
        ),
    ),
    Topic(
        "The samples are good, but ComfyUI or A1111 draws something else",
        (
            Advice("Use the same base model, trigger word and strength 1.", ("model.path", "captions.trigger")),
            Advice(
                "Use the same sampler, steps, guidance and size: each sample tells how to draw it elsewhere.",
                ("sampling.sampler", "sampling.steps", "sampling.guidance"),
                "Runs",
            ),
            Advice("Set the same CLIP skip there.", ("captions.clip_skip",)),
            Advice("Check that the generator uses the same VAE.", ("model.vae",)),
            Advice("Draw with the adapter beside the base model here, to see which side differs.", (), "Try"),
        ),
    ),
    Topic(
        "Training loss falls, validation loss rises",
        (
            Advice("That is overfitting: look at the samples near the lowest validation loss.", (), "Runs"),
            Advice("With few held-out images the curve is a rough guess; hold out more.", ("validation.split",)),
            Advice("Check that no held-out image is a near-duplicate of a training image.", (), "Dataset"),
            Advice(
                "Train for fewer steps, or let early stopping keep the lowest.", ("training.length", "validation.stop")
            ),
        ),
    ),
)
