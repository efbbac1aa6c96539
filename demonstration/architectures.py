"""List the tensors of all known networks again, for the suggestions: `python -m demonstration.architectures`."""

import timm

from gradcam_core.sources.suggestions import INDEX, write_index
from gradcam_core.sources.torchvision_models import list_names

if __name__ == "__main__":
    names = {"torchvision": list_names(), "timm": timm.list_models()}
    write_index([f"{source}:{name}" for source, listed in names.items() for name in listed], INDEX)
