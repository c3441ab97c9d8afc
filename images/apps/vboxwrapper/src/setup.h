// From the job file, the command line and the slot's files to a machine's configuration.
#pragma once

#include <string>

#include "arguments.h"
#include "boinc_app.h"
#include "checkpoint.h"
#include "host_check.h"
#include "job_file.h"
#include "machine.h"

namespace vbw {

std::string machine_name(const InitData& init);
std::string project_directory(const InitData& init);

// Makes the folders, copies what the job wants in them, and looks for what must be there. Throws TaskError, or Postponed
// if the host cannot give the memory at this time.
void prepare_slot(const JobFile& job, const Arguments& arguments, const InitData& init);

// The configuration, all but the persistent disk. Finds ports, and writes them to `checkpoint`.
MachineConfig describe_machine(const JobFile& job, const Arguments& arguments, const InitData& init, const HostReport& host,
                               Checkpoint& checkpoint);

// The name that tells this job's image from others (of the ISO or the disk that it boots).
std::string boot_image(const JobFile& job, const Arguments& arguments);

}  // namespace vbw
