"""Reading a scan file: YAML, overrides, defaults, presets, globs of checkpoints, clear errors."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from depara.config.places import CommandFolder, absolute_places
from depara.config.schema import MODEL_ID, PRESETS, ModelConfig, ScanConfig
from depara.errors import ConfigError, near_names
from depara.locations import (
    expand_glob,
    has_glob,
    is_glob,
    is_remote,
    local_path,
    open_binary,
)
from depara.weights_names import WEIGHTS_SUFFIXES, has_weights_suffix, weights_stem

_MAX_NULLS = 10


@dataclass(frozen=True)
class ScanFile:
    """A validated scan and the facts about its file that defaults depend on."""

    config: ScanConfig
    count_is_given: bool
    """Whether probes.count was written by the user: then fewer probes are an error."""


def load_scan_file(uri: str, overrides: Sequence[str] = ()) -> ScanFile:
    """Returns the validated scan of a local or remote YAML file, its local paths absolute.

    Relative ones are relative to the folder where the command runs.

    Args:
        uri: path or URI (``s3://...``) of the file.
        overrides: ``field.path=value`` texts; the value is read as YAML.

    Raises:
        ConfigError: unreadable file, bad YAML, bad override, or a field that does not validate.
    """
    text = read_text(uri, "scan file")
    return parse_scan(text, overrides, name=uri, folder=CommandFolder.here())


def read_text(uri: str, what: str) -> str:
    """Returns the text of a local or remote file that a user has written.

    Args:
        uri: path or URI.
        what: the file is, for messages.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with open_binary(uri) as file:
            return file.read().decode("utf-8")
    except FileNotFoundError as error:
        hint = _near_files(uri)
        message = f"{what} {uri!r} does not exist" + (f"; {hint}" if hint else "")
        raise ConfigError(message) from error
    except IsADirectoryError as error:
        raise ConfigError(f"{what} {uri!r} is a folder: name the YAML file in it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {uri!r} is not UTF-8 text") from error
    except OSError as error:
        raise ConfigError(f"{what} {uri!r} cannot be read: {error}") from error


def _near_files(uri: str) -> str:
    """What else lies where a local scan file was looked for."""
    if is_remote(uri):
        return ""
    path = local_path(uri).absolute()
    try:
        names = [each.name for each in path.parent.iterdir() if each.suffix in (".yaml", ".yml")]
    except OSError:
        return f"there is no folder {str(path.parent)!r}"
    return near_names(path.name, names)


def parse_scan(
    text: str,
    overrides: Sequence[str] = (),
    name: str = "scan file",
    folder: CommandFolder | None = None,
) -> ScanFile:
    """Returns the validated scan of a YAML text; see `load_scan_file`.

    Without a `folder` its paths stay as they are written.
    """
    tree = read_yaml(text, name)
    if not isinstance(tree, dict):
        raise ConfigError(f"{name} must be a mapping with at least 'probes' and 'models'")
    for override in overrides:
        _apply_override(tree, override)
    tree = _apply_preset(tree)
    probes = tree.get("probes")
    count_is_given = isinstance(probes, dict) and probes.get("count") is not None
    if folder is not None:
        tree = absolute_places(tree, folder, ScanConfig.model_fields["output"].default)
    tree = _expand_models(tree, name)
    try:
        return ScanFile(ScanConfig.model_validate(tree), count_is_given)
    except ValidationError as error:
        raise ConfigError(f"{name}:\n{_explain(error)}") from error


def read_yaml(text: str, name: str) -> Any:
    """Returns what a YAML text says; a key that stands twice is an error.

    Raises:
        ConfigError: it is no YAML.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not valid YAML: {_one_line(error)}") from error


def render_scan(config: ScanConfig) -> str:
    """Returns the fully resolved scan as YAML; reading it again gives the same scan."""
    tree = config.model_dump(mode="json", by_alias=True)
    tree["compute"]["memory"] = int(config.compute.memory)
    tree["preset"] = None  # its fields are written out
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which YAML itself lets win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _apply_override(tree: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set {override!r}: expected FIELD=VALUE, such as probes.count=100")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"--set {override!r}: the value is not YAML: {_one_line(error)}"
        ) from error
    parts = path.strip().split(".")
    node: Any = tree
    for part in parts[:-1]:
        node = _descend(node, part, override)
    last = parts[-1]
    if isinstance(node, list):
        node[_list_place(node, last, override)] = parsed
    elif isinstance(node, dict):
        node[last] = parsed
    else:
        raise ConfigError(f"--set {override!r}: {'.'.join(parts[:-1])!r} has no fields")


def _descend(node: Any, part: str, override: str) -> Any:
    if isinstance(node, list):
        return node[_list_place(node, part, override)]
    if isinstance(node, dict):
        if node.get(part) is None:
            node[part] = {}
        return node[part]
    raise ConfigError(f"--set {override!r}: there is no field {part!r} to set into")


def _list_place(node: list[Any], part: str, override: str) -> int:
    """Models are addressed by number or by id."""
    if part.isdigit() and int(part) < len(node):
        return int(part)
    ids = [entry.get("id") if isinstance(entry, dict) else None for entry in node]
    if part in ids:
        return ids.index(part)
    known = [name for name in ids if isinstance(name, str)]
    raise ConfigError(
        f"--set {override!r}: no entry {part!r} among {len(node)}: "
        + (near_names(part, known) or f"the ids are {', '.join(map(repr, known)) or 'not given'}")
    )


def _apply_preset(tree: dict[str, Any]) -> dict[str, Any]:
    preset = tree.get("preset")
    if preset is None or preset not in PRESETS:
        return tree  # an unknown preset is reported by the validation
    merged = dict(tree)
    for section, fields in PRESETS[preset].items():
        given = merged.get(section)
        if given is None or isinstance(given, Mapping):
            kept = fields if "terms" not in (given or {}) else {}
            merged[section] = {**kept, **(given or {})}
    return merged


def _expand_models(tree: dict[str, Any], name: str) -> dict[str, Any]:
    """Merges `defaults` into every model and turns globs of checkpoints into one model each."""
    tree = dict(tree)
    defaults = tree.pop("defaults", None) or {}
    if not isinstance(defaults, Mapping):
        raise ConfigError(f"{name}: defaults must be a mapping of model fields")
    models = tree.get("models")
    if not isinstance(models, list):
        return tree  # reported by the validation
    expanded: list[Any] = []
    for number, model in enumerate(models):
        if not isinstance(model, Mapping):
            expanded.append(model)
            continue
        merged = _merge(dict(defaults), model)
        weights = merged.get("weights")
        if isinstance(weights, str) and is_glob(weights):
            expanded += _expand_checkpoints(merged, weights, f"{name}: models.{number}")
        else:
            expanded.append(merged)
    tree["models"] = expanded
    nulls = tree.get("nulls", 0)
    if isinstance(nulls, int) and 0 < nulls <= _MAX_NULLS:
        tree["models"] = expanded + _null_twins(expanded, nulls)
        tree["nulls"] = 0  # the twins are written out
    return tree


def _null_twins(models: list[Any], count: int) -> list[dict[str, Any]]:
    """Returns `count` twins with random weights of every model that is none itself."""
    fixed = {"weights_sha256": None, "state_dict_key": None, "strip_prefix": None}
    return [
        {
            **copy.deepcopy(model),
            **fixed,
            "id": f"{model.get('id')}.null{seed}",
            "weights": f"random:{seed}",
            "null_of": model.get("id"),
        }
        for model in models
        if isinstance(model, Mapping) and not model.get("null_of")
        for seed in range(count)
    ]


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(dict(merged[key]), value)
        else:
            merged[key] = value
    return merged


def _expand_checkpoints(model: Mapping[str, Any], pattern: str, place: str) -> list[dict[str, Any]]:
    files = _checkpoints(expand_glob(pattern), pattern)
    if not files:
        raise ConfigError(
            f"{place}: the glob {pattern!r} matches no checkpoint ({', '.join(WEIGHTS_SUFFIXES)}, "
            "also with .tar behind; a suffix written in the glob is taken as it is; a name that "
            "holds * ? [ itself is written with the sign in brackets, such as [[] for [)"
        )
    template = str(model.get("id", "{stem}"))
    if len(files) > 1 and "{stem}" not in template:
        raise ConfigError(
            f"{place}: the glob {pattern!r} matches {len(files)} files but the id {template!r} "
            "has no {stem}: they would share one id"
        )
    entries = []
    for uri, stem in zip(files, _stems(files), strict=True):
        identifier = re.sub(r"[^A-Za-z0-9._+\-]", "_", template.replace("{stem}", stem))
        assert MODEL_ID.fullmatch(identifier) or not identifier
        entries.append({**copy.deepcopy(dict(model)), "id": identifier, "weights": uri})
    return entries


def _checkpoints(files: list[str], pattern: str) -> list[str]:
    """Returns the files that are checkpoints by name.

    Those with a suffix of weights; where there are none, those with any that the glob itself ends
    in, else those without a suffix.
    """
    named = [uri for uri in files if has_weights_suffix(uri)]
    if named:
        return named
    own = PurePosixPath(pattern).suffix
    if own and not has_glob(own):
        return files
    return [uri for uri in files if not re.search(r"\.[A-Za-z]\w*$", PurePosixPath(uri).name)]


def _stems(files: list[str]) -> list[str]:
    """Returns the files' names without suffixes; with the folders where they are not distinct."""
    stems = [weights_stem(uri) for uri in files]
    if len(set(stems)) == len(stems):
        return stems
    parts = [[*PurePosixPath(uri).parts[:-1], weights_stem(uri)] for uri in files]
    columns = zip(*(each[:-1] for each in parts), strict=False)
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return ["-".join(each[shared:]) for each in parts]


def _explain(error: ValidationError) -> str:
    lines = []
    for detail in error.errors(include_url=False):
        place = _place(detail["loc"])
        if detail["type"] == "extra_forbidden":
            key = str(detail["loc"][-1])
            hint = near_names(key, _fields_at(detail["loc"][:-1]))
            lines.append(f"  {place}: unknown key{'; ' + hint if hint else ''}")
        elif detail["type"] == "missing":
            lines.append(f"  {place}: missing")
        else:
            message = detail["msg"].removeprefix("Value error, ")
            got = "" if isinstance(detail["input"], dict | list) else f", got {detail['input']!r}"
            shown = got if detail["type"] != "value_error" else ""
            lines.append(f"  {place}: {message}{shown}" if place else f"  {message}")
    return "\n".join(dict.fromkeys(lines))


def _place(location: tuple[int | str, ...]) -> str:
    """Dotted place without pydantic's names of union members."""
    return ".".join(
        str(part)
        for part in location
        if not (isinstance(part, str) and re.search(r"[\[\](]|^(str|int|float|constrained)", part))
    )


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields that the section at this place knows."""
    section: type[BaseModel] = ScanConfig
    for part in location:
        if part == "models":
            section = ModelConfig
        elif isinstance(part, str) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                section = annotation
    names = [field.alias or key for key, field in section.model_fields.items()]
    return [*names, "defaults"] if section is ScanConfig else names


__all__ = ["ScanFile", "load_scan_file", "parse_scan", "render_scan"]
