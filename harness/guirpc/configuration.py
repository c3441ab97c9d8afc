"""RPCs about a client's configuration files and preferences. All need the password.

Files travel as text and are written as they are. **cc_config.xml and the preferences override take effect only when read again**, and
read_cc_config first resets every option to its default, also those given on the command line.
"""

from __future__ import annotations

from dataclasses import asdict

from harness.guirpc.base import Base, Within, elements
from harness.guirpc.errors import RequestTooLarge, RpcRefused
from harness.guirpc.models_client import ProxySettings
from harness.guirpc.nearxml import Node

#: the client's buffer for a file that is set through it (bytes)
MAX_FILE = 65535


class Configuration(Base):
    def get_cc_config(self, *, within: Within = None) -> str:
        """The text of cc_config.xml, empty without one."""
        return self.call("get_cc_config", within=within).text

    def set_cc_config(self, text: str, *, within: Within = None) -> None:
        """Write cc_config.xml; empty text deletes it. `read_cc_config` makes it count."""
        self._set_file("set_cc_config", text, within)

    def read_cc_config(self, *, within: Within = None) -> None:
        """Read cc_config.xml and app_config.xml again. Some options count only after a restart."""
        self._do("read_cc_config", within=within)

    def get_global_prefs_file(self, *, within: Within = None) -> Node:
        """Preferences as some project's web site has them. Raises `RpcRefused` if none has."""
        return self.call("get_global_prefs_file", within=within).element("global_preferences")

    def get_global_prefs_working(self, *, within: Within = None) -> Node:
        """Preferences in force."""
        return self.call("get_global_prefs_working", within=within).element("global_preferences")

    def get_global_prefs_override(self, *, within: Within = None) -> str:
        """The text of global_prefs_override.xml, empty without one."""
        try:
            return self.call("get_global_prefs_override", within=within).text
        except RpcRefused as refusal:
            if "override" in refusal.reason:
                return ""
            raise

    def set_global_prefs_override(self, text: str, *, within: Within = None) -> None:
        """Write global_prefs_override.xml; empty text deletes it. `read_global_prefs_override` makes it count."""
        self._set_file("set_global_prefs_override", text, within)

    def read_global_prefs_override(self, *, within: Within = None) -> None:
        self._do("read_global_prefs_override", within=within)

    def get_app_config(self, url: str, *, within: Within = None) -> str:
        """The text of a project's app_config.xml, empty without one."""
        try:
            return self.call("get_app_config", elements(url=url), within=within).text
        except RpcRefused as refusal:
            if "not found" in refusal.reason:
                return ""
            raise

    def set_app_config(self, url: str, text: str, *, within: Within = None) -> None:
        """Write a project's app_config.xml: `text` is an `<app_config>` element. `read_cc_config` makes it count."""
        self._do("set_app_config", f"{elements(url=url)}\n{text}", within=within)

    def get_proxy_settings(self, *, within: Within = None) -> ProxySettings:
        return self._read(ProxySettings, "get_proxy_settings", "proxy_info", within=within)

    def set_proxy_settings(self, settings: ProxySettings, *, within: Within = None) -> None:
        self._do("set_proxy_settings", f"<proxy_info>\n{elements(**asdict(settings))}\n</proxy_info>", within=within)

    def _set_file(self, op: str, text: str, within: Within) -> None:
        size = len(text.encode())
        if size > MAX_FILE:
            raise RequestTooLarge(f"the file has {size} bytes", op=op, address=self.connection.address, expected=f"at most {MAX_FILE}")
        # an element without text is one the client takes for a missing argument: an empty file needs both tags
        self._do(op, text.strip() or " ", within=within)
