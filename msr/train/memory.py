"""The memory of a step: the views go through the network in as many pieces as it takes to fit.

Of a piece nothing is kept but its embeddings. The loss is computed on the embeddings of ALL views;
its backward pass then runs one piece after the other through the network again, and back (gradient
caching, Gao et al. 2021, arXiv:2101.06983). So the gradients are those of the whole batch, memory
is that of one piece, and a step takes about a third longer.

One thing differs: in training, batch normalisation uses the mean and variance of a piece (of all
ranks, if it is synchronised), not of the batch. Its running statistics still move once a step: the
second pass leaves them as they are.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from msr import dist
from msr.models import MultiSpace

PEAK = 1.15  # peak of a step over what is saved for its backward pass (seen on a CPU: up to 1.0)
WEIGHTS = 3.5  # further copies of the weights: gradient, up to two of the optimizer, one in bf16
EMBEDDINGS = 10  # float32 copies of all ranks' embeddings while the loss is computed
USABLE = 0.9  # share of the free memory to plan with; the rest is for convolutions and fragments


@dataclass(frozen=True)
class Plan:
    """In how many pieces a rank's views go through the network; `str(plan)` says so in one line.

    views: number of views of this rank's batch. per_view: bytes that the network saves for the
    backward pass of one view. fixed: bytes that a step needs whatever the pieces. free: bytes that
    are free. Raises ValueError, one line, if not even two views at a time fit.
    """

    views: int
    per_view: float
    fixed: float
    free: float

    def __post_init__(self) -> None:
        if self.pieces > max(1, self.views // 2):  # batch normalisation needs two at a time
            raise ValueError(
                f"a step needs {amount(self.fixed)}, and {amount(PEAK * self.per_view)} for each "
                f"view, but {amount(self.free)} of memory are free; give a smaller network "
                "or image_size"
            )

    @property
    def most(self) -> int:
        """The largest number of views that fit at a time."""
        return int((USABLE * self.free - self.fixed) / (PEAK * self.per_view))

    @property
    def pieces(self) -> int:
        """The smallest number of pieces that fit; 1 is the whole batch at once."""
        return math.ceil(self.views / self.most) if self.most > 0 else self.views

    @property
    def need(self) -> float:
        """The bytes that a step needs in this plan, at its peak."""
        return self.fixed + PEAK * self.per_view * math.ceil(self.views / self.pieces)

    def __str__(self) -> str:
        whole = amount(self.fixed + PEAK * self.per_view * self.views)
        need = f"{self.views:,} views of {amount(self.per_view)} need {whole}"
        if self.pieces == 1:
            return f"memory: {need} of the {amount(self.free)} that are free"
        return f"memory: {need}, {amount(self.free)} are free: {in_pieces(self.views, self.pieces)}"


def amount(n: float) -> str:
    """Return a number of bytes in words, such as "1.5 GB" or "44.0 MB"."""
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"


def in_pieces(views: int, pieces: int) -> str:
    """Return how many pieces of how many views there are, in words."""
    return (
        f"{pieces} pieces of {math.ceil(views / pieces):,} (for a third more "
        "time; batch normalisation is over a piece)"
    )


# ------------------------------------------------------------------------------------ the network


class InPieces(nn.Module):
    """A network whose views x [N, …] go through it in pieces; returns h [N, H] and z [N, D].

    Piece i of P holds the views i, i + P, i + 2 P, …, so that each holds all kinds of views. The
    number of pieces is fixed at the first batch, where a line says so, and is the same on all
    ranks: `micro_batch` is the largest number of views in one piece on each device. 0: on a GPU as
    many as fit into the free memory, on a CPU all of them. With one piece this is the model itself.
    """

    def __init__(self, model: MultiSpace, micro_batch: int = 0):
        super().__init__()
        self.model, self.micro_batch = model, micro_batch
        self.pieces = 0  # not yet known

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return h [N, H] and z [N, D] of x [N, …]; a first batch that does not fit raises."""
        self.pieces = self.pieces or self.decide(x)
        if self.pieces == 1:
            return self.model(x)
        parts = [self.passes(x[i :: self.pieces], first=i == 0) for i in range(self.pieces)]
        # the views' places in the pieces, one piece after the other; some are longer by one view
        view = torch.arange(len(x), device=x.device)
        size, longer = divmod(len(x), self.pieces)
        piece = view % self.pieces
        place = piece * size + piece.clamp(max=longer) + view // self.pieces
        h, z = (torch.cat(part).index_select(0, place) for part in zip(*parts, strict=True))
        return h, z

    def passes(self, piece: torch.Tensor, first: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return h and z of one piece; its activations are computed again in the backward pass.

        first: whether it is the batch's first piece, the one that is counted.
        """

        def contexts() -> tuple[Any, Any]:  # of the first pass and of the second
            again = statistics(self.model, 0, count=False)
            return statistics(self.model, 1 / self.pieces, count=first), again

        return checkpoint(self.model, piece, use_reentrant=False, context_fn=contexts)

    def decide(self, x: torch.Tensor) -> int:
        """Return the number of pieces for batches like x [N, …], and print a line if it matters."""
        n, line, error = len(x), "", ""
        if self.micro_batch:
            pieces = max(1, min(math.ceil(n / self.micro_batch), n // 2))
            line = f"memory: {n:,} views in {in_pieces(n, pieces)}" if pieces > 1 else ""
        elif x.device.type == "cuda" and n >= 4:
            pieces = 1
            try:
                found = plan(self.model, x, free_memory(x.device))
                pieces, line = found.pieces, str(found)
            except ValueError as problem:  # of this rank alone, perhaps
                error = str(problem)
        else:
            pieces = 1
        everywhere = dist.everyone((pieces, line, error))
        wrong = [told for _, _, told in everywhere if told]
        if wrong:
            raise ValueError(wrong[0])
        most, line, _ = max(everywhere)
        if line and dist.rank() == 0:
            print(line, flush=True)
        return most


@contextlib.contextmanager
def statistics(model: nn.Module, share: float, count: bool) -> Iterator[None]:
    """Let batch normalisation move its running statistics by a share of a step within the block.

    Passes whose shares add up to 1 forget as much of the old statistics as one pass does; with 0
    nothing is moved. count: whether a pass counts as a batch.
    """
    kind = nn.modules.batchnorm._BatchNorm
    norms = [m for m in model.modules() if isinstance(m, kind) and m.training]
    before = [(m.momentum, m.num_batches_tracked) for m in norms]
    for m in norms:
        if m.momentum is not None:
            m.momentum = 1 - (1 - m.momentum) ** share
        elif not count:  # it averages all batches that are counted
            m.momentum = 0.0
        if not count and m.num_batches_tracked is not None:
            m.num_batches_tracked = m.num_batches_tracked.clone()  # counted in vain
    try:
        yield
    finally:
        for m, (momentum, tracked) in zip(norms, before, strict=True):
            m.momentum, m.num_batches_tracked = momentum, tracked


# ------------------------------------------------------------------------------------- the figures


def plan(model: MultiSpace, x: torch.Tensor, free: float) -> Plan:
    """Return the plan for views x [N, …], N ≥ 4, with `free` bytes of memory.

    What a view takes is measured on two and on four of them. Raises ValueError as `Plan` does.
    """
    two, four = (saved(model, x[:n]) for n in (2, 4))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    embeddings = 4 * model.spaces.dim * len(x) * dist.world_size()
    fixed = WEIGHTS * weights + EMBEDDINGS * embeddings
    return Plan(len(x), (four - two) / 2, fixed, free)


def saved(model: nn.Module, x: torch.Tensor) -> int:
    """Return the bytes that the network saves in x [N, …]'s forward pass for its backward pass.

    Saved weights count too. The network, its statistics and the random state stay as they are. The
    network is not compiled for this.
    """
    found: dict[int, int] = {}

    def pack(t: torch.Tensor) -> torch.Tensor:
        found[t.untyped_storage()._cdata] = t.untyped_storage().nbytes()
        return t

    devices = [x.device] if x.device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        torch.enable_grad(),
        statistics(model, 0, count=False),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
    ):
        _ = model.forward(x.clone())  # what it saves lives as long as its output
    return sum(found.values())


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU, with those that PyTorch keeps for later use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
