"""What a scenario needs of its server: from its marks, from its code, and from what it runs into."""

import pytest

from harness.capabilities import UPSTREAM_LACKS, Capability, Unsupported, needs_of

pytest_plugins = ["pytester"]


class _Anything:
    def __getattr__(self, name: str) -> "_Anything":
        return self

    def __call__(self, *_: object) -> "_Anything":
        return self


stack = _Anything()


def _helper() -> None:
    stack.clock.skip(60)


def test_needs_are_found_in_the_code_and_in_helpers_beside_it() -> None:
    def scenario() -> None:
        stack.project.submit("uppercase")
        stack.server.kill()
        _helper()

    assert needs_of(scenario) == {Capability.SERVER_CONTROL, Capability.VIRTUAL_TIME}


def test_events_that_only_one_server_records_are_needs() -> None:
    def scenario() -> None:
        stack.history.find("upload.done")

    assert needs_of(scenario) == {Capability.TRANSFER_EVENTS}


def test_a_plain_scenario_needs_nothing() -> None:
    def scenario() -> None:
        stack.project.submit("uppercase").wait_for("validated")
        assert stack.clock.now()

    assert needs_of(scenario) == frozenset()


def test_marks_name_capabilities_and_wrong_names_are_refused() -> None:
    assert needs_of(None, ["mail"]) == {Capability.MAIL}
    with pytest.raises(ValueError, match="server_control"):
        needs_of(None, ["mial"])


SCENARIOS = """
    import pytest
    from harness.capabilities import Capability, Unsupported
    from harness.project.upstream.imageset import NoImages

    @pytest.mark.needs("mail")
    def test_marked(): raise AssertionError

    @pytest.mark.virtual_time("a week passes")
    def test_time(): raise AssertionError

    def test_code():
        stack = None
        stack.server.kill()

    def test_running(): raise Unsupported(Capability.OPTIONS, "upstream", details="credit='none'")

    def test_no_images(): raise NoImages(["boinc/server_mysql"], "no such host")

    def test_plain(): pass
"""


def test_what_the_server_lacks_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SCENARIOS)
    run = pytester.runpytest("--server=upstream:x", "-rs")
    run.assert_outcomes(skipped=5, passed=1)
    run.stdout.fnmatch_lines_random(
        [
            "*needs mail, which the upstream server has not*",
            "*needs virtual_time, which*",
            "*needs server_control, which*",
            "*needs options, which the upstream server has not (credit='none')*",
            "*boinc/server_mysql*docker pull*",
        ]
    )


def test_the_embedded_server_lacks_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SCENARIOS)
    run = pytester.runpytest("-k", "marked or time or code")
    run.assert_outcomes(failed=3)


def test_a_wrong_name_is_told_before_anything_starts(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.needs('mial')\ndef test_x(): pass\n")
    run = pytester.runpytest()
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    assert "mial" in run.stderr.str()


def test_the_reason_names_what_was_asked_for() -> None:
    error = Unsupported(Capability.KEY_CHANGE, "upstream")
    assert Capability.KEY_CHANGE in UPSTREAM_LACKS
    assert "key_change" in error.reason
    assert "--server embedded" in str(error)
