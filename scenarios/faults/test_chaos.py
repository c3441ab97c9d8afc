"""Random faults from a seed: whatever happens, every job ends well when it is over (`--chaos SEEDS`)."""

from pathlib import Path

import pytest

from harness.faults import chaos
from harness.scenario import loader, runner
from harness.stack import Stack


@pytest.mark.virtual_time(reason="it skips the backoffs that the faults caused")
def test_every_job_ends_well_after_the_storm(stack: Stack, chaos_seed: int) -> None:
    text = chaos.scenario(chaos_seed)
    print(text)  # pytest shows it when the scenario fails
    runner.run(loader.loads(text, Path(f"chaos_{chaos_seed}.scenario.yaml")), stack)
