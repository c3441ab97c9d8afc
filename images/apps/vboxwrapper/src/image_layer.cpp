#include "image_layer.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <vector>

#include "errors.h"
#include "sha256.h"
#include "squashfs.h"
#include "tar_stream.h"
#include "util.h"

namespace vbw {

namespace {

constexpr size_t kChunk = 1 << 18;
constexpr int kMostLinks = 40;
const std::string kWhiteout = ".wh.", kOpaque = ".wh..wh..opq";

// A file's bytes, unpacked if they are gzipped; their SHA-256 on the way.
class Unpacked {
public:
    Unpacked(const std::string& path, const std::function<void()>& while_waiting)
        : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)), while_waiting_(while_waiting), buffer_(kChunk) {
        if (fd_ < 0) throw LayerDamaged("it is missing");
        fill();
        gzipped_ = count_ > 1 && static_cast<unsigned char>(buffer_[0]) == 0x1f && static_cast<unsigned char>(buffer_[1]) == 0x8b;
        if (gzipped_ && inflateInit2(&stream_, 31) != Z_OK) throw std::runtime_error("zlib does not start");
    }
    Unpacked(const Unpacked&) = delete;
    Unpacked& operator=(const Unpacked&) = delete;
    ~Unpacked() {
        if (gzipped_) inflateEnd(&stream_);
        close(fd_);
    }

    size_t read(char* target, size_t size) {
        size_t got = 0;
        while (got < size) {
            if (at_ == count_ && !fill()) break;
            if (!gzipped_) {
                const size_t part = std::min(size - got, count_ - at_);
                memcpy(target + got, &buffer_[at_], part);
                at_ += part, got += part;
                continue;
            }
            stream_.next_in = reinterpret_cast<Bytef*>(&buffer_[at_]);
            stream_.avail_in = static_cast<uInt>(count_ - at_);
            stream_.next_out = reinterpret_cast<Bytef*>(target + got);
            stream_.avail_out = static_cast<uInt>(std::min<size_t>(size - got, 1 << 30));
            const uInt room = stream_.avail_out;
            const int result = inflate(&stream_, Z_NO_FLUSH);
            at_ = count_ - stream_.avail_in;
            got += room - stream_.avail_out;
            if (result == Z_STREAM_END) inflateReset(&stream_);   // another member may follow
            else if (result != Z_OK) throw std::runtime_error("its gzip stream is damaged");
        }
        return got;
    }

    // Of the whole file.
    std::string digest() {
        while (fill()) {}
        return hash_.hex();
    }

private:
    bool fill() {
        while_waiting_();
        const ssize_t n = ::read(fd_, buffer_.data(), buffer_.size());
        if (n < 0) throw LayerDamaged(std::string("it cannot be read: ") + strerror(errno));
        at_ = 0, count_ = static_cast<size_t>(n);
        hash_.add(buffer_.data(), count_);
        return n > 0;
    }

    int fd_;
    const std::function<void()>& while_waiting_;
    std::vector<char> buffer_;
    size_t at_ = 0, count_ = 0;
    bool gzipped_ = false;
    z_stream stream_{};
    Sha256 hash_;
};

std::vector<std::string> pieces_of(const std::string& path) {
    std::vector<std::string> pieces;
    size_t at = 0;
    while (at <= path.size()) {
        const size_t slash = std::min(path.find('/', at), path.size());
        const std::string piece = path.substr(at, slash - at);
        if (piece == "..") throw std::runtime_error("the path '" + path.substr(0, 100) + "' leads out");
        if (piece.size() > 255) throw std::runtime_error("a name of the path '" + path.substr(0, 100) + "' is too long");
        if (!piece.empty() && piece != ".") pieces.push_back(piece);
        at = slash + 1;
    }
    return pieces;
}

class Tree {
public:
    FsNode root;

    void add(const TarEntry& entry, TarStream& tar, SquashfsWriter& writer) {
        std::vector<std::string> pieces = pieces_of(entry.path);
        if (pieces.empty()) {
            if (entry.type == '5') describe(root, entry);
            return;
        }
        const std::string name = pieces.back();
        pieces.pop_back();
        FsNode& folder = folder_at(pieces);
        if (name == kOpaque) {
            opaque(folder);
        } else if (starts_with(name, kWhiteout)) {
            if (!starts_with(name, kWhiteout + kWhiteout)) whiteouts_.emplace_back(&folder, name.substr(kWhiteout.size()));   // others are aufs' own
        } else if (entry.type == '1') {
            folder.children[name] = target_of(entry.link);
        } else {
            auto& node = folder.children[name];
            if (!node || node->kind != FsNode::kDirectory || entry.type != '5') {
                if (node) keep_.push_back(node);   // whiteouts may point into it
                node = std::make_shared<FsNode>();
            }
            node->kind = kind_of(entry.type);
            describe(*node, entry);
            if (node->kind == FsNode::kFile) writer.add_data(*node, entry.size, [&tar](char* buffer, size_t size) { return tar.read(buffer, size); });
        }
    }

    // What the layer removes: overlayfs sees a device 0/0 in its place. What is there anew hides what is below in any case, but for
    // a directory, which would be merged.
    void apply_whiteouts() {
        for (const auto& [folder, name] : whiteouts_) {
            auto& node = folder->children[name];
            if (node) {
                if (node->kind == FsNode::kDirectory) opaque(*node);
                continue;
            }
            node = std::make_shared<FsNode>();
            node->kind = FsNode::kCharacterDevice, node->mode = 0;
        }
    }

private:
    static void opaque(FsNode& folder) { folder.xattrs["trusted.overlay.opaque"] = "y"; }

    static FsNode::Kind kind_of(char type) {
        switch (type) {
        case '2': return FsNode::kLink;
        case '3': return FsNode::kCharacterDevice;
        case '4': return FsNode::kBlockDevice;
        case '5': return FsNode::kDirectory;
        case '6': return FsNode::kPipe;
        default: return FsNode::kFile;
        }
    }

    static void describe(FsNode& node, const TarEntry& entry) {
        const bool hides = node.xattrs.count("trusted.overlay.opaque") != 0;
        node.mode = entry.mode, node.uid = entry.uid, node.gid = entry.gid, node.mtime = entry.mtime;
        node.major = entry.major, node.minor = entry.minor;
        node.link = entry.link;
        if (node.kind == FsNode::kLink) node.mode = 0777;
        node.xattrs.clear();
        for (const auto& [name, value] : entry.xattrs) {
            // overlayfs would believe what an image says in its name
            if (starts_with(name, "user.") || starts_with(name, "security.")) node.xattrs[name] = value;
        }
        if (hides) opaque(node);
    }

    // Links of the layer itself are followed, inside of the layer.
    FsNode& folder_at(std::vector<std::string> pieces) {
        FsNode* here = &root;
        std::vector<FsNode*> above;
        int links = 0;
        for (size_t i = 0; i < pieces.size(); i++) {
            if (pieces[i] == "..") {
                if (!above.empty()) here = above.back(), above.pop_back();
                continue;
            }
            auto& node = here->children[pieces[i]];
            if (!node) node = std::make_shared<FsNode>();   // a parent that is not in the tar
            if (node->kind == FsNode::kLink) {
                if (++links > kMostLinks) throw std::runtime_error("links that lead in a circle");
                std::vector<std::string> way;
                size_t at = 0;
                for (const std::string& target = node->link; at <= target.size();) {
                    const size_t slash = std::min(target.find('/', at), target.size());
                    const std::string piece = target.substr(at, slash - at);
                    if (!piece.empty() && piece != ".") way.push_back(piece);
                    at = slash + 1;
                }
                if (starts_with(node->link, "/")) here = &root, above.clear();
                way.insert(way.end(), pieces.begin() + static_cast<long>(i) + 1, pieces.end());
                pieces = way;
                i = static_cast<size_t>(-1);
                continue;
            }
            if (node->kind != FsNode::kDirectory) throw std::runtime_error("'" + pieces[i] + "' is a file and a folder");
            above.push_back(here);
            here = node.get();
        }
        return *here;
    }

    std::shared_ptr<FsNode> target_of(const std::string& path) {
        std::vector<std::string> pieces = pieces_of(path);
        if (!pieces.empty()) {
            const std::string name = pieces.back();
            pieces.pop_back();
            const FsNode& folder = folder_at(pieces);
            const auto found = folder.children.find(name);
            if (found != folder.children.end() && found->second->kind != FsNode::kDirectory) return found->second;
        }
        throw std::runtime_error("a hard link to '" + path.substr(0, 100) + "', which is not in the layer");
    }

    std::vector<std::pair<FsNode*, std::string>> whiteouts_;
    std::vector<std::shared_ptr<FsNode>> keep_;
};

}  // namespace

void make_layer_disk(const std::string& source, const std::string& hex, const std::string& target, const std::function<void()>& while_waiting) {
    const std::string part = target + ".part";
    try {
        std::string problem;
        Unpacked bytes(source, while_waiting);
        try {
            SquashfsWriter writer(part);
            TarStream tar([&bytes](char* buffer, size_t size) { return bytes.read(buffer, size); });
            Tree tree;
            while (const auto entry = tar.next()) tree.add(*entry, tar, writer);
            tree.apply_whiteouts();
            writer.finish(tree.root);
        } catch (const Stopped&) {
            throw;
        } catch (const std::runtime_error& error) {
            problem = error.what();   // of a damaged file, its digest is the better message
        }
        if (bytes.digest() != hex) throw LayerDamaged("it is damaged");
        if (!problem.empty()) throw std::runtime_error(problem);
        if (rename(part.c_str(), target.c_str())) throw std::runtime_error(std::string("it cannot be written: ") + strerror(errno));
    } catch (...) {
        unlink(part.c_str());
        throw;
    }
}

}  // namespace vbw
