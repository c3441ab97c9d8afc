"""The package settings of this machine (apt, certificates, pip, npm), written as files that builds mount as secrets.

A secret is there while a RUN uses it and in no layer. What each file holds, and where a Dockerfile mounts it: see `harness.images`.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from harness import apt

#: where the certificate bundle is inside a RUN that mounts id=ca
CA_INSIDE = "/run/secrets/ca"
#: where Debian keeps the archive's keys, in all suites
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem")
#: pip's settings that say where packages come from; paths of this machine mean nothing in a build
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "timeout", "default-timeout", "retries", "proxy")


def write_secrets(folder: Path, suite: str) -> dict[str, Path]:
    """Write the secret files that this machine's settings give: {id: path}. Ids without a setting are left out."""
    bundle = ca_bundle()
    texts: dict[str, str] = {
        "apt": apt_sources(suite),
        "pip": pip_conf(_pip_settings(), with_ca=bundle is not None),
        "npm": npmrc(_npm_lines(), with_ca=bundle is not None),
    }
    found: dict[str, Path] = {}
    for name, text in texts.items():
        if text:
            found[name] = folder / name
            found[name].write_text(text, encoding="utf-8")
            found[name].chmod(0o600)
    if bundle is not None:
        found["ca"] = bundle
    return found


def apt_sources(suite: str, entries: Iterable[apt.Entry] | None = None) -> str:
    """This machine's mirror as sources of a suite for use inside an image, or "" (then the image's own sources are used).

    Keys: an image has Debian's own keyring and nothing of this machine's; an entry marked as trusted stays so.
    """
    found = apt.for_suite(suite, None if entries is None else list(entries))
    if found is None:
        return ""
    stanzas = []
    for entry in found:
        options = {k: v for k, v in entry.options.items() if k in ("Trusted", "Check-Valid-Until")}
        stanzas.append(replace(entry, options={**options, "Signed-By": _KEYRING}).deb822())
    return "\n".join(stanzas)


#: the variables by which programs are told of a proxy
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")


def proxies() -> dict[str, str]:
    """The proxies that a build on this machine has to use: those of the environment, else apt's own for http.

    In both spellings, since programs differ in which one they read. A cache like apt-cacher-ng is set in apt's settings only.
    """
    found = {name: value for name in PROXIES if (value := os.environ.get(name) or os.environ.get(name.upper()))}
    if "http_proxy" not in found and (own := _apt_proxy()):
        found["http_proxy"] = own
    return {**found, **{name.upper(): value for name, value in found.items()}}


@functools.cache
def _apt_proxy() -> str:
    """Acquire::http::Proxy of apt's settings, or ""."""
    try:
        done = subprocess.run(["apt-config", "dump", "Acquire::http::Proxy"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r'^Acquire::http::Proxy "(http[^"]*)";$', done.stdout, re.MULTILINE)
    return match[1] if match else ""


def ca_bundle() -> Path | None:
    """The certificate bundle that programs on this machine use, or None."""
    for candidate in (os.environ.get("SSL_CERT_FILE"), os.environ.get("REQUESTS_CA_BUNDLE"), *_BUNDLES):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None


def pip_conf(values: Mapping[str, str], *, with_ca: bool) -> str:
    """A pip.conf for a build from pip's settings here; indexes that are files of this machine are left out."""
    lines = ["[global]", "disable-pip-version-check = true"]
    if with_ca:
        lines.append(f"cert = {CA_INSIDE}")
    for name in _PIP_KEYS:
        words = [word for word in values.get(name, "").split() if not word.startswith("file:")]
        if words:
            lines.append(f"{name} = {' '.join(words)}")
    return "\n".join(lines) + "\n"


def _pip_settings() -> dict[str, str]:
    """pip's settings on this machine as pip itself reads them; what is more specific comes later and wins, as in pip."""
    command = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"(?:global|install|:env:)\.([\w-]+)='(.*)'", line)
        if match:
            found[match[1]] = match[2].replace("\\n", " ")
    return found


def npmrc(lines: Iterable[str], *, with_ca: bool) -> str:
    """An npmrc for a build from `key=value` lines; keeps registries, their credentials and TLS and proxy settings."""
    kept = [f"cafile={CA_INSIDE}"] if with_ca else []
    for line in lines:
        name = line.partition("=")[0].strip()
        if re.fullmatch(r"(@[^:]+:)?registry|//.*:(_authToken|_auth|_password|username)|strict-ssl|proxy|https-proxy|noproxy", name):
            kept.append(line.strip())
    return "\n".join([*kept, "audit=false", "fund=false", "update-notifier=false"]) + "\n"


def _npm_lines() -> list[str]:
    """npm's settings on this machine: its files, least specific first, then the registry from the environment."""
    files = [Path("/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/usr/local/etc/npmrc")]
    npm = shutil.which("npm")
    if npm:
        files.append(Path(npm).parent.parent / "etc" / "npmrc")
    files.append(Path(os.environ.get("NPM_CONFIG_USERCONFIG") or Path.home() / ".npmrc"))
    lines: list[str] = []
    for path in dict.fromkeys(files):
        try:
            lines.extend(path.read_text(encoding="utf-8").splitlines())
        except OSError:
            continue
    registry = next((value for name, value in os.environ.items() if name.lower() == "npm_config_registry" and value), "")
    if registry:
        lines.append(f"registry={registry}")
    return lines
