// The folder `results` of a job, packed for upload.
#pragma once

#include <string>

namespace vbw {

// Writes `folder` (regular files, directories, symbolic links) as a gzipped tar. The same contents give the same bytes, so that
// a project can compare results: sorted names, no times, no owners. Throws TaskError.
void pack(const std::string& folder, const std::string& target);

}  // namespace vbw
