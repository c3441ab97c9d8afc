// The container engine: podman, by its command line.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "image.h"
#include "job.h"
#include "process.h"

namespace container {

// How containers of this slot are told from those of others, on an engine that may serve several clients.
struct Owner {
    std::string container;    // name of the container
    std::string slot;         // value of the label org.boinc.slot: this slot of this client of this host
    std::string repository;   // localhost/boinc/KEY: the names of this project's images on this client
    std::string project, result;
};

class Podman {
public:
    Podman(Owner owner, std::function<void()> while_waiting) : owner_(std::move(owner)), while_waiting_(std::move(while_waiting)) {}

    // Throws vbw::Postponed, with a notice, where there is no podman or where it cannot be used.
    void find();
    bool limits_memory() const { return memory_; }
    bool limits_cpus() const { return cpus_; }

    void remove_leftovers();
    bool has_image(const std::string& id);
    void load(const Image& image, const std::string& layout);
    // Removes this project's images whose files the client no longer has.
    void forget_images(const std::function<bool(const std::string& id)>& wanted);
    std::vector<std::string> run_command(const Job& job, const Image& image, const std::string& shared, const std::string& pid_file) const;
    void stop(double seconds);
    void remove();
    // Makes what a container's users wrote this user's own.
    void take_over(const std::string& folder);

private:
    vbw::ProcessResult podman(const std::vector<std::string>& arguments, double timeout);
    std::string check(const vbw::ProcessResult& result, const std::string& what);

    Owner owner_;
    std::function<void()> while_waiting_;
    bool memory_ = false, cpus_ = false;
};

// A running child whose output comes in pieces.
class Child {
public:
    explicit Child(const std::vector<std::string>& argv);
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child();

    // Waits at most that long for output or the end.
    void wait(double seconds);
    // What has come since the last call.
    std::string take(int stream);   // 1 or 2
    bool ended() const { return ended_; }
    int exit_code() const { return exit_code_; }
    void kill_it();

private:
    void read_all();
    pid_t pid_ = -1;
    int pipes_[2] = {-1, -1};
    std::string pieces_[2];
    bool ended_ = false;
    int exit_code_ = -1;
};

}  // namespace container
