"""`scorefield refine`: forecasts of others, moved to where a run finds them likely."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from scorefield.core.cli.command import Command
from scorefield.core.cli.completion import make_file, outputs_of
from scorefield.core.cli.options import add_files, add_machine, check_counts, given, pairs, without_collecting
from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from scorefield.core.item_paths import ItemPaths

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield refine runs/mine --data history.csv --forecast base.csv --out refined.csv --plot
  scorefield refine runs/mine --data history.csv --forecast seasonal-naive --holdout --out check.csv    is it better?
  scorefield refine runs/springs --data test --forecast constant-velocity --num 5 --out refined.npz  trajectories

BASE has item_id (or unique_id), timestamp (or date, ds), and path0, path1, ..., or q0.1, q0.2, ..., or mean, or
sample and value; .npz has paths.
FILE is a long table with mean and quantiles, as `scorefield forecast` writes it; .npz holds all paths."""


def add_arguments(parser: ArgumentParser) -> None:
    """History, base, how to refine, and where to."""
    add_files(parser, "HISTORY", "history", "item=shop, time=date")
    parser.add_argument(
        "--forecast", required=True, metavar="BASE",
        help="what to refine: a file; of panels also seasonal-naive, ridge or recurrent (fitted to what the run was "
        "trained on), of trajectories constant-velocity, linear-extrapolation or linear-interpolation",
    )  # fmt: skip
    parser.add_argument(
        "--holdout", action="store_true", help="hold the last steps back, and tell how good base and result are"
    )
    parser.add_argument("--train", metavar="FILE", help="what ridge and recurrent are fitted to, where it has moved")
    _add_refinement(parser)
    add_machine(parser)


def _add_refinement(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("refinement (defaults as published)")
    group.add_argument(
        "--method", choices=("langevin", "likelihood", "sdedit"),
        help="gradient steps with noise (default of panels) or without; sdedit, the way of trajectories: add noise, "
        "and take it away again",
    )  # fmt: skip
    group.add_argument("--steps", type=int, help="default 20; of sdedit the run's own")
    group.add_argument("--solver", help="of sdedit; the run's own by default")
    group.add_argument("--step-size", type=float, default=0.1, help="default 0.1; 0.01 for exchange rates")
    group.add_argument("--noise-scale", type=float, default=0.1, help="of langevin (default 0.1)")
    group.add_argument("--weight", type=float, default=1.0, help="of what holds samples to the base (default 1)")
    group.add_argument(
        "--potential", choices=("quantile", "gaussian"), default="quantile",
        help="path i is held to quantile i of the base (default), or to it by squares",
    )  # fmt: skip
    group.add_argument(
        "--regularise-on", choices=("observed", "all"),
        help="hold the history only, or the base too (default: all for quantile, observed for gaussian)",
    )  # fmt: skip
    group.add_argument(
        "--time", default="auto", help="noise level in (0, 1] (default auto: what the domain finds best)"
    )
    group.add_argument("--weights", choices=("raw", "ema"), help="trained or averaged weights")
    group.add_argument("--seed", type=int, default=0, help="default 0")
    group.add_argument(
        "--chunk-size", type=int, default=256, help="paths of one random stream (default 256); changes the paths"
    )
    group.add_argument("--tile-size", type=int, help="rows of one network call (default 256); changes the paths")


def run(args: Namespace) -> int:
    """Read, check everything, refine, write, and say what came out."""
    check_counts(args)
    time = _time(args.time)
    from scorefield.core.runs import resolve_run

    resolve_run(args.run_name)  # a misspelt name is found before anything heavy is imported
    with without_collecting():
        outputs = outputs_of(args)
        refiner = _refiner(args, time)
    return make_file(refiner, outputs, args, "try a smaller --step-size, a lower --weight, or another --time")


def _time(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r} is no time", place="--time", mend="give auto, or a number in (0, 1]") from None


def _refiner(args: Namespace, time: float | None) -> ItemPaths:
    from scorefield.core.completion import Task
    from scorefield.core.guidance.refine import Refinement
    from scorefield.core.model import Model
    from scorefield.core.refiner import refiner_of
    from scorefield.core.renoising import renoiser_of

    options: dict[str, Any] = {"base": args.forecast, "held": args.regularise_on, "train": args.train}
    options |= {"holdout": True} if args.holdout else {}
    task = Task("refine", args.data, {k: v for k, v in options.items() if v is not None}, pairs("--read", args.read))
    settings: dict[str, Any] = {"seed": args.seed, "weights": args.weights, "precision": args.precision}
    settings |= given(args, "chunk_size", "tile_size")
    model = Model(args.run_name)
    method = args.method or getattr(model.domain, "refining", "langevin")
    if method == "sdedit":
        return renoiser_of(model, task, args.num, time, solver=args.solver, steps=args.steps, **settings)
    if args.solver is not None:
        raise InputError(f"--solver {args.solver}", mend="leave it out: only --method sdedit has one")
    steps = 20 if args.steps is None else args.steps
    how = Refinement(time, steps, args.step_size, method, args.noise_scale, args.weight)
    return refiner_of(model, task, args.num, how, args.potential, **settings)


COMMAND = Command("refine", "refine what others have forecast", EXAMPLES, add_arguments, run)
