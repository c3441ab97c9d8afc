// What the wrapper must know when it starts again in the same slot: vbox_checkpoint.xml, the stock wrapper's file with
// more in it.
#pragma once

#include <string>

#include "guest_log.h"

namespace vbw {

struct Checkpoint {
    double elapsed_time = 0, cpu_time = 0;   // of the job, at the last checkpoint
    int webapi_port = 0, remote_desktop_port = 0;
    bool machine_made = false;       // this task has (or is about to have) a machine
    bool resumable = false;          // there is a snapshot or a saved state to go on from
    std::string snapshot;            // the current one
    int snapshots = 0;               // taken so far, for their names
    int restarts = 0;                // of a machine that died, since the last checkpoint
    int postponed = 0;               // times that this host could not run it
    int disk_full = 0;               // times that its disk was full, since the last checkpoint
    std::string notice;              // the last one that the volunteer got
    unsigned long long log_inode = 0;
    long long log_offset = 0;
    GuestLog::State guest_log;

    static constexpr const char* kFile = "vbox_checkpoint.xml";
    bool read();
    void write() const;
};

}  // namespace vbw
