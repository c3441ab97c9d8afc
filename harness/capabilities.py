"""What a scenario may need of a project server that not every server has.

A scenario's needs are known in two ways. Before it starts: by the mark `needs(*names)`, and by what stands in its code
(`needs_of`: `stack.server`, `stack.mail`, `fast_forward`, ...). And while it runs: whatever asks a server for something that it has not
raises `Unsupported`, which the plugin turns into a skip with the same words.
"""

from __future__ import annotations

import ast
import enum
import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.errors import HarnessError


class Capability(enum.Enum):
    """Something that only some project servers can; the value is its name in marks and tables."""

    SERVER_CONTROL = "server_control"
    VIRTUAL_TIME = "virtual_time"
    MAIL = "mail"
    SEVERAL_PROJECTS = "several_projects"
    TRANSFER_EVENTS = "transfer_events"
    RPC_EVENTS = "rpc_events"
    KEY_CHANGE = "key_change"
    ACCOUNT_MANAGER = "account_manager"
    HTTP_FAULTS = "http_faults"
    OPTIONS = "options"

    @property
    def meaning(self) -> str:
        """In words that go on "... needs"."""
        return _MEANING[self]


_MEANING = {
    Capability.SERVER_CONTROL: "a server that can be stopped, killed, started and looked into",
    Capability.VIRTUAL_TIME: "a server whose clock can be steered",
    Capability.MAIL: "a server that sends mails",
    Capability.SEVERAL_PROJECTS: "more than one project in one world",
    Capability.TRANSFER_EVENTS: "the server's own record of each upload and download",
    Capability.RPC_EVENTS: "the server's own record of each scheduler RPC",
    Capability.KEY_CHANGE: "a code signing key that can be changed while the project runs",
    Capability.ACCOUNT_MANAGER: "an account manager beside the project",
    Capability.HTTP_FAULTS: "the recording proxy in front of the server",
    Capability.OPTIONS: "an option that only the embedded server has",
}
#: all there are: what the embedded server has
ALL = frozenset(Capability)
#: what the published images have not got: no clock but the wall's, no way to start the same container a second time (its start script
#: makes a group that is there already), no mail transport, one project in each, and no record of single requests
UPSTREAM_LACKS = frozenset(
    {
        Capability.ACCOUNT_MANAGER,
        Capability.KEY_CHANGE,
        Capability.MAIL,
        Capability.OPTIONS,
        Capability.RPC_EVENTS,
        Capability.SERVER_CONTROL,
        Capability.SEVERAL_PROJECTS,
        Capability.TRANSFER_EVENTS,
        Capability.VIRTUAL_TIME,
    }
)


class Unsupported(HarnessError):
    """The project server has not got what a scenario asks of it. Fields: `capability`, `server` (its name)."""

    def __init__(self, capability: Capability, server: str, *, details: str = "") -> None:
        self.capability = capability
        self.server = server
        super().__init__(
            f"the {server} server has no {capability.value}",
            thing=details,
            expected=capability.meaning,
            remedy="run it with --server embedded",
        )

    @property
    def reason(self) -> str:
        """One line for a skip."""
        return f"needs {self.capability.value}, which the {self.server} server has not" + (f" ({self.thing})" if self.thing else "")


def named(name: str) -> Capability:
    """The capability of a name. Raises `ValueError` that lists them all."""
    try:
        return Capability(name)
    except ValueError:
        known = ", ".join(one.value for one in Capability)
        raise ValueError(f"there is no capability {name!r}; there are {known}") from None


#: attributes of a stack (dotted, as they stand in the code) -> what their use needs
_ATTRIBUTES = {
    "server": Capability.SERVER_CONTROL,
    "mail": Capability.MAIL,
    "fast_forward": Capability.VIRTUAL_TIME,
    "use_proxy": Capability.HTTP_FAULTS,
    "new_project": Capability.SEVERAL_PROJECTS,
    "project.change_code_sign_key": Capability.KEY_CHANGE,
    "clock.skip": Capability.VIRTUAL_TIME,
    "clock.skip_to": Capability.VIRTUAL_TIME,
    "clock.skip_to_next": Capability.VIRTUAL_TIME,
    "clock.set": Capability.VIRTUAL_TIME,
    "clock.set_rate": Capability.VIRTUAL_TIME,
    "clock.skew": Capability.VIRTUAL_TIME,
    "faults.http": Capability.HTTP_FAULTS,
    "faults.clock": Capability.VIRTUAL_TIME,
}
#: kinds of events that stand in the code -> what their being recorded needs
_EVENTS = {
    "upload.done": Capability.TRANSFER_EVENTS,
    "upload.failed": Capability.TRANSFER_EVENTS,
    "download.done": Capability.TRANSFER_EVENTS,
    "download.failed": Capability.TRANSFER_EVENTS,
    "rpc.scheduler": Capability.RPC_EVENTS,
}


def needs_of(function: Callable[..., object] | None, marks: Iterable[str] = ()) -> frozenset[Capability]:
    """What a scenario needs: the names it is marked with, and what its code uses.

    Helpers of the same module that it calls by name count as its code. Raises `ValueError` for a name that is none.
    """
    found = {named(name) for name in marks}
    todo = [inspect.unwrap(function)] if function is not None else []
    seen: set[object] = set()
    while todo:
        one = todo.pop()
        if one in seen or not inspect.isfunction(one):
            continue
        seen.add(one)
        used = _used(one)
        found |= used.needs
        todo += [helper for name in used.names if inspect.isfunction(helper := one.__globals__.get(name)) and _same_file(helper, one)]
    return frozenset(found)


def _same_file(helper: object, function: object) -> bool:
    return inspect.getmodule(helper) is inspect.getmodule(function)


@dataclass(frozen=True, slots=True)
class _Used:
    needs: frozenset[Capability]
    names: frozenset[str]


def _used(function: Callable[..., object]) -> _Used:
    """What stands in one function's source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # made by exec, or its file is gone: it can still say Unsupported while it runs
        return _Used(frozenset(), frozenset())
    needs: set[Capability] = set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            need = _ATTRIBUTES.get(_chain(node))
            if need is not None:
                needs.add(need)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in _EVENTS:
                needs.add(_EVENTS[node.value])
        elif isinstance(node, ast.Name):
            names.add(node.id)
    return _Used(frozenset(needs), frozenset(names))


def _chain(node: ast.Attribute) -> str:
    """The dotted attributes behind `stack` ("clock.skip" of `stack.clock.skip`), else ""."""
    parts: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    return ".".join(reversed(parts)) if isinstance(inner, ast.Name) and inner.id == "stack" else ""
