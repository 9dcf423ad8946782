"""A second opinion on sex and age, read from the guide's identity vectors.

Whoever picks, of thousands of donors, one that is unlike the original finds the mistakes of the attribute network: a man taken
for a woman is very unlike a woman. Identity vectors hold sex and age too, with other mistakes; the mean of both views holds fewer.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fo_faceanon.donors.describe import Description
from fo_faceanon.donors.ridge import ridge_slope

#: Ridge of the regression, in rows of the bank with unit identity vectors.
_RIDGE = 0.3


class Consensus:
    """Sex and age as the mean of what the attribute network says and of what identity vectors tell.

    Args:
        bank: the described faces that the regression from identity is fitted on.
    """

    def __init__(self, bank: Description) -> None:
        told = torch.stack([(bank.male > 0.5).float(), log_age(bank.age)], 1)
        self._slope = ridge_slope(_columns(bank), told, _RIDGE)

    def __call__(self, description: Description) -> Description:
        """The same faces with ``male`` and ``age`` agreed upon."""
        told = _columns(description) @ self._slope
        male = (description.male + told[:, 0].clamp(0, 1)) / 2
        age = torch.exp((log_age(description.age) + told[:, 1]) / 2) * 8 - 8
        return replace(description, male=male, age=age.clamp_min(0))


def log_age(age: Tensor) -> Tensor:
    """A scale on which a year weighs more in a child."""
    return torch.log((age.clamp_min(0) + 8) / 8)


def _columns(d: Description) -> Tensor:
    return torch.cat([torch.ones_like(d.identity[:, :1]), torch.nan_to_num(d.identity)], 1)
