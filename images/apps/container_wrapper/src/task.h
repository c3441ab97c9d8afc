// One task: from the job file to the uploaded results.
#pragma once

#include <memory>
#include <string>

#include "boinc_app.h"
#include "child.h"
#include "engine.h"

namespace container {

class Task {
public:
    explicit Task(vbw::BoincApp& app);
    [[noreturn]] void run();

private:
    void prepare();
    void check_requests();          // while something else takes its time: throws vbw::Stopped
    void start();
    void supervise();
    void forward();
    void measure();
    void freeze(bool frozen);
    [[noreturn]] void make_room();  // quit, abort, or the client is gone
    [[noreturn]] void finish();

    vbw::BoincApp& app_;
    Job job_;
    Image image_;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<Child> child_;
    std::string shared_;
    vbw::FileLock store_lock_;
    bool frozen_ = false, too_much_memory_ = false;
    double next_measure_ = 0, next_pause_ = 0, cpu_time_ = 0, checkpoint_mtime_ = -1;
    double written_[3] = {0, 0, 0}, shown_ = 0;
    int files_[3] = {-1, -1, -1};
    std::string last_error_;
};

}  // namespace container
