#include "host_check.h"

#include <unistd.h>

#include <cstdlib>

#include "process.h"
#include "util.h"

namespace vbw {

namespace {

struct Processor {
    bool vmx = false, svm = false, hypervisor = false, intel = false, known = false;
    std::string extension() const { return intel ? "Intel VT-x" : "AMD-V (SVM)"; }
    std::string firmware_switch() const {
        return intel ? "'Intel Virtualization Technology' (VT-x)" : "'SVM Mode' (AMD-V)";
    }
};

Processor read_processor(const std::string& root) {
    Processor p;
    const auto text = read_file(root + "/proc/cpuinfo", 8 << 20);
    if (!text) return p;
    p.known = true;
    p.intel = contains(*text, "GenuineIntel");
    for (const auto& line : split_lines(*text)) {
        if (!starts_with(line, "flags")) continue;
        const std::string flags = line + " ";
        p.vmx = contains(flags, " vmx ");
        p.svm = contains(flags, " svm ");
        p.hypervisor = contains(flags, " hypervisor ");
        break;
    }
    if (p.vmx) p.intel = true;
    return p;
}

std::string driver_advice() {
    return "Install VirtualBox's kernel module for the running kernel and load it (as root: modprobe vboxdrv), "
           "or sign it if Secure Boot is on.";
}

HostReport report(Acceleration what, const Processor& p) {
    HostReport r;
    r.acceleration = what;
    switch (what) {
    case Acceleration::kHardware:
        r.text = "This host runs 64-bit virtual machines with " + p.extension() + ".";
        break;
    case Acceleration::kDriverless:
        r.text = std::string("This host runs 64-bit virtual machines in VirtualBox's driverless mode (interpreted, slow); ") +
                 "no hardware support is needed.";
        break;
    case Acceleration::kSwitchedOff:
        r.text = p.extension() + " is switched off on this computer, so it cannot run 64-bit virtual machines. "
                 "Switch on " + p.firmware_switch() + " in the BIOS/UEFI setup and start the computer again.";
        break;
    case Acceleration::kNotNested:
        r.text = "This computer is itself a virtual machine and gets no " + p.extension() + " from its host, so it cannot run "
                 "64-bit virtual machines. Switch on nested virtualization for it on its host.";
        break;
    case Acceleration::kInUse:
        r.text = "Another hypervisor (such as KVM) is using " + p.extension() + " on this computer, so VirtualBox cannot. "
                 "Stop its virtual machines, or unload it (as root: modprobe -r " + (p.intel ? "kvm_intel" : "kvm_amd") + ").";
        break;
    case Acceleration::kDriverMissing:
        r.text = "VirtualBox's driver is not available on this computer (/dev/vboxdrv). " + driver_advice();
        break;
    case Acceleration::kWrongDriver:
        r.text = "VirtualBox's driver on this computer is of another version than VirtualBox. " + driver_advice();
        break;
    }
    return r;
}

// A driverless VirtualBox says so in a note or through a program of its own; or its global settings do.
bool driverless(const std::string& root) {
    if (const auto mode = read_file(root + "/usr/lib/virtualbox/boinc-mode", 4096)) return contains(*mode, "driverless");
    for (const char* directory : {"/usr/bin/", "/usr/local/bin/", "/usr/lib/virtualbox/"}) {
        const std::string program = root + directory + "vbox-mode";
        if (access(program.c_str(), X_OK)) continue;
        const ProcessResult answer = run_process({program}, 10, nullptr);
        if (answer.exit_status == 0) return starts_with(answer.output, "driverless");
    }
    const auto settings = read_file(virtualbox_home() + "/VirtualBox.xml", 4 << 20);
    return settings && contains(*settings, "name=\"VBoxInternal/EM/IemExecutesAll\" value=\"1\"") &&
           !exists(root + "/dev/vboxdrv");
}

}  // namespace

std::string virtualbox_home() {
    const auto variable = [](const char* name) {
        const char* value = getenv(name);
        return std::string(value ? value : "");
    };
    const std::string own = variable("VBOX_USER_HOME"), home = variable("HOME"), config = variable("XDG_CONFIG_HOME");
    if (!own.empty()) return own;
    if (is_directory(home + "/.VirtualBox")) return home + "/.VirtualBox";
    return (config.empty() ? home + "/.config" : config) + "/VirtualBox";
}

HostReport check_host(const std::string& root) {
    const Processor p = read_processor(root);
    if (driverless(root)) return report(Acceleration::kDriverless, p);
    if (p.known && !p.vmx && !p.svm) {
        return report(p.hypervisor ? Acceleration::kNotNested : Acceleration::kSwitchedOff, p);
    }
    // Some kernels take the extensions as soon as the module is loaded, not when a machine runs.
    for (const char* module : {"kvm_intel", "kvm_amd"}) {
        const auto users = read_file(root + "/sys/module/" + module + "/refcnt", 64);
        if (users && to_integer(trim(*users)).value_or(0) > 0) return report(Acceleration::kInUse, p);
    }
    const std::string device = root + "/dev/vboxdrv";
    if (!exists(device)) return report(Acceleration::kDriverMissing, p);
    return report(Acceleration::kHardware, p);
}

HostReport read_start_failure(const std::string& text, const HostReport& before, bool& found) {
    static const std::pair<const char*, Acceleration> causes[] = {
        {"VERR_VMX_MSR_VMX_DISABLED", Acceleration::kSwitchedOff},
        {"VERR_VMX_MSR_ALL_VMX_DISABLED", Acceleration::kSwitchedOff},
        {"VERR_VMX_MSR_VMXON_DISABLED", Acceleration::kSwitchedOff},
        {"VERR_VMX_MSR_LOCKING_FAILED", Acceleration::kSwitchedOff},
        {"VERR_SVM_DISABLED", Acceleration::kSwitchedOff},
        {"VERR_VMX_IN_VMX_ROOT_MODE", Acceleration::kInUse},
        {"VERR_SVM_IN_USE", Acceleration::kInUse},
        {"VERR_VM_DRIVER_VERSION_MISMATCH", Acceleration::kWrongDriver},
        {"VERR_VM_DRIVER_NOT_INSTALLED", Acceleration::kDriverMissing},
        {"VERR_VM_DRIVER_NOT_ACCESSIBLE", Acceleration::kDriverMissing},
        {"VERR_VM_DRIVER_LOAD_ERROR", Acceleration::kDriverMissing},
        {"VERR_VM_DRIVER_OPEN_ERROR", Acceleration::kDriverMissing},
        {"kernel module is not loaded", Acceleration::kDriverMissing},
        {"kernel driver not installed", Acceleration::kDriverMissing},
        {"/dev/vboxdrv does not exist", Acceleration::kDriverMissing},
        {"VERR_VMX_NO_VMX", Acceleration::kSwitchedOff},
        {"VERR_SVM_NO_SVM", Acceleration::kSwitchedOff},
        {"VERR_NEM_NOT_AVAILABLE", Acceleration::kSwitchedOff},
    };
    found = false;
    for (const auto& [code, what] : causes) {
        if (!contains(text, code)) continue;
        found = true;
        Processor p = read_processor("");
        Acceleration cause = what;
        if (contains(text, "VERR_VMX_")) p.intel = true;
        if (contains(text, "VERR_SVM_")) p.intel = false;
        if (cause == Acceleration::kSwitchedOff && p.hypervisor &&
            (contains(code, "NO_") || contains(code, "NEM"))) {
            cause = Acceleration::kNotNested;
        }
        HostReport r = report(cause, p);
        r.text += std::string(" (VirtualBox: ") + code + ")";
        return r;
    }
    return before;
}

double host_memory_mb(const std::string& root) {
    double most = 0;
    if (const auto text = read_file(root + "/proc/meminfo", 65536)) {
        const size_t at = text->find("MemTotal:");
        if (at != std::string::npos) most = strtod(text->c_str() + at + 9, nullptr) / 1024;
    }
    // A container's limit, of either generation of control groups.
    for (const char* file : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
        const auto text = read_file(root + file, 128);
        const double limit = text ? to_number(trim(*text)).value_or(0) / 1048576 : 0;
        if (limit > 0 && (most == 0 || limit < most)) most = limit;
    }
    return most;
}

double free_memory_mb(const std::string& root) {
    const auto text = read_file(root + "/proc/meminfo", 65536);
    const size_t at = text ? text->find("MemAvailable:") : std::string::npos;
    return at == std::string::npos ? 0 : strtod(text->c_str() + at + 13, nullptr) / 1024;
}

}  // namespace vbw
