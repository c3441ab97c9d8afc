// Docker: its containers are processes of the engine's, which may be outside of the container that the client itself runs in.
#pragma once

#include <memory>

#include "child.h"
#include "engine.h"

namespace container {

class Docker : public Engine {
public:
    using Engine::Engine;

    bool find(const vbw::InitData& init) override;
    std::string program() const override { return "docker"; }
    std::string complaint() const override { return "docker: "; }
    bool has_image(const Image& image) override;
    void load(const Image& image, const Job& job) override;
    bool started() override;
    bool pause(bool paused) override;
    void terminate() override;
    void kill() override;
    bool measure(Usage& usage) override;
    bool put_away() override;
    void remove() override;
    void take_over(const std::string& folder, const Image& image) override;

private:
    std::vector<std::string> command() const override { return {"docker"}; }
    std::vector<std::string> remove_command() const override { return {"rm", "--force", "--volumes"}; }
    std::vector<std::string> run_options(const std::string& shared) const override;
    std::string reference(const Image& image) const override { return image_name(image); }
    // What the engine calls a path of ours. Throws vbw::Postponed, with a notice, for one that it cannot see.
    std::string outside(const std::string& path) const;

    struct Mount {
        std::string here, there;
    };
    bool in_container_ = false, rootless_ = false;
    std::vector<Mount> mounts_;     // of the container that this program runs in
    std::unique_ptr<Child> top_;
    std::string top_output_;
    double next_top_ = 0;
    Usage usage_;
    bool measured_ = false, paused_ = false;
};

// The ids of containers that paths of /proc/self/mountinfo name: the engine mounts a few files of its own into each container.
std::vector<std::string> container_ids(const std::string& mountinfo);

}  // namespace container
