"""What may be taken as unchanged without opening it: one hash per model, one per draw of probes.

A fingerprint covers all that decides what opening would find, as far as that is told by the scan
file, by file listings and by source code; equal fingerprints mean that an earlier result stands.
Nothing is loaded for it: neither torch nor a model's code is imported, no weights are read.

What it cannot see, and what ``--fresh`` is for: weights that were replaced by others of the same
size with the same modification time; another checkpoint behind an unchanged name of torchvision,
timm or the Hugging Face hub, which count as unchanged while the package's version is; code that is
imported under a name that is only made up at run time.
"""

from depara.fingerprints.models import CARD_VERSION, model_fingerprints
from depara.fingerprints.probes import PROBES_VERSION, probes_fingerprint

__all__ = ["CARD_VERSION", "PROBES_VERSION", "model_fingerprints", "probes_fingerprint"]
