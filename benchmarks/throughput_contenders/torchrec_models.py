"""TorchRec on a processor. Needs `pip install torchrec fbgemm-gpu-cpu`, in versions that fit PyTorch's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torchrec import EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.modules.fused_embedding_modules import FusedEmbeddingBagCollection
from torchrec.modules.mlp import MLP

from throughput_contenders import work as works
from throughput_contenders.work import Turn, Work, rows


class Network(torch.nn.Module):  # type: ignore[misc]
    """A fused collection of tables, whose backward pass updates the touched rows, TorchRec's MLP, one logit."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        tables = [
            EmbeddingBagConfig(name=name, num_embeddings=count, embedding_dim=work.dim, feature_names=[name])
            for name, count in zip(work.names, work.rows, strict=True)
        ]
        self.tables = FusedEmbeddingBagCollection(
            tables, torch.optim.Adagrad, {"lr": works.EMBEDDING_RATE}, device=torch.device("cpu")
        )
        self.tower = torch.nn.Sequential(MLP(work.inputs, list(work.units)), torch.nn.Linear(work.units[-1], 1))

    def forward(self, ids: Any, numeric: Any) -> Any:
        return self.tower(torch.cat([self.tables(ids).values(), numeric], dim=1))[:, 0]


def fused(work: Work) -> Turn:
    found, model = rows(work), Network(work)
    lengths = torch.ones(len(work.rows) * work.batch_size, dtype=torch.int32)
    ids = [
        KeyedJaggedTensor(work.names, torch.from_numpy(one.reshape(-1)), lengths=lengths)
        for one in np.moveaxis(found.ids, 1, 0).copy()
    ]
    batches = itertools.cycle(zip(ids, torch.from_numpy(found.numeric), torch.from_numpy(found.label), strict=True))
    optimizer = torch.optim.Adagrad(
        model.tower.parameters(), works.DENSE_RATE, initial_accumulator_value=works.INITIAL_ACCUMULATOR
    )

    def turn(steps: int) -> int:
        for each, numeric, label in itertools.islice(batches, steps):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(each, numeric), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return steps * work.batch_size

    return turn
