"""Edit metadata: a new header before the same bytes."""

from __future__ import annotations

from typing import cast

from trainer.contract.adapter_tasks import Metadata, Result
from trainer.contract.problems import Problem, Problems
from trainer.contract.tasks import Done
from trainer.plan.adapters.facts import metadata_rows, stripped
from trainer.plan.adapters.tensorfile import open_file, relative

from .stream import Writer, hashed
from .work import Work, output, stoppable


def _work(work: Work) -> Done:
    task = cast(Metadata, work.task)
    file = open_file(task.adapter)
    path = output(task, task.adapter, "edited")
    try:
        after = stripped(file.metadata, task.strip, task.remove, task.set)
    except ValueError as error:
        raise Problems([Problem("set", f"{str(error)!r} is not of the form name=value")]) from None
    work.at("writing")
    tensors = relative(file)
    with Writer(path, tensors, hashed(after) if after or task.strip != "everything" else {}, placed=True) as writer:
        for number, name in enumerate(tensors):
            work.at("copying tensors", number, len(tensors))
            writer.copy(file, name, name)
    gone = sorted(set(file.metadata) - set(after))
    new = sorted(name for name in after if after[name] != file.metadata.get(name))
    result = Result(
        headline=f"{len(gone)} entries removed, {len(new)} set",
        facts=(("Removed", ", ".join(gone) or "nothing"), ("Set", ", ".join(new) or "nothing")),
        metadata=tuple(metadata_rows(after)),
        file=str(path),
        adapter=True,
    )
    return work.done(result)


work = stoppable(_work)
