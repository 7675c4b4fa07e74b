"""Two gloo ranks: the gathered losses and gradients are those of one process on the whole batch."""

import functools
import os
import signal
import socket

import pytest
import tiny
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


# (images of the whole batch, paired): 7 a rank is no multiple of M + 1 = 3, and 2 lack a key
CASES = [(12, False), (14, False), (12, True), (14, True), (4, True)]


def embeddings(n):
    """z [V, n, D] of the whole batch; each rank holds half of its images."""
    return torch.randn(4, n, 12, generator=torch.Generator().manual_seed(0))


def terms_of(family, M, z, paired):
    """The terms of z [V, B, D] and its gradient, of this rank."""
    z = z[: 2 if paired else M + 2].clone().requires_grad_()
    terms = Objective(family, CUTS[M], paired=paired)(z)
    terms.loss.backward()
    return terms, z.grad


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
        for n, paired in CASES:
            z = embeddings(n)[:, rank * n // 2 : (rank + 1) * n // 2]
            terms, grad = terms_of(family, M, z, paired)
            result[f"{family}{M} {n} {paired}"] = {
                "loss": dist.mean(terms.loss),
                "align": dist.mean(terms.align),
                "grad": grad / 2,  # DistributedDataParallel divides by the ranks
                "violation": terms.violation,
            }
    views = Views(*presets.pipelines("medium", 16), ("appearance", "spatial"), paired=True)
    pixels = torch.rand(14, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    result["views"] = views(pixels[7 * rank : 7 * rank + 7], torch.Generator().manual_seed(2))
    torch.save(result, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(worker, (free_port(), str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("n, paired", CASES)
@pytest.mark.parametrize("family, M", RUNS)
def test_two_ranks_are_one_process(two_ranks, family, M, n, paired):
    close = functools.partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)
    terms, grad = terms_of(family, M, embeddings(n), paired)
    for rank in (0, 1):
        found = two_ranks[rank][f"{family}{M} {n} {paired}"]
        close(found["loss"], terms.loss.detach())
        close(found["align"], terms.align)
        close(found["violation"], terms.violation)
        close(found["grad"], grad[:, rank * n // 2 : (rank + 1) * n // 2])


def test_an_image_gets_the_same_views_on_any_number_of_ranks(two_ranks):
    views = Views(*presets.pipelines("medium", 16), ("appearance", "spatial"), paired=True)
    pixels = torch.rand(14, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    alone = views(pixels, torch.Generator().manual_seed(2))
    assert torch.equal(torch.cat([rank["views"] for rank in two_ranks], dim=1), alone)


# ---------------------------------------------------------------------------- a whole training run

WHOLE_RUNS = [(*run, False) for run in RUNS] + [("simclr", 2, True), ("barlow", 2, True)]
STEPS = 20
SETTINGS = train.Training(
    epochs=STEPS // 4,
    batch_size=20,  # 10 a rank, no multiple of M + 1
    optimizer="sgd",
    lr=0.02,
    warmup_epochs=1,
    log_every=1,
    adaptive=True,
    dual_warmup_epochs=0,
    precision="float32",
)


def train_run(family, M, paired=False, folder=None, precision=torch.float64):
    """Train a convolutional network with batch normalisation on this rank's part of the data.

    Returns its log, λ, first gradients and weights. In float64: in float32 twenty steps amplify the
    rounding of sums taken in another order to about 1e-4.
    """
    groups = ("appearance", "spatial")[:M]
    spaces = Spaces.of(groups, (6, 3, 3)[: M + 1])
    torch.manual_seed(0)
    model = models.MultiSpace(*models.backbone("cnn", 16, width=4), spaces, (16,)).to(precision)
    objective = Objective(family, spaces, paired=paired).to(precision)
    drawn = Views(*presets.pipelines("medium", 16), groups, paired)
    batches = Batches(trifeature.load(96, 20, 16)[0], 20, device="cpu")
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


def stopped(folder, rank):
    """Train for 9 steps; rank 1 gets a SIGTERM before step 5, far from any line of the log.

    rank: of this process; None: nobody gets a SIGTERM. Returns the message of the error, if it is
    stopped, and the weights.
    """
    model, objective, views, batches, settings = tiny.make(tiny.images(), log_every=1000)

    class Signalled(type(batches)):
        def epoch(self, epoch, start=0):
            for i, batch in enumerate(super().epoch(epoch, start)):
                if (rank, epoch, i) == (1, 1, 1):
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

    batches.__class__, said = Signalled, ""
    try:
        train.fit(model, objective, views, batches, settings, folder, progress=False)
    except train.Stopped as error:
        said = str(error)
    return said, tiny.flat(model)


def train_worker(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    dist.start()
    runs = {f"{run}": train_run(*run, f"{folder}/{run}") for run in WHOLE_RUNS}
    runs["stopped"] = [stopped(f"{folder}/stopped", rank if stop else None) for stop in (1, 0)]
    runs["undisturbed"] = stopped(None, None)
    torch.save(runs, f"{folder}/{rank}.pt")
    dist.stop()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    mp.spawn(train_worker, (free_port(), str(folder)), nprocs=2)
    return folder, [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("family, M, paired", WHOLE_RUNS)
def test_twenty_steps_on_two_ranks_are_those_of_one_process(trained, family, M, paired):
    close = functools.partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)
    alone, (folder, ranks), name = train_run(family, M, paired), trained, f"{(family, M, paired)}"
    for rank, run in enumerate(runs[name] for runs in ranks):
        close(torch.tensor(run["loss"]), torch.tensor(alone["loss"]))
        close(torch.tensor(run["violation"]), torch.tensor(alone["violation"]))
        close(run["lambdas"], alone["lambdas"])
        close(run["grad"] / 2, alone["grad"][:, 10 * rank : 10 * rank + 10])
        for key, value in alone["weights"].items():
            close(run["weights"][key], value)
    assert len(alone["loss"]) == STEPS and alone["loss"][-1] != alone["loss"][0]
    assert len(list((folder / name).glob("events.*"))) == 1, "rank 0 alone writes"


def test_ranks_stop_at_the_same_step_soon_after_one_is_told_to(trained):
    """Rank 1 is told during step 5; both hear of it a step later, and end as if undisturbed."""
    for runs in trained[1]:
        (said, before), (resumed, after) = runs["stopped"]
        assert said.startswith("SIGTERM: stopped after step 6 of 9"), said
        assert not resumed and not torch.equal(before, after)
        assert torch.equal(after, runs["undisturbed"][1])


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
