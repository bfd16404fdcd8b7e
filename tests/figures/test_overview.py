from nni_nasoa.figures.overview import Inventory, draw_overview, overview_figure

HAD = Inventory(
    experiments=1, models=64, with_weights=9, prior_runs=2432, runs=1017, datasets=3, store="$HOME/a_b.db"
)


def test_what_the_user_has_is_told(tmp_path):
    (axes,) = overview_figure(HAD).axes
    drawn = " ".join(text.get_text().replace("\n", " ") for text in axes.texts)
    for part in (
        "1 experiment of NNI",
        "64 networks, 9 with weights on this machine",
        "2,432 runs in the package, 1,017 runs on 3 datasets in your store",
        "Store: $HOME/a_b.db",
    ):
        assert part in drawn
    assert draw_overview(HAD, tmp_path / "overview.svg").stat().st_size > 1000


def test_texts_stay_within_their_figure():
    figure = overview_figure(HAD)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for text in axes.texts:
        if not text.get_text():
            continue
        box = text.get_window_extent()
        assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
        assert axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1
