"""Weighted ridge regression of many targets at once, plain and with a Gaussian kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

Matrix = NDArray[np.float64]

# Rows that are compared with the landmarks at once.
_ROWS = 4096


@dataclass(frozen=True)
class Ridge:
    """y ≈ (x − x̄) B + ȳ.

    Attributes
    ----------
    x_mean, y_mean : weighted means.
    coefficients : B [p × d].
    """

    x_mean: Matrix
    y_mean: Matrix
    coefficients: Matrix

    @staticmethod
    def fit(x: Matrix, y: Matrix, weights: Matrix, penalty: float) -> Ridge:
        """The B that minimises Σ_i w_i |y_i − ȳ − (x_i − x̄) B|² + penalty |B|².

        Parameters
        ----------
        x : [n × p].
        y : [n × d].
        weights : [n], positive; scaled to a mean of 1.
        penalty : above 0.
        """
        w = weights / weights.mean()
        x_mean, y_mean = (w[:, None] * x).mean(axis=0), (w[:, None] * y).mean(axis=0)
        centred = x - x_mean
        weighted = centred * w[:, None]
        gram = weighted.T @ centred
        gram[np.diag_indices_from(gram)] += penalty
        return Ridge(x_mean, y_mean, cho_solve(cho_factor(gram), weighted.T @ (y - y_mean)))

    def predict(self, x: Matrix) -> Matrix:
        """[n × d]."""
        return np.asarray((x - self.x_mean) @ self.coefficients + self.y_mean)


@dataclass(frozen=True)
class KernelRidge:
    """y ≈ k(x, landmarks) A + ȳ, k(x, z) = exp(−γ |x − z|²): the Nyström form, exact where every row is a landmark
    (Williams and Seeger 2001).

    Attributes
    ----------
    landmarks : [m × p].
    y_mean : weighted mean.
    coefficients : A [m × d].
    gamma : γ.
    """

    landmarks: Matrix
    y_mean: Matrix
    coefficients: Matrix
    gamma: float

    @staticmethod
    def fit(x: Matrix, y: Matrix, weights: Matrix, penalty: float, gamma: float, landmarks: Matrix) -> KernelRidge:
        """The A that minimises Σ_i w_i |y_i − ȳ − k(x_i) A|² + penalty tr(Aᵀ K A), K the landmarks' own kernel."""
        w = weights / weights.mean()
        y_mean = (w[:, None] * y).mean(axis=0)
        own = gaussian(landmarks, landmarks, gamma)
        left, right = penalty * own, np.zeros((len(landmarks), y.shape[1]))
        for start in range(0, len(x), _ROWS):
            part = slice(start, start + _ROWS)
            kernel = gaussian(x[part], landmarks, gamma)
            weighted = kernel * w[part, None]
            left += weighted.T @ kernel
            right += weighted.T @ (y[part] - y_mean)
        # Landmarks that are nearly equal make the matrix singular.
        left[np.diag_indices_from(left)] += 1e-8 * np.trace(left) / len(left)
        return KernelRidge(landmarks, y_mean, cho_solve(cho_factor(left), right), gamma)

    def predict(self, x: Matrix) -> Matrix:
        """[n × d]."""
        found = [
            gaussian(x[start : start + _ROWS], self.landmarks, self.gamma) @ self.coefficients
            for start in range(0, len(x), _ROWS)
        ]
        return np.asarray(np.concatenate([np.zeros((0, len(self.y_mean))), *found]) + self.y_mean)


def gaussian(x: Matrix, z: Matrix, gamma: float) -> Matrix:
    """exp(−γ |x_i − z_j|²) [n × m]."""
    squares = np.square(x).sum(axis=1)[:, None] + np.square(z).sum(axis=1)[None] - 2 * x @ z.T
    return np.asarray(np.exp(-gamma * np.maximum(squares, 0)))
