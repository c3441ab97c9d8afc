"""What each step and each fault of a scenario file does to the stack."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, Final

from harness.client import Client
from harness.faults import Fault, vbox
from harness.faults.vbox import VBoxError
from harness.guirpc import RunMode
from harness.jobs import JobState
from harness.scenario import faults, steps
from harness.scenario.values import read_content
from harness.scenario.world import ScenarioWorld

_MODES: Final = {"always": RunMode.ALWAYS, "auto": RunMode.AUTO, "never": RunMode.NEVER}


def perform(world: ScenarioWorld, step: steps.Step) -> None:
    """Do what a step says. `wait` and `wait_for` do nothing: waiting is the timeline's business."""
    action = _STEPS.get(type(step))
    if action is not None:
        action(world, step)


def _submit(world: ScenarioWorld, step: steps.SubmitStep) -> None:
    world.submit(next(job for job in world.scenario.jobs if job.name == step.submit))


def _start(world: ScenarioWorld, step: steps.StartStep) -> None:
    declared = next((client for client in world.scenario.clients if client.name == step.start), None)
    if declared is not None and declared.name not in world.clients:
        world.start_client(declared)
        return
    part = world.part(step.start)
    if isinstance(part, Client):
        part.start_again()
    else:
        part.start()


def _attach(world: ScenarioWorld, step: steps.AttachStep) -> None:
    world.client(step.attach).attach(world.project, world.account(step.email), wait=False)


def _tasks(verb: str) -> Callable[[ScenarioWorld, Any], None]:
    def act(world: ScenarioWorld, step: steps.Step) -> None:
        for client, task in world.tasks_of(getattr(step, verb)):
            getattr(client, verb)(world.project, task)

    return act


def _preferences(world: ScenarioWorld, step: steps.PreferencesStep) -> None:
    world.client(step.client).set_preferences(**step.preferences)


def _put_file(world: ScenarioWorld, step: steps.PutFileStep) -> None:
    world.project.put_file(step.put_file, read_content(step.content, world.loaded.folder), executable=step.executable)
    world.project.update_versions()


def _create_account(world: ScenarioWorld, step: steps.CreateAccountStep) -> None:
    email = world.address(step.create_account)
    world.client(step.client).create_account(world.project, email, step.password, step.user_name)


def _inject(world: ScenarioWorld, step: steps.InjectStep) -> None:
    inject(world, next(fault for fault in world.scenario.faults if fault.name == step.inject))


def _heal(world: ScenarioWorld, step: steps.HealStep) -> None:
    if step.heal in world.faults:
        world.faults[step.heal].heal()


def _skip(world: ScenarioWorld, step: steps.SkipStep) -> None:
    world.needs_virtual_time("skip")
    world.stack.clock.skip(step.skip)


def _skip_to_next(world: ScenarioWorld, step: steps.SkipToNextStep) -> None:
    world.needs_virtual_time("skip_to_next")
    world.stack.clock.skip_to_next(step.skip_to_next)


def _fast_forward(world: ScenarioWorld, step: steps.FastForwardStep) -> None:
    world.needs_virtual_time("fast_forward")
    world.stack.fast_forward(world.job(step.fast_forward), JobState(step.reaches), within=step.within)


_STEPS: Final[dict[type[steps.Step], Callable[[ScenarioWorld, Any], Any]]] = {
    steps.SubmitStep: _submit,
    steps.CancelStep: lambda world, step: world.job(step.cancel).cancel(),
    steps.StartStep: _start,
    steps.StopStep: lambda world, step: world.part(step.stop).stop(),
    steps.KillStep: lambda world, step: world.part(step.kill).kill(),
    steps.RestartStep: lambda world, step: world.part(step.restart).restart(),
    steps.AttachStep: _attach,
    steps.DetachStep: lambda world, step: world.client(step.detach).detach(world.project),
    steps.UpdateStep: lambda world, step: world.client(step.update).update(world.project),
    steps.RetryTransfersStep: lambda world, step: world.client(step.retry_transfers).retry_transfers(world.project),
    steps.SuspendStep: _tasks("suspend"),
    steps.ResumeStep: _tasks("resume"),
    steps.AbortStep: _tasks("abort"),
    steps.RunModeStep: lambda world, step: world.client(step.client).set_run_mode(_MODES[step.run_mode]),
    steps.NetworkModeStep: lambda world, step: world.client(step.client).set_network_mode(_MODES[step.network_mode]),
    steps.PreferencesStep: _preferences,
    steps.ConfigureStep: lambda world, step: world.project.configure(**step.configure),
    steps.PutFileStep: _put_file,
    steps.CreateAccountStep: _create_account,
    steps.InjectStep: _inject,
    steps.HealStep: _heal,
    steps.SkipStep: _skip,
    steps.SkipToNextStep: _skip_to_next,
    steps.FastForwardStep: _fast_forward,
}


def inject(world: ScenarioWorld, fault: faults.FaultModel) -> Fault:
    """Begin a fault; it can be found again by its name."""
    begun = _FAULTS[type(fault)](world, fault)
    if fault.name is not None:
        world.faults[fault.name] = begun
    return begun


def _http(world: ScenarioWorld, fault: faults.HttpFault) -> Fault:
    chosen: dict[str, Any] = fault.action()
    return world.stack.faults.http(
        fault.http,
        **chosen,
        direction=fault.direction,
        times=fault.times,
        after=fault.let_through,
        client=world.client(fault.client) if fault.client else None,
        name=fault.path,
        project=world.project,
    )


def _signal_task(world: ScenarioWorld, fault: faults.SignalTaskFault) -> Fault:
    client = world.client(fault.client)
    task = next(name for owner, name in world.tasks_of(fault.signal_task) if owner is client)
    return world.stack.faults.signal_task(client, task, signal.Signals[fault.signal])


def _vbox(world: ScenarioWorld, fault: faults.VBoxFault) -> Fault:
    error: VBoxError = getattr(vbox, fault.error.upper())
    return world.stack.faults.vbox(world.client(fault.vbox), fault.words, error=error, times=fault.times)


_FAULTS: Final[dict[type[faults.FaultModel], Callable[[ScenarioWorld, Any], Fault]]] = {
    faults.HttpFault: _http,
    faults.KillFault: lambda world, fault: world.stack.faults.kill(world.part(fault.kill), signal.Signals[fault.signal]),
    faults.FreezeFault: lambda world, fault: world.stack.faults.freeze(world.part(fault.freeze), tasks=fault.tasks),
    faults.SignalTaskFault: _signal_task,
    faults.PartitionFault: lambda world, fault: world.stack.faults.partition(world.client(fault.partition), how=fault.how),
    faults.LossFault: lambda world, fault: world.stack.faults.lose(world.client(fault.lose), fault.share),
    faults.SlowNetworkFault: lambda world, fault: world.stack.faults.slow_network(
        world.client(fault.slow_network), kilobytes_per_second=fault.kilobytes_per_second
    ),
    faults.SkewFault: lambda world, fault: world.stack.faults.skew(world.client(fault.skew), fault.seconds, drift=fault.drift),
    faults.FillDiskFault: lambda world, fault: world.stack.faults.fill_disk(world.client(fault.fill_disk), leave_kb=fault.leave_kb),
    faults.ReadOnlyFault: lambda world, fault: world.stack.faults.make_read_only(world.client(fault.make_read_only)),
    faults.DamageFault: lambda world, fault: world.stack.faults.damage(world.client(fault.damage), fault.path, fault.how, at=fault.offset),
    faults.LoseSlotFault: lambda world, fault: world.stack.faults.lose_slot(world.client(fault.lose_slot), fault.slot),
    faults.VBoxFault: _vbox,
    faults.VBoxHangsFault: lambda world, fault: world.stack.faults.vbox_hangs(
        world.client(fault.vbox_hangs), fault.words, times=fault.times
    ),
    faults.VBoxSlowFault: lambda world, fault: world.stack.faults.vbox_slow(
        world.client(fault.vbox_slow), fault.words, fault.seconds, times=fault.times
    ),
    faults.VBoxVersionFault: lambda world, fault: world.stack.faults.vbox_version(world.client(fault.vbox_version), fault.version),
}
