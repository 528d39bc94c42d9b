"""The configuration: one TOML file, overridden by `--set key=value`; unknown keys and wrong values are refused."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from musicrec.errors import ConfigError
from musicrec.models.als.fit import AlsParams
from musicrec.models.knn.matrix import KnnParams
from musicrec.models.neural.attention import AttentionParams
from musicrec.models.neural.dot_bias import DotBiasParams
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.ncf import NcfParams
from musicrec.models.neural.presets import with_preset
from musicrec.models.neural.training import PairTrainingParams, TrainingParams
from musicrec.models.pca.fit import PcaParams
from musicrec.params import Params
from musicrec.pipelines.playlists import PlaylistsParams
from musicrec.pipelines.settings import EvaluateParams, NeuralParams, RecommendParams, ShelfHybrids
from musicrec.pipelines.similar import SimilarParams
from musicrec.spark import SparkParams
from musicrec.transforms.interactions import InteractionParams
from musicrec.transforms.listens import ListenRules
from musicrec.transforms.sequences import SequenceParams


class LakehouseConfig(Params):
    """Where the tables are.

    Attributes
    ----------
    root : table `layer.name` lies at `<root>/layer/name`.
    catalog : on Databricks, the catalogue that holds them instead.
    files : folder for snapshots, model files and staged dumps; `<root>/files` where empty.
    """

    root: str = Field(min_length=1)
    catalog: str | None = None
    files: str = ""

    @property
    def files_folder(self) -> Path:
        """The folder for what is not a table."""
        return Path(self.files or f"{self.root}/files")


class SourcesConfig(Params):
    """What to take in: each one path, or several with commas."""

    listens: tuple[str, ...]
    tracks: tuple[str, ...] = ()

    @field_validator("listens", "tracks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


class NeuralConfig(Params):
    """What all neural models are told.

    Attributes
    ----------
    training : epochs, rate and so on.
    valid_days : how many last days choose the number of epochs.
    """

    training: TrainingParams = TrainingParams()
    valid_days: float = Field(default=1.0, gt=0)


class LstmConfig(NeuralConfig):
    """The LSTM.

    Attributes
    ----------
    preset : named settings for what is not said here (musicrec/models/neural/presets.py).
    model : its shape.
    trainers : processes that train it together.
    """

    preset: str = ""
    model: LstmParams = LstmParams()
    trainers: int = Field(default=1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: object) -> object:
        return with_preset(values)


class AttentionConfig(NeuralConfig):
    """The self-attention model: its shape, and how many processes train it together."""

    model: AttentionParams = AttentionParams()
    trainers: int = Field(default=1, ge=1)


class DotBiasConfig(NeuralConfig):
    """EmbeddingDotBias: its shape and loss."""

    model: DotBiasParams = DotBiasParams()
    training: PairTrainingParams = PairTrainingParams()


class NcfConfig(NeuralConfig):
    """NCF: its shape."""

    model: NcfParams = NcfParams()
    training: PairTrainingParams = PairTrainingParams()


class Config(Params):
    """Everything that a run may be told."""

    lakehouse: LakehouseConfig
    sources: SourcesConfig
    seed: int = Field(default=20140616, ge=0)
    spark: SparkParams = SparkParams()
    listens: ListenRules = ListenRules()
    interactions: InteractionParams = InteractionParams()
    sequences: SequenceParams = SequenceParams()
    als: AlsParams = AlsParams()
    pca: PcaParams = PcaParams()
    lstm: LstmConfig = LstmConfig()
    neural: NeuralParams = NeuralParams()
    attention: AttentionConfig = AttentionConfig()
    dot_bias: DotBiasConfig = DotBiasConfig()
    ncf: NcfConfig = NcfConfig()
    knn: KnnParams = KnnParams()
    similar: SimilarParams = SimilarParams()
    hybrid: ShelfHybrids
    recommend: RecommendParams = RecommendParams()
    playlists: PlaylistsParams = PlaylistsParams()
    evaluate: EvaluateParams = EvaluateParams()


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    path : of the TOML file.
    overrides : `key=value` with dotted keys; the value is read as TOML, else taken as text.

    Raises
    ------
    ConfigError : no such file, not TOML, an unknown key (named with the nearest known one) or a wrong value.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(path, "a configuration file", "no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, "TOML", str(error)) from None
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {override}", "key=value", "no '='" if key.strip() else "no key")
        _put(values, key.strip().split("."), _toml_value(value.strip()), f"--set {override}")
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _explain(error, path) from None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(values: dict[str, Any], key: list[str], value: Any, where: str) -> None:
    for part in key[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(where, f"a section named {part}", "a value of that name")
    values[key[-1]] = value


def _explain(error: ValidationError, path: Path) -> ConfigError:
    """The first of pydantic's complaints as one line."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, list(known_keys()), n=1, cutoff=0.0)
        return ConfigError(path, f"a known key (nearest: {near[0]})", f"unknown key {key}")
    found = "nothing" if first["type"] == "missing" else f"{first['input']!r}"
    return ConfigError(f"{path}: {key}", first["msg"], found)


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Every dotted key that a configuration may hold."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from known_keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def settings_that_decide(config: Config) -> Mapping[str, Any]:
    """What of the configuration can change a result: everything but where things are and how large the machine is."""
    return config.model_dump(mode="json", exclude={"spark", "lakehouse", "sources"})
