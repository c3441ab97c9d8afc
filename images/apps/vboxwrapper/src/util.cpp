#include "util.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace vbw {

double now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double wall_clock() {
    timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

std::string time_text(double unix_seconds) {
    const time_t seconds = static_cast<time_t>(unix_seconds);
    tm parts{};
    localtime_r(&seconds, &parts);
    char buffer[64];
    strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S", &parts);
    return buffer;
}

std::string time_text_utc(double unix_seconds) {
    const long long micro = llround(unix_seconds * 1e6);
    const time_t seconds = static_cast<time_t>(micro / 1000000);
    tm parts{};
    gmtime_r(&seconds, &parts);
    char day[32], buffer[64];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(buffer, sizeof buffer, "%s.%06dZ", day, static_cast<int>(micro % 1000000));
    return buffer;
}

double Deadline::left() const { return std::max(0.0, end_ - now()); }

void sleep_for(double seconds) {
    if (seconds <= 0) return;
    timespec t{static_cast<time_t>(seconds), static_cast<long>(fmod(seconds, 1.0) * 1e9)};
    nanosleep(&t, nullptr);
}

void say(const std::string& text) {
    std::string line = time_text(wall_clock()) + " (" + std::to_string(getpid()) + "): " + text;
    if (line.back() != '\n') line += '\n';
    size_t done = 0;
    while (done < line.size()) {
        const ssize_t n = write(2, line.data() + done, line.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        done += static_cast<size_t>(n);
    }
}

std::string trim(std::string_view text) {
    size_t a = 0, b = text.size();
    while (a < b && isspace(static_cast<unsigned char>(text[a]))) a++;
    while (b > a && isspace(static_cast<unsigned char>(text[b - 1]))) b--;
    return std::string(text.substr(a, b - a));
}

std::vector<std::string> split_lines(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        lines.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    return lines;
}

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}

bool ends_with(std::string_view text, std::string_view suffix) {
    return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
    return text;
}

std::string join(const std::vector<std::string>& parts, const std::string& between) {
    std::string all;
    for (const auto& part : parts) all += (all.empty() ? "" : between) + part;
    return all;
}

std::optional<double> to_number(std::string_view text) {
    const std::string copy(text);
    if (copy.empty() || isspace(static_cast<unsigned char>(copy[0]))) return {};
    char* end = nullptr;
    const double value = strtod(copy.c_str(), &end);
    if (*end || !std::isfinite(value)) return {};
    return value;
}

std::optional<long long> to_integer(std::string_view text) {
    const std::string copy(text);
    if (copy.empty() || isspace(static_cast<unsigned char>(copy[0]))) return {};
    char* end = nullptr;
    errno = 0;
    const long long value = strtoll(copy.c_str(), &end, 10);
    if (*end || errno) return {};
    return value;
}

std::string number(double value) {
    char buffer[64];
    if (value == std::floor(value) && std::fabs(value) < 1e15) {
        snprintf(buffer, sizeof buffer, "%.0f", value);
    } else {
        snprintf(buffer, sizeof buffer, "%.3f", value);
    }
    return buffer;
}

std::string megabytes(double bytes) {
    char buffer[64];
    snprintf(buffer, sizeof buffer, "%.1f MiB", bytes / 1048576.0);
    return buffer;
}

std::string md5_hex(std::string_view data) {
    static const uint32_t shifts[64] = {
        7, 12, 17, 22, 7, 12, 17, 22, 7, 12, 17, 22, 7, 12, 17, 22,
        5, 9,  14, 20, 5, 9,  14, 20, 5, 9,  14, 20, 5, 9,  14, 20,
        4, 11, 16, 23, 4, 11, 16, 23, 4, 11, 16, 23, 4, 11, 16, 23,
        6, 10, 15, 21, 6, 10, 15, 21, 6, 10, 15, 21, 6, 10, 15, 21};
    std::string message(data);
    const uint64_t bits = static_cast<uint64_t>(data.size()) * 8;
    message += '\x80';
    while (message.size() % 64 != 56) message += '\0';
    for (int i = 0; i < 8; i++) message += static_cast<char>(bits >> (8 * i));
    uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    for (size_t block = 0; block < message.size(); block += 64) {
        uint32_t word[16];
        for (size_t i = 0; i < 16; i++) {
            word[i] = 0;
            for (size_t k = 0; k < 4; k++) {
                word[i] |= static_cast<uint32_t>(
                               static_cast<unsigned char>(message[block + 4 * i + k]))
                           << (8 * k);
            }
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        for (uint32_t i = 0; i < 64; i++) {
            uint32_t f, g;
            if (i < 16) {
                f = (b & c) | (~b & d), g = i;
            } else if (i < 32) {
                f = (d & b) | (~d & c), g = (5 * i + 1) % 16;
            } else if (i < 48) {
                f = b ^ c ^ d, g = (3 * i + 5) % 16;
            } else {
                f = c ^ (b | ~d), g = (7 * i) % 16;
            }
            const uint32_t k = static_cast<uint32_t>(fabs(sin(i + 1.0)) * 4294967296.0);
            const uint32_t sum = a + f + k + word[g];
            a = d, d = c, c = b;
            b += (sum << shifts[i]) | (sum >> (32 - shifts[i]));
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    }
    std::string hex;
    for (uint32_t part : state) {
        for (int k = 0; k < 4; k++) {
            char two[3];
            snprintf(two, sizeof two, "%02x", (part >> (8 * k)) & 255u);
            hex += two;
        }
    }
    return hex;
}

bool exists(const std::string& path) {
    struct stat s {};
    return stat(path.c_str(), &s) == 0;
}

bool exists_itself(const std::string& path) {
    struct stat s {};
    return lstat(path.c_str(), &s) == 0;
}

bool is_directory(const std::string& path) {
    struct stat s {};
    return stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode);
}

double file_size(const std::string& path) {
    struct stat s {};
    return stat(path.c_str(), &s) == 0 ? static_cast<double>(s.st_size) : -1;
}

double file_mtime(const std::string& path) {
    struct stat s {};
    if (stat(path.c_str(), &s)) return -1;
    return static_cast<double>(s.st_mtim.tv_sec) + static_cast<double>(s.st_mtim.tv_nsec) * 1e-9;
}

double free_mb(const std::string& directory) {
    struct statvfs s {};
    if (statvfs(directory.c_str(), &s)) return 1e12;
    return static_cast<double>(s.f_bavail) * static_cast<double>(s.f_frsize) / 1048576;
}

std::string real_path(const std::string& path) {
    char* resolved = realpath(path.c_str(), nullptr);
    if (!resolved) return "";
    std::string copy(resolved);
    free(resolved);
    return copy;
}

std::string current_directory() {
    char buffer[PATH_MAX];
    return getcwd(buffer, sizeof buffer) ? buffer : ".";
}

bool inside(const std::string& path, const std::string& directory) {
    return path == directory || starts_with(path, directory + "/");
}

std::optional<std::string> read_file(const std::string& path, size_t limit, bool follow) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0) return {};
    struct stat s {};
    if (fstat(fd, &s) || !S_ISREG(s.st_mode)) {
        close(fd);
        return {};
    }
    std::string text;
    char buffer[65536];
    while (text.size() < limit) {
        const ssize_t n = read(fd, buffer, std::min(sizeof buffer, limit - text.size()));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        text.append(buffer, static_cast<size_t>(n));
    }
    close(fd);
    return text;
}

static bool write_all(int fd, const char* data, size_t size) {
    size_t done = 0;
    while (done < size) {
        const ssize_t n = write(fd, data + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += static_cast<size_t>(n);
    }
    return true;
}

bool write_file(const std::string& path, const std::string& text, int mode) {
    const std::string aside = path + ".new";
    unlink(aside.c_str());
    const int fd = open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                        static_cast<mode_t>(mode));
    if (fd < 0) return false;
    const bool written = write_all(fd, text.data(), text.size());
    if (close(fd) || !written || rename(aside.c_str(), path.c_str())) {
        unlink(aside.c_str());
        return false;
    }
    return true;
}

bool allocate_file(const std::string& path, size_t bytes) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return false;
    const int error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
    return close(fd) == 0 && error == 0;
}

bool copy_file(const std::string& from, const std::string& to) {
    const int in = open(from.c_str(), O_RDONLY | O_CLOEXEC);
    if (in < 0) return false;
    const std::string aside = to + ".new";
    unlink(aside.c_str());
    const int out = open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    bool good = out >= 0;
    std::vector<char> buffer(1 << 20);
    while (good) {
        const ssize_t n = read(in, buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            good = n == 0;
            break;
        }
        good = write_all(out, buffer.data(), static_cast<size_t>(n));
    }
    close(in);
    if (out >= 0 && close(out)) good = false;
    if (good && rename(aside.c_str(), to.c_str())) good = false;
    if (!good) unlink(aside.c_str());
    return good;
}

bool make_directory(const std::string& path) {
    return mkdir(path.c_str(), 0755) == 0 || is_directory(path);
}

bool FileLock::try_lock(const std::string& path, bool shared) {
    release();
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
        close(fd);
        return false;
    }
    fd_ = fd;
    return true;
}

void FileLock::release() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
}

}  // namespace vbw
