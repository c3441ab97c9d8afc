// A layer of a container image, from the gzipped tar that it comes as to a file system that a guest mounts.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

namespace vbw {

// The file is not what its digest says.
class LayerDamaged : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Writes the file system of the gzipped (or plain) tar `source`, whose SHA-256 is `hex`, to `target`, in which overlayfs
// understands what the layer removes of those below it. `while_waiting` is called now and then, and may throw. Throws LayerDamaged
// where the digest is another, std::runtime_error for what is no layer, or where the disk is full; `target` is not there then.
void make_layer_disk(const std::string& source, const std::string& hex, const std::string& target, const std::function<void()>& while_waiting);

}  // namespace vbw
