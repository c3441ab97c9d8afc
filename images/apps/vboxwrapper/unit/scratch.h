// A directory of its own for a test, with the test working in it.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

struct Scratch {
    std::string path, before = std::filesystem::current_path();
    Scratch() {
        char name[] = "/tmp/vboxwrapper-test-XXXXXX";
        path = mkdtemp(name);
        std::filesystem::current_path(path);
    }
    ~Scratch() {
        std::filesystem::current_path(before);
        std::filesystem::remove_all(path);
    }
    void write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories(std::filesystem::path(path + "/" + name).parent_path());
        std::ofstream(path + "/" + name, std::ios::binary) << text;
    }
    void append(const std::string& name, const std::string& text) const { std::ofstream(path + "/" + name, std::ios::binary | std::ios::app) << text; }
    std::string read(const std::string& name) const {
        std::ifstream file(path + "/" + name, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(file), {});
    }
};
