"""Views in pieces: the gradients of the whole batch; and the plan agrees with what is measured."""

import contextlib
import functools
import os

import pytest
import tiny
import torch
import torch.multiprocessing as mp
from test_dist import free_port
from torch._subclasses.fake_tensor import FakeTensorMode

from footprint import peak
from msr import dist, models, train
from msr.losses import FAMILIES
from msr.objective import Objective
from msr.train import memory

SPACES, B = tiny.SPACES, 10
close = functools.partial(torch.testing.assert_close, atol=1e-10, rtol=1e-10)


def views(V=4):
    """x [V * B, 3, 8, 8]."""
    return torch.rand(V * B, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()


def network(kind="mlp"):
    """A network in float64: `mlp` without batch normalisation, `cnn` with it and with dropout."""
    torch.manual_seed(0)
    if kind == "mlp":
        return models.MultiSpace(models.mlp(3 * 64, [16]), 16, SPACES, ()).double()
    net, features = models.cnn(3, width=2)
    net = torch.nn.Sequential(net, torch.nn.Dropout(0.5))
    return models.MultiSpace(net, features, SPACES, (8,)).double()


def gradients(net, model, family="simclr", x=None, V=4):
    """The gradients of all weights, one after the other, and λ's violation."""
    x = views(V) if x is None else x
    objective = Objective(family, SPACES).double()
    terms = objective(net(x)[1].view(V, len(x) // V, -1))
    terms.loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()]), terms.violation


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("micro_batch", [20, 7, 2])
def test_gradients_in_pieces_are_those_of_the_whole_batch(family, micro_batch):
    whole, pieces = network(), network()
    net = memory.InPieces(pieces, micro_batch)
    for a, b in zip(gradients(whole, whole, family), gradients(net, pieces, family), strict=True):
        close(a, b)
    assert net.pieces == -(-4 * B // micro_batch)


def test_frozen_statistics_make_pieces_exact():
    whole, pieces = network("cnn").eval(), network("cnn").eval()
    net = memory.InPieces(pieces, 7)
    close(gradients(whole, whole)[0], gradients(net, pieces)[0])


def test_statistics_of_a_piece_and_chance_are_the_same_in_both_passes():
    plain, pieces, P = network("cnn"), network("cnn"), 5
    momentum = 1 - 0.9 ** (1 / P)
    for module in plain.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = momentum

    def one_after_the_other(x):
        h, z = (torch.cat(part) for part in zip(*(plain(x[i::P]) for i in range(P))))
        order = torch.cat([torch.arange(len(x))[i::P] for i in range(P)]).argsort()
        return h[order], z[order]

    torch.manual_seed(1)
    wanted = gradients(one_after_the_other, plain)[0]
    torch.manual_seed(1)
    close(gradients(memory.InPieces(pieces, 8), pieces)[0], wanted)
    # running statistics have moved once, and one batch was counted
    for name, value in plain.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert pieces.state_dict()[name] == 1 and value == P
        else:
            close(pieces.state_dict()[name], value)
    assert all(getattr(m, "momentum", 0.1) == 0.1 for m in pieces.modules())


def test_batch_normalisation_over_gpus():
    """Its layer insists on counting batches; on one process it computes as the plain one."""
    plain, over_gpus = network("cnn"), network("cnn")
    torch.nn.SyncBatchNorm.convert_sync_batchnorm(over_gpus)
    before = tiny.flat(over_gpus)
    memory.saved(over_gpus, views())
    assert torch.equal(tiny.flat(over_gpus), before), "to measure counts nothing"
    found = []
    for net in (plain, over_gpus):
        torch.manual_seed(1)
        found.append(gradients(memory.InPieces(net, 8), net)[0])
    close(*found)
    close(tiny.flat(plain), tiny.flat(over_gpus))


@pytest.mark.parametrize("n", [4, 5, 7])
def test_no_piece_is_a_single_view(n):
    """Batch normalisation needs two values at least."""
    for free in range(1, 3 * n):
        with contextlib.suppress(ValueError):
            plan = memory.Plan(n, per_view=1.0, fixed=0.0, free=free)
            assert n // plan.pieces >= 2, plan


def test_a_run_in_pieces_says_so_and_goes_on_bit_for_bit(tmp_path, capsys):
    data, weights = tiny.images(), []
    for folder in (tmp_path / "once", tmp_path / "twice"):
        parts = tiny.make(data, micro_batch=50, precision="float32")
        log = train.fit(*parts, out_dir=folder, progress=False)
        weights.append(tiny.flat(parts[0]))
    assert torch.equal(*weights) and {line["pieces"] for line in log} == {3}
    assert "memory: 128 views in 3 pieces of 43 (for a third more time" in capsys.readouterr().out
    plain = tiny.make(data, precision="float32")
    assert "pieces" not in train.fit(*plain, progress=False)[0]
    assert not torch.equal(tiny.flat(plain[0]), weights[0])
    assert capsys.readouterr().out == ""


def test_a_run_may_be_resumed_in_other_pieces(tmp_path):
    data = tiny.images()
    for epochs, micro_batch in ((1, 0), (3, 64), (3, 32)):
        settings = dict(micro_batch=micro_batch, log_every=3)
        parts = tiny.make(data, **settings)
        total = len(parts[3]) * epochs

        class Until(type(parts[3])):
            def epoch(self, epoch, start=0, last=total):
                if epoch * 3 >= last:
                    raise InterruptedError
                return super().epoch(epoch, start)

        parts[3].__class__ = Until
        with contextlib.suppress(InterruptedError):
            train.fit(*parts, out_dir=tmp_path, progress=False)
    log = train.lines_of(tmp_path, 9)
    assert [line.get("pieces", 1) for line in log] == [1, 2, 2]


def test_a_compiled_network_in_pieces():
    whole, pieces = network(), network()
    pieces.compile(backend="eager")
    close(gradients(whole, whole)[0], gradients(memory.InPieces(pieces, 7), pieces)[0])


# --------------------------------------------------------------------------------------- two ranks


def worker(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    dist.start()
    found = {}
    for family in FAMILIES:
        model = network()
        net = dist.parallel(memory.InPieces(model, 7), torch.device("cpu"))
        x = views().view(4, B, 3, 8, 8)[:, dist.own(B // 2)].flatten(0, 1)
        found[family] = gradients(net, model, family, x)[0]
    parts = tiny.make(tiny.images(), micro_batch=30, precision="float32")
    found["log"] = train.fit(*parts, progress=False)[-1]["pieces"]
    found["weights"] = tiny.flat(parts[0])
    torch.save(found, f"{folder}/{rank}.pt")
    dist.stop()


def test_two_ranks_in_pieces_are_one_process(tmp_path):
    mp.spawn(worker, (free_port(), str(tmp_path)), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for family in FAMILIES:
        whole = network()
        wanted = gradients(whole, whole, family)[0]
        for found in ranks:
            close(found[family], wanted)
    assert ranks[0]["log"] == 3 and torch.equal(ranks[0]["weights"], ranks[1]["weights"])


# ---------------------------------------------------------------------------------------- the plan

SIZES = {"cnn": (48, 64), "resnet18": (32, 16), "resnet50": (24, 8)}  # side, views


@pytest.mark.parametrize("name", SIZES)
def test_the_plan_is_what_is_measured(name):
    side, n = SIZES[name]
    torch.manual_seed(0)
    model = models.MultiSpace(*models.backbone(name, side), SPACES, (64,))
    model.to(memory_format=torch.channels_last)
    before = tiny.flat(model)
    x = torch.rand(n, 3, side, side).contiguous(memory_format=torch.channels_last)
    plan = memory.plan(model, x, free=1e12)
    measured = memory.saved(model, x) - memory.saved(model, x[:2])
    assert plan.per_view == pytest.approx(measured / (n - 2), rel=0.1) and plan.pieces == 1
    assert torch.equal(tiny.flat(model), before), "statistics moved"

    whole = peak(memory.InPieces(model), x)
    assert plan.per_view * n < whole < plan.need
    with FakeTensorMode():  # as the page "At scale" is made
        model = models.MultiSpace(*models.backbone(name, side), SPACES, (64,))
        x = torch.rand(n, 3, side, side).contiguous(memory_format=torch.channels_last)
        assert memory.plan(model, x, free=1e12) == plan
        assert peak(memory.InPieces(model), x) == pytest.approx(whole, rel=0.03)


def test_a_step_in_pieces_needs_the_memory_of_one_piece():
    x, model = torch.rand(256, 3, 48, 48), models.MultiSpace(*models.cnn(), SPACES, (64,))
    whole = memory.plan(model, x, free=1e12)
    tight = memory.plan(model, x, free=(whole.fixed + (whole.need - whole.fixed) / 3) / 0.9)
    assert tight.pieces in (3, 4)
    assert peak(memory.InPieces(model, 256 // tight.pieces), x) < tight.need < whole.need / 2


def test_the_papers_batch_on_small_and_large_gpus():
    plan = functools.partial(memory.Plan, per_view=44e6, fixed=2e9)
    one, eight = plan(2048, free=23e9), plan(256, free=79e9)
    assert one.pieces == 6 and one.need < 23e9 and eight.pieces == 1
    assert plan(256, free=23e9).pieces == 1 and plan(2048, free=79e9).pieces == 2
    assert str(eight) == "memory: 256 views of 44.0 MB need 15.0 GB of the 79.0 GB that are free"
    assert str(one).startswith(
        "memory: 2,048 views of 44.0 MB need 105.6 GB, 23.0 GB are free: 6 pieces of 342 (for a"
    )
    with pytest.raises(
        ValueError, match="needs 2.0 GB, and 50.6 MB for each view, but 2.1 GB"
    ) as e:
        plan(2048, free=2.1e9)
    assert "\n" not in str(e.value)
