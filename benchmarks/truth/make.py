"""Trains the suite's encoders and measures their transfers: ``python -m benchmarks.truth.make``.

It needs what `pip install -e ".[truth]"` (or `make truth`) installs.

About an hour on 2 cores, once: each result is kept in ``cache/`` under a hash of all that decides
it, and a run that was ended goes on where it was.

A transfer's truth is Taskonomy's win rate of decoders on frozen codes (`examples.digits.truth`),
a cut's truth is what fine-tuning from it reaches (see `examples.digits.layer_transfer`); both are
measured several times, so that it is known how well they repeat. ``R`` repeats, ``N`` pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn

from benchmarks.truth.images import load_images
from benchmarks.truth.networks import NETWORKS
from benchmarks.truth.suite import ZOOS, MadeZoo, Member
from benchmarks.truth.tasks import TASKS_OF
from examples.digits.data import draw_digits, write_probes
from examples.digits.decoders import BRIEF, codes_of, losses_of_pictures, standardised
from examples.digits.encoder import build_head, code_of
from examples.digits.fit import descend, examples_of, fine_tune, fit_encoder, own_chance
from examples.digits.layer_transfer import FINE_TUNING, LAYERS, taken_over
from examples.digits.running import in_processes, write_whole
from examples.digits.truth import win_rates, write_table

FOLDER = Path(__file__).with_name("cache")
REPEATS = 4
LAYER_PICTURES = 100

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Job:
    """One call of this module's functions in a process of its own."""

    function: str
    zoo: str
    member: str
    target: str = ""

    def run(self) -> str:
        """Does what is asked, and says what it was."""
        zoo = next(each for each in ZOOS if each.name == self.zoo)
        member = next(each for each in zoo.members if each.name == self.member)
        if self.function == "train":
            train(zoo, member)
        elif self.function == "decode":
            decode(zoo, member)
        else:
            tune_cuts(zoo, member, self.target)
        return " ".join([self.function, self.zoo, self.member, self.target]).strip()


def folder_of(zoo: MadeZoo) -> Path:
    """Returns where a zoo lies in the cache."""
    return FOLDER / zoo.name.replace(",", "").replace(" ", "-")


def weights_path(zoo: MadeZoo, member: Member) -> Path:
    """Returns where a member's weights lie; the architecture is a folder, for the scan's globs."""
    return folder_of(zoo) / member.network / f"{member.name}.safetensors"


def train(zoo: MadeZoo, member: Member) -> None:
    """Trains one encoder and writes its weights, with its errors as their metadata."""
    task = TASKS_OF[zoo.images][member.task]
    fitted = fit_encoder(
        f"{zoo.name}/{member.name}",
        task,
        load_images(zoo.images, "train"),
        load_images(zoo.images, "held_out"),
        member.training,
        lambda: _at_start(zoo, member),
    )
    facts = {"error": f"{fitted.error:.6f}", "trivial_error": f"{fitted.trivial_error:.6f}"}
    path = weights_path(zoo, member)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save(fitted.encoder.state_dict(), {**facts, "key": _key(zoo, member)}))


def _at_start(zoo: MadeZoo, member: Member) -> nn.Module:
    network = NETWORKS[member.network]()
    if member.start is not None:
        base = next(each for each in zoo.members if each.name == member.start)
        network.load_state_dict(load_file(weights_path(zoo, base)))
    return network


def _trained(zoo: MadeZoo, member: Member) -> nn.Module:
    with own_chance(0):
        network = NETWORKS[member.network]()
    network.load_state_dict(load_file(weights_path(zoo, member)))
    return network.eval()


def decode(zoo: MadeZoo, member: Member) -> None:
    """Trains decoders of every task on one frozen encoder; writes their losses ``(R, N)``."""
    encoder = _trained(zoo, member)
    losses = {
        task: np.stack([_decoded(zoo, encoder, task, repeat) for repeat in range(REPEATS)])
        for task in zoo.tasks
    }
    path = folder_of(zoo) / "losses" / f"{member.name}.npz"
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    np.savez(unfinished, key=np.array(_truth_key(zoo, member)), **losses)
    unfinished.replace(path)


def _decoded(zoo: MadeZoo, encoder: nn.Module, task_name: str, repeat: int) -> Float64:
    """Returns the losses ``(N,)`` of one decoder; its chance is the same for all encoders."""
    task = TASKS_OF[zoo.images][task_name]
    seed = 1_000 * repeat + zlib.crc32(f"{zoo.name}/{task_name}".encode())
    drawn = draw_digits(load_images(zoo.images, "train"), zoo.pictures, seed)
    seen = examples_of(task, drawn, seed)
    unseen = examples_of(task, load_images(zoo.images, "held_out"), 0)
    with own_chance(seed) as chance:
        codes, unseen_codes = standardised(codes_of(encoder, seen), codes_of(encoder, unseen))
        head = build_head(task.num_classes)

        def loss_of(batch: Tensor) -> Tensor:
            return task.loss(head(codes[batch]), seen.targets[batch])

        descend(head.parameters(), loss_of, zoo.pictures, BRIEF, chance)
        with torch.no_grad():
            losses_N = losses_of_pictures(task, head(unseen_codes), unseen.targets)
    return losses_N.double().numpy()


def tune_cuts(zoo: MadeZoo, member: Member, target: str) -> None:
    """Fine-tunes one encoder from each of its cuts for one task; writes what they reach.

    The value is minus the held-out error (of classes, or of pixels): higher is better.
    """
    state = _trained(zoo, member).state_dict()
    values = {
        layer: [
            _tuned(zoo, member.network, taken_over(state, layer), target, repeat)
            for repeat in range(zoo.layer_repeats)
        ]
        for layer in LAYERS
    }
    path = _cuts_path(zoo, member.name, target)
    path.parent.mkdir(exist_ok=True)
    content = {"key": _truth_key(zoo, member), "values": values}
    write_whole(path, json.dumps(content).encode())


def _cuts_path(zoo: MadeZoo, source: str, task: str) -> Path:
    return folder_of(zoo) / "cuts" / f"{source}-{task}.json"


def _tuned(
    zoo: MadeZoo, network: str, taken: Mapping[str, Tensor], target: str, repeat: int
) -> float:
    task = TASKS_OF[zoo.images][target]
    seed = 1_000 * repeat + zlib.crc32(f"{zoo.name}/cut/{target}".encode())
    images = draw_digits(load_images(zoo.images, "train"), LAYER_PICTURES, seed)
    with own_chance(seed) as chance:
        encoder, head = NETWORKS[network](), build_head(task.num_classes)
        encoder.load_state_dict({**encoder.state_dict(), **taken}, strict=True)
        fine_tune(encoder, head, task, images, FINE_TUNING, chance)
        unseen = examples_of(task, load_images(zoo.images, "held_out"), 0)
        with torch.no_grad():
            return -task.error(head(code_of(encoder, unseen.inputs)), unseen.targets)


def missing(zoo: MadeZoo, *, only_layers: bool = False) -> Iterator[list[Job]]:
    """Yields the jobs of a zoo that are not in the cache, in rounds that follow each other.

    Args:
        zoo: what is to be measured.
        only_layers: just the truth of the cuts, and the members that it needs.
    """
    members = zoo.layer_members if only_layers else zoo.members
    starts = {member.start for member in members}
    needed = [m for m in zoo.members if m in members or m.name in starts]
    for is_base in (True, False):
        part = [member for member in needed if (member.start is None) is is_base]
        yield [Job("train", zoo.name, m.name) for m in part if not _is_trained(zoo, m)]
    jobs = [] if only_layers else [m for m in members if not _is_decoded(zoo, m)]
    yield [
        *(Job("decode", zoo.name, member.name) for member in jobs),
        *(Job("cuts", zoo.name, *cut) for cut in _tasks_of_cuts(zoo) if not _is_cut(zoo, *cut)),
    ]


def _cuts(zoo: MadeZoo) -> list[tuple[Member, Member]]:
    """The (source, target) pairs of the layer truth: a source's own task is no transfer."""
    of_name = {member.name: member for member in zoo.members}
    pairs = [(of_name[s], of_name[t]) for t in zoo.layer_targets for s in zoo.layer_sources]
    return [(source, target) for source, target in pairs if source.task != target.task]


def _tasks_of_cuts(zoo: MadeZoo) -> list[tuple[str, str]]:
    """The name of the source and the task of every pair of the layer truth, each once."""
    return list(dict.fromkeys((source.name, target.task) for source, target in _cuts(zoo)))


def _is_cut(zoo: MadeZoo, source: str, task: str) -> bool:
    member = next(each for each in zoo.members if each.name == source)
    path = _cuts_path(zoo, source, task)
    return path.exists() and json.loads(path.read_text())["key"] == _truth_key(zoo, member)


def _is_trained(zoo: MadeZoo, member: Member) -> bool:
    from safetensors import safe_open

    path = weights_path(zoo, member)
    if not path.exists():
        return False
    with safe_open(path, framework="numpy") as file:
        return (file.metadata() or {}).get("key") == _key(zoo, member)


def _is_decoded(zoo: MadeZoo, member: Member) -> bool:
    path = folder_of(zoo) / "losses" / f"{member.name}.npz"
    if not path.exists():
        return False
    with np.load(path) as stored:
        return str(stored["key"]) == _truth_key(zoo, member)


def _key(zoo: MadeZoo, member: Member) -> str:
    """A hash of all that decides a member's weights."""
    start = next((each for each in zoo.members if each.name == member.start), None)
    parts = [zoo.name, zoo.images, asdict(member), None if start is None else asdict(start)]
    return hashlib.sha256((json.dumps(parts, sort_keys=True) + _code()).encode()).hexdigest()[:32]


def _truth_key(zoo: MadeZoo, member: Member) -> str:
    parts = [_key(zoo, member), zoo.tasks, zoo.pictures, asdict(BRIEF), asdict(FINE_TUNING)]
    parts += [REPEATS, zoo.layer_repeats, LAYER_PICTURES]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """The sources that decide pictures, tasks, networks and training."""
    here, digits = Path(__file__).parent, Path(__file__).parents[2] / "examples" / "digits"
    files = [here / name for name in ("images.py", "tasks.py", "networks.py")]
    names = ("architectures.py", "data.py", "encoder.py", "fit.py", "tasks.py")
    files += [digits / name for name in names]
    return "".join(path.read_text() for path in files)


def write_truth(zoo: MadeZoo) -> None:
    """Writes ``truth.csv`` with every repeat."""
    folder = folder_of(zoo)
    losses = [dict(np.load(folder / "losses" / f"{member.name}.npz")) for member in zoo.members]
    rates = {
        task: np.stack(
            [win_rates(np.stack([each[task][r] for each in losses])) for r in range(REPEATS)]
        )
        for task in zoo.tasks
    }
    rows = [
        (target.name, source.name, str(repeat), float(rates[target.task][repeat, place]))
        for target in zoo.members
        for place, source in enumerate(zoo.members)
        if source is not target
        for repeat in range(REPEATS)
    ]
    write_table(folder / "truth.csv", ("target", "source", "repeat", "value"), rows)


def measured_cuts(zoo: MadeZoo) -> tuple[list[tuple[Member, Member]], int]:
    """Returns the (source, target) pairs of the layer truth in the cache, and how many are due."""
    due = _cuts(zoo)
    return [pair for pair in due if _is_cut(zoo, pair[0].name, pair[1].task)], len(due)


def write_layer_truth(zoo: MadeZoo) -> None:
    """Writes ``layer_truth.csv`` with every repeat that was measured, and the scans' probes."""
    write_probes(load_images(zoo.images, "held_out"), folder_of(zoo) / "probes.parquet")
    rows = []
    for source, target in measured_cuts(zoo)[0]:
        values = json.loads(_cuts_path(zoo, source.name, target.task).read_text())["values"]
        for layer, repeats in values.items():
            for repeat, value in enumerate(repeats):
                rows.append((target.name, source.name, layer, str(repeat), value))
    if rows:
        header = ("target", "source", "layer", "repeat", "value")
        write_table(folder_of(zoo) / "layer_truth.csv", header, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and measures what is missing of every zoo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each")
    parser.add_argument("--zoos", nargs="*", default=[zoo.name for zoo in ZOOS])
    parser.add_argument("--layers", action="store_true", help="only the truth of the cuts")
    options = parser.parse_args(arguments)
    asked = [zoo for zoo in ZOOS if zoo.name in options.zoos]
    for zoo in asked if not options.layers else [zoo for zoo in asked if zoo.layer_sources]:
        for jobs in missing(zoo, only_layers=options.layers):
            for done in in_processes(Job.run, [(job,) for job in jobs], options.workers):
                print(done, flush=True)
        write_layer_truth(zoo)
        if not options.layers:
            write_truth(zoo)
        print(f"{zoo.name} is in {folder_of(zoo)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
