// The container engine of this computer, by its command line.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "boinc_app.h"
#include "image.h"
#include "job.h"
#include "process.h"
#include "processes.h"

namespace container {

// How containers of this slot are told from those of others, on an engine that may serve several clients.
struct Owner {
    std::string container;            // name of the container
    std::string slot;                 // value of the label org.boinc.slot: this slot of this client of this host
    std::string repository;           // localhost/boinc/KEY: the names of this project's images on this client
    std::string project, result;
    std::vector<std::string> labels;  // more of them, name=value
};

// `client` is what nobody else who uses the engine has: clients in two containers may have the same paths and slots.
Owner owner_of(const vbw::InitData& init, const std::string& client);

class Engine {
public:
    using Callback = std::function<void()>;
    explicit Engine(Callback while_waiting) : while_waiting_(std::move(while_waiting)) {}
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    virtual ~Engine() = default;

    // What is called from now on while a command of the engine takes its time.
    void wait_with(Callback while_waiting) { while_waiting_ = std::move(while_waiting); }

    // Looks whether it can be used, and who we are to it. False: it is not installed. Throws vbw::Postponed, with a notice.
    virtual bool find(const vbw::InitData& init) = 0;
    virtual std::string program() const = 0;
    virtual std::string complaint() const = 0;   // what the engine's own errors begin with
    bool limits_memory() const { return memory_; }
    bool limits_cpus() const { return cpus_; }

    // Removes containers that a killed wrapper has left in this slot.
    void remove_leftovers();
    virtual bool has_image(const Image& image) = 0;
    virtual void load(const Image& image, const Job& job) = 0;
    // Removes this project's images whose files the client no longer has; `wanted` gets the first 32 digits of an image's id.
    void forget_images(const std::function<bool(const std::string& id)>& wanted);

    // The command that runs the job's container, hands on its output, and ends with its exit code.
    std::vector<std::string> run_command(const Job& job, const Image& image, const std::string& shared) const;
    // The next five are for the container that it runs. `started`: there is one by now.
    virtual bool started() = 0;
    virtual bool pause(bool paused) = 0;     // false: it could not be done now
    virtual void terminate() = 0;            // SIGTERM to its first process
    virtual void kill() = 0;                 // SIGKILL to all
    virtual bool measure(Usage& usage) = 0;  // what it uses, if that is known; costs nothing to ask twice a second
    // Removes the container, which has ended. True: it ended since it wanted more memory than it may have.
    virtual bool put_away() = 0;
    virtual void remove() = 0;               // whatever it does
    // Makes what a container's users wrote this user's own.
    virtual void take_over(const std::string& folder, const Image& image) = 0;

protected:
    static constexpr double kQuick = 60, kLoad = 1800;
    static constexpr int kNoEngineDelay = 3600;
    static constexpr const char* kLayout = "oci_image";

    vbw::ProcessResult call(const std::vector<std::string>& arguments, double timeout = kQuick);
    std::string check(const vbw::ProcessResult& result, const std::string& what);
    std::string image_name(const Image& image) const { return owner_.repository + ":" + image.id.substr(0, 32); }

    virtual std::vector<std::string> command() const = 0;         // the program, and what every call of it has
    virtual std::vector<std::string> remove_command() const = 0;  // removes a container at once, running or not
    virtual std::vector<std::string> run_options(const std::string& shared) const = 0;   // of the engine's own
    virtual std::string reference(const Image& image) const = 0;  // what `run` finds the image by

    Owner owner_;
    Callback while_waiting_;
    bool memory_ = false, cpus_ = false;
};

// podman where that is installed, else docker; or the one that BOINC_CONTAINER_ENGINE names. Throws vbw::Postponed, with a notice.
std::unique_ptr<Engine> find_engine(const vbw::InitData& init, const Engine::Callback& while_waiting);

}  // namespace container
