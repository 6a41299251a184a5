"""Import of the PixelCNN++ layout, against a small restatement of the network it belongs to."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import weight_norm

import ancestral
from ancestral.store import PackageError
from ancestral.store.importer import Told, import_checkpoint

WIDTH = 3


def normed(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's newer name for it writes other tensors' names
        return weight_norm(layer)


class Holder(nn.Module):
    """A named layer, as `conv`, `deconv` or `lin_a`."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.add_module(name, normed(layer))


def conv(a: int, b: int, kernel: tuple[int, int], stride: int = 1) -> Holder:
    return Holder("conv", nn.Conv2d(a, b, kernel, stride))


def dense(a: int, b: int) -> Holder:
    return Holder("lin_a", nn.Linear(a, b))


def elu2(x: Tensor) -> Tensor:
    return F.elu(torch.cat([x, -x], 1))


def linear(holder: nn.Module, x: Tensor) -> Tensor:
    return holder.lin_a(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[operator]


def windowed(holder: nn.Module, x: Tensor) -> Tensor:
    height, width = holder.conv.weight.shape[2:]  # type: ignore[union-attr]
    side = (width - 1, 0) if width == 2 else ((width - 1) // 2,) * 2
    return holder.conv(F.pad(x, (*side, height - 1, 0)))  # type: ignore[operator]


def upward(holder: nn.Module, x: Tensor) -> Tensor:
    y = holder.deconv(x)  # type: ignore[operator]
    if holder.deconv.weight.shape[3] == 3:  # type: ignore[union-attr]
        return y[:, :, :-1, 1:-1]
    return y[:, :, :-1, :-1]


class Resnet(nn.Module):
    def __init__(self, kernel: tuple[int, int], skips: int) -> None:
        super().__init__()
        self.conv_input = conv(2 * WIDTH, WIDTH, kernel)
        if skips:
            self.nin_skip = dense(2 * skips * WIDTH, WIDTH)
        self.conv_out = conv(2 * WIDTH, 2 * WIDTH, kernel)

    def forward(self, x: Tensor, a: Tensor | None = None) -> Tensor:
        h = windowed(self.conv_input, elu2(x))
        if a is not None:
            h = h + linear(self.nin_skip, elu2(a))
        value, gate = windowed(self.conv_out, elu2(h)).chunk(2, 1)
        return x + value * gate.sigmoid()


class Scale(nn.Module):
    def __init__(self, count: int, skips: tuple[int, int]) -> None:
        super().__init__()
        self.u_stream = nn.ModuleList(Resnet((2, 3), skips[0]) for _ in range(count))
        self.ul_stream = nn.ModuleList(Resnet((2, 2), skips[1]) for _ in range(count))


class Published(nn.Module):
    """Names and forward pass of the layout, for one resnet per scale."""

    def __init__(self) -> None:
        super().__init__()

        def grow(kernel: tuple[int, int]) -> Holder:
            return Holder(
                "deconv", nn.ConvTranspose2d(WIDTH, WIDTH, kernel, stride=2, output_padding=1)
            )

        def pair(make: object, kernel: tuple[int, int]) -> nn.ModuleList:
            return nn.ModuleList(make(kernel) for _ in range(2))  # type: ignore[operator]

        def shrink(kernel: tuple[int, int]) -> Holder:
            return conv(WIDTH, WIDTH, kernel, 2)

        self.up_layers = nn.ModuleList(Scale(1, (0, 1)) for _ in range(3))
        self.down_layers = nn.ModuleList(Scale(count, (1, 2)) for count in (1, 2, 2))
        self.downsize_u_stream, self.downsize_ul_stream = pair(shrink, (2, 3)), pair(shrink, (2, 2))
        self.upsize_u_stream, self.upsize_ul_stream = pair(grow, (2, 3)), pair(grow, (2, 2))
        self.u_init = conv(4, WIDTH, (2, 3))
        self.ul_init = nn.ModuleList([conv(4, WIDTH, (1, 3)), conv(4, WIDTH, (2, 1))])
        self.nin_out = dense(WIDTH, 20)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, torch.ones(len(x), 1, *x.shape[2:], dtype=x.dtype)], 1)
        below = (0, 0, 1, 0)
        u = [F.pad(windowed(self.u_init, x), below)[:, :, :-1]]
        above = F.pad(windowed(self.ul_init[0], x), below)[:, :, :-1]
        ul = [above + F.pad(windowed(self.ul_init[1], x), (1, 0))[..., :-1]]
        for i in range(3):
            u.append(self.up_layers[i].u_stream[0](u[-1]))  # type: ignore[index, operator, union-attr]
            ul.append(self.up_layers[i].ul_stream[0](ul[-1], u[-1]))  # type: ignore[index, operator, union-attr]
            if i < 2:
                u.append(windowed(self.downsize_u_stream[i], u[-1]))
                ul.append(windowed(self.downsize_ul_stream[i], ul[-1]))
        a, b = u.pop(), ul.pop()
        for i in range(3):
            scale = self.down_layers[i]
            for first, second in zip(scale.u_stream, scale.ul_stream, strict=True):  # type: ignore[arg-type]
                a = first(a, u.pop())
                b = second(b, torch.cat([a, ul.pop()], 1))
            if i < 2:
                a, b = upward(self.upsize_u_stream[i], a), upward(self.upsize_ul_stream[i], b)
        return linear(self.nin_out, F.elu(b))


def test_import_gives_the_published_networks_params(tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = Published()
    state = {f"module.{name}": tensor for name, tensor in published.state_dict().items()}
    assert "module.up_layers.2.ul_stream.0.nin_skip.lin_a.weight_g" in state
    torch.save(state, tmp_path / "pcnn.pth")
    with pytest.raises(PackageError, match="give --shape 3,HEIGHT,WIDTH"):
        import_checkpoint(tmp_path / "pcnn.pth", tmp_path, Told("colours"))
    import_checkpoint(tmp_path / "pcnn.pth", tmp_path, Told("colours", shape=(3, 4, 4)))
    model = ancestral.load("colours", root=tmp_path)
    codes = torch.randint(0, 256, (2, 3, 4, 4))
    with torch.no_grad():
        found = model.network(codes).squeeze(3).permute(0, 3, 1, 2)
        wanted = published(codes / 127.5 - 1)
    torch.testing.assert_close(found.float(), wanted, rtol=1e-4, atol=1e-4)
