"""Searched networks: the search against slow loops and hand counts, what is made of a genotype, and its file."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from augwise.errors import UserError
from augwise.models import CellNetwork, Genotype, Supernet, build, cell_shape, counted, find_head, genotype
from augwise.models.cell_operations import FactorizedReduce
from augwise.models.genotype import EDGES, OPERATIONS, PUBLISHED
from augwise.models.supernet import Mixture, derived, shuffled
from augwise.schedule import progress
from reference.search_cells import cell_output, share_weights

EVERY = Genotype(
    normal=(
        (("sep_conv_3x3", 1), ("max_pool_3x3", 0)),
        (("dil_conv_5x5", 2), ("skip_connect", 0)),
        (("avg_pool_3x3", 3), ("sep_conv_5x5", 1)),
        (("dil_conv_3x3", 4), ("sep_conv_3x3", 2)),
    ),
    reduction=(
        (("skip_connect", 0), ("dil_conv_5x5", 1)),
        (("sep_conv_5x5", 1), ("avg_pool_3x3", 2)),
        (("max_pool_3x3", 0), ("skip_connect", 3)),
        (("dil_conv_3x3", 0), ("sep_conv_3x3", 4)),
    ),
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


def supernet(**options):
    return Supernet(5, **{"channels": 8, "layers": 3, **options}).double()


def one_hot(cell):
    """A mixture in which the genotype's edges are their operation alone, all others none, and every edge counts 1."""
    operations = torch.zeros(len(EDGES), len(OPERATIONS), dtype=torch.float64)
    for edge, (node, state) in enumerate(EDGES):
        name = next((o for o, s in cell[node] if s == state), "none")
        operations[edge, OPERATIONS.index(name)] = 1
    return Mixture(operations, torch.ones(len(EDGES), dtype=torch.float64))


# The search


@pytest.mark.parametrize(("partial", "height", "channels_last"), [(1, 8, True), (4, 8, False), (4, 9, True)])
def test_a_cell_is_what_its_edges_give_one_after_the_other(partial, height, channels_last):
    network = supernet(partial=partial)
    for place, halve in ((0, False), (1, True)):
        cell = network.cells[place]
        assert cell.halve is halve
        before, last = torch.randn(2, 3, 24, height, 12, dtype=torch.float64)
        if place:
            last = torch.randn(3, 32, height, 12, dtype=torch.float64)
        if channels_last:
            before, last = (x.contiguous(memory_format=torch.channels_last) for x in (before, last))
        alpha = torch.randn(14, 8, dtype=torch.float64).softmax(1)
        beta = torch.rand(14, dtype=torch.float64)
        found = cell(before, last, Mixture(alpha, beta))
        torch.testing.assert_close(found, cell_output(cell, before, last, alpha, beta))


@pytest.mark.parametrize("side", [16, 18])  # 18 halves to 9, and 9 to 5
def test_with_one_operation_an_edge_the_supernet_is_the_network_made_of_it(side):
    """On shared weights, with all channels mixed (K = 1) and edges that count 1; pooled edges of the network with the
    batch-norm that the supernet has behind them. Both in training mode: with a batch's own statistics."""
    network = supernet(partial=1, layers=5)
    made = CellNetwork(EVERY, 5, channels=8, layers=5).double().train()
    share_weights(network, made)
    images = torch.randn(4, 3, side, side, dtype=torch.float64)
    mixed = network.mixed(images, one_hot(EVERY.normal), one_hot(EVERY.reduction))
    torch.testing.assert_close(mixed, made(images))


def test_the_shuffle_in_both_layouts():
    whole = torch.arange(2 * 12 * 3 * 5).reshape(2, 12, 3, 5).float()
    for x in (whole, whole.contiguous(memory_format=torch.channels_last)):
        found = shuffled(x[:, :4], x[:, 4:], 3)
        assert found[1, :, 2, 3].tolist() == [x[1, g * 4 + i, 2, 3] for i in range(4) for g in range(3)]
        assert found.is_contiguous(memory_format=torch.channels_last) == (x is not whole)


def test_edge_normalisation_by_hand():
    network = supernet()
    with torch.no_grad():
        network.beta_normal.zero_()
        network.beta_normal[:2] = torch.tensor([0.0, torch.tensor(3.0).log()])  # into node 0
        network.beta_normal[9:] = torch.tensor([0.0, 0.0, torch.tensor(4.0).log(), 0.0, 0.0])  # into node 3
    expected = [1 / 4, 3 / 4, *[1 / 3] * 3, *[1 / 4] * 4, 1 / 8, 1 / 8, 1 / 2, 1 / 8, 1 / 8]
    assert network.mixture("normal").edges.tolist() == pytest.approx(expected)
    assert supernet(edge_normalisation=False).mixture("normal").edges.tolist() == [1] * 14
    assert len(supernet(edge_normalisation=False).architecture()) == 2


def test_the_derived_cell_takes_the_two_edges_that_count_most():
    operations = torch.full((14, 8), 0.1)
    operations[:, 0] = 0.9  # none is never chosen, however strong
    edges = torch.ones(14)
    operations[EDGES.index((3, 1)), 5] = 0.3
    operations[EDGES.index((3, 4)), 2] = 0.2
    operations[EDGES.index((3, 0)), 7] = 0.5
    edges[EDGES.index((3, 0))] = 0.3  # 0.15 of it counts
    cell = derived(Mixture(operations, edges))
    assert cell[3] == (("sep_conv_5x5", 1), ("avg_pool_3x3", 4))
    assert cell[0] == (("max_pool_3x3", 0), ("max_pool_3x3", 1))  # a tie: the first


def test_the_supernet_s_seed_is_its_architecture_s():
    a, b, c = supernet(seed=1), supernet(seed=1), supernet(seed=2)
    assert torch.equal(a.alpha_reduction, b.alpha_reduction)
    assert not torch.equal(a.alpha_normal, c.alpha_normal)
    for channels, layers, partial in ((12, 3, 4), (8, 2, 4), (8, 3, 0)):
        with pytest.raises(UserError, match="cannot be built"):
            Supernet(5, channels=channels, layers=layers, partial=partial)


# Networks made of a genotype


def test_sizes_that_pc_darts_prints():
    """Xu et al. 2020, Table 1 (3.6 million) and Table 2 (5.3 million; 597 and 586 million operations, which are
    reached with those of normalisation, activation and pooling)."""
    small = counted(build("darts:pc_darts_cifar10", 10), (3, 32, 32))
    assert small.parameters == pytest.approx(3.63e6, abs=0.005e6)
    for name, printed in (("pc_darts_imagenet", 597), ("pc_darts_cifar10", 586)):
        large = counted(build(f"darts_imagenet:{name}", 1000), (3, 224, 224))
        assert large.parameters == pytest.approx(5.3e6, abs=0.05e6)
        assert large.multiply_adds < (printed - 14) * 1e6
        assert large.all_operations == pytest.approx(printed * 1e6, abs=0.5e6)


def test_multiply_adds_by_hand():
    network = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, groups=2),  # 6 · 8 · 10 places, each 9 · 2
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 5, stride=2, padding=4, dilation=2, groups=6, bias=False),  # 6 · 4 · 5 places, each 25
        nn.Flatten(),
        nn.Linear(120, 7),
    ).train()
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = counted(network, (4, 8, 10))
    assert found.multiply_adds == 6 * 80 * 18 + 6 * 20 * 25 + 120 * 7
    assert found.elementwise == 6 * 80 * 3
    assert found.parameters == (6 * 2 * 9 + 6) + 12 + 6 * 25 + (120 * 7 + 7)
    assert network.training
    assert not network[1].training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_attention_counts_its_products():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

        def forward(self, x):
            x = x.flatten(2).transpose(1, 2)  # 20 places of 6 numbers
            return self.attention(x, x, x, need_weights=False)[0]

    found = counted(Attending(), (6, 4, 5))
    assert found.multiply_adds == 20 * 6 * 18 + 2 * (20 * 20 * 6) + 20 * 6 * 6


def test_what_only_training_uses_is_not_counted():
    network = CellNetwork(EVERY, 5, channels=8, layers=3)
    apart = sum(p.numel() for p in network.auxiliary.parameters())
    assert apart > 0
    assert counted(network, (3, 16, 16)).parameters == sum(p.numel() for p in network.parameters()) - apart


@pytest.mark.parametrize(("large", "side"), [(False, 32), (False, 16), (True, 224)])
def test_the_auxiliary_head_is_asked_in_training_alone(large, side):
    network = CellNetwork(EVERY, 5, channels=4, layers=3, large=large)
    images = torch.rand(2, 3, side, side)
    assert find_head(network) == "head"
    network.eval()
    network.auxiliary_weight = 0.4
    network(images)
    assert network.take_auxiliary() is None
    network.train()
    logits, auxiliary = network(images), network.take_auxiliary()
    assert auxiliary.shape == logits.shape == (2, 5)
    assert network.take_auxiliary() is None
    network.auxiliary_weight = 0
    network(images)
    assert network.take_auxiliary() is None


def test_drop_path_drops_whole_images_and_keeps_the_mean():
    network = CellNetwork(EVERY, 5, channels=8, layers=3)
    network.drop_path = 0.4
    dropping = [m for m in network.modules() if type(m).__name__ == "DrawnPath"]
    identities = sum(isinstance(edge, nn.Identity) for cell in network.cells for edge in cell.edges)
    assert len(dropping) == 3 * 8 - identities
    assert identities > 0
    ones = torch.ones(20_000, 2, 1, 1)
    with progress(0.5):  # half of the training is done: 0.2
        found = dropping[0].train()(ones)
    assert sorted(found.unique().tolist()) == pytest.approx([0, 1.25])
    assert torch.equal(found[:, 0], found[:, 1])
    assert found.mean() == pytest.approx(1, abs=0.02)
    assert torch.equal(dropping[0].eval()(ones), ones)


def test_half_a_map_sees_every_pixel_at_odd_sides_too():
    halve = FactorizedReduce(1, 2).double()
    halve.norm = nn.Identity()
    for layer in (halve.here, halve.moved):
        nn.init.ones_(layer.weight)
    x = torch.arange(1.0, 36.0, dtype=torch.float64).reshape(1, 1, 5, 7)
    found = halve(x)
    assert torch.equal(found[0, 0], x[0, 0, ::2, ::2])
    assert torch.equal(found[0, 1], nn.functional.pad(x[0, 0, 1::2, 1::2], (0, 1, 0, 1)))


# Names and files


def test_names():
    assert cell_shape("resnet18") is None
    assert cell_shape("timm:darts") is None
    assert cell_shape("darts:a/b:c.json") == ("a/b:c.json", 36, 20, False)
    assert cell_shape("darts_imagenet:pc_darts_imagenet") == ("pc_darts_imagenet", 48, 14, True)
    assert cell_shape("darts_c16_l8:x.json") == ("x.json", 16, 8, False)
    assert cell_shape("darts_imagenet_l5:x.json") == ("x.json", 48, 5, True)
    for wrong in ("darts_16:x.json", "darts_l8_c16:x.json", "darts_c0:x.json", "darts:"):
        with pytest.raises(UserError, match="write darts:GENOTYPE"):
            cell_shape(wrong)
    with pytest.raises(UserError, match="did you mean pc_darts_cifar10"):
        build("darts:pc_darts_cifar", 10)
    with pytest.raises(UserError, match="no file"):
        build("darts:nowhere.json", 10)
    with pytest.raises(UserError, match="an even number of channels"):
        build("darts_c5:pc_darts_cifar10", 10)
    with pytest.raises(UserError, match="no pretrained weights"):
        build("darts:pc_darts_cifar10", 10, pretrained=True)


def test_a_genotype_goes_through_its_file(tmp_path):
    path = EVERY.save(tmp_path / "deep" / "genotype.json")
    assert Genotype.load(path) == EVERY == genotype(str(path))
    assert Genotype.load(path).save(tmp_path / "again.json").read_bytes() == path.read_bytes()
    for published in PUBLISHED.values():
        assert Genotype.load(published.save(path)) == published


def _changed(content, key, value):
    *inside, last = key
    for part in inside:
        content = content[part]
    content[last] = value


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (("search_space",), {"name": "nas-bench-201", "version": 1}, "of search space nas-bench-201 1.*knows darts 1"),
        (("search_space", "version"), 2, "of search space darts 2"),
        (("format",), 9, "format 9"),
        (("normal", 0, 0, 0), "conv_7x1_1x7", "node 0 of its normal cell has the operation 'conv_7x1_1x7': use one of"),
        (("normal", 0, 0, 0), "none", "the operation 'none'"),
        (("reduction", 1, 0, 1), 3, "node 1 of its reduction cell takes state 3: there are 0 to 2"),
        (("reduction", 1, 0, 1), True, "takes state True"),
        (("reduction", 2, 1, 1), 0, "takes state 0 twice"),
        (("normal",), [], "normal cell has not 4 nodes"),
        (("normal", 3), [["sep_conv_3x3", 0]], "node 3 of its normal cell has not two edges"),
    ],
)
def test_a_genotype_of_another_space_or_damaged_is_refused(tmp_path, key, value, told):
    content = json.loads(EVERY.save(tmp_path / "g.json").read_text())
    _changed(content, key, value)
    (tmp_path / "g.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=told):
        Genotype.load(tmp_path / "g.json")


def test_no_genotype_at_all(tmp_path):
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "results.json").write_text('{"kind": "train"}')
    for name, told in (("text.json", "cannot be read as JSON"), ("results.json", "holds no genotype"), ("", "no file")):
        with pytest.raises(UserError, match=told):
            Genotype.load(tmp_path / name)
