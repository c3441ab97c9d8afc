"""The pytest plugin: options, versions and marks, run in a pytest of its own."""

import pytest

from harness.clock import FAST_RATE

pytest_plugins = ["pytester"]


@pytest.fixture
def scenario(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(
        """
        import pytest

        def test_each(client_version):
            print("ran with", client_version)

        @pytest.mark.client_versions("8.2", reason="podman is detected from 8.2 on")
        def test_newest(client_version):
            pass

        @pytest.mark.real_time("measures the wall clock")
        def test_real(clock):
            assert clock.is_real

        def test_fast(clock):
            assert clock.rate == 30
        """
    )
    return pytester


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--boinc-client-version", "8.1", "8.1"),
        ("--boinc-client-version", "", "''"),
        ("--server", "apache", "apache"),
        ("--boinc-client", "/no/such/boinc", "no program for --boinc-client: /no/such/boinc"),
        ("--boinc-client", "/etc/passwd", "that can be executed"),
        ("--vboxwrapper", "/no/such/wrapper", "no program for --vboxwrapper"),
        ("--docker-socket", "/etc/passwd", "no socket for --docker-socket"),
        ("--time-rate", "0", "clock rate"),
        ("--time-rate", "1000", "clock rate"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_starts(scenario: pytest.Pytester, option: str, value: str, named: str) -> None:
    run = scenario.runpytest(f"{option}={value}")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    assert named in run.stderr.str()
    assert "expected" in run.stderr.str()


def test_each_generation_in_turn(scenario: pytest.Pytester) -> None:
    run = scenario.runpytest("-v", "--time-rate=30")
    run.stdout.fnmatch_lines(["*test_each?7.20?*", "*test_each?8.0?*", "*test_each?8.2?*"])
    run.assert_outcomes(passed=6)


def test_chosen_generations(scenario: pytest.Pytester) -> None:
    run = scenario.runpytest("-v", "-rs", "--boinc-client-version=7.20", "-k", "test_each or test_newest")
    run.assert_outcomes(passed=1, skipped=1)
    run.stdout.fnmatch_lines(["*--boinc-client-version leaves 8.2 out*"])


def test_real_time_for_all(scenario: pytest.Pytester) -> None:
    run = scenario.runpytest("--real-time", "-k", "test_fast")
    run.assert_outcomes(failed=1)


def test_the_header_says_what_is_run(scenario: pytest.Pytester) -> None:
    run = scenario.runpytest("--boinc-client-version=8.0", "--co", "-k", "test_each")
    run.stdout.fnmatch_lines([f"boinc-harness: embedded server, clients 8.0, {FAST_RATE:g} x real time"])


def test_a_known_failure_is_one_of_the_generations_that_are_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.issue(4711)
        @pytest.mark.known_failure("7.20", "8.0", reason="fixed in 8.2")
        def test_fixed(client_version):
            assert client_version.value == "8.2"

        @pytest.mark.known_failure("8.2", reason="was thought to be broken")
        def test_mended(client_version):
            pass

        @pytest.mark.known_failure(reason="fails everywhere, but not so")
        def test_otherwise(client_version):
            raise OSError

        @pytest.mark.known_failure(reason="depends on chance", sometimes=True)
        def test_sometimes(client_version):
            assert client_version.value != "8.0"
        """
    )
    run = pytester.runpytest("-rxf")
    run.assert_outcomes(passed=1 + 2, xfailed=2 + 1, xpassed=2, failed=1 + 3)
    run.stdout.fnmatch_lines(["*XPASS(strict)*was thought to be broken*", "*fixed in 8.2 (https://github.com/BOINC/boinc/issues/4711)*"])


@pytest.mark.parametrize("mark", ['"8.2"', '"8.1", reason="no such client"', 'reason="", issue=1'])
def test_a_wrong_known_failure_is_refused(pytester: pytest.Pytester, mark: str) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.known_failure({mark})\ndef test_it(): pass\n")
    assert pytester.runpytest().ret == pytest.ExitCode.USAGE_ERROR
