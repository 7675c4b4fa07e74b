"""Two gloo ranks: the gathered losses and gradients are those of one process on the whole batch."""

import functools
import os
import socket

import pytest
import torch
import torch.multiprocessing as mp

from msr import dist, models, train
from msr.augment import presets
from msr.data import Batches, trifeature
from msr.losses import FAMILIES
from msr.objective import Objective
from msr.spaces import Spaces
from msr.views import Views

CUTS = {0: Spaces(("content",), (12,)), 2: Spaces.of(("appearance", "spatial"), (5, 4, 3))}  # by M
RUNS = [(family, M) for family in FAMILIES for M in CUTS]


def embeddings():
    """z [V, B, D] of the whole batch; each rank holds six images of it."""
    return torch.randn(4, 12, 12, generator=torch.Generator().manual_seed(0))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def worker(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    result = {}
    for family, M in RUNS:
        z = embeddings()[: M + 2, 6 * rank : 6 * rank + 6].requires_grad_()
        terms = Objective(family, CUTS[M])(z)
        terms.loss.backward()
        paired = Objective(family, CUTS[M], paired=True)(z[:2].detach())
        result[f"{family}{M}"] = {
            "paired": dist.mean(paired.loss),
            "loss": dist.mean(terms.loss),
            "grad": z.grad / 2,  # DistributedDataParallel divides by the ranks
            "violation": terms.violation,
        }
    torch.save(result, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(worker, (free_port(), str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("family, M", RUNS)
def test_two_ranks_are_one_process(two_ranks, family, M):
    close = functools.partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)
    z = embeddings()[: M + 2].requires_grad_()
    terms = Objective(family, CUTS[M])(z)
    terms.loss.backward()
    paired = Objective(family, CUTS[M], paired=True)(z[:2])
    for rank in (0, 1):
        found = two_ranks[rank][f"{family}{M}"]
        close(found["loss"], terms.loss.detach())
        close(found["paired"], paired.loss.detach())
        close(found["violation"], terms.violation)
        close(found["grad"], z.grad[:, 6 * rank : 6 * rank + 6])


# ---------------------------------------------------------------------------- a whole training run

STEPS = 20
SETTINGS = train.Training(
    epochs=STEPS // 4,
    batch_size=24,
    optimizer="sgd",
    lr=0.02,
    warmup_epochs=1,
    log_every=1,
    adaptive=True,
    dual_warmup_epochs=0,
    precision="float32",
)


def train_run(family, M, folder=None, precision=torch.float64):
    """Train a convolutional network with batch normalisation on this rank's part of the data.

    Returns its log, λ, first gradients and weights. In float64: in float32 twenty steps amplify the
    rounding of sums taken in another order to about 1e-4.
    """
    groups = ("appearance", "spatial")[:M]
    spaces = Spaces.of(groups, (6, 3, 3)[: M + 1])
    torch.manual_seed(0)
    model = models.MultiSpace(*models.backbone("cnn", 16, width=4), spaces, (16,)).to(precision)
    objective = Objective(family, spaces).to(precision)
    drawn = Views(*presets.pipelines("medium", 16), groups)
    batches = Batches(trifeature.load(96, 20, 16)[0], 24, device="cpu")
    first = []

    class Watched(type(objective)):
        def forward(self, z):
            if not first:
                first.append(z)
                z.retain_grad()
            return super().forward(z)

    def views(images, generator):
        return drawn(images, generator).to(precision)

    objective.__class__ = Watched
    log = train.fit(model, objective, views, batches, SETTINGS, folder, progress=False)
    return {
        "loss": [line["loss"] for line in log],
        "violation": [[line[f"violation/{name}"] for name in spaces.names] for line in log],
        "lambdas": objective.lambdas,
        "grad": first[0].grad,
        "weights": dict(model.state_dict()),
    }


def train_worker(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    dist.start()
    runs = {f"{family}{M}": train_run(family, M, f"{folder}/{family}{M}") for family, M in RUNS}
    torch.save(runs, f"{folder}/{rank}.pt")
    dist.stop()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    mp.spawn(train_worker, (free_port(), str(folder)), nprocs=2)
    return folder, [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("family, M", RUNS)
def test_twenty_steps_on_two_ranks_are_those_of_one_process(trained, family, M):
    close = functools.partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)
    alone, (folder, ranks) = train_run(family, M), trained
    for rank, run in enumerate(runs[f"{family}{M}"] for runs in ranks):
        close(torch.tensor(run["loss"]), torch.tensor(alone["loss"]))
        close(torch.tensor(run["violation"]), torch.tensor(alone["violation"]))
        close(run["lambdas"], alone["lambdas"])
        close(run["grad"] / 2, alone["grad"][:, 12 * rank : 12 * rank + 12])
        for name, value in alone["weights"].items():
            close(run["weights"][name], value)
    assert len(alone["loss"]) == STEPS and alone["loss"][-1] != alone["loss"][0]
    assert len(list((folder / f"{family}{M}").glob("events.*"))) == 1, "rank 0 alone writes"


# ---------------------------------------------------------------------------------------- one rank


def test_one_rank_is_a_no_op():
    x, model = torch.rand(3, 2, requires_grad=True), torch.nn.BatchNorm1d(2)
    assert dist.world_size() == 1 and dist.rank() == 0
    assert dist.gather(x) is x and not dist.mean(x).requires_grad
    assert dist.parallel(model, x.device) is model
    assert dist.sync_batchnorm(model, x.device) is model
    assert type(model) is torch.nn.BatchNorm1d
    assert dist.everyone(3) == [3] and dist.own(4) == slice(0, 4)


@pytest.mark.parametrize("shape", [(8, 3), (4, 3, 5, 5)])
def test_our_batch_normalisation_is_pytorchs_on_one_rank(shape):
    kind = torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d
    ours, theirs = kind(3), kind(3)
    ours.__class__ = dist.SyncBatchNorm
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3 + 1
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    for net, inputs in ((ours, a), (theirs, b)):
        net(inputs).square().sum().backward()
        (net(inputs)[0] * 3).exp().sum().backward()
    torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
