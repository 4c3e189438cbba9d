"""PyTorch: a model as people write it, and DeepCTR-Torch's. Needs `pip install torch deepctr-torch requests`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from throughput_contenders import work as works
from throughput_contenders.work import Turn, Work, rows


class Network(torch.nn.Module):  # type: ignore[misc]
    """One table for all features with sparse gradients, linear layers with ReLU."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.table = torch.nn.EmbeddingBag(sum(work.rows), work.dim, mode="sum", sparse=True)
        self.starts = torch.tensor(np.cumsum([0, *work.rows[:-1]]))
        widths = [work.inputs, *work.units]
        hidden = [(torch.nn.Linear(n, units), torch.nn.ReLU()) for n, units in itertools.pairwise(widths)]
        self.tower = torch.nn.Sequential(*itertools.chain(*hidden), torch.nn.Linear(widths[-1], 1))

    def forward(self, ids: Any, numeric: Any) -> Any:
        found = self.table((ids + self.starts).reshape(-1, 1)).reshape(len(ids), -1)
        return self.tower(torch.cat([found, numeric], dim=1))[:, 0]


def plain(work: Work) -> Turn:
    found, model = rows(work), Network(work)
    columns = (np.moveaxis(found.ids, 0, -1).copy(), found.numeric, found.label)
    batches = itertools.cycle(zip(*map(torch.from_numpy, columns), strict=True))
    start = works.INITIAL_ACCUMULATOR
    optimizers = [
        torch.optim.Adagrad(model.table.parameters(), works.EMBEDDING_RATE, initial_accumulator_value=start),
        torch.optim.Adagrad(model.tower.parameters(), works.DENSE_RATE, initial_accumulator_value=start),
    ]

    def turn(steps: int) -> int:
        for ids, numeric, label in itertools.islice(batches, steps):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(ids, numeric), label)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
        return steps * work.batch_size

    return turn


def deepctr(work: Work) -> Turn:
    """`deepctr_torch.models.WDL`, its deep part alone, by its own `fit`."""
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import WDL

    columns = [SparseFeat(name, size, work.dim) for name, size in zip(work.names, work.rows, strict=True)]
    columns += [DenseFeat("numeric", work.numeric)] if work.numeric else []
    model = WDL([], columns, dnn_hidden_units=work.units, l2_reg_linear=0, l2_reg_embedding=0)
    model.compile("adagrad", "binary_crossentropy")
    found = rows(work)
    inputs = {name: ids.reshape(-1) for name, ids in zip(work.names, found.ids, strict=True)}
    inputs |= {"numeric": found.numeric.reshape(-1, work.numeric)} if work.numeric else {}

    def turn(steps: int) -> int:
        size = work.batch_size
        repeats = -(-steps // work.batches)
        x = {name: np.concatenate([column] * repeats)[: steps * size] for name, column in inputs.items()}
        label = np.concatenate([found.label.reshape(-1)] * repeats)[: steps * size]
        model.fit(x, label, batch_size=size, epochs=1, verbose=0)
        return steps * size

    return turn
