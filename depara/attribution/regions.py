"""Features of regions of the image, from a layer's feature maps.

Shapes: ``B`` probes of a batch, ``O`` regions, ``C`` channels, ``H W`` positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BINS = 7
_SAMPLES = 2


def region_features(maps_BCHW: Tensor, probe_O: Tensor, boxes_O4: Tensor) -> Tensor:
    """Returns the mean of the maps over each region, by ROI-align: float32 ``O C``.

    ROI-align (He et al., "Mask R-CNN", ICCV 2017) with 7 x 7 bins of 2 x 2 samples, then the mean
    over the bins, as Fouquet et al. ("Transferability Metrics for Object Detection", 2023) pool it;
    that is the mean of 14 x 14 bilinear samples spread evenly over the box. Ours: the centre of
    position ``i`` of ``W`` lies at ``(i + 1/2) / W`` of the side (``aligned``).

    Args:
        maps_BCHW: that cover the whole image.
        probe_O: the probe of each region, its place in the batch.
        boxes_O4: ``x0, y0, x1, y1`` in shares of the image's side.
    """
    from torchvision.ops import roi_align

    height, width = maps_BCHW.shape[-2:]
    scale = torch.tensor([width, height, width, height], device=maps_BCHW.device)
    rois_O5 = torch.cat([probe_O[:, None].to(scale.device), boxes_O4.to(scale.device) * scale], 1)
    bins_OCKK = roi_align(
        maps_BCHW.float(), rois_O5.float(), _BINS, sampling_ratio=_SAMPLES, aligned=True
    )
    return torch.as_tensor(bins_OCKK).mean(dim=(2, 3))
