"""Does the heatmap follow what the model learned?"""

from gradcam_core.checks.needs import Finding, NotTestable, check, check_evidence
from gradcam_core.checks.reruns import Rerun, randomised_maps
from gradcam_core.measures.similar import similarities
from gradcam_core.records import Heatmap
from gradcam_core.text import signed


@check("Does it follow what the model learned?", paper="Adebayo et al. 2018", url="https://arxiv.org/abs/1810.03292")
def learned(heatmap: Heatmap, rerun: Rerun, most_like_randomised: float) -> Finding:
    """Randomise the classifier's weights: a map that stays the same does not depend on what was learned."""
    check_evidence(heatmap)
    if not rerun.is_about_a_class:
        raise NotTestable("This check randomises a classifier’s weights, and the map is not about a class of one.")
    maps = randomised_maps(rerun)
    if not maps:
        raise NotTestable("This network has no single linear classifier whose weights could be randomised.")
    mean = float(similarities(heatmap.raw, maps).mean())
    alike = f"similarity {signed(mean)} on average over {len(maps)} random classifiers, where 1 is the same map"
    if mean <= most_like_randomised:
        words = f"With the classifier’s weights randomised, the map changes ({alike})."
        return Finding("passed", words, {"similarity": mean})
    words = (
        f"With the classifier’s weights randomised, the map stays similar ({alike}). "
        "It follows the picture more than what the model learned about this class."
    )
    return Finding("attention", words, {"similarity": mean})
