// The command line, as the stock wrapper has it.
#pragma once

#include <string>
#include <vector>

namespace vbw {

struct Arguments {
    double trickle_period = 0;     // seconds; 0 = none
    double nthreads = 0;           // 0 = what the client gives
    double memory_size_mb = 0;     // 0 = what the job file says
    int vmimage = 0;               // 0 = vm_image.vdi, N = vm_image_N.vdi
    bool register_only = false;
    std::vector<std::string> all;
};

// Throws TaskError (kInitFailure) that names the option.
Arguments parse_arguments(int argc, char** argv);

}  // namespace vbw
