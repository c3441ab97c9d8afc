"""RPCs that change what a client does. All need the password."""

from __future__ import annotations

from harness.guirpc.base import Base, Within, elements
from harness.guirpc.numbers import RunMode


class Control(Base):
    """`project_url` is the project's master URL exactly as get_project_status shows it."""

    # --- projects

    def project_reset(self, project_url: str, *, within: Within = None) -> None:
        """Throw away the project's jobs and files."""
        self._do("project_reset", elements(project_url=project_url), within=within)

    def project_detach(self, project_url: str, *, within: Within = None) -> None:
        self._do("project_detach", elements(project_url=project_url), within=within)

    def project_update(self, project_url: str, *, within: Within = None) -> None:
        """Contact the project's scheduler now: clears what the server said about waiting, and backoffs."""
        self._do("project_update", elements(project_url=project_url), within=within)

    def project_suspend(self, project_url: str, *, within: Within = None) -> None:
        self._do("project_suspend", elements(project_url=project_url), within=within)

    def project_resume(self, project_url: str, *, within: Within = None) -> None:
        self._do("project_resume", elements(project_url=project_url), within=within)

    def project_nomorework(self, project_url: str, *, within: Within = None) -> None:
        self._do("project_nomorework", elements(project_url=project_url), within=within)

    def project_allowmorework(self, project_url: str, *, within: Within = None) -> None:
        self._do("project_allowmorework", elements(project_url=project_url), within=within)

    def project_detach_when_done(self, project_url: str, *, within: Within = None) -> None:
        self._do("project_detach_when_done", elements(project_url=project_url), within=within)

    def project_dont_detach_when_done(self, project_url: str, *, within: Within = None) -> None:
        self._do("project_dont_detach_when_done", elements(project_url=project_url), within=within)

    # --- results

    def suspend_result(self, project_url: str, name: str, *, within: Within = None) -> None:
        self._do("suspend_result", elements(project_url=project_url, name=name), within=within)

    def resume_result(self, project_url: str, name: str, *, within: Within = None) -> None:
        self._do("resume_result", elements(project_url=project_url, name=name), within=within)

    def abort_result(self, project_url: str, name: str, *, within: Within = None) -> None:
        """End a job with exit status 203 (EXIT_ABORTED_VIA_GUI)."""
        self._do("abort_result", elements(project_url=project_url, name=name), within=within)

    # --- transfers

    def retry_file_transfer(self, project_url: str, filename: str, *, within: Within = None) -> None:
        """Try a waiting transfer now."""
        self._do("retry_file_transfer", elements(project_url=project_url, filename=filename), within=within)

    def abort_file_transfer(self, project_url: str, filename: str, *, within: Within = None) -> None:
        self._do("abort_file_transfer", elements(project_url=project_url, filename=filename), within=within)

    # --- modes

    def set_run_mode(self, mode: RunMode, duration: float = 0.0, *, within: Within = None) -> None:
        """Compute or not. `duration` in seconds of the client's clock, then back to what was before; 0: for good."""
        self._do("set_run_mode", _mode(mode, duration), within=within)

    def set_gpu_mode(self, mode: RunMode, duration: float = 0.0, *, within: Within = None) -> None:
        self._do("set_gpu_mode", _mode(mode, duration), within=within)

    def set_network_mode(self, mode: RunMode, duration: float = 0.0, *, within: Within = None) -> None:
        """Use the network or not. Attach, update and retry RPCs open it for 5 minutes in spite of NEVER."""
        self._do("set_network_mode", _mode(mode, duration), within=within)

    # --- the client itself

    def run_benchmarks(self, *, within: Within = None) -> None:
        self._do("run_benchmarks", within=within)

    def reset_host_info(self, *, within: Within = None) -> None:
        """Look at the hardware again."""
        self._do("reset_host_info", within=within)

    def set_host_info(self, *, product_name: str = "", domain_name: str = "", os_name: str = "", within: Within = None) -> None:
        """Give the host another product name, domain name or operating system name; empty ones stay as they are."""
        names = {"product_name": product_name, "domain_name": domain_name, "os_name": os_name}
        inner = elements(**{name: value or None for name, value in names.items()})
        self._do("set_host_info", f"<host_info>\n{inner}\n</host_info>", within=within)

    def network_available(self, *, within: Within = None) -> None:
        """Tell the client that the network is back: waiting transfers and RPCs go on."""
        self._do("network_available", within=within)

    def set_language(self, language: str, *, within: Within = None) -> None:
        self._do("set_language", elements(language=language), within=within)

    def quit(self, *, within: Within = None) -> None:
        """End the client. Running tasks get up to 60 s of its clock to end."""
        self._do("quit", within=within)


def _mode(mode: RunMode, duration: float) -> str:
    if mode not in (RunMode.ALWAYS, RunMode.AUTO, RunMode.NEVER, RunMode.RESTORE):
        raise ValueError(f"not a mode that a client knows: {mode!r}")
    return f"<{mode.name.lower()}/>\n<duration>{duration:f}</duration>"
