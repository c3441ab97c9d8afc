#include "machine.h"

#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "process.h"
#include "util.h"

namespace vbw {

namespace {

constexpr const char* kController = "Hard Disk Controller";   // the stock wrapper's name
constexpr const char* kFloppyController = "Floppy Controller";
constexpr double kQuick = 60;         // seconds for calls that only change settings
constexpr double kStart = 120;
constexpr int kForgetTries = 3;
constexpr double kSlow = 600;         // for calls that write memory or merge disks

std::string whole(double value) { return std::to_string(static_cast<long long>(std::ceil(value))); }

// VirtualBox ends lines of VBox.log for a flooding guest after 32,768 of them ("restrict") and lets the file grow
// without end. Both are settings of its release log.
constexpr const char* kUnlimitedGuestLog = "VBOX_RELEASE_LOG=-dev_vmm.restrict -dev_vmm_backdoor.restrict";
constexpr const char* kRotatingLog = "VBOX_RELEASE_LOG_DEST=history=3 histsize=16777216";

std::string value_of(const std::string& info, const std::string& key) {
    for (const auto& line : split_lines(info)) {
        if (!starts_with(line, key + "=")) continue;
        std::string value = trim(line.substr(key.size() + 1));
        if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
        return value;
    }
    return "";
}

}  // namespace

Machine::Machine(VBoxManage& manage, std::string name, std::string base_folder)
    : manage_(manage), name_(std::move(name)), base_folder_(std::move(base_folder)) {}

MachineState Machine::state() {
    MachineState result;
    try {
        const std::string info = manage_.run({"showvminfo", name_, "--machinereadable"}, kQuick);
        result.registered = true;
        result.state = value_of(info, "VMState");
        result.snapshot = value_of(info, "CurrentSnapshotName");
    } catch (const VBoxError& error) {
        if (!error.is("VBOX_E_OBJECT_NOT_FOUND") && !error.is("0x80bb0001") &&
            !error.is("Could not find a registered machine")) {
            throw;
        }
    }
    return result;
}

void Machine::modify(const MachineConfig& c) {
    std::vector<std::string> args = {
        "modifyvm", name_, "--description", c.description, "--memory", whole(c.memory_mb), "--cpus",
        std::to_string(c.cpus), "--acpi", "on", "--ioapic", "on", "--rtcuseutc", "on", "--vram", whole(c.vram_mb),
        "--graphicscontroller", c.graphics, "--boot1", c.boot_dvd_first ? "dvd" : "disk", "--boot2",
        c.boot_dvd_first ? "disk" : "dvd", "--boot3", "none", "--boot4", "none", "--audio-enabled", "off",
        // The logo and the boot menu cost 2.5 s on an interpreted processor.
        "--bios-logo-fade-in", "off", "--bios-logo-fade-out", "off", "--bios-logo-display-time", "0",
        "--bios-boot-menu", "disabled"};
    const auto add = [&args](std::initializer_list<std::string> more) { args.insert(args.end(), more); };
    if (!c.accelerated) add({"--hwvirtex", "off"});
    if (c.network == MachineConfig::kNone) {
        add({"--nic1", "none"});
    } else {
        add({"--nic1", c.network == MachineConfig::kNat ? "nat" : "bridged", "--cable-connected1",
             c.network_suspended ? "off" : "on"});
        if (!c.network_driver.empty()) add({"--nic-type1", c.network_driver});
        if (c.network == MachineConfig::kBridged) add({"--bridge-adapter1", c.bridge});
        if (c.network == MachineConfig::kNat) {
            add({"--nat-dns-proxy1", "on"});
            if (c.dns_host_resolver) add({"--nat-dns-host-resolver1", "on"});
            if (c.localhost_reachable) add({"--nat-localhostreachable1", "on"});
        }
        for (const auto& forward : c.forwards) {
            add({"--nat-pf1", ",tcp," + std::string(forward.is_remote ? "" : "127.0.0.1") + "," +
                                  std::to_string(forward.host_port) + ",," + std::to_string(forward.guest_port)});
        }
    }
    if (c.remote_desktop_port) {
        add({"--vrde", "on", "--vrde-address", "127.0.0.1", "--vrde-port", std::to_string(c.remote_desktop_port)});
    }
    manage_.run(args, kQuick);
}

void Machine::attach(const MachineConfig& c) {
    int ports = 0;
    bool floppy = false;
    for (const auto& disk : c.disks) (disk.kind == Disk::kFloppy ? floppy = true : ++ports);
    const std::string type = lower(c.controller_type);
    if (ports) {
        std::vector<std::string> args = {"storagectl", name_, "--name", kController, "--add", type,
                                         "--controller", c.controller_model, "--hostiocache", "off"};
        if (type == "sata") args.insert(args.end(), {"--portcount", std::to_string(ports)});
        manage_.run(args, kQuick);
    }
    if (floppy) manage_.run({"storagectl", name_, "--name", kFloppyController, "--add", "floppy"}, kQuick);
    int next = 0;
    for (const auto& disk : c.disks) {
        const bool fdd = disk.kind == Disk::kFloppy;
        if (!disk.parent.empty()) {
            manage_.run({"createmedium", "disk", "--filename", disk.medium, "--diffparent", disk.parent}, kQuick);
        }
        const int number = fdd ? 0 : next++;
        std::vector<std::string> args = {
            "storageattach", name_, "--storagectl", fdd ? kFloppyController : kController,
            "--port", std::to_string(type == "ide" && !fdd ? number / 2 : number), "--device",
            std::to_string(type == "ide" && !fdd ? number % 2 : 0), "--type",
            fdd ? "fdd" : disk.kind == Disk::kDvd ? "dvddrive" : "hdd"};
        if (disk.new_uuid) args.insert(args.end(), {"--setuuid", ""});
        args.insert(args.end(), {"--medium", disk.medium});
        manage_.run(args, kQuick);
    }
}

void Machine::create(const MachineConfig& c) {
    manage_.run({"createvm", "--name", name_, "--basefolder", base_folder_, "--ostype", c.os_name, "--register"}, kQuick);
    modify(c);
    attach(c);
    if (c.bandwidth_kb > 0 && c.network != MachineConfig::kNone) {
        manage_.run({"bandwidthctl", name_, "add", name_ + "_net", "--type", "network", "--limit", whole(c.bandwidth_kb) + "K"}, kQuick);
        manage_.run({"modifyvm", name_, "--nic-bandwidth-group1", name_ + "_net"}, kQuick);
    }
    for (const auto& folder : c.folders) {
        manage_.run({"sharedfolder", "add", name_, "--name", folder.name, "--hostpath", folder.path}, kQuick);
    }
}

void Machine::start(bool window) {
    manage_.run({"startvm", name_, "--type", window ? "gui" : "headless", "-E", kUnlimitedGuestLog, "-E", kRotatingLog}, kStart);
}

void Machine::pause() { manage_.run({"controlvm", name_, "pause"}, kQuick); }
void Machine::resume() { manage_.run({"controlvm", name_, "resume"}, kQuick); }
void Machine::save_state() { manage_.run({"controlvm", name_, "savestate"}, kSlow); }
void Machine::adopt_state(const std::string& file) { manage_.run({"adoptstate", name_, file}, kQuick); }
void Machine::discard_state() { manage_.run({"discardstate", name_}, kQuick); }
void Machine::take_snapshot(const std::string& snapshot) { manage_.run({"snapshot", name_, "take", snapshot}, kSlow); }
void Machine::delete_snapshot(const std::string& snapshot) { manage_.run({"snapshot", name_, "delete", snapshot}, kSlow); }
void Machine::restore_snapshot() { manage_.run({"snapshot", name_, "restorecurrent"}, kSlow); }
void Machine::set_link(bool up) { manage_.run({"controlvm", name_, "setlinkstate1", up ? "on" : "off"}, kQuick); }
void Machine::set_cpu_cap(int percent) { manage_.try_run({"controlvm", name_, "cpuexecutioncap", std::to_string(percent)}, kQuick); }
void Machine::screenshot(const std::string& file) { manage_.try_run({"controlvm", name_, "screenshotpng", file}, 20); }

void Machine::kill_process(int pid) {
    // Its command line has the machine's name: a process id may have got a new owner.
    if (!process_runs(pid, name_)) return;
    kill(pid, SIGKILL);
    const Deadline killed(5);
    while (process_alive(pid) && !killed.passed()) sleep_for(0.01);
}

void Machine::power_off(int pid) {
    if (process_alive(pid)) {
        try {
            manage_.run({"controlvm", name_, "poweroff"}, 10);
        } catch (const VBoxError& error) {
            if (error.code == "timeout") kill_process(pid);
            // It may be going off by itself.
            if (process_alive(pid) && !error.is("VBOX_E_INVALID_VM_STATE")) say(error.what());
        }
        const Deadline graceful(10);
        while (process_alive(pid) && !graceful.passed()) sleep_for(0.01);
    }
    if (process_alive(pid)) {
        say("The virtual machine's process " + std::to_string(pid) + " does not end; it is killed");
        kill_process(pid);
    }
}

std::string Machine::saved_state_file() const {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder() + "/Snapshots", error)) {
        if (entry.path().extension() == ".sav") return entry.path().string();
    }
    return "";
}

bool Machine::forget(const MachineConfig& c) {
    bool gone = false;
    // A call that crashed is repeated: what is not taken off the list now stays there for ever.
    for (int tries = 0; tries < kForgetTries && !gone; tries++) {
        try {
            // Without --delete, which would delete the images that the machine's disks are children of. The session may
            // still be closing; the call is repeated then.
            manage_.run({"unregistervm", name_}, kSlow);
            gone = true;
        } catch (const VBoxError& error) {
            gone = error.is("VBOX_E_OBJECT_NOT_FOUND") || error.is("0x80bb0001");
            if (gone) break;
            say(error.what());
            if (!error.code.empty()) break;
        }
    }
    for (const auto& disk : c.disks) {
        // What was opened before it was attached stays on VirtualBox's list: parents, CD and floppy images.
        if (disk.kind == Disk::kHard && disk.parent.empty()) continue;
        const char* kind = disk.kind == Disk::kHard ? "disk" : disk.kind == Disk::kDvd ? "dvd" : "floppy";
        try {
            manage_.run({"closemedium", kind, disk.parent.empty() ? disk.medium : disk.parent}, kQuick);
        } catch (const VBoxError& error) {
            // Refused if another task's machine has it too, which is right.
            if (error.code == "timeout" || error.code == "missing") say(error.what());
        }
    }
    return gone;
}

void Machine::destroy(int pid, const MachineConfig& c) {
    power_off(pid);
    forget(c);
    for (const auto& disk : c.disks) {
        if (!disk.parent.empty()) unlink(disk.medium.c_str());
    }
    std::error_code error;
    std::filesystem::remove_all(folder(), error);   // follows no symbolic link
    if (error) say("cannot remove " + folder() + ": " + error.message());
}

void forget_lost_machines(VBoxManage& manage, const std::string& home, const std::string& slots) {
    const auto settings = read_file(home + "/VirtualBox.xml", 8 << 20);
    if (!settings) return;
    for (size_t at = 0; (at = settings->find("<MachineEntry ", at)) != std::string::npos; at++) {
        const std::string entry = settings->substr(at, settings->find('>', at) - at);
        const auto attribute = [&entry](const std::string& name) {
            const size_t a = entry.find(" " + name + "=\"");
            if (a == std::string::npos) return std::string();
            const size_t start = a + name.size() + 3;
            return entry.substr(start, entry.find('"', start) - start);
        };
        const std::string file = attribute("src");
        std::string uuid = attribute("uuid");
        if (!starts_with(file, slots + "/") || exists(file) || uuid.size() < 3) continue;
        say("VirtualBox still lists a machine of an earlier task (" + file + "); it is taken off the list");
        uuid = uuid.substr(1, uuid.size() - 2);
        manage.try_run({"unregistervm", uuid}, kQuick);
    }
}

}  // namespace vbw
