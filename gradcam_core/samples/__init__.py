"""Pictures that come with the project, to look at before one has one's own."""

from dataclasses import dataclass
from importlib.resources import files

from gradcam_core.errors import PictureError
from gradcam_core.registry import nearest


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture that ships with the project. `fit` is how the model should see it, where that matters."""

    name: str
    title: str
    credit: str
    fit: str = "model"


_SAMPLES = (
    Sample("cat_and_coffee", "Cat and coffee", "S. van der Walt, R. Michetti, CC0", "squash"),
    Sample("cat", "Cat", "S. van der Walt, CC0"),
    Sample("coffee", "Coffee", "R. Michetti, CC0"),
    Sample("photographer", "Photographer (grey)", "L. Varshney, CC0"),
)


def list_samples() -> tuple[Sample, ...]:
    """Every sample picture; the first shows two classes at once."""
    return _SAMPLES


def read_sample(name: str) -> bytes:
    """A sample picture's file, as bytes. Raises PictureError for an unknown name."""
    names = [sample.name for sample in _SAMPLES]
    if name not in names:
        raise PictureError(f"There is no sample '{name}'.", nearest(name, names))
    return (files(__name__) / f"{name}.png").read_bytes()
