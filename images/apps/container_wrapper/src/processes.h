// The processes of a container, as this host sees them.
#pragma once

#include <vector>

namespace container {

struct Usage {
    double cpu_time = 0;     // seconds, with that of children that have ended
    double memory = 0;       // resident bytes
};

// A process and all that descend from it.
std::vector<int> process_tree(int root);
Usage usage_of(int root);
// Sends a signal to all of them, until no new ones turn up.
void signal_tree(int root, int number);

}  // namespace container
