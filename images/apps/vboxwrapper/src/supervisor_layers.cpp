#include <unistd.h>

#include "image_layer.h"
#include "supervisor.h"

namespace vbw {

namespace {

const std::string kPrefix = "sha256-";

bool is_name(const std::string& name) {
    return name.size() == kPrefix.size() + 64 && starts_with(name, kPrefix) &&
           name.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string::npos;
}

}  // namespace

// The guest knows which layers its disk has already; the others it gets from here, once. To unpack them is what a guest that is
// interpreted could not do in any reasonable time.
void Supervisor::hand_out_layers() {
    const ImageLayersOptions& options = job_.image_layers;
    const auto file = shared_->read(options.wanted_file);
    if (file.what == SharedFolderFiles::kRefused) throw TaskError(kChildFailed, "The guest's list of layers cannot be believed: " + file.text);
    if (file.what == SharedFolderFiles::kNothing || !ends_with(file.text, "\n")) return;   // or still being written
    shared_->remove(options.wanted_file);
    const std::string target = shared_->path(options.target);
    if (exists_itself(target) && !inside(real_path(target), real_path(shared_->directory()))) {
        throw TaskError(kChildFailed, "The folder for the image's layers is a link that leads out of the shared folder");
    }
    make_directory(target);
    for (const auto& line : split_lines(file.text)) {
        const std::string name = trim(line);
        if (name.empty()) continue;
        if (!is_name(name)) throw TaskError(kChildFailed, "The guest asks for a layer '" + name.substr(0, 100) + "', which is no digest");
        const Resolved source = resolve(options.folder + "/" + name);
        const double begin = now();
        try {
            make_layer_disk(source.path, name.substr(kPrefix.size()), target + "/" + name, [this] {
                app_.poll();
                if (app_.abort_requested() || app_.leaving()) throw Stopped("by the client");
            });
        } catch (const LayerDamaged& error) {
            // The client looks at the files of a job that is new in its slot, and fetches what is missing.
            unlink(source.path.c_str());
            unlink("boinc_setup_complete");
            throw Postponed(1, "the image file " + source.path.substr(source.path.rfind('/') + 1) + ": " + error.what() +
                                   "; it was removed, so that it is fetched again");
        } catch (const Stopped&) {
            throw;
        } catch (const std::runtime_error& error) {
            throw TaskError(kInitFailure, "the image's layer " + name.substr(0, kPrefix.size() + 12) + " cannot be used: " + error.what());
        }
        say("Layer " + name.substr(kPrefix.size(), 12) + " made ready for the guest: " + megabytes(file_size(target + "/" + name)) + ", in " +
            number(static_cast<int>((now() - begin) * 10) / 10.0) + " s");
    }
    shared_->write(options.ready_file, "ready\n");
}

}  // namespace vbw
