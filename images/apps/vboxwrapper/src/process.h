// Runs one program without a shell, within a time limit that nothing can stretch.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace vbw {

struct ProcessResult {
    int exit_status = -1;     // 128 + signal if it was killed; -1 if it could not be started
    bool timed_out = false;
    std::string output;       // stdout and stderr together, at most 1 MiB
    std::string start_error;  // why it could not be started
    double seconds = 0;
};

// `while_waiting` is called about 20 times a second. The child gets no libfaketime and none of
// the library path that the client sets up for applications, and /dev/null as input.
ProcessResult run_process(const std::vector<std::string>& argv, double timeout,
                          const std::function<void()>& while_waiting);

// A process by its id, for watching: gone, or dead and not yet waited for, is not alive.
bool process_alive(int pid);
// In clock ticks since boot; 0 if there is no such process. With the id, it names a process for good.
unsigned long long process_start_time(int pid);
double process_cpu_time(int pid);      // seconds, 0 if unknown
double process_memory(int pid);        // resident bytes, 0 if unknown
int process_parent(int pid);           // 0 if unknown
// This user's processes of a program, by the last part of its path.
std::vector<int> processes_of(const std::string& program);
bool process_runs(int pid, const std::string& part_of_name);

}  // namespace vbw
