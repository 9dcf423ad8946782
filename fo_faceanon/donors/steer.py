"""Moving random latents so that the rendered faces fill the gaps of a bank: pose, expression, age, skin, light."""

from __future__ import annotations

import numpy as np

#: Ridge of the regression, relative to the latents' own scale.
_RIDGE = 0.05


class Steering:
    """A linear map from latents to what was measured on their pictures, and its least-change inverse.

    Args:
        latents: ``N x 512`` of faces already rendered.
        measured: ``N x K`` what was measured on them, for example yaw, jaw opening, age; no NaN.
    """

    def __init__(self, latents: np.ndarray, measured: np.ndarray) -> None:
        self.centre, self.mean, self.std = latents.mean(0), measured.mean(0), measured.std(0) + 1e-6
        x, y = latents - self.centre, (measured - self.mean) / self.std
        gram = x.T @ x + _RIDGE * len(x) * x.var(0).mean() * np.eye(x.shape[1])
        self.slope = np.linalg.solve(gram, x.T @ y)
        self.low, self.high = np.quantile(y, [0.005, 0.995], axis=0)

    def steer(self, latents: np.ndarray, seed: int, amount: float = 1.0) -> np.ndarray:
        """Latents moved as little as possible to where their measures are spread evenly over the range that was seen.

        Each latent gets targets for two of the K measures (all at once leaves what the generator knows); the others stay.
        """
        random = np.random.default_rng(seed)
        x = latents - self.centre
        predicted = x @ self.slope
        wanted = predicted.copy()
        for row in range(len(x)):
            which = random.choice(len(self.low), size=min(2, len(self.low)), replace=False)
            wanted[row, which] = random.uniform(self.low[which], self.high[which])
        change = (wanted - predicted) @ np.linalg.pinv(self.slope)
        return latents + amount * change
