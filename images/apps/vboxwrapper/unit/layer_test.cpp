#include <doctest/doctest.h>
#include <zlib.h>

#include <cstdio>
#include <cstring>

#include "image_layer.h"
#include "scratch.h"
#include "sha256.h"
#include "util.h"

using namespace vbw;

namespace {

// A tar of small members, in ustar's format.
struct Tar {
    std::string bytes;

    Tar& add(const std::string& name, char type, const std::string& content = "", const std::string& link = "") {
        std::string block(512, '\0');
        block.replace(0, name.size(), name);
        block.replace(100, 7, "0000644"), block.replace(108, 7, "0000000"), block.replace(116, 7, "0000000");
        char text[16];
        snprintf(text, sizeof text, "%011zo", content.size());
        block.replace(124, 11, text), block.replace(136, 11, "00000000000");
        block[156] = type;
        block.replace(157, link.size(), link);
        block.replace(257, 8, std::string("ustar\0" "00", 8));
        block.replace(148, 8, "        ");
        unsigned sum = 0;
        for (const char c : block) sum += static_cast<unsigned char>(c);
        snprintf(text, sizeof text, "%06o", sum);
        block.replace(148, 6, text), block[154] = '\0';
        bytes += block + content + std::string((512 - content.size() % 512) % 512, '\0');
        return *this;
    }
    std::string end() const { return bytes + std::string(1024, '\0'); }
};

std::string hex_of(const std::string& bytes) {
    Sha256 hash;
    hash.add(bytes.data(), bytes.size());
    return hash.hex();
}

std::string problem_of(const Scratch& scratch, const std::string& bytes, std::string hex = "") {
    scratch.write("layer", bytes);
    try {
        make_layer_disk("layer", hex.empty() ? hex_of(bytes) : hex, "disk", [] {});
        return "";
    } catch (const std::runtime_error& error) {
        CHECK_FALSE(exists("disk"));
        CHECK_FALSE(exists("disk.part"));
        return error.what();
    }
}

uint64_t number_at(const std::string& bytes, size_t at, size_t size) {
    uint64_t value = 0;
    memcpy(&value, &bytes[at], size);
    return value;
}

}  // namespace

TEST_CASE("a layer becomes a file system, the same each time") {
    const Scratch scratch;
    const std::string tar = Tar().add("bin/", '5').add("bin/x", '0', "program").add("y", '1', "", "bin/x").add("etc/.wh.gone", '0').end();
    CHECK(problem_of(scratch, tar) == "");
    const std::string once = scratch.read("disk");
    CHECK(once.substr(0, 4) == "hsqs");
    CHECK(once.size() % 4096 == 0);
    CHECK(number_at(once, 4, 4) == 6);   // root, bin, etc, the file of two names, what hides `gone`, and the writer's own
    CHECK(number_at(once, 40, 8) <= once.size());
    CHECK(once.find("program") != std::string::npos);
    CHECK(once.find(".wh.") == std::string::npos);
    CHECK(problem_of(scratch, tar) == "");
    CHECK(scratch.read("disk") == once);
}

TEST_CASE("gzipped layers and holes") {
    const Scratch scratch;
    const std::string tar = Tar().add("zeros", '0', std::string(1 << 20, '\0')).end();
    gzFile file = gzopen("packed", "wb");
    gzwrite(file, tar.data(), static_cast<unsigned>(tar.size()));
    gzclose(file);
    CHECK(problem_of(scratch, scratch.read("packed")) == "");
    CHECK(scratch.read("disk").size() == 4096);
}

TEST_CASE("what is no layer leaves nothing behind") {
    const Scratch scratch;
    const std::string good = Tar().add("x", '0', "content").end();
    CHECK(problem_of(scratch, good, std::string(64, '0')) == "it is damaged");
    CHECK(problem_of(scratch, good.substr(0, 600)) == "it is cut off");
    CHECK(contains(problem_of(scratch, Tar().add("../x", '0').end()), "leads out"));
    CHECK(contains(problem_of(scratch, Tar().add("x", '1', "", "nowhere").end()), "not in the layer"));
    CHECK(contains(problem_of(scratch, Tar().add("x", 'S').end()), "not supported"));
    CHECK(contains(problem_of(scratch, Tar().add("x", '0').add("x/y", '0').end()), "a file and a folder"));
    CHECK(contains(problem_of(scratch, Tar().add("a", '2', "", "b").add("b", '2', "", "a").add("a/x", '0').end()), "in a circle"));
    std::string wrong = good;
    wrong[3] = 'y';
    CHECK(contains(problem_of(scratch, wrong), "checksum"));
    std::string cut = "\x1f\x8b\x08garbage";
    CHECK(contains(problem_of(scratch, cut), "gzip"));
}

TEST_CASE("a link that climbs stays inside") {
    const Scratch scratch;
    CHECK(problem_of(scratch, Tar().add("a/", '5').add("a/up", '2', "", "../../..").add("a/up/x", '0', "inside").end()) == "");
}
