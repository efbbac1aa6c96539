"""The project's own version, as it stands in every record."""

__version__ = "0.4.0"
