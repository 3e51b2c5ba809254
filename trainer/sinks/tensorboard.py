"""TensorBoard event files, written by tensorboard's own writer (no torch needed)."""

from __future__ import annotations

from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from trainer.contract.events import Event, Likened, RunStarted, Sampled, StepDone, Timing, Validated


class TensorBoard:
    """`loss/train`, `loss/validation`, `learning_rate/*`, `grad_norm`, what else `scalars` names, and the samples by
    prompt number, each at its step. `folder` is the run folder: sample files are named relative to it; the records go
    to `folder`/tensorboard."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._writer = EventFileWriter(str(self._folder / "tensorboard"), flush_secs=5)

    def write(self, event: Event) -> None:
        """Record the event's figures or pictures."""
        if isinstance(event, RunStarted):
            self._begin(event)
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(event).items()]
        if isinstance(event, Sampled):
            files = [(i, name) for i, name in enumerate(event.files) if (self._folder / name).is_file()]
            values += [self._picture(i, name) for i, name in files]  # one may still wait for room on the disk
        if values:
            record = Record(wall_time=event.time, step=event.step, summary=Summary(value=values))
            self._writer.add_event(record)

    def _begin(self, event: RunStarted) -> None:
        """Tell readers to forget what an earlier process wrote of the steps that come now: they are done again."""
        again = event.step + 1 if event.step else 0
        start = SessionLog(status=SessionLog.START)
        self._writer.add_event(Record(wall_time=event.time, step=again, session_log=start))

    def _picture(self, number: int, name: str) -> Summary.Value:
        from PIL import Image

        file = self._folder / name
        with Image.open(file) as image:
            width, height = image.size
        picture = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=file.read_bytes())
        return Summary.Value(tag=f"samples/{number:02}", image=picture)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


SHOWN_IMAGES = 32
"""So many held-out images get a chart of their own; more would bury the others."""


def scalars(event: Event) -> dict[str, float]:
    """Chart name -> value for the events that carry figures, else nothing."""
    if isinstance(event, StepDone):
        rates = {f"learning_rate/{group}": rate for group, rate in event.learning_rate.items()}
        norm = {} if event.grad_norm is None else {"grad_norm": event.grad_norm}
        glance = {} if event.validation_loss is None else {"loss/validation_each_step": event.validation_loss}
        return {"loss/train": event.loss, "epoch": event.epoch, **glance, **rates, **norm}
    if isinstance(event, Validated):
        return _check(event)
    if isinstance(event, Likened):
        pictures = {f"likeness/{number:02}": value for number, value in enumerate(event.per_picture)}
        return {"likeness/mean": event.similarity, **pictures}
    if isinstance(event, Timing) and event.wall_s > 0:
        return _time(event)
    return {}


def _time(event: Timing) -> dict[str, float]:
    """Shares of the time since the event before, bytes in use as GB, speed with all pauses."""
    shares = {f"time/{part}": seconds / event.wall_s for part, seconds in event.seconds.items()}
    memory = {f"memory_gb/{name}": count / 1e9 for name, count in event.memory.items() if "total" not in name}
    use = {} if event.device_use is None else {"device_use": event.device_use}
    return {**shares, **memory, **use, "images_per_second": event.images / event.wall_s}


def _check(event: Validated) -> dict[str, float]:
    """A check's means and their gap, and its curves by timestep and by image (as the run's start names them)."""
    train, found = event.train_loss, {"loss/validation": event.loss}
    if train is not None:
        found |= {"loss/train_on_the_same_grid": train, "loss/gap": event.loss - train}
    found |= {f"validation_by_timestep/{int(t):04}": loss for t, loss in event.per_timestep.items()}
    found |= {f"train_by_timestep/{int(t):04}": loss for t, loss in event.train_per_timestep.items()}
    found |= {f"validation_by_image/{i:02}": loss for i, loss in enumerate(event.per_image[:SHOWN_IMAGES])}
    return found
