"""What is downloaded for an advice, and what is left out."""

import time

import pytest
from fixtures.weights import closed
from safetensors.torch import save

from nni_nasoa.advisor.advice import NO_LIMITS, Limits
from nni_nasoa.advisor.downloads import with_recommended, with_weights
from nni_nasoa.advisor.models import AdviceError, anything, models_of
from nni_nasoa.zoo import get
from nni_nasoa.zoo.available import available_models

MODEL = "timm/resnet10t.c3_in1k"
pytestmark = pytest.mark.usefixtures("online")


def names(models):
    return [model.name for model in models]


def test_what_was_asked_for_is_fetched_and_said_before(hub, resnet10t):
    server, said = hub(save(dict(resnet10t))), []

    def tell(line):
        said.append((line, list(server.asked)))

    models, notes = with_weights(models_of(f"{MODEL},nano-a"), seconds=60, tell=tell)
    assert names(models) == [MODEL, "nano-a"] and not notes and MODEL in available_models()
    ((line, asked_before),) = said
    assert line == f"downloading {MODEL} (22 MB), in at most 60 s" and set(asked_before) <= {"", "/"}
    assert with_weights(models, seconds=60, tell=tell) == (models, []) and len(said) == 1


def test_what_does_not_come_in_time_is_left_out(hub, resnet10t):
    hub(save(dict(resnet10t)), pause=0.5)
    begin = time.monotonic()
    models, notes = with_weights(models_of(f"nano-a,{MODEL}"), seconds=4)
    assert names(models) == ["nano-a"] and time.monotonic() - begin < 9
    (line,) = notes
    assert line.startswith(f"{MODEL}: not here, and could not be downloaded (given up after ")


def test_without_a_network_all_that_is_not_here_is_left_out_at_once(black_hole, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", black_hole)
    asked, said, begin = models_of(f"nano-a,{MODEL},timm/resnet18.a1_in1k"), [], time.monotonic()
    models, (line,) = with_weights(asked, seconds=None, tell=said.append)
    assert names(models) == ["nano-a"] and not said and "timm/resnet18.a1_in1k" in line
    with pytest.raises(AdviceError, match="could not be downloaded"):
        with_weights(asked[1:], seconds=None)
    assert time.monotonic() - begin < 10


def test_recommended_networks_come_where_there_is_time_for_them(hub):
    server, small = hub(b"weights"), "timm/mobilenetv3_large_100.ra_in1k"
    here, options = models_of("nano-a"), {"device": "cpu", "fits": anything}
    assert with_recommended(here, budget=60, **options) == (here, []) and not server.asked
    # 15 % of 3 minutes at 5 MB/s are 135 MB, enough for both; a processor has the time for the small one.
    said, two = [], (small, "timm/resnet18.a1_in1k")
    models, notes = with_recommended(
        here, budget=180, device="cpu", fits=lambda model: model.name in two, tell=said.append
    )
    assert names(models) == ["nano-a", small] and not notes
    assert said == [f"downloading {small} (22 MB), in at most 27 s"]
    assert with_recommended(models, budget=180, device="cpu", fits=lambda _: False) == (models, [])


@pytest.mark.parametrize("budget, fetched", [(120, True), (60 * 1.99, False)])
def test_what_is_too_large_for_the_budget_is_not_tried(hub, budget, fetched):
    """120 s leave 90 MB: for 11.7 million parameters, not for 28.6 million."""
    server, two = hub(b""), ("timm/convnext_tiny.in12k_ft_in1k", "timm/resnet18.a1_in1k")
    said: list[str] = []
    with_recommended([], budget=budget, device="cuda", fits=lambda model: model.name in two, tell=said.append)
    assert [line.split()[1] for line in said] == ["timm/resnet18.a1_in1k"] * fetched
    assert not any("convnext" in path for path in server.asked) and bool(server.asked) == fetched


def test_without_a_network_recommendations_are_a_note(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", closed())
    models, notes = with_recommended([], budget=600, device="cpu", fits=anything)
    assert models == [] and len(notes) == 1 and "Connection refused" in notes[0]
    monkeypatch.setenv("NASOA_OFFLINE", "1")
    assert with_recommended([], budget=600, device="cpu", fits=anything) == ([], [])


def test_limits_hold_for_published_figures_before_anything_is_fetched():
    small = Limits(max_params_m=6).may_fit("cpu", 2)
    assert names(models_of("lite0,resnet50,timm/efficientnet_b0.ra_in1k", small)) == [
        "lite0",
        "timm/efficientnet_b0.ra_in1k",
    ]
    assert all(model.params_m <= 6 for zoo in ("torchvision", "timm") for model in models_of(zoo, small))
    assert names(models_of("resnet50,resnet18", small)) == ["resnet18"]  # of which the answer speaks
    fast, unlimited = Limits(max_latency_ms=1).may_fit("cpu", 2), NO_LIMITS.may_fit("cpu", 2)
    assert fast(get("nano-a")) and not fast(get("resnet50")) and unlimited(get("resnet50"))
    assert Limits(max_latency_ms=1).may_fit("cuda", 2)(get("resnet50"))


@pytest.mark.parametrize("family", ["torchvision", "timm"])
def test_a_large_family_is_a_shortlist_of_the_best_at_their_cost(family):
    models = models_of(family)
    assert 4 <= len(models) <= 8 and sum(model.params_m for model in models) < 500
    top1 = [model.imagenet_top1 for model in models]
    assert top1 == sorted(top1) and top1[-1] - top1[0] > 10
