"""GDSS weights of the original project as models of ours.

The checkpoints hold neither node counts nor atom tables, which sampling needs: these belong to the data set that
the configuration names, and ship with the package for the six published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from scorefield.core.checkpoints import ModelRecord
from scorefield.core.errors import InputError
from scorefield.core.importing import ImportedModel
from scorefield.core.settings import SamplerSettings
from scorefield.domains.graphs.gdss import DEFAULT_SAMPLER, GDSS
from scorefield.domains.graphs.gdss_files import PARTS, Checkpoint, read_checkpoint
from scorefield.domains.graphs.gdss_tables import gdss_tables

__all__ = ["GDSSWeights", "import_gdss", "read_gdss"]

_NETWORKS = {"x": {"ScoreNetworkX": "gcn", "ScoreNetworkX_GMH": "gmh"}, "adj": {"ScoreNetworkA": ""}}

# Our argument -> its name among the original's, for the edge network and for the attention variant of the other.
_ATTENTION = {
    "width": "nhid",
    "width_attention": "adim",
    "num_linears": "num_linears",
    "channels_in": "c_init",
    "channels_hidden": "c_hid",
    "channels_out": "c_final",
    "heads": "num_heads",
}

_PATHS = {
    "VP": ("VP", "beta_min", "beta_max"),
    "subVP": ("SubVP", "beta_min", "beta_max"),
    "VE": ("VE", "sigma_min", "sigma_max"),  # stored under beta_min and beta_max all the same
}

_DATA = {"qm9": "QM9Data", "zinc250k": "ZINC250kData"}


@dataclass(frozen=True)
class GDSSWeights:
    """What a GDSS checkpoint says, in plain terms.

    Attributes:
        network: arguments of the recipe `GDSS` that shape the networks.
        paths: for `x` and `adj`, the path as `{"class_path", "init_args"}`.
        sizes: `features` and `max_nodes`.
        raw: state dictionary of `GDSSNetwork`.
        ema: the averaged one, or None.
        sampler: the published sampler's settings, as stored (`predictor`, `corrector`, `snr`, ...), or None.
        use_ema: whether the published sampler takes the averaged weights.
        data: name of the data set.
        config_file: the file with the configuration.
        files: names of all files read.
    """

    network: dict[str, Any]
    paths: dict[str, dict[str, Any]]
    sizes: dict[str, int]
    raw: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    sampler: dict[str, Any] | None
    use_ema: bool
    data: str
    config_file: Path
    files: list[str]


def read_gdss(source: str | Path) -> GDSSWeights:
    """Read an original checkpoint, or its parts.

    Args:
        source: a `.pth` file, or PREFIX of `PREFIX.x.safetensors`, `PREFIX.adj.safetensors`, `PREFIX.config.json`.

    Raises:
        InputError: a part or a key is missing, a file is damaged, weights do not fit their network, or the kind of a
            network or a path is unknown; it names file and key.
    """
    stored = read_checkpoint(str(source))
    network, sizes = _network(stored), _sizes(stored)
    settings = _Tree(stored.config, stored.config_file)
    paths = {part: _path(settings, part) for part in PARTS}
    expected = _shapes(network, sizes, stored.config_file)
    raw = _join(stored.weights, expected, stored.weight_files)
    ema = None if stored.averages is None else _join(stored.averages, expected, stored.weight_files)
    sample = stored.config.get("sample")
    return GDSSWeights(
        network,
        paths,
        sizes,
        raw,
        ema,
        _sampler(stored.config, stored.config_file),
        ema is not None and isinstance(sample, dict) and bool(sample.get("use_ema")),
        str(settings.get("data.data", str)),
        stored.config_file,
        sorted({file.name for file in [*stored.weight_files.values(), stored.config_file]}),
    )


def import_gdss(source: str | Path) -> ImportedModel:
    """A GDSS checkpoint as a model of ours.

    Molecules are sampled by default as our own molecule runs are, generic graphs with the published sampler.

    Raises:
        InputError: as `read_gdss`; or the data set is none of the published ones.
    """
    weights = read_gdss(source)
    known = _known_data(weights)
    paths = {"x_path": weights.paths["x"], "adj_path": weights.paths["adj"]}
    record = ModelRecord(
        domain="graphs",
        system={"class_path": f"{GDSS.__module__}.{GDSS.__name__}", "init_args": {**paths, **weights.network}},
        sizes=weights.sizes,
        tables=known["tables"],
        sampling=asdict(_sampling(weights, known["tables"]["kind"] == "molecules")),
        data=_data(weights),
    )
    ema = None if weights.ema is None else _in_system(weights.ema)
    return ImportedModel(record, _in_system(weights.raw), ema)


def _known_data(weights: GDSSWeights) -> dict[str, Any]:
    """Sizes and tables of the data set that the weights were trained on; they must agree with the networks."""
    try:
        known = gdss_tables(weights.data)
    except InputError as error:
        raise InputError(str(error), file=weights.config_file, place="data.data") from error
    for name, key in (("features", "max_feat_num"), ("max_nodes", "max_node_num")):
        if known["sizes"][name] != weights.sizes[name]:
            what = f"{weights.sizes[name]}, but {weights.data} has {known['sizes'][name]}"
            raise InputError(what, file=weights.config_file, place=f"params_adj.{key}")
    return known


class _Tree:
    """Typed access to nested settings."""

    def __init__(self, content: Mapping[str, Any], file: Path, name: str = "") -> None:
        self.content, self.file, self.name = content, file, name

    def get(self, key: str, kind: type) -> Any:
        """The value at a dotted key.

        Raises:
            InputError: it is missing or of another type.
        """
        value: Any = self.content
        place = f"{self.name}.{key}" if self.name else key
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise InputError("key is missing", file=self.file, place=place)
            value = value[part]
        wanted = (int, float) if kind is float else kind
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise InputError(f"{value!r} is not of type {kind.__name__}", file=self.file, place=place)
        return value


def _params(stored: Checkpoint, part: str) -> _Tree:
    """Constructor arguments of a network of a known kind."""
    tree = _Tree(stored.params[part], stored.config_file, f"params_{part}")
    kind = tree.get("model_type", str)
    if kind not in _NETWORKS[part]:
        mend = f"known are {', '.join(_NETWORKS[part])}"
        raise InputError(f"unknown network {kind!r}", file=tree.file, place=f"params_{part}.model_type", mend=mend)
    if tree.content.get("conv", "GCN") != "GCN":
        what = f"attention by {tree.content['conv']!r} is not supported"
        raise InputError(what, file=tree.file, place=f"params_{part}.conv", mend="only GCN is")
    return tree


def _network(stored: Checkpoint) -> dict[str, Any]:
    """Arguments of the recipe; the two networks must share what the recipe gives them in common."""
    x, adj = _params(stored, "x"), _params(stored, "adj")
    arguments = {name: adj.get(key, int) for name, key in _ATTENTION.items()}
    kind = _NETWORKS["x"][x.get("model_type", str)]
    shared = _ATTENTION if kind == "gmh" else {"width": "nhid"}
    for name, key in shared.items():
        if x.get(key, int) != arguments[name]:
            what = f"{x.get(key, int)}, but params_adj.{key} is {arguments[name]}"
            raise InputError(what, file=x.file, place=f"params_x.{key}", mend="networks that differ here are not known")
    return {"x_network": kind, "depth": x.get("depth", int), "layers": adj.get("num_layers", int), **arguments}


def _sizes(stored: Checkpoint) -> dict[str, int]:
    x, adj = _params(stored, "x"), _params(stored, "adj")
    features = x.get("max_feat_num", int)
    if adj.get("max_feat_num", int) != features:
        what = f"{adj.get('max_feat_num', int)}, but params_x.max_feat_num is {features}"
        raise InputError(what, file=adj.file, place="params_adj.max_feat_num")
    return {"features": features, "max_nodes": adj.get("max_node_num", int)}


def _path(settings: _Tree, part: str) -> dict[str, Any]:
    kind = settings.get(f"sde.{part}.type", str)
    if kind not in _PATHS:
        mend = f"known are {', '.join(_PATHS)}"
        raise InputError(f"unknown SDE {kind!r}", file=settings.file, place=f"sde.{part}.type", mend=mend)
    name, low, high = _PATHS[kind]
    values = {key: float(settings.get(f"sde.{part}.beta_{end}", float)) for key, end in ((low, "min"), (high, "max"))}
    return {"class_path": f"scorefield.core.paths.{name}", "init_args": values}


def _shapes(network: Mapping[str, Any], sizes: Mapping[str, int], file: Path) -> dict[str, tuple[int, ...]]:
    try:
        state = GDSS(**network).build(sizes).network.state_dict()
    except InputError as error:
        raise InputError(str(error), file=file, place="params_adj") from error
    return {name: tuple(value.shape) for name, value in state.items()}


def _join(
    parts: Mapping[str, Mapping[str, Tensor]], expected: Mapping[str, tuple[int, ...]], files: Mapping[str, Path]
) -> dict[str, Tensor]:
    """One state dictionary, checked name by name."""
    joined = {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
    for name in [*expected, *joined]:
        part, _, key = name.partition(".")
        if name not in joined or name not in expected:
            what = "weight is missing" if name not in joined else "weight of no part of this network"
            raise InputError(what, file=files[part], place=key, mend="give weights and configuration of one model")
        if tuple(joined[name].shape) != expected[name]:
            what = f"shape {tuple(joined[name].shape)} where the configuration gives {expected[name]}"
            raise InputError(what, file=files[part], place=key, mend="give weights and configuration of one model")
        if not joined[name].isfinite().all():
            raise InputError("weights are not finite", file=files[part], place=key, mend="copy the file anew")
    return {name: joined[name].float() for name in expected}


def _in_system(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"network.{name}": value for name, value in state.items()}


def _sampler(config: Mapping[str, Any], file: Path) -> dict[str, Any] | None:
    """Settings of the published sampler; molecule checkpoints hold none."""
    if not isinstance(config.get("sampler"), dict):
        return None
    tree = _Tree(config, file)
    texts = {key: tree.get(f"sampler.{key}", str) for key in ("predictor", "corrector")}
    numbers = {key: float(tree.get(f"sampler.{key}", float)) for key in ("snr", "scale_eps")}
    counts = {"n_steps": tree.get("sampler.n_steps", int), "num_scales": tree.get("sde.x.num_scales", int)}
    return {**texts, **numbers, **counts, "eps": float(tree.get("sample.eps", float))}


def _sampling(weights: GDSSWeights, molecules: bool) -> SamplerSettings:
    """Default sampler of the run."""
    which: Literal["raw", "ema"] = "ema" if weights.use_ema else "raw"
    stored = weights.sampler
    if molecules or stored is None:
        return replace(DEFAULT_SAMPLER, weights=which)
    predictor, corrector, steps = stored["predictor"], stored["corrector"], stored["num_scales"]
    langevin = {"snr": stored["snr"], "scale": stored["scale_eps"], "norms": "batch"}
    common = {"end": stored["eps"], "final": "none"}
    if predictor == "S4":
        return SamplerSettings("s4", steps, which, {**langevin, "end": stored["eps"]})
    if predictor not in ("Euler", "Reverse") or corrector not in ("Langevin", "None"):
        what = f"unknown sampler {predictor!r} with corrector {corrector!r}"
        raise InputError(what, file=weights.config_file, place="sampler")
    if corrector == "Langevin":
        own = {"predictor": predictor.lower(), "published": True, "corrector_steps": stored["n_steps"]}
        return SamplerSettings("pc", steps, which, {**own, **langevin, **common})
    solver = {"Euler": "euler-maruyama", "Reverse": "reverse-diffusion"}[predictor]
    return SamplerSettings(solver, steps, which, {"published": True, **common})


def _data(weights: GDSSWeights) -> dict[str, Any]:
    """Where the reference data are, for data sets that the package can fetch, and where the weights came from."""
    provenance = {
        "name": weights.data,
        "weights": f"imported from {', '.join(weights.files)}",
        "licence": "the weights are their authors' work; see the terms of their source",
    }
    module = _DATA.get(weights.data.lower())
    if module is None:
        return {"provenance": provenance}
    path = f"scorefield.domains.graphs.data.{module}"
    return {"class_path": path, "init_args": {"validation": "test"}, "provenance": provenance}
