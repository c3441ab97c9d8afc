#include "slot_files.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "errors.h"
#include "util.h"
#include "xml.h"

namespace vbw {

namespace {

constexpr size_t kMostTrigger = 64 << 10;
constexpr size_t kMostChecked = 20000;     // entries of the shared folder looked at before the start
constexpr size_t kFloppySize = 28672;

std::string parent_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::string base_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Resolved resolve(const std::string& name) {
    const std::string absolute = current_directory() + "/" + name;
    struct stat s {};
    if (lstat(absolute.c_str(), &s) == 0 && S_ISLNK(s.st_mode)) {
        const std::string real = real_path(absolute);
        return {real.empty() ? absolute : real, true};
    }
    if (s.st_size > 0 && s.st_size < 2048) {
        const auto text = read_file(absolute, 2048);
        if (text && starts_with(*text, "<soft_link>")) {
            const std::string target = find_tag(*text, "soft_link").value_or("");
            const std::string path = starts_with(target, "/") ? target : current_directory() + "/" + target;
            const std::string real = real_path(path);
            return {real.empty() ? path : real, true};
        }
    }
    return {absolute, false};
}

std::string image_identity(const std::string& name) {
    const Resolved file = resolve(name);
    if (file.linked) return base_of(file.path);
    return md5_hex(read_file(file.path, 1 << 20).value_or("")) + "-" + number(file_size(file.path));
}

SharedFolderFiles::SharedFolderFiles(std::string directory, std::string project_dir)
    : directory_(std::move(directory)), project_dir_(std::move(project_dir)) {}

void SharedFolderFiles::check() const {
    struct stat s {};
    if (lstat(directory_.c_str(), &s) == 0 && !S_ISDIR(s.st_mode)) {
        throw TaskError(kInitFailure, "the shared folder '" + base_of(directory_) + "' is " +
                                          (S_ISLNK(s.st_mode) ? "a symbolic link to " + real_path(directory_) : std::string("no directory")) +
                                          "; it must be a directory of the slot");
    }
    const std::string slot = real_path("."), project = real_path(project_dir_);
    std::vector<std::string> todo{directory_};
    size_t seen = 0;
    while (!todo.empty() && seen < kMostChecked) {
        const std::string directory = todo.back();
        todo.pop_back();
        DIR* handle = opendir(directory.c_str());
        if (!handle) continue;
        while (const dirent* entry = readdir(handle)) {
            const std::string name = entry->d_name;
            if (name == "." || name == ".." || ++seen > kMostChecked) continue;
            const std::string path = directory + "/" + name;
            if (lstat(path.c_str(), &s)) continue;
            if (S_ISDIR(s.st_mode)) todo.push_back(path);
            if (!S_ISLNK(s.st_mode)) continue;
            const std::string real = real_path(path);
            if (!real.empty() && !inside(real, slot) && (project.empty() || !inside(real, project))) {
                closedir(handle);
                throw TaskError(kInitFailure, "the shared folder holds a symbolic link that leads out of the slot: " + name + " -> " + real);
            }
        }
        closedir(handle);
    }
}

SharedFolderFiles::Trigger SharedFolderFiles::read(const std::string& name) const {
    Trigger result;
    const std::string file = path(name);
    struct stat s {};
    if (lstat(file.c_str(), &s)) return result;
    const auto refuse = [&](const std::string& why) {
        result.what = kRefused;
        result.text = "'" + name + "' in the shared folder is " + why;
        return result;
    };
    if (!S_ISREG(s.st_mode)) {
        return refuse(S_ISLNK(s.st_mode) ? "a symbolic link, not a file" : S_ISDIR(s.st_mode) ? "a directory, not a file" : "no regular file");
    }
    if (!inside(real_path(parent_of(file)), real_path(directory_))) return refuse("outside of the folder, by a symbolic link");
    if (static_cast<size_t>(s.st_size) > kMostTrigger) return refuse("too big (" + number(static_cast<double>(s.st_size)) + " bytes, at most 65536)");
    const auto text = read_file(file, kMostTrigger, false);
    if (!text) return refuse("not readable");
    result.what = kFile;
    result.text = *text;
    result.mtime = static_cast<double>(s.st_mtim.tv_sec) + static_cast<double>(s.st_mtim.tv_nsec) * 1e-9;
    return result;
}

void SharedFolderFiles::remove(const std::string& name) const { unlink(path(name).c_str()); }

bool SharedFolderFiles::write(const std::string& name, const std::string& text) const {
    return inside(real_path(parent_of(path(name))), real_path(directory_)) && write_file(path(name), text);
}

std::optional<Completion> parse_completion(const std::string& text) {
    Completion c;
    const auto lines = split_lines(text);
    if (lines.empty() || (lines.size() == 1 && trim(lines[0]).empty())) return c;   // "touch" means success
    const auto code = to_integer(trim(lines[0]));
    if (!code || *code < -2147483647 || *code > 2147483647) return {};
    c.exit_code = static_cast<int>(*code);
    if (lines.size() > 1) c.notice = to_integer(trim(lines[1])).value_or(0) != 0;
    std::vector<std::string> rest(lines.begin() + std::min<long>(2, static_cast<long>(lines.size())), lines.end());
    c.message = trim(join(rest, "\n")).substr(0, 4096);
    return c;
}

std::optional<double> parse_fraction(const std::string& text) {
    const auto lines = split_lines(text);
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
        const auto value = to_number(trim(*line));
        if (value) return std::clamp(*value, 0.0, 1.0);
    }
    return {};
}

Usage measure(const std::string& directory, double most_files) {
    Usage usage;
    std::vector<std::string> todo{directory};
    while (!todo.empty()) {
        const std::string here = todo.back();
        todo.pop_back();
        DIR* handle = opendir(here.c_str());
        if (!handle) continue;
        while (const dirent* entry = readdir(handle)) {
            const std::string name = entry->d_name;
            if (name == "." || name == "..") continue;
            struct stat s {};
            if (fstatat(dirfd(handle), entry->d_name, &s, AT_SYMLINK_NOFOLLOW)) continue;
            usage.files++;
            usage.bytes += std::min(static_cast<double>(s.st_size), static_cast<double>(s.st_blocks) * 512);   // holes are free
            if (S_ISDIR(s.st_mode)) todo.push_back(here + "/" + name);
            if (usage.files > most_files) {
                closedir(handle);
                return usage;
            }
        }
        closedir(handle);
    }
    return usage;
}

std::string floppy_image(const std::string& text) {
    std::string image(kFloppySize, '\0');
    const size_t room = kFloppySize / 2 - 2;
    image.replace(0, std::min(room, text.size()), text, 0, room);
    image.resize(kFloppySize, '\0');
    image[kFloppySize - 2] = 1;
    return image;
}

std::string floppy_text(const InitData& init, const std::string& init_data_xml, bool cern, bool share_authenticator) {
    if (!cern) {
        std::string text = init_data_xml;
        const size_t a = text.find("<authenticator>"), b = text.find("</authenticator>");
        if (!share_authenticator && a != std::string::npos && b != std::string::npos) text.erase(a + 15, b - a - 15);
        return text;
    }
    char credit[128];
    snprintf(credit, sizeof credit, "BOINC_USER_TOTAL_CREDIT=%.17g\nBOINC_HOST_TOTAL_CREDIT=%.17g\n", init.user_total_credit,
             init.host_total_credit);
    return "BOINC_USERNAME=" + init.user_name + "\nBOINC_AUTHENTICATOR=" + (share_authenticator ? init.authenticator : "") +
           "\nBOINC_USERID=" + std::to_string(init.userid) + "\nBOINC_HOSTID=" + std::to_string(init.hostid) + "\n" + credit;
}

int free_port() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    int port = 0;
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
        port = ntohs(address.sin_port);
    }
    close(fd);
    return port;
}

}  // namespace vbw
