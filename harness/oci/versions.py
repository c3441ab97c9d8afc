"""The applications that run container jobs, as a project has them: on the volunteer's own engine, in a virtual machine, or on either.

Each is an application of its own, since that is how BOINC lets a job choose: what hosts get a job, its application's versions say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from harness.errors import HarnessError
from harness.oci import docker_wrapper, vm
from harness.oci.docker_wrapper import DockerWrapper
from harness.project.embedded import Control
from harness.vbox_app import guest_iso, image_file, job_xml

#: what runs a job
Where = Literal["native", "vm", "either"]
APPS: Mapping[Where, str] = {"native": "container", "vm": "container_vm", "either": "container_any"}
TITLES: Mapping[Where, str] = {"native": "Containers", "vm": "Containers in virtual machines", "either": "Containers anywhere"}
VERSION = "1.0"
PLATFORM = "x86_64-pc-linux-gnu"
VM_CLASS, ENGINE_CLASS = "vbox64_container", "container_engine"
#: where a host has both, its own engine is the faster one
PLAN_CLASSES = (
    f"<plan_classes>\n<plan_class>\n<name>{VM_CLASS}</name>\n<virtualbox/>\n<is64bit/>\n"
    "<projected_flops_scale>0.5</projected_flops_scale>\n</plan_class>\n"
    f"<plan_class>\n<name>{ENGINE_CLASS}</name>\n<docker/>\n</plan_class>\n"
    f"<plan_class>\n<name>{docker_wrapper.PLAN_CLASS}</name>\n<docker/>\n</plan_class>\n</plan_classes>\n"
)


def install(control: Control, project: str, where: Where, disk_mb: int, vboxwrapper: bytes | None, plug: DockerWrapper | None) -> None:
    """Make the application and its versions. Raises `HarnessError`."""
    path = f"/projects/{project}"
    control.put(f"{path}/tree/plan_class_spec.xml", PLAN_CLASSES.encode())
    control.call("POST", f"{path}/apps", {"name": APPS[where], "user_friendly_name": TITLES[where]})
    if plug is not None:
        folder = f"{path}/tree/apps/{APPS[where]}/{VERSION}/{PLATFORM}__{docker_wrapper.PLAN_CLASS}"
        program = f"docker_wrapper_{VERSION}_{PLATFORM}"
        control.put(f"{folder}/{program}", plug.program, headers={"X-Mode": "0755"})
        control.put(f"{folder}/version.xml", _version([(program, "", "<main_program/>")]))
    elif where != "vm":
        plan_class = "" if where == "native" else f"__{ENGINE_CLASS}"
        _put_native(control, f"{path}/tree/apps/{APPS[where]}/{VERSION}/{PLATFORM}{plan_class}", plan_class)
    if where != "native":
        wrapper = vboxwrapper or image_file("vboxwrapper", "/vboxwrapper/vboxwrapper")
        _put_vm(control, f"{path}/tree/apps/{APPS[where]}/{VERSION}/{PLATFORM}__{VM_CLASS}", wrapper, disk_mb, where)
    made = control.call("POST", f"{path}/update_versions")
    if len(made["app_versions"]) < (2 if where == "either" else 1):
        raise HarnessError("the container application was not installed", thing=project, details="\n".join(made["messages"]))


def _put_native(control: Control, folder: str, plan_class: str) -> None:
    program = f"container_wrapper_{VERSION}_{PLATFORM}{plan_class}"
    control.put(f"{folder}/{program}", image_file("container-wrapper", "/container_wrapper/container_wrapper"), headers={"X-Mode": "0755"})
    control.put(f"{folder}/version.xml", _version([(program, "", "<main_program/>")]))


def _put_vm(control: Control, folder: str, wrapper: bytes, disk_mb: int, where: Where) -> None:
    # names of their own for each application: a file of a project never changes
    program, mark = f"vboxwrapper_{APPS[where]}_{VERSION}_{PLATFORM}", f"{APPS[where]}_{VERSION}"
    control.put(f"{folder}/{program}", wrapper, headers={"X-Mode": "0755"})
    files = {
        "vm_isocontext.iso": guest_iso(),
        "vbox_job.xml": job_xml(vm.vbox_job(disk_mb)).encode(),
        "job.conf": vm.GUEST_CONF,
    }
    for name, content in files.items():
        control.put(f"{folder}/{mark}_{name}", content)
    control.put(
        f"{folder}/version.xml",
        _version(
            [
                (program, "", "<main_program/>"),
                *((f"{mark}_{name}", name, "<copy_file/>" if name == "job.conf" else "") for name in files),
            ]
        ),
    )


def _version(files: Sequence[tuple[str, str, str]]) -> bytes:
    """A version.xml of files: their names, what the task knows them by, and more of their elements."""
    text = "".join(
        f"<file><physical_name>{physical}</physical_name>"
        + (f"<logical_name>{logical}</logical_name>" if logical else "")
        + f"{more}</file>\n"
        for physical, logical, more in files
    )
    return f"<version>\n{text}<api_version>8.2.15</api_version>\n<is_wrapper/>\n</version>\n".encode()
