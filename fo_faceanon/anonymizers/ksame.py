"""``ksame``: the mean of k donors, in texture and in shape (the k-same family: Newton, Sweeney and Malin 2005)."""

from __future__ import annotations

from fo_faceanon.anonymizers.donor import Donor
from fo_faceanon.errors import InputError


class KSame(Donor):
    """The mean of ``k`` donors: no single donor shows through, at the price of a smoother picture.

    Args:
        k: number of donors, 2 to 16. The other arguments are those of :class:`~fo_faceanon.anonymizers.donor.Donor`.
    """

    name = "ksame"
    DIALS = ("k", *Donor.DIALS)

    def __init__(self, device: str = "cpu", k: int = 5, **dials: object) -> None:
        if not 2 <= k <= 16:
            raise InputError(f"k must be in [2, 16], but got {k}")
        super().__init__(device, **dials)  # type: ignore[arg-type]
        self.COUNT = int(k)
