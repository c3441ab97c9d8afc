#include "squashfs.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "util.h"

namespace vbw {

namespace {

constexpr uint32_t kMagic = 0x73717368, kNone = 0xffffffff;
constexpr uint32_t kBlockLog = 17, kBlock = 1 << kBlockLog;
constexpr uint32_t kUncompressed = 1 << 24;              // of a data block's size
constexpr size_t kMetadata = 8192;
constexpr uint16_t kMetadataUncompressed = 0x8000;
constexpr uint16_t kLz4 = 5;                             // the guest's kernel knows it; nothing here uses it
// inodes, data, fragments, xattrs, ids: not compressed; no fragments; there are options of the compressor
constexpr uint16_t kFlags = 0x0001 | 0x0002 | 0x0008 | 0x0100 | 0x0800 | 0x0010 | 0x0400;
constexpr size_t kSuperblock = 96;
constexpr size_t kMostEntries = 256;                     // of one run in a directory's listing
constexpr uint64_t kDeviceBlock = 4096;

template <typename T>
void put(std::string& target, T value) {
    for (size_t i = 0; i < sizeof(T); i++) target += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 0xff);
}

uint32_t device_number(const FsNode& node) {             // new_encode_dev() of Linux
    return (node.minor & 0xff) | (node.major << 8) | ((node.minor & ~0xffU) << 12);
}

}  // namespace

uint64_t SquashfsWriter::Table::position(size_t offset) {
    return static_cast<uint64_t>(offset / kMetadata) * (kMetadata + 2) << 16 | (offset % kMetadata);
}

std::string SquashfsWriter::Table::on_disk() const {
    std::string result;
    for (size_t at = 0; at < bytes.size(); at += kMetadata) {
        const size_t size = std::min(kMetadata, bytes.size() - at);
        put(result, static_cast<uint16_t>(size | kMetadataUncompressed));
        result.append(bytes, at, size);
    }
    return result;
}

SquashfsWriter::SquashfsWriter(const std::string& path) : file_(fopen(path.c_str(), "wbe")) {
    if (!file_) throw std::runtime_error(path + ": " + strerror(errno));
    std::string head(kSuperblock, '\0');
    put(head, static_cast<uint16_t>(8 | kMetadataUncompressed));
    put(head, uint32_t{1});   // LZ4's only format
    put(head, uint32_t{0});
    write(head);
}

SquashfsWriter::~SquashfsWriter() {
    if (file_) fclose(file_);
}

void SquashfsWriter::write(const std::string& bytes) {
    if (fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) throw std::runtime_error(std::string("it cannot be written: ") + strerror(errno));
    at_ += bytes.size();
}

void SquashfsWriter::add_data(FsNode& file, uint64_t size, const ReadBytes& source) {
    file.size = size, file.start = at_;
    file.blocks.clear();
    std::string block(kBlock, '\0');
    for (uint64_t left = size; left;) {
        const size_t part = static_cast<size_t>(std::min<uint64_t>(left, kBlock));
        if (source(block.data(), part) != part) throw std::runtime_error("a file's contents are cut off");
        left -= part;
        const bool hole = block[0] == 0 && memcmp(block.data(), block.data() + 1, part - 1) == 0;
        file.blocks.push_back(hole ? 0 : static_cast<uint32_t>(part) | kUncompressed);
        if (!hole) write(part == block.size() ? block : block.substr(0, part));
    }
}

// Files of a directory get numbers that follow each other: a listing says the differences only.
void SquashfsWriter::number_nodes(FsNode& directory) {
    for (auto& [name, node] : directory.children) {
        node->links++;
        if (!node->number) node->number = ++count_;
    }
    for (auto& [name, node] : directory.children) {
        if (node->kind == FsNode::kDirectory) number_nodes(*node);
    }
}

uint16_t SquashfsWriter::id_of(uint32_t id) {
    const auto found = std::find(ids_.begin(), ids_.end(), id);
    if (found != ids_.end()) return static_cast<uint16_t>(found - ids_.begin());
    if (ids_.size() >= 65535) throw std::runtime_error("it has too many different owners");
    ids_.push_back(id);
    return static_cast<uint16_t>(ids_.size() - 1);
}

uint32_t SquashfsWriter::xattrs_of(const FsNode& node) {
    static const char* const kPrefixes[] = {"user.", "trusted.", "security."};
    std::string pairs;
    uint32_t count = 0;
    for (const auto& [name, value] : node.xattrs) {
        for (uint16_t type = 0; type < 3; type++) {
            if (!starts_with(name, kPrefixes[type])) continue;
            const std::string rest = name.substr(strlen(kPrefixes[type]));
            if (rest.empty() || rest.size() > 255 || value.size() > 65535) throw std::runtime_error("the attribute " + name.substr(0, 60) + " is too long");
            put(pairs, type);
            put(pairs, static_cast<uint16_t>(rest.size()));
            pairs += rest;
            put(pairs, static_cast<uint32_t>(value.size()));
            pairs += value;
            count++;
        }
    }
    if (!count) return kNone;
    put(xattr_ids_, xattr_values_.place());
    put(xattr_ids_, count);
    put(xattr_ids_, static_cast<uint32_t>(pairs.size()));
    xattr_values_.bytes += pairs;
    return xattr_count_++;
}

void SquashfsWriter::add_listing(FsNode& directory, uint64_t& place, uint32_t& size) {
    place = directories_.place();
    const size_t before = directories_.bytes.size();
    auto it = directory.children.begin();
    while (it != directory.children.end()) {
        const uint32_t base = it->second->number;
        const uint64_t block = it->second->place >> 16;
        auto end = it;
        size_t run = 0;
        for (; end != directory.children.end() && run < kMostEntries; ++end, ++run) {
            const int64_t difference = static_cast<int64_t>(end->second->number) - base;
            if (end->second->place >> 16 != block || difference < -32768 || difference > 32767) break;
        }
        std::string& out = directories_.bytes;
        put(out, static_cast<uint32_t>(run - 1));
        put(out, static_cast<uint32_t>(block));
        put(out, base);
        for (; it != end; ++it) {
            put(out, static_cast<uint16_t>(it->second->place & 0xffff));
            put(out, static_cast<uint16_t>(it->second->number - base));
            put(out, static_cast<uint16_t>(it->second->kind));
            put(out, static_cast<uint16_t>(it->first.size() - 1));
            out += it->first;
        }
    }
    size = static_cast<uint32_t>(directories_.bytes.size() - before + 3);   // as if "." and ".." were in it
}

void SquashfsWriter::add_inode(FsNode& node, uint32_t parent) {
    uint64_t listing = 0;
    uint32_t listing_size = 0, folders = 0;
    if (node.kind == FsNode::kDirectory) {
        add_listing(node, listing, listing_size);
        for (const auto& [name, child] : node.children) folders += child->kind == FsNode::kDirectory;
    }
    const uint32_t xattrs = xattrs_of(node);
    node.place = inodes_.place();
    std::string& out = inodes_.bytes;
    put(out, static_cast<uint16_t>(node.kind + 7));   // the long form of each kind
    put(out, static_cast<uint16_t>(node.mode & 07777));
    put(out, id_of(node.uid));
    put(out, id_of(node.gid));
    put(out, static_cast<uint32_t>(std::clamp<int64_t>(node.mtime, 0, 0xffffffff)));
    put(out, node.number);
    switch (node.kind) {
    case FsNode::kDirectory:
        put(out, 2 + folders);
        put(out, listing_size);
        put(out, static_cast<uint32_t>(listing >> 16));
        put(out, parent);
        put(out, uint16_t{0});   // no index
        put(out, static_cast<uint16_t>(listing & 0xffff));
        put(out, xattrs);
        break;
    case FsNode::kFile:
        put(out, node.start);
        put(out, node.size);
        put(out, uint64_t{0});
        put(out, node.links);
        put(out, kNone);         // no fragment
        put(out, uint32_t{0});
        put(out, xattrs);
        for (const uint32_t block : node.blocks) put(out, block);
        break;
    case FsNode::kLink:
        put(out, node.links);
        put(out, static_cast<uint32_t>(node.link.size()));
        out += node.link;
        put(out, xattrs);
        break;
    case FsNode::kBlockDevice:
    case FsNode::kCharacterDevice:
        put(out, node.links);
        put(out, device_number(node));
        put(out, xattrs);
        break;
    case FsNode::kPipe:
        put(out, node.links);
        put(out, xattrs);
        break;
    }
}

void SquashfsWriter::add_inodes(FsNode& directory, uint32_t parent) {
    for (auto& [name, node] : directory.children) {
        if (node->kind == FsNode::kDirectory) add_inodes(*node, directory.number);
    }
    for (auto& [name, node] : directory.children) {
        if (node->kind != FsNode::kDirectory && !node->place) add_inode(*node, directory.number);
    }
    add_inode(directory, parent);
}

void SquashfsWriter::finish(FsNode& root) {
    inodes_.bytes.reserve(1 << 20);
    root.number = ++count_;
    number_nodes(root);
    // place 0 says "not written yet": nothing else may be at it
    FsNode first;
    first.kind = FsNode::kPipe, first.number = ++count_, first.links = 1;
    add_inode(first, 0);
    add_inodes(root, count_ + 1);
    std::string super;
    put(super, kMagic);
    put(super, count_);
    put(super, uint32_t{0});
    put(super, kBlock);
    put(super, uint32_t{0});
    put(super, kLz4);
    put(super, static_cast<uint16_t>(kBlockLog));
    put(super, kFlags);
    put(super, static_cast<uint16_t>(ids_.size()));
    put(super, uint16_t{4});
    put(super, uint16_t{0});
    put(super, root.place);
    const uint64_t inode_table = at_;
    write(inodes_.on_disk());
    const uint64_t directory_table = at_;
    write(directories_.on_disk());
    // a table of blocks is followed by where its blocks are
    const auto write_blocks = [this](const Table& table) {
        std::string index;
        for (size_t at = 0; at < table.bytes.size(); at += kMetadata) put(index, at_ + (Table::position(at) >> 16));
        write(table.on_disk());
        return index;
    };
    Table ids;
    for (const uint32_t id : ids_) put(ids.bytes, id);
    const std::string id_index = write_blocks(ids);
    const uint64_t id_table = at_;
    write(id_index);
    uint64_t xattr_table = ~uint64_t{0};
    if (xattr_count_) {
        const uint64_t values = at_;
        write(xattr_values_.on_disk());
        const std::string index = write_blocks(Table{xattr_ids_});
        xattr_table = at_;
        std::string head;
        put(head, values);
        put(head, xattr_count_);
        put(head, uint32_t{0});
        write(head + index);
    }
    put(super, at_);
    put(super, id_table);
    put(super, xattr_table);
    put(super, inode_table);
    put(super, directory_table);
    put(super, ~uint64_t{0});   // no fragments
    put(super, ~uint64_t{0});   // not for NFS
    write(std::string((kDeviceBlock - at_ % kDeviceBlock) % kDeviceBlock, '\0'));
    if (fseek(file_, 0, SEEK_SET)) throw std::runtime_error("it cannot be written");
    write(super);
    FILE* const file = file_;
    file_ = nullptr;
    if (fclose(file)) throw std::runtime_error(std::string("it cannot be written: ") + strerror(errno));
}

}  // namespace vbw
