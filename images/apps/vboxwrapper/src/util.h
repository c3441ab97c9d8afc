// Small things that everything else needs: real time, files, text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vbw {

// Seconds of real time since some fixed moment. The program is linked statically, so a
// library that fakes time for the BOINC client cannot reach it.
double now();

// Seconds since 1970 and a text for people, in real time.
double wall_clock();
std::string time_text(double unix_seconds);      // 2026-11-22 11:18:42 (local)
std::string time_text_utc(double unix_seconds);  // 2026-11-22T11:18:42.123456Z

class Deadline {
public:
    explicit Deadline(double seconds) : end_(now() + seconds) {}
    bool passed() const { return now() >= end_; }
    double left() const;  // seconds, never negative

private:
    double end_;
};

void sleep_for(double seconds);

// One line to stderr, with the time and process id that BOINC's own messages carry.
void say(const std::string& text);

std::string trim(std::string_view text);
std::vector<std::string> split_lines(std::string_view text);
bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);
bool contains(std::string_view text, std::string_view part);
std::string lower(std::string text);
std::string join(const std::vector<std::string>& parts, const std::string& between);
std::optional<double> to_number(std::string_view text);   // the whole text, no blanks, finite
std::optional<long long> to_integer(std::string_view text);
std::string number(double value);
std::string megabytes(double bytes);
std::string md5_hex(std::string_view data);

bool exists(const std::string& path);          // follows symbolic links
bool exists_itself(const std::string& path);   // does not
bool is_directory(const std::string& path);
double file_size(const std::string& path);     // -1 if there is none
double file_mtime(const std::string& path);    // unix seconds; -1 if there is none
double free_mb(const std::string& directory);  // of its file system, for ordinary users; very much if that cannot be told
std::string real_path(const std::string& path);   // "" if there is none
std::string current_directory();
bool inside(const std::string& path, const std::string& directory);   // of real paths

// Reads at most `limit` bytes of a regular file. Nothing if it is missing, is no regular
// file, or is a symbolic link and `follow` is false.
std::optional<std::string> read_file(const std::string& path, size_t limit = 1 << 20,
                                     bool follow = true);
// Writes aside and renames, so that a reader or a crash sees the old text or the new one.
bool write_file(const std::string& path, const std::string& text, int mode = 0644);
bool allocate_file(const std::string& path, size_t bytes);   // a new one that takes so much of the disk
bool copy_file(const std::string& from, const std::string& to);
bool make_directory(const std::string& path);   // one level; true if it is there afterwards

// A lock on a file that ends with the process. Not inherited by children.
class FileLock {
public:
    FileLock() = default;
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;
    ~FileLock() { release(); }
    bool try_lock(const std::string& path, bool shared = false);
    bool held() const { return fd_ >= 0; }
    void release();

private:
    int fd_ = -1;
};

}  // namespace vbw
