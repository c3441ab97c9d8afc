// Saved states of booted guests, kept in the project's directory for later jobs:
//
//     vm_warm/KEY.sav     a saved state of the machine, taken when the guest said that it was ready
//     vm_warm/KEY.info    when it was made
//
// KEY is made of all that the saved state depends on: the machine's configuration, the image, VirtualBox's version, how
// VirtualBox runs machines here, and the path of the shared folder (VirtualBox finds it again only there).
#pragma once

#include <string>

#include "job_file.h"
#include "machine.h"

namespace vbw {

class WarmStart {
public:
    WarmStart(const WarmStartOptions& options, const std::string& project_dir, const MachineConfig& config,
              const std::string& image, const std::string& virtualbox, const std::string& mode);

    bool available() const;
    // A name of the template's own file for this slot, for VirtualBox to adopt and to delete. "" if that fails.
    std::string take(const std::string& slot_dir) const;
    // Keeps `saved_state` as the template.
    void keep(const std::string& saved_state) const;
    void drop(const std::string& why) const;
    void clean_up() const;      // of templates that are too old
    const std::string& key() const { return key_; }

private:
    WarmStartOptions options_;
    std::string directory_, key_, file_;
};

}  // namespace vbw
