#include <doctest/doctest.h>

#include "host_check.h"
#include "scratch.h"

using namespace vbw;

namespace {

struct Host : Scratch {
    explicit Host(const std::string& flags, const std::string& vendor = "GenuineIntel") {
        setenv("VBOX_USER_HOME", (path + "/home").c_str(), 1);
        write("proc/cpuinfo", "processor\t: 0\nvendor_id\t: " + vendor + "\nflags\t\t: fpu " + flags + " sse2\n\n");
    }
    HostReport look() const { return check_host(path); }
    bool says(const std::string& text) const { return look().text.find(text) != std::string::npos; }
};

}  // namespace

TEST_CASE("a processor whose extension is off is told by the firmware's name for it") {
    Host intel("");
    CHECK(intel.look().acceleration == Acceleration::kSwitchedOff);
    CHECK(intel.says("Intel Virtualization Technology"));
    CHECK(intel.says("BIOS/UEFI"));
    CHECK(intel.look().extensions_disabled());
    CHECK(Host("", "AuthenticAMD").says("SVM Mode"));
}

TEST_CASE("a virtual machine without nested virtualization is no matter of a BIOS") {
    Host host("hypervisor");
    CHECK(host.look().acceleration == Acceleration::kNotNested);
    CHECK(host.says("nested virtualization"));
    CHECK_FALSE(host.says("BIOS"));
}

TEST_CASE("a missing driver and another hypervisor are told apart from the processor") {
    Host host("vmx");
    CHECK(host.look().acceleration == Acceleration::kDriverMissing);
    CHECK(host.says("/dev/vboxdrv"));
    CHECK_FALSE(host.look().extensions_disabled());
    host.write("dev/vboxdrv", "");
    CHECK(host.look().acceleration == Acceleration::kHardware);
    CHECK(host.look().usable());
    host.write("sys/module/kvm_intel/refcnt", "2\n");
    CHECK(host.look().acceleration == Acceleration::kInUse);
    CHECK(host.says("KVM"));
}

TEST_CASE("a driverless VirtualBox needs nothing of the processor") {
    Host host("hypervisor");
    host.write("usr/lib/virtualbox/boinc-mode", "driverless\n");
    CHECK(host.look().acceleration == Acceleration::kDriverless);
    CHECK(host.look().usable());
}

TEST_CASE("what VirtualBox says when a machine does not start is translated") {
    const HostReport before;
    bool found = false;
    CHECK(read_start_failure("error: VT-x is disabled in the BIOS for all CPU modes (VERR_VMX_MSR_ALL_VMX_DISABLED)", before, found).extensions_disabled());
    CHECK(found);
    CHECK(read_start_failure("VERR_SVM_IN_USE", before, found).acceleration == Acceleration::kInUse);
    CHECK(read_start_failure("(VERR_VM_DRIVER_VERSION_MISMATCH)", before, found).acceleration == Acceleration::kWrongDriver);
    CHECK_FALSE(read_start_failure("(VERR_VM_DRIVER_VERSION_MISMATCH)", before, found).extensions_disabled());
    read_start_failure("VBOX_E_FILE_ERROR", before, found);
    CHECK_FALSE(found);
}

TEST_CASE("a container's memory limit counts") {
    Host host("vmx");
    host.write("proc/meminfo", "MemTotal:        8388608 kB\nMemAvailable:    1048576 kB\n");
    CHECK(host_memory_mb(host.path) == doctest::Approx(8192));
    host.write("sys/fs/cgroup/memory.max", "1073741824\n");
    CHECK(host_memory_mb(host.path) == doctest::Approx(1024));
    CHECK(free_memory_mb(host.path) == doctest::Approx(1024));
}
