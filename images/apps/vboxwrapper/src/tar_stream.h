// A tar as it comes: ustar, GNU's long names, pax headers. What container layers are made of.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

namespace vbw {

struct TarEntry {
    std::string path, link;
    char type = '0';              // '0' file, '1' hard link, '2' symbolic link, '3' character, '4' block device, '5' directory, '6' pipe
    uint64_t size = 0;            // of the data that follows
    unsigned mode = 0;            // permission bits with setuid, setgid and sticky
    uint32_t uid = 0, gid = 0, major = 0, minor = 0;
    int64_t mtime = 0;
    std::map<std::string, std::string> xattrs;
};

class TarError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Fills a buffer as far as there are bytes; returns how many.
using ReadBytes = std::function<size_t(char*, size_t)>;

class TarStream {
public:
    explicit TarStream(ReadBytes source) : source_(std::move(source)) {}

    // The next member, past what is unread of the last one's data. Throws TarError.
    std::optional<TarEntry> next();
    // Data of the member. Returns less than `size` only at its end. Throws TarError where the tar ends before.
    size_t read(char* buffer, size_t size);

private:
    void skip(uint64_t count);
    void need(char* buffer, size_t size);
    std::string text(uint64_t size);

    ReadBytes source_;
    uint64_t left_ = 0, padding_ = 0;
};

}  // namespace vbw
