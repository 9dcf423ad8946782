"""Going on at twice the resolution with what a run at half of it has learnt (after Karras et al. 2018, without fading in).

A network for crops of ``2 S`` pixels is one for ``S`` with a level around it, if the smaller one's width is twice the larger's.
Coarse structure is learnt four times as fast at half the resolution.
"""

from __future__ import annotations

import re

from torch import Tensor, nn

from fo_faceanon.errors import InputError

#: Lists of levels that begin with the largest maps: their levels move up by one. Others begin with the smallest, and stay.
_LARGEST_FIRST = re.compile(r"^(down|blocks)\.(\d+)\.")
#: Less than this part of the new network's weights: it is not a grown version of the old one.
_LEAST = 0.6


def grow(network: nn.Module, smaller: dict[str, Tensor]) -> None:
    """Copies the weights of a network for half the size into the inner levels of a larger one; outer ones stay as they are.

    Raises:
        InputError: the two do not fit each other.
    """
    fresh = network.state_dict()
    renamed = {_LARGEST_FIRST.sub(lambda m: f"{m[1]}.{int(m[2]) + 1}.", name): value for name, value in smaller.items()}
    fitting = {name: value for name, value in renamed.items() if name in fresh and fresh[name].shape == value.shape}
    share = sum(v.numel() for v in fitting.values()) / sum(v.numel() for v in fresh.values())
    if share < _LEAST:
        raise InputError(
            f"only {share:.0%} of the weights can be taken from the smaller run: train it at half the size with twice the width "
            "(size, network.width and discriminator_width), all else equal"
        )
    network.load_state_dict({**fresh, **fitting})
