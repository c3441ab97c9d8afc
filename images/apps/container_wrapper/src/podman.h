// Podman: its containers are processes of this user's, which the wrapper sees and signals itself.
#pragma once

#include "engine.h"

namespace container {

class Podman : public Engine {
public:
    using Engine::Engine;

    bool find(const vbw::InitData& init) override;
    std::string program() const override { return "podman"; }
    std::string complaint() const override { return "Error: "; }
    bool has_image(const Image& image) override;
    void load(const Image& image, const Job& job) override;
    bool started() override { return init_pid() > 1; }
    bool pause(bool paused) override;
    void terminate() override;
    void kill() override;
    bool measure(Usage& usage) override;
    bool put_away() override { return false; }   // --rm has done it
    void remove() override;
    void take_over(const std::string& folder, const Image& image) override;

private:
    std::vector<std::string> command() const override { return {"podman", "--log-level=error"}; }
    std::vector<std::string> remove_command() const override { return {"rm", "--force", "--time", "0"}; }
    std::vector<std::string> run_options(const std::string& shared) const override;
    std::string reference(const Image& image) const override { return image.id; }
    int init_pid();

    int pid_ = 0;
};

}  // namespace container
