#include "tar_stream.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "util.h"

namespace vbw {

namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kMostText = 1 << 20;      // of a long name, or a pax header

uint64_t numeric(const char* field, size_t size) {
    if (static_cast<unsigned char>(field[0]) & 0x80) {   // base 256, GNU's for large values; negative ones are times before 1970
        if (static_cast<unsigned char>(field[0]) & 0x40) return 0;
        uint64_t value = static_cast<unsigned char>(field[0]) & 0x3f;
        for (size_t i = 1; i < size; i++) value = value << 8 | static_cast<unsigned char>(field[i]);
        return value;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size && field[i]; i++) {
        if (field[i] == ' ') continue;
        if (field[i] < '0' || field[i] > '7') throw TarError("a number in a header is none");
        value = value << 3 | static_cast<uint64_t>(field[i] - '0');
    }
    return value;
}

std::string word(const char* field, size_t size) { return std::string(field, strnlen(field, size)); }

uint64_t decimal(const std::string& value) {
    const auto found = to_number(value);
    if (!found || *found >= 1e18) throw TarError("a number in a pax header is none: " + value.substr(0, 40));
    return *found < 0 ? 0 : static_cast<uint64_t>(*found);
}

// Records "LENGTH KEY=VALUE\n", where the length is that of the whole record (POSIX, pax).
std::map<std::string, std::string> pax_records(const std::string& text) {
    std::map<std::string, std::string> found;
    size_t at = 0;
    while (at < text.size() && text[at]) {
        const size_t blank = text.find(' ', at);
        const auto length = blank == std::string::npos ? std::nullopt : to_integer(text.substr(at, blank - at));
        if (!length || *length < 4 || static_cast<size_t>(*length) > text.size() - at || at + static_cast<size_t>(*length) <= blank + 1) {
            throw TarError("a pax header is damaged");
        }
        const std::string record = text.substr(blank + 1, at + static_cast<size_t>(*length) - blank - 2);
        const size_t equals = record.find('=');
        if (equals == std::string::npos) throw TarError("a pax header is damaged");
        found[record.substr(0, equals)] = record.substr(equals + 1);
        at += static_cast<size_t>(*length);
    }
    return found;
}

void take_records(TarEntry& entry, const std::map<std::string, std::string>& records) {
    static const std::string kXattr = "SCHILY.xattr.";
    for (const auto& [key, value] : records) {
        if (key == "path") entry.path = value;
        else if (key == "linkpath") entry.link = value;
        else if (key == "size") entry.size = decimal(value);
        else if (key == "uid") entry.uid = static_cast<uint32_t>(decimal(value));
        else if (key == "gid") entry.gid = static_cast<uint32_t>(decimal(value));
        else if (key == "mtime") entry.mtime = static_cast<int64_t>(decimal(value));
        else if (starts_with(key, kXattr)) entry.xattrs[key.substr(kXattr.size())] = value;
        else if (starts_with(key, "GNU.sparse.")) throw TarError("files with holes are not supported");
    }
}

}  // namespace

void TarStream::need(char* buffer, size_t size) {
    if (source_(buffer, size) != size) throw TarError("it is cut off");
}

void TarStream::skip(uint64_t count) {
    std::array<char, 65536> waste;
    while (count) {
        const size_t part = static_cast<size_t>(std::min<uint64_t>(count, waste.size()));
        need(waste.data(), part);
        count -= part;
    }
}

std::string TarStream::text(uint64_t size) {
    if (size > kMostText) throw TarError("a header is too long");
    std::string found(static_cast<size_t>(size), '\0');
    need(found.data(), found.size());
    skip((kBlock - size % kBlock) % kBlock);
    return found;
}

std::optional<TarEntry> TarStream::next() {
    skip(left_ + padding_);
    left_ = padding_ = 0;
    std::string long_name, long_link;
    std::map<std::string, std::string> pax;
    for (;;) {
        std::array<char, kBlock> block;
        const size_t count = source_(block.data(), kBlock);
        if (count == 0) return {};   // some write no end marks
        if (count != kBlock) throw TarError("it is cut off");
        if (std::all_of(block.begin(), block.end(), [](char c) { return c == 0; })) return {};
        const uint64_t stated = numeric(&block[148], 8);
        uint64_t sum = 8 * ' ';
        for (size_t i = 0; i < kBlock; i++) {
            if (i < 148 || i >= 156) sum += static_cast<unsigned char>(block[i]);
        }
        if (sum != stated) throw TarError("a header's checksum is wrong");
        TarEntry entry;
        entry.type = block[156];
        entry.size = numeric(&block[124], 12);
        if (entry.type == 'L' || entry.type == 'K') {
            std::string found = text(entry.size);
            found.resize(strnlen(found.c_str(), found.size()));
            (entry.type == 'L' ? long_name : long_link) = found;
            continue;
        }
        if (entry.type == 'x' || entry.type == 'g') {
            const auto records = pax_records(text(entry.size));
            if (entry.type == 'x') pax = records;
            continue;
        }
        const bool ustar = memcmp(&block[257], "ustar", 5) == 0, gnu = memcmp(&block[257], "ustar ", 6) == 0;
        entry.path = word(&block[0], 100);
        if (ustar && !gnu && block[345]) entry.path = word(&block[345], 155) + "/" + entry.path;
        entry.link = word(&block[157], 100);
        entry.mode = static_cast<unsigned>(numeric(&block[100], 8)) & 07777;
        entry.uid = static_cast<uint32_t>(numeric(&block[108], 8));
        entry.gid = static_cast<uint32_t>(numeric(&block[116], 8));
        entry.mtime = static_cast<int64_t>(numeric(&block[136], 12));
        entry.major = static_cast<uint32_t>(numeric(&block[329], 8));
        entry.minor = static_cast<uint32_t>(numeric(&block[337], 8));
        if (!long_name.empty()) entry.path = long_name;
        if (!long_link.empty()) entry.link = long_link;
        take_records(entry, pax);
        if (entry.type == '\0' || entry.type == '7') entry.type = '0';
        if (entry.type < '0' || entry.type > '6') throw TarError("'" + entry.path.substr(0, 100) + "' is of a kind that is not supported");
        if (entry.type == '0' && ends_with(entry.path, "/")) entry.type = '5';   // of before ustar
        if (entry.type != '0') entry.size = 0;
        left_ = entry.size;
        padding_ = (kBlock - left_ % kBlock) % kBlock;
        return entry;
    }
}

size_t TarStream::read(char* buffer, size_t size) {
    const size_t part = static_cast<size_t>(std::min<uint64_t>(size, left_));
    need(buffer, part);
    left_ -= part;
    return part;
}

}  // namespace vbw
