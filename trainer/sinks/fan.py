"""One stream of events to several sinks; a sink that fails is switched off and told, never the end of a run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from trainer.contract.events import Event, Warned

if TYPE_CHECKING:
    from trainer.parts import Sink  # torch: not needed to say that torch cannot be loaded


class Fan:
    """Hands each event, stamped with the time, to every sink in turn.

    `sinks` are the run's own: an error in one is printed, and it hears the next event all the same. `news()` is asked
    after each event for more to tell."""

    def __init__(self, sinks: Sequence[Sink], news: Callable[[], Sequence[Event]] = tuple) -> None:
        self._sinks = list(sinks)
        self._loggers: list[Sink] = []
        self._news = news

    def add(self, logger: Sink) -> None:
        """A logger, for the events from now on; it is switched off when it fails."""
        self._loggers.append(logger)

    def __call__(self, event: Event) -> None:
        """Emit one event."""
        event = event if event.time else replace(event, time=time.time())
        for sink in self._sinks:
            self._write(sink, event)
        failed = [(sink, error) for sink in self._loggers if (error := self._write(sink, event))]
        for sink, _ in failed:
            self._loggers.remove(sink)
        for sink, error in failed:
            text = f"{type(sink).__name__} is switched off: {error}"
            self(Warned(step=event.step, text=text, setting="logging"))
        for told in self._news():
            self(replace(told, step=event.step))

    def _write(self, sink: Sink, event: Event) -> Exception | None:
        try:
            sink.write(event)
        except Exception as error:  # whatever a logger raises, the training must go on
            traceback.print_exc()
            return error
        return None

    def close(self) -> None:
        """Close the loggers; an error in one is printed to the console log. The run's own sinks are not ours."""
        for sink in self._loggers:
            try:
                sink.close()
            except Exception:
                traceback.print_exc()
        self._loggers.clear()
