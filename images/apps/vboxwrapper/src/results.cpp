#include "results.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "errors.h"
#include "util.h"

namespace vbw {

namespace fs = std::filesystem;

namespace {

constexpr size_t kBlock = 512;

class Archive {
public:
    explicit Archive(const std::string& path) : file_(gzopen(path.c_str(), "wb6")) {
        if (!file_) fail();
    }
    Archive(const Archive&) = delete;
    Archive& operator=(const Archive&) = delete;
    ~Archive() {
        if (file_) gzclose(file_);
    }

    void header(const std::string& name, char type, uint64_t size, unsigned mode, const std::string& link) {
        if (name.size() > 100) long_field('L', name);
        if (link.size() > 100) long_field('K', link);
        record(name, type, size, mode, link);
    }
    void data(const char* bytes, size_t size) {
        if (size && gzwrite(file_, bytes, static_cast<unsigned>(size)) <= 0) fail();
    }
    void pad(uint64_t size) {
        static const std::array<char, kBlock> zeros{};
        data(zeros.data(), (kBlock - size % kBlock) % kBlock);
    }
    void end() {
        static const std::array<char, 2 * kBlock> zeros{};
        data(zeros.data(), zeros.size());
        const int error = gzclose(file_);
        file_ = nullptr;
        if (error != Z_OK) fail();
    }

private:
    [[noreturn]] static void fail() { throw TaskError(kDiskLimit, "the results cannot be packed: is the disk full?"); }

    // GNU's way to say names of more than 100 bytes
    void long_field(char type, const std::string& text) {
        record("././@LongLink", type, text.size() + 1, 0644, "");
        data(text.c_str(), text.size() + 1);
        pad(text.size() + 1);
    }
    void record(const std::string& name, char type, uint64_t size, unsigned mode, const std::string& link) {
        std::array<char, kBlock> block{};
        memcpy(block.data(), name.data(), std::min<size_t>(name.size(), 100));
        snprintf(block.data() + 100, 8, "%07o", mode & 07777);
        snprintf(block.data() + 108, 8, "%07o", 0);
        snprintf(block.data() + 116, 8, "%07o", 0);
        if (size < (1ULL << 33)) {
            snprintf(block.data() + 124, 12, "%011llo", static_cast<unsigned long long>(size));
        } else {
            block[124] = static_cast<char>(0x80);
            for (size_t i = 0; i < 8; i++) block[135 - i] = static_cast<char>(size >> (8 * i));
        }
        snprintf(block.data() + 136, 12, "%011o", 0);
        memset(block.data() + 148, ' ', 8);
        block[156] = type;
        memcpy(block.data() + 157, link.data(), std::min<size_t>(link.size(), 100));
        memcpy(block.data() + 257, "ustar  ", 8);
        unsigned sum = 0;
        for (const char c : block) sum += static_cast<unsigned char>(c);
        snprintf(block.data() + 148, 8, "%06o", sum);
        data(block.data(), block.size());
    }
    gzFile file_;
};

void add_file(Archive& archive, const std::string& path, const std::string& name, const struct stat& s) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) throw TaskError(kChildFailed, "the result " + name + " cannot be read");
    const uint64_t size = static_cast<uint64_t>(s.st_size);
    archive.header(name, '0', size, s.st_mode & 0111 ? 0755 : 0644, "");
    std::vector<char> buffer(1 << 18);
    uint64_t left = size;
    while (left) {
        const ssize_t n = read(fd, buffer.data(), std::min<uint64_t>(buffer.size(), left));
        if (n <= 0) {
            close(fd);
            throw TaskError(kChildFailed, "the result " + name + " got shorter while it was read");
        }
        archive.data(buffer.data(), static_cast<size_t>(n));
        left -= static_cast<uint64_t>(n);
    }
    close(fd);
    archive.pad(size);
}

}  // namespace

void pack(const std::string& folder, const std::string& target) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        names.push_back(it->path().lexically_relative(folder).string());
    }
    if (error) throw TaskError(kChildFailed, "the folder results cannot be read: " + error.message());
    std::sort(names.begin(), names.end());
    Archive archive(target);
    archive.header("results/", '5', 0, 0755, "");
    for (const auto& relative : names) {
        const std::string path = folder + "/" + relative, name = "results/" + relative;
        struct stat s {};
        if (lstat(path.c_str(), &s)) continue;
        if (S_ISDIR(s.st_mode)) archive.header(name + "/", '5', 0, 0755, "");
        else if (S_ISLNK(s.st_mode)) archive.header(name, '2', 0, 0777, fs::read_symlink(path, error).string());
        else if (S_ISREG(s.st_mode)) add_file(archive, path, name, s);
    }
    archive.end();
}

}  // namespace vbw
