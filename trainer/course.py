"""The course of a run: the loop with what comes before its first step, between its steps and after its last."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from trainer.contract.events import RunStarted, Sampled, read
from trainer.data.loader import Loader
from trainer.optim.optimizers import applied_rates
from trainer.optim.schedule import Scheduler
from trainer.sampling.previews import Previews
from trainer.saving.state import Held
from trainer.timing.gauges import Gauges
from trainer.timing.timekeeper import Timekeeper

from . import device as machines
from . import loop
from .autopsy import Body
from .bench import Bench, Trained
from .control import Control
from .moments import make
from .moments.keeper import in_use
from .moments.pictures import draw_final, lay_out, preview
from .moments.telling import attempt
from .moments.turns import turns
from .rescue import Keeping, rescue, save_again
from .resume import States


@dataclass(frozen=True)
class Result:
    """How a run ended: as the loop says it, after which step, with which final file."""

    how: loop.How
    step: int
    file: str


def train_with(bench: Bench, trained: Trained, loader: Loader, previews: Previews | None) -> Result:
    """The loop with everything around it: before the first step, and after the last."""
    course = Course(bench, trained, loader, previews)
    after = course.pick_up()
    control = Control(bench.run, bench.ranks, turns(bench, after))
    control.listen()
    course.emit(started(bench, trained, after))
    if how := loop.ending(control.before(after + 1)):
        return Result(how, after, bench.run.read_state().adapter if after else "")
    make.set_alarm(bench, trained.update)
    bench.watch.start()
    if not after:
        course.look_at_the_base()
    how, step = course.train(control, after)
    return Result(how, step, course.end(how, step))


class Course:
    """One run on its way: each method is something that is done at a step, by the names that the loop calls it."""

    def __init__(self, bench: Bench, trained: Trained, loader: Loader, previews: Previews | None) -> None:
        network, optimizer = trained.network, trained.optimizer
        self.bench, self.trained, self.loader, self.previews = bench, trained, loader, previews
        self.clock = bench.watch
        self.emit = Timekeeper(self.clock, Gauges(bench.device).read, bench.preset, bench.emit)
        self.keeper = make.make_keeper(bench, network, optimizer)
        self.checker = make.make_checker(bench, trained, loader, self.keeper)
        self.liken = make.make_likener(bench)
        self.overflows = loop.Overflows()
        held = Held(network.modules, optimizer, trained.update.scaler, self.checker, self.overflows, trained.average)
        self.states = States(bench.run, held, bench.plan, self.emit)

    def pick_up(self) -> int:
        """Take what an earlier process has left, if one has; returns the steps that it did."""
        after = self.states.restore()
        self.checker.tidy(after)
        if self.previews and after:
            self.previews.remember(event for event in read(self.bench.run.events) if isinstance(event, Sampled))
        return after

    def look_at_the_base(self) -> None:
        """Samples and a check of the untouched base model, where they are wanted."""
        if 0 in self.bench.plan.samples:
            self.draw(0)
        if 0 in self.bench.plan.validations:
            self.validate(0)

    def train(self, control: Control, after: int) -> tuple[loop.How, int]:
        """The loop; what ends it by an error is rescued and told."""
        self.trained.network.training(True)
        try:
            return loop.train(self._parts(control), self.bench.plan.steps, after)
        except Exception as error:
            update, network = self.trained.update, self.trained.network
            body = Body(self.bench.plan, self.bench.family, network, update, self.loader, self.bench.ranks.count)
            rescue(error, self.bench, body, self._keeping, after)

    def _parts(self, control: Control) -> loop.Parts:
        plan, loader, optimizer, update = self.bench.plan, self.loader, self.trained.optimizer, self.trained.update
        watch = make.make_watcher(self.bench, self.trained, loader)
        weigh = make.make_scales(self.bench, self.trained.network)
        return loop.Parts(
            update=lambda step, batches, looks: weigh(step, watch(step, update(step, batches, looks))),
            take=lambda step: (loader.micro_batches(step), loader.looks(step)),
            set_rate=Scheduler(optimizer, plan.preset.schedule, plan.steps.total).set,
            rates=lambda: applied_rates(optimizer),
            validate=self.validate,
            preview=lambda step: self.draw(step, control.rounds()),
            save=self.save,
            control=control,
            emit=self.emit,
            fp16=plan.preset.precision.compute == "fp16",
            late=self.bench.device.type != "cpu",
            state=self.keep_state,
            overflows=self.overflows,
        )

    def validate(self, step: int) -> bool:
        """A check of the held-out images; True where early stopping ends the run."""
        with self.clock.part("validation"), self._in_use():
            return self.checker.check(step)

    def draw(self, step: int, rounds: Sequence[str] = ("",)) -> None:
        """Sample pictures: a round of the run's own prompts for "", of a prompt that was asked for else."""
        if not self.bench.ranks.main:
            return
        for prompt in rounds:
            with self._in_use():
                with self.clock.part("sampling"):
                    drawn = preview(self.previews, step, self.emit, prompt=prompt)
                if not prompt:
                    self._compare(drawn)

    def save(self, step: int) -> None:
        """An in-between adapter file."""
        what = "an adapter could not be saved; the next time is tried again"
        if self.bench.ranks.main:
            with self._in_use():
                attempt(what, self.keeper.save, step, self.emit)

    def keep_state(self, step: int) -> None:
        """The full state."""
        if self.bench.ranks.main:
            self.emit.tell(step)  # who goes on from this state then has the time up to it
            with self.clock.part("saving"):
                self.states.write(step)

    def keep_adapter(self, step: int) -> str:
        """The final adapter file; returns its name."""
        with self._in_use():
            file = self.keeper.save_final(step)
        self.bench.run.update_state(step=step, adapter=file)
        return file

    def end(self, how: loop.How, step: int) -> str:
        """Last state, final file, last pictures, where the time went; returns the file's name, "" without one."""
        if self.bench.ranks.main:
            self.emit.tell(step)
            with self.clock.part("saving"):
                self.states.write_last(step, how)
        file, weights_step = self._finish(step) if self.bench.ranks.main and how != "paused" else ("", step)
        if file and how in ("done", "stopped early"):  # who stops a run does not want to wait for pictures
            self._draw_final(file, weights_step, step)
        if self.previews:
            with self.clock.part("sampling"):
                lay_out(self.previews, step, self.emit)
        self.emit.tell(step, wait=True)
        self.bench.ranks.wait()
        return file

    def _finish(self, step: int) -> tuple[str, int]:
        """The final file and the step of its weights; "" where the run ended before its first step."""
        if step == 0:
            return "", 0
        try:
            kept = self.checker.kept_step if self.bench.preset.validation.stop == "stop and keep the lowest" else 0
            if not kept:
                return self.keep_adapter(step), step
            with self._in_use():
                file = self.keeper.lowest_as_final(step, kept)
            self.bench.run.update_state(step=step, adapter=file)
            return file, kept
        except Exception as error:
            return save_again(error, self.bench, self._keeping, step), step

    def _draw_final(self, file: str, weights_step: int, step: int) -> None:
        if self.previews:
            with self._in_use():
                with self.clock.part("sampling"):
                    drawn = draw_final(self.previews, self.keeper, file, weights_step, step)
                self._compare(drawn)

    def _compare(self, drawn: Sampled | None) -> None:
        if drawn and self.liken:
            with self.clock.part("validation"):
                self.liken(drawn)

    def _in_use(self) -> AbstractContextManager[None]:
        return in_use(self.trained.network, self.trained.optimizer, self.trained.average)

    @property
    def _keeping(self) -> Keeping:
        return Keeping(self.keep_state, self.keep_adapter)


def started(bench: Bench, trained: Trained, after: int = 0) -> RunStarted:
    """The event that says what is about to be trained, after the steps that have been done."""
    plan = bench.plan
    numbers = sum(value.numel() for group in trained.optimizer.param_groups for value in group["params"])
    return RunStarted(
        step=after,
        name=str(plan.preset.saving.name),
        total_steps=plan.steps.total,
        steps_per_epoch=plan.steps.per_epoch,
        total_epochs=plan.steps.epochs,
        images=len(plan.train),
        held_out=len(plan.held_out),
        held_out_images=plan.held_out_names,
        device=machines.device_name(bench.device, bench.ranks),
        trained_parameters=numbers,
        versions=machines.versions(),
    )
