#include "job.h"

#include <nlohmann/json.hpp>

#include "errors.h"
#include "util.h"

namespace container {

using nlohmann::json;

namespace {

[[noreturn]] void refuse(const std::string& file, const std::string& why) {
    throw vbw::TaskError(vbw::kInitFailure, file + ": " + why);
}

json parse(const std::string& file, const std::string& text) {
    json value = json::parse(text, nullptr, false);
    if (value.is_discarded() || !value.is_object()) refuse(file, "is no JSON object");
    return value;
}

bool fits(const std::string& name) {
    return !name.empty() && name[0] != '/' && name.find("..") == std::string::npos && name.find('\0') == std::string::npos;
}

}  // namespace

std::string hex_of(const std::string& digest) {
    const std::string prefix = "sha256:";
    const std::string hex = vbw::starts_with(digest, prefix) ? digest.substr(prefix.size()) : "";
    if (hex.size() != 64 || hex.find_first_not_of("0123456789abcdef") != std::string::npos) {
        throw vbw::TaskError(vbw::kInitFailure, "'" + digest.substr(0, 100) + "' is no digest; expected sha256: and 64 hex digits");
    }
    return hex;
}

Job parse_job(const std::string& text) {
    const std::string file = "container_job.json";
    const json value = parse(file, text);
    Job job;
    std::string field;
    try {
        for (const auto& [name, item] : value.items()) {
            field = name;
            if (name == "manifest") job.manifest = item.get<std::string>();
            else if (name == "command") job.command = item.get<std::vector<std::string>>();
            else if (name == "entrypoint") job.entrypoint = item.get<std::vector<std::string>>();
            else if (name == "environment") job.environment = item.get<std::map<std::string, std::string>>();
            else if (name == "workdir") job.workdir = item.get<std::string>();
            else if (name == "user") job.user = item.get<std::string>();
            else if (name == "network") job.network = item.get<bool>();
            else if (name == "memory_bytes") job.memory_bytes = item.get<double>();
            else if (name == "cpus") job.cpus = item.get<double>();
            else if (name == "stop_seconds") job.stop_seconds = item.get<double>();
            else if (name == "outputs") job.outputs = item.get<std::vector<std::string>>();
            else refuse(file, "unknown field '" + name + "'");
        }
    } catch (const json::exception&) {
        refuse(file, "field '" + field + "' is of the wrong kind");
    }
    hex_of(job.manifest);
    for (const auto& [name, unused] : job.environment) {
        if (name.empty() || name.find('=') != std::string::npos) refuse(file, "'" + name + "' is no name of an environment variable");
    }
    for (const auto& name : job.outputs) {
        if (!fits(name)) refuse(file, "the output '" + name + "' is not inside the shared folder");
    }
    return job;
}

Manifest parse_manifest(const std::string& text) {
    const json value = parse("the image's manifest", text);
    Manifest manifest;
    try {
        manifest.config = value.at("config").at("digest").get<std::string>();
        for (const auto& layer : value.at("layers")) manifest.layers.push_back(layer.at("digest").get<std::string>());
    } catch (const json::exception&) {
        refuse("the image's manifest", "has no config or no layers");
    }
    hex_of(manifest.config);
    for (const auto& layer : manifest.layers) hex_of(layer);
    return manifest;
}

}  // namespace container
