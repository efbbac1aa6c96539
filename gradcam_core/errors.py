"""What a user can put right: every such failure is a GradcamError with a remedy."""


class GradcamError(Exception):
    """Say what is wrong and what to do about it.

    `message` names the trouble, `remedy` the way out, both in words that are true on a page, in a terminal and in
    Python. `option` is the keyword argument to change, where there is one: each place spells it in its own way.
    Nothing about a patient belongs here, since texts end up in logs.
    """

    def __init__(self, message: str, remedy: str, option: str = "") -> None:
        super().__init__(message, remedy, option)
        self.message = message
        self.remedy = remedy
        self.option = option

    def __str__(self) -> str:
        return self.words(f"{self.option}=")

    def words(self, option: str) -> str:
        """Return message and remedy, then the option as `option` spells it, if the error has one."""
        return f"{self.message} {self.remedy}{f' (Option: {option})' if self.option else ''}"


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


class CatalogueError(GradcamError):
    """A catalogue of models that cannot be read or written, or a model that it does not take."""


class AuditError(GradcamError):
    """An audit log that cannot be read or written, or a setting of it that is wrong."""


class DicomwebError(GradcamError):
    """A DICOMweb server that cannot be reached or does not give what it should, or a setting of it that is wrong."""
