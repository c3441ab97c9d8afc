"""Random faults from a seed: the same number gives the same scenario, on any machine.

`scenario(seed)` is the expanded schedule as a scenario file: what a failed run prints, and what replays it without the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import UsageError

#: virtual seconds in which faults begin
STORM = 240
DAY = 86_400
HOSTS = ("host1", "host2")
HTTP: Mapping[str, Callable[[random.Random], Any]] = {
    "status": lambda dice: dice.choice([500, 502, 503]),
    "reset": lambda _dice: True,
    "lose_reply": lambda _dice: True,
    "cut": lambda dice: dice.randrange(0, 200),
    "wrong_length": lambda dice: dice.choice([-1, 1, 500]),
    "replace": lambda dice: dice.choice(["", "<html>It works!</html>", "\x7f" * 50]),
    "rate": lambda dice: dice.randrange(2000, 50_000),
    "delay": lambda dice: f"{dice.choice([0.1, 0.5, 1.5])}s",
}
#: An altered input ends its task, and each next try on the same host with it (see docs/known-bugs.md): only what is asked for again
#: may be replaced. A length that is wrong by one cuts a small file.
ONLY_FOR: Mapping[str, tuple[str, ...]] = {"replace": ("scheduler",), "wrong_length": ("scheduler", "upload")}
ENDPOINTS = ("scheduler", "upload", "download")


def _http(dice: random.Random) -> dict[str, Any]:
    endpoint = dice.choice(ENDPOINTS)
    action = dice.choice([name for name in HTTP if endpoint in ONLY_FOR.get(name, ENDPOINTS)])
    fault = {"http": endpoint, action: HTTP[action](dice)}
    return {**fault, "times": dice.randrange(1, 5)} if dice.random() < 0.5 else fault


KINDS: tuple[tuple[int, Callable[[random.Random], dict[str, Any]]], ...] = (
    (6, _http),
    (2, lambda dice: {"kill": dice.choice([*HOSTS, "server"]), "signal": dice.choice(["SIGKILL", "SIGTERM"])}),
    (2, lambda dice: {"freeze": dice.choice([*HOSTS, "server"])}),
    (2, lambda dice: {"partition": dice.choice(HOSTS), "how": dice.choice(["drop", "reject"])}),
    (1, lambda dice: {"lose": dice.choice(HOSTS), "share": round(dice.uniform(0.05, 0.4), 2)}),
    (1, lambda dice: {"skew": dice.choice(HOSTS), "seconds": dice.choice([60, 3600, DAY])}),
)


def _job(dice: random.Random, number: int) -> dict[str, Any]:
    limits = {"max_error_results": 10, "max_success_results": 10, "max_total_results": 20, "delay_bound": "7d"}
    if dice.random() < 0.5:
        return {"name": f"job{number}", "app": "uppercase", "input": dice.choice("abcdefgh") * dice.randrange(1, 300), **limits}
    return {"name": f"job{number}", "app": "sleeper", "command_line": f"{dice.randrange(5, 60)} 5", **limits}


def schedule(seed: int) -> dict[str, Any]:
    """The scenario of a seed, as a scenario file's document."""
    if not 0 <= seed < 2**32:
        raise UsageError("a chaos seed out of range", thing=str(seed), expected="0 to 4294967295")
    dice = random.Random(seed)
    jobs = [_job(dice, number) for number in range(1, dice.randrange(4, 8))]
    faults: list[dict[str, Any]] = []
    busy: dict[str, int] = {}
    for start in sorted(dice.randrange(0, STORM) for _ in range(dice.randrange(3, 9))):
        [make] = dice.choices([make for _, make in KINDS], [weight for weight, _ in KINDS])
        fault, lasts = make(dice), dice.randrange(10, 90)
        target = next(str(fault[verb]) for verb in ("kill", "freeze", "partition", "lose", "skew", "http") if verb in fault)
        # One thing for each host and the server: what is dead can be neither frozen nor cut off, and coming back takes its time.
        if target in busy and (target in (*HOSTS, "server") or start < busy[target]):
            continue
        busy[target] = start + lasts + 30
        faults.append({**fault, "at": f"{start}s", "for": f"{lasts}s"})
    calm = {"event": "fault.healed", "count": len(faults)}
    steps: list[dict[str, Any]] = [{"on": calm, "within": "120s", "wait": "1s"}]
    steps += [{verb: host} for verb in ("retry_transfers", "update") for host in HOSTS]
    # a client whose clock is set back by a day may start nothing until it is again what it was (see docs/known-bugs.md, 566)
    steps += [{"skip": "1d"}] if any(fault.get("seconds", 0) >= DAY for fault in faults) else []
    steps += [{"fast_forward": job["name"], "reaches": "assimilated", "within": "60s"} for job in jobs]
    return {
        "scenario": f"chaos {seed}",
        "about": "Random faults for some minutes; when they are over, every job is done and nothing counts twice.",
        "clients": [{"name": host} for host in HOSTS],
        "jobs": jobs,
        "faults": faults,
        "steps": steps,
        "expect": [{"job": job["name"], "reaches": "assimilated", "within": "5s"} for job in jobs],
    }


def scenario(seed: int) -> str:
    """The same as the text of a scenario file."""
    from harness.scenario.dump import dump  # noqa: PLC0415 - the scenario package imports this one's faults

    return dump(schedule(seed), comment=f"made by --chaos {seed}; save it as a file to replay or reduce it")


def parse_seeds(text: str) -> list[int]:
    """From what a person writes: "7", "1-50", "3,9,20-22"."""
    seeds: list[int] = []
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError("no chaos seed", thing=repr(word), expected="numbers, or ranges of them: 7 or 1-50 or 3,9,20-22")
        seeds += range(int(first), int(last or first) + 1)
        if len(seeds) > 10_000:
            raise UsageError("too many chaos seeds", thing=text, expected="at most 10000 of them")
    return seeds
