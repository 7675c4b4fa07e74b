"""Two gloo ranks: the gathered losses and gradients are those of one process on the whole batch."""
import os
import socket

import pytest
import torch
import torch.multiprocessing as mp

from msr import dist
from msr.objective import FAMILIES, Objective
from msr.spaces import Spaces

SPACES = Spaces.of(("appearance", "spatial"), (5, 4, 3))


def whole():
    return torch.randn(4, 12, 12, generator=torch.Generator().manual_seed(0))


def worker(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    result = {}
    for family in FAMILIES:
        z = whole()[:, 6 * rank: 6 * rank + 6].requires_grad_()
        terms = Objective(family, SPACES)(z)
        terms.loss.backward()
        paired = Objective(family, SPACES, paired=True)(z[:2].detach())
        result[family] = {"paired": dist.mean(paired.loss), "loss": dist.mean(terms.loss), "grad": z.grad / 2, "violation": terms.violation}   # DDP divides by the ranks
    torch.save(result, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(worker, (port, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("family", FAMILIES)
def test_two_ranks_are_one_process(two_ranks, family):
    z = whole().requires_grad_()
    terms = Objective(family, SPACES)(z)
    terms.loss.backward()
    for rank in (0, 1):
        torch.testing.assert_close(two_ranks[rank][family]["loss"], terms.loss.detach(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(two_ranks[rank][family]["paired"], Objective(family, SPACES, paired=True)(z[:2]).loss.detach(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(two_ranks[rank][family]["violation"], terms.violation, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(two_ranks[rank][family]["grad"], z.grad[:, 6 * rank: 6 * rank + 6], atol=1e-5, rtol=1e-5)


def test_one_rank_is_a_no_op():
    x = torch.rand(3, 2, requires_grad=True)
    assert dist.gather(x) is x and dist.world_size() == 1 and dist.rank() == 0 and not dist.mean(x).requires_grad
