"""Upload: one adapter file to the Hugging Face hub, with the token of the environment or of the hub's own login.

The token is read when it is sent and stands in no task, event or file. Without `send` nothing leaves the computer.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import cast

from trainer.contract.adapter_tasks import Result, Upload
from trainer.contract.families.recognise import is_hub_id
from trainer.contract.problems import Problem, Problems
from trainer.contract.tasks import Done
from trainer.plan.adapters.facts import TELLS, metadata_rows, size_of
from trainer.plan.adapters.look import Look, look

from .work import Work, stoppable


def _work(work: Work) -> Done:
    task = cast(Upload, work.task)
    found = look(task.adapter)
    name = checked(task, found)
    token = bool(find_token())
    facts = (
        ("File", f"{found.file.path.name}, {size_of(found.file.path.stat().st_size)}"),
        ("To", f"{task.repo}/{name}"),
        ("Where it is made", "private" if task.private else "public: everybody can download it"),
        ("Login", "there is a token" if token else "none: set HF_TOKEN, or log in with: hf auth login"),
    )
    notes = tuple(f"its metadata tell {what}" for what in tells(found))
    metadata = tuple(metadata_rows(found.file.metadata))
    path = str(found.file.path.resolve())
    if not task.send:
        headline = "nothing was sent: this is what would be"
        return work.done(Result(headline=headline, facts=facts, notes=notes, metadata=metadata, file=path))
    if not token:
        raise Problems([Problem("upload", "there is no login for the hub", "set HF_TOKEN, or run: hf auth login")])
    work.at("sending")
    address = send(task, str(found.file.path), name)
    told = (*facts[:3], ("Address", address))
    return work.done(Result(headline=f"sent to {task.repo}", facts=told, notes=notes, metadata=metadata, file=path))


work = stoppable(_work)


def checked(task: Upload, found: Look) -> str:
    """The file's name in the repository. Problems for a name that the hub does not take, and for no adapter."""
    problems = []
    if not is_hub_id(task.repo):
        problems.append(Problem("repo", f"{task.repo!r} is no repository of the hub", "write it as user/name"))
    name = (task.name.strip() or found.file.path.name).replace("\\", "/").strip("/")
    if not re.fullmatch(r"[\w .()+-]+(/[\w .()+-]+)*", name) or ".." in PurePosixPath(name).parts:
        problems.append(Problem("name", f"{name!r} is no name for a file there", "letters, digits, ._- and /"))
    if not name.endswith(".safetensors"):
        problems.append(Problem("name", f"{name!r} does not end in .safetensors", "readers go by the ending"))
    if not found.layers:
        problems.append(Problem("adapter", f"{found.file.path.name} holds no adapter", "choose another file", "data"))
    if problems:
        raise Problems(problems)
    return name


def tells(found: Look) -> list[str]:
    """What of the user's a file would make public."""
    words = {
        "ss_tag_frequency": "the captions' tags",
        "ss_dataset_dirs": "names of image folders",
        "ss_output_name": "the run's name",
        "ss_sd_model_name": "the base model's file name",
        "modelspec.author": "the author's name",
    }
    return [words[name] for name in TELLS if found.file.metadata.get(name, "") not in ("", "None", "{}")]


def find_token() -> str | None:
    """The token of the environment, else of the hub's own login."""
    from huggingface_hub import get_token

    return os.environ.get("HF_TOKEN") or get_token()


def send(task: Upload, file: str, name: str) -> str:
    """Make the repository if it is not there, and send the file; returns its address. Problems in one sentence for what
    the hub says."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = HfApi(token=find_token())
    try:
        hub.create_repo(task.repo, private=task.private, exist_ok=True, repo_type="model")
        sent = hub.upload_file(path_or_fileobj=file, path_in_repo=name, repo_id=task.repo, repo_type="model")
    except (HfHubHTTPError, OSError, ValueError) as error:
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        why = f"the hub did not take it: {re.sub(r'hf_[A-Za-z0-9]+', 'hf_...', line)[:300]}"
        raise Problems([Problem("upload", why, "check the name, the login and the connection")]) from None
    return str(sent)
