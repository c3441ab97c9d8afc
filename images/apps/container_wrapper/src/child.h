// A program whose output is taken in pieces while it runs.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace container {

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
