"""CAM Lightbox: see what an image model looked at, and whether to believe it.

    image = read_image("cat.jpg")
    model = load_model("bundled:efficientnet_lite0")
    explanation = explain(image, model)

The public names are listed in `__init__.pyi`, in reading order. Each is imported when it is first used, so that
`--help` and the first page appear before torch is loaded.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
