"""The model card: round trip and messages."""

import json

import pytest

from larmlreco.card import Feature, ModelCard
from larmlreco.errors import ConfigurationError, InputError

FACTS = {
    "task": "semantic_segmentation",
    "detector": "microboone",
    "dimension": 2,
    "class_names": ["track", "shower"],
    "features": [{"name": "adc", "unit": "ADC"}],
    "pixel_size": [1, 6.0],
    "pixel_units": ["wire", "tick"],
}


def test_round_trip():
    card = ModelCard.from_dict({**FACTS, "planes": ["Y"], "metrics": {"accuracy": {"value": 0.5}}}, "here")
    assert card.features == (Feature("adc", "ADC"),)
    assert card.pixel_size == (1.0, 6.0)
    assert ModelCard.from_json(card.to_json(), "here") == card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detektor": "x"}, "here: unknown key 'detektor' in the model card; did you mean 'detector'\\?"),
        ({"dimension": 4}, "here: model card: dimension must be 2 or 3; got 4"),
        ({"dimension": "2"}, "here: dimension in the model card must be an integer; got '2'"),
        ({"task": 3}, "here: task in the model card must be text; got 3"),
        ({"threshold": True}, "here: threshold in the model card must be a number; got True"),
        ({"planes": "Y"}, "here: planes in the model card must be a list; got 'Y'"),
        ({"features": ["adc"]}, "here: features in the model card must be a list of {name, unit}"),
        ({"features": []}, "here: model card: features must be at least one name and unit"),
        ({"metrics": []}, "here: metrics in the model card must be an object"),
        ({"rebin": 0}, "here: model card: rebin must be at least 1; got 0"),
        ({"class_names": ["a", "a"]}, "here: model card: class_names must be distinct"),
        ({"pixel_size": [1.0]}, "here: model card: pixel_size must be 2 numbers"),
        ({"pixel_size": [1.0, 0.0]}, "here: model card: pixel_size must be above 0"),
        ({"pixel_units": ["cm"]}, "here: model card: pixel_units must be 2 units"),
        ({"format_version": 2}, "here: format version 2; this larmlreco reads version 1"),
    ],
)
def test_a_wrong_key_is_named(change, message):
    with pytest.raises(InputError, match=message):
        ModelCard.from_dict({**FACTS, **change}, "here")


def test_a_missing_key_is_named():
    with pytest.raises(InputError, match="here: the model card lacks 'detector'"):
        ModelCard.from_dict({key: value for key, value in FACTS.items() if key != "detector"}, "here")


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[]", "must be a JSON object; got list")])
def test_text_that_is_no_card(text, message):
    with pytest.raises(InputError, match=f"here: the model card {message}"):
        ModelCard.from_json(text, "here")


def test_a_wrong_card_in_a_job_is_a_configuration_error():
    facts = {**FACTS, "features": (Feature("adc", "ADC"),), "class_names": ("a", "b"), "pixel_units": ("wire",)}
    with pytest.raises(ConfigurationError, match="pixel_units must be 2 units; got "):
        ModelCard(**facts)
    assert json.loads(ModelCard.from_dict(FACTS, "here").to_json())["features"] == FACTS["features"]
