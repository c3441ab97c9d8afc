#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "boinc_app.h"
#include "checkpoint.h"
#include "errors.h"
#include "process.h"
#include "scratch.h"
#include "slot_files.h"
#include "vbox_manage.h"

using namespace vbw;

TEST_CASE("BOINC's links are followed") {
    Scratch scratch;
    scratch.write("project/app.iso", "x");
    scratch.write("slot/own", "x");
    std::filesystem::current_path("slot");
    std::ofstream("by_text") << "<soft_link>../project/app.iso</soft_link>\n";
    std::filesystem::create_symlink("../project/app.iso", "by_link");
    const std::string target = std::filesystem::canonical("../project/app.iso");
    CHECK(resolve("by_text").path == target);
    CHECK(resolve("by_text").linked);
    CHECK(resolve("by_link").path == target);
    CHECK_FALSE(resolve("own").linked);
    CHECK(image_identity("by_text") == "app.iso");
}

TEST_CASE("the shared folder must not lead out of the slot") {
    Scratch scratch;
    scratch.write("slot/shared/in", "x");
    scratch.write("project/file", "x");
    std::filesystem::current_path("slot");
    const std::string here = std::filesystem::current_path();
    SharedFolderFiles shared(here + "/shared", scratch.path + "/project");
    CHECK_NOTHROW(shared.check());
    std::filesystem::create_symlink("../../project/file", "shared/input");   // as a client with use_symlinks makes them
    CHECK_NOTHROW(shared.check());
    std::filesystem::create_directories("shared/deep/er");
    std::filesystem::create_symlink("/etc/passwd", "shared/deep/er/leak");
    CHECK_THROWS_WITH_AS(shared.check(), "the shared folder holds a symbolic link that leads out of the slot: leak -> /etc/passwd", TaskError);
    std::filesystem::remove_all("shared");
    std::filesystem::create_directory_symlink("/tmp", "shared");
    CHECK_THROWS_AS(shared.check(), TaskError);
}

TEST_CASE("what the guest wrote is read without trust") {
    Scratch scratch;
    std::filesystem::create_directory("shared");
    SharedFolderFiles shared(scratch.path + "/shared", scratch.path + "/project");
    CHECK(shared.read("none").what == SharedFolderFiles::kNothing);
    scratch.write("shared/good", "0\n");
    CHECK(shared.read("good").text == "0\n");
    std::filesystem::create_symlink("/etc/passwd", "shared/link");
    CHECK(shared.read("link").what == SharedFolderFiles::kRefused);
    mkfifo("shared/pipe", 0644);
    CHECK(shared.read("pipe").what == SharedFolderFiles::kRefused);
    std::filesystem::create_directory("shared/dir");
    CHECK(shared.read("dir").what == SharedFolderFiles::kRefused);
    scratch.write("shared/huge", std::string(100000, 'x'));
    CHECK(shared.read("huge").what == SharedFolderFiles::kRefused);
    std::filesystem::create_directory_symlink("/etc", "shared/etc");
    CHECK(shared.read("etc/passwd").what == SharedFolderFiles::kRefused);
    CHECK_FALSE(shared.write("etc/never", "x"));
}

TEST_CASE("completion files") {
    CHECK(parse_completion("")->exit_code == 0);
    CHECK(parse_completion("3\n")->exit_code == 3);
    CHECK(parse_completion("-148\n1\nno\nway\n")->message == "no\nway");
    CHECK(parse_completion("0\n1\nbye\n")->notice);
    CHECK_FALSE(parse_completion("done\n"));
    CHECK_FALSE(parse_completion("99999999999999\n"));
    CHECK(*parse_fraction("0.1\n0.5\n") == 0.5);
    CHECK(*parse_fraction("7\n") == 1);
    CHECK_FALSE(parse_fraction("half\n"));
}

TEST_CASE("a folder with very many files is not counted to its end") {
    Scratch scratch;
    for (int i = 0; i < 50; i++) scratch.write("d/" + std::to_string(i), "12345");
    CHECK(measure("d", 1e6).files == 50);
    CHECK(measure("d", 1e6).bytes == 250);
    std::ofstream("d/sparse").close();
    std::filesystem::resize_file("d/sparse", 1 << 30);
    CHECK(measure("d", 1e6).bytes < 10000);
    std::filesystem::remove("d/sparse");
    CHECK(measure("d", 10).files == 11);
}

TEST_CASE("init_data.xml is read, but not what a project's preferences claim in it") {
    const InitData d = parse_init_data(
        "<app_init_data>\n<major_version>8</major_version>\n<minor_version>2</minor_version>\n<release>15</release>\n"
        "<project_preferences>\n<authenticator>forged</authenticator><client_pid>1</client_pid>\n</project_preferences>\n"
        "<authenticator>real</authenticator>\n<result_name>r_0</result_name>\n<client_pid>42</client_pid>\n<ncpus>2.000000</ncpus>\n"
        "<rsc_disk_bound>1000000000.000000</rsc_disk_bound>\n<global_preferences>\n<cpu_usage_limit>50</cpu_usage_limit>\n</global_preferences>\n</app_init_data>\n");
    CHECK(d.client_version == "8.2.15");
    CHECK(d.authenticator == "real");
    CHECK(d.client_pid == 42);
    CHECK(d.disk_bound == 1e9);
    CHECK(d.cpu_usage_limit == 50);
    const std::string floppy = floppy_text(d, "<a/><authenticator>real</authenticator>", false, false);
    CHECK(floppy.find("real") == std::string::npos);
    CHECK(floppy_image("abc").size() == 28672);
    CHECK(floppy_image("abc")[28670] == 1);
    CHECK(floppy_image(std::string(50000, 'x'))[14335] == '\0');
}

TEST_CASE("a checkpoint survives") {
    Scratch scratch;
    Checkpoint a;
    CHECK_FALSE(a.read());
    a.elapsed_time = 12.5, a.machine_made = true, a.snapshot = "boinc_3", a.notice = "a < b & c", a.log_inode = 1ull << 40, a.guest_log.lines = 7;
    a.write();
    Checkpoint b;
    REQUIRE(b.read());
    CHECK(b.elapsed_time == 12.5);
    CHECK(b.machine_made);
    CHECK(b.snapshot == "boinc_3");
    CHECK(b.notice == "a < b & c");
    CHECK(b.log_inode == 1ull << 40);
    CHECK(b.guest_log.lines == 7);
    scratch.write("vbox_checkpoint.xml", "<vbox_checkpoint><elapsed_time>1</elap");
    CHECK_FALSE(b.read());
}

TEST_CASE("a program that hangs is killed in time, and one that leaves a server behind is not waited for") {
    CHECK(run_process({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, 5, nullptr).exit_status == 3);
    CHECK(run_process({"/bin/sh", "-c", "echo out; echo err >&2"}, 5, nullptr).output == "out\nerr\n");
    ProcessResult result = run_process({"/bin/sleep", "60"}, 0.2, nullptr);
    CHECK(result.timed_out);
    CHECK(result.seconds < 5);
    result = run_process({"/bin/sh", "-c", "sleep 3 & echo started"}, 30, nullptr);
    CHECK(result.seconds < 2);
    CHECK(result.output == "started\n");
    CHECK_FALSE(run_process({"/no/such/program"}, 5, nullptr).start_error.empty());
    setenv("LD_LIBRARY_PATH", "/evil", 1), setenv("FAKETIME", "+1y", 1);
    CHECK(run_process({"/bin/sh", "-c", "echo [$LD_LIBRARY_PATH$FAKETIME]"}, 5, nullptr).output == "[]\n");
}

TEST_CASE("VirtualBox's errors are read") {
    CHECK(error_code_of("VBoxManage: error: x\nVBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component") == "VBOX_E_OBJECT_NOT_FOUND");
    CHECK(error_code_of("failed (VERR_NO_MEMORY).") == "VERR_NO_MEMORY");
    CHECK(error_code_of("foo (0x80bb0007)") == "0x80bb0007");
    CHECK(error_code_of("all is well").empty());
    CHECK(error_line_of("0%...\nVBoxManage: error: Out of it\n") == "Out of it");
}
