#include "processes.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "util.h"

namespace container {

namespace {

struct Entry {
    int pid, parent;
    double cpu_time, memory;
};

std::vector<Entry> all_processes() {
    std::vector<Entry> found;
    DIR* dir = opendir("/proc");
    if (!dir) return found;
    const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK)), page = static_cast<double>(sysconf(_SC_PAGESIZE));
    while (const dirent* item = readdir(dir)) {
        const int pid = atoi(item->d_name);
        if (pid <= 0) continue;
        const auto text = vbw::read_file("/proc/" + std::string(item->d_name) + "/stat", 4096);
        const size_t end = text ? text->rfind(')') : std::string::npos;
        if (end == std::string::npos) continue;
        int parent = 0;
        unsigned long user = 0, system = 0;
        long child_user = 0, child_system = 0, pages = 0;
        // proc(5): state ppid ... utime(14) stime cutime cstime ... rss(24)
        if (sscanf(text->c_str() + end + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %*d %*d %*u %*u %ld",
                   &parent, &user, &system, &child_user, &child_system, &pages) != 6) {
            continue;
        }
        found.push_back({pid, parent, (static_cast<double>(user + system) + static_cast<double>(child_user + child_system)) / ticks,
                         static_cast<double>(pages) * page});
    }
    closedir(dir);
    return found;
}

std::vector<Entry> tree(int root) {
    std::vector<Entry> inside;
    if (root <= 1) return inside;
    std::multimap<int, Entry> children;
    for (const auto& entry : all_processes()) {
        if (entry.pid == root) inside.push_back(entry);
        children.emplace(entry.parent, entry);
    }
    for (size_t i = 0; i < inside.size(); i++) {
        const auto [from, to] = children.equal_range(inside[i].pid);
        for (auto it = from; it != to; ++it) inside.push_back(it->second);
    }
    return inside;
}

}  // namespace

std::vector<int> process_tree(int root) {
    std::vector<int> pids;
    for (const auto& entry : tree(root)) pids.push_back(entry.pid);
    return pids;
}

Usage usage_of(int root) {
    Usage usage;
    for (const auto& entry : tree(root)) {
        usage.cpu_time += entry.cpu_time;
        usage.memory += entry.memory;
    }
    return usage;
}

void signal_tree(int root, int number) {
    std::set<int> done;
    for (int round = 0; round < 20; round++) {
        bool found = false;
        for (const int pid : process_tree(root)) {
            if (done.insert(pid).second) {
                kill(pid, number);
                found = true;
            }
        }
        if (!found) return;
    }
}

}  // namespace container
