"""List the tensors of all known networks again, for the suggestions: `python -m demonstration.architectures`."""

import timm
from torchvision import models

from gradcam_core.sources.suggestions import INDEX, write_index

if __name__ == "__main__":
    names = {"torchvision": models.list_models(module=models), "timm": timm.list_models()}
    write_index([f"{source}:{name}" for source, listed in names.items() for name in listed], INDEX)
