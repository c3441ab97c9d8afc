#include "arguments.h"

#include "errors.h"
#include "util.h"

namespace vbw {

Arguments parse_arguments(int argc, char** argv) {
    Arguments result;
    for (int i = 1; i < argc; i++) result.all.emplace_back(argv[i]);
    for (size_t i = 0; i < result.all.size(); i++) {
        const std::string option = result.all[i];
        const auto value = [&](double least) {
            const std::string text = i + 1 < result.all.size() ? result.all[++i] : "";
            const auto parsed = to_number(text);
            if (!parsed || *parsed < least) {
                throw TaskError(kInitFailure, "command line: " + option + " needs a number of at least " + number(least) + ", not '" + text + "'");
            }
            return *parsed;
        };
        if (option == "--trickle") result.trickle_period = value(0);
        else if (option == "--nthreads") result.nthreads = value(0);
        else if (option == "--memory_size_mb") result.memory_size_mb = value(4);
        else if (option == "--vmimage") result.vmimage = static_cast<int>(value(0));
        else if (option == "--register_only") result.register_only = true;
        else if (option == "--sporadic") throw TaskError(kInitFailure, "command line: --sporadic is not supported by this wrapper");
        else throw TaskError(kInitFailure, "command line: unknown option '" + option + "'");
    }
    return result;
}

}  // namespace vbw
