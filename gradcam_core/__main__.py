"""Run the command line: python -m gradcam_core."""

from gradcam_core.cli import entry

entry()
