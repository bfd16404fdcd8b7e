"""The paper's claims (NASOA, arXiv 2108.03434), beside what its own points say and what was measured here.

Nothing in the table is written by hand but the claims: ratios are computed from the published tables, and
what was measured is read from `measured.json` and from a file of step times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .measured import shipped
from .published import V100, Network, on_v100
from .step_times import Measured, step_times_of

NOT_MEASURED = "not measured"
NOT_PUBLISHED = "no points to compute it from are at hand"


@dataclass(frozen=True)
class Claim:
    """A row of the table.

    Parameters
    ----------
    figure
        Of the paper.
    claim
        What the paper says.
    published
        What its own published points give.
    measured
        What this project has measured, or `NOT_MEASURED` with what would measure it.
    source
        The file that `measured` is from, in the repository's folder examples; empty where there is none.
    """

    figure: str
    claim: str
    published: str
    measured: str
    source: str = ""


def claims(own: Measured | None = None) -> list[Claim]:
    """All claims that are known of.

    Parameters
    ----------
    own
        Step times to take for measured ones; by default those that come with the package.
    """
    steps = own or step_times_of(shipped()["step_times"], "measured.json")
    source = "" if own else shipped()["step_times"]["file"]
    return [
        *_training_claims(steps, source),
        *_inference_claims(steps, source),
        _upper_bounds(),
        _bohb(),
        _frozen_stages(),
        _small_networks(),
        _blocks(),
    ]


def ms_at(networks: Sequence[Network], series: str, kind: str, top1: float) -> float | None:
    """Return the time at which a series has an accuracy, between its networks; None outside of them.

    The logarithm of the time is interpolated between networks that no other of the series is better than.

    Parameters
    ----------
    networks
        Networks with times of one device.
    series
        Whose times, such as "ET-NAS".
    kind
        "train" or "infer".
    top1
        The accuracy, in percent.
    """
    points = sorted(
        (ms, network.imagenet_top1)
        for network in networks
        if network.series == series and (ms := network.step_ms(kind)) is not None
    )
    front: list[tuple[float, float]] = []
    for ms, accuracy in points:
        if not front or accuracy > front[-1][1]:
            front.append((ms, accuracy))
    if not front or not front[0][1] <= top1 <= front[-1][1]:
        return None
    before = max((point for point in front if point[1] <= top1), key=lambda point: point[1])
    after = min((point for point in front if point[1] >= top1), key=lambda point: point[1])
    if before == after:
        return before[0]
    share = (top1 - before[1]) / (after[1] - before[1])
    return math.exp((1 - share) * math.log(before[0]) + share * math.log(after[0]))


def speed_ratio(networks: Sequence[Network], peer: Network, kind: str) -> float | None:
    """How many times as fast as a peer ET-NAS is at the peer's accuracy; None outside of its own."""
    theirs, ours = peer.step_ms(kind), ms_at(networks, "ET-NAS", kind, peer.imagenet_top1)
    return theirs / ours if theirs and ours else None


def _training_claims(steps: Measured, source: str) -> list[Claim]:
    """What figure 3 says of training."""
    said = (
        ("et-nas-g", "ET-NAS-G", "RegNetY-16GF", "regnet_y_16gf", "6 times"),
        ("et-nas-i", "ET-NAS-I", "EfficientNet-B3", "efficientnet_b3", "1.5 to 1.7 times"),
    )
    found = []
    for name, called, peer_called, peer_name, ratio in said:
        published = {network.name: network for network in on_v100()}
        pair = _pair(published[name], published[peer_called], "train")
        at_equal = speed_ratio(on_v100(), published[peer_called], "train")
        points = f"{pair:.2f} times" + (f"; {at_equal:.2f} times at equal accuracy" if at_equal else "")
        known = {network.name: network for network in steps.networks}
        ours, theirs = known.get(name), known.get(peer_name)
        if ours and theirs and ours.train_ms and theirs.train_ms:
            text = f"{_pair(ours, theirs, 'train'):.2f} times; on {steps.where}"
        else:
            text = f"these two: {NOT_MEASURED}. {_nearest(steps, published[peer_called].series, 'train')}"
        found.append(
            Claim("3", f"{called} trains {ratio} as fast as {peer_called}", f"{points}; {V100}", text, source)
        )
    return found


def _pair(ours: Network, theirs: Network, kind: str) -> float:
    return (theirs.step_ms(kind) or math.nan) / (ours.step_ms(kind) or math.nan)


def _nearest(steps: Measured, series: str, kind: str) -> str:
    """How ET-NAS compares with the most accurate network of a series that was measured, at its accuracy."""
    peers = [
        (network, speed_ratio(steps.networks, network, kind))
        for network in steps.networks
        if network.series == series
    ]
    known = [(network, ratio) for network, ratio in peers if ratio]
    if not known:
        return f"No {series} with an accuracy that ET-NAS has was measured"
    network, ratio = max(known, key=lambda one: one[0].imagenet_top1)
    return f"At the accuracy of {network.name} it is {ratio:.2f} times as fast; on {steps.where}"


def _inference_claims(steps: Measured, source: str) -> list[Claim]:
    """What figure 3 says of inference."""
    return [
        Claim(
            "3",
            f"ET-NAS's inference is {said} {series}'s",
            f"{_range(on_v100(), series)}; {V100}",
            f"{_range(steps.networks, series)}; on {steps.where}",
            source,
        )
        for series, said in (("EfficientNet", "like"), ("RegNetY", "faster than"))
    ]


def _range(networks: Sequence[Network], series: str) -> str:
    """The least and the most that ET-NAS is faster than networks of a series, at the accuracy of each."""
    ratios = [
        ratio
        for network in networks
        if network.series == series and (ratio := speed_ratio(networks, network, "infer"))
    ]
    if not ratios:
        return NOT_MEASURED
    many = f"{len(ratios)} networks" if len(ratios) > 1 else "1 network"
    return f"{min(ratios):.2f} to {max(ratios):.2f} times as fast at the accuracy of {many}"


def _upper_bounds() -> Claim:
    found = shipped()["upper_bounds"]
    points = found["points"]
    mean = sum(points.values()) / len(points)
    by_series = ", ".join(f"{value:+.2g} ({name})" for name, value in points.items())
    return Claim(
        "5",
        "One advised run is 2.1 to 7.4 points better on average than the best of RegNet and of EfficientNet",
        NOT_PUBLISHED,
        f"{mean:+.1f} points on average over three series: {by_series}; {found['tasks']} small tasks, "
        f"{found['budgets'][0]} to {found['budgets'][-1]} s",
        found["file"],
    )


def _bohb() -> Claim:
    found = shipped()["tuners"]
    others = ", ".join(f"{name} {ratio:.1f}" for name, ratio in found["median"].items() if name != "BOHB")
    return Claim(
        "5",
        "40 times as fast as BOHB to the same result",
        NOT_PUBLISHED,
        f"{found['median']['BOHB']:.1f} times (median of {found['tasks']} small tasks; {others})",
        found["file"],
    )


def _frozen_stages() -> Claim:
    found = shipped()["frozen_stages_of_the_best"]
    stages = list(found["by_task"].values())
    counts = ", ".join(f"{number} on {stages.count(number)}" for number in sorted(set(stages)))
    return Claim(
        "6",
        "How many stages are best frozen differs between datasets",
        NOT_PUBLISHED,
        f"frozen stages of the best of {found['regimes']} settings: {counts} of {len(stages)} small tasks",
        found["file"],
    )


def _small_networks() -> Claim:
    found = shipped()["smallest_is_best"]
    shares = [(float(seconds), share) for seconds, share in found["shares"].items()]
    listed = ", ".join(f"{100 * share:.0f} % in {seconds:g} s" for seconds, share in shares)
    held = shares[0][1] > shares[-1][1]
    return Claim(
        "6, 7",
        "With little time the smaller network wins",
        NOT_PUBLISHED,
        f"{'so it is' if held else 'not so'} on small tasks: the smallest of three sizes is best in {listed}",
        found["file"],
    )


def _blocks() -> Claim:
    found = shipped()["blocks"]
    listed = []
    for one in found["classic"]:
        channels, best = one["network"].split("_")[1], one["best_as_fast"]
        listed.append(
            f"none is as fast as the {one['block']} ({channels})"
            if best is None
            else f"{100 * (best - one['accuracy']):+.1f} points over the {one['block']} ({channels})"
        )
    return Claim(
        "9",
        "The search finds more efficient blocks than the classic ones",
        NOT_PUBLISHED,
        f"{', '.join(listed)}, with so many first channels and at its speed or faster; {found['networks']} "
        f"networks, digits, {found['epochs']} epochs",
        found["file"],
    )
