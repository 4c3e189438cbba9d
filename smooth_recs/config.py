"""The configuration of a run: plain dataclasses, no TensorFlow. A file in `configs/` states only what differs.

```python
from smooth_recs import config

def get_config():
    return config.Config(model=config.Model(activation="smelu", beta=0.1))
```

A Python file of configuration is code: run only files that you trust. YAML, TOML and JSON are data, and run nothing:

```yaml
model: {activation: smelu, beta: 0.1}
```
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from smooth_recs import fields
from smooth_recs.fields import above, at_least, between, zero_or_between
from smooth_recs.schema import Schema

# No `from __future__ import annotations` here: ml_collections reads the types of the fields, and would read texts.

Count = Annotated[int, at_least(0)]
Positive = Annotated[int, at_least(1)]
Amount = Annotated[float, at_least(0)]
AboveZero = Annotated[float, above(0)]
Share = Annotated[float, between(0, 1)]
Rate = Annotated[float, at_least(0, below=1)]
Seed = Annotated[int, between(0, 2**31 - 1)]
Names = Annotated[tuple[str, ...], fields.names_that_differ]
# A number, or two: at the beginning and at the end of the run.
Ramp = Annotated[float | tuple[float, ...], fields.once_or_twice]

# `training.batches` knows the length of the run.
HalfLife = Annotated[float | Literal["auto"], "steps, a share of the run, or auto", fields.at_least_0_or_auto]

# The choices that code outside of this module needs to know; the others stand beside their fields.
FileFormat = Literal["csv", "tfrecord", "parquet"]
Normalization = Literal["weight", "layer", "batch", "none"]
Average = Literal["probability", "logit"]
Initialization = Literal["different", "same"]
Deployed = Literal["average", "first"]
Differ = Literal["order", "init", "both", "nothing"]
EmbeddingPrecision = Literal["float32", "float16"]
Optimizer = Literal["adagrad", "adam", "sgd"]
Strategy = Literal["auto", "one_device", "mirrored", "multi_worker_mirrored", "parameter_server", "tpu"]


MISSING = ("NULL", "null", "NA", "N/A", "None", r"\N", "<NA>", "nan", "NaN")
"""Texts that tools write where there is no value."""


@dataclasses.dataclass
class SyntheticLog:
    """The synthetic click log.

    `data/synthetic.py` has the formula of the click probability.

    Attributes:
      users, items, publishers, campaigns, contexts: how many ids there are of each.
      candidates: items that a request shows, a row each.
      zipf_exponent: of the law by which ids are frequent.
      latent_dim: of the vectors whose products no linear model can learn.
      signal: how much ids matter.
      bias: log-odds of a click without any signal.
      drift: how far an item's log-odds move in the course of 1,000,000 rows.
      missing_rate: share of the prices, and of the requests' publishers, that are missing.
    """

    users: Positive = 20_000
    items: Positive = 5_000
    publishers: Positive = 1_000
    campaigns: Positive = 200
    contexts: Positive = 50
    candidates: Positive = 4
    zipf_exponent: Amount = 1.05
    latent_dim: Positive = 4
    signal: Amount = 1.0
    bias: float = -2.4
    drift: Amount = 0.3
    missing_rate: Rate = 0.05


@dataclasses.dataclass
class Data:
    """Where the examples come from, and in which order they are trained on.

    Attributes:
      source: `synthetic`; a preset: `criteo`, `movielens`, `open_bandit`, `kuairand`, `trivago`; or `csv`, `tfrecord`,
        `parquet` with a `schema`.
      path: a file, a folder or a glob, several separated by commas.
      features: names of the source's features to use; none = all.
      labels: columns of the source that are learnt in place of the schema's label: of several, which make a model of
        several tasks, the first is the main one; none = the schema's.
      schema: the columns of a `csv`, `tfrecord` or `parquet` source; of a preset, others than its own.
      delimiter, header, column_names: of a `csv` source: the field delimiter, whether the first line of each file
        names the columns, and the names where it does not.
      missing: texts that mean, like an empty one, that there is no value, in a column of any kind.
      examples: training rows, 0 = all (synthetic: 1,000,000). Held-out rows come on top.
      eval_examples: held-out rows, 0 = all that `split` leaves (synthetic: 100,000).
      split: which rows are held out: `tail` (the last rows as they lie in the files), `time` (the latest),
        `user_time` (each user's latest), `random`.
      train_fraction: share of the rows to train on; the rest is held out.
      eval_path: files of held-out rows; overrides `split`.
      validation_path: files of validation rows: they choose the best weights (`train.patience`), are not trained on and
        are apart from the held-out rows.
      validation_fraction: share of the training rows that become validation rows instead: the last ones of `tail`, the
        latest of `time`, each user's latest of `user_time`, a random share of `random`.
      follow_seconds: a run over files does not end with them: it trains what comes to lie under `path`, until nothing
        new has come for so long; 0 = ends with the files that are there.
      shuffle_window: rows that are shuffled together; 1 keeps the order of the log.
      seed: of the synthetic log and of a random split.
      max_malformed: share of malformed rows above which the run stops.
    """

    source: Literal["synthetic", "criteo", "movielens", "open_bandit", "kuairand", "trivago", FileFormat] = "synthetic"
    path: str = ""
    features: Names = ()
    labels: Names = ()
    schema: Schema | None = None
    delimiter: Annotated[str, fields.one_character] = ","
    header: bool = True
    column_names: Names = ()
    missing: Annotated[Names, fields.without_spaces_around] = MISSING
    examples: Count = 0
    eval_examples: Count = 0
    split: Literal["tail", "time", "user_time", "random"] = "tail"
    train_fraction: Annotated[float, above(0, below=1)] = 0.8
    eval_path: str = ""
    validation_path: str = ""
    validation_fraction: Rate = 0.0
    follow_seconds: Amount = 0.0
    shuffle_window: Positive = 100_000
    seed: Seed = 1
    max_malformed: Share = 0.01
    synthetic: SyntheticLog = dataclasses.field(default_factory=SyntheticLog)


@dataclasses.dataclass
class Model:
    """The ranking network.

    Attributes:
      activation: a name that `smooth_recs.activations.get` knows, or a dictionary, which makes each hidden layer one of
        its own: `{"class_name": "GSmeLU", "config": {"alpha": 0.1, "beta": 0.1, "learn": "all"}}`.
      beta: its width parameter: a number, or one a hidden layer (wide to narrow, section 5.1); None = its default.
        Beyond 1e-6 and 1e4, but for 0, float32 leaves NaN or a constant of it.
      relative_beta: the width in place of `beta` as a share of the running root mean square of the layer's
        pre-activations, which no scale defeats: a number, or one a hidden layer; None = the width is `beta`.
      hidden_units: widths of the hidden layers of the top stack.
      bottom_units: widths of the stack over the numeric features; none = they reach the interaction as they are.
      interaction: `concat`, `dot` (DLRM), `cross` (DCN-v2), or `deepfm`: `concat` with a factorisation machine beside
        the network; DeepFM has `linear` too.
      normalization: `weight` (rows of W at L2 norm `norm_value`, section 2), `layer`, `batch` or `none`.
      norm_value: v of weight normalisation.
      clip: activated outputs are clipped to [-clip, clip]; 0 = not at all.
      embedding_dim: width of every embedding.
      admission: how often training must see an id before it has an embedding of its own; until then it shares the one
        of its feature's out-of-vocabulary values. 0 = at once.
      embedding_l2: lambda of lambda / 2 ||E||^2, which is added to the mean loss of a batch: the squares of all
        embeddings and of the linear part's weights, whether their ids are in the batch or not, as libraries of CTR
        models count it. Each step then passes over the whole table.
      dropout: rate after every hidden layer.
      l2: L2 penalty on the kernels of the hidden layers.
      linear: adds a linear (wide) part over the features.
      task_weights: of several labels, the weight of each one's loss in what is minimised; none = 1 each.
      precision: `float32`, or `bfloat16` for products of matrices and activations in the stacks; weights, their norms,
        embeddings and logits are in float32 all the same.
      embedding_precision: how embeddings and the linear part's weights are stored: `float32`, or `float16` for half the
        memory of tables; updated rows are rounded stochastically. All that is computed with them, gradients, the
        optimizer's sums and averages (`train.average`) are in float32 all the same.
      compile_dense: whether XLA compiles the row norms, activations and clips of training steps; the last bits of the
        weights differ. `auto` = on processors, where layers and batches are so large that it is faster; `always`;
        `never`.
    """

    activation: Annotated[str | dict[str, Any], "a name or a dictionary", fields.not_empty] = "smelu"
    beta: Annotated[float | tuple[float, ...] | None, zero_or_between(1e-6, 1e4)] = None
    relative_beta: Annotated[float | tuple[float, ...] | None, zero_or_between(1e-6, 1e4)] = None
    hidden_units: Annotated[tuple[int, ...], fields.one_or_more_widths] = (256, 128, 64, 32, 16)
    bottom_units: Annotated[tuple[int, ...], fields.widths] = ()
    interaction: Literal["concat", "dot", "cross", "deepfm"] = "concat"
    normalization: Normalization = "weight"
    norm_value: AboveZero = 1.0
    clip: Amount = 6.0
    embedding_dim: Positive = 16
    admission: Count = 0
    embedding_l2: Amount = 0.0
    dropout: Rate = 0.0
    l2: Amount = 0.0
    linear: bool = False
    task_weights: Annotated[tuple[float, ...], above(0)] = ()
    precision: Literal["float32", "bfloat16"] = "float32"
    embedding_precision: EmbeddingPrecision = "float32"
    compile_dense: Literal["auto", "always", "never"] = "auto"


@dataclasses.dataclass
class Ensemble:
    """Several networks, its components, in place of one (section 1.2).

    Attributes:
      components: how many; 1 is a single network, to which nothing below applies.
      average: of the components' `probability` or `logit`, as the ensemble's prediction.
      init: `different` initialisation of each component, or the `same`.
      equal_cost: components are made narrower until the ensemble costs what the single network of `model` costs, in
        `parameters` or in `multiplications` an example; `none` = each is as wide as `model` says.
      tables: `shared`: the components' embeddings of an id lie in one row, which is looked up once; `separate`: each
        component has tables of its own.
      deployed: what is measured and exported: the `average`, or the `first` component alone.
      decorrelation: weight of the anti-distillation loss [46]: the squared correlation of the components' logits over
        a batch, averaged over the pairs of components; a number, or two between which it changes over the run.
      codistillation: weight of the loss between each component and the mean prediction of the others [4].
      stale_steps: how many steps old the others' weights may be in `codistillation`; 0 = those of this step.
    """

    components: Positive = 1
    average: Average = "probability"
    init: Initialization = "different"
    equal_cost: Literal["none", "parameters", "multiplications"] = "none"
    tables: Literal["shared", "separate"] = "shared"
    deployed: Deployed = "average"
    decorrelation: Ramp = 0.0
    codistillation: Ramp = 0.0
    stale_steps: Count = 0


@dataclasses.dataclass
class Distillation:
    """A teacher whose predictions are learnt along with the labels [21].

    Attributes:
      teachers: exports, or workdirs of finished runs (all their siblings), whose probabilities are averaged; none = no
        distillation.
      loss: `soft_label` (logistic loss towards the teacher's probability) or `logit` (half the squared difference of
        the log-odds).
      weight: w of (1 - w) label loss + w teacher loss; a number, or two between which it changes over the run.
      where: the teacher predicts in the input `pipeline`, once a row for all siblings, or in the training `step`, on
        the device, which takes teachers that are runs on equally encoded data.
    """

    teachers: Names = ()
    loss: Literal["soft_label", "logit"] = "soft_label"
    weight: Annotated[float | tuple[float, ...], fields.share_once_or_twice] = 0.5
    where: Literal["pipeline", "step"] = "pipeline"


@dataclasses.dataclass
class Siblings:
    """The replicas that are trained side by side.

    Attributes:
      replicas: how many; 1 trains a single model and measures no PD.
      differ: what differs between them: `order` of the examples, `init`, `both`, or `nothing` (hardware chance only).
    """

    replicas: Positive = 2
    differ: Differ = "order"


@dataclasses.dataclass
class Train:
    """Optimisation and the loop.

    Attributes:
      batch_size: examples a step and sibling, over all devices.
      epochs: passes over the training rows.
      dense_optimizer: `adagrad`, `adam` or `sgd`, for everything that is not an embedding.
      embedding_optimizer: the same for embeddings and the linear part's weights; each updates the batch's rows alone,
        `adam` without moving the others, unless `model.embedding_l2` gives every row a gradient.
      dense_learning_rate, embedding_learning_rate: of the two optimizers.
      final_learning_rate_share: both rates fall linearly to this share of themselves over the run; 1 = constant.
      initial_accumulator: where Adagrad's sums of squares start.
      clip_norm: global norm to which the dense gradients of each sibling, and of each component of an ensemble, are
        clipped; 0 = not at all.
      deterministic: op determinism and a fixed number of threads.
      threads: threads of an op and between ops in a deterministic run; 0 = the number of cores.
      average: half-life of a moving average of all weights, which is measured, exported and taught by in place of the
        weights (`models/averaging.py` has the formula): in steps, or, below 1, as a share of the run; `auto`: 0.03 of
        it; 0 = none.
      steps_per_execution: training steps a call of the compiled function.
      evaluations: how often a run measures held-out AUC and PD on `evaluation_examples` rows for the progress bar; 0 =
        at the end of epochs only. The data's validation rows, if there are any, are measured instead, all of them.
      evaluation_examples: see `evaluations`.
      progressive: also predicts every example before any sibling trains on it, and reports PD and losses of those
        predictions as `progressive_*`; costs a forward pass an example and sibling.
      patience: measurements without a better one after which a run stops and goes back to the best; 0 = trains to the
        end. Held-out rows that chose, where there are no validation rows, are left out of the final metrics.
      best: what makes a measurement better: a lower `log_loss` or a higher `auc`, means over the siblings.
      max_pd: PD up to which a measurement can be better; 0 = any. Only with `patience`.
      plateau: measurements without a better one after which both learning rates are multiplied by `plateau_factor`, and
        again after as many more; 0 = never. Only with `patience`.
      plateau_factor: see `plateau`.
      checkpoint_seconds: least time between two checkpoints.
      warm_start: the workdir of a run, or a checkpoint, whose variables and rows the siblings begin with; empty = none.
      anchor: weight of half the squared distance of the dense variables from those of `warm_start`; 0 = none.
      export_steps: also exports every so many steps, as the next version; 0 = at the end only.
      keep_exports: how many versions of a sibling `export_steps` keeps; 0 = all.
      huge_pages: asks Linux, after the first steps, to move the large tables into pages of 2 MiB.
    """

    batch_size: Positive = 256
    epochs: Positive = 1
    dense_optimizer: Optimizer = "adagrad"
    embedding_optimizer: Optimizer = "adagrad"
    dense_learning_rate: AboveZero = 0.004
    embedding_learning_rate: AboveZero = 0.05
    final_learning_rate_share: Share = 1.0
    initial_accumulator: Amount = 0.001
    clip_norm: Amount = 0.0
    average: HalfLife = 0
    deterministic: bool = False
    threads: Count = 0
    steps_per_execution: Positive = 100
    evaluations: Count = 10
    evaluation_examples: Positive = 4_000
    progressive: bool = False
    patience: Count = 0
    best: Literal["log_loss", "auc"] = "log_loss"
    max_pd: Amount = 0.0
    plateau: Count = 0
    plateau_factor: Annotated[float, above(0, below=1)] = 0.1
    checkpoint_seconds: Amount = 60.0
    warm_start: str = ""
    anchor: Amount = 0.0
    export_steps: Count = 0
    keep_exports: Count = 3
    huge_pages: bool = False


@dataclasses.dataclass
class Evaluation:
    """What is measured on the held-out rows once training has ended.

    Attributes:
      slices: what PD and accuracy are told apart by: names of features, `label`, `score` (deciles of the mean
        prediction), `position` (of a row in its request), `frequency` (how often each categorical feature's value is
        in the first 1,048,576 training rows).
      k: length of the lists that swap rate and overlap compare.
      order_by: a numeric feature, such as a bid, that multiplies the predictions before a request's rows are ordered;
        empty = the predictions alone.
      threshold: of the classification flips.
      unstable_loss, unstable_pd: a row is unstable if a sibling, whose log loss is at most the one above that of the
        best, moves its prediction by a relative difference (the summand of eq. 2) of more than the other.
      estimate: also estimates each example's PD from the activations of one replica alone.
      live: the model that serves now: an export or a folder of its versions, a Keras model, the workdir of a finished
        run (its first sibling), or a file with its predictions for the held-out rows in their order. What it predicts
        is compared with what the siblings do (`pd_live`); empty = none.
    """

    slices: Names = ("label", "score", "position", "frequency")
    k: Positive = 3
    order_by: str = ""
    threshold: Share = 0.5
    unstable_loss: Amount = 0.001
    unstable_pd: Annotated[float, fields.between(0, 2)] = 0.1
    estimate: bool = True
    live: str = ""


@dataclasses.dataclass
class Distribution:
    """The processes and devices that train a run.

    Attributes:
      strategy: `auto` (by TF_CONFIG and the devices), `one_device`, `mirrored`, `multi_worker_mirrored`,
        `parameter_server` or `tpu`.
      warn_seconds: without a training step, or an answer of another process, before one line says so.
      limit_seconds: without a training step before the run ends, to be resumed.
      start_seconds: the same before the first step: other processes may come late.
      chief_seconds: how long a process that serves another goes on without it.
    """

    strategy: Strategy = "auto"
    warn_seconds: AboveZero = 30.0
    limit_seconds: AboveZero = 600.0
    start_seconds: AboveZero = 1800.0
    chief_seconds: AboveZero = 600.0


@dataclasses.dataclass
class Config:
    """A run.

    Attributes:
      seed: drives initialisation and the order of the examples; `data.seed` the synthetic log.
      data, model, ensemble, distillation, siblings, train, evaluation, distribution: the sections, each a class here.
    """

    seed: Seed = 1
    data: Data = dataclasses.field(default_factory=Data)
    model: Model = dataclasses.field(default_factory=Model)
    ensemble: Ensemble = dataclasses.field(default_factory=Ensemble)
    distillation: Distillation = dataclasses.field(default_factory=Distillation)
    siblings: Siblings = dataclasses.field(default_factory=Siblings)
    train: Train = dataclasses.field(default_factory=Train)
    evaluation: Evaluation = dataclasses.field(default_factory=Evaluation)
    distribution: Distribution = dataclasses.field(default_factory=Distribution)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as nested dictionaries, which JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """The configuration that `to_dict` gave, also after a trip through JSON; fields not named have their defaults.

        Raises:
          InputError: a name is unknown, or a value is not of its field's type (`validation` checks the rules).
        """
        config: Config = fields.from_dict(cls, values)
        return config
