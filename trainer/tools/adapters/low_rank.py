"""Low-rank updates as matrices: put together, cut down, and how much of them is kept.

Legend: O outputs, I inputs x kernel area, R rank. A product of two thin matrices is never multiplied out: two QR
decompositions leave an R x R matrix, whose singular values are the product's. Only what a cut keeps is multiplied out,
so that a layer takes no more than twice its two matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Singular:
    """A matrix by its singular values, largest first: `left_OR` and `right_RI` have orthonormal columns and rows. Of a
    product they are in the bases `left_basis_OR` and `right_basis_IR`, [R, R] each."""

    left_OR: Tensor
    values_R: Tensor
    right_RI: Tensor
    left_basis_OR: Tensor | None = None
    right_basis_IR: Tensor | None = None

    def cut(self, rank: int) -> tuple[Tensor, Tensor]:
        """The closest matrix of this rank as up [O, R] and down [R, I], each with the root of the singular values."""
        rank = min(rank, len(self.values_R))
        root_R = self.values_R[:rank].clamp_min(0).sqrt()
        up, down = self.left_OR[:, :rank] * root_R, root_R[:, None] * self.right_RI[:rank]
        if self.left_basis_OR is None or self.right_basis_IR is None:
            return up, down
        return self.left_basis_OR @ up, down @ self.right_basis_IR.T


def of_product(up_OR: Tensor, down_RI: Tensor) -> Singular:
    """Singular values of up @ down."""
    if min(up_OR.shape[0], down_RI.shape[1]) <= up_OR.shape[1]:
        return of_matrix(up_OR @ down_RI)
    left, upper = torch.linalg.qr(up_OR)
    del up_OR  # frees it where the caller keeps none
    right, lower = torch.linalg.qr(down_RI.T)
    middle = of_matrix(upper @ lower.T)
    return replace(middle, left_basis_OR=left, right_basis_IR=right)


def of_matrix(matrix_OI: Tensor) -> Singular:
    """Singular values of a matrix."""
    left, values, right = torch.linalg.svd(matrix_OI, full_matrices=False)
    return Singular(left, values, right)


def norm_of_product(up_OR: Tensor, down_RI: Tensor) -> float:
    """Frobenius norm of up @ down, from two R x R matrices."""
    squared = torch.sum((up_OR.T @ up_OR) * (down_RI @ down_RI.T))
    return float(squared.clamp_min(0).sqrt())


def rank_kept(values_R: Tensor, method: str, amount: float, most: int) -> int:
    """How many singular values a layer keeps: at least 1, at most `most`. Methods as `contract.adapter_tasks.Resize`,
    and as sd-scripts' `networks/resize_lora.py` has them (sv_ratio, sv_cumulative, sv_fro)."""
    most = min(most, len(values_R))
    if method == "rank" or float(values_R[0]) <= 0:
        return most if method == "rank" else 1
    if method == "ratio":
        count = int((values_R > values_R[0] / amount).sum())
    else:
        weights_R = (values_R if method == "cumulative" else values_R.square()).double()
        share_R = weights_R.cumsum(0) / weights_R.sum()
        goal = amount if method == "cumulative" else amount**2
        count = int((share_R < goal - 1e-9).sum()) + 1
    return max(1, min(count, most))
