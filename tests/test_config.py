from __future__ import annotations

from pathlib import Path

import pytest

from musicrec.config import Config, known_keys, load_config, settings_that_decide
from musicrec.errors import ConfigError
from tests.conftest import ROOT

LOCAL = ROOT / "conf" / "local.toml"


@pytest.mark.parametrize("name", ["local", "cluster", "databricks"])
def test_the_shipped_configurations_load(name: str) -> None:
    assert load_config(ROOT / "conf" / f"{name}.toml").recommend.n >= 10


def test_overrides_are_read_as_toml_else_as_text() -> None:
    config = load_config(
        LOCAL,
        ["als.rank=7", "interactions.half_life_days = 30", "lakehouse.root=/a/b=c", 'recommend.item="artist"'],
    )
    assert (config.als.rank, config.interactions.half_life_days) == (7, 30.0)
    assert (config.lakehouse.root, config.recommend.item) == ("/a/b=c", "artist")


def test_several_sources_come_with_commas() -> None:
    config = load_config(LOCAL, ["sources.listens=a/full.tar, b/incremental", "sources.tracks="])
    assert config.sources.listens == ("a/full.tar", "b/incremental")
    assert config.sources.tracks == ()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("recomend.n=3", r"nearest: recommend\.n.*unknown key recomend"),
        ("als.iteration=3", r"nearest: als\.iterations.*unknown key als\.iteration"),
        ("als.alpha=3", r"als\.unobserved: weights are counted in their mean.*als\.alpha, a key of an earlier release"),
        ("als.unobserved_weight=0.1", r"als\.unobserved, which .*als\.unobserved_weight, a key of an earlier release"),
        ("als.rank=0", r"als\.rank.*greater than or equal to 1, found 0"),
        ("interactions.confidence=loud", r"interactions\.confidence.*'loud'"),
        ("als.rank", "expected key=value"),
        ("seed.deep=1", "a section named seed"),
    ],
)
def test_wrong_overrides_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(LOCAL, [override])
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_toml_or_lacks_a_key_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("seed = = 3")
    with pytest.raises(ConfigError, match=rf"{broken}.*TOML"):
        load_config(broken)
    broken.write_text("[lakehouse]\nroot = 'x'")
    with pytest.raises(ConfigError, match="sources"):
        load_config(broken)


def test_known_keys_are_those_that_load() -> None:
    keys = set(known_keys())
    assert {"lakehouse.root", "sources.listens", "sources.tracks", "recommend.n"} <= keys
    assert not keys & set(Config.model_fields) - {"seed"}


def test_what_decides_a_result_leaves_places_and_sizes_out() -> None:
    here = load_config(LOCAL)
    there = load_config(LOCAL, ["lakehouse.root=elsewhere", "sources.listens=other"])
    assert settings_that_decide(here) == settings_that_decide(there)
    assert settings_that_decide(here) != settings_that_decide(load_config(LOCAL, ["als.rank=3"]))


def test_a_preset_fills_what_is_not_said(tmp_path: Path) -> None:
    path = ROOT / "conf" / "local.toml"
    config = load_config(path, ["lstm.preset=paper", "lstm.training.epochs=3"])
    shape, training = config.lstm.model, config.lstm.training
    # The file says dim = 32 and learning_rate = 7e-3 itself.
    assert (shape.dim, shape.hidden, shape.tied, shape.dropout) == (32, (100, 100), False, 0.0)
    assert (training.epochs, training.learning_rate, training.patience) == (3, 7e-3, 60)
    with pytest.raises(ConfigError, match="preset must be one of paper, not fast"):
        load_config(path, ["lstm.preset=fast"])
