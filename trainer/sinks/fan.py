"""One stream of events to several sinks; a sink that fails is switched off and told, never the end of a run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from trainer.contract.events import Event, Warned

if TYPE_CHECKING:
    from trainer.parts import Sink  # torch: not needed to say that torch cannot be loaded


class Fan:
    """Hands each event, stamped with the time, to every sink in turn."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)

    def add(self, sink: Sink) -> None:
        """Another sink, for the events from now on."""
        self._sinks.append(sink)

    def __call__(self, event: Event) -> None:
        """Emit one event."""
        event = event if event.time else replace(event, time=time.time())
        failed = [pair for sink in self._sinks if (pair := self._write(sink, event))]
        for sink, _ in failed:
            self._sinks.remove(sink)
        for sink, error in failed:
            text = f"{type(sink).__name__} is switched off: {error}"
            self(Warned(step=event.step, text=text, setting="logging"))

    def _write(self, sink: Sink, event: Event) -> tuple[Sink, Exception] | None:
        try:
            sink.write(event)
        except Exception as error:  # whatever a logger raises, the training must go on
            traceback.print_exc()
            return sink, error
        return None

    def close(self) -> None:
        """Close all sinks; an error in one is printed to the console log."""
        for sink in self._sinks:
            try:
                sink.close()
            except Exception:
                traceback.print_exc()
        self._sinks.clear()
