"""Projects: the interface (`base`) and the servers that stand behind it."""

from harness.project.base import Account, Project

__all__ = ["Account", "Project"]
