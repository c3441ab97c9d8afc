#include "checkpoint.h"

#include <cstdio>

#include "util.h"
#include "xml.h"

namespace vbw {

namespace {

template <class Checkpoint, class Visit>
void each_number(Checkpoint& c, Visit visit) {
    visit("elapsed_time", c.elapsed_time), visit("cpu_time", c.cpu_time);
    visit("webapi_port", c.webapi_port), visit("remote_desktop_port", c.remote_desktop_port);
    visit("machine_made", c.machine_made), visit("resumable", c.resumable);
    visit("snapshots", c.snapshots), visit("restarts", c.restarts), visit("postponed", c.postponed);
    visit("disk_full", c.disk_full);
    visit("log_inode", c.log_inode), visit("log_offset", c.log_offset);
    visit("guest_lines", c.guest_log.lines), visit("guest_bytes", c.guest_log.bytes);
    visit("guest_kept_lines", c.guest_log.kept_lines), visit("guest_kept_bytes", c.guest_log.kept_bytes);
    visit("guest_head_lines", c.guest_log.head_lines), visit("guest_head_bytes", c.guest_log.head_bytes);
}

}  // namespace

bool Checkpoint::read() {
    const auto text = read_file(kFile, 65536, false);
    if (!text || !contains(*text, "</vbox_checkpoint>")) return false;
    each_number(*this, [&text](const char* name, auto& value) {
        using Value = std::remove_reference_t<decltype(value)>;
        const auto found = find_tag(*text, name);
        if (!found) return;
        if constexpr (std::is_same_v<Value, double>) value = to_number(*found).value_or(0);
        else value = static_cast<Value>(to_integer(*found).value_or(0));
    });
    snapshot = find_tag(*text, "snapshot").value_or("");
    notice = find_tag(*text, "notice").value_or("");
    return true;
}

void Checkpoint::write() const {
    std::string text = "<vbox_checkpoint>\n";
    each_number(*this, [&text](const char* name, const auto& value) {
        char number[64];
        using Value = std::remove_cvref_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, double>) snprintf(number, sizeof number, "%.6f", value);
        else snprintf(number, sizeof number, "%lld", static_cast<long long>(value));
        text += std::string("<") + name + ">" + number + "</" + name + ">\n";
    });
    text += "<snapshot>" + xml_escape(snapshot) + "</snapshot>\n<notice>" + xml_escape(notice) + "</notice>\n</vbox_checkpoint>\n";
    if (!write_file(kFile, text)) say(std::string(kFile) + " cannot be written");
}

}  // namespace vbw
