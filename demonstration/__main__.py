"""Draw the sample radiographs and train the demonstration models: python -m demonstration [FOLDER].

Without a folder, the files of the project are replaced.
"""

import sys
from pathlib import Path

from demonstration.samples import write_samples
from demonstration.train import RECIPES, save, train
from gradcam_core.sources.bundled import WEIGHTS

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
samples, weights = (folder, folder) if folder else (WEIGHTS.parent.parent / "samples", WEIGHTS)
samples.mkdir(parents=True, exist_ok=True)
write_samples(samples)
for name in RECIPES:
    save(train(name, lambda words: print(words, flush=True)), weights / f"radiograph_{name}.safetensors")
