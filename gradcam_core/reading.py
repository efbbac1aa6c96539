"""A blind reading: what the reader thought of a picture before the model's answer was shown, and afterwards."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """The reader's own impression, and what became of it. Times are UTC, as ISO 8601.

    `impression` was written at `written_at`, before the answer was shown at `revealed_at`. `revised` is the impression
    afterwards: the same text where the reader kept it, None before the reader has said so.
    """

    impression: str
    written_at: str
    revealed_at: str
    revised: str | None = None

    @property
    def changed(self) -> bool | None:
        """Whether the reader's mind changed; None before the reader has said so."""
        return None if self.revised is None else self.revised != self.impression
