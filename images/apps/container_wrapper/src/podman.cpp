#include "podman.h"

#include <signal.h>
#include <unistd.h>

#include "errors.h"
#include "util.h"

namespace container {

using vbw::Postponed;
using vbw::TaskError;

namespace {

constexpr const char* kPidFile = "container.pid";

std::string host_name() {
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    return name;
}

}  // namespace

bool Podman::find(const vbw::InitData& init) {
    owner_ = owner_of(init, host_name() + "\n" + init.boinc_dir + "\n" + init.project_dir);
    const auto found = call({"info", "--format", "{{.Version.Version}}|{{.Host.CgroupsVersion}}|{{.Host.CgroupControllers}}|{{.Store.GraphDriverName}}"});
    if (!found.start_error.empty()) return false;
    if (found.exit_status != 0) {
        const std::string why = found.timed_out ? "it does not answer" : vbw::trim(found.output).substr(0, 500);
        throw Postponed(kNoEngineDelay, "this task runs a container and needs Podman on this computer: " + why +
                                            ". Podman has to work for the user that BOINC runs as; the task waits for it", true);
    }
    // warnings come first
    const auto lines = vbw::split_lines(vbw::trim(found.output));
    const std::string line = lines.empty() ? "" : lines.back();
    vbw::say("podman " + line);
    const bool works = vbw::contains(line, "|v2|") || getuid() == 0;
    memory_ = works && vbw::contains(line, "memory");
    cpus_ = works && vbw::contains(line, "cpu ");
    unlink(kPidFile);
    return true;
}

bool Podman::has_image(const Image& image) { return call({"image", "exists", image.id}).exit_status == 0; }

void Podman::load(const Image& image, const Job& job) {
    make_layout(image, job, kLayout, while_waiting_);
    check(call({"pull", "--quiet", "oci:" + vbw::current_directory() + "/" + kLayout}, kLoad), "take in the image");
    if (!has_image(image)) throw TaskError(vbw::kInitFailure, "podman took the image in under another id than " + image.id);
    check(call({"tag", image.id, image_name(image)}), "name the image");
}

std::vector<std::string> Podman::run_options(const std::string& shared) const {
    return {"--rm", "--pidfile", vbw::current_directory() + "/" + kPidFile, "--volume", shared + ":/root/shared", "--volume", shared + ":/shared"};
}

int Podman::init_pid() {
    if (pid_ == 0) pid_ = static_cast<int>(vbw::to_integer(vbw::trim(vbw::read_file(kPidFile, 64).value_or(""))).value_or(0));
    return pid_;
}

bool Podman::pause(bool paused) {
    if (!started()) return false;
    signal_tree(init_pid(), paused ? SIGSTOP : SIGCONT);
    return true;
}

void Podman::terminate() {
    // podman's own stop takes a moment to begin; the client may not wait long
    if (started()) ::kill(init_pid(), SIGTERM);
}

void Podman::kill() {
    if (started()) signal_tree(init_pid(), SIGKILL);
}

bool Podman::measure(Usage& usage) {
    if (!started()) return false;
    usage = usage_of(init_pid());
    return true;
}

void Podman::remove() { call({"rm", "--force", "--ignore", "--time", "0", owner_.container}); }

void Podman::take_over(const std::string& folder, const Image&) {
    if (getuid() != 0) call({"unshare", "chown", "-R", "-h", "0:0", folder});
}

}  // namespace container
