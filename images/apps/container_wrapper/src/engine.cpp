#include "engine.h"

#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "docker.h"
#include "errors.h"
#include "podman.h"
#include "sha256.h"
#include "util.h"

namespace container {

using vbw::Postponed;

namespace {

std::string short_hash(const std::string& text) {
    vbw::Sha256 hash;
    hash.add(text.data(), text.size());
    return hash.hex().substr(0, 16);
}

std::string setting(const char* name) {
    const char* value = getenv(name);
    return value ? value : "";
}

}  // namespace

Owner owner_of(const vbw::InitData& init, const std::string& client) {
    const std::string names = setting("BOINC_CONTAINER_IMAGES");
    Owner owner;
    owner.slot = short_hash(client + "\n" + vbw::current_directory());
    owner.container = "boinc-" + short_hash(client + "\n" + init.result_name);
    owner.repository = (names.empty() ? "localhost/boinc" : names) + "/" + short_hash(client);
    owner.project = init.project_dir.substr(init.project_dir.rfind('/') + 1);
    owner.result = init.result_name;
    std::istringstream words(setting("BOINC_CONTAINER_LABELS"));
    for (std::string word; words >> word;) owner.labels.push_back(word);
    return owner;
}

vbw::ProcessResult Engine::call(const std::vector<std::string>& arguments, double timeout) {
    std::vector<std::string> argv = command();
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return vbw::run_process(argv, timeout, while_waiting_);
}

std::string Engine::check(const vbw::ProcessResult& result, const std::string& what) {
    if (result.exit_status == 0) return vbw::trim(result.output);
    const std::string why = result.timed_out ? "it took too long" : !result.start_error.empty() ? result.start_error : vbw::trim(result.output);
    throw Postponed(60, program() + " could not " + what + ": " + why.substr(0, 1000), false);
}

void Engine::remove_leftovers() {
    const auto found = call({"ps", "--all", "--quiet", "--no-trunc", "--filter", "label=org.boinc.slot=" + owner_.slot});
    for (const auto& line : vbw::split_lines(found.output)) {
        const std::string id = vbw::trim(line);
        if (id.size() != 64 || id.find_first_not_of("0123456789abcdef") != std::string::npos) continue;
        vbw::say("Removing container " + id.substr(0, 12) + ", left over in this slot");
        auto command = remove_command();
        command.push_back(id);
        call(command);
    }
}

void Engine::forget_images(const std::function<bool(const std::string&)>& wanted) {
    const auto found = call({"images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=" + owner_.repository});
    if (found.exit_status != 0) return;
    for (const auto& line : vbw::split_lines(found.output)) {
        // not by the engine's id, which need not be that of the image's configuration
        const std::string name = vbw::trim(line), prefix = owner_.repository + ":";
        const std::string id = vbw::starts_with(name, prefix) ? name.substr(prefix.size()) : "";
        if (id.size() != 32 || id.find_first_not_of("0123456789abcdef") != std::string::npos || wanted(id)) continue;
        vbw::say("Removing image " + id.substr(0, 12) + ": the client has deleted its files");
        call({"rmi", name});   // by name: another project's use of the same image stays
    }
}

std::vector<std::string> Engine::run_command(const Job& job, const Image& image, const std::string& shared) const {
    std::vector<std::string> argv = command();
    argv.insert(argv.end(), {"run", "--pull", "never", "--name", owner_.container, "--label", "org.boinc.slot=" + owner_.slot, "--label",
                             "org.boinc.project=" + owner_.project, "--label", "org.boinc.result=" + owner_.result, "--log-driver", "none",
                             "--security-opt", "no-new-privileges", "--env", "SHARED=/shared"});
    for (const auto& label : owner_.labels) argv.insert(argv.end(), {"--label", label});
    const auto own = run_options(shared);
    argv.insert(argv.end(), own.begin(), own.end());
    if (!job.network) argv.insert(argv.end(), {"--network", "none"});
    if (job.memory_bytes > 0 && memory_) argv.insert(argv.end(), {"--memory", vbw::number(job.memory_bytes)});
    if (job.cpus > 0 && cpus_) argv.insert(argv.end(), {"--cpus", vbw::number(job.cpus)});
    for (const auto& [name, value] : job.environment) argv.insert(argv.end(), {"--env", name + "=" + value});
    if (!job.workdir.empty()) argv.insert(argv.end(), {"--workdir", job.workdir});
    if (!job.user.empty()) argv.insert(argv.end(), {"--user", job.user});
    // an engine takes one word as entrypoint; the others go before the command
    if (job.entrypoint) argv.insert(argv.end(), {"--entrypoint", job.entrypoint->empty() ? "" : job.entrypoint->front()});
    argv.push_back(reference(image));
    if (job.entrypoint) argv.insert(argv.end(), job.entrypoint->begin() + (job.entrypoint->empty() ? 0 : 1), job.entrypoint->end());
    argv.insert(argv.end(), job.command.begin(), job.command.end());
    return argv;
}

std::unique_ptr<Engine> find_engine(const vbw::InitData& init, const Engine::Callback& while_waiting) {
    const std::string wanted = setting("BOINC_CONTAINER_ENGINE");
    if (!wanted.empty() && wanted != "podman" && wanted != "docker") {
        throw Postponed(3600, "BOINC_CONTAINER_ENGINE is '" + wanted.substr(0, 100) + "'; expected podman or docker", true);
    }
    std::vector<std::unique_ptr<Engine>> known;
    if (wanted != "docker") known.push_back(std::make_unique<Podman>(while_waiting));
    if (wanted != "podman") known.push_back(std::make_unique<Docker>(while_waiting));
    for (auto& engine : known) {
        if (engine->find(init)) return std::move(engine);
    }
    const std::string names = wanted == "docker" ? "Docker" : wanted == "podman" ? "Podman" : "Podman or Docker";
    throw Postponed(3600, "this task runs a container and needs " + names + " on this computer: it is not installed. "
                          "Install it for the user that BOINC runs as; the task waits for it", true);
}

}  // namespace container
