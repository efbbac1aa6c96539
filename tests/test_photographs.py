"""What the checks say of ten photographs, word by word: right, wrong and unsure answers, and two things at once.

photographs.txt holds the sentences as they were read and found true. Words may not change unseen; numbers may move a
little from machine to machine. To renew it after a wanted change: python -m tests.test_photographs, and read it.
"""

import re
from pathlib import Path

import pytest
import skimage

from gradcam_core import LoadedModel, explain, load_model, read_image, read_sample, trust

KEPT = Path(__file__).with_name("photographs.txt")
FOLDER = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = {
    "coffee": "right and sure",
    "camera": "right and sure",
    "chelsea": "right",
    "cat_and_coffee": "two things at once",
    "motorcycle_left": "unsure",
    "astronaut": "wrong and unsure",
    "coins": "wrong and unsure",
    "moon": "wrong and unsure",
    "clock_motion": "wrong",
    "rocket": "wrong",
}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def content_of(name: str) -> bytes:
    if name == "cat_and_coffee":
        return read_sample(name)
    return next(FOLDER.glob(f"{name}.*")).read_bytes()


def sentences(name: str, model: LoadedModel) -> list[str]:
    found = explain(read_image(content_of(name)), model, top_k=1, methods="grad_cam")
    checked = trust(found, found.heatmaps[0], model)
    head = f"{name} ({PHOTOGRAPHS[name]}): {found.predictions[0].label}. {checked.outcome}"
    return [head, *(f"  {one.outcome}: {one.sentence}" for one in checked.checks)]


def kept() -> dict[str, list[str]]:
    blocks = KEPT.read_text("utf-8").strip().split("\n\n")
    return {block.split(" ")[0]: block.split("\n") for block in blocks}


def test_ten_photographs_are_kept() -> None:
    assert list(kept()) == list(PHOTOGRAPHS)
    assert len(PHOTOGRAPHS) == 10


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_sentences_for_a_photograph_are_those_that_were_read(name: str, bundled: LoadedModel) -> None:
    for made, wanted in zip(sentences(name, bundled), kept()[name], strict=True):
        assert NUMBER.sub("#", made) == NUMBER.sub("#", wanted)
        for one, other in zip(NUMBER.findall(made), NUMBER.findall(wanted), strict=True):
            assert float(one) == pytest.approx(float(other), rel=0.03, abs=0.03)


if __name__ == "__main__":
    lite = load_model("bundled:efficientnet_lite0", preprocessing={"fit": "squash"}, device="cpu")
    KEPT.write_text("\n\n".join("\n".join(sentences(name, lite)) for name in PHOTOGRAPHS) + "\n", "utf-8")
