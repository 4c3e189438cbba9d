"""Flags of typed fields: --config with its --config.FIELD=VALUE overrides, what a sweep varies, fields of a dataclass.

`_configurations` reads what --config names. The annotations of the fields say how a value on the command line is read
(`FieldParser`); names, defaults and texts stand with the fields, in one place.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from absl import flags
from ml_collections import config_flags

from smooth_recs import fields, validation
from smooth_recs.bin import _configurations
from smooth_recs.config import Config
from smooth_recs.errors import InputError

flags.disclaim_key_flags()  # a flag defined through this module is the binary's own

_TRUE, _FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")


class FieldParser(flags.ArgumentParser[Any]):
    """Reads the text after a flag as a value of the type `kind`; where that fails, says what it must be."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument  # what the configuration file says
        try:
            return _read(self._kind, argument)
        except (ValueError, SyntaxError):
            raise ValueError(f"must be {fields.words(self._kind, typed=True)}") from None


def register() -> None:
    """Makes the types of a configuration's fields known to ml_collections."""
    for _, kind, _ in fields.walk(Config()):
        config_flags.register_flag_parser_for_type(kind, FieldParser(kind))


def _read(kind: Any, text: str) -> Any:
    """`0.3` as a number, `0.3,0.2` and `(0.3,)` as a tuple, `null` and `none` as None, each where it is possible."""
    several = fields.alternatives(kind)
    if any(text in fields.choices(each) for each in several):
        return text
    tells = {tuple: "," in text, dict: text.startswith("{"), types.NoneType: text.lower() in ("null", "none")}
    tells[typing.Literal] = False  # of a union; alone it gets the text, for `fields.check` to say what is wrong
    fitting = [each for each in several if tells.get(typing.get_origin(each) or each, True)]
    one = (fitting or several)[-1]
    origin, arguments = typing.get_origin(one), typing.get_args(one)
    if origin is tuple:
        inside = text.strip()
        if inside[:1] + inside[-1:] in ("()", "[]"):
            inside = inside[1:-1]
        items = [item.strip() for item in inside.split(",")]
        if not items[-1]:
            items.pop()  # after the comma at the end of `(0.3,)`, and of an empty tuple
        if arguments[0] is str:
            items = [str(ast.literal_eval(item)) if item[:1] in ("'", '"') else item for item in items]
        return tuple(_read(arguments[0], item) for item in items)
    if origin is dict:
        return ast.literal_eval(text)
    if one is types.NoneType:
        return None
    if one is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise ValueError(text)
        return text.lower() in _TRUE
    return one(text) if one in (int, float) else text


_NAME = "config"
_TEXT = (
    "a ready configuration by its name (demo, sweeps/figure4, ...), or a file: Python whose get_config() returns a "
    "smooth_recs.config.Config; YAML, TOML or JSON such as the config.json of a run, which hold data and run no code"
)
_MISSING = f"--{_NAME} must be given: {_TEXT}"
Settings = TypeVar("Settings")
_OVERRIDE = re.compile(rf"--?(?:no)?{_NAME}\.([^=]*)")


def define(
    *, required: bool = True, default: str = "", read: Callable[[str], Config] | None = None
) -> flags.FlagHolder[Config]:
    """Defines --config; its value is the configuration with all overrides, validated.

    Where it is not `required`, `present` tells whether it was given. `default` is taken where it was not. `read` gets
    the text instead of `_configurations.load`.
    """
    _default[:] = [default] if default else []
    if required and not default:
        _required.add(_NAME)
    register()
    # No arguments yet: ml_collections would apply overrides to the default here, outside of the error handling.
    return config_flags.DEFINE_config_dataclass(
        _NAME, Config(), _TEXT, sys_argv=_argv, parse_fn=read or _configurations.load
    )


_argv: list[str] = []
_default: list[str] = []
_required: set[str] = set()


def is_defined() -> bool:
    return _NAME in flags.FLAGS


def checked(argv: Sequence[str]) -> list[str]:
    """The command line, with the default of --config where it has one and none is given.

    Raises:
      InputError: a field that is overridden does not exist, or the configuration is not given.
    """
    program, *arguments = argv
    given = any(re.match(rf"--?{_NAME}(=|$)", argument) for argument in arguments)
    if is_defined() and not given and _default:
        arguments, given = [f"--{_NAME}={_default[0]}", *arguments], True
    _argv[:] = [program, *arguments]
    overrides = overridden()
    if is_defined() and overrides:
        if not given:
            raise InputError(_MISSING)
        for path in overrides:
            check_field(path)
    return _argv


def overridden() -> list[str]:
    """The fields that the command line sets by --config.FIELD=VALUE."""
    return [match[1] for match in map(_OVERRIDE.match, _argv) if match]


def validate() -> None:
    """Raises InputError where a required --config is missing, or the configuration with its overrides breaks a rule."""
    if not is_defined():
        return
    if not flags.FLAGS[_NAME].present:
        if _NAME in _required:
            raise InputError(_MISSING)
        return
    validation.validate(flags.FLAGS[_NAME].value)


def check_field(path: str) -> None:
    """Raises InputError where a configuration has no field of this path, or it cannot be set on the command line."""
    section: Any = Config()
    *outer, last = path.split(".")
    for depth, name in enumerate(outer):
        section = _member(section, name, ".".join(outer[:depth]))
        if not fields.is_section(type(section)):
            raise InputError(f"--{_NAME}.{path}: {'.'.join(outer[: depth + 1])} has no fields")
    member = _member(section, last, ".".join(outer))
    if fields.is_section(type(member)):
        raise InputError(f"--{_NAME}.{path} must name a field of {path}: {', '.join(vars(member))}")
    if path == "data.schema":
        raise InputError(f"--{_NAME}.{path} cannot be a flag: a schema is set in the configuration file")


def _member(section: Any, name: str, path: str) -> Any:
    known = vars(section)
    if name in known:
        return known[name]
    whole = ".".join(filter(None, (_NAME, path, name)))
    hint = fields.did_you_mean(name, known)
    raise InputError(f"--{whole}: no such field;{hint and ' '}{hint} fields of {path or _NAME}: {', '.join(known)}")


def define_names(name: str, text: str) -> flags.FlagHolder[Any]:
    """Defines a flag of names, with commas, that may be given several times; a name with a comma stands in quotes."""
    return flags.DEFINE_multi(flags.ListParser(), flags.ListSerializer(","), name, [], f"with commas: {text}")


def names(holder: flags.FlagHolder[Any]) -> tuple[str, ...]:
    """All names that were given for a flag of `define_names`, in order."""
    return tuple(name for several in holder.value for name in several)


def define_settings(settings: type[Settings]) -> Callable[[], Settings]:
    """Defines a flag for each field of the dataclass `settings`, whose metadata say `help`.

    Fields are integers, numbers, booleans and tuples of numbers, all with a default.

    Returns:
      What makes a `settings` of the flags, once they are parsed.
    """
    kinds = fields.annotations_of(settings)
    one_value = {bool: flags.DEFINE_boolean, int: flags.DEFINE_integer, float: flags.DEFINE_float}
    holders: dict[str, flags.FlagHolder[Any]] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        name, kind, text = field.name, kinds[field.name], field.metadata["help"]
        if kind in one_value:
            holders[name] = one_value[kind](name, field.default, text)
        else:
            holders[name] = flags.DEFINE(FieldParser(kind), name, field.default, f"with commas: {text}")
    return lambda: settings(**{name: holder.value for name, holder in holders.items()})


_of_file: list[Any] = []  # the sweep of the file of --config, if that has one


def load_sweep(path: str) -> Config:
    """The configuration that all variants of a sweep's file have in common, or the configuration of another file."""
    from smooth_recs.experiments.sweeps import Sweep

    _of_file.clear()  # of the file that another program of this process has read
    path = _configurations.find(path)
    if _configurations.is_data(path):
        return _configurations.load(path)
    module = _configurations.execute(path)
    if not hasattr(module, "get_sweep"):
        return _configurations.call(module, "get_config", Config)
    _of_file.append(_configurations.call(module, "get_sweep", Sweep))
    return _of_file[0].config


def read_sweep(
    config: Config, activations: str, grid: Sequence[str], pairs: int | None, tune: Sequence[str] = ()
) -> Any:
    """The sweep of the file, with overrides in `config`; of a configuration, that of --activations and --grid.

    Raises:
      InputError: flags that contradict the file, name what there is not, or are missing.
    """
    from smooth_recs.experiments import variants  # here, so that --help does not wait for TensorFlow
    from smooth_recs.experiments.sweeps import Sweep

    if _of_file:
        if activations or grid:
            raise InputError(
                "--activations and --grid must not be given where get_sweep() of --config has the variants"
            )
        (found,) = _of_file
    else:
        if not activations and not grid:
            raise InputError("--activations or --grid must be given where the file of --config has no get_sweep()")
        texts = variants.listed(activations)
        if activations and not texts:
            raise InputError(f"--activations must be one or more, got {activations!r}")
        crossed = variants.crossed(config, texts, _values("grid", grid))
        found = Sweep(config, crossed, baseline=crossed[0].name)
    values = _values("tune", tune) or found.tune
    return dataclasses.replace(found, config=config, pairs=pairs or found.pairs, tune=values)


def _values(flag: str, texts: Sequence[str]) -> dict[str, list[Any]]:
    """`model.norm_value=1.0,1.4`, a text a field, as the values by field."""
    from smooth_recs.experiments import variants

    found = {}
    for text in texts:
        path, equals, values = text.partition("=")
        if not equals or not variants.listed(values):
            raise InputError(f"--{flag} must be FIELD=VALUE,VALUE,..., got {text!r}")
        check_field(path)
        (kind,) = (kind for name, kind, _ in fields.walk(Config()) if name == path)
        try:
            found[path] = [FieldParser(kind).parse(value) for value in variants.listed(values)]
        except ValueError as error:
            raise InputError(f"--{flag}: every value of {path} {error}, got {values!r}") from error
    if len(found) < len(texts):
        raise InputError(f"--{flag} must be given once a field, got {', '.join(texts)}")
    return found
