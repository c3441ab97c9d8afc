"""What the guest does with the files of container jobs and images, without a guest. Images hold anything, links to anywhere included."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "images" / "guest" / "container"
REFUSED = 206
Unit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    """Runs a part of the program (container_unit.c)."""
    if not shutil.which("gcc"):
        pytest.skip("there is no C compiler (gcc) here")
    program = tmp_path_factory.mktemp("container") / "unit"
    sources = [str(path) for path in SOURCE.glob("*.c") if path.name != "main.c"]
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", f"-I{SOURCE}"]
    own = str(Path(__file__).with_name("container_unit.c"))
    subprocess.run(["gcc", *flags, "-o", str(program), own, *sources], check=True, timeout=120)

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(program), *map(str, words)], capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image's root."""
    etc = tmp_path / "root" / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nworker:x:1000:100:W:/home/worker:/bin/sh\nno shell\n77:x:5:6::/seven:\n")
    (etc / "group").write_text("root:x:0:\nusers:x:100:\nmore:x:7:other,worker\neven:x:8:worker\nx:x:9:workers\n")
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", "0:0:0:/root"),
        ("root", "0:0:0:/root"),
        ("0", "0:0:0:/root"),
        ("worker", "1000:100:100,7,8:/home/worker"),
        ("1000", "1000:100:100,7,8:/home/worker"),
        ("worker:", "1000:100:100,7,8:/home/worker"),
        ("worker:more", "1000:7:7:/home/worker"),
        ("worker:12", "1000:12:12:/home/worker"),
        (":even", "0:8:8:/root"),
        ("4242", "4242:0:0:/"),
        ("4242:users", "4242:100:100:/"),
        ("77", "5:6:6:/seven"),
        ("4294967294", "4294967294:0:0:/"),
    ],
)
def test_users_are_what_the_image_says(unit: Unit, root: Path, wanted: str, found: str) -> None:
    assert unit("user", root, wanted).stdout.strip() == found


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("nobody", "the image has no user 'nobody'"),
        ("worker:nobody", "the image has no group 'nobody'"),
        ("4294967295", "the image's user '4294967295' has no usable number"),
        ("99999999999999999999999", "has no usable number"),
        ("-1", "the image has no user '-1'"),
        ("odd", "the image's user 'odd' has no usable number"),
        ("negative", "the image's user 'negative' has no usable number"),
        ("worker:strange", "the image's user 'worker:strange' has no usable number"),
    ],
)
def test_users_that_there_are_not(unit: Unit, root: Path, wanted: str, message: str) -> None:
    with (root / "etc" / "passwd").open("a") as passwd, (root / "etc" / "group").open("a") as group:
        passwd.write('odd:x:0","gid":0:0::/:\nnegative:x:-5:0::/:\n')
        group.write("strange:x:1 2:\n")
    done = unit("user", root, wanted)
    assert done.returncode == REFUSED
    assert done.stderr.startswith("boinc-container: ")
    assert message in done.stderr


def test_an_image_without_such_files_has_numbers_only(unit: Unit, tmp_path: Path) -> None:
    assert unit("user", tmp_path, "12:34").stdout.strip() == "12:34:34:/"
    assert unit("user", tmp_path, "root").returncode == REFUSED


def test_links_lead_nowhere_out_of_the_image(unit: Unit, root: Path) -> None:
    outside = root.parent / "outside"
    outside.write_text("worker:x:7:7::/stolen:\n")
    passwd = root / "etc" / "passwd"
    for target in (str(outside), "../../outside", "../../../../../../../../../.." + str(outside), "/proc/self/fd/0"):
        passwd.unlink()
        passwd.symlink_to(target)
        assert unit("user", root, "worker").returncode == REFUSED, target
    passwd.unlink()
    (root / "real").write_text("worker:x:8:8::/:\n")
    passwd.symlink_to("/real")
    assert unit("user", root, "worker").stdout.startswith("8:8:"), "inside the image a link is what it is to programs there"


def test_an_etc_that_is_a_link_out_is_not_followed(unit: Unit, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "passwd").write_text("worker:x:7:7::/:\n")
    root = tmp_path / "root"
    root.mkdir()
    (root / "etc").symlink_to(tmp_path / "host")
    assert unit("user", root, "worker").returncode == REFUSED
    assert unit("mtab", root).returncode == 0
    assert [path.name for path in (tmp_path / "host").iterdir()] == ["passwd"]


def test_the_link_of_mounts_is_made_where_there_is_none(unit: Unit, root: Path) -> None:
    assert unit("mtab", root).returncode == 0
    mtab = root / "etc" / "mtab"
    assert mtab.readlink() == Path("/proc/mounts")
    mtab.unlink()
    mtab.write_text("own")
    assert unit("mtab", root).returncode == 0
    assert mtab.read_text() == "own"


def test_a_pipe_and_endless_lines_hold_nobody_up(unit: Unit, root: Path) -> None:
    group = root / "etc" / "group"
    group.unlink()
    os.mkfifo(group)
    assert unit("user", root, "worker").stdout.startswith("1000:100:100:")
    passwd = root / "etc" / "passwd"
    passwd.write_text("x" * 200_000 + ":worker:1:1::/:\nworker:x:3:3::/:\n" + "y" * 100_000)
    assert unit("user", root, "worker").stdout.startswith("3:3:")


def test_a_home_that_is_no_plain_path_is_not_taken(unit: Unit, root: Path) -> None:
    (root / "etc" / "passwd").write_text('a:x:1:1::/","X=1:\nb:x:2:2:::\nc:x:3:3::/ok/home_1.x-y:\n')
    assert [unit("user", root, name).stdout.strip().rpartition(":")[2] for name in "abc"] == ["/", "/", "/ok/home_1.x-y"]


def test_only_whole_lines_of_the_configuration_are_filled_in(unit: Unit, root: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.json"
    template = tmp_path / "template.json"
    big = "x" * 150_000
    template.write_text(
        '{"process":{\n@USER@\n"capabilities":{\n@CAPS@\n"bounding":[]},\n"env":[\n@HOME@\n' + json.dumps(f"A=@HOME@ @USER@{big}") + "]}}\n"
    )
    for wanted, uid, may in (("worker", 1000, False), ("", 0, True)):
        assert unit("config", template, made, root, wanted).returncode == 0
        process = json.loads(made.read_text())["process"]
        assert process["user"]["uid"] == uid
        assert ("CAP_CHOWN" in process["capabilities"]["effective"]) is may
        assert process["capabilities"]["permitted"] == process["capabilities"]["effective"]
        assert process["env"] == ["HOME=/home/worker" if uid else "HOME=/root", f"A=@HOME@ @USER@{big}"]
    assert "cannot be read" in unit("config", tmp_path / "none", made, root, "").stderr


def test_what_a_job_asks_for(unit: Unit, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.write_text("layer sha256-a\nlayer sha256-b\nuser a:b\noutput two words\nmemory 50000000\n")
    assert unit("wishes", conf).stdout == "layer=sha256-a\nlayer=sha256-b\noutput=two words\nuser=a:b\nmemory=50000000\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer a\ncolour blue\n", "a line 'colour' that is not understood"),
        ("layer\n", "a line 'layer' without a value"),
        ("layer ../x\n", "names a layer '../x', which is no file name"),
        ("layer .part\n", "names a layer '.part', which is no file name"),
        ("layer a\noutput x/y\n", "names a output 'x/y', which is no file name"),
        ("layer a\n" * 128, "more than 127 lines 'layer'"),
        ("user a\n", "names no layer"),
    ],
)
def test_a_wrong_conf_is_refused(unit: Unit, tmp_path: Path, text: str, message: str) -> None:
    conf = tmp_path / "conf"
    conf.write_text(text)
    done = unit("wishes", conf)
    assert done.returncode == REFUSED
    assert message in done.stderr


def test_the_layer_that_goes_is_the_one_not_used_for_longest(unit: Unit, tmp_path: Path) -> None:
    conf, kept = tmp_path / "conf", tmp_path / "kept"
    conf.write_text("layer mine\n")
    kept.mkdir()
    for age, name in enumerate(("new", "middle", "old", "mine", ".part")):
        (kept / name).write_text("x")
        os.utime(kept / name, (0, 1_000_000 - age))
    for gone in ("old", "middle", "new"):
        done = unit("oldest", conf, kept)
        assert done.returncode == 0
        assert f"dropping the layer {gone}\n" in done.stderr
        assert not (kept / gone).exists()
    assert unit("oldest", conf, kept).returncode == 1
    assert sorted(path.name for path in kept.iterdir()) == [".part", "mine"]


def test_what_a_job_leaves_is_removed_however_deep(unit: Unit, tmp_path: Path) -> None:
    job, outside = tmp_path / "job", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (job / "upper" / "1").mkdir(parents=True)
    (job / "upper" / "link").symlink_to(outside)
    (job / "upper" / "1" / "file").write_text("x")
    os.mkfifo(job / "upper" / "pipe")
    at = os.open(job / "upper", os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=at)
        os.mkdir("e", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)

    assert unit("remove", job).returncode == 0
    assert not job.exists()
    assert (outside / "kept").exists()
    assert unit("remove", job).returncode == 0, "nothing is there"


@pytest.mark.parametrize(
    ("code", "problem", "becomes"),
    [
        (7, "", 7),
        (0, "", 0),
        (1, "executable file `x` not found in $PATH: No such file or directory", 127),
        (1, "open executable: Permission denied", 126),
        (1, "mount `proc` failed", REFUSED),
    ],
)
def test_what_comes_of_the_container(unit: Unit, code: int, problem: str, becomes: int) -> None:
    done = unit("outcome", code, problem)
    assert done.returncode == becomes
    assert problem in done.stderr
