"""Which images, at which size, changed how."""

from typing import Annotated, Literal

from pydantic import Field

from .base import ByFamily, FromFolder, Needs, PathText, Section, Setting

_MASKS = Needs("dataset.masks", unless=("none",), why="no masks are used")
_BUCKETS = Needs("dataset.buckets", (True,), "aspect-ratio buckets are off")


class Folder(Section):
    """One `[[dataset.folders]]` row."""

    path: Annotated[PathText, Setting("Folder", kohya="train_data_dir", tier="basic", widget="path")] = ""
    """A folder of pictures (png, jpg, jpeg, webp, bmp, avif, heic), never changed by us. A parent of Kohya's `10_name`
    folders is understood too."""

    repeats: Annotated[
        int | FromFolder, Field(ge=1, le=10000), Setting("Repeats", kohya="num_repeats", tier="advanced")
    ] = FromFolder()
    """How often each image of the folder is shown in one epoch. It balances folders against each other; with one folder
    it only makes the epoch longer. Empty: the number before the first _ of the folder's name, else 1."""

    trigger: Annotated[str, Setting("Trigger word of this folder", kohya="class_tokens", tier="advanced")] = ""
    """Trigger word for this folder alone. Empty: the one of the captions section; for regularisation images none."""

    weight: Annotated[float, Field(gt=0, le=1000), Setting("Weight", tier="expert")] = 1.0
    """This folder's part of an epoch compared with that of others, where folders are balanced by weights: 2 beside 1
    gets two thirds of the looks, however many images it has."""

    regularisation: Annotated[bool, Setting("Regularisation images", kohya="reg_data_dir, is_reg", tier="advanced")] = (
        False
    )
    """Ordinary pictures of the same class (other people, other dogs), shown as often as their repeats say, so that the
    model does not forget what the class looks like. The trigger word is left out of their captions, but for one that
    their row has itself, such as the name of the class; they are never held out."""

    mask: Annotated[PathText, Setting("Masks", kohya="conditioning_data_dir", tier="advanced", widget="path")] = ""
    """A folder of masks with the images' names and shapes, of any size: white is learnt, black counts as the weight
    outside says. An image without one is learnt whole. Used where the dataset's masks come from folders."""


class Dataset(Section):
    folders: Annotated[list[Folder], Setting("Images", kohya="train_data_dir", tier="basic", widget="rows")] = []
    """The folders of pictures to learn from, a row each. 15-40 varied ones do for a person, pet or object, 50-200 for a
    style; variety beats number."""

    balance: Annotated[Literal["repeats", "weights"], Setting("Balance folders by", tier="expert")] = "repeats"
    """How folders share an epoch: each image as often as its folder's repeats say, or an epoch of as many looks as
    there are images times repeats in all, drawn from the folders in proportion to their weights. Within a folder all
    images are then shown alike: after any number of epochs two of them differ by one look at most."""

    regularisation_weight: Annotated[
        float, Field(ge=0, le=10), Setting("Weight of regularisation images", kohya="prior_loss_weight", tier="expert")
    ] = 1.0
    """Factor on the loss of regularisation images. 1 counts them like the others."""

    masks: Annotated[
        Literal["none", "alpha", "folders"], Setting("Masks", kohya="masked_loss, alpha_mask", tier="advanced")
    ] = "none"
    """Which part of a picture is learnt: all of it, what its alpha channel leaves opaque, or what the masks in each
    folder's mask folder leave white. A mask is scaled and cropped exactly like its image; one that is black all over is
    refused where the rest counts 0. Validation measures whole pictures."""

    mask_outside: Annotated[
        float, Field(ge=0, le=1), Setting("Weight outside the mask", tier="advanced", needs=_MASKS)
    ] = 0.0
    """How much the rest of the picture counts. 0 ignores it, so that anything may appear there; 0.1-0.3 keeps
    backgrounds sane."""

    mask_normalise: Annotated[Literal["none", "area"], Setting("Normalise by mask", tier="expert", needs=_MASKS)] = (
        "none"
    )
    """Whether the loss of a picture is divided by the share of it that counts, so that small subjects teach as much as
    large ones (area), or not, as sd-scripts does (none)."""

    resolution: Annotated[
        int | ByFamily,
        Field(ge=64, le=4096),
        Setting("Resolution", kohya="resolution", tier="basic", unit="px"),
    ] = ByFamily()
    """Side of the square whose area a training image gets; each keeps its shape and is cropped a little to the nearest
    bucket, smaller ones are enlarged. Use the model's own size: 512 for SD 1.x, 1024 for SDXL. Work and memory grow
    with the area."""

    buckets: Annotated[bool, Setting("Aspect-ratio buckets", kohya="enable_bucket")] = True
    """Groups images by shape, so that little is cropped away. Off: every image is cropped to a square."""

    bucket_min: Annotated[
        int | ByFamily,
        Field(ge=64, le=8192),
        Setting("Shortest bucket side", kohya="min_bucket_reso", tier="expert", unit="px", needs=_BUCKETS),
    ] = ByFamily()
    """No bucket has a side below this. Lower allows more extreme shapes."""

    bucket_max: Annotated[
        int | ByFamily,
        Field(ge=64, le=8192),
        Setting("Longest bucket side", kohya="max_bucket_reso", tier="expert", unit="px", needs=_BUCKETS),
    ] = ByFamily()
    """No bucket has a side above this."""

    bucket_step: Annotated[
        int,
        Field(ge=8, le=512),
        Setting("Bucket step", kohya="bucket_reso_steps", tier="expert", unit="px", needs=_BUCKETS),
    ] = 64
    """Bucket sides are multiples of this. Larger gives fewer buckets: fuller batches, more cropping."""

    enlarge: Annotated[
        bool, Setting("Enlarge small images", kohya="bucket_no_upscale", tier="advanced", needs=_BUCKETS)
    ] = True
    """Images with less area than the resolution are scaled up to it, which teaches softness if many are small. Off:
    they stay at their own size, in buckets of their own, and the shortest and longest side have no effect."""

    flip: Annotated[bool, Setting("Flip at random", kohya="flip_aug", tier="advanced")] = False
    """Shows half of the looks mirrored: twice the variety for nothing where left and right mean nothing. Spoils
    lettering, asymmetric faces, hair partings and logos."""

    crop: Annotated[Literal["centre", "random"], Setting("Crop", kohya="random_crop", tier="advanced")] = "centre"
    """Where the part that does not fit the bucket is cut away. Random shows other parts each time, but can
    cut off heads, and turns the latent cache off."""

    rotate: Annotated[float, Field(ge=0, le=45), Setting("Rotate at random", tier="expert", unit="degrees")] = 0.0
    """Turns each look by up to this angle either way, and cuts to the largest upright part. 2-5 is plenty; the model
    learns tilted horizons from more. Turns the latent cache off."""

    jitter: Annotated[float, Field(ge=0, le=1), Setting("Colour jitter", kohya="color_aug", tier="expert")] = 0.0
    """Changes brightness, contrast and saturation of each look at random by up to this share. 0.05-0.1 at most: the
    model learns the wrong colours from more. Turns the latent cache off."""
