"""Plan classes: by name, and by plan_class_spec.xml."""

from __future__ import annotations

import pytest
from boinc_server import plan_class_spec

X64 = "x86_64-pc-linux-gnu"
GPU = """    <coprocs>
<coproc_cuda>
   <count>2</count>
   <name>NVIDIA Fake</name>
   <available_ram>8e9</available_ram>
   <have_cuda>1</have_cuda>
   <req_secs>{req}</req_secs>
   <req_instances>{req}</req_instances>
   <estimated_delay>0</estimated_delay>
   <peak_flops>1e12</peak_flops>
   <cudaVersion>11020</cudaVersion>
   <drvVersion>46039</drvVersion>
   <totalGlobalMem>8589934592</totalGlobalMem>
   <major>8</major>
   <minor>6</minor>
</coproc_cuda>
    </coprocs>
"""


def spec(world, body, name="pc"):
    world.project.path("plan_class_spec.xml").write_text(
        f"<plan_classes>\n<plan_class>\n<name>{name}</name>\n{body}\n</plan_class>\n</plan_classes>\n"
    )


def host_with(world, host_info="", **machine):
    host = world.host(**machine)
    host.client.host_extra = host_info
    return host


def send(world, plan_class, host, **job):
    """The reply to a request for work when there is one job of an app with that class only."""
    world.app(f"app{len(world.project.catalog.apps())}", [f"{X64}__{plan_class}"])
    world.job(world.project.catalog.apps()[-1].name, **job)
    return host.rpc(1.0)


VBOX = "<virtualbox_version>7.0.20</virtualbox_version>\n"
VMX = "<p_features>fpu sse2 avx2 vmx</p_features>\n"


@pytest.mark.parametrize(
    ("name", "machine", "host_info", "gets", "text"),
    [
        ("mt", {"ncpus": 8}, "", True, "<cmdline>--nthreads 8</cmdline>"),
        ("mt", {"ncpus": 1}, "", False, ""),
        ("nci", {}, "", True, "<avg_ncpus>0.010000</avg_ncpus>"),
        ("sse3", {}, "<p_features>pni</p_features>\n", True, ""),
        ("sse3", {}, "", False, ""),
        ("vbox64", {}, "", False, "VirtualBox is not installed"),
        ("vbox64", {}, "<virtualbox_version>7.0.1 unusable</virtualbox_version>", False, "VirtualBox is not usable"),
        ("vbox64", {}, "<virtualbox_version>3.1.8</virtualbox_version>", False, "VirtualBox version 3.2 or later is required"),
        ("vbox64", {}, VBOX, False, "VirtualBox jobs require hardware acceleration support."),
        ("vbox64", {}, VBOX + VMX, True, "<plan_class>vbox64</plan_class>"),
        ("vbox64", {}, VBOX + VMX + "<p_vm_extensions_disabled>1</p_vm_extensions_disabled>\n", False, "hardware acceleration"),
        ("vbox64_mt", {"ncpus": 4}, VBOX + VMX, True, "<cmdline>--nthreads 4.000000</cmdline>"),
        ("vbox", {}, VBOX + VMX, False, ""),
        ("wsl", {}, "", True, ""),
        ("no_such_class", {}, "", False, ""),
    ],
)
def test_classes_by_name(world, name, machine, host_info, gets, text):
    reply = send(world, name, host_with(world, host_info, **machine))
    assert bool(reply.tasks) == gets, reply.text
    assert text in reply.text


def test_a_class_without_its_client_capability(world):
    host = world.host(ncpus=8)
    host.client.extra = "<client_cap_plan_class>0</client_cap_plan_class>\n"
    assert not send(world, "mt", host).tasks


@pytest.mark.parametrize(
    ("body", "host_info", "gets"),
    [
        ("", "", True),
        ("<min_core_client_version>80215</min_core_client_version>", "", True),
        ("<min_core_client_version>80300</min_core_client_version>", "", False),
        ("<max_core_client_version>80000</max_core_client_version>", "", False),
        ("<cpu_feature>avx2</cpu_feature><cpu_feature>sse2</cpu_feature>", "", True),
        ("<cpu_feature>avx</cpu_feature>", "", False),
        ("<min_ncpus>4</min_ncpus>", "", True),
        ("<min_ncpus>5</min_ncpus>", "", False),
        ("<os_regex>^Debian</os_regex>", "", True),
        ("<os_regex>Ubuntu</os_regex>", "", False),
        ("<cpu_vendor_regex>Intel</cpu_vendor_regex><cpu_model_regex>Xeon</cpu_model_regex>", "", True),
        ("<cpu_vendor_regex>AMD</cpu_vendor_regex>", "", False),
        ("<cpu_model_regex>EPYC</cpu_model_regex>", "", False),
        ("<min_libc_version>236</min_libc_version>", "", True),
        ("<min_libc_version>237</min_libc_version>", "", False),
        ("<min_os_version>60100</min_os_version>", "<os_version>D [6.1.5-x|libc 2.36]</os_version>", True),
        ("<min_os_version>60200</min_os_version>", "<os_version>D [6.1.5-x|libc 2.36]</os_version>", False),
        ("<max_os_version>50000</max_os_version>", "<os_version>D [6.1.5-x|libc 2.36]</os_version>", False),
        ("<min_os_version>1</min_os_version>", "<os_version>odd</os_version>", False),
        ("<min_android_version>40000</min_android_version>", "", False),
        ("<user_id>1</user_id>", "", True),
        ("<user_id>2</user_id>", "", False),
        ("<infeasible_random>1</infeasible_random>", "", False),
        ("<min_wu_id>2</min_wu_id>", "", False),
        ("<max_wu_id>1</max_wu_id>", "", True),
        ("<min_batch>1</min_batch>", "", False),
        ("<project_prefs_tag>heavy</project_prefs_tag><project_prefs_regex>1</project_prefs_regex>", "", False),
        (
            "<project_prefs_tag>heavy</project_prefs_tag><project_prefs_regex>1</project_prefs_regex><project_prefs_default_true/>",
            "",
            True,
        ),
        ("<virtualbox/><is64bit/>", "", "VirtualBox is not installed"),
        ("<virtualbox/><is64bit/>", VBOX, True),
        ("<virtualbox/>", VBOX, False),
        ("<virtualbox/><is64bit/><vm_accel_required/>", VBOX, False),
        ("<virtualbox/><is64bit/><vm_accel_required/>", VBOX + VMX, True),
        ("<virtualbox/><is64bit/><min_vbox_version>70021</min_vbox_version>", VBOX, False),
        ("<virtualbox/><is64bit/><max_vbox_version>70019</max_vbox_version>", VBOX, False),
        ("<virtualbox/><is64bit/><exclude_vbox_version>70020</exclude_vbox_version>", VBOX, False),
        ("<docker/>", "", "Docker not present"),
        ("<docker/>", "<docker_version>5.4</docker_version>", True),
        ("<docker/>", "<os_name>Darwin</os_name><docker_version>5</docker_version>", True),
        ("<wsl/>", "", "No WSL distros found"),
        ("<gpu_type>nvidia</gpu_type>", "", False),
        ("<opencl/>", "", False),
        ("<min_core_client_version>99999</min_core_client_version>", "", "A newer BOINC may be required for some tasks."),
    ],
)
def test_specified_classes(world, body, host_info, gets):
    spec(world, body)
    reply = send(world, "pc", host_with(world, host_info))
    assert bool(reply.tasks) == (gets is True), reply.text
    if isinstance(gets, str):
        assert reply.says(gets)


def test_a_client_that_must_not_use_docker(world):
    spec(world, "<docker/>")
    host = host_with(world, "<docker_version>5.4</docker_version>")
    host.client.extra = "<dont_use_docker/>\n"
    assert send(world, "pc", host).says("Client config does not allow using Docker")


def test_threads_and_memory(world):
    body = "<max_threads>8</max_threads><nthreads_cmdline/><mem_usage_base_mb>1000</mem_usage_base_mb>"
    spec(world, body + "<mem_usage_per_cpu_mb>4000</mem_usage_per_cpu_mb>")
    reply = send(world, "pc", world.host(ncpus=6))
    # (13733 MB - 1000) / 4000 CPUs
    assert "<cmdline> --memory_size_mb 13000 --nthreads 3</cmdline>" in reply.text
    assert "<avg_ncpus>3.000000</avg_ncpus>" in reply.text
    assert "<flops>12000000000.000000</flops>" in reply.text


def test_virtual_machines_without_acceleration_use_one_cpu(world):
    spec(world, "<virtualbox/><is64bit/><max_threads>4</max_threads><nthreads_cmdline/>")
    assert "--nthreads 1<" in send(world, "pc", host_with(world, VBOX)).text


@pytest.mark.parametrize(
    ("body", "gets"),
    [
        ("<gpu_type>nvidia</gpu_type>", True),
        ("<gpu_type>nvidia</gpu_type><cuda/><min_cuda_version>11000</min_cuda_version>", True),
        ("<gpu_type>nvidia</gpu_type><cuda/><min_cuda_version>12000</min_cuda_version>", False),
        ("<gpu_type>nvidia</gpu_type><min_nvidia_compcap>806</min_nvidia_compcap>", True),
        ("<gpu_type>nvidia</gpu_type><max_nvidia_compcap>800</max_nvidia_compcap>", False),
        ("<gpu_type>nvidia</gpu_type><min_gpu_ram_mb>9000</min_gpu_ram_mb>", False),
        ("<gpu_type>nvidia</gpu_type><min_driver_version>50000</min_driver_version>", False),
        ("<gpu_type>nvidia</gpu_type><min_gpu_peak_flops>2e12</min_gpu_peak_flops>", False),
        ("<gpu_type>nvidia</gpu_type><opencl/>", False),
        ("<gpu_type>amd</gpu_type>", False),
        ("<gpu_type>intel_gpu</gpu_type>", False),
    ],
)
def test_gpu_classes_with_a_fake_gpu(world, body, gets):
    spec(world, body)
    host = world.host()
    host.client.extra = GPU.format(req=1)
    reply = send(world, "pc", host)
    assert bool(reply.tasks) == gets, reply.text
    if gets:
        assert "<type>NVIDIA</type>" in reply.text
        assert "<count>1.000000</count>" in reply.text


def test_no_gpu_work_unless_asked_for(world):
    spec(world, "<gpu_type>nvidia</gpu_type><ngpus>0.5</ngpus>")
    host = world.host()
    host.client.extra = GPU.format(req=0)
    assert not send(world, "pc", host).tasks
    host.client.extra = GPU.format(req=1)
    assert "<count>0.500000</count>" in host.rpc(0).text


def test_the_faster_class_is_chosen(world):
    world.project.path("plan_class_spec.xml").write_text(
        "<plan_classes><plan_class><name>slow</name><projected_flops_scale>0.5</projected_flops_scale></plan_class>"
        "<plan_class><name>fast</name><projected_flops_scale>2</projected_flops_scale></plan_class></plan_classes>"
    )
    world.app("both", [f"{X64}__slow", f"{X64}__fast", X64])
    world.job("both")
    assert "<plan_class>fast</plan_class>" in world.host().rpc(1.0).text


@pytest.mark.parametrize(
    "text",
    [
        "<plan_class/>",
        "<plan_classes><plan_class>",
        "<plan_classes><plan_class><os_regex>(</os_regex></plan_class></plan_classes>",
        "<plan_classes><plan_class><min_ncpus>x</min_ncpus></plan_class></plan_classes>",
    ],
)
def test_a_wrong_file_makes_all_classes_infeasible(world, text):
    with pytest.raises(plan_class_spec.SpecError):
        plan_class_spec.parse(text)
    world.project.path("plan_class_spec.xml").write_text(text)
    assert not send(world, "mt", world.host()).tasks


def test_a_host_on_which_a_vm_task_waits_gets_no_more_of_them(world):
    host = host_with(world, VBOX + VMX)
    (waiting,) = send(world, "vbox64", host).tasks

    def says(text):
        name = f"<result_name>{waiting.name}</result_name>\n<time>1</time>\n"
        host.client.extra = f"<msg_from_host>\n{name}<variety>vm_host</variety>\n{text}\n</msg_from_host>\n"

    says("<usable>0</usable>\n<reason>VT-x is switched off</reason>")
    reply = send(world, "vbox64", host)
    assert not reply.tasks
    assert "VT-x is switched off" in reply.text
    says("<usable>1</usable>")
    assert host.rpc(1.0).tasks
