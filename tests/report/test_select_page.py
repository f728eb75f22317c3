"""The page of a selection is fit for people and shows what its results hold."""

from __future__ import annotations

import augwise as aw
from report.browser import check_page


def test_the_page_of_select(tmp_path, browser):
    out = tmp_path / "base"
    aw.train(aw.TrainConfig(limit=60, epochs=1, batch_size=20, eval_limit=50, out=out, quiet=True, tensorboard=False))
    config = aw.SelectConfig(run=out, limit=60, fractions=(0.2, 0.5), mixes=3, out=tmp_path / "s", cases=3, quiet=True)
    results = aw.select_images(config, command="augwise select --fractions 0.2 0.5")
    check_page(browser, tmp_path / "s" / "report.html", largest=3e5)
    page = (tmp_path / "s" / "report.html").read_text()
    assert "10 of 60 images, 20 % of each class" in page
    assert page.count("cv-top-0.2.npz") >= 1
    assert page.count('alt="image ') == 10 * 6
    assert page.count('<span class="guarded">chosen</span>') == results["chosen"][0]["images"] + 1
