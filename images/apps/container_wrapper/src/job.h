// container_job.json: what a job asks for.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace container {

struct Job {
    std::string manifest;                 // its digest: sha256:HEX
    std::vector<std::string> command;     // in place of the image's; empty: the image's own
    std::optional<std::vector<std::string>> entrypoint;
    std::map<std::string, std::string> environment;
    std::string workdir, user;            // "": the image's own
    bool network = false;
    double memory_bytes = 0;              // 0: no limit of the job's own
    double cpus = 0;
    double stop_seconds = 5;              // between SIGTERM and SIGKILL when the task has to make room
    std::vector<std::string> outputs;     // files of the shared folder that must be there at the end
};

// Throws vbw::TaskError for anything that is no job file, with the field's name.
Job parse_job(const std::string& text);

struct Manifest {
    std::string config;                   // sha256:HEX, which is also the image's id
    std::vector<std::string> layers;
};
Manifest parse_manifest(const std::string& text);

// The 64 hex digits of sha256:HEX. Throws vbw::TaskError for anything else, so that a digest can be part of a path.
std::string hex_of(const std::string& digest);

}  // namespace container
