"""Ways of writing an image network, exported, imported from the file, derived and scored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.causal import Function
from tests.compile.test_ways_images import WAYS, H, W
from tests.exports import BATCH, imported
from tests.store.test_graphs import agree, logits_nats
from tests.ways import unsettled
from torch.export import export, save

from ancestral.engine.model import Model
from ancestral.store.package import load_package

CHOSEN = (
    "channel_norm_written_out", "coordinate_and_constant_planes", "strided_with_output_padding",
    "average_pooling_and_repeats", "windows_by_tensor_unfold", "slice_assignment",
    "in_place_updates_of_aliased_views", "grouped_and_depthwise_convolution", "einsum_for_a_1x1",
    "cumulative_sums",
)  # fmt: skip


@pytest.mark.parametrize("name", CHOSEN)
def test_this_way_imports_from_a_file_and_scores_as_the_module_does(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    function, layers = WAYS[name]
    module = unsettled(Function(function, **layers())).eval()
    file = tmp_path / "model.pt2"
    with torch.no_grad():  # torch lets views of one tensor be written to
        save(export(module, (torch.randn(3, 1, H, W),), dynamic_shapes=((BATCH,),)), file)
    found = imported(
        file, data="image", shape=f"1x{H}x{W}", levels=3, likelihood="categorical",
        encode="signed",
    )  # fmt: skip
    assert found.warning is None
    codes = torch.randint(3, (2, 1, H, W))
    with torch.no_grad():
        wanted = logits_nats(module(codes - 1.0), codes[:, 0])
    agree(Model(load_package(found.path)), codes, wanted)
