#!/usr/bin/env python3
"""A VBoxManage that only pretends, and a virtual machine that a test scripts.

State is kept in the folder $FAKE_VBOX: `machines.json`, `calls` (one line each), `faults.json` (a list of
{"words": ["startvm"], "times": 1, "exit": 1, "output": "...", "sleep": 0}), `guest.json` (the guest: a list of steps, see `guest`).
A started machine is a process of its own, as VirtualBox's are: it writes VBox.log and obeys files that later calls leave for it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STATE = Path(os.environ["FAKE_VBOX"])
NOT_FOUND = "code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component VirtualBoxWrap"


class Refused(Exception):
    """VBoxManage fails with this text."""


def load() -> dict[str, Any]:
    path = STATE / "machines.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def put(path: Path, text: str) -> None:
    """Write a file that another process may read at any moment: it finds all of it or none."""
    aside = path.with_name(path.name + ".new")
    aside.write_text(text)
    aside.rename(path)


def save(machines: dict[str, Any]) -> None:
    put(STATE / "machines.json", json.dumps(machines))


def fault(words: list[str]) -> None:
    path = STATE / "faults.json"
    faults = json.loads(path.read_text()) if path.exists() else []
    for one in faults:
        wanted = one["words"]
        at = words[0:1] + words[2:3] if words[:1] in (["controlvm"], ["snapshot"]) else words
        if at[: len(wanted)] != wanted or one.get("times", 1) == 0:
            continue
        one["times"] = one.get("times", 1) - 1
        put(path, json.dumps(faults))
        if one.get("sleep"):
            time.sleep(one["sleep"])
        if "output" in one:
            print(one["output"])
            sys.exit(one.get("exit", 1))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return state != "Z"


def state_of(machine: dict[str, Any]) -> str:
    if machine["state"] in {"running", "paused"} and not alive(machine["pid"]):
        log = Path(machine["folder"], "Logs", "VBox.log").read_text(errors="replace")
        machine["state"] = "poweroff" if "'PoweredOff'" in log else "aborted"
    return str(machine["state"])


def tell(machine: dict[str, Any], order: str, gone: bool) -> None:
    """Give an order to the machine's process, and wait until it is carried out."""
    path = Path(machine["folder"], "order")
    put(path, order)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not alive(machine["pid"]) if gone else not path.exists():
            return
        time.sleep(0.005)
    raise Refused("the machine does not obey")


def start(machine: dict[str, Any]) -> None:
    logs = Path(machine["folder"], "Logs")
    logs.mkdir(exist_ok=True)
    # VirtualBox 7.2 renames the log of a machine whose state was saved twice, so that there is no VBox.log.1 then
    for number in (3, 2, 1) * (2 if machine["state"] == "saved" else 1):
        old = logs / (f"VBox.log.{number - 1}" if number > 1 else "VBox.log")
        if old.exists():
            old.rename(logs / f"VBox.log.{number}")
    # In between is VBoxSVC, whose child a machine's process is; the fake one ends at once.
    command = [sys.executable, __file__, "--machine", machine["name"], machine["folder"]]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    machine["pid"], machine["state"] = process.pid, "running"


def snapshot(machine: dict[str, Any], words: list[str]) -> None:
    if words[0] == "take":
        machine["snapshots"].append(words[1])
    elif words[0] == "delete":
        machine["snapshots"].remove(words[1])
    elif words[0] == "restorecurrent":
        if state_of(machine) in {"running", "paused"}:
            raise Refused("machine is running")
        machine["state"] = "saved"
        machine["resumed"] = True


def control(machine: dict[str, Any], words: list[str]) -> None:
    if state_of(machine) not in {"running", "paused"}:
        raise Refused(f"Machine '{machine['name']}' is not currently running.\nDetails: code VBOX_E_INVALID_VM_STATE (0x80bb0002)")
    order = words[0]
    if order == "pause":
        machine["state"] = "paused"
        tell(machine, "pause", gone=False)
    elif order == "resume":
        machine["state"] = "running"
        tell(machine, "resume", gone=False)
    elif order == "poweroff":
        tell(machine, "poweroff", gone=True)
        machine["state"] = "poweroff"
    elif order == "savestate":
        tell(machine, "savestate", gone=True)
        machine["state"] = "saved"
        folder = Path(machine["folder"], "Snapshots")
        folder.mkdir(exist_ok=True)
        (folder / "1.sav").write_text("saved")
    elif order == "screenshotpng":
        Path(words[1]).write_bytes(b"\x89PNG")


def call(words: list[str]) -> None:
    machines = load()

    def machine(name: str) -> dict[str, Any]:
        if name not in machines:
            raise Refused(f"Could not find a registered machine named '{name}'\nDetails: {NOT_FOUND}")
        found: dict[str, Any] = machines[name]
        return found

    def option(name: str) -> str:
        return words[words.index(name) + 1]

    match words[0]:
        case "--version":
            print("7.2.22_Fake")
        case "createvm":
            name = option("--name")
            if name in machines:
                raise Refused(f"Machine settings file '{name}' already exists\nDetails: code VBOX_E_FILE_ERROR (0x80bb0004)")
            folder = Path(option("--basefolder"), name)
            folder.mkdir()
            (folder / f"{name}.vbox").write_text(json.dumps({"name": name}))
            machines[name] = {
                "name": name,
                "folder": str(folder),
                "state": "poweroff",
                "snapshots": [],
                "pid": 0,
                "shared": {},
                "disks": [],
            }
        case "registervm":
            path = Path(words[1])
            saved = json.loads((path.parent / "kept.json").read_text())
            machines[saved["name"]] = saved
        case "modifyvm" | "storagectl" | "bandwidthctl":
            machine(words[1])
        case "storageattach":
            machine(words[1])["disks"].append(option("--medium"))
        case "sharedfolder":
            machine(words[2])["shared"][option("--name")] = option("--hostpath")
        case "createmedium":
            Path(option("--filename")).write_bytes(Path(os.environ["FAKE_VDI"]).read_bytes())
        case "startvm":
            start(machine(words[1]))
            put(Path(machine(words[1])["folder"]) / "shared.json", json.dumps(machine(words[1])["shared"]))
        case "showvminfo":
            found = machine(words[1])
            unseen = Path(found["folder"]) / "dies-unseen"
            if found["state"] == "running" and not alive(found["pid"]) and unseen.exists():
                unseen.unlink()
                raise Refused(
                    "Failed to get a console object from the direct session (NS_ERROR_ABORT)\n"
                    "Details: code VBOX_E_VM_ERROR (0x80bb0003), component MachineWrap, interface IMachine, callee nsISupports"
                )
            print(f'VMState="{state_of(found)}"')
            if found["snapshots"]:
                print(f'CurrentSnapshotName="{found["snapshots"][-1]}"')
        case "controlvm":
            control(machine(words[1]), words[2:])
        case "snapshot":
            snapshot(machine(words[1]), words[2:])
        case "adoptstate":
            found = machine(words[1])
            if Path(words[2]).read_text() != "saved":
                raise Refused("this is no saved state\nDetails: code VBOX_E_FILE_ERROR (0x80bb0004)")
            found["state"], found["resumed"] = "saved", True
            (Path(found["folder"]) / "adopted").write_text("yes")
        case "discardstate":
            machine(words[1])["state"] = "poweroff"
        case "unregistervm":
            found = machine(words[1])
            if state_of(found) in {"running", "paused"}:
                raise Refused("locked\nDetails: code VBOX_E_INVALID_OBJECT_STATE (0x80bb0007)")
            del machines[words[1]]
            folder = Path(found["folder"])
            if "--delete" in words:
                for path in sorted(folder.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
                folder.rmdir()
                for disk in found["disks"]:
                    if disk.endswith(".vdi"):
                        Path(disk).unlink(missing_ok=True)
            else:
                (folder / "kept.json").write_text(json.dumps(found))
        case "closemedium" | "list":
            pass
        case other:
            raise Refused(f"Unknown command {other}")
    save(machines)


def guest(folder: Path, log: Any, began: float) -> str:
    """Play the guest's steps; a step is one of

    {"say": TEXT} {"raw": TEXT without newline} {"write": [NAME, TEXT]} {"wait": SECONDS} {"await": NAME} {"flood": LINES}
    {"rotate": true} {"beat": NAME} {"symlink": [NAME, TARGET]} {"files": COUNT} {"die": SIGNAL} {"off": true} {"guru": true}
    """
    until = time.monotonic() + 10
    while not (folder / "shared.json").exists() and time.monotonic() < until:
        time.sleep(0.005)
    shared = Path(json.loads((folder / "shared.json").read_text()).get("shared", "/nonexistent"))
    steps = json.loads((STATE / "guest.json").read_text())
    done = folder / "step"
    first = int(done.read_text()) if done.exists() else 0
    logs = folder / "Logs"

    def stamp() -> str:
        seconds = time.monotonic() - began
        return f"{int(seconds // 3600):02}:{int(seconds // 60 % 60):02}:{seconds % 60:09.6f}"

    def orders() -> str:
        path = folder / "order"
        while path.exists():
            order = path.read_text()
            if order == "resume":
                path.unlink(missing_ok=True)
                break
            if order != "pause":
                return order
            log.write(f"{stamp()} Console: Machine state changed to 'Paused'\n")
            log.flush()
            path.unlink()
            while not path.exists():
                time.sleep(0.005)
        return ""

    for number, step in enumerate(steps):
        if number < first:
            continue
        until = time.monotonic() + step.get("wait", 0)
        while True:
            if order := orders():
                done.write_text(str(number))
                return order
            if "await" in step and not (shared / step["await"]).exists():
                time.sleep(0.005)
                continue
            if "beat" in step:
                (shared / step["beat"]).write_text(str(time.monotonic()))
            if time.monotonic() >= until:
                break
            time.sleep(0.005)
        if "say" in step:
            log.write(f"{stamp()} VMMDev: Guest Log: {step['say']}\n")
        if "raw" in step:
            log.write(step["raw"].replace("STAMP", stamp()))
        for line in range(step.get("flood", 0)):
            log.write(f"{stamp()} VMMDev: Guest Log: flood {line}\n")
        log.flush()
        if "die" in step:
            (folder / "dies-unseen").touch()  # VBoxSVC does not know at once
        if "rotate" in step:
            # More generations than VirtualBox keeps: how slow this machine is must not matter here.
            for older in range(9, 0, -1):
                path = logs / (f"VBox.log.{older - 1}" if older > 1 else "VBox.log")
                if path.exists():
                    path.rename(logs / f"VBox.log.{older}")
            log = (logs / "VBox.log").open("w")
        if "write" in step:
            put(shared / step["write"][0], step["write"][1])
        if "symlink" in step:
            (shared / step["symlink"][0]).symlink_to(step["symlink"][1])
        for file in range(step.get("files", 0)):
            (shared / f"file{file}").touch()
        if "die" in step:
            done.write_text(str(number + 1))
            os.kill(os.getpid(), step["die"])
        if "guru" in step:
            log.write(f"{stamp()} Console: Machine state changed to 'Stuck'\n")
            log.flush()
        if "off" in step:
            return "poweroff"
    while not (order := orders()):
        time.sleep(0.005)
    return order


def machine_process(name: str, folder: Path) -> None:
    # The wrapper recognises a machine's process by the machine's name in its command line.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    began = time.monotonic()
    with (folder / "Logs" / "VBox.log").open("w") as log:
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        log.write(f"00:00:00.000100 Log opened {now}.000000000Z\n00:00:00.000200 Process ID: {os.getpid()}\n")
        log.write("00:00:00.010000 Console: Machine state changed to 'Running'\n")
        log.flush()
        order = guest(folder, log, began)
    state = "Saved" if order == "savestate" else "PoweredOff"
    with (folder / "Logs" / "VBox.log").open("a") as log:
        log.write(f"00:01:00.000000 Console: Machine state changed to '{state}'\n")
    (folder / "order").unlink(missing_ok=True)


def main() -> int:
    if sys.argv[1:2] == ["--machine"]:
        machine_process(sys.argv[2], Path(sys.argv[3]))
        return 0
    words = sys.argv[2:] if sys.argv[1] == "-q" else sys.argv[1:]
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (STATE / "calls").open("a") as calls:
            calls.write(" ".join(words) + "\n")
        fault(words)
        try:
            call(words)
        except Refused as refused:
            for line in str(refused).splitlines():
                print(f"VBoxManage: error: {line}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
