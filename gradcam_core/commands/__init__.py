"""The family of commands: what a terminal asks of the core. Each is a function with its flags beside it."""

import argparse
from collections.abc import Callable, Sequence

from gradcam_core.commands.evaluate import evaluate_flags, evaluate_folder
from gradcam_core.commands.explain import explain_flags, explain_pictures
from gradcam_core.commands.lists import layers_flags, list_flags, show_layers, show_methods
from gradcam_core.commands.trust import trust_flags, trust_pictures

COMMANDS: Sequence[tuple[str, str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = (
    ("explain", "write heatmaps of pictures", explain_flags, explain_pictures),
    ("trust", "check whether a heatmap can be trusted, in words", trust_flags, trust_pictures),
    ("evaluate", "hold a model against a folder of pictures", evaluate_flags, evaluate_folder),
    ("methods", "list the methods, their papers and what they need", list_flags, show_methods),
    ("layers", "list the layers of a model that can be explained", layers_flags, show_layers),
)
