// What this host can do for a virtual machine, in the words of the host.
#pragma once

#include <string>

namespace vbw {

enum class Acceleration {
    kHardware,      // VT-x or AMD-V, through VirtualBox's driver
    kDriverless,    // VirtualBox interprets the guest; no hardware is needed
    kSwitchedOff,   // the processor has it, the firmware has switched it off
    kNotNested,     // this host is a virtual machine that gets none from its own host
    kInUse,         // another hypervisor holds it
    kDriverMissing, // VirtualBox's kernel module is not loaded, or not open to us
    kWrongDriver,   // of another version
};

struct HostReport {
    Acceleration acceleration = Acceleration::kHardware;
    std::string text;           // one line for people: what is the matter and what to do
    bool usable() const { return acceleration == Acceleration::kHardware || acceleration == Acceleration::kDriverless; }
    // BOINC's client and server read ERR_CPU_VM_EXTENSIONS_DISABLED as "this processor's extensions are off".
    bool extensions_disabled() const { return acceleration == Acceleration::kSwitchedOff || acceleration == Acceleration::kNotNested; }
};

// Where VirtualBox keeps its settings, in its own order: VBOX_USER_HOME, ~/.VirtualBox if it is there, else the
// configuration directory.
std::string virtualbox_home();

// Looks at /proc/cpuinfo, /dev/vboxdrv, /sys/module/kvm* and the note that a driverless VirtualBox leaves
// (/usr/lib/virtualbox/boinc-mode, or what the program vbox-mode answers). `root` is put before these paths, for tests.
HostReport check_host(const std::string& root = "");

// The same out of what VirtualBox said when a machine did not start. `found` is false if it says nothing of the kind.
HostReport read_start_failure(const std::string& virtualbox_text, const HostReport& before, bool& found);

double host_memory_mb(const std::string& root = "");        // what a process here can have at most
double free_memory_mb(const std::string& root = "");

}  // namespace vbw
