#include "vdi.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <stdexcept>

#include "util.h"

namespace vbw {

namespace {

constexpr uint32_t kSignature = 0xbeda107f, kVersion = 0x00010001;
constexpr uint32_t kFree = 0xffffffff, kZero = 0xfffffffe;
constexpr uint64_t kMostBlocks = 64ull << 20;   // 64 TiB of 1 MiB each
enum Offset : long { kType = 0x4c, kMapOffset = 0x154, kDataOffset = 0x158, kDiskSize = 0x170, kBlockSize = 0x178,
                     kBlockExtra = 0x17c, kBlocks = 0x180, kAllocated = 0x184, kUuid = 0x188, kModified = 0x198,
                     kParent = 0x1a8 };
constexpr size_t kHeaderBytes = 0x200;

class File {
public:
    File(const std::string& path, bool write)
        : path_(path), fd_(open(path.c_str(), (write ? O_RDWR : O_RDONLY) | O_CLOEXEC)) {
        struct stat s {};
        if (fd_ < 0) fail(strerror(errno));
        if (fstat(fd_, &s) || !S_ISREG(s.st_mode)) {
            close(fd_);   // a constructor that throws has no destructor
            fail("is no file");
        }
        size = static_cast<uint64_t>(s.st_size);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { if (fd_ >= 0) close(fd_); }
    void read(void* buffer, size_t bytes, uint64_t at) {
        char* to = static_cast<char*>(buffer);
        for (size_t done = 0; done < bytes;) {
            const ssize_t n = pread(fd_, to + done, bytes - done, static_cast<off_t>(at + done));
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) fail("ends too early");
            done += static_cast<size_t>(n);
        }
    }
    void write(const void* buffer, size_t bytes, uint64_t at) {
        const char* from = static_cast<const char*>(buffer);
        for (size_t done = 0; done < bytes;) {
            const ssize_t n = pwrite(fd_, from + done, bytes - done, static_cast<off_t>(at + done));
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) fail(std::string("cannot be written: ") + strerror(errno));
            done += static_cast<size_t>(n);
        }
    }
    void sync() { if (fdatasync(fd_)) fail("cannot be written"); }
    [[noreturn]] void fail(const std::string& why) const { throw std::runtime_error(path_ + ": " + why); }
    uint64_t size = 0;

private:
    std::string path_;
    int fd_;
};

VdiHeader header_of(File& file) {
    if (file.size < kHeaderBytes) file.fail("is no VDI disk image (too short)");
    unsigned char raw[kHeaderBytes];
    file.read(raw, sizeof raw, 0);
    const auto u32 = [&raw](long at) {
        uint32_t v;
        memcpy(&v, raw + at, 4);
        return v;
    };
    if (u32(0x40) != kSignature) file.fail("is no VDI disk image (wrong signature)");
    if (u32(0x44) != kVersion) file.fail("is a VDI disk image of an unknown version");
    VdiHeader h;
    h.type = u32(kType);
    h.map_offset = u32(kMapOffset), h.data_offset = u32(kDataOffset);
    h.block_size = u32(kBlockSize), h.block_extra = u32(kBlockExtra);
    h.blocks = u32(kBlocks), h.allocated = u32(kAllocated);
    memcpy(&h.disk_size, raw + kDiskSize, 8);
    h.uuid.assign(reinterpret_cast<char*>(raw) + kUuid, 16);
    h.parent_uuid.assign(reinterpret_cast<char*>(raw) + kParent, 16);
    if (h.type < 1 || h.type > 4) file.fail("is a VDI disk image of an unknown type");
    if (h.block_size == 0 || h.blocks == 0 || h.blocks > kMostBlocks || h.block_extra != 0 ||
        h.disk_size > static_cast<uint64_t>(h.blocks) * h.block_size || h.map_offset < kHeaderBytes ||
        h.data_offset < h.map_offset + 4ull * h.blocks) {
        file.fail("is a damaged VDI disk image (its header contradicts itself)");
    }
    return h;
}

std::vector<uint32_t> map_of(File& file, const VdiHeader& h) {
    if (file.size < h.map_offset + 4ull * h.blocks) file.fail("is a damaged VDI disk image (cut off)");
    std::vector<uint32_t> map(h.blocks);
    file.read(map.data(), 4ull * h.blocks, h.map_offset);
    std::vector<bool> used(h.allocated, false);
    for (uint32_t entry : map) {
        if (entry == kFree || entry == kZero) continue;
        if (entry >= h.allocated || used[entry]) file.fail("is a damaged VDI disk image (its map of blocks is wrong)");
        used[entry] = true;
        // The last block may be shorter than the others.
        if (file.size < h.data_offset + static_cast<uint64_t>(entry) * h.block_size + 1) {
            file.fail("is a damaged VDI disk image (blocks are missing at its end)");
        }
    }
    return map;
}

}  // namespace

VdiHeader read_vdi_header(const std::string& path) {
    File file(path, false);
    return header_of(file);
}

VdiHeader check_vdi(const std::string& path) {
    File file(path, false);
    const VdiHeader h = header_of(file);
    map_of(file, h);
    return h;
}

void merge_vdi(const std::string& child_path, const std::string& base_path) {
    File child(child_path, false), base(base_path, true);
    const VdiHeader ch = header_of(child);
    VdiHeader bh = header_of(base);
    if (ch.block_size != bh.block_size || ch.blocks != bh.blocks) child.fail("is not of the same size as " + base_path);
    const std::vector<uint32_t> from = map_of(child, ch);
    std::vector<uint32_t> to = map_of(base, bh);
    std::vector<char> block(ch.block_size);
    for (uint32_t i = 0; i < ch.blocks; i++) {
        if (from[i] == kFree || (from[i] == kZero && to[i] >= kZero)) continue;
        if (from[i] == kZero) {
            std::fill(block.begin(), block.end(), 0);
        } else {
            const uint64_t at = ch.data_offset + static_cast<uint64_t>(from[i]) * ch.block_size;
            const size_t there = static_cast<size_t>(std::min<uint64_t>(ch.block_size, child.size - at));
            std::fill(block.begin(), block.end(), 0);
            child.read(block.data(), there, at);
        }
        const bool is_new = to[i] >= kZero;
        if (is_new) to[i] = bh.allocated;
        base.write(block.data(), block.size(), bh.data_offset + static_cast<uint64_t>(to[i]) * bh.block_size);
        // The count before the entry: between the two there is a block that nobody uses, and a second run makes a new one.
        if (is_new) {
            bh.allocated++;
            base.write(&bh.allocated, 4, kAllocated);
            base.write(&to[i], 4, bh.map_offset + 4ull * i);
        }
    }
    // A modified image has a new modification UUID; a child of the old contents is refused by VirtualBox from now on.
    const auto random = read_file("/proc/sys/kernel/random/uuid", 64);
    const std::string digest = md5_hex(random.value_or(child_path) + std::to_string(now()));
    base.write(digest.data(), 16, kModified);
    base.sync();
}

std::vector<std::string> vdi_chain(const std::string& base, const std::vector<std::string>& candidates) {
    std::vector<std::string> chain;
    std::string parent = read_vdi_header(base).uuid;
    for (size_t guard = 0; guard <= candidates.size(); guard++) {
        bool found = false;
        for (const auto& candidate : candidates) {
            VdiHeader h;
            try {
                h = read_vdi_header(candidate);
            } catch (const std::runtime_error&) {
                continue;
            }
            if (!h.differencing() || h.parent_uuid != parent) continue;
            chain.push_back(candidate);
            parent = h.uuid;
            found = true;
            break;
        }
        if (!found) break;
    }
    return chain;
}

}  // namespace vbw
