#include "image.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "errors.h"
#include "sha256.h"
#include "slot_files.h"
#include "util.h"

namespace container {

namespace {

constexpr size_t kChunk = 1 << 20;
constexpr size_t kMostManifest = 4 << 20;

std::string blob_path(const std::string& digest) { return vbw::resolve("image/sha256-" + hex_of(digest)).path; }

// The client looks at the size of a job's files when it starts a task in a new slot, and at their contents only after a
// download. So a damaged file has to go, and the slot has to count as new: this try fails, the next one has the file.
[[noreturn]] void damaged(const std::string& digest, const std::string& path, const std::string& why) {
    const std::string file = path.substr(path.rfind('/') + 1);
    unlink(path.c_str());
    unlink("boinc_setup_complete");
    throw vbw::Postponed(1, "the image file " + file + " " + why + " (" + digest + "): it was removed, so that it is fetched again", false);
}

void verify(const std::string& digest, const std::function<void()>& while_waiting) {
    const std::string path = blob_path(digest);
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) damaged(digest, path, "is missing");
    vbw::Sha256 hash;
    std::vector<char> buffer(kChunk);
    ssize_t n;
    while ((n = read(fd, buffer.data(), buffer.size())) > 0) {
        hash.add(buffer.data(), static_cast<size_t>(n));
        if (while_waiting) while_waiting();
    }
    close(fd);
    if (n < 0 || hash.hex() != hex_of(digest)) damaged(digest, path, "is damaged");
}

std::string read_blob(const std::string& digest) {
    verify(digest, nullptr);
    const auto text = vbw::read_file(blob_path(digest), kMostManifest);
    if (!text) damaged(digest, blob_path(digest), "cannot be read");
    return *text;
}

}  // namespace

Image read_image(const Job& job) {
    Image image;
    image.manifest = parse_manifest(read_blob(job.manifest));
    image.config_text = read_blob(image.manifest.config);
    image.id = hex_of(image.manifest.config);
    return image;
}

void make_layout(const Image& image, const Job& job, const std::string& directory, const std::function<void()>& while_waiting) {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::remove_all(directory, error);
    fs::create_directories(directory + "/blobs/sha256", error);
    std::vector<std::string> digests = image.manifest.layers;
    for (const auto& digest : digests) verify(digest, while_waiting);
    digests.push_back(job.manifest);
    digests.push_back(image.manifest.config);
    for (const auto& digest : digests) {
        const std::string link = directory + "/blobs/sha256/" + hex_of(digest);
        if (symlink(blob_path(digest).c_str(), link.c_str()) && errno != EEXIST) {
            throw vbw::TaskError(vbw::kInitFailure, "the image cannot be put together in " + directory);
        }
    }
    const auto size = static_cast<long long>(vbw::file_size(blob_path(job.manifest)));
    const bool ok = vbw::write_file(directory + "/oci-layout", "{\"imageLayoutVersion\": \"1.0.0\"}\n") &&
                    vbw::write_file(directory + "/index.json",
                                    "{\"schemaVersion\": 2, \"manifests\": [{\"mediaType\": \"application/vnd.oci.image.manifest.v1+json\", "
                                    "\"digest\": \"" + job.manifest + "\", \"size\": " + std::to_string(size) + "}]}\n");
    if (!ok) throw vbw::TaskError(vbw::kInitFailure, "the image cannot be put together in " + directory);
}

}  // namespace container
