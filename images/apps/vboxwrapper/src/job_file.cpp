#include "job_file.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "errors.h"
#include "util.h"
#include "xml.h"

namespace vbw {

bool JobFile::needs_64_bit() const { return contains(os_name, "_64"); }

namespace {

constexpr double kLeastMemory = 4, kMostMemory = 2097152;   // MB, VirtualBox's own limits
constexpr double kLeastVideo = 1, kMostVideo = 128;

class Reader {
public:
    Reader(JobFile& job, std::string file) : job_(job), file_(std::move(file)) { describe(); }

    void read(const XmlNode& root) {
        if (root.name != "vbox_job") fail(root.line, "the root element is <" + root.name + ">, not <vbox_job>");
        if (!root.text.empty()) fail(root.line, "text '" + root.text.substr(0, 40) + "' where options were expected");
        for (const auto& node : root.children) {
            const auto option = options_.find(node.name);
            if (option == options_.end()) fail(node.line, "unknown option <" + node.name + ">");
            if (!lists_.count(node.name) && lines_.count(node.name)) {
                fail(node.line, "<" + node.name + "> is given twice (first in line " +
                                    std::to_string(lines_[node.name]) + ")");
            }
            lines_[node.name] = node.line;
            option->second(node);
        }
        check();
    }

private:
    using Setter = std::function<void(const XmlNode&)>;
    JobFile& job_;
    std::string file_;
    std::map<std::string, Setter> options_;
    std::set<std::string> lists_;
    std::map<std::string, int> lines_;

    [[noreturn]] void fail(int line, const std::string& what) const {
        throw TaskError(kInitFailure, file_ + ", line " + std::to_string(line) + ": " + what);
    }

    void contradict(const char* option, const std::string& why) const {
        const auto line = lines_.find(option);
        fail(line == lines_.end() ? 1 : line->second, "<" + std::string(option) + "> " + why);
    }

    void leaf(const XmlNode& node) const {
        if (!node.children.empty()) {
            fail(node.children[0].line, "<" + node.children[0].name + "> inside of <" + node.name + ">");
        }
    }

    double real(const XmlNode& node, double least, double most) const {
        leaf(node);
        const auto value = to_number(node.text);
        if (!value || *value < least || *value > most) {
            fail(node.line, "<" + node.name + "> must be a number from " + number(least) + " to " +
                                number(most) + ", not '" + node.text + "'");
        }
        return *value;
    }

    bool flag(const XmlNode& node) const {
        leaf(node);
        if (node.text.empty() || node.text == "1") return true;
        if (node.text == "0") return false;
        fail(node.line, "<" + node.name + "> must be 0 or 1, not '" + node.text + "'");
    }

    std::string word(const XmlNode& node) const {
        leaf(node);
        if (node.text.empty()) fail(node.line, "<" + node.name + "> is empty");
        if (node.text[0] == '-') fail(node.line, "<" + node.name + "> must not begin with '-': '" + node.text + "'");
        for (char c : node.text) {
            if (static_cast<unsigned char>(c) < 32) fail(node.line, "<" + node.name + "> has a control character in it");
        }
        return node.text;
    }

    // A file in the shared folder or in the slot: it must not lead out of there.
    std::string file(const XmlNode& node) const {
        const std::string name = word(node);
        if (name[0] == '/' || name == ".." || starts_with(name, "../") || contains(name, "/../") ||
            ends_with(name, "/..") || ends_with(name, "/")) {
            fail(node.line, "<" + node.name + "> must be a file name inside of its folder, not '" + name + "'");
        }
        return name;
    }

    void boolean(const char* name, bool& target) {
        options_[name] = [this, &target](const XmlNode& n) { target = flag(n); };
    }
    void real_option(const char* name, double& target, double least, double most) {
        options_[name] = [this, &target, least, most](const XmlNode& n) { target = real(n, least, most); };
    }
    void integer(const char* name, int& target, int least, int most) {
        options_[name] = [this, &target, least, most](const XmlNode& n) {
            const double value = real(n, least, most);
            if (value != static_cast<int>(value)) fail(n.line, "<" + n.name + "> must be a whole number");
            target = static_cast<int>(value);
        };
    }
    void text(const char* name, std::string& target) {
        options_[name] = [this, &target](const XmlNode& n) { target = word(n); };
    }
    void file_option(const char* name, std::string& target) {
        options_[name] = [this, &target](const XmlNode& n) { target = file(n); };
    }
    void file_list(const char* name, std::vector<std::string>& target) {
        lists_.insert(name);
        options_[name] = [this, &target](const XmlNode& n) { target.push_back(file(n)); };
    }

    void describe() {
        JobFile& j = job_;
        text("os_name", j.os_name);
        real_option("memory_size_mb", j.memory_size_mb, kLeastMemory, kMostMemory);
        text("vm_disk_controller_type", j.disk_controller_type);
        text("vm_disk_controller_model", j.disk_controller_model);
        text("vm_graphics_controller_type", j.graphics_controller);
        options_["vram_size_mb"] = [this, &j](const XmlNode& n) {
            const double wanted = real(n, 0, 1e6);
            j.vram_size_mb = std::clamp(wanted, kLeastVideo, kMostVideo);
            if (j.vram_size_mb != wanted) {
                j.remarks.push_back("vram_size_mb is " + number(wanted) + " in the job file; VirtualBox takes " +
                                    number(j.vram_size_mb));
            }
        };
        real_option("job_duration", j.job_duration, 0, 1e9);
        real_option("minimum_checkpoint_interval", j.minimum_checkpoint_interval, 0, 1e9);
        real_option("minimum_heartbeat_interval", j.minimum_heartbeat_interval, 1, 1e9);
        file_option("fraction_done_filename", j.fraction_done_file);
        file_option("heartbeat_filename", j.heartbeat_file);
        file_option("completion_trigger_file", j.completion_file);
        file_option("temporary_exit_trigger_file", j.temporary_exit_file);
        file_list("trickle_trigger_file", j.trickle_files);
        file_list("intermediate_upload_file", j.intermediate_upload_files);
        file_list("copy_to_shared", j.copy_to_shared);
        boolean("copy_cmdline_to_shared", j.copy_cmdline_to_shared);
        file_option("multiattach_vdi_file", j.multiattach_vdi_file);
        boolean("enable_cern_dataformat", j.enable_cern_dataformat);
        boolean("enable_network", j.enable_network);
        boolean("network_bridged_mode", j.network_bridged_mode);
        boolean("enable_nat_dns_host_resolver", j.enable_nat_dns_host_resolver);
        text("vm_network_driver", j.network_driver);
        integer("pf_guest_port", j.pf_guest_port, 0, 65535);
        integer("pf_host_port", j.pf_host_port, 0, 65535);
        lists_.insert("port_forward");
        options_["port_forward"] = [this](const XmlNode& n) { port_forward(n); };
        boolean("enable_shared_directory", j.enable_shared_directory);
        boolean("share_slot_dir", j.share_slot_dir);
        boolean("enable_scratch_directory", j.enable_scratch_directory);
        boolean("share_project_dir", j.share_project_dir);
        boolean("enable_floppyio", j.enable_floppyio);
        boolean("enable_isocontextualization", j.enable_isocontextualization);
        boolean("enable_cache_disk", j.enable_cache_disk);
        boolean("boot_iso", j.boot_iso);
        boolean("enable_remotedesktop", j.enable_remotedesktop);
        boolean("enable_screenshots_on_error", j.enable_screenshots_on_error);
        boolean("enable_graphics_support", j.enable_graphics_support);
        boolean("enable_vm_savestate_usage", j.enable_vm_savestate_usage);
        boolean("disable_automatic_checkpoints", j.disable_automatic_checkpoints);
        // Of this wrapper.
        options_["persistent_disk"] = [this](const XmlNode& n) { persistent_disk(n); };
        options_["warm_start"] = [this](const XmlNode& n) { warm_start(n); };
        options_["image_layers"] = [this](const XmlNode& n) { image_layers(n); };
        file_option("pack_results", j.pack_results);
        boolean("share_authenticator", j.share_authenticator);
        options_["without_acceleration"] = [this, &j](const XmlNode& n) {
            const std::string value = word(n);
            if (value != "wait" && value != "fail") fail(n.line, "<without_acceleration> must be 'wait' or 'fail', not '" + value + "'");
            j.fail_without_acceleration = value == "fail";
        };
        real_option("guest_log_limit_mb", j.guest_log_limit_mb, 0.01, 65536);
        real_option("max_shared_files", j.max_shared_files, 1, 1e9);
        boolean("nat_localhost_reachable", j.nat_localhost_reachable);
        integer("max_restarts", j.max_restarts, 0, 100);
    }

    // The options of a group, each at most once.
    void group(const XmlNode& node, const std::map<std::string, Setter>& known) const {
        std::set<std::string> seen;
        if (!node.text.empty()) fail(node.line, "text '" + node.text.substr(0, 40) + "' in <" + node.name + ">");
        for (const auto& child : node.children) {
            const auto option = known.find(child.name);
            if (option == known.end()) fail(child.line, "unknown option <" + child.name + "> in <" + node.name + ">");
            if (!seen.insert(child.name).second) fail(child.line, "<" + child.name + "> is given twice in <" + node.name + ">");
            option->second(child);
        }
    }

    void port_forward(const XmlNode& node) {
        PortForward first;
        int count = 1;
        const auto port = [this](const XmlNode& n, int least) { return static_cast<int>(real(n, least, 65535)); };
        group(node, {{"host_port", [&](const XmlNode& n) { first.host_port = port(n, 1); }},
                     {"guest_port", [&](const XmlNode& n) { first.guest_port = port(n, 1); }},
                     {"nports", [&](const XmlNode& n) { count = std::max(1, static_cast<int>(real(n, 0, 1000))); }},
                     {"is_remote", [&](const XmlNode& n) { first.is_remote = flag(n); }}});
        if (!first.host_port) fail(node.line, "<port_forward> needs <host_port>");
        if (!first.guest_port) fail(node.line, "<port_forward> needs <guest_port>");
        if (std::max(first.host_port, first.guest_port) + count - 1 > 65535) {
            fail(node.line, "<port_forward> reaches beyond port 65535");
        }
        for (int i = 0; i < count; i++) {
            PortForward next = first;
            next.host_port += i, next.guest_port += i;
            job_.port_forwards.push_back(next);
        }
    }

    void persistent_disk(const XmlNode& node) {
        PersistentDiskOptions& d = job_.persistent_disk;
        group(node, {{"name", [&](const XmlNode& n) {
                          d.name = word(n);
                          const bool good = d.name.size() <= 32 && std::all_of(d.name.begin(), d.name.end(), [](char c) {
                              return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
                          });
                          if (!good) fail(n.line, "<name> of a persistent disk is at most 32 of a-z 0-9 - _, not '" + d.name + "'");
                      }},
                     {"size_mb", [&](const XmlNode& n) { d.size_mb = real(n, 1, 2097152); }},
                     {"format", [&](const XmlNode& n) {
                          if (word(n) != "vdi") fail(n.line, "<format> of a persistent disk must be 'vdi', not '" + n.text + "'");
                      }},
                     {"max_file_mb", [&](const XmlNode& n) { d.max_file_mb = real(n, 1, 2097152); }},
                     {"max_total_mb", [&](const XmlNode& n) { d.max_total_mb = real(n, 1, 1e8); }},
                     {"unused_days", [&](const XmlNode& n) { d.unused_days = real(n, 0, 36500); }},
                     {"when_busy", [&](const XmlNode& n) {
                          const std::string value = word(n);
                          if (value != "wait" && value != "child") fail(n.line, "<when_busy> must be 'wait' or 'child', not '" + value + "'");
                          d.wait_when_busy = value == "wait";
                      }},
                     {"wait_timeout", [&](const XmlNode& n) { d.wait_timeout = real(n, 0, 86400); }},
                     {"discard_file", [&](const XmlNode& n) { d.discard_file = file(n); }}});
        if (d.name.empty()) fail(node.line, "<persistent_disk> needs <name>");
        if (d.size_mb == 0) fail(node.line, "<persistent_disk> needs <size_mb>");
        if (d.max_file_mb == 0) d.max_file_mb = d.size_mb * 1.1 + 8;
        if (d.max_total_mb > 0 && d.max_total_mb < d.size_mb) {
            fail(node.line, "<max_total_mb> is smaller than <size_mb>: the disk could never be kept");
        }
    }

    void warm_start(const XmlNode& node) {
        WarmStartOptions& w = job_.warm_start;
        group(node, {{"wanted_file", [&](const XmlNode& n) { w.wanted_file = file(n); }},
                     {"ready_file", [&](const XmlNode& n) { w.ready_file = file(n); }},
                     {"go_file", [&](const XmlNode& n) { w.go_file = file(n); }},
                     {"max_age_days", [&](const XmlNode& n) { w.max_age_days = real(n, 0.001, 36500); }}});
        if (w.ready_file.empty() || w.go_file.empty()) fail(node.line, "<warm_start> needs <ready_file> and <go_file>");
        if (w.ready_file == w.go_file) fail(node.line, "<ready_file> and <go_file> are the same file");
    }

    void image_layers(const XmlNode& node) {
        ImageLayersOptions& l = job_.image_layers;
        group(node, {{"folder", [&](const XmlNode& n) { l.folder = file(n); }},
                     {"wanted_file", [&](const XmlNode& n) { l.wanted_file = file(n); }},
                     {"ready_file", [&](const XmlNode& n) { l.ready_file = file(n); }},
                     {"target", [&](const XmlNode& n) { l.target = file(n); }}});
        if (l.folder.empty() || l.wanted_file.empty() || l.ready_file.empty() || l.target.empty()) {
            fail(node.line, "<image_layers> needs <folder>, <wanted_file>, <ready_file> and <target>");
        }
        if (l.wanted_file == l.ready_file) fail(node.line, "<wanted_file> and <ready_file> are the same file");
    }

    void check() const {
        const JobFile& j = job_;
        if (j.os_name.empty()) fail(1, "<os_name> is missing: it is VirtualBox's name of the guest's system, such as Linux26_64");
        if (j.share_slot_dir && j.enable_shared_directory) contradict("share_slot_dir", "contradicts <enable_shared_directory>");
        if (j.share_slot_dir && !j.copy_to_shared.empty()) contradict("share_slot_dir", "contradicts <copy_to_shared>");
        if (!j.copy_to_shared.empty() && !j.enable_shared_directory) contradict("copy_to_shared", "needs <enable_shared_directory>");
        if (j.share_project_dir && j.enable_scratch_directory) contradict("share_project_dir", "contradicts <enable_scratch_directory>");
        if (j.enable_cache_disk && !j.enable_isocontextualization) contradict("enable_cache_disk", "needs <enable_isocontextualization>");
        if (j.enable_isocontextualization && !j.multiattach_vdi_file.empty()) {
            contradict("multiattach_vdi_file", "contradicts <enable_isocontextualization>");
        }
        if (j.enable_cern_dataformat && !j.enable_floppyio && !j.job_duration) {
            contradict("enable_cern_dataformat", "needs <enable_floppyio> or <job_duration>");
        }
        if (!j.has_shared_folder()) {
            const std::pair<const char*, bool> users[] = {
                {"completion_trigger_file", !j.completion_file.empty()},
                {"temporary_exit_trigger_file", !j.temporary_exit_file.empty()},
                {"fraction_done_filename", !j.fraction_done_file.empty()},
                {"heartbeat_filename", !j.heartbeat_file.empty()},
                {"trickle_trigger_file", !j.trickle_files.empty()},
                {"intermediate_upload_file", !j.intermediate_upload_files.empty()},
                {"copy_cmdline_to_shared", j.copy_cmdline_to_shared},
                {"image_layers", j.image_layers.enabled()},
                {"warm_start", j.warm_start.enabled()}};
            for (const auto& [name, used] : users) {
                if (used) contradict(name, "needs <enable_shared_directory> or <share_slot_dir>");
            }
        }
        if (!j.enable_network) {
            const std::pair<const char*, bool> users[] = {
                {"network_bridged_mode", j.network_bridged_mode},
                {"enable_nat_dns_host_resolver", j.enable_nat_dns_host_resolver},
                {"port_forward", !j.port_forwards.empty()},
                {"pf_guest_port", j.pf_guest_port != 0},
                {"nat_localhost_reachable", j.nat_localhost_reachable}};
            for (const auto& [name, used] : users) {
                if (used) contradict(name, "needs <enable_network>");
            }
        }
        if (j.network_bridged_mode) {
            if (j.enable_nat_dns_host_resolver) contradict("enable_nat_dns_host_resolver", "contradicts <network_bridged_mode>");
            if (j.nat_localhost_reachable) contradict("nat_localhost_reachable", "contradicts <network_bridged_mode>");
            if (!j.port_forwards.empty()) contradict("port_forward", "contradicts <network_bridged_mode>");
            if (j.pf_guest_port) contradict("pf_guest_port", "contradicts <network_bridged_mode>");
        }
        if (j.pf_host_port && !j.pf_guest_port) contradict("pf_host_port", "needs <pf_guest_port>");
        if (j.enable_vm_savestate_usage && j.disable_automatic_checkpoints) {
            job_.remarks.push_back("no checkpoints are taken while the job runs (disable_automatic_checkpoints); "
                                   "it is saved when it has to stop (enable_vm_savestate_usage)");
        }
    }
};

}  // namespace

JobFile parse_job_file(const std::string& text, const std::string& file_name) {
    JobFile job;
    try {
        Reader(job, file_name).read(parse_xml(text));
    } catch (const XmlError& error) {
        throw TaskError(kInitFailure, file_name + ", line " + std::to_string(error.line) + ": " + error.what);
    }
    return job;
}

}  // namespace vbw
