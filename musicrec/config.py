"""The configuration: one TOML file, overridden by `--set key=value`; unknown keys and wrong values are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from musicrec.errors import ConfigError
from musicrec.models.als.fit import AlsParams
from musicrec.models.clusters.params import ClusterParams
from musicrec.models.cold_start.params import ColdStartParams
from musicrec.models.content import ContentParams
from musicrec.models.knn.matrix import KnnParams
from musicrec.models.neural.attention import AttentionParams
from musicrec.models.neural.dot_bias import DotBiasParams
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.ncf import NcfParams
from musicrec.models.neural.presets import with_preset
from musicrec.models.neural.training_params import NextTrackTraining, PairTrainingParams
from musicrec.models.pca.fit import PcaParams
from musicrec.models.popularity.params import PopularityParams
from musicrec.models.ranker.params import RankerParams
from musicrec.params import Params
from musicrec.pipelines.analyse import AnalysesParams
from musicrec.pipelines.playlists import PlaylistsParams
from musicrec.pipelines.settings import EvaluateParams, NeuralParams, RecommendParams, ShelfHybrids
from musicrec.pipelines.similar import SimilarParams
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.spark import SparkParams
from musicrec.toml_values import check_keys, merged, put, read_toml, toml_value, unknown_key
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
    feedback: tuple[str, ...] = ()

    @field_validator("listens", "tracks", "feedback", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            # A path may hold a comma itself.
            parts = [value] if Path(value).exists() else [part.strip() for part in value.split(",")]
            return tuple(part for part in parts if part)
        return value


class NeuralConfig(Params):
    """What all neural models are told.

    Attributes
    ----------
    valid_days : how many last days choose the number of epochs.
    """

    valid_days: float = Field(default=1.0, gt=0)


class LstmConfig(NeuralConfig):
    """The LSTM.

    Attributes
    ----------
    preset : named settings for what is not said here (musicrec/models/neural/presets.py).
    model, training : its shape and its training.
    trainers : processes that train it together.
    """

    preset: str = ""
    model: LstmParams = LstmParams()
    training: NextTrackTraining = NextTrackTraining()
    trainers: int = Field(default=1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: object) -> object:
        return with_preset(values)


class AttentionConfig(NeuralConfig):
    """The self-attention model: its shape, its training, and how many processes train it together."""

    model: AttentionParams = AttentionParams()
    training: NextTrackTraining = NextTrackTraining()
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
    ranker: RankerParams = RankerParams()
    popularity: PopularityParams = PopularityParams()
    clusters: ClusterParams = ClusterParams()
    cold_start: ColdStartParams = ColdStartParams()
    content: ContentParams = ContentParams()
    hybrid: ShelfHybrids
    recommend: RecommendParams = RecommendParams()
    playlists: PlaylistsParams = PlaylistsParams()
    evaluate: EvaluateParams = EvaluateParams()
    analyses: AnalysesParams = AnalysesParams()
    tune: TuneParams = TuneParams()


def load_config(path: Path, overrides: Sequence[str] = (), presets: Sequence[Path] = ()) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    path : of the TOML file.
    presets : TOML files with some of its keys, put over it one after the other.
    overrides : `key=value` with dotted keys; the value is read as TOML, else taken as text.

    Raises
    ------
    ConfigError : no such file, not TOML, an unknown key (named with the nearest known one) or a wrong value.
    """
    values = read_toml(path, "a configuration file")
    for preset in presets:
        own = read_toml(preset, "a preset")
        check_keys(own, list(known_keys()), preset)
        values = merged(values, own)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {override}", "key=value", "no '='" if key.strip() else "no key")
        put(values, key.strip().split("."), toml_value(value.strip()), f"--set {override}")
    return _checked(values, " with ".join(str(file) for file in (path, *presets)))


def lakehouse_of(path: Path, overrides: Sequence[str] = (), presets: Sequence[Path] = ()) -> LakehouseConfig | None:
    """Where the tables are by a configuration that may be wrong elsewhere; None where it does not say."""
    section: Mapping[str, Any] = {}
    for file in (path, *presets):
        try:
            section = merged(section, read_toml(file, "a configuration file").get("lakehouse", {}))
        except (ConfigError, AttributeError, TypeError):
            section = {}  # what it would have said is not known; an override has the last word
    values: dict[str, Any] = {"lakehouse": dict(section)}
    for override in overrides:
        key, _, value = override.partition("=")
        if key.strip().startswith("lakehouse."):
            put(values, key.strip().split("."), toml_value(value.strip()), override)
    try:
        return LakehouseConfig.model_validate(values["lakehouse"])
    except ValidationError:
        return None


def with_values(config: Config, values: Mapping[str, Any], where: str) -> Config:
    """The configuration with other values of some dotted keys.

    Raises
    ------
    ConfigError : an unknown key or a wrong value; it names `where`.
    """
    changed = config.model_dump()
    for key, value in values.items():
        put(changed, key.split("."), value, where)
    return _checked(changed, where)


def value_at(config: Config, key: str) -> Any:
    """A dotted key's value as JSON holds it; the weight of a list that is not named is 0.

    Raises
    ------
    KeyError : there is no such key.
    """
    value: Any = config.model_dump(mode="json")
    *sections, name = key.split(".")
    for section in sections:
        value = value[section]
    return value.get(name, 0.0) if sections and sections[-1] == "weights" else value[name]


def _checked(values: Mapping[str, Any], where: str) -> Config:
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _explain(error, where) from None


def _explain(error: ValidationError, where: str) -> ConfigError:
    """The first of pydantic's complaints as one line."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown_key(key, list(known_keys()), where)
    found = "nothing" if first["type"] == "missing" else f"{first['input']!r}"
    return ConfigError(f"{where}: {key}", first["msg"], found)


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Every dotted key that a configuration may hold."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from known_keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def settings_that_decide(config: Config) -> Mapping[str, Any]:
    """What of the configuration can change a night's result: everything but where things are, how large the machine is
    and how settings are searched for."""
    return config.model_dump(mode="json", exclude={"spark", "lakehouse", "sources", "tune"})
