"""What runs in a process that decodes pictures: it loads the readers, then reads one picture after another."""

import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from gradcam_core.errors import GradcamError, PictureError
from gradcam_core.runners.channel import Channel

# A decoder that never ends is ended by the system so many seconds after the time limit, even without a parent.
GRACE_S = 5
FAILED = PictureError(
    "The picture could not be read: its decoder failed.",
    "Open it in another program, and save it again, for instance as PNG.",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one picture may take, and how much memory the process may have."""

    seconds: float
    megabytes: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back: a "result", an "error" to raise, "memory" that is short, or a "fault": its type and place."""

    kind: str
    content: Any = None


class _TypesOnly(ModuleType):
    """Stands for torch: the readers' record is defined beside others that name its types, and needs none of them.

    Loading torch takes seconds and 300 MB.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _TypesOnly(name) if name == "nn" else type(name, (), {})


def serve(channel: Channel) -> None:
    """Read pictures until the channel is closed, as it is when the program that began this one has ended."""
    sys.modules.setdefault("torch", _TypesOnly("torch"))
    from gradcam_core.readers import decode, parts_of

    jobs: dict[str, Callable[..., Any]] = {"decode": decode, "parts_of": parts_of}
    with suppress(EOFError, OSError):
        limits: Limits = channel.receive()
        _limit_memory(limits.megabytes)
        channel.send("ready")
        content = b""
        while True:
            job, given, arguments = channel.receive(bytes)
            channel.send("begun")
            content = content if given is None else given
            channel.send(answer(partial(jobs[job], content, *arguments), limits.seconds))


def answer(work: Callable[[], Any], seconds: float) -> Reply:
    """Do a job; whatever a decoder raises becomes a reply. Some of them raise no Exception but BaseException."""
    _set_alarm(int(seconds) + GRACE_S)
    try:
        return Reply("result", work())
    except GradcamError as error:
        return Reply("error", type(error)(error.message, error.remedy, error.option))
    except MemoryError:
        return Reply("memory")
    except Exception as error:  # a fault of this program: it stays visible, without its text, which may hold contents
        return Reply("fault", f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}")
    except BaseException:  # what a decoder written in Rust raises
        return Reply("error", FAILED)
    finally:
        _set_alarm(0)


def _set_alarm(seconds: int) -> None:
    if sys.platform != "win32":
        signal.alarm(seconds)


def _limit_memory(megabytes: int) -> None:
    """Limit what can be allocated, where the system can."""
    with suppress(ImportError, OSError, ValueError):  # Windows; a lower limit of the system itself
        import resource

        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        resource.setrlimit(kind, (megabytes << 20, megabytes << 20))
