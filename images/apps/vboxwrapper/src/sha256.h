// SHA-256 (FIPS 180-4), in pieces, since layers are larger than memory should be.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace vbw {

class Sha256 {
public:
    void add(const char* data, size_t size);
    std::string hex();   // of all that was added; ends the computation

private:
    void block(const unsigned char* data);
    std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<unsigned char, 64> buffer_{};
    size_t filled_ = 0;
    uint64_t total_ = 0;
};

}  // namespace vbw
