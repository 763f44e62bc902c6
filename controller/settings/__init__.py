"""The configuration: `load(folder)` gives Settings, or every mistake in all files with its place."""

from controller.settings.loading import load
from controller.settings.problems import ConfigError, Problem

__all__ = ["ConfigError", "Problem", "load"]
