// VirtualBox's disk images, as far as a wrapper has to look into them: is this one, whose child is it, and what
// has a child changed. Layout: include/VBox/vd*.h and Storage/VDICore.h upstream, header version 1.1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vbw {

struct VdiHeader {
    uint32_t type = 0;               // 1 dynamic, 2 fixed, 4 differencing
    uint32_t map_offset = 0, data_offset = 0;
    uint32_t block_size = 0, block_extra = 0, blocks = 0, allocated = 0;
    uint64_t disk_size = 0;
    std::string uuid, parent_uuid;   // 16 raw bytes each
    bool differencing() const { return type == 4; }
};

// Throws std::runtime_error that says what is wrong with the file.
VdiHeader read_vdi_header(const std::string& path);
// The header, and that the map of blocks fits the file: no block twice, none beyond the end.
VdiHeader check_vdi(const std::string& path);

// Writes what differencing image `child` has changed into its parent `base`. Neither may be in use. Doing it again
// after an interruption gives the same result. Throws std::runtime_error.
void merge_vdi(const std::string& child, const std::string& base);

// `candidates` in the order of their ancestry, the first one being a child of `base`. Empty if there is none.
std::vector<std::string> vdi_chain(const std::string& base, const std::vector<std::string>& candidates);

}  // namespace vbw
