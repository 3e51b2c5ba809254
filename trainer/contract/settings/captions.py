"""The text that goes with an image."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Needs, Section, Setting

_FILES = Needs("captions.mode", ("files",), "captions are not read from files")


class Captions(Section):
    mode: Annotated[
        Literal["files", "folder name", "trigger word", "none"],
        Setting("Captions", kohya="caption_extension, class_tokens", tier="basic"),
    ] = "files"
    """Where each image's text comes from: a text file beside it, its folder's name, the trigger word alone, or nothing.
    Describe what should stay changeable (pose, place, light); what all images share and no caption names is tied to
    the trigger. Without captions everything shared is learnt as one thing, background included."""

    trigger: Annotated[str, Setting("Trigger word", kohya="class_tokens", tier="basic")] = ""
    """Put first in every caption and never moved or dropped with the tags. Choose a word that the model does not know
    yet; in the prompt it calls up what you trained. Empty is usual for a style that should always apply."""

    shuffle: Annotated[bool, Setting("Shuffle caption", kohya="shuffle_caption", tier="basic", needs=_FILES)] = False
    """Changes the order of the separated tags at each look, after the first ones that are kept, so that order carries
    no meaning. For tag captions; leave it off for sentences, which it would cut at their commas. Captions then cannot
    be encoded just once."""

    extension: Annotated[str, Setting("Caption extension", kohya="caption_extension", tier="expert", needs=_FILES)] = (
        ".txt"
    )
    """Ending of the caption files, which have the image's name: photo.png and photo.txt."""

    separator: Annotated[str, Setting("Tag separator", kohya="caption_separator", tier="expert")] = ","
    """What stands between two tags."""

    keep_tokens: Annotated[
        int, Field(ge=0, le=255), Setting("Keep tokens", kohya="keep_tokens", tier="advanced", needs=_FILES)
    ] = 0
    """Number of tags at the start that are never moved nor dropped (by shuffling, tag dropout, tag warmup), the trigger
    word not counted."""

    keep_separator: Annotated[
        str, Setting("Keep separator", kohya="keep_tokens_separator", tier="expert", needs=_FILES)
    ] = ""
    """A mark in the caption (usually |||): what stands before it is kept in place, whatever keep tokens says; a second
    one does the same for an ending. Empty: no mark is looked for."""

    secondary_separator: Annotated[
        str, Setting("Secondary separator", kohya="secondary_separator", tier="expert", needs=_FILES)
    ] = ""
    """A mark (usually ;;;) that binds tags into a group which is shuffled and dropped as one and is written with the
    tag separator afterwards. Empty: none."""

    dropout: Annotated[
        float, Field(ge=0, le=1), Setting("Caption dropout", kohya="caption_dropout_rate", tier="advanced")
    ] = 0.0
    """Share of the looks that get an empty caption, trigger word included. 0.05-0.1 helps a style to apply without its
    trigger and keeps guidance (CFG) honest; too much ties the style to nothing."""

    tag_dropout: Annotated[
        float,
        Field(ge=0, le=1),
        Setting("Tag dropout", kohya="caption_tag_dropout_rate", tier="advanced", needs=_FILES),
    ] = 0.0
    """Chance of each tag that is not kept to be left out of a look. 0.1 teaches that no single tag is needed."""

    tag_warmup: Annotated[
        float,
        Field(ge=0, le=100),
        Setting("Tag warmup", kohya="token_warmup_step", tier="expert", unit="% of steps", needs=_FILES),
    ] = 0.0
    """Share of the steps in which the number of tags grows from the minimum to all. 0 shows all from the start."""

    tag_warmup_min: Annotated[
        int,
        Field(ge=1, le=255),
        Setting(
            "Tag warmup, first number",
            kohya="token_warmup_min",
            tier="expert",
            needs=Needs("captions.tag_warmup", unless=(0,), why="the number of tags does not grow: tag warmup is 0"),
        ),
    ] = 1
    """Number of tags, beside the kept ones, that the tag warmup starts with."""

    wildcards: Annotated[bool, Setting("Wildcards", kohya="enable_wildcard", tier="advanced", needs=_FILES)] = False
    """Draws one of the choices in {a|b|c} at each look. Doubled braces {{ }} stand for plain ones."""

    lines: Annotated[
        Literal["first", "one at random", "all"],
        Setting("Lines of a caption file", kohya="enable_wildcard", tier="advanced", needs=_FILES),
    ] = "first"
    """What a file with several lines means: its first line is the caption, each line is one of several captions of
    which one is drawn at each look, or all lines are joined into one caption."""

    prefix: Annotated[str, Setting("Prefix", kohya="caption_prefix", tier="advanced")] = ""
    """Put before every caption, behind the trigger word."""

    suffix: Annotated[str, Setting("Suffix", kohya="caption_suffix", tier="advanced")] = ""
    """Put after every caption."""

    clip_skip: Annotated[int, Field(ge=1, le=12), Setting("CLIP skip", kohya="clip_skip", tier="advanced")] = 1
    """Which layer of the text encoder, counted from the end, gives the text: 1 is the last. 2 for models trained that
    way (most anime SD 1.x models); a wrong value trains against the model's own habit."""

    max_tokens: Annotated[
        Literal[75, 150, 225], Setting("Longest caption", kohya="max_token_length", tier="advanced", unit="tokens")
    ] = 75
    """Tokens of a caption that are used, in pieces of 75; the rest is cut off and counted. A longer limit costs a
    little time and only matters if your captions are longer."""
