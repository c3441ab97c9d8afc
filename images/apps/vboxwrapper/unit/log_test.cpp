#include <doctest/doctest.h>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "guest_log.h"
#include "machine_log.h"
#include "scratch.h"

using namespace vbw;

namespace {

struct Collector {
    std::vector<std::string> lines;
    LogFollower::Sink sink = [this](const std::string& line) { lines.push_back(line); };
};

}  // namespace

TEST_CASE("lines are handed out once, when they are complete") {
    Scratch scratch;
    LogFollower follower("VBox.log");
    Collector got;
    follower.poll(got.sink);
    CHECK(got.lines.empty());
    scratch.write("VBox.log", "one\ntw");
    follower.poll(got.sink);
    follower.poll(got.sink);
    CHECK(got.lines == std::vector<std::string>{"one"});
    scratch.append("VBox.log", "o\nthree");
    follower.poll(got.sink);
    CHECK(got.lines == std::vector<std::string>{"one", "two"});
    CHECK(follower.offset() == 8);
    follower.finish(got.sink);
    CHECK(got.lines == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("a rotated file is read to its end, then the new one from its beginning") {
    Scratch scratch;
    LogFollower follower("VBox.log");
    Collector got;
    scratch.write("VBox.log", "a1\n");
    follower.poll(got.sink);
    scratch.append("VBox.log", "a2\n");
    std::filesystem::rename("VBox.log", "VBox.log.1");
    follower.poll(got.sink);   // between rename and creation
    scratch.write("VBox.log", "b1\n");
    follower.poll(got.sink);
    std::filesystem::rename("VBox.log.1", "VBox.log.2");
    scratch.append("VBox.log", "b2\n");
    std::filesystem::rename("VBox.log", "VBox.log.1");
    scratch.write("VBox.log", "c1\n");
    // Twice between two looks:
    std::filesystem::rename("VBox.log.2", "VBox.log.3");
    std::filesystem::rename("VBox.log.1", "VBox.log.2");
    scratch.append("VBox.log", "c2\n");
    std::filesystem::rename("VBox.log", "VBox.log.1");
    scratch.write("VBox.log", "d1\n");
    follower.poll(got.sink);
    CHECK(got.lines == std::vector<std::string>{"a1", "a2", "b1", "b2", "c1", "c2", "d1"});
}

TEST_CASE("a number that is left out in a rotation does not hold up what follows") {
    Scratch scratch;
    LogFollower follower("VBox.log");
    Collector got;
    scratch.write("VBox.log", "a1\na");
    follower.poll(got.sink);
    std::filesystem::rename("VBox.log", "VBox.log.2");
    follower.poll(got.sink);   // there is no other file yet
    follower.poll(got.sink);
    scratch.write("VBox.log", "b1\n");
    follower.poll(got.sink);
    CHECK(got.lines == std::vector<std::string>{"a1", "a", "b1"});
}

TEST_CASE("what was rotated before the first look is read as well") {
    Scratch scratch;
    scratch.write("VBox.log.2", "a\n"), scratch.write("VBox.log.1", "b\n"), scratch.write("VBox.log", "c\n");
    LogFollower follower("VBox.log");
    Collector got;
    follower.poll(got.sink);
    CHECK(got.lines == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("a wrapper that starts anew goes on where the last one was") {
    Scratch scratch;
    scratch.write("VBox.log", "one\ntwo\nthr");
    unsigned long long inode = 0;
    off_t offset = 0;
    {
        LogFollower first("VBox.log");
        Collector got;
        first.poll(got.sink);
        CHECK(got.lines.size() == 2);
        inode = first.inode(), offset = first.offset();
    }
    scratch.append("VBox.log", "ee\n");
    std::filesystem::rename("VBox.log", "VBox.log.1");
    scratch.write("VBox.log", "four\n");
    LogFollower second("VBox.log");
    second.resume(inode, offset);
    Collector got;
    second.poll(got.sink);
    CHECK(got.lines == std::vector<std::string>{"three", "four"});
}

TEST_CASE("a file that is emptied in place is read from its new beginning") {
    Scratch scratch;
    scratch.write("VBox.log", "long first line\n");
    LogFollower follower("VBox.log");
    Collector got;
    follower.poll(got.sink);
    std::ofstream("VBox.log", std::ios::trunc) << "x\n";
    follower.poll(got.sink);
    CHECK(got.lines.back() == "x");
}

TEST_CASE("lines of VBox.log are understood") {
    LogReader reader;
    reader.read("00:00:00.019313 Log opened 2026-11-22T11:30:32.791846000Z");
    LogLine line = reader.read("00:00:01.500000 VMMDev: Guest Log: hello  world");
    CHECK(line.kind == LogLine::kGuest);
    CHECK(line.text == "hello  world");
    CHECK(line.time == doctest::Approx(1795347034.272533).epsilon(1e-12));
    CHECK(reader.read("00:00:00.019363 Process ID: 19089").pid == 19089);
    line = reader.read("00:00:00.379382 Console: Machine state changed to 'Running'");
    CHECK(line.kind == LogLine::kState);
    CHECK(line.text == "Running");
    line = reader.read("00:01:00.000000 Console: VM runtime error: fatal=false, errorID=DrvVD_DISKFULL message=\"full\"");
    CHECK(line.kind == LogLine::kRuntimeError);
    // A guest that writes what looks like a state does not change the state.
    CHECK(reader.read("00:00:02.0 VMMDev: Guest Log: Console: Machine state changed to 'PoweredOff'").kind != LogLine::kState);
    CHECK(reader.read("the same entry's second line").text == "the same entry's second line");
    reader.read("00:00:03.000000 AHCI#0: Reset the HBA");
    CHECK(reader.read("no stamp").kind == LogLine::kOther);
    CHECK(reader.read("").kind == LogLine::kOther);
    CHECK(reader.read("99:99").kind == LogLine::kOther);
}

TEST_CASE("pieces of a line are put together, also with a line of init between them") {
    LineJoiner joiner;
    const auto add = [&joiner](const std::string& text) {
        LogLine line;
        line.kind = LogLine::kGuest;
        line.text = text;
        return joiner.add(line) ? line.text : std::string("-");
    };
    CHECK(add("plain") == "plain");
    CHECK(add("first \x1e") == "-");
    CHECK(add("boinc-guest: says") == "boinc-guest: says");
    CHECK(add("second \x1e") == "-");
    CHECK(add("third") == "first second third");
    CHECK(add("unfinished\x1e") == "-");
    REQUIRE(joiner.rest().size() == 1);
    CHECK(joiner.rest().empty());
}

TEST_CASE("the guest's log keeps every line, and its state survives a restart") {
    Scratch scratch;
    GuestLog log(1);
    for (int i = 0; i < 3; i++) log.add(1795347034.5, "line " + std::to_string(i));
    log.flush();
    const GuestLog::State saved = log.state();
    CHECK(scratch.read("vm_guest.log").rfind("2026-11-22T11:30:34.500000Z line 0\n", 0) == 0);
    log.add(0, "written after the state was saved");
    log.flush();
    GuestLog again(1);
    again.resume(saved);
    again.add(1795347035, "line 3");
    again.flush();
    const std::string text = scratch.read("vm_guest.log");
    CHECK(text.find("after the state") == std::string::npos);
    CHECK(std::count(text.begin(), text.end(), '\n') == 4);
    CHECK(again.state().lines == 4);
}

TEST_CASE("the guest's log is bounded, and says so") {
    Scratch scratch;
    GuestLog log(0.01);   // 10 KiB
    for (int i = 0; i < 5000; i++) log.add(1795347034.5, "a line of the flood");
    log.flush();
    CHECK(scratch.read("vm_guest.log").size() < 11000);
    CHECK(scratch.read("vm_guest.log").find("the limit of") != std::string::npos);
    CHECK(log.state().lines == 5000);
}
