from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.finetune import FineTuneRegime, RegimeError
from nni_nasoa.training.regime import ADVISED_AUGMENTATIONS, AUGMENTATIONS, advised_augmentation

regimes = st.builds(
    FineTuneRegime,
    model=st.sampled_from(["et-nas-a", "front.json#1", "réseau"]),
    learning_rate=st.floats(1e-8, 100),
    weight_decay=st.floats(0, 1),
    frozen_stages=st.integers(0, 1000),
    batch_size=st.integers(2, 65536),
    input_size=st.none() | st.integers(1, 2048),
    augmentation=st.sampled_from(["none", "crop", "crop-flip", "full", "trivial"]),
    mixup=st.floats(0, 100),
    erasing=st.floats(0, 1),
    clip_grad=st.floats(0, 1e6),
    weight_averaging=st.floats(0, 1),
    label_smoothing=st.floats(0, 0.99),
    optimizer=st.sampled_from(["sgd", "adamw"]),
)


@given(regimes)
def test_json_and_yaml_round_trip(regime):
    assert FineTuneRegime.from_json(json.loads(json.dumps(regime.to_json()))) == regime
    assert FineTuneRegime.from_yaml(regime.to_yaml()) == regime


@pytest.mark.parametrize(
    "field, value, right",
    [
        ("model", "", "name of a model"),
        ("model", None, "name of a model"),
        ("learning_rate", 0, "above 0 to 100"),
        ("learning_rate", float("nan"), "above 0 to 100"),
        ("learning_rate", True, "above 0"),
        ("weight_decay", -1, "from 0 to 1"),
        ("weight_decay", "1e-4", "from 0 to 1"),
        ("frozen_stages", -1, "whole number from 0"),
        ("frozen_stages", 1.0, "whole number"),
        ("batch_size", 1, "from 2 to"),
        ("input_size", 0, "from 1 to 2048"),
        ("input_size", 10**9, "from 1 to 2048"),
        ("learning_rate", 10**400, "above 0 to 100"),
        ("augmentation", "flip", "none, crop, crop-flip, full, trivial"),
        ("mixup", float("inf"), "from 0"),
        ("cutmix", -0.1, "from 0"),
        ("erasing", 1.1, "from 0 to 1"),
        ("clip_grad", float("nan"), "from 0"),
        ("weight_averaging", 2, "from 0 to 1"),
        ("label_smoothing", 1.0, "to below 1"),
        ("optimizer", "SGD", "sgd, adamw"),
        ("optimizer", ["sgd"], "sgd, adamw"),
    ],
)
def test_a_value_out_of_range_is_one_line_with_the_field(field, value, right):
    with pytest.raises(RegimeError) as error:
        FineTuneRegime(**{"model": "et-nas-a", field: value})
    assert (
        str(error.value).startswith(f"{field}: ")
        and right in str(error.value)
        and "\n" not in str(error.value)
    )


@pytest.mark.parametrize(
    "data, right",
    [
        ({"model": "a", "learning_rat": 1}, "did you mean 'learning_rate'"),
        ({}, "no model"),
        ([1], "not an object"),
        ({"model": "a", 3: 4}, "no field 3"),
    ],
)
def test_a_wrong_mapping_is_one_line(data, right):
    with pytest.raises(RegimeError, match=right):
        FineTuneRegime.from_json(data)


@pytest.mark.parametrize(
    "name, text, right",
    [
        ("r.yml", "model: [", "not YAML"),
        ("r.json", "{", "not JSON"),
        ("r.yml", "!!python/object/apply:os.getcwd []", "not YAML"),
        ("r.yaml", "model: a\nbatch_size: 0", "batch_size"),
        ("r.json", "[" * 100000, "not JSON"),
    ],
)
def test_a_wrong_file_is_one_line_with_its_name(tmp_path, name, text, right):
    (tmp_path / name).write_text(text)
    with pytest.raises(RegimeError, match=right) as error:
        FineTuneRegime.load(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


def test_files_are_loaded(tmp_path):
    regime = FineTuneRegime("et-nas-b", 0.1, frozen_stages=2)
    (tmp_path / "r.json").write_text(json.dumps(regime.to_json()))
    (tmp_path / "r.yml").write_text(regime.to_yaml())
    assert FineTuneRegime.load(tmp_path / "r.json") == FineTuneRegime.load(tmp_path / "r.yml") == regime
    with pytest.raises(RegimeError, match="cannot be read"):
        FineTuneRegime.load(tmp_path / "none.yml")


def test_numbers_as_people_write_them(tmp_path):
    """YAML 1.1 takes 1e-4 for a text, and numpy has numbers of its own."""
    assert FineTuneRegime.from_yaml("model: a\nweight_decay: 1e-4\nmodel: '1e5'") == FineTuneRegime(
        "1e5", weight_decay=1e-4
    )
    regime = FineTuneRegime("a", np.float64(0.25), batch_size=np.int64(32))
    assert json.dumps(regime.to_json()) == json.dumps(FineTuneRegime("a", 0.25, batch_size=32).to_json())
    with pytest.raises(RegimeError, match="learning_rate: 'fast'"):
        FineTuneRegime.from_yaml("model: a\nlearning_rate: fast")
    (tmp_path / "r.yml").write_bytes(b"model: \xff")
    with pytest.raises(RegimeError, match=r"r\.yml: not text in UTF-8"):
        FineTuneRegime.load(tmp_path / "r.yml")


def test_a_regime_needs_no_torch():
    code = (
        "import sys; from nni_nasoa.finetune import FineTuneRegime; "
        "FineTuneRegime('a'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_images_are_not_mixed_behind_frozen_stages():
    assert FineTuneRegime("et-nas-a", cutmix=1.0, mixup=0.2).cutmix == 1
    with pytest.raises(
        RegimeError, match=r"cutmix: 1 with 2 frozen stages, .*; give frozen_stages 0, or mixup"
    ):
        FineTuneRegime("et-nas-a", cutmix=1.0, frozen_stages=2)


def test_what_advice_takes_an_augmentation_for():
    advised = [advised_augmentation(name) for name in AUGMENTATIONS]
    assert advised == [*ADVISED_AUGMENTATIONS, "full"]
