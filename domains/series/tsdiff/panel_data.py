"""The data module of panels of univariate series."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from scorefield.core.downloads import file_digest
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.loading import Batch, batch_loader
from scorefield.core.noise import stream_seed
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.tsdiff.encoding import Missing, WindowPlan, encode, hidden_steps
from scorefield.domains.series.tsdiff.panel_files import USUAL_PREDICTION, PanelFile, read_panel
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout
from scorefield.domains.series.tsdiff.panel_windows import PanelWindows, last_places, places, silent_contexts
from scorefield.domains.series.tsdiff.panels import Entries, Panel
from scorefield.domains.series.windows import check_enough, thinned

__all__ = ["Lags", "PanelData"]

Lags = Literal["frequency", "none"]
_VALIDATION = 512  # windows that a validation looks at
_SCALES = 512  # scales of training windows that a run keeps, for synthesis
_EXPORTED = 8192  # windows that `arrays` and `train_references` hand out
_COLUMN = "target"


class PanelData(LightningDataModule):
    """Windows of many univariate series.

    The last steps of every series are kept from training: those of the test set, and before them `holdout` steps on
    which validation windows end.

    Args:
        path: JSON lines, `.csv`, `.parquet`, `.npz`, or a folder or archive with `train/` and `test/`; see
            `panel_files`.
        test_path: the test set, where it is a file of its own: series of which the last `prediction` values are to be
            forecast.
        frequency: pandas alias of the step (`h`, `D`, `B`, `15min`); by default as the file tells.
        context: steps that a forecast looks back on.
        prediction: steps to forecast; by default as the file tells, else 24.
        lags: channels of earlier values: `frequency` for those published for hours, days and business days, `none`, or
            a list of steps.
        windows: stretches of `prediction` steps at the end of each series that make up the test set, where no file
            brings one; 0 for none.
        holdout: steps before them that only validation sees; by default `prediction`; 0 for none, as published,
            `context + prediction` as published for experiments with missing values.
        batch_size: windows in a training batch, over all processes together.
        epoch_batches: batches in an epoch; each is drawn anew from all windows.
        conditional: whether the model is given context and lags (`given`), in place of learning the lags too.
        missing: scenario of missing values in what such a model is given: `RM` (drawn for each window and epoch),
            `BM-B`, `BM-E` or `none`.
        missing_count: hidden steps of the context; by default half of them.
        item: the column that tells series apart.
        time: the column of times.
        target: the column, or the key of JSON lines, with the values.
        num_workers: processes that load batches.
        seed: seed of the draws of training.

    Raises:
        InputError: a number that cannot be.
    """

    sizes: dict[str, int]
    tables: dict[str, Any]
    provenance: dict[str, Any]

    def __init__(
        self,
        path: str | None = None,
        test_path: str | None = None,
        frequency: str | None = None,
        context: int = 336,
        prediction: int | None = None,
        lags: Lags | list[int] = "frequency",
        windows: int = 1,
        holdout: int | None = None,
        batch_size: int = 64,
        epoch_batches: int = 128,
        conditional: bool = False,
        missing: Missing = "none",
        missing_count: int | None = None,
        item: str | None = None,
        time: str | None = None,
        target: str | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        WindowPlan(context, USUAL_PREDICTION if prediction is None else prediction)
        for name, value, least in (
            ("windows", windows, 0), ("holdout", holdout or 0, 0),
            ("batch_size", batch_size, 1), ("epoch_batches", epoch_batches, 1),
        ):  # fmt: skip
            if value < least:
                raise InputError(f"data.{name} is {value}", mend=f"give at least {least}")
        if isinstance(lags, str) and lags not in ("frequency", "none"):
            raise InputError(f"data.lags is {lags!r}", mend="give frequency, none, or a list of steps")
        if missing != "none" and not conditional:
            mend = "give data.conditional=true, or leave missing out: guidance needs no training on it"
            raise InputError(f"data.missing is {missing!r} without a condition", mend=mend)
        hidden_steps(missing if missing != "RM" else "BM-E", 1, context, missing_count)
        self.path, self.test_path, self.lags = path, test_path, lags
        self.context, self.windows = context, windows
        self._prediction, self._holdout = prediction, holdout
        self.batch_size, self.epoch_batches = batch_size, epoch_batches
        self.conditional, self.missing, self.missing_count = conditional, missing, missing_count
        self.num_workers, self.seed = num_workers, seed
        self.layout = PanelLayout(frequency, item, time, target)
        self.plan: WindowPlan
        self.panel: Panel
        self.test: Entries | None = None

    @property
    def prediction(self) -> int:
        """Steps to forecast; what the file says of them is known once it is read."""
        return USUAL_PREDICTION if self._prediction is None else self._prediction

    @property
    def holdout(self) -> int:
        """Steps before the test set that only validation sees."""
        return self.prediction if self._holdout is None else self._holdout

    def setup(self, stage: str | None = None) -> None:
        """Read the series and find the windows; called again it does nothing.

        Raises:
            InputError: files that cannot be read or do not fit, lags that are not known for their frequency, or series
                all of which are too short.
        """
        if hasattr(self, "panel"):
            return
        where, found = self.read()
        train = found.train
        if self._prediction is None:
            self._prediction = found.prediction or USUAL_PREDICTION
        self.plan = WindowPlan(self.context, self.prediction, self._lags(train))
        self.test = self._entries(found)
        if found.test is None and self.test_path is None and self.windows:
            train = train.head(train.lengths - self.windows * self.prediction)
        seen = train.head(train.lengths - self.holdout)
        self.fallback = seen.mean_size()
        starts, held = places(seen, self.plan.total), last_places(train, self.plan.total)
        self._tell_short(seen, where)
        check_enough(len(starts), self.batch_size, where)
        self._starts, self._held, self._train = starts, held if self.holdout else starts, train
        self._tell_silent(train, seen, where)
        self.sizes = {"length": self.plan.length, "features": 1 if self.conditional else self.plan.channels}
        if self.conditional:
            season = train.frequency.season
            self.sizes |= {"given": self.plan.channels + 1, "context": self.context, "season": season}
        self.panel = seen
        self.tables = self._tables()
        self.provenance = self.described(where)
        facts = self.provenance
        rank_zero_info(
            f"{where}: {facts['series']} series at {seen.frequency}, {facts['train']} windows of {self.context} + "
            f"{self.prediction} steps with {len(self.plan.lags)} lags for training, {facts['test']} to forecast"
        )

    def read(self) -> tuple[str, PanelFile]:
        """The name of the source, and what it holds."""
        if self.path is None:
            raise InputError("no file of series is named", mend="give one with --data.path")
        return self.path, read_panel(self.path, self.layout, self._prediction)

    def _lags(self, panel: Panel) -> tuple[int, ...]:
        if isinstance(self.lags, str):
            return panel.frequency.lags() if self.lags == "frequency" else ()
        return tuple(self.lags)

    def _entries(self, found: PanelFile) -> Entries | None:
        """The test set: of a file of its own, of the same file, or the ends of the series."""
        try:
            if self.test_path is not None:
                panel = read_panel(self.test_path, self.layout, self.prediction).train
                if not panel.frequency.agrees(found.train.frequency, panel.starts):
                    what = f"has the frequency {panel.frequency}, the training series {found.train.frequency}"
                    raise InputError(what, file=self.test_path)
                return Entries(panel, np.arange(len(panel)), panel.lengths, self.prediction)
            if found.test is not None:
                return found.test
            return found.train.rolling(self.prediction, self.windows) if self.windows else None
        except InputError as error:
            if str(self.test_path or self.path) in str(error):
                raise
            raise InputError(str(error), file=self.test_path or self.path) from None

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches drawn from all training windows."""
        self.setup()
        return self._loader(self._windows(self.panel, self._starts), draws=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """At most 512 windows, evenly spread: those that end on the held-out steps, or training windows."""
        self.setup()
        starts, panel = (self._held, self._train) if self.holdout else (self._starts, self.panel)
        return self._loader(self._windows(panel, thinned(starts, _VALIDATION)), draws=False)

    def train_windows(self, number: int, seed: int = 0) -> NDArray[np.float64]:
        """Training stretches in the units of the data, `(number, total)`, NaN where a value is missing.

        One at random from each of `number` equal parts of all windows, so that every series has its share, in order;
        all of them where there are not more.
        """
        self.setup()
        windows, count = self._windows(self.panel, self._starts), len(self._starts)
        chosen = np.arange(count)
        if number < count:
            shifts = np.random.default_rng(stream_seed("panel", seed)).uniform(size=number)
            chosen = np.minimum((np.arange(number) + shifts) * (count / number), count - 1).astype(np.int64)
        return windows.stretches(chosen)

    def train_references(self) -> SeriesSamples:
        """Training windows in units of the data, at most 8192 at random; missing values are 0, as they are learnt."""
        stretches = self.train_windows(_EXPORTED)[:, -self.plan.length :]
        return SeriesSamples(np.nan_to_num(stretches)[..., None], (_COLUMN,))

    def test_references(self) -> SeriesSamples:
        """Context and truth of each entry of the test set; the training windows where there is none."""
        self.setup()
        if self.test is None:
            return self.train_references()
        values = np.concatenate([self.test.recent(self.context), self.test.truth()], 1)
        return SeriesSamples(np.nan_to_num(values)[..., None], (_COLUMN,))

    def local_files(self) -> dict[str, str]:
        """Arguments that open the same files from any folder."""
        named = {"path": self.path, "test_path": self.test_path}
        return {name: str(Path(path).absolute()) for name, path in named.items() if path is not None}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Windows as plain arrays for `StatesData`: at most 8192 training windows, then those of the validation.

        `x [n, L, C]`, `mask`, `is_test`, `is_validation`, and `given` where there is a condition.
        """
        self.setup()
        draws = np.random.default_rng(stream_seed("panel", self.seed))
        chosen = draws.permutation(self._starts)[:_EXPORTED]
        if len(chosen) < len(self._starts):
            rank_zero_info(f"{len(chosen)} of {len(self._starts)} training windows are exported")
        held = thinned(self._held, _VALIDATION) if self.holdout else chosen[:0]
        parts = [self._windows(p, s) for p, s in ((self.panel, chosen), (self._train, held)) if len(s)]
        batches = [part.__getitems__(range(len(part))) for part in parts]
        stored = {name: np.concatenate([b[name].numpy() for b in batches]) for name in batches[0]}
        number = len(stored["x"])
        meta = {"sizes": self.sizes, "tables": self.tables, "provenance": self.provenance}
        return {
            **stored,
            "mask": np.ones((number, self.plan.length), dtype=bool),
            "is_test": np.zeros(number, dtype=bool),
            "is_validation": np.arange(number) >= len(chosen),
            "meta": np.array(json.dumps(meta)),
        }

    def _windows(self, panel: Panel, starts: NDArray[np.int64]) -> PanelWindows:
        return PanelWindows(
            panel, starts, self.plan, self.fallback, conditional=self.conditional, missing=self.missing,
            missing_count=self.missing_count, seed=self.seed,
        )  # fmt: skip

    def _loader(self, windows: PanelWindows, *, draws: bool) -> DataLoader[Batch]:
        trainer = self.trainer
        return batch_loader(
            windows,
            self.batch_size,
            shuffle=draws,
            draws=draws,
            batches=self.epoch_batches if draws else None,
            tell_epoch=self.missing == "RM",
            seed=self.seed,
            num_workers=self.num_workers,
            world_size=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
        )

    def _tables(self) -> dict[str, Any]:
        """What forecasts and synthesis need; `scales` are those of training windows, in order of size."""
        plan = self.plan
        scales = encode(self.train_windows(_SCALES), plan, self.fallback).scale
        return {
            "kind": "panel",
            "columns": [_COLUMN],
            "frequency": str(self.panel.frequency),
            "season": self.panel.frequency.season,
            "context": plan.context,
            "prediction": plan.prediction,
            "lags": list(plan.lags),
            "fallback_scale": self.fallback,
            "scales": np.sort(scales).tolist(),
        }

    def described(self, where: str) -> dict[str, Any]:
        """What the data are and how they were cut, for the run."""
        file, lengths = Path(where), self._train.lengths
        return {
            "name": file.name,
            "file": where,
            "sha256": file_digest(file) if file.is_file() else None,
            "licence": "not stated",
            "series": len(self.panel),
            "short": int((self.panel.lengths < self.plan.total).sum()),
            "rows": int(lengths.sum()),
            "holdout": self.holdout,
            "train": len(self._starts),
            "test": 0 if self.test is None else len(self.test),
        }

    def _tell_short(self, seen: Panel, where: str) -> None:
        """Refuse series all of which are too short to be trained on; of many, say how many are."""
        short = np.flatnonzero(seen.lengths < self.plan.total)
        if not len(short):
            return
        k, plan = short[0], self.plan
        parts = (
            f"{plan.history} + {plan.context} + {plan.prediction}"
            if plan.history
            else f"{plan.context} + {plan.prediction}"
        )
        what = f"{seen.lengths[k]} values for training, a window takes {parts}"
        if len(short) == len(seen):
            mend = "give longer series, or lower data.context, data.lags, data.windows or data.holdout"
            raise InputError(what, file=where, place=f"series {seen.names[k]}", mend=mend)
        _warn(f"{where}: {len(short)} of {len(seen)} series are left out; the first is {seen.names[k]} ({what})")

    def _tell_silent(self, train: Panel, seen: Panel, where: str) -> None:
        """Say once how many contexts take the fixed scale, and how many values are missing."""
        silent = silent_contexts(seen, self._starts, self.plan)
        if silent:
            what = f"{silent} of {len(self._starts)} windows have a context of zeros or missing values"
            _warn(f"{where}: {what}: they are scaled by {self.fallback:.4g}, the mean size of the training values")
        missing = int(np.isnan(train.values).sum())
        if missing:
            rank_zero_info(f"{where}: {missing} of {len(train.values)} values are missing, and are learnt as 0")


@rank_zero_only
def _warn(text: str) -> None:
    warnings.warn(text, InputWarning, stacklevel=2)
