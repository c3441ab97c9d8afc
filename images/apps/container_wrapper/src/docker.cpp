#include "docker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "errors.h"
#include "slot_files.h"
#include "util.h"

namespace container {

using vbw::Postponed;
using vbw::TaskError;

namespace {

constexpr double kTopEvery = 2;
constexpr size_t kBlock = 512;
constexpr const char* kArchive = "image.tar";
constexpr const char* kIdFile = "container.id";
constexpr const char* kHelperFolder = "/boinc";

// The image as `docker load` takes it: a tar of the blobs with a manifest.json.
class Tar {
public:
    explicit Tar(const char* path) : fd_(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
        if (fd_ < 0) fail();
    }
    Tar(const Tar&) = delete;
    Tar& operator=(const Tar&) = delete;
    ~Tar() { close(fd_); }

    void add(const std::string& name, const std::string& text) {
        header(name, text.size());
        write_all(text.data(), text.size());
        pad(text.size());
    }
    void add_file(const std::string& name, const std::string& path, const Engine::Callback& while_waiting) {
        const int from = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat s {};
        if (from < 0 || fstat(from, &s)) throw TaskError(vbw::kInitFailure, path + " cannot be read");
        const uint64_t size = static_cast<uint64_t>(s.st_size);
        header(name, size);
        std::vector<char> buffer(1 << 20);
        uint64_t left = size;
        while (left) {
            const ssize_t n = read(from, buffer.data(), std::min<uint64_t>(buffer.size(), left));
            if (n <= 0) break;
            write_all(buffer.data(), static_cast<size_t>(n));
            left -= static_cast<uint64_t>(n);
            if (while_waiting) while_waiting();
        }
        close(from);
        if (left) throw TaskError(vbw::kInitFailure, path + " got shorter while it was read");
        pad(size);
    }
    void end() {
        static const std::array<char, 2 * kBlock> zeros{};
        write_all(zeros.data(), zeros.size());
    }

private:
    [[noreturn]] static void fail() { throw TaskError(vbw::kDiskLimit, std::string("the image cannot be put together: ") + strerror(errno)); }
    void header(const std::string& name, uint64_t size) {
        std::array<char, kBlock> block{};
        memcpy(block.data(), name.data(), std::min<size_t>(name.size(), 100));
        snprintf(block.data() + 100, 8, "%07o", 0644);
        for (const size_t owner : {108, 116}) snprintf(block.data() + owner, 8, "%07o", 0);
        if (size < (1ULL << 33)) {
            snprintf(block.data() + 124, 12, "%011llo", static_cast<unsigned long long>(size));
        } else {   // GNU's way to say more than 8 GiB
            block[124] = static_cast<char>(0x80);
            for (size_t i = 0; i < 8; i++) block[135 - i] = static_cast<char>(size >> (8 * i));
        }
        snprintf(block.data() + 136, 12, "%011o", 0);
        memset(block.data() + 148, ' ', 8);
        block[156] = '0';
        memcpy(block.data() + 257, "ustar  ", 8);
        unsigned sum = 0;
        for (const char c : block) sum += static_cast<unsigned char>(c);
        snprintf(block.data() + 148, 8, "%06o", sum);
        write_all(block.data(), block.size());
    }
    void pad(uint64_t size) {
        static const std::array<char, kBlock> zeros{};
        write_all(zeros.data(), (kBlock - size % kBlock) % kBlock);
    }
    void write_all(const char* bytes, size_t size) {
        while (size) {
            const ssize_t n = write(fd_, bytes, size);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) fail();
            bytes += n;
            size -= static_cast<size_t>(n);
        }
    }
    int fd_;
};

}  // namespace

std::vector<std::string> container_ids(const std::string& mountinfo) {
    std::vector<std::string> found;
    const std::string before = "/containers/";
    for (size_t at = mountinfo.find(before); at != std::string::npos; at = mountinfo.find(before, at + 1)) {
        const std::string id = mountinfo.substr(at + before.size(), 64);
        const size_t after = at + before.size() + id.size();
        const bool whole = id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
        if (whole && after < mountinfo.size() && mountinfo[after] == '/' && (found.empty() || found.back() != id)) found.push_back(id);
    }
    return found;
}

bool Docker::find(const vbw::InitData& init) {
    const auto found = call({"info", "--format", "{{.ServerVersion}}|cgroup {{.CgroupVersion}}|{{.Driver}}|{{.MemoryLimit}}|{{.CPUCfsQuota}}|{{.SecurityOptions}}"});
    if (!found.start_error.empty()) return false;
    const auto lines = vbw::split_lines(vbw::trim(found.output));
    const std::string line = lines.empty() ? "" : lines.back();
    // the command may succeed although the engine does not answer: it then says why in place of numbers
    if (found.exit_status != 0 || line.empty() || line[0] == '|' || !vbw::contains(line, "|cgroup ")) {
        const std::string why = found.timed_out ? "it does not answer" : vbw::trim(found.output).substr(0, 500);
        throw Postponed(kNoEngineDelay, "this task runs a container and needs Docker on this computer: " + why +
                                            ". The user that BOINC runs as has to be allowed to use it; the task waits for it", true);
    }
    vbw::say("docker " + line);
    cpus_ = vbw::contains(line, "|true|true|") || vbw::contains(line, "|false|true|");
    memory_ = vbw::contains(line, "|true|true|") || vbw::contains(line, "|true|false|");
    rootless_ = vbw::contains(line, "name=rootless");
    // Is the client itself in a container of this engine? Then the engine knows its files by other paths.
    for (const auto& id : container_ids(vbw::read_file("/proc/self/mountinfo", 1 << 20).value_or(""))) {
        const auto mounts = call({"container", "inspect", "--format", "{{range .Mounts}}{{.Destination}}\t{{.Source}}\n{{end}}", id});
        if (mounts.exit_status != 0) continue;
        in_container_ = true;
        for (const auto& one : vbw::split_lines(mounts.output)) {
            const size_t tab = one.find('\t');
            if (tab != std::string::npos && tab > 0 && tab + 1 < one.size()) mounts_.push_back({one.substr(0, tab), one.substr(tab + 1)});
        }
        break;
    }
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    // a container's name may be any, and its next one's another; where its data is on the engine stays
    owner_ = owner_of(init, (in_container_ ? "" : std::string(host)) + "\n" + outside(init.boinc_dir) + "\n" + init.project_dir);
    unlink(kIdFile);
    unlink(kArchive);
    return true;
}

std::string Docker::outside(const std::string& path) const {
    if (!in_container_) return path;
    const Mount* best = nullptr;
    for (const auto& mount : mounts_) {
        const bool below = path == mount.here || vbw::starts_with(path, mount.here + "/");
        if (below && (!best || mount.here.size() > best->here.size())) best = &mount;
    }
    if (best) return best->there + path.substr(best->here.size());
    throw Postponed(kNoEngineDelay, "the container engine is outside of BOINC's own container, and cannot see " + path +
                                        " in it: BOINC's data directory has to be a volume or a folder of the engine's computer", true);
}

bool Docker::has_image(const Image& image) { return call({"image", "inspect", "--format", "{{.Id}}", image_name(image)}).exit_status == 0; }

void Docker::load(const Image& image, const Job& job) {
    make_layout(image, job, kLayout, while_waiting_);
    const auto blob = [](const std::string& digest) { return "blobs/sha256/" + hex_of(digest); };
    nlohmann::json entry = {{"Config", blob(image.manifest.config)}, {"RepoTags", nlohmann::json::array({image_name(image)})}, {"Layers", nlohmann::json::array()}};
    for (const auto& layer : image.manifest.layers) entry["Layers"].push_back(blob(layer));
    Tar archive(kArchive);
    archive.add("manifest.json", nlohmann::json::array({entry}).dump());
    std::vector<std::string> blobs = {image.manifest.config};
    for (const auto& layer : image.manifest.layers) {
        if (std::find(blobs.begin(), blobs.end(), layer) == blobs.end()) blobs.push_back(layer);
    }
    for (const auto& digest : blobs) archive.add_file(blob(digest), kLayout + ("/" + blob(digest)), while_waiting_);
    archive.end();
    const auto loaded = call({"load", "--quiet", "--input", kArchive}, kLoad);
    unlink(kArchive);
    check(loaded, "take in the image");
    if (!has_image(image)) throw TaskError(vbw::kInitFailure, "docker did not take the image in as " + image_name(image));
}

std::vector<std::string> Docker::run_options(const std::string& shared) const {
    // Its root is the engine's own root, so it gets what podman's has and no more: docker's default adds raw sockets and devices.
    std::vector<std::string> options = {"--cidfile", kIdFile, "--sig-proxy=false", "--pids-limit", "2048", "--cap-drop", "ALL"};
    for (const char* name : {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}) {
        options.insert(options.end(), {"--cap-add", name});
    }
    for (const char* place : {"/root/shared", "/shared"}) options.insert(options.end(), {"--volume", outside(shared) + ":" + place});
    return options;
}

bool Docker::started() { return vbw::exists(kIdFile); }

bool Docker::pause(bool paused) {
    if (paused == paused_) return true;
    if (!started() || call({paused ? "pause" : "unpause", owner_.container}).exit_status != 0) return false;
    paused_ = paused;
    return true;
}

void Docker::terminate() {
    pause(false);   // one that is paused takes no signals
    call({"kill", "--signal", "TERM", owner_.container});
}

void Docker::kill() { call({"kill", owner_.container}); }

bool Docker::measure(Usage& usage) {
    if (!started()) return false;
    if (top_) {
        top_->wait(0);
        top_output_ += top_->take(1);
        if (top_->ended()) {
            Usage sum;
            bool any = false;
            for (const auto& line : vbw::split_lines(top_output_)) {
                std::istringstream words(line);
                double pid = 0, seconds = 0, kilobytes = 0;
                if (!(words >> pid >> seconds >> kilobytes)) continue;   // the heading
                sum.cpu_time += seconds;
                sum.memory += kilobytes * 1024;
                any = true;
            }
            if (any) usage_ = sum;
            measured_ = measured_ || any;
            top_.reset();
        }
    } else if (vbw::now() >= next_top_) {
        next_top_ = vbw::now() + kTopEvery;
        top_output_.clear();
        top_ = std::make_unique<Child>(std::vector<std::string>{"docker", "top", owner_.container, "-eo", "pid,cputimes,rss"});
    }
    usage = usage_;
    return measured_;
}

bool Docker::put_away() {
    const auto state = call({"container", "inspect", "--format", "{{.State.OOMKilled}}", owner_.container});
    remove();
    return vbw::trim(state.output) == "true";
}

void Docker::remove() {
    top_.reset();
    auto command = remove_command();
    command.push_back(owner_.container);
    call(command);
}

void Docker::take_over(const std::string& folder, const Image& image) {
    const bool us = getuid() == 0 || !vbw::exists(folder) || image.id.empty();
    if (us || !has_image(image)) return;
    // Images need not have a chown: this program is one (see main.cpp), and needs nothing else.
    const std::string program = vbw::real_path("/proc/self/exe");
    std::vector<std::string> arguments = {"run", "--rm", "--pull", "never", "--label", "org.boinc.slot=" + owner_.slot, "--log-driver", "none",
                                          "--network", "none", "--security-opt", "no-new-privileges", "--cap-drop", "ALL", "--user", "0:0"};
    for (const auto& label : owner_.labels) arguments.insert(arguments.end(), {"--label", label});
    for (const char* name : {"CHOWN", "DAC_OVERRIDE", "FOWNER"}) arguments.insert(arguments.end(), {"--cap-add", name});
    const std::string inside = std::string(kHelperFolder) + "/wrapper";
    arguments.insert(arguments.end(), {"--volume", outside(program) + ":" + inside + ":ro", "--volume", outside(vbw::real_path(folder)) + ":/shared",
                                       "--workdir", "/", "--entrypoint", inside, image_name(image), "--give",
                                       rootless_ ? "0" : std::to_string(getuid()), rootless_ ? "0" : std::to_string(getgid()), "/shared"});
    const auto done = call(arguments);
    if (done.exit_status != 0) vbw::say("What the container's users wrote stays theirs: " + vbw::trim(done.output).substr(0, 500));
}

}  // namespace container
