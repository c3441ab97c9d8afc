// The image, from the layer files that the client has downloaded.
#pragma once

#include <functional>
#include <string>

#include "job.h"

namespace container {

struct Image {
    std::string id;          // 64 hex digits: the digest of its configuration, under which engines know it
    Manifest manifest;
    std::string config_text;
};

// Reads manifest and configuration, verifying both. Throws vbw::TaskError; a damaged file is removed first, so that the client
// fetches it again.
Image read_image(const Job& job);

// An OCI layout in `directory`, whose blobs are links to the client's files; every layer's digest is verified before.
void make_layout(const Image& image, const Job& job, const std::string& directory, const std::function<void()>& while_waiting);

}  // namespace container
