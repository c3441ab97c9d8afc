// The files of a slot: BOINC's links, the folder that the guest shares, and how to read what a guest wrote there
// without trusting it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "boinc_app.h"
#include "job_file.h"

namespace vbw {

// Where `name` in the slot really is: a symbolic link, a text file "<soft_link>../../projects/P/FILE</soft_link>", or the
// file itself. Absolute. `linked` says that it was one of the first two.
struct Resolved {
    std::string path;
    bool linked = false;
};
Resolved resolve(const std::string& name);

// What distinguishes an image from others: the name of the project's file (such files never change), or if it is a
// copy, its beginning and its size.
std::string image_identity(const std::string& name);

class SharedFolderFiles {
public:
    SharedFolderFiles(std::string directory, std::string project_dir);

    const std::string& directory() const { return directory_; }
    std::string path(const std::string& name) const { return directory_ + "/" + name; }

    // Refuses a folder that is, or has in it, a symbolic link that leads out of the slot and the project's directory.
    // Throws TaskError.
    void check() const;

    enum What { kNothing, kFile, kRefused };
    struct Trigger {
        What what = kNothing;
        std::string text;     // of the file, or why it is refused
        double mtime = 0;
    };
    // At most 64 KiB of a file that the guest wrote. Symbolic links, pipes, directories are refused.
    Trigger read(const std::string& name) const;
    void remove(const std::string& name) const;
    // Creates or replaces a file; never through a link that the guest has put there.
    bool write(const std::string& name, const std::string& text) const;

private:
    std::string directory_, project_dir_;
};

// The exit code, whether to show a notice, and the message of a completion file; nothing if its first line is no number.
struct Completion {
    int exit_code = 0;
    bool notice = false;
    std::string message;
};
std::optional<Completion> parse_completion(const std::string& text);

// The fraction in the last line of the guest's file.
std::optional<double> parse_fraction(const std::string& text);

// Files and bytes below `directory`; stops counting at `most_files`.
struct Usage {
    double files = 0, bytes = 0;
};
Usage measure(const std::string& directory, double most_files);

// The floppy image through which the stock wrapper hands text to a guest (its FloppyIO: 28,672 bytes, the text first,
// the last but one byte 1 when there is some).
std::string floppy_image(const std::string& text);
std::string floppy_text(const InitData& init, const std::string& init_data_xml, bool cern, bool share_authenticator);

int free_port();      // of 127.0.0.1; 0 if there is none

}  // namespace vbw
