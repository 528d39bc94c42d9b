from __future__ import annotations

from pathlib import Path

import pytest

from musicrec.config import known_keys, load_config, value_at, with_values
from musicrec.errors import ConfigError
from musicrec.pipelines.tuning.preset import preset_text, write_preset
from musicrec.pipelines.tuning.space import Range
from musicrec.spaces import check_grid, read_space
from musicrec.tune import MODELS
from tests.conftest import ROOT

LOCAL = ROOT / "conf" / "local.toml"


def read(tmp_path: Path, text: str, *sections: str) -> dict[str, object]:
    path = tmp_path / "space.toml"
    path.write_text(text)
    return dict(read_space(path, load_config(LOCAL), sections or ("als",)).dimensions)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_shipped_spaces_are_read_and_make_grids(name: str) -> None:
    config = load_config(LOCAL)
    space = read_space(ROOT / "conf" / "spaces" / f"{name}.toml", config, MODELS[name].sections(config))
    check_grid(space, LOCAL)
    assert len(space.dimensions) >= 3
    assert all(value_at(config, key) is not None for key in space.dimensions)


def test_a_space_names_keys_as_the_configuration_does(tmp_path: Path) -> None:
    text = "[als]\nrank = [4, 8]\nunobserved = { low = 1, high = 9.5 }\n"
    assert read(tmp_path, text) == {"als.rank": (4, 8), "als.unobserved": Range(low=1, high=9.5)}
    weights = "[hybrid.discover.weights]\nals = { low = 0.0, high = 1.0 }"
    assert list(read(tmp_path, weights, "hybrid.discover")) == ["hybrid.discover.weights.als"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[als]\nrnak = [4]", r"space\.toml.*nearest: als\.rank.*unknown key als\.rnak"),
        ("[asl]\nrank = [4]", r"nearest: als\.rank.*unknown key asl"),
        ("[als]\nrank = []", r"als\.rank: expected at least one value, found an empty list"),
        ("[als]\nunobserved = { low = 3.0, high = 3.0 }", r"als\.unobserved.*low must be below high"),
        (
            "[als]\nunobserved = { low = 0.0, high = 3.0, log = true }",
            r"als\.unobserved.*with log, low must be above 0",
        ),
        ("[als]\nunobserved = { low = 1.0, hihg = 3.0 }", r"als\.unobserved.*nearest: high.*unknown key hihg"),
        ("[als]\nunobserved = { low = 1.0 }", r"als\.unobserved\.high: expected Field required, found nothing"),
        ("[als]\nrank = 4", r"als\.rank.*a list of values or a table.*found 4"),
        ("[als]\nrank = [4, 0]", r"als\.rank: expected.*greater than or equal to 1, found 0"),
        ("[als]\nrank = ['many']", r"als\.rank.*'many'"),
        ("[knn]\nk = [4]", r"knn\.k: expected a key of als, found another section's"),
        ("", "expected a key to try values of, found none"),
        ("[als", "expected TOML"),
    ],
)
def test_a_wrong_space_ends_with_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_grid_needs_points_of_each_range(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text("[als]\nunobserved = { low = 1.0, high = 2.0 }\nrank = { low = 1, high = 4 }")
    with pytest.raises(ConfigError, match=r"als\.unobserved: expected step or points, for a grid"):
        check_grid(read_space(path, load_config(LOCAL), ("als",)), path)


def test_a_preset_is_read_as_it_was_written(tmp_path: Path) -> None:
    values = {
        "als.rank": 17,
        "als.unobserved": 1e-05,
        "als.engine": "blocked",
        "lstm.model.hidden": [100, 50],
        "pca.center": False,
        "hybrid.discover.weights.artist_popular": 0.25,
        "evaluate.ks": [10],
    }
    path = tmp_path / "tuned" / "all.toml"
    write_preset(path, preset_text(values, ["a line", 'another: "quoted"']))
    config = load_config(LOCAL, presets=[path])
    assert {key: value_at(config, key) for key in values} == values
    assert config == with_values(load_config(LOCAL), values, "here")
    # What the preset does not name stays, and --set has the last word.
    assert config.hybrid.discover.weights["pca"] == load_config(LOCAL).hybrid.discover.weights["pca"]
    assert load_config(LOCAL, ["als.rank=3"], [path]).als.rank == 3


def test_a_wrong_preset_is_named(tmp_path: Path) -> None:
    path = tmp_path / "preset.toml"
    path.write_text("[als]\nrnak = 3")
    with pytest.raises(ConfigError, match=rf"{path}.*nearest: als\.rank.*unknown key als\.rnak"):
        load_config(LOCAL, presets=[path])
    path.write_text("[als]\nrank = 0")
    with pytest.raises(ConfigError, match=rf"with {path}: als\.rank"):
        load_config(LOCAL, presets=[path])
    with pytest.raises(ConfigError, match=r"none\.toml: expected a preset, found no such file"):
        load_config(LOCAL, presets=[tmp_path / "none.toml"])


def test_every_key_has_a_value() -> None:
    config = load_config(LOCAL)
    for key in known_keys():
        value_at(config, key)
