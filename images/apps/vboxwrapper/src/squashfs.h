// Writes a SquashFS 4.0 file system, nothing compressed: a guest mounts it as it is, without a file of it being unpacked.
// Format: Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h of Linux.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tar_stream.h"

namespace vbw {

struct FsNode {
    enum Kind : uint16_t { kDirectory = 1, kFile = 2, kLink = 3, kBlockDevice = 4, kCharacterDevice = 5, kPipe = 6 };
    Kind kind = kDirectory;
    unsigned mode = 0755;
    uint32_t uid = 0, gid = 0, major = 0, minor = 0;
    int64_t mtime = 0;
    std::string link;                                             // of a symbolic link
    std::map<std::string, std::string> xattrs;                    // full names
    std::map<std::string, std::shared_ptr<FsNode>> children;      // of a directory, sorted as the file system wants them

    // Of the writer's own.
    uint64_t size = 0, start = 0, place = 0;
    std::vector<uint32_t> blocks;
    uint32_t number = 0, links = 0;
};

// All errors are std::runtime_error.
class SquashfsWriter {
public:
    explicit SquashfsWriter(const std::string& path);
    SquashfsWriter(const SquashfsWriter&) = delete;
    SquashfsWriter& operator=(const SquashfsWriter&) = delete;
    ~SquashfsWriter();

    // A file's contents, `size` bytes of them.
    void add_data(FsNode& file, uint64_t size, const ReadBytes& source);
    // All the rest. The same tree gives the same bytes.
    void finish(FsNode& root);

private:
    // A table of pieces that the file system stores in blocks of 8 KiB.
    struct Table {
        std::string bytes;
        uint64_t place() const { return position(bytes.size()); }
        static uint64_t position(size_t offset);   // block's offset on disk, shifted by 16, and the offset in it
        std::string on_disk() const;
    };

    void write(const std::string& bytes);
    void number_nodes(FsNode& node);
    void add_inodes(FsNode& directory, uint32_t parent);
    void add_inode(FsNode& node, uint32_t parent);
    void add_listing(FsNode& directory, uint64_t& place, uint32_t& size);
    uint16_t id_of(uint32_t id);
    uint32_t xattrs_of(const FsNode& node);

    FILE* file_ = nullptr;
    uint64_t at_ = 0;
    Table inodes_, directories_, xattr_values_;
    std::string xattr_ids_;
    uint32_t xattr_count_ = 0, count_ = 0;
    std::vector<uint32_t> ids_;
};

}  // namespace vbw
