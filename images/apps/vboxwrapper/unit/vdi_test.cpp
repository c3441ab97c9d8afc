#include <doctest/doctest.h>

#include <cstring>

#include "scratch.h"
#include "vdi.h"

using namespace vbw;

namespace {

// A small image as VirtualBox writes it: blocks of 4 KiB, map behind the header.
struct Image {
    uint32_t type = 1, blocks = 8, block_size = 4096;
    char uuid = 'A', parent = 0;
    std::vector<uint32_t> map = std::vector<uint32_t>(8, 0xffffffff);
    std::string data;

    void put(uint32_t block, char fill) {
        map[block] = static_cast<uint32_t>(data.size() / block_size);
        data += std::string(block_size, fill);
    }
    std::string bytes() const {
        std::string h(4096, '\0');
        const auto u32 = [&h](size_t at, uint32_t v) { memcpy(&h[at], &v, 4); };
        u32(0x40, 0xbeda107f), u32(0x44, 0x00010001), u32(0x4c, type), u32(0x154, 512), u32(0x158, 4096);
        const uint64_t size = static_cast<uint64_t>(blocks) * block_size;
        memcpy(&h[0x170], &size, 8);
        u32(0x178, block_size), u32(0x180, blocks), u32(0x184, static_cast<uint32_t>(data.size() / block_size));
        memset(&h[0x188], uuid, 16), memset(&h[0x1a8], parent, 16);
        memcpy(&h[512], map.data(), map.size() * 4);
        return h + data;
    }
};

char block_of(const std::string& file, uint32_t block) {
    uint32_t entry;
    memcpy(&entry, &file[512 + 4 * block], 4);
    return entry >= 0xfffffffe ? '.' : file[4096 + 4096 * entry + 5];
}

std::string damage(const std::string& path) {
    try {
        check_vdi(path);
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "none";
}

}  // namespace

TEST_CASE("what is no image or a damaged one is told apart") {
    Scratch scratch;
    Image good;
    good.put(1, 'x');
    scratch.write("good.vdi", good.bytes());
    CHECK(damage("good.vdi") == "none");
    scratch.write("text.vdi", "this is a text file\n");
    CHECK(damage("text.vdi").find("is no VDI") != std::string::npos);
    scratch.write("noise.vdi", std::string(100000, '\x5a'));
    CHECK(damage("noise.vdi").find("wrong signature") != std::string::npos);
    scratch.write("cut.vdi", good.bytes().substr(0, 4096));
    CHECK(damage("cut.vdi").find("missing at its end") != std::string::npos);
    Image twice = good;
    twice.map[2] = 0;
    scratch.write("twice.vdi", twice.bytes());
    CHECK(damage("twice.vdi").find("map of blocks") != std::string::npos);
    Image beyond = good;
    beyond.map[2] = 77;
    scratch.write("beyond.vdi", beyond.bytes());
    CHECK(damage("beyond.vdi").find("map of blocks") != std::string::npos);
    CHECK(damage("missing.vdi").find("No such file") != std::string::npos);
    CHECK(damage(".").find("is no file") != std::string::npos);
}

TEST_CASE("a child's changes go into its parent, and doing it again changes nothing") {
    Scratch scratch;
    Image base;
    base.put(0, 'a'), base.put(3, 'd');
    Image child;
    child.type = 4, child.uuid = 'B', child.parent = 'A';
    child.put(5, 'F'), child.put(0, 'A');
    child.map[3] = 0xfffffffe;   // zeroed
    scratch.write("base.vdi", base.bytes());
    scratch.write("child.vdi", child.bytes());
    for (int round = 0; round < 2; round++) {
        merge_vdi("child.vdi", "base.vdi");
        const std::string merged = scratch.read("base.vdi");
        CHECK(block_of(merged, 0) == 'A');
        CHECK(block_of(merged, 3) == '\0');
        CHECK(block_of(merged, 5) == 'F');
        CHECK(block_of(merged, 1) == '.');
        CHECK(damage("base.vdi") == "none");
        CHECK(read_vdi_header("base.vdi").allocated == 3);
    }
}

TEST_CASE("a merge that was interrupted is completed by the next one") {
    Scratch scratch;
    Image base;
    base.put(0, 'a');
    Image child;
    child.type = 4, child.uuid = 'B', child.parent = 'A';
    child.put(5, 'F'), child.put(6, 'G');
    scratch.write("child.vdi", child.bytes());
    // The data of a new block has been written, its entry in the map has not.
    scratch.write("base.vdi", base.bytes() + std::string(4096, 'F'));
    merge_vdi("child.vdi", "base.vdi");
    CHECK(block_of(scratch.read("base.vdi"), 5) == 'F');
    CHECK(block_of(scratch.read("base.vdi"), 6) == 'G');
    CHECK(damage("base.vdi") == "none");
}

TEST_CASE("a child of another size is refused") {
    Scratch scratch;
    Image base, child;
    child.blocks = 4, child.map.resize(4), child.type = 4;
    scratch.write("base.vdi", base.bytes());
    scratch.write("child.vdi", child.bytes());
    CHECK_THROWS(merge_vdi("child.vdi", "base.vdi"));
}

TEST_CASE("a chain of children is found in the order of ancestry") {
    Scratch scratch;
    Image base, first, second, stranger;
    first.type = second.type = stranger.type = 4;
    first.uuid = 'B', first.parent = 'A';
    second.uuid = 'C', second.parent = 'B';
    stranger.uuid = 'X', stranger.parent = 'Y';
    scratch.write("base.vdi", base.bytes());
    scratch.write("1.vdi", first.bytes()), scratch.write("2.vdi", second.bytes()), scratch.write("x.vdi", stranger.bytes());
    CHECK(vdi_chain("base.vdi", {"x.vdi", "2.vdi", "1.vdi", "none.vdi"}) == std::vector<std::string>{"1.vdi", "2.vdi"});
    CHECK(vdi_chain("base.vdi", {"2.vdi"}).empty());
}
