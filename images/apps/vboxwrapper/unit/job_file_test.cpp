#include <doctest/doctest.h>

#include "errors.h"
#include "job_file.h"

using namespace vbw;

namespace {

JobFile parse(const std::string& options) { return parse_job_file("<vbox_job>\n<os_name>Linux26_64</os_name>\n" + options + "\n</vbox_job>\n"); }

std::string refusal(const std::string& options) {
    try {
        parse(options);
    } catch (const TaskError& error) {
        CHECK(error.exit_code == kInitFailure);
        return error.what();
    }
    return "accepted";
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the smallest job file has the stock wrapper's defaults") {
    const JobFile job = parse("");
    CHECK(job.memory_size_mb == 0);
    CHECK(job.disk_controller_type == "sata");
    CHECK(job.disk_controller_model == "IntelAHCI");
    CHECK(job.vram_size_mb == 16);
    CHECK(job.minimum_checkpoint_interval == 600);
    CHECK(job.minimum_heartbeat_interval == 600);
    CHECK_FALSE(job.enable_network);
    CHECK(job.needs_64_bit());
}

TEST_CASE("every stock option is read") {
    const JobFile job = parse(R"(
        <!-- a comment with <an_option> in it -->
        <memory_size_mb>64</memory_size_mb> <vm_disk_controller_type>ide</vm_disk_controller_type>
        <vm_disk_controller_model>PIIX4</vm_disk_controller_model> <vram_size_mb>32</vram_size_mb>
        <vm_graphics_controller_type>VMSVGA</vm_graphics_controller_type> <job_duration>3600</job_duration>
        <minimum_checkpoint_interval>60</minimum_checkpoint_interval> <minimum_heartbeat_interval>120</minimum_heartbeat_interval>
        <fraction_done_filename>f</fraction_done_filename> <heartbeat_filename>h</heartbeat_filename>
        <completion_trigger_file>c</completion_trigger_file> <temporary_exit_trigger_file>t</temporary_exit_trigger_file>
        <trickle_trigger_file>t1</trickle_trigger_file> <trickle_trigger_file>t2</trickle_trigger_file>
        <intermediate_upload_file>u1</intermediate_upload_file> <copy_to_shared>a</copy_to_shared> <copy_to_shared>b</copy_to_shared>
        <copy_cmdline_to_shared/> <multiattach_vdi_file>base.vdi</multiattach_vdi_file> <enable_cern_dataformat/>
        <enable_network>1</enable_network> <enable_nat_dns_host_resolver/> <vm_network_driver>virtio</vm_network_driver>
        <pf_guest_port>80</pf_guest_port> <pf_host_port>8080</pf_host_port>
        <port_forward><host_port>5000</host_port><guest_port>50</guest_port><nports>3</nports><is_remote/></port_forward>
        <enable_shared_directory/> <enable_scratch_directory/> <enable_floppyio/> <boot_iso/> <enable_remotedesktop/>
        <enable_screenshots_on_error/> <enable_graphics_support/> <enable_vm_savestate_usage/>
        <disable_automatic_checkpoints>0</disable_automatic_checkpoints>)");
    CHECK(job.memory_size_mb == 64);
    CHECK(job.disk_controller_model == "PIIX4");
    CHECK(job.trickle_files.size() == 2);
    CHECK(job.copy_to_shared.size() == 2);
    CHECK(job.port_forwards.size() == 3);
    CHECK(job.port_forwards[2].host_port == 5002);
    CHECK(job.port_forwards[2].guest_port == 52);
    CHECK(job.port_forwards[0].is_remote);
    CHECK(job.enable_vm_savestate_usage);
    CHECK_FALSE(job.disable_automatic_checkpoints);
    CHECK(parse("<share_slot_dir/><share_project_dir/>").share_project_dir);
    CHECK(parse("<enable_isocontextualization/><enable_cache_disk/>").enable_cache_disk);
    CHECK(parse("<enable_network/><network_bridged_mode/>").network_bridged_mode);
}

TEST_CASE("an unknown option is refused with its name and line") {
    const std::string text = refusal("\n<enable_netwrok/>");
    CHECK(says(text, "unknown option <enable_netwrok>"));
    CHECK(says(text, "line 4"));
    CHECK(says(refusal("<persistent_disk><name>a</name><size_mb>1</size_mb><colour>red</colour></persistent_disk>"), "<colour> in <persistent_disk>"));
}

TEST_CASE("a value that cannot be is refused with what was expected") {
    CHECK(says(refusal("<memory_size_mb>lots</memory_size_mb>"), "must be a number"));
    CHECK(says(refusal("<memory_size_mb>1e99</memory_size_mb>"), "must be a number from 4"));
    CHECK(says(refusal("<memory_size_mb>nan</memory_size_mb>"), "must be a number"));
    CHECK(says(refusal("<enable_network>maybe</enable_network>"), "must be 0 or 1"));
    CHECK(says(refusal("<pf_guest_port>70000</pf_guest_port><enable_network/>"), "65535"));
    CHECK(says(refusal("<enable_network a='1'/>"), "attribute"));
    CHECK(says(refusal("<enable_network>"), "closes <enable_network>"));
    CHECK(says(refusal("stray"), "text 'stray'"));
    CHECK(says(refusal("<os_name>Linux</os_name>"), "given twice"));
}

TEST_CASE("a file name that leads out of its folder is refused") {
    for (const char* name : {"../x", "/etc/passwd", "a/../../b", "..", "x/.."}) {
        CHECK(says(refusal(std::string("<enable_shared_directory/><completion_trigger_file>") + name + "</completion_trigger_file>"), "inside of its folder"));
    }
    CHECK(says(refusal("<vm_network_driver>--evil</vm_network_driver>"), "must not begin with '-'"));
    CHECK(parse("<enable_shared_directory/><heartbeat_filename>state/heartbeat</heartbeat_filename>").heartbeat_file == "state/heartbeat");
}

TEST_CASE("options that contradict each other are refused") {
    CHECK(says(refusal("<share_slot_dir/><enable_shared_directory/>"), "contradicts"));
    CHECK(says(refusal("<share_project_dir/><enable_scratch_directory/>"), "contradicts"));
    CHECK(says(refusal("<copy_to_shared>a</copy_to_shared>"), "needs <enable_shared_directory>"));
    CHECK(says(refusal("<heartbeat_filename>h</heartbeat_filename>"), "needs <enable_shared_directory> or <share_slot_dir>"));
    CHECK(says(refusal("<enable_cache_disk/>"), "needs <enable_isocontextualization>"));
    CHECK(says(refusal("<pf_guest_port>80</pf_guest_port>"), "needs <enable_network>"));
    CHECK(says(refusal("<enable_network/><network_bridged_mode/><pf_guest_port>80</pf_guest_port>"), "contradicts <network_bridged_mode>"));
    CHECK(says(refusal("<enable_isocontextualization/><multiattach_vdi_file>a</multiattach_vdi_file>"), "contradicts"));
}

TEST_CASE("the persistent disk's options") {
    const JobFile job = parse("<persistent_disk><name>cache-1</name><size_mb>100</size_mb><when_busy>wait</when_busy></persistent_disk>");
    CHECK(job.persistent_disk.name == "cache-1");
    CHECK(job.persistent_disk.wait_when_busy);
    CHECK(job.persistent_disk.max_file_mb == doctest::Approx(118));
    CHECK(says(refusal("<persistent_disk><name>../x</name><size_mb>1</size_mb></persistent_disk>"), "at most 32 of a-z"));
    CHECK(says(refusal("<persistent_disk><name>x</name></persistent_disk>"), "needs <size_mb>"));
    CHECK(says(refusal("<persistent_disk><name>x</name><size_mb>10</size_mb><max_total_mb>5</max_total_mb></persistent_disk>"), "smaller than <size_mb>"));
    CHECK(says(refusal("<persistent_disk><name>x</name><size_mb>10</size_mb><format>vmdk</format></persistent_disk>"), "must be 'vdi'"));
}

TEST_CASE("a clamped value is said") {
    const JobFile job = parse("<vram_size_mb>4096</vram_size_mb>");
    CHECK(job.vram_size_mb == 128);
    REQUIRE(job.remarks.size() == 1);
    CHECK(says(job.remarks[0], "4096"));
}

TEST_CASE("what is no XML is refused, whatever it is") {
    for (const char* text : {"", "hello", "<vbox_job>", "<vbox_job><a></vbox_job>", "<other/>", "<vbox_job></vbox_job><x/>", "<", "<!-- never ends",
                             "<a><a><a><a><a><a><a><a><a><a><a>"}) {
        CHECK_THROWS_AS(parse_job_file(text), TaskError);
    }
}
