"""The inpainting generator: a face drawn into a hole, from what lies around the hole, landmarks and noise.

After DeepPrivacy (Hukkelås et al. 2019), as Celona et al. use it with 68 landmarks: a U-Net that is told the landmarks at every
resolution. Noise and the context together modulate the decoder (co-modulation, Zhao et al. 2021), the encoder's convolutions
are gated, and the picture is a sum over resolutions (Karras et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fo_faceanon.errors import InputError
from fo_faceanon.networks.layers import (
    EqualConv,
    EqualLinear,
    GatedConv,
    ModulatedConv,
    PointPainter,
    activate,
    channels_at,
    upsample,
)

#: Side of the smallest feature map.
_LOWEST = 8


@dataclass(frozen=True, slots=True)
class InpaintingConfig:
    """The shape of an :class:`InpaintingGenerator`.

    Args:
        size: side of the crop in pixels, a power of two from 16.
        points: how many landmarks it is told, 68 or 7.
        width: channels at full resolution; they double at each half of it, up to ``widest``.
        widest: see ``width``.
        noise: length of the noise vector.
        style: length of each half of the style, the noise's and the context's.
        gated: whether the encoder's convolutions are gated.
    """

    size: int = 128
    points: int = 68
    width: int = 40
    widest: int = 256
    noise: int = 64
    style: int = 128
    gated: bool = True

    def __post_init__(self) -> None:
        if self.size < 16 or self.size & (self.size - 1):
            raise InputError(f"a generator's size must be a power of two from 16, but got {self.size}")

    @property
    def resolutions(self) -> list[int]:
        """Sides of the feature maps, the largest first."""
        return [self.size >> level for level in range((self.size // _LOWEST).bit_length())]

    def channels(self, resolution: int) -> int:
        """Channels of the feature maps of side ``resolution``."""
        return channels_at(self.size, resolution, self.width, self.widest)


class _Down(nn.Module):
    """One encoder level: landmarks painted in, two convolutions; its output is both skip and, pooled, the next level's input."""

    def __init__(self, config: InpaintingConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        layer = GatedConv if config.gated else EqualConv
        self.first, self.second = layer(inputs, outputs), layer(outputs, outputs)
        self.paint = PointPainter(config.points, outputs)

    def forward(self, x: Tensor, points: Tensor) -> Tensor:
        x = activate((self.first(x) + self.paint(points, x.shape[-1])) * 2**-0.5)
        return activate(self.second(x))


class _Up(nn.Module):
    """One decoder level: two modulated convolutions, the skip and the landmarks between them, and this level's share of the picture."""

    def __init__(self, config: InpaintingConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        style = 2 * config.style
        self.first = ModulatedConv(inputs, outputs, style)
        self.skip = EqualConv(outputs, outputs, kernel=1)
        self.paint = PointPainter(config.points, outputs)
        self.second = ModulatedConv(outputs, outputs, style)
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.rgb = ModulatedConv(outputs, 3, style, kernel=1, demodulate=False)
        self.rgb_bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, skip: Tensor, points: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        x = (self.first(x, style) + self.skip(skip) + self.paint(points, x.shape[-1])) * 3**-0.5
        x = activate(self.second(activate(x), style) + self.bias)
        return x, (self.rgb(x, style) + self.rgb_bias).float()


class InpaintingGenerator(nn.Module):
    """Fills the hidden part of face crops; see the module's text for what it is built of."""

    def __init__(self, config: InpaintingConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.channels(r) for r in config.resolutions]
        self.down = nn.ModuleList(_Down(config, i, o) for i, o in zip([4, *widths], widths, strict=False))
        self.up = nn.ModuleList(_Up(config, i, o) for i, o in zip([widths[-1], *reversed(widths)], reversed(widths), strict=False))
        self.mapping = nn.ModuleList([EqualLinear(config.noise, config.style), EqualLinear(config.style, config.style)])
        self.squeeze = EqualConv(widths[-1], 32, kernel=1)
        self.context = EqualLinear(32 * _LOWEST**2, config.style)

    def forward(self, picture: Tensor, hidden: Tensor, points: Tensor, noise: Tensor) -> Tensor:
        """Crops with their hidden part filled; the rest is the input's, unchanged.

        Args:
            picture: ``B x 3 x S x S`` in ``[-1, 1]``. What it holds where hidden is never looked at.
            hidden: ``B x 1 x S x S``, 1 where to fill, 0 elsewhere.
            points: ``B x K x 2`` landmarks in crop pixels; NaN where unknown.
            noise: ``B x Z``, drawn from a normal distribution.

        Returns:
            ``B x 3 x S x S`` in ``[-1, 1]``.
        """
        return self.fill(picture, hidden, points, noise).clamp(-1, 1)

    def fill(self, picture: Tensor, hidden: Tensor, points: Tensor, noise: Tensor) -> Tensor:
        """The same, not yet limited to ``[-1, 1]``: training needs gradients beyond."""
        known = torch.where(hidden > 0.5, torch.zeros_like(picture), picture)
        made = self._draw(torch.cat([known, hidden.to(known.dtype)], 1), points.float(), noise)
        return torch.where(hidden > 0.5, made, known)

    def _draw(self, x: Tensor, points: Tensor, noise: Tensor) -> Tensor:
        skips: list[Tensor] = []
        placed: list[Tensor] = []
        for level, down in enumerate(self.down):
            x = nn.functional.avg_pool2d(x, 2) if level else x
            placed.append((points + 0.5) / 2**level - 0.5)
            x = down(x, placed[-1])
            skips.append(x)
        style = self._style(x, noise)
        picture: Tensor | None = None
        for level, up in enumerate(self.up):
            x = upsample(x) if level else x
            x, share = up(x, skips.pop(), placed.pop(), style)
            picture = share if picture is None else upsample(picture) + share
        assert picture is not None
        return picture

    def _style(self, features: Tensor, noise: Tensor) -> Tensor:
        """``B x 2 style``: what the noise says, and what the context says."""
        said = noise * torch.rsqrt(noise.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping:
            said = activate(layer(said))
        seen = activate(self.context(activate(self.squeeze(features)).flatten(1)))
        return torch.cat([said.to(seen.dtype), seen], 1)
