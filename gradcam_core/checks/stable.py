"""Is the heatmap stable under invisible noise?"""

from gradcam_core.checks.needs import Finding, check, check_evidence
from gradcam_core.checks.reruns import Rerun, noisy_maps
from gradcam_core.measures.similar import similarities
from gradcam_core.records import Heatmap
from gradcam_core.text import signed


@check("Is it stable under invisible noise?")
def stable(heatmap: Heatmap, rerun: Rerun, least_stability: float) -> Finding:
    """Add noise that is too faint to be seen: the map should stay as it is."""
    check_evidence(heatmap)
    maps = noisy_maps(rerun)
    mean = float(similarities(heatmap.raw, maps).mean())
    alike = f"similarity {signed(mean)} on average over {len(maps)} noisy copies, where 1 is the same map"
    if mean >= least_stability:
        return Finding("passed", f"Noise too faint to see leaves the map as it is ({alike}).", {"similarity": mean})
    words = f"Noise too faint to see changes the map ({alike}). Another image of the same thing may give another map."
    return Finding("attention", words, {"similarity": mean})
