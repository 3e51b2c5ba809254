"""The files that come out."""

from typing import Annotated

from pydantic import Field

from .base import Every, FromFolder, Needs, Section, Setting

_EVERY = Needs("saving.every", unless=("never",), why="nothing is saved in between")


class Saving(Section):
    name: Annotated[str | FromFolder, Setting("Name", kohya="output_name", tier="basic")] = FromFolder()
    """File name of the LoRA; in-between saves get -000010 (epoch) or -step00000500 behind it. Empty: the name of the
    first image folder. Each run has a folder of its own, so nothing is ever overwritten."""

    every: Annotated[Every, Setting("Save every", kohya="save_every_n_epochs, save_every_n_steps", tier="advanced")] = (
        "never"
    )
    """How often the LoRA is saved in between: "1 epoch", "500 steps", "30 minutes" or "never". The last one is always
    saved. Having several lets you choose the one that looks best."""

    keep_last: Annotated[
        int,
        Field(ge=0, le=10000),
        Setting("Keep the last", kohya="save_last_n_epochs, save_last_n_steps", unit="files", needs=_EVERY),
    ] = 0
    """Number of in-between files that are kept; older ones are removed. 0 keeps all."""

    state_every: Annotated[Every, Setting("Save the full state every", kohya="save_state", tier="advanced")] = (
        "10 minutes"
    )
    """How often everything that is needed to go on exactly is saved: "10 minutes", "200 steps", "1 epoch" or "never".
    After a crash at most the work since then is repeated. It lies in the run folder's checkpoints and takes about six
    times the size of a LoRA saved in fp16 with AdamW; the last two are kept, one when the run is done. A run that you
    stop saves it in any case; one that is done, unless this is "never"."""

    diffusers: Annotated[bool, Setting("Diffusers copy too", tier="expert")] = False
    """Saves a second file beside each adapter, name.diffusers.safetensors, with the keys that diffusers and PEFT write
    themselves. Only for a LoRA, or for DoRA with the network argument wd_on_output = true; generators want the first
    one."""

    title: Annotated[str, Setting("Title", kohya="metadata_title", tier="expert")] = ""
    """Title in the file's metadata. Empty: the file name."""

    author: Annotated[str, Setting("Author", kohya="metadata_author", tier="expert")] = ""
    """Author in the file's metadata."""

    comment: Annotated[str, Setting("Comment", kohya="training_comment", tier="expert", widget="text")] = ""
    """Free text in the file's metadata."""

    publish: Annotated[bool, Setting("Publish tags and names", kohya="no_metadata", tier="advanced")] = False
    """Writes your tags with their counts and the names of image folders and base model file into the LoRA's metadata,
    as Kohya's does always, and names of folders and held-out images into report.html. Off: they stay with you. Training
    settings and hashes are written either way; and the base model's file name, without its folder, stands in sample
    pictures and report.html in any case, since nothing else says what they were drawn with."""
