"""What stands in for gcc while the guest's kernel is built (images/guest/kcc.c)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "images" / "guest" / "kcc.c"
Compile = Callable[..., "subprocess.CompletedProcess[str]"]

USES_IT = "int f(void) { return of_the_header(); }\n"


@pytest.fixture(scope="session")
def kcc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("gcc"):
        pytest.skip("there is no C compiler (gcc) here")
    program = tmp_path_factory.mktemp("kcc") / "kcc"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, SOURCE], check=True, timeout=120)
    return program


@pytest.fixture
def compile_file(kcc: Path, tmp_path: Path) -> Compile:
    """Compiles some text as kbuild would, where precompiled headers declare a function each; its object is `x.o`."""
    folder = tmp_path / "headers"
    folder.mkdir()
    for name, function in (("kernel", "of_the_header"), ("net", "of_the_network"), ("acpica", "of_acpi")):
        (tmp_path / f"{name}.h").write_text(f"int {function}(void);\n")
        (folder / f"{name}.h").write_text("")
        words = ["gcc", "-O2", "-x", "c-header", "-o", str(folder / f"{name}.h.gch"), str(tmp_path / f"{name}.h")]
        subprocess.run(words, check=True, timeout=60)

    def compiled(text: str, name: str = "x.c", *options: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        words = [
            "-Wp,-MMD,x.d",
            "-O2",
            "-Werror=implicit-function-declaration",
            *options,
            '-DKBUILD_MODNAME="one"',
            "-c",
            "-o",
            "x.o",
            name,
        ]
        environment = {"PATH": os.environ["PATH"], "KCC": str(folder)}
        return subprocess.run([kcc, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    return compiled


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mm/x.c", "of_the_header"),
        ("net/core/x.c", "of_the_network"),
        ("drivers/net/x.c", "of_the_network"),
        ("drivers/acpi/acpica/x.c", "of_acpi"),
    ],
)
def test_a_file_gets_the_header_of_its_folder(compile_file: Compile, name: str, function: str) -> None:
    done = compile_file(f"int f(void) {{ return {function}(); }}\n", name)
    assert done.returncode == 0, done.stderr
    assert compile_file("int f(void) { return of_no_header(); }\n", name).returncode != 0


def test_what_kbuild_defines_for_a_file_arrives(compile_file: Compile, tmp_path: Path) -> None:
    done = compile_file(USES_IT + "const char name[] = KBUILD_MODNAME;\n")
    assert done.returncode == 0, done.stderr
    assert b"one\0" in (tmp_path / "x.o").read_bytes()
    assert (tmp_path / "x.d").read_text() == "x.o: x.c\n"


@pytest.mark.parametrize("first", ["#define TERMS 1\n", "#undef TERMS\n", "#ifdef A\n#define TERMS\n#endif\n"])
def test_a_file_that_sets_terms_for_its_headers_gets_none(compile_file: Compile, first: str) -> None:
    assert compile_file(f"{first}#include <stddef.h>\n{USES_IT}").returncode != 0
    assert compile_file(f"{first}#include <stddef.h>\nint f(void) {{ return 0; }}\n").returncode == 0


@pytest.mark.parametrize(
    "first", ['#define pr_fmt(fmt) "x: " fmt\n', "#define EXPORT_ACPI_INTERFACES\n", "#include <stddef.h>\n#define LATER\n"]
)
def test_what_matters_to_no_header_is_no_term(compile_file: Compile, first: str) -> None:
    done = compile_file(first + USES_IT)
    assert done.returncode == 0, done.stderr


def test_what_does_not_go_with_the_header_is_compiled_without(compile_file: Compile, tmp_path: Path) -> None:
    done = compile_file("double of_the_header;\n")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.o").exists()
    assert (tmp_path / "x.d").read_text().startswith("x.o: x.c")


def test_other_options_than_the_headers_do_without_it(compile_file: Compile) -> None:
    assert compile_file("int f(void) { return 0; }\n", "x.c", "-O0", "-fshort-wchar").returncode == 0


def test_an_error_is_told_once_and_ends_it(compile_file: Compile) -> None:
    done = compile_file("int f(void) { return }\n")
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1
