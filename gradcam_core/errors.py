"""What a user can put right: every such failure is a GradcamError with a remedy."""


class GradcamError(Exception):
    """Say what is wrong and what to do about it.

    `message` names the trouble, `remedy` the way out; `str(error)` holds both. Neither may hold
    anything about a patient: texts end up in logs.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


class PictureError(GradcamError):
    """A picture that cannot be read."""


class ModelError(GradcamError):
    """A model reference, checkpoint or architecture that cannot be used."""


class LayerError(GradcamError):
    """A layer that does not exist or holds no map to explain."""


class TargetError(GradcamError):
    """A class or other target that the model does not have."""


class MethodError(GradcamError):
    """A method that does not exist, or that this model or layer cannot serve."""


class DeviceError(GradcamError):
    """A device that is not there or has too little memory."""
